//! What a language declares: one row holds everything that the rest of this crate, its messages and the documentation say of
//! it.
//! Invariant: what languages stand on names none of them, and what stands on languages has them from the table alone.
//! Absent: the table itself, which stands above the languages.

use crate::cause::{Cause, Known};
use crate::facts::{Facts, Question};
use crate::locking::Locking;
use crate::plan::{Pins, Plan, Settings};
use crate::refusal::Refusal;
use crate::tree::Tree;

/// One way to build an app.
pub(crate) struct Language {
    /// What an app's buildpack setting calls it.
    pub(crate) name: &'static str,
    /// Other words for it there.
    pub(crate) aliases: &'static [&'static str],
    /// The files that it is looked for by, as they are told to who has none of them.
    pub(crate) signs: &'static [&'static str],
    /// What such a person may add: `a package.json (Node.js)`.
    pub(crate) add: &'static str,
    /// The other files that it looks at.
    pub(crate) looks: &'static [Look],
    /// How surely these files are an app of it.
    pub(crate) claim: fn(&Tree) -> Result<Claim, Refusal>,
    /// What its plan has to know, less what the pins know already.
    pub(crate) ask: fn(&Tree, &Settings, &Pins) -> Result<Vec<Question>, Refusal>,
    /// The plan, once that is known.
    pub(crate) plan: fn(&Tree, &Settings, &Pins, &Facts) -> Result<Plan, Refusal>,
    /// How its lock file is made for a commit that has none, where that can be done.
    pub(crate) lock: Option<Locking>,
    /// What its tools print when they fail.
    pub(crate) causes: &'static [Known],
    /// The same, where a text alone does not tell: by the step's title and its last lines.
    pub(crate) explain: fn(&str, &[&str]) -> Option<Cause>,
    /// Path and content of the files of an app that asks for nothing in particular: what its plan fetches for every app is
    /// what the next one will most likely need. Empty: it fetches nothing.
    pub(crate) usual: &'static [(&'static str, &'static str)],
}

/// All languages, and those that are announced.
pub(crate) struct Languages {
    /// In the order in which people are told of them.
    pub(crate) rows: &'static [&'static Language],
    /// A file that says of what language an app is, for which there is no row yet, and what such apps are called.
    pub(crate) announced: &'static [(&'static str, &'static str)],
}

/// How surely a commit is an app of a language. The surest claim wins, of equal ones that of the earlier row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// It is none.
    None,
    /// It has commands, which need no language.
    Commands,
    /// It has files of this language that apps of others have for their tools.
    Tools,
    /// It can be built, or shown, in this language.
    Possible,
    /// It has files that most apps of this language have, and few others.
    Likely,
    /// It has a file that no other has.
    Sure,
    /// It says how its server is started in this language.
    Starts,
}

/// Files that a plan looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look {
    /// Whether this one is there, in the app's folder.
    There(&'static str),
    /// What is in this one, in the app's folder, up to this many bytes.
    Into(&'static str, u64),
    /// What is in each one of such a path, up to this many bytes.
    IntoEach(fn(&str) -> bool, u64),
}

impl Look {
    /// Whether the content of this file is needed.
    pub(crate) fn reads(&self, path: &str, size: u64) -> bool {
        match self {
            Look::There(_) => false,
            Look::Into(name, max) => path == *name && size <= *max,
            Look::IntoEach(fits, max) => size <= *max && fits(path),
        }
    }

    /// The name that it looks for.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Look::There(name) | Look::Into(name, _) => Some(name),
            Look::IntoEach(..) => None,
        }
    }
}

/// For a language whose plan needs no facts.
pub(crate) fn nothing_to_ask(_: &Tree, _: &Settings, _: &Pins) -> Result<Vec<Question>, Refusal> {
    Ok(Vec::new())
}

/// For a language whose tools say in plain texts why they failed.
pub(crate) fn nothing_to_explain(_: &str, _: &[&str]) -> Option<Cause> {
    None
}
