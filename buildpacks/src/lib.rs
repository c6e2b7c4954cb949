//! Files in, build plan out: which layers an app's image has, and the steps that make them.
//! Invariant: pure and total. No I/O, clock, randomness or process; any input gives a plan or a refusal, never a panic.
//! Absent: running a plan, Procfiles (crate `domain` parses them), Dockerfiles, and the name of any package registry's host.
//!
//! The shell calls [`ask`], brings the facts, calls [`plan`], and runs what it gets.

mod aptfile;
mod debian;
mod detect;
mod eject;
mod explain;
mod go;
mod json;
mod node;
mod plan;
mod python;
mod refusal;
mod shell;
mod static_site;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod usual;

pub use debian::{MIRROR, SECURITY, pythons};
pub use detect::{BUILDPACKS, buildpack_name};
pub use eject::{Ejected, describe, eject};
pub use explain::{Cause, explain};
pub use plan::*;
pub use refusal::Refusal;
pub use tree::{Entry, FILE_MAX, Kind, LOCK_MAX, Tree, reads};
pub use usual::{FETCHING, usual};

use detect::Buildpack;

/// The facts that [`plan`] will need; none if the pinned versions still fit.
pub fn ask(tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
    match detect::detect(tree, settings)? {
        Buildpack::Node | Buildpack::BuiltSite(_) => node::ask(tree, settings, pins),
        Buildpack::Python => python::ask(tree, settings, pins),
        Buildpack::Go => go::ask(tree, pins),
        Buildpack::Static | Buildpack::Shell => Ok(Vec::new()),
    }
}

/// The plan for this commit. Versions are those of `pins` while they fit, and the plan's own pins are to be stored.
pub fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    let mut plan = match detect::detect(tree, settings)? {
        Buildpack::Node => node::plan(tree, settings, pins, facts)?,
        Buildpack::BuiltSite(site) => static_site::plan_built(tree, settings, pins, facts, site)?,
        Buildpack::Static => static_site::plan(tree)?,
        Buildpack::Python => python::plan(tree, settings, pins, facts)?,
        Buildpack::Go => go::plan(tree, settings, pins, facts)?,
        Buildpack::Shell => shell::plan(tree)?,
    };
    aptfile::add(tree, settings, &mut plan)?;
    plan.warnings.extend(detect::warnings(tree));
    Ok(plan)
}
