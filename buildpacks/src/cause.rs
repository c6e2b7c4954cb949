//! What tools print when a step fails, why that is, and what to do.
//! Invariant: only what a tool prints in so many words is taken for a cause.
//! Absent: which tools; each language brings the lines of its own.

use crate::refusal::quote;

/// A likely cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The reason.
    pub why: String,
    /// What to do, in order; never empty.
    pub next: Vec<String>,
}

/// What a line holds, why that is, what to do. `%` in the last two is the word after the text.
pub(crate) type Known = (&'static str, &'static str, &'static [&'static str]);

/// The first of these that any line holds.
pub(crate) fn find<'k>(known: impl IntoIterator<Item = &'k Known>, lines: &[&str]) -> Option<Cause> {
    known.into_iter().find_map(|(text, why, next)| {
        let rest = lines.iter().find_map(|line| line.split_once(text).map(|(_, rest)| rest))?;
        // A compiler says this of the app's own files too.
        if *text == "fatal error: " && !rest.contains("No such file or directory") {
            return None;
        }
        let word = rest.split_whitespace().next().unwrap_or("").trim_matches(['\'', '"', '`', ':', ';', ',', ')']);
        let fill = |text: &str| text.replace('%', &quote(word));
        Some(Cause { why: fill(why), next: next.iter().map(|next| fill(next)).collect() })
    })
}
