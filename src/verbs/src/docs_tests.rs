//! `docs/commands.md` is what the table says today. `UPDATE_DOCS=1 cargo test -p verbs commands_page` writes it anew.

use super::markdown;

#[test]
fn commands_page() {
    // What cargo says now: the clone that this was compiled in may be gone.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let (page, want) = (format!("{here}/../../docs/commands.md"), markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &want).unwrap();
    }
    let have = std::fs::read_to_string(&page).unwrap_or_default();
    let differs = have.lines().zip(want.lines()).position(|(have, want)| have != want);
    assert!(
        have == want,
        "docs/commands.md differs from the command table (line {}): UPDATE_DOCS=1 cargo test -p verbs commands_page",
        differs.unwrap_or(have.lines().count().min(want.lines().count())) + 1
    );
}
