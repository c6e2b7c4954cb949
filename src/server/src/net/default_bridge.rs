//! Closes the engine's default bridge to a Dockerfile's build while one runs: the engine's builder puts its steps there and
//! takes no other network. What is closed is what other builds do not reach either.
//!
//! Known by its address is everybody else: instances of other people on that bridge are looked at again and again, and
//! keep all they could do. An address that belongs to none of them is a build's. One that was started a moment ago is taken
//! for a build until the next look, a quarter of a second later: closed by mistake for that long rather than open.
//! Invariant: the table is there only while a build runs; the lock of such builds is held by whoever makes it.

use super::net::Net;
use super::nft::nft;
use super::rules::{CLOSED_TO_ALL_V6, CLOSED_TO_BUILDS, Policy, list, resolver_rules};
use crate::engine::{Engine, Neighbours};
use crate::fault::{Error, Result};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::sleep;

/// One for the host: one such build runs at a time.
const TABLE: &str = "hoist_dockerfile";
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The closed bridge. Whoever has it opens it again: [`open_default_bridge`].
#[derive(Debug)]
pub struct BridgeGuard {
    bridge: Option<String>,
    known: BTreeSet<IpAddr>,
}

impl Net {
    /// Closes the default bridge to builds. Where the engine has none, builds have no network at all.
    pub async fn guard_default_bridge(&self, engine: &dyn Engine) -> Result<BridgeGuard> {
        let Neighbours { bridge, addresses } = engine.neighbours().await?;
        if let Some(bridge) = &bridge {
            nft(&["-f", "-"], &rules(bridge, self.policy(), &addresses)).await?;
        }
        Ok(BridgeGuard { bridge, known: addresses })
    }
}

impl BridgeGuard {
    /// Keeps the list of the others; ends only when it cannot be kept.
    pub async fn keep(&self, engine: &dyn Engine) -> Error {
        let mut known = self.known.clone();
        loop {
            sleep(LOOK_EVERY).await;
            // Docker is away: nobody new starts, and no step either.
            let Ok(Neighbours { addresses, .. }) = engine.neighbours().await else { continue };
            if addresses == known || self.bridge.is_none() {
                continue;
            }
            if let Err(err) = nft(&["-f", "-"], &change(&addresses)).await {
                return err;
            }
            known = addresses;
        }
    }
}

/// Removes what a build that ended left; nothing there is fine.
pub async fn open_default_bridge() -> Result<()> {
    nft(&["-f", "-"], &format!("table inet {TABLE}\ndelete table inet {TABLE}\n")).await.map(drop)
}

/// The sets of the others, by family, and their elements; none for an empty one.
fn sets(known: &BTreeSet<IpAddr>) -> [(&'static str, &'static str, String); 2] {
    let of = |v4: bool| {
        let some = known.iter().filter(|address| address.is_ipv4() == v4);
        some.map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
    };
    [("others", "ipv4_addr", of(true)), ("others6", "ipv6_addr", of(false))]
}

fn change(known: &BTreeSet<IpAddr>) -> String {
    let mut text = String::new();
    for (name, _, elements) in sets(known) {
        text += &format!("flush set inet {TABLE} {name}\n");
        if !elements.is_empty() {
            text += &format!("add element inet {TABLE} {name} {{ {elements} }}\n");
        }
    }
    text
}

/// The table, replaced as a whole.
fn rules(bridge: &str, policy: &Policy, known: &BTreeSet<IpAddr>) -> String {
    let resolver = resolver_rules(&policy.resolvers);
    let mirrors = list("ip daddr", policy.builds_may_reach.iter(), "accept");
    let (pool, bridge) = (policy.pool, bridge.replace(['"', '\\', '\n'], ""));
    let mut others = String::new();
    for (name, kind, elements) in sets(known) {
        let elements = if elements.is_empty() { String::new() } else { format!("    elements = {{ {elements} }}\n") };
        others += &format!("  set {name} {{\n    type {kind}\n{elements}  }}\n");
    }
    format!(
        r#"table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
{others}  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname "{bridge}" meta nfproto ipv4 ip saddr != @others jump to_host
    iifname "{bridge}" meta nfproto ipv6 ip6 saddr != @others6 jump to_host
  }}
  chain to_host {{
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
{resolver}    drop
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname "{bridge}" meta nfproto ipv4 ip saddr != @others jump leaving
    iifname "{bridge}" meta nfproto ipv6 ip6 saddr != @others6 jump leaving
  }}
  chain leaving {{
    ct state established,related accept
{resolver}    ct status dnat drop
    ip6 daddr {{ {CLOSED_TO_ALL_V6} }} drop
    ip daddr {pool} drop
{mirrors}    ip daddr {{ {CLOSED_TO_BUILDS} }} drop
  }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let policy = Policy {
            install: "abcd".parse().unwrap(),
            pool: "10.208.0.0/12".parse().unwrap(),
            shares: Vec::new(),
            resolvers: vec!["10.255.255.53".parse().unwrap()],
            builds_may_reach: Vec::new(),
        };
        let known: BTreeSet<IpAddr> =
            ["172.17.0.2".parse().unwrap(), "172.17.0.3".parse().unwrap(), "fd00::2".parse().unwrap()].into();
        let text = rules("docker0", &policy, &known);
        assert!(text.contains("elements = { 172.17.0.2, 172.17.0.3 }"), "{text}");
        assert!(text.contains("iifname \"docker0\" meta nfproto ipv4 ip saddr != @others jump to_host"), "{text}");
        assert!(!rules("docker0", &policy, &BTreeSet::new()).contains("elements"));
        assert!(text.contains("type ipv6_addr\n    elements = { fd00::2 }"), "{text}");
        let nobody = "flush set inet hoist_dockerfile others\nflush set inet hoist_dockerfile others6\n";
        assert_eq!(change(&BTreeSet::new()), nobody);
        let some = "others { 172.17.0.2, 172.17.0.3 }\nflush set inet hoist_dockerfile others6\nadd element inet hoist_dockerfile others6 { fd00::2 }\n";
        assert!(change(&known).ends_with(some));
    }
}
