//! Every kind of event: its JSON, which rows of a year ago must be readable by, and its words.

use super::*;
use std::collections::BTreeSet;

fn web() -> Label {
    "web.1".parse().unwrap()
}

fn commit() -> Commit {
    "de63889".repeat(6).get(..40).unwrap().parse().unwrap()
}

fn release() -> ReleaseNumber {
    ReleaseNumber(7)
}

/// One of each kind at least, as a row holds it, and what is said of it.
fn samples() -> Vec<(Event, &'static str, &'static str)> {
    let user = || "ana".parse::<UserName>().unwrap();
    let by = || "ana".to_owned();
    let fingerprint = || "SHA256:x".to_owned();
    let (set, unset) = (vec!["A".parse().unwrap(), "B".parse().unwrap()], vec!["C".parse().unwrap()]);
    let crashed = |cause, crashes, again_ms| Event::InstanceCrashed {
        instance: web(),
        release: release(),
        cause,
        crashes,
        again_ms,
    };
    let of_app = vec![
        (
            Event::AppCreated { name: "blog".parse().unwrap() },
            r#"{"kind":"app-created","name":"blog"}"#,
            "Created blog",
        ),
        (
            Event::AppRenamed { from: "blog".parse().unwrap(), to: "news".parse().unwrap() },
            r#"{"kind":"app-renamed","from":"blog","to":"news"}"#,
            "Renamed from blog to news",
        ),
        (
            Event::AppTransferred { from: Some("bob".parse().unwrap()), to: user() },
            r#"{"kind":"app-transferred","from":"bob","to":"ana"}"#,
            "ana owns it now, as bob did before",
        ),
        (
            Event::AppTransferred { from: None, to: user() },
            r#"{"kind":"app-transferred","from":null,"to":"ana"}"#,
            "ana owns it now, as root did before",
        ),
        (
            Event::AppDestroyed { name: "blog".parse().unwrap() },
            r#"{"kind":"app-destroyed","name":"blog"}"#,
            "Destroyed blog",
        ),
        (Event::AppStopped, r#"{"kind":"app-stopped"}"#, "Stopped"),
        (
            Event::SettingsChanged { names: vec!["root".to_owned(), "stack".to_owned()] },
            r#"{"kind":"settings-changed","names":["root","stack"]}"#,
            "Settings changed: root, stack",
        ),
        (
            Event::Scaled { formation: [("web".parse().unwrap(), 2), ("worker".parse().unwrap(), 0)].into() },
            r#"{"kind":"scaled","formation":{"web":2,"worker":0}}"#,
            "Scaled to web=2 worker=0",
        ),
        (
            Event::DomainAdded { host: "shop.example".parse().unwrap(), process: "web".parse().unwrap() },
            r#"{"kind":"domain-added","host":"shop.example","process":"web"}"#,
            "shop.example is served by web",
        ),
        (
            Event::DomainRemoved { host: "shop.example".parse().unwrap() },
            r#"{"kind":"domain-removed","host":"shop.example"}"#,
            "shop.example was removed",
        ),
        (
            Event::MaintenanceOn { own_page: true },
            r#"{"kind":"maintenance-on","own_page":true}"#,
            "Maintenance is on, with a page of the app's own",
        ),
        (
            Event::MaintenanceOn { own_page: false },
            r#"{"kind":"maintenance-on","own_page":false}"#,
            "Maintenance is on",
        ),
        (Event::MaintenanceOff, r#"{"kind":"maintenance-off"}"#, "Maintenance is off"),
    ];
    let of_deploys = vec![
        (
            Event::BuildSucceeded { build: BuildId(3), commit: commit(), language: "node".to_owned() },
            r#"{"kind":"build-succeeded","build":3,"commit":"de63889de63889de63889de63889de63889de638","language":"node"}"#,
            "Build 3 of de63889d succeeded",
        ),
        (
            Event::BuildFailed { build: BuildId(3), commit: commit(), why: "npm ci failed".to_owned() },
            r#"{"kind":"build-failed","build":3,"commit":"de63889de63889de63889de63889de63889de638","why":"npm ci failed"}"#,
            "Build 3 of de63889d failed: npm ci failed",
        ),
        (
            Event::BuildCancelled { build: BuildId(3), commit: commit(), why: "cancelled by ana".to_owned() },
            r#"{"kind":"build-cancelled","build":3,"commit":"de63889de63889de63889de63889de63889de638","why":"cancelled by ana"}"#,
            "Build 3 of de63889d was cancelled: cancelled by ana",
        ),
        (
            Event::ReleaseCut {
                release: release(),
                deploy: DeployId(9),
                description: "Deploy de63889".to_owned(),
                by: by(),
            },
            r#"{"kind":"release-cut","release":7,"deploy":9,"description":"Deploy de63889","by":"ana"}"#,
            "Release v7: Deploy de63889",
        ),
        (
            Event::ConfigChanged { version: ConfigVersion(4), set: set.clone(), unset: unset.clone() },
            r#"{"kind":"config-changed","version":4,"set":["A","B"],"unset":["C"]}"#,
            "Config vars set: A, B; unset: C",
        ),
        (
            Event::ConfigChanged { version: ConfigVersion(4), set, unset: Vec::new() },
            r#"{"kind":"config-changed","version":4,"set":["A","B"],"unset":[]}"#,
            "Config vars set: A, B",
        ),
        (
            Event::ConfigChanged { version: ConfigVersion(4), set: Vec::new(), unset },
            r#"{"kind":"config-changed","version":4,"set":[],"unset":["C"]}"#,
            "Config vars unset: C",
        ),
        (
            Event::DeployLive { deploy: DeployId(9), job: Kind::Push, release: release(), routed: true, by: by() },
            r#"{"kind":"deploy-live","deploy":9,"job":"push","release":7,"routed":true,"by":"ana"}"#,
            "Release v7 is live (push by ana)",
        ),
        (
            Event::DeployFailed {
                deploy: DeployId(9),
                job: Kind::Rollback,
                release: None,
                code: Code::BuildFailed,
                why: "no \u{1b}[31mimage".to_owned(),
                by: by(),
            },
            r#"{"kind":"deploy-failed","deploy":9,"job":"rollback","release":null,"code":"build-failed","why":"no \u001b[31mimage","by":"ana"}"#,
            "rollback by ana failed: no image",
        ),
    ];
    let of_instances = vec![
        (
            Event::InstanceUp { instance: web(), release: release() },
            r#"{"kind":"instance-up","instance":"web.1","release":7}"#,
            "State of web.1 changed from starting to up",
        ),
        (
            Event::InstanceNotUp { instance: web(), release: release(), why: "it opened no port".to_owned() },
            r#"{"kind":"instance-not-up","instance":"web.1","release":7,"why":"it opened no port"}"#,
            "web.1: it opened no port",
        ),
        (
            crashed(Crash::Exited { code: Some(1) }, 1, 0),
            r#"{"kind":"instance-crashed","instance":"web.1","release":7,"cause":{"why":"exited","code":1},"crashes":1,"again_ms":0}"#,
            "State of web.1 changed from up to crashed; it starts again at once",
        ),
        (
            crashed(Crash::OutOfMemory { limit: 512_000_000 }, 3, 2_000),
            r#"{"kind":"instance-crashed","instance":"web.1","release":7,"cause":{"why":"out-of-memory","limit":512000000},"crashes":3,"again_ms":2000}"#,
            "State of web.1 changed from up to crashed (R15: out of memory, its limit is 512.0 MB); it starts again in 2.0s",
        ),
        (
            crashed(Crash::DiskFull { limit: 2_000_000_000 }, 1, 0),
            r#"{"kind":"instance-crashed","instance":"web.1","release":7,"cause":{"why":"disk-full","limit":2000000000},"crashes":1,"again_ms":0}"#,
            "State of web.1 changed from up to crashed (disk full: it wrote more than its limit of 2.0 GB; what it wrote is gone); it starts again at once",
        ),
        (
            Event::InstanceGone { instance: web(), release: release() },
            r#"{"kind":"instance-gone","instance":"web.1","release":7}"#,
            "web.1 is gone; making it again",
        ),
        (
            Event::InstanceCutOff { instance: web(), release: release() },
            r#"{"kind":"instance-cut-off","instance":"web.1","release":7}"#,
            "web.1 was cut off its network; making it again",
        ),
        (
            Event::InstanceFull { instance: "run.3".parse().unwrap(), release: release(), limit: 2_000_000_000 },
            r#"{"kind":"instance-full","instance":"run.3","release":7,"limit":2000000000}"#,
            "run.3 was ended (disk full: it wrote more than its limit of 2.0 GB)",
        ),
        (
            Event::RunEnded {
                instance: "run.3".parse().unwrap(),
                release: release(),
                code: Some(3),
                ran_ms: 2_000,
                why: "stopped by eve".to_owned(),
                by: by(),
            },
            r#"{"kind":"run-ended","instance":"run.3","release":7,"code":3,"ran_ms":2000,"why":"stopped by eve","by":"ana"}"#,
            "run.3 of ana ended with exit code 3 after 2.0s (stopped by eve)",
        ),
    ];
    let of_people = vec![
        (Event::AccessGiven { user: user() }, r#"{"kind":"access-given","user":"ana"}"#, "ana has access"),
        (Event::AccessTaken { user: user() }, r#"{"kind":"access-taken","user":"ana"}"#, "ana has no access any more"),
        (
            Event::DeployKeyAdded { name: "ci".to_owned(), fingerprint: fingerprint(), by: by() },
            r#"{"kind":"deploy-key-added","name":"ci","fingerprint":"SHA256:x","by":"ana"}"#,
            "Deploy key ci (SHA256:x) added",
        ),
        (
            Event::DeployKeyRemoved { name: "ci".to_owned(), fingerprint: fingerprint() },
            r#"{"kind":"deploy-key-removed","name":"ci","fingerprint":"SHA256:x"}"#,
            "Deploy key ci (SHA256:x) removed",
        ),
        (
            Event::UserAdded { user: user(), role: Role::Admin },
            r#"{"kind":"user-added","user":"ana","role":"admin"}"#,
            "ana is a user, an administrator",
        ),
        (Event::UserRemoved { user: user() }, r#"{"kind":"user-removed","user":"ana"}"#, "ana is no user any more"),
        (
            Event::RoleChanged { user: user(), role: Role::Developer },
            r#"{"kind":"role-changed","user":"ana","role":"developer"}"#,
            "ana is a developer now",
        ),
        (
            Event::KeyAdded { user: user(), name: "ana@home".to_owned(), fingerprint: fingerprint() },
            r#"{"kind":"key-added","user":"ana","name":"ana@home","fingerprint":"SHA256:x"}"#,
            "ana has the key SHA256:x",
        ),
        (
            Event::KeyRemoved { user: user(), fingerprint: fingerprint() },
            r#"{"kind":"key-removed","user":"ana","fingerprint":"SHA256:x"}"#,
            "ana has the key SHA256:x no more",
        ),
    ];
    let of_server = vec![
        (
            Event::RouterUnreachable { why: "it does not answer".to_owned() },
            r#"{"kind":"router-unreachable","why":"it does not answer"}"#,
            "The router is not reachable: it does not answer",
        ),
        (Event::RouterBack, r#"{"kind":"router-back"}"#, "The router is there again"),
        (
            Event::DiskLow {
                disk: "docker".to_owned(),
                free: 1_000_000_000,
                all: 50_000_000_000,
                least: 2_000_000_000,
            },
            r#"{"kind":"disk-low","disk":"docker","free":1000000000,"all":50000000000,"least":2000000000}"#,
            "1.0 GB of 50.0 GB are free on Docker's disk, less than 2.0 GB",
        ),
        (
            Event::DiskEased { disk: "data".to_owned(), free: 3_000_000_000, all: 50_000_000_000 },
            r#"{"kind":"disk-eased","disk":"data","free":3000000000,"all":50000000000}"#,
            "3.0 GB of 50.0 GB are free on the server's disk again",
        ),
    ];
    [of_app, of_deploys, of_instances, of_people, of_server].concat()
}

#[test]
fn every_kind_is_written_and_read_as_it_was_a_year_ago() {
    let samples = samples();
    for (event, json, _) in &samples {
        assert_eq!(serde_json::to_string(event).unwrap(), *json);
        assert_eq!(serde_json::from_str::<Event>(json).unwrap(), *event, "{json}");
        assert_eq!(serde_json::to_value(event).unwrap()["kind"], event.kind());
    }
    let (seen, all): (BTreeSet<&str>, BTreeSet<&str>) =
        (samples.iter().map(|(event, ..)| event.kind()).collect(), KINDS.iter().map(|(kind, _)| *kind).collect());
    assert_eq!(seen, all, "each kind has a sample here");
    assert_eq!(KINDS.len(), all.len());
}

#[test]
fn what_is_not_known_is_no_event() {
    for json in [
        r#"{"kind":"app-eaten","name":"blog"}"#,
        r#"{"name":"blog"}"#,
        r#"{"kind":"app-created"}"#,
        r#"{"kind":"app-created","name":"Not A Name"}"#,
        r#"{"kind":"instance-up","instance":"web","release":7}"#,
        r#"{"kind":"deploy-live","deploy":9,"job":"Push","release":7,"routed":true,"by":"ana"}"#,
        r#"{"kind":"instance-crashed","instance":"web.1","release":7,"cause":{"why":"bored"},"crashes":1,"again_ms":0}"#,
    ] {
        assert!(serde_json::from_str::<Event>(json).is_err(), "{json}");
    }
}

#[test]
fn words_for_people_and_for_the_log() {
    let mut logged = BTreeSet::new();
    for (event, _, text) in samples() {
        assert_eq!(event.text(), text);
        if let Some(line) = event.line() {
            logged.insert(event.kind());
            let full = matches!(
                event,
                Event::InstanceFull { .. } | Event::InstanceCrashed { cause: Crash::DiskFull { .. }, .. }
            );
            let next = if full { format!("\n{}", room::OVER_NEXT) } else { String::new() };
            assert_eq!(line, format!("{text}{next}"));
        }
    }
    let want = [
        "app-renamed",
        "deploy-failed",
        "deploy-live",
        "instance-crashed",
        "instance-cut-off",
        "instance-full",
        "instance-gone",
        "instance-not-up",
        "instance-up",
        "run-ended",
    ];
    assert_eq!(logged, want.into());
}

#[test]
fn types_are_those_that_there_are() {
    let all = kinds("deploy-failed, command,instance-up", None).unwrap();
    assert_eq!(all, Kinds { events: vec!["deploy-failed", "instance-up"], commands: true });
    for typed in ["", "deploy", "deploy-failed,", "deploy-failed;instance-up", "Command", "\u{1b}[31m"] {
        let app = "blog".parse().unwrap();
        let no = kinds(typed, Some(&app)).unwrap_err();
        assert_eq!(no.next, ["events blog --type deploy-failed,instance-crashed"]);
        assert!(kinds(typed, None).unwrap_err().next[0].starts_with("events --type "));
        assert_eq!(no.code, Code::BadEventType, "{typed}");
        assert!(no.why.contains("command, app-created, ") && !no.what.contains('\u{1b}'), "{no}");
    }
}

fn markdown() -> String {
    let mut page = "# Events\n\n\
        What can happen to an app, or to the server (then the text says so), and how `events --format json` has it; to each row come `at`,\n\
        `seq` (a number that only grows) and `app` (its name then). Fields are added, and none changes its meaning. Rows of commands, which\n\
        say who typed what, are of the kind `command`. Kinds marked `log` are lines of the app's log too. This page is written from\n\
        `src/domain/src/event.rs`; `UPDATE_DOCS=1 cargo test -p domain events_page` writes it anew.\n\n\
        | Kind | Happens when | For example |\n|---|---|---|\n"
        .to_owned();
    let samples = samples();
    for (kind, about) in KINDS {
        let (event, json, _) = samples.iter().find(|(event, ..)| event.kind() == *kind).unwrap();
        let fields = json.split_once(',').map_or("", |(_, fields)| fields.trim_end_matches('}'));
        // Braces that were inside stay in pairs.
        let open = fields.matches('{').count() - fields.matches('}').count();
        let fields = format!("{fields}{}", "}".repeat(open));
        let fields = if fields.is_empty() { String::new() } else { format!("`{fields}`") };
        let log = if event.line().is_some() { " (log)" } else { "" };
        page.push_str(&format!("| `{kind}`{log} | {about} | {fields} |\n"));
    }
    page
}

#[test]
fn events_page() {
    // What cargo says now: the clone that this was compiled in may be gone.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let (page, want) = (format!("{here}/../../docs/events.md"), markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &want).unwrap();
    }
    let have = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(have == want, "docs/events.md differs from the table: UPDATE_DOCS=1 cargo test -p domain events_page");
}
