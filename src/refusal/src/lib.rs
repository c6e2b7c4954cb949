//! The one shape of "no": what happened, why, and what to type next.
//!
//! A refusal is something the user can act on; a fault (ours) lives in the server and carries an id instead.

mod code;
#[cfg(test)]
mod page;

pub use code::{CODES, Code, Row};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A refusal: the user can act on it. Rendered by [`Refusal::lines`], the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which "no" it is; stable, for scripts: `name-taken`, `no-such-app`.
    pub code: Code,
    /// One sentence: what was refused.
    pub what: String,
    /// The cause, where it is not in `what` already.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Commands or steps that help, most likely first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

impl Refusal {
    /// A refusal with its code and sentence; causes and next steps are added with the builders below.
    pub fn new(code: Code, what: impl Into<String>) -> Refusal {
        Refusal { code, what: what.into(), why: String::new(), next: Vec::new() }
    }

    /// Adds the cause.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Refusal {
        self.why = why.into();
        self
    }

    /// Adds one thing to type or do.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Refusal {
        self.next.push(step.into());
        self
    }

    /// The text shown to people: the sentence, the cause, the next steps; no trailing newline in any line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.what.clone()];
        lines.extend(self.why.lines().map(str::to_owned));
        for (i, step) in self.next.iter().enumerate() {
            lines.push(format!("{} {step}", if i == 0 { "next:" } else { "  or:" }));
        }
        lines
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Refusal {}
