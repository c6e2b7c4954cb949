//! Files in, build plan out: which layers an app's image has, and the steps that make them.
//! Invariant: pure and total. No I/O, clock, randomness or process; any input gives a plan or a refusal, never a panic.
//! Absent: running a plan, Procfiles (crate `domain` parses them), Dockerfiles, and the name of any package registry's host.
//!
//! The shell calls [`ask`], brings the facts, calls [`plan`], and runs what it gets.

mod plan;
mod refusal;
mod tree;

pub use plan::*;
pub use refusal::Refusal;
pub use tree::{Entry, FILE_MAX, Kind, LOCK_MAX, Tree, reads};

/// The facts that [`plan`] will need; none if the pinned versions still fit.
pub fn ask(_tree: &Tree, _settings: &Settings, _pins: &Pins) -> Result<Vec<Question>, Refusal> {
    Ok(Vec::new())
}

/// The plan for this commit.
pub fn plan(_tree: &Tree, _settings: &Settings, _pins: &Pins, _facts: &Facts) -> Result<Plan, Refusal> {
    Err(Refusal::new("nothing-to-build", "no buildpack yet", "this version plans nothing", "wait for the next one"))
}
