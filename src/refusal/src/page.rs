//! docs/refusals.md is what the table says. `UPDATE_DOCS=1 cargo test -p refusal refusals_page` writes it anew.

use crate::CODES;
use std::fmt::Write;

fn markdown() -> String {
    let mut page = "# Refusals\n\n\
        Each \"no\" has a code that never changes its meaning, for scripts: `code` in what `--format json` prints, in the last\n\
        line of `builds:wait`, and in what a hook is given. The sentence, the cause and the next command come with it and may\n\
        be worded anew at any time. This page is written from the table in `src/refusal/src/code.rs`.\n"
        .to_owned();
    let mut group = "";
    for row in CODES {
        if row.group != group {
            group = row.group;
            write!(page, "\n## {group}\n\n| Code | What happened |\n|---|---|\n").unwrap();
        }
        writeln!(page, "| `{}` | {} |", row.word, row.meaning).unwrap();
    }
    page
}

#[test]
fn refusals_page() {
    // What cargo says now: the clone that this was compiled in may be gone.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let (page, want) = (format!("{here}/../../docs/refusals.md"), markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, &want).unwrap();
    }
    let have = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(have == want, "docs/refusals.md differs from the table: UPDATE_DOCS=1 cargo test -p refusal refusals_page");
}
