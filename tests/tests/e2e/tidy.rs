//! What Cargo and clippy cannot forbid: layers, circles between files, one home per library, headers, sizes,
//! words.
//!
//! A finding that is known and not yet mended stands in `tests/ratchet.txt` as `RULE PATH COUNT`. More than that fails, and
//! so does less: the file only shrinks.

use super::circles::Crate;
use domain::programs::{self, Use};
use e2e::repository;
use std::collections::BTreeMap;
use std::path::Path;

/// Each library and the places that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("russh", &["src/ssh/src/"]),
    ("git2", &["src/git/src/"]),
    ("bollard", &["src/engine/src/docker/", "src/engine/src/buildkit/"]),
    ("rusqlite", &["src/store/src/"]),
    ("ring", &["src/store/src/"]),
    ("hyper", &["src/engine/src/images/", "src/engine/src/buildkit/"]),
    ("prost", &["src/engine/src/buildkit/"]),
    ("tar", &["src/engine/src/images/"]),
    ("flate2", &["src/engine/src/images/"]),
    ("listenfd", &["src/system/src/systemd.rs"]),
    ("sd_notify", &["src/system/src/systemd.rs"]),
    ("nix", &["src/system/src/rights.rs"]),
    ("zstd", &["src/logs/src/"]),
    ("regex", &["src/logs/src/"]),
];
/// Each crate of ours and which of the others it may depend on; in an order in which each only names earlier ones.
const LAYERS: &[(&str, &str, &[&str])] = &[
    ("refusal", "src/refusal", &[]),
    ("domain", "src/domain", &["refusal"]),
    ("verbs", "src/verbs", &["domain"]),
    ("log-format", "src/log-format", &["domain"]),
    ("buildpacks", "buildpacks", &["refusal"]),
    ("router", "router", &[]),
    ("hoist-init", "src/init", &[]),
    ("system", "src/system", &["domain", "log-format", "buildpacks", "router"]),
    ("store", "src/store", &["domain", "system"]),
    ("engine", "src/engine", &["domain", "system"]),
    ("logs", "src/logs", &["domain", "verbs", "log-format", "system"]),
    ("git", "src/git", &["domain", "system"]),
    ("net", "src/net", &["domain", "system", "store", "engine"]),
    ("jobs", "src/jobs", &["domain", "buildpacks", "system", "store"]),
    ("routes", "src/routes", &["domain", "log-format", "router", "system", "store", "logs"]),
    (
        "builder",
        "src/builder",
        &["domain", "log-format", "buildpacks", "system", "store", "engine", "logs", "git", "net", "jobs", "routes"],
    ),
    (
        "deploy",
        "src/deploy",
        &["domain", "log-format", "system", "store", "engine", "logs", "git", "net", "jobs", "routes"],
    ),
    ("ssh", "src/ssh", &["domain", "system", "store"]),
    (
        "commands",
        "src/commands",
        &[
            "domain",
            "verbs",
            "log-format",
            "buildpacks",
            "system",
            "store",
            "engine",
            "logs",
            "git",
            "jobs",
            "routes",
            "builder",
            "deploy",
            "ssh",
        ],
    ),
    (
        "hoist",
        "src/server",
        &[
            "domain", "verbs", "router", "system", "store", "engine", "logs", "git", "net", "routes", "builder",
            "deploy", "ssh", "commands",
        ],
    ),
    ("e2e", "tests", &["domain", "verbs", "system", "store", "engine"]),
];
const LINES_MAX: usize = 800;

type Findings = BTreeMap<(String, String), Vec<String>>;

#[test]
fn the_tree_is_tidy() {
    let mut found = Findings::new();
    for (path, text) in tracked() {
        words(&path, &text, &mut found);
        if path.ends_with(".rs") {
            shape(&path, &text, &mut found);
            code(&path, &text, &mut found);
            starts(&path, &text, &mut found);
        } else if text.contains("pipefail") || text.starts_with("# shellcheck shell=bash") {
            pipes(&path, &text, &mut found);
        }
    }
    layers(&mut found);
    circles(&mut found);
    compare(&found);
}

#[test]
fn words_are_found_where_they_stand_alone() {
    assert!(names("use tar::Builder;", "tar") && names("let x = ::tar::new();", "tar"));
    assert!(!names("my_tar::x()", "tar") && !names("star::x", "tar") && !names("tar = 1", "tar"));
    let line = concat!("let a = Command::", "new(\"git\"); run(Program::", "new(\"nft\", cwd), Command::", "new(at))");
    assert_eq!(started(line), ["git", "nft"]);
    for quits in ["sort x | head -n 10 | wc", "a | grep -q b", "a |grep -Eq b", "a | grep -E -m 1 b"] {
        assert!(leaves_early(quits), "{quits}");
    }
    for reads in ["head -c 9 x | wc", "grep -q a file", "a | grep -E quick", "a || head x", "a | sed -n 1p | header"] {
        assert!(!leaves_early(reads), "{reads}");
    }
    assert!(depends_on("[dependencies]\nrouter.workspace = true\n", "router"));
    assert!(!depends_on("[package]\nname = \"router\"\n[dependencies]\nrouter-x = \"1\"\n", "router"));
}

