//! Why there is no plan, in words that the pusher can act on.
//! Invariant: every refusal ends in what to do next, and text taken from the app is shortened and free of control bytes.
//! Absent: faults of the server; this crate has none.

pub use ::refusal::Code;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest piece of the app's own text that is quoted.
const QUOTE_MAX: usize = 120;

/// The app cannot be built as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which one; stable, for scripts and documentation.
    pub code: Code,
    /// What is refused.
    pub what: String,
    /// The reason.
    pub why: String,
    /// What to do, in order; never empty.
    pub next: Vec<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, what: impl Into<String>, why: impl Into<String>, next: &str) -> Refusal {
        Refusal { code, what: what.into(), why: why.into(), next: vec![next.into()] }
    }

    pub(crate) fn because(mut self, more: &str) -> Refusal {
        self.why = format!("{}; {more}", self.why);
        self
    }

    pub(crate) fn or(mut self, next: impl Into<String>) -> Refusal {
        self.next.push(next.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.why)?;
        self.next.iter().try_for_each(|next| write!(f, "\n-> {next}"))
    }
}

impl std::error::Error for Refusal {}

/// The app's own text as it may be shown: one line, no control characters, not too long.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTE_MAX).collect();
    if text.chars().nth(QUOTE_MAX).is_some() {
        shown.push('…');
    }
    shown
}
