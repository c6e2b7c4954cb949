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

    /// With the name of the app at hand where a step or the cause says APP, so that it works as typed; a usage line stays.
    #[must_use]
    pub fn for_app(mut self, app: &str) -> Refusal {
        if !self.why.starts_with("usage: ") {
            self.why = name_app(&self.why, app);
        }
        for step in &mut self.next {
            *step = name_app(step, app);
        }
        self
    }

    /// The text shown to people: the sentence, the cause, the next steps; no trailing newline in any line.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.what.clone()];
        lines.extend(self.why.lines().map(str::to_owned));
        for (i, step) in self.next.iter().enumerate() {
            // A step that says so itself is not told "or: or".
            let step = step.strip_prefix("or ").unwrap_or(step);
            lines.push(format!("{} {step}", if i == 0 { "next:" } else { "  or:" }));
        }
        lines
    }
}

/// A line with the word APP replaced; a part of a longer word (`HOIST_APP_NAME`, `ssh://HOST/APP`) stays.
fn name_app(line: &str, app: &str) -> String {
    let named = |word: &str| match word.strip_prefix("APP") {
        Some(rest) if rest.chars().all(|c| matches!(c, ',' | '.' | ')' | ';' | ':' | '`')) => format!("{app}{rest}"),
        Some(_) | None => word.to_owned(),
    };
    line.split(' ').map(named).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_or_is_said_once() {
        let no = Refusal::new(Code::Usage, "no").next("do this").next("or do that").next("order it");
        assert_eq!(no.lines()[1..], ["next: do this", "  or: do that", "  or: order it"]);
    }

    #[test]
    fn steps_name_the_app_at_hand() {
        for (step, want) in [
            ("apps:set APP root=web", "apps:set shop root=web"),
            ("set it: config:set APP NPM_TOKEN=…", "set it: config:set shop NPM_TOKEN=…"),
            ("config:set APP \"NAME='a value'\"", "config:set shop \"NAME='a value'\""),
            ("take it away (apps:set APP), or `ps APP`", "take it away (apps:set shop), or `ps shop`"),
            ("HOIST_APP_NAME and ssh://HOST:PORT/APP", "HOIST_APP_NAME and ssh://HOST:PORT/APP"),
            ("APPLE APP=1 APP", "APPLE APP=1 shop"),
        ] {
            assert_eq!(Refusal::new(Code::Usage, "x").next(step).for_app("shop").next, [want]);
        }
    }
}