/// Every tracked text file.
fn tracked() -> Vec<(String, String)> {
    let mut git = e2e::program("git");
    git.args(["ls-files", "-z"]).current_dir(repository());
    let listed = e2e::run(git, b"", std::time::Duration::from_secs(30)).ok().out;
    let read = |path: &str| Some((path.to_owned(), std::fs::read_to_string(repository().join(path)).ok()?));
    listed.split('\0').filter(|p| !p.is_empty()).filter_map(read).collect()
}

/// Words that belong nowhere.
fn words(path: &str, text: &str, found: &mut Findings) {
    let later = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let places = [concat!("/wo", "rk/"), concat!("/home", "/")];
    let hosts = [
        concat!("registry.npm", "js.org"),
        concat!("dock", "er.io"),
        concat!("crat", "es.io"),
        concat!("py", "pi.org"),
    ];
    let lock = path.ends_with(".lock") || path.ends_with("package-lock.json");
    for (number, line) in text.lines().enumerate() {
        if line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| later.contains(&word)) {
            add(found, "later", path, number, line);
        }
        if !lock && places.iter().any(|p| line.contains(p)) {
            add(found, "place", path, number, line);
        }
        if path.ends_with(".rs") && hosts.iter().any(|h| line.contains(h)) {
            add(found, "registry", path, number, line);
        }
    }
}

/// Every crate is in the table and depends on what it may.
fn layers(found: &mut Findings) {
    let read = |path: &str| std::fs::read_to_string(repository().join(path)).unwrap();
    let members = read("Cargo.toml").lines().filter(|line| line.contains(" = { path = \"")).count();
    // The workspace names no path of what nothing depends on: the init and the end-to-end tests.
    assert_eq!(members + 2, LAYERS.len(), "a crate is missing in LAYERS");
    for (at, (_, folder, may)) in LAYERS.iter().enumerate() {
        let manifest = format!("{folder}/Cargo.toml");
        let text = read(&manifest);
        let earlier: Vec<&str> = LAYERS.iter().take(at).map(|(name, ..)| *name).collect();
        assert!(may.iter().all(|name| earlier.contains(name)), "{folder} names a later crate in LAYERS");
        for (name, ..) in LAYERS {
            if depends_on(&text, name) && !may.contains(name) {
                add(found, "layer", &manifest, 0, &format!("depends on {name}"));
            }
        }
    }
}

/// No file of a crate is reached from itself.
fn circles(found: &mut Findings) {
    let files = tracked();
    let (mut names, mut uses) = (0, 0);
    for (_, folder, _) in LAYERS {
        let mut all = Crate::default();
        for (path, text) in &files {
            let inside = path.strip_prefix(&format!("{folder}/src/")).filter(|path| path.ends_with(".rs"));
            inside.into_iter().for_each(|inside| all.add(path, inside, text));
        }
        let size = all.size();
        (names, uses) = (names + size.0, uses + size.1);
        for (from, to) in all.circles() {
            to.iter().for_each(|to| add(found, "circle", &from, 0, &format!("uses {to}, which leads back here")));
        }
    }
    assert!(names > 300 && uses > 600, "{names} files use {uses}");
}

/// Header and size.
fn shape(path: &str, text: &str, found: &mut Findings) {
    if !text.starts_with("//! ") {
        add(found, "header", path, 0, "does not begin with //!");
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        add(found, "size", path, lines, "lines");
    }
}

/// Layers, and what only one place may do.
fn code(path: &str, text: &str, found: &mut Findings) {
    let product = path.starts_with("src/") || path.starts_with("router/src/") || path.starts_with("buildpacks/src/");
    let server = path.starts_with("src/") && !path.starts_with("src/init/") && !path.starts_with("src/domain/");
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        let mut report = |rule: &str| add(found, rule, path, number, line);
        if server {
            for (library, homes) in HOMES {
                if names(code, library) && !homes.iter().any(|home| path.starts_with(home)) {
                    report("home");
                }
            }
            let spawns = ["tokio::spawn", "task::spawn", "thread::spawn"].iter().any(|s| code.contains(s));
            if spawns && path != "src/system/src/tasks.rs" && !is_test(path) {
                report("spawn");
            }
            if code.contains("\"nft\"") && !path.starts_with("src/net/") {
                report("home");
            }
        }
        if product && code.contains("unbounded") {
            report("unbounded");
        }
        let words = code.split('"').step_by(2).collect::<String>();
        if product && words.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|w| w == "unsafe") {
            report("unsafe");
        }
    }
}

