//! What is read, refused and shown of settings.

use super::*;

fn check(flags: &[(&str, &str)], vars: &[(&str, &str)], file: &str) -> Result<Settings, Mistakes> {
    let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
    let (raw, bad) = Raw::merge(&flags, |name| vars.get(name).map(|v| (*v).to_owned()), Some(("f.toml", file)));
    Settings::resolve(&raw, bad, 2)
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let file = "data = \"/f\"\nssh = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:1\"\ncreate-on-push = false";
    let vars = [("HOIST_SSH", "127.0.0.1:2"), ("HOIST_HTTP", "127.0.0.1:2")];
    let got = check(&[("ssh", "127.0.0.1:3")], &vars, file).unwrap();
    assert_eq!((got.ssh.port(), got.http.port(), got.data.to_str().unwrap()), (3, 2, "/f"));
    assert!(!got.create_on_push);
    assert_eq!((got.router, got.router_dir.to_str().unwrap()), (RouterMode::Spawn, "/f/router"));
    assert_eq!((got.app_cpu, got.app_memory, got.ssh_host.as_str()), (1_500, 512_000_000, "localhost"));
}

#[test]
fn what_one_user_may_have() {
    let of = |flags: &[(&str, &str)]| check(&[&[("data", "/f")], flags].concat(), &[], "").map(|got| got.quotas());
    let got = of(&[]).unwrap();
    assert_eq!((got[&What::Apps], got[&What::Memory]), (Some(20), Some(8_192_000_000)));
    // Two processors: 1.5 for each of 30 instances.
    assert_eq!((got[&What::Processors], got[&What::Builds]), (Some(45_000), Some(2)));
    let got = of(&[("user-apps", "unlimited"), ("user-disk", "1"), ("user-instances", "0")]).unwrap();
    assert_eq!((got[&What::Apps], got[&What::Disk], got[&What::Processors]), (None, Some(1_000_000), Some(0)));
    assert_eq!(of(&[("user-instances", "unlimited")]).unwrap()[&What::Processors], None);
    assert_eq!(of(&[("user-cpu", "500")]).unwrap()[&What::Processors], Some(500));
    let bad = of(&[("user-builds", "0"), ("user-apps", "many")]).unwrap_err();
    assert_eq!(
        bad,
        [
            "--user-apps=\"many\" is not valid: a number from 0 to 1073741824, or unlimited",
            "--user-builds=\"0\" is not valid: a number from 1 to 1073741824, or unlimited",
        ]
    );
}

#[test]
fn languages_by_any_of_their_names() {
    let of = |text| check(&[("data", "/f"), ("fetch-ahead", text)], &[], "").map(|got| got.fetch_ahead);
    assert_eq!(of("golang, node").unwrap(), ["go", "node"]);
    assert_eq!(of("none").unwrap(), [""; 0]);
    assert_eq!(check(&[("data", "/f")], &[], "").unwrap().fetch_ahead, buildpacks::FETCHING, "by default");
    for bad in ["cobol", "", "node none", "static"] {
        let expect = format!("--fetch-ahead=\"{bad}\" is not valid: some of node, python, go, or none");
        assert_eq!(of(bad).unwrap_err(), [expect]);
    }
}

#[test]
fn ports_of_the_host_that_apps_may_reach() {
    let of = |text| check(&[("data", "/f"), ("host-services", text)], &[], "").map(|got| got.host_services);
    assert_eq!(of("5432, 6379").unwrap(), [5432, 6379]);
    assert_eq!(check(&[("data", "/f")], &[], "").unwrap().host_services, [0_u16; 0], "none by default");
    for bad in ["0", "65536", "postgres", "5432-5433", "172.17.0.1:5432", "-1", "{ 1 }"] {
        let expect = format!("--host-services=\"{bad}\" is not valid: ports, such as 5432 6379");
        assert_eq!(of(bad).unwrap_err(), [expect]);
    }
}

#[test]
fn what_the_router_is_told_comes_to_the_same() {
    let visitors = |flags: &[(&str, &str)]| check(flags, &[], "data = \"/f\"").map(|got| got.visitors());
    let usual = visitors(&[]).unwrap();
    assert_eq!((usual.trusted.len(), usual.connections, usual.per_source, usual.requests), (0, 10_000, 2_000, 1_000));
    assert_eq!(usual.of_request(), router::HeadLimits::REQUEST);
    assert_eq!(usual.of_answer(), router::HeadLimits::RESPONSE);
    let proxies = ("trusted-proxies", "127.0.0.1, 10.0.0.0/8 2001:db8::/32");
    let own = visitors(&[proxies, ("http-connections", "99"), ("http-per-source", "7"), ("http-request-line", "8192")])
        .unwrap();
    assert_eq!(own.trusted.len(), 3);
    for told in [&usual, &own] {
        let flags = told.flags();
        let pairs: Vec<(&str, &str)> =
            flags.iter().map(|flag| flag.strip_prefix("--").unwrap().split_once('=').unwrap()).collect();
        assert_eq!(&visitors(&pairs).unwrap(), told);
    }
    for bad in ["10.0.0.0/33", "localhost", "10.0.0.0/8;::1"] {
        let why = visitors(&[("trusted-proxies", bad)]).unwrap_err();
        assert!(why[0].starts_with(&format!("--trusted-proxies=\"{bad}\" is not valid: ")), "{why:?}");
    }
}

