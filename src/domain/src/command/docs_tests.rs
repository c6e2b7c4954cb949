//! `docs/commands.md` is what the table says today. `UPDATE_DOCS=1 cargo test -p domain commands_page` writes it anew.

use super::markdown;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");

#[test]
fn commands_page() {
    let want = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &want).unwrap();
    }
    let have = std::fs::read_to_string(PAGE).unwrap_or_default();
    let differs = have.lines().zip(want.lines()).position(|(have, want)| have != want);
    assert!(
        have == want,
        "docs/commands.md differs from the command table (line {}): UPDATE_DOCS=1 cargo test -p domain commands_page",
        differs.unwrap_or(have.lines().count().min(want.lines().count())) + 1
    );
}