/// What is started is on the list: the server's programs under its own uses, the others under any that the tests install.
/// The product starts no shell.
fn starts(path: &str, text: &str, found: &mut Findings) {
    const HARNESS: &str = "tests/src/programs.rs";
    let new = concat!("Command::", "new(");
    let tests_from = text.lines().position(|line| line == "mod tests {").unwrap_or(usize::MAX);
    for (number, line) in text.lines().enumerate() {
        let code = line.split("// ").next().unwrap_or("");
        if path.starts_with("tests/") && path != HARNESS && code.contains(new) {
            add(found, "program", path, number, "the harness starts programs: e2e::program");
        }
        let product = !path.starts_with("tests/") && !is_test(path) && number < tests_from;
        let most = if product { Use::Doctor } else { Use::Tests };
        for name in started(code) {
            if product && ["sh", "bash"].contains(&name) {
                add(found, "shell", path, number, line);
            }
            let listed = programs::find(name).is_some_and(|one| one.used <= most);
            if !listed && !name.starts_with("no-such-") {
                add(
                    found,
                    "program",
                    path,
                    number,
                    &format!("{name} is not in scripts/programs under a use that fits"),
                );
            }
        }
    }
}

/// The names of programs that a line of code starts, as it has them in quotes.
fn started(code: &str) -> Vec<&str> {
    let after = |kind: &str| code.split(&format!("{kind}::new(\"")).skip(1).collect::<Vec<_>>();
    [after("Command"), after("Program")].concat().into_iter().filter_map(|rest| rest.split('"').next()).collect()
}

/// With `pipefail` a reader that leaves before the end fails the whole pipe: its writer ends by SIGPIPE, now and then.
fn pipes(path: &str, text: &str, found: &mut Findings) {
    for (number, line) in text.lines().enumerate().filter(|(_, line)| leaves_early(line)) {
        add(found, "pipe", path, number, &format!("does not read to the end: {}", line.trim()));
    }
}

/// Whether a line of a shell script pipes into what stops reading once it has what it wants.
fn leaves_early(line: &str) -> bool {
    line.replace("||", "").split('|').skip(1).any(|part| {
        let mut words = part.split_whitespace();
        let quits = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.contains(['q', 'm']);
        match words.next() {
            Some("head") => true,
            Some("grep") => words.take_while(|word| word.starts_with('-')).any(quits),
            _ => false,
        }
    })
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/live.rs")
}

/// Whether a line of code names a library's path, as a word of its own.
fn names(code: &str, library: &str) -> bool {
    code.match_indices(&format!("{library}::"))
        .any(|(at, _)| !code.get(..at).unwrap_or("").ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Whether a manifest has the crate among its dependencies, of whatever kind.
fn depends_on(manifest: &str, name: &str) -> bool {
    let mut inside = false;
    manifest.lines().any(|line| {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        }
        let word = line.split(['.', ' ', '=']).next().unwrap_or("");
        inside && word == name
    })
}

fn add(found: &mut Findings, rule: &str, path: &str, number: usize, line: &str) {
    let at = format!("{path}:{}: {rule}: {}", number + 1, line.trim());
    found.entry((rule.to_owned(), path.to_owned())).or_default().push(at);
}

/// Against the ratchet: neither more nor less.
fn compare(found: &Findings) {
    let text = std::fs::read_to_string(repository().join(Path::new("tests/ratchet.txt"))).unwrap();
    let mut allowed = BTreeMap::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [rule, path, count] = words[..] else { panic!("tests/ratchet.txt: {line:?} is not RULE PATH COUNT") };
        allowed.insert((rule.to_owned(), path.to_owned()), count.parse::<usize>().unwrap());
    }
    let mut wrong = Vec::new();
    for (place, at) in found {
        if at.len() > allowed.get(place).copied().unwrap_or(0) {
            wrong.extend(at.iter().cloned());
        }
    }
    for ((rule, path), count) in &allowed {
        let now = found.get(&(rule.clone(), path.clone())).map_or(0, Vec::len);
        if now < *count {
            wrong.push(format!("tests/ratchet.txt: {rule} {path} is down to {now}: say so there"));
        }
    }
    assert!(wrong.is_empty(), "{} untidy places:\n{}", wrong.len(), wrong.join("\n"));
}
