//! Every verb, typed by those who may and by those who may not, as text and as JSON; and that none is left out.

mod apps;
mod config;
mod domains;
mod json;
mod people;
mod processes;
mod server;
mod shop;

/// Verbs that no test here types, and why.
const ELSEWHERE: [(&str, &str); 4] = [
    ("git-receive-pack", "git speaks it; tests/tests/e2e pushes with the real git"),
    ("git-upload-pack", "git speaks it; tests/tests/e2e clones with the real git"),
    ("git-lfs-authenticate", "git-lfs asks it; tests/tests/e2e has its answers"),
    ("doctor", "tells of the machine that it runs on; domain::doctor has the cases"),
];

#[test]
fn every_verb_is_typed_here() {
    let files = [
        include_str!("apps.rs"),
        include_str!("config.rs"),
        include_str!("domains.rs"),
        include_str!("people.rs"),
        include_str!("processes.rs"),
        include_str!("server.rs"),
    ];
    for spec in verbs::TABLE {
        let elsewhere = ELSEWHERE.iter().any(|(name, _)| *name == spec.name);
        let typed = [format!("$ {}\n", spec.name), format!("$ {} ", spec.name)];
        let here = files.iter().any(|text| typed.iter().any(|line| text.contains(line)));
        assert_eq!(here, !elsewhere, "{}", spec.name);
    }
}
