//! One finding, and the facts that findings of several kinds are made of.

use crate::floors::Part;
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It will hurt one day, or cannot be seen from here.
    Warn,
    /// It hurts now.
    Bad,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Bad => "bad",
        })
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What to type or do; empty where it is ok.
    pub fix: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Finding {
        Finding { check, state: State::Ok, seen: seen.into(), fix: String::new() }
    }
    pub(super) fn warn(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, state: State::Warn, seen: seen.into(), fix: fix.into() }
    }
    pub(super) fn bad(check: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, state: State::Bad, seen: seen.into(), fix: fix.into() }
    }
}

/// Docker, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// `20.10.24+dfsg1`.
    pub version: String,
    /// The API version agreed on.
    pub api: String,
    /// Running instances survive its death.
    pub live_restore: bool,
    /// `overlay2`, `overlayfs`, `vfs`.
    pub store: String,
    /// What it consists of, with versions.
    pub parts: Vec<(Part, String)>,
}

/// The builder of Dockerfiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// Its root is there.
    pub installed: bool,
    /// What it consists of, with versions; `None`: it does not run now.
    pub parts: Option<Vec<(Part, String)>>,
    /// One below a floor builds all the same.
    pub old_allowed: bool,
}

/// The firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firewall {
    /// Our table is there with our rules.
    pub holds: bool,
    /// Bridges call the firewall; `None`: this kernel does not say.
    pub bridges_call: Option<bool>,
}

/// Some addresses in words.
pub(super) fn listed(ips: &[IpAddr]) -> String {
    ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