#[test]
fn all_mistakes_at_once() {
    let flags = [("ssh", "nowhere"), ("base-domain", "a..b"), ("boot-timeout", "0"), ("router", "maybe")];
    let bad = check(&flags, &[("HOIST_POOL", "10.0.0.0/33")], "colour = 1\npool = [1]").unwrap_err();
    assert_eq!(
        bad,
        [
            "f.toml: there is no setting colour",
            "f.toml: pool must be text, a number or true/false",
            "--data DIR is missing (or HOIST_DATA)",
            "--ssh=\"nowhere\" is not valid: an address and a port, such as 127.0.0.1:2222",
            "--router=\"maybe\" is not valid: spawn or external",
            "--base-domain=\"a..b\" is not valid: a host name, such as apps.example.com",
            "HOIST_POOL=\"10.0.0.0/33\" is not valid: a network and its length (8 to 18), such as 10.208.0.0/12",
            "--boot-timeout=\"0\" is not valid: a number from 1 to 3600",
        ]
    );
}

#[test]
fn a_name_that_is_none_is_told_the_nearest() {
    let bad = check(&[("data", "/f")], &[], "base_domian = \"a.example\"\nxyzzy = 1").unwrap_err();
    assert_eq!(
        bad,
        ["f.toml: there is no setting base_domian; did you mean base-domain?", "f.toml: there is no setting xyzzy"]
    );
    assert_eq!(nearest("--", "app-memroy"), "; did you mean --app-memory?");
}

#[test]
fn every_row_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("ca.crt");
    std::fs::write(&bundle, "").unwrap();
    let plain = check(&[("data", "/f")], &[], "").unwrap();
    for key in KEYS.iter() {
        // One that names a file which is there.
        let example = if key.name == "ca-bundle" { bundle.to_str().unwrap() } else { key.example };
        let by_flag = check(&[("data", "/f"), (key.name, example)], &[], "").unwrap_or_else(|bad| panic!("{bad:?}"));
        let variable = variable_of(key.name);
        let by_variable = check(&[], &[("HOIST_DATA", "/f"), (&variable, example)], "");
        let by_file = check(&[], &[("HOIST_DATA", "/f")], &format!("{} = \"{example}\"", key.name));
        let seen = format!("{by_flag:?}");
        if key.name == "data" {
            assert_eq!(by_flag.data.to_str(), Some(key.example));
            continue;
        }
        assert_eq!(
            (format!("{:?}", by_variable.unwrap()), format!("{:?}", by_file.unwrap())),
            (seen.clone(), seen.clone())
        );
        assert_ne!(seen, format!("{plain:?}"), "the example of {} changes nothing", key.name);
        assert!(key.default.is_empty() != key.unless.is_empty(), "{}: a default, or words for it", key.name);
        assert!(!key.help.is_empty() && !key.takes.is_empty() && key.help.len() <= 100, "{}", key.name);
    }
    let names: std::collections::BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), KEYS.len());
}

/// The lines of docs/operations.md that are the table.
fn page() -> String {
    let mut page = "| Setting | Takes | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    for key in KEYS.iter() {
        let unit = if key.unit.is_empty() { String::new() } else { format!(" {}", key.unit) };
        let default = match key.default {
            "" => key.unless.to_owned(),
            default => format!("`{default}`{unit}"),
        };
        let takes = match key.takes.strip_prefix("a number from ") {
            Some(bounds) if key.unit.is_empty() => bounds.to_owned(),
            Some(bounds) => format!("{bounds} ({})", key.unit),
            None if key.takes.contains("such as") || key.value.contains('|') => key.takes.clone(),
            None => format!("{}, such as `{}`", key.takes, key.example),
        };
        // What it is else has a column of its own.
        let help = key.help.split_once("; else ").map_or(key.help, |(help, _)| help);
        page += &format!("| `{}` | {takes} | {default} | {help}{} |\n", key.name, key.more);
    }
    page
}

#[test]
fn settings_page() {
    // What cargo says now: the clone that this was compiled in may be gone.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let path = format!("{here}/../../docs/operations.md");
    let have = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = have.split_once("| Setting | ").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let want = format!("{before}{}\n{after}", page());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).unwrap();
        return;
    }
    assert!(
        have == want,
        "docs/operations.md differs from the settings: UPDATE_DOCS=1 cargo test -p system settings_page"
    );
}
