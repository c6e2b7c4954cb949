//! The firewall's rules as text for `nft`. Pure: the same policy gives the same text.
//!
//! What instances may do: the host, nothing but answers and, for apps, the ports that an operator opens; builds, the internet and the resolver; apps, the internet, their
//! own network and the resolver. Nothing new comes in to them except from the host itself (the router). A drop is final,
//! whatever Docker's own chains say; an accept here only ends this table. What a build asks for in vain is refused, so that
//! the step fails at once with its reason and not after the client's patience.

use domain::InstallId;
use domain::addresses::{BUILDS, CLOSED_TO_BUILDS, Subnet, bridge_name, bridge_prefix, networks};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// IPv6: loopback, unique local, link-local, multicast, and IPv4 in disguise.
const CLOSED_TO_ALL_V6: &str = "::/96, ::ffff:0:0/96, 64:ff9b::/96, fc00::/7, fe80::/10, ff00::/8";
/// Where clouds keep a machine's secrets, and what is no host's address.
const CLOSED_TO_APPS: &str = "0.0.0.0/8, 100.100.100.200, 127.0.0.0/8, 169.254.0.0/16, 192.0.0.192, 224.0.0.0/3";

/// What the rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whose rules they are.
    pub install: InstallId,
    /// The pool of all installations on this host.
    pub pool: Subnet,
    /// The shares of this one: their bridges are known by number.
    pub shares: Vec<Subnet>,
    /// The name servers that instances ask.
    pub resolvers: Vec<IpAddr>,
    /// Private ranges that builds may reach all the same: a company's package mirror.
    pub builds_may_reach: Vec<Subnet>,
    /// TCP ports of this host that apps may reach, builds not: a database that runs on it.
    pub host_services: Vec<u16>,
}

/// The table's name.
pub fn table(install: &InstallId) -> String {
    format!("hoist_{install}")
}

/// The rules, without the mark that tells which they are.
pub fn render(policy: &Policy) -> String {
    let bridges = bridge_prefix(&policy.install);
    let builds = bridge_name(&policy.install, BUILDS);
    let resolver = resolver_rules(&policy.resolvers);
    let services = service_rule(&builds, &policy.host_services);
    let mirrors = list("ip daddr", policy.builds_may_reach.iter(), "accept");
    let closed = CLOSED_TO_BUILDS.map(|(network, prefix)| Subnet::of(network, prefix).to_string()).join(", ");
    let (pool, same) = (policy.pool, same_bridge(policy));
    format!(
        r#"  set same_bridge {{
    type ifname . ifname
    elements = {{ {same} }}
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname "{bridges}*" jump to_host
  }}
  chain to_host {{
    ct state established,related accept
{resolver}{services}    reject
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname "{bridges}*" goto leaving
    oifname "{bridges}*" goto entering
  }}
  chain leaving {{
    ct state established,related accept
{resolver}    ct status dnat drop
    ip6 daddr {{ {CLOSED_TO_ALL_V6} }} drop
    iifname "{builds}" goto from_builds
    iifname . oifname @same_bridge accept
    ip daddr {pool} drop
    ip daddr {{ {CLOSED_TO_APPS} }} drop
    oifname "{bridges}*" drop
    accept
  }}
  chain from_builds {{
    ip daddr {pool} reject
{mirrors}    ip daddr {{ {closed} }} reject
    oifname "{bridges}*" drop
    accept
  }}
  chain entering {{
    ct state established,related accept
    drop
  }}
"#
    )
}

/// The text that replaces the table as a whole, in one transaction.
pub(super) fn replacement(install: &InstallId, rules: &str, mark: &str) -> String {
    let table = table(install);
    format!(
        "table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n  chain identity {{\n    return comment \"{mark}\"\n  }}\n{rules}}}\n"
    )
}

/// Pairs of an app's bridge with itself: what its members say to each other passes here too, where bridges call the
/// firewall (`bridge-nf-call-iptables`). All that there can be, so that a new app needs no new rules. Not the builds'.
fn same_bridge(policy: &Policy) -> String {
    let mut pairs = String::new();
    for n in BUILDS + 1..networks(&policy.shares) {
        let bridge = bridge_name(&policy.install, n);
        let comma = if pairs.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(pairs, "{comma}\"{bridge}\" . \"{bridge}\"");
    }
    pairs
}

