//! Files in, build plan out: which layers an app's image has, and the steps that make them.
//! Invariant: pure and total. No I/O, clock, randomness or process; any input gives a plan or a refusal, never a panic.
//! Absent: running a plan, Procfiles (crate `domain` parses them), Dockerfiles, and the name of any package registry's host.
//!
//! The shell calls [`ask`], brings the facts, calls [`plan`], and runs what it gets.

mod aptfile;
mod cause;
mod debian;
mod defaults;
mod detect;
mod eject;
mod explain;
mod facts;
mod go;
mod json;
mod language;
#[cfg(test)]
mod language_tests;
mod languages;
mod locking;
mod node;
mod plan;
mod procfile;
mod python;
mod refusal;
pub mod scripts;
mod static_site;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod usual;

pub use cause::Cause;
pub use debian::{MIRROR, SECURITY};
pub use eject::{Ejected, describe, eject};
pub use facts::{Facts, Question};
pub use languages::{BUILDPACKS, FETCHING};
pub use locking::{Known, LOCKED, Unlocked};
pub use plan::*;
pub use refusal::Refusal;
pub use text::as_utf8;
pub use tree::{Entry, FILE_MAX, Kind, LOCK_MAX, Tree};

use language::Languages;
use languages::LANGUAGES;

/// A buildpack's own name for what may be typed for it.
pub fn buildpack_name(text: &str) -> Option<&'static str> {
    LANGUAGES.name(text.trim())
}

/// Whether the shell must load the content of this file before it asks for a plan.
pub fn reads(path: &str, size: u64) -> bool {
    LANGUAGES.reads(path, size)
}

/// The facts that [`plan`] will need; none if the pinned versions still fit.
pub fn ask(tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
    LANGUAGES.ask(tree, settings, pins)
}

/// The plan for this commit. Versions are those of `pins` while they fit, and the plan's own pins are to be stored.
pub fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    LANGUAGES.plan(tree, settings, pins, facts)
}

/// What the commit lacks, where it names dependencies and has no lock file.
pub fn unlocked(tree: &Tree, settings: &Settings) -> Result<Option<Unlocked>, Refusal> {
    match &LANGUAGES.choose(tree, settings)?.lock {
        Some(lock) => (lock.unlocked)(tree),
        None => Ok(None),
    }
}

/// The layers that make the lock file of a commit that is [`unlocked`]: the last one leaves it in [`LOCKED`].
pub fn locking(tree: &Tree, known: Known<'_>) -> Result<Vec<Layer>, Refusal> {
    match &LANGUAGES.choose(tree, known.settings)?.lock {
        Some(lock) => (lock.layers)(tree, known),
        None => Ok(Vec::new()),
    }
}

/// The files of a usual app, for one of [`FETCHING`].
pub fn usual(buildpack: &str) -> Option<Tree> {
    LANGUAGES.usual(buildpack)
}

/// The likely cause of a step's failure, from the last lines it printed.
pub fn explain(step: &str, lines: &[&str]) -> Option<Cause> {
    LANGUAGES.explain(step, lines)
}

impl Languages {
    fn ask(&self, tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
        (self.choose(tree, settings)?.ask)(tree, settings, pins)
    }

    fn plan(&self, tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
        let mut plan = (self.choose(tree, settings)?.plan)(tree, settings, pins, facts)?;
        aptfile::add(tree, settings, &mut plan)?;
        plan.warnings.extend(self.warnings(tree));
        Ok(plan)
    }
}
