//! Findings about the ways in and out: firewall, ports, router, names.

use super::finding::{Finding, Firewall, listed};
use crate::hosting::BY_ADDRESS;
use std::net::IpAddr;

/// A port where users arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `ssh` or `http`.
    pub what: &'static str,
    /// The port.
    pub port: u16,
    /// Who listens there, as `NAME (PID)`; empty: nobody.
    pub holders: Vec<String>,
    /// One of them is ours.
    pub ours: bool,
}

/// The router that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    /// Its process.
    pub pid: u32,
    /// The user it runs as; `None` where that cannot be seen.
    pub user: Option<String>,
    /// The table that it serves.
    pub generation: u64,
    /// That table is the newest.
    pub current: bool,
}

/// What the name service says of a name: addresses, or why none.
pub type Dns = Result<Vec<IpAddr>, String>;

/// The base domain in the name service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The base domain.
    pub base: String,
    /// What it resolves to.
    pub itself: Dns,
    /// What a name below it resolves to.
    pub below: Dns,
    /// Those of all these addresses that are this machine's.
    pub ours: Vec<IpAddr>,
}

/// Without the program there is no way to see the table, and none to make it.
pub(super) fn firewall(seen: Firewall, missing: bool) -> Vec<Finding> {
    let table = match (seen.holds, missing) {
        (true, _) => Finding::ok("firewall", "our nftables table, with our rules"),
        (false, false) => Finding::bad(
            "firewall",
            "our table is not there, or not as it should be: apps and builds are not walled off",
            "wait 10 s, the server puts it back; then look at its log (journalctl -u hoist)",
        ),
        (false, true) => Finding::bad(
            "firewall",
            "nothing can be seen of our table: apps and builds are perhaps not walled off",
            "install nft, as above; within 10 s the server makes the table",
        ),
    };
    let check = "bridges";
    let bridges = match seen.bridges_call {
        Some(true) => Finding::ok(check, "bridge traffic passes the firewall"),
        Some(false) => Finding::bad(
            check,
            "bridge traffic bypasses the firewall: builds reach each other",
            "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        ),
        None => Finding::bad(
            check,
            "the module br_netfilter is not loaded: builds reach each other",
            "modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1",
        ),
    };
    vec![table, bridges]
}

pub(super) fn listener(seen: &Listener) -> Finding {
    let holders = seen.holders.join(", ");
    if seen.ours {
        return Finding::ok(seen.what, format!("port {}, {holders}", seen.port));
    }
    if seen.holders.is_empty() {
        let fix = match seen.what {
            "http" => "systemctl restart hoist-router.socket hoist-router (by hand: hoist router --config FILE)",
            _ => "systemctl restart hoist (by hand: end hoist serve and start it again)",
        };
        return Finding::bad(seen.what, format!("nothing listens on port {}", seen.port), fix);
    }
    let fix = format!("end it, or give Hoist another port: install.sh --{}-port N", seen.what);
    Finding::bad(seen.what, format!("port {} belongs to {holders}", seen.port), fix)
}

pub(super) fn router(seen: Option<&Router>, starts_here: bool) -> Finding {
    let Some(seen) = seen else {
        let fix = match starts_here {
            true => "wait some seconds, the server starts it again; then look at logs/router.log in the data folder",
            false => {
                "systemctl start hoist-router (by hand: hoist router --config FILE); its log: journalctl -u hoist-router"
            }
        };
        return Finding::bad("router", "none answers: apps are not reached", fix);
    };
    let user = seen.user.as_deref().unwrap_or("an unknown user");
    let what = format!("process {} as {user}, table {}", seen.pid, seen.generation);
    if !seen.current {
        return Finding::bad(
            "router",
            format!("{what} is behind what was published"),
            "doctor again in 10 s; if it stays, look at the server's log (journalctl -u hoist)",
        );
    }
    if seen.user.as_deref() == Some("root") {
        let add = "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin hoist-router";
        let fix = format!("{add}; then end the router (kill {}): the next one is that user", seen.pid);
        return Finding::warn("router", format!("{what}: it needs no rights of root"), fix);
    }
    Finding::ok("router", what)
}

pub(super) fn names(seen: &Names) -> Vec<Finding> {
    let one = |check, name: &str, dns: &Dns| match dns {
        Err(why) if seen.base.ends_with(BY_ADDRESS) => {
            let fix = format!("look at /etc/resolv.conf; or domains:set-base NAME, if {BY_ADDRESS} cannot be reached");
            Finding::warn(
                check,
                format!("{name} does not resolve here, as all names of {BY_ADDRESS} should: {why}"),
                fix,
            )
        }
        Err(why) => {
            let fix = format!("make an A record of {name} that points here, or domains:set-base another name");
            Finding::bad(check, format!("{name} does not resolve: {why}"), fix)
        }
        Ok(ips) if ips.iter().any(|ip| seen.ours.contains(ip)) => {
            Finding::ok(check, format!("{name} is {}", listed(ips)))
        }
        Ok(ips) => {
            let fix = format!("point {name} here; right as it is if this machine is behind an address translation");
            Finding::warn(check, format!("{name} is {}, no address of this machine", listed(ips)), fix)
        }
    };
    vec![one("domain", &seen.base, &seen.itself), one("wildcard", &format!("*.{}", seen.base), &seen.below)]
}
