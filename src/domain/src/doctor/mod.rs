//! What `doctor` finds: facts about the machine in, findings with what to type out. Pure: the probes are the server's.
//!
//! Three states: `ok`; `warn`, what will hurt one day, or cannot be seen from here; `bad`, what hurts now. Every finding
//! that is not ok names its fix.

mod engine;
mod finding;
mod machine;
mod net;

#[cfg(test)]
mod tests;

use crate::programs::Program;

pub use finding::{Builder, Docker, Finding, Firewall, State};
pub use machine::{Clock, Disk, Folder, Waiting};
pub use net::{Dns, Listener, Names, Router};

/// What was seen of the machine and the installation.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Docker, or why it cannot be asked.
    pub docker: Result<Docker, String>,
    /// git's version; `None`: it does not say.
    pub git: Option<(u32, u32)>,
    /// The programs that the server starts, and whether each is installed.
    pub programs: Vec<(Program, bool)>,
    /// The firewall.
    pub firewall: Firewall,
    /// Where users arrive: SSH, HTTP.
    pub listeners: Vec<Listener>,
    /// The router; `None`: none answers.
    pub router: Option<Router>,
    /// The server starts the router by itself.
    pub router_is_ours: bool,
    /// The base domain in the name service; `None`: it needs none.
    pub names: Option<Names>,
    /// Each stack and whether it is there.
    pub stacks: Vec<(String, bool)>,
    /// The builder of Dockerfiles.
    pub builder: Builder,
    /// File systems that we fill.
    pub disks: Vec<Disk>,
    /// Folders that only their owner may enter.
    pub folders: Vec<Folder>,
    /// The clock.
    pub clock: Clock,
    /// Deploys that are not over.
    pub queue: Vec<Waiting>,
    /// Seconds without a step after which a deploy is stuck.
    pub step_max: u64,
}

/// Every finding, in a fixed order.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = engine::docker(&facts.docker);
    let missing = |name| facts.programs.iter().any(|(one, there)| one.name == name && !there);
    found.extend(machine::programs(&facts.programs));
    // Of one that is missing there is nothing more to say.
    found.extend(if missing("git") { None } else { Some(engine::git(facts.git)) });
    found.extend(net::firewall(facts.firewall, missing("nft")));
    found.extend(facts.listeners.iter().map(net::listener));
    found.push(net::router(facts.router.as_ref(), facts.router_is_ours));
    found.extend(facts.names.iter().flat_map(net::names));
    found.extend(facts.stacks.iter().map(|(name, there)| engine::stack(name, *there)));
    found.extend(engine::builder(&facts.builder));
    found.extend(facts.disks.iter().map(machine::disk));
    found.extend(facts.folders.iter().map(machine::folder));
    found.push(machine::clock(&facts.clock));
    found.push(machine::queue(&facts.queue, facts.step_max));
    found
}
