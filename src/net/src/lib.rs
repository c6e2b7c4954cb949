//! The host's network as far as it is ours: the installation's share of addresses, and its firewall table.
//!
//! Invariant: nothing that belongs to another installation, or to nobody of ours, is changed. Absent: bridges (the engine
//! makes them), and every decision on which address is whose (`domain::addresses`).

mod builder_net;
mod firewall;
#[allow(clippy::module_inception, reason = "the noun of this folder")]
mod net;
mod nft;
mod rules;
mod share;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests run programs of their own")]
mod live;

pub use builder_net::BuilderNet;
pub use firewall::{Ensured, Firewall};
pub use net::Net;
pub use rules::{Policy, render};
pub use share::{Claim, Claimer, HOST_FOLDER, claim, claim_another, release};

use domain::addresses::{Route, parse_resolvers, parse_routes};
use std::net::IpAddr;
use std::path::Path;
use system::fault::{Act, Fault};

const ROUTES: &str = "/proc/net/route";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where the real servers stand when `RESOLV_CONF` names only systemd's own stub; Docker looks there too.
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The routes of this host.
pub fn routes() -> Result<Vec<Route>, Fault> {
    Ok(parse_routes(&std::fs::read_to_string(ROUTES).act(|| format!("cannot read {ROUTES}"))?))
}

/// The name servers that instances ask: those of this host that are not on its loopback.
pub fn resolvers() -> Result<Vec<IpAddr>, Fault> {
    let mut servers =
        parse_resolvers(&std::fs::read_to_string(RESOLV_CONF).act(|| format!("cannot read {RESOLV_CONF}"))?);
    if servers.iter().all(IpAddr::is_loopback) && Path::new(BEHIND_STUB).exists() {
        let text = std::fs::read_to_string(BEHIND_STUB).act(|| format!("cannot read {BEHIND_STUB}"))?;
        servers.extend(parse_resolvers(&text));
    }
    servers.retain(|server| !server.is_loopback());
    Ok(servers)
}