fn resolver_rules(resolvers: &[IpAddr]) -> String {
    let mut rules = String::new();
    for transport in ["udp", "tcp"] {
        let v4 = resolvers.iter().filter(|address| address.is_ipv4());
        rules += &list("ip daddr", v4, &format!("{transport} dport 53 accept"));
        let v6 = resolvers.iter().filter(|address| address.is_ipv6());
        rules += &list("ip6 daddr", v6, &format!("{transport} dport 53 accept"));
    }
    rules
}

/// Opens ports of the host to apps. By port alone: whichever of the host's addresses an app uses, the service behind it is
/// the same. What is published by Docker for a container elsewhere is forwarded, not delivered here, and stays closed.
fn service_rule(builds: &str, ports: &[u16]) -> String {
    let ports: Vec<String> = BTreeSet::from_iter(ports).into_iter().map(u16::to_string).collect();
    match ports.is_empty() {
        true => String::new(),
        false => format!("    iifname != \"{builds}\" tcp dport {{ {} }} accept\n", ports.join(", ")),
    }
}

/// A rule for a list of addresses; none for an empty list.
fn list(key: &str, addresses: impl Iterator<Item = impl ToString>, verdict: &str) -> String {
    let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
    match addresses.is_empty() {
        true => String::new(),
        false => format!("    {key} {{ {} }} {verdict}\n", addresses.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let policy = Policy {
            install: "abcd".parse().unwrap(),
            pool: "10.208.0.0/12".parse().unwrap(),
            shares: vec!["10.208.64.0/18".parse().unwrap()],
            resolvers: vec!["10.255.255.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
            builds_may_reach: vec!["10.1.2.0/24".parse().unwrap()],
            host_services: vec![6379, 5432, 6379],
        };
        let text = render(&policy);
        assert_eq!(text.matches("\"hstabcd1\" . \"hstabcd1\"").count(), 1);
        assert!(!text.contains("\"hstabcd0\" . \"hstabcd0\""), "builds do not talk to each other");
        let shown =
            text.lines().filter(|line| !line.contains("elements")).map(|line| line.strip_prefix("  ").unwrap_or(line));
        expect_test::expect![[r#"
            set same_bridge {
              type ifname . ifname
            }
            chain input {
              type filter hook input priority filter - 10; policy accept;
              iifname "hstabcd*" jump to_host
            }
            chain to_host {
              ct state established,related accept
              ip daddr { 10.255.255.53 } udp dport 53 accept
              ip6 daddr { 2001:db8::53 } udp dport 53 accept
              ip daddr { 10.255.255.53 } tcp dport 53 accept
              ip6 daddr { 2001:db8::53 } tcp dport 53 accept
              iifname != "hstabcd0" tcp dport { 5432, 6379 } accept
              reject
            }
            chain forward {
              type filter hook forward priority filter - 10; policy accept;
              iifname "hstabcd*" goto leaving
              oifname "hstabcd*" goto entering
            }
            chain leaving {
              ct state established,related accept
              ip daddr { 10.255.255.53 } udp dport 53 accept
              ip6 daddr { 2001:db8::53 } udp dport 53 accept
              ip daddr { 10.255.255.53 } tcp dport 53 accept
              ip6 daddr { 2001:db8::53 } tcp dport 53 accept
              ct status dnat drop
              ip6 daddr { ::/96, ::ffff:0:0/96, 64:ff9b::/96, fc00::/7, fe80::/10, ff00::/8 } drop
              iifname "hstabcd0" goto from_builds
              iifname . oifname @same_bridge accept
              ip daddr 10.208.0.0/12 drop
              ip daddr { 0.0.0.0/8, 100.100.100.200, 127.0.0.0/8, 169.254.0.0/16, 192.0.0.192, 224.0.0.0/3 } drop
              oifname "hstabcd*" drop
              accept
            }
            chain from_builds {
              ip daddr 10.208.0.0/12 reject
              ip daddr { 10.1.2.0/24 } accept
              ip daddr { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 } reject
              oifname "hstabcd*" drop
              accept
            }
            chain entering {
              ct state established,related accept
              drop
            }"#]]
        .assert_eq(&shown.collect::<Vec<_>>().join("\n"));
        let closed = render(&Policy { host_services: Vec::new(), ..policy });
        assert!(!closed.contains("5432") && closed.contains("tcp dport 53 accept\n    reject\n"), "{closed}");
    }
}
