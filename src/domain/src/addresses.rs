//! Which addresses are ours: the pool, an installation's shares of it, one network per app, one address per instance.
//!
//! Invariant: no address or network is given out again before its quarantine, unless nothing else is left; a stale route
//! table must not lead to another tenant. Absent: who holds what (the store's rows are arguments here).

use crate::names::InstallId;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// The pool unless the setting says otherwise.
pub const DEFAULT_POOL: &str = "10.208.0.0/12";
/// A share has 16,384 addresses: 256 networks of 64.
pub const SHARE_PREFIX: u8 = 18;
/// A network has 64 addresses: 61 instances, the host, and two that are not addresses.
pub const NETWORK_PREFIX: u8 = 26;
/// Networks in one share.
pub const NETWORKS_PER_SHARE: u16 = 256;
/// The number of the network that builds run in; apps have 1 and more.
pub const BUILDS: u16 = 0;
/// How long what was freed is not given out again.
pub const QUARANTINE_MILLIS: u64 = 10 * 60 * 1000;

/// Ranges that the pool may lie in: nobody on the internet has them.
const PRIVATE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// A range of IPv4 addresses: `10.208.0.0/12`, its first address and a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The range that holds `address`; prefixes over 32 count as 32.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Subnet {
        let prefix = prefix.min(32);
        Subnet { network: Ipv4Addr::from(u32::from(address) & mask(prefix)), prefix }
    }
    /// Its first address.
    pub fn network(self) -> Ipv4Addr {
        self.network
    }
    /// Its prefix length.
    pub fn prefix(self) -> u8 {
        self.prefix
    }
    /// Whether the address lies in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.network)
    }
    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Subnet) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
    /// Its address number `n`, counted from 0.
    pub fn address(self, n: u32) -> Option<Ipv4Addr> {
        let address = Ipv4Addr::from(u32::from(self.network).checked_add(n)?);
        self.contains(address).then_some(address)
    }
    /// Its `n`-th part of that prefix length, counted from 0.
    pub fn part(self, n: u32, prefix: u8) -> Option<Subnet> {
        if prefix < self.prefix || prefix > 32 {
            return None;
        }
        let start = u64::from(u32::from(self.network)).checked_add(u64::from(n) << (32 - prefix))?;
        let start = Ipv4Addr::from(u32::try_from(start).ok()?);
        self.contains(start).then_some(Subnet { network: start, prefix })
    }
    /// How many parts of that prefix length it has.
    pub fn parts(self, prefix: u8) -> u32 {
        match prefix.checked_sub(self.prefix) {
            Some(bits @ 0..=31) if prefix <= 32 => 1 << bits,
            Some(_) | None => 0,
        }
    }
    /// The host's address in a network of ours.
    pub fn gateway(self) -> Ipv4Addr {
        self.address(1).unwrap_or(self.network)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.network, self.prefix))
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Subnet, Refusal> {
        text.parse()
    }
}

impl FromStr for Subnet {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Subnet, Refusal> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            let network: Ipv4Addr = address.parse().ok()?;
            Some(Subnet { network, prefix }).filter(|subnet| *subnet == Subnet::of(network, prefix))
        });
        parsed.ok_or_else(|| {
            let shown: String = text.chars().take(40).filter(|c| !c.is_control()).collect();
            Refusal::new(Code::BadSubnet, format!("\"{shown}\" is not a range of addresses"))
                .why("a range is its first IPv4 address and a prefix length")
                .next(format!("for example {DEFAULT_POOL}"))
        })
    }
}

/// Reads the setting: a private range that holds one share at least.
pub fn parse_pool(text: &str) -> Result<Subnet, Refusal> {
    let pool: Subnet = text.parse()?;
    let private = PRIVATE.iter().any(|(network, prefix)| {
        let range = Subnet::of(*network, *prefix);
        range.contains(pool.network) && pool.prefix >= range.prefix
    });
    let no = |why: &str| {
        Refusal::new(Code::BadPool, format!("{pool} cannot be the address pool"))
            .why(why)
            .next(format!("for example {DEFAULT_POOL}"))
    };
    match () {
        () if !private => Err(no("it is not within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10")),
        () if pool.parts(SHARE_PREFIX) == 0 => Err(no("it is smaller than one installation's share, a /18")),
        () => Ok(pool),
    }
}

/// Ranges that builds do not reach, as the firewall lists them: this host's own loopback, private and shared addresses,
/// a cloud's metadata, and what is no host. Listed, for documentation ranges are somebody's registry.
pub const CLOSED_TO_BUILDS: [(Ipv4Addr, u8); 8] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Whether builds do not reach this address.
pub fn closed_to_builds(address: Ipv4Addr) -> bool {
    CLOSED_TO_BUILDS.iter().any(|(network, prefix)| Subnet::of(*network, *prefix).contains(address))
}

/// A route of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: Subnet,
    /// Through which interface.
    pub interface: String,
}

/// The routes in the text of `/proc/net/route`, without the default one; lines that do not parse are skipped.
pub fn parse_routes(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let interface = words.next()?.to_owned();
        // Numbers in the machine's byte order, which is little on all of ours.
        let number = |hex: &str| u32::from_str_radix(hex, 16).ok().map(u32::swap_bytes);
        let (to, mask) = (number(words.next()?)?, number(words.nth(5)?)?);
        let prefix = u8::try_from(mask.leading_ones()).ok()?;
        (prefix > 0).then(|| Route { to: Subnet::of(Ipv4Addr::from(to), prefix), interface })
    };
    text.lines().filter_map(route).collect()
}

/// The name servers in the text of a `resolv.conf`, each once.
pub fn parse_resolvers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        address.split('%').next()?.parse::<IpAddr>().ok()
    };
    let all: BTreeSet<IpAddr> = text.lines().filter_map(server).collect();
    all.into_iter().collect()
}

/// What stands against using a range on this host: a route that is not one of this installation's own bridges, or an
/// address (of a name server) in it.
pub fn obstacle(range: Subnet, install: &InstallId, routes: &[Route], addresses: &[IpAddr]) -> Option<String> {
    let ours = bridge_prefix(install);
    let route = routes.iter().find(|route| route.to.overlaps(range) && !route.interface.starts_with(&ours));
    let address = addresses.iter().find(|address| matches!(address, IpAddr::V4(address) if range.contains(*address)));
    match (route, address) {
        (Some(route), _) => Some(format!("the route to {} through {}", route.to, route.interface)),
        (None, Some(address)) => Some(format!("the name server {address}")),
        (None, None) => None,
    }
}

/// The shares of the pool in the order in which an installation tries them: from a place of its own, so that
/// installations on one host rarely want the same.
pub fn shares_to_try(pool: Subnet, install: &InstallId) -> Vec<Subnet> {
    let count = pool.parts(SHARE_PREFIX);
    let seed = install.as_str().bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..count)
        .filter_map(|n| {
            let at = seed.wrapping_add(n).checked_rem(count)?;
            pool.part(at, SHARE_PREFIX)
        })
        .collect()
}

/// The network number `n` of an installation with these shares: `BUILDS`, or an app's.
pub fn network(shares: &[Subnet], n: u16) -> Option<Subnet> {
    let share = shares.get(usize::from(n / NETWORKS_PER_SHARE))?;
    share.part(u32::from(n % NETWORKS_PER_SHARE), NETWORK_PREFIX)
}

/// How many networks these shares have.
pub fn networks(shares: &[Subnet]) -> u16 {
    u16::try_from(shares.len()).unwrap_or(u16::MAX).saturating_mul(NETWORKS_PER_SHARE)
}

/// What all bridges of an installation begin with: `hst` and its id.
pub fn bridge_prefix(install: &InstallId) -> String {
    format!("hst{install}")
}

/// The bridge of network `n`: the prefix and the number in base 36, at most 11 characters (the kernel takes 15).
pub fn bridge_name(install: &InstallId, n: u16) -> String {
    let mut digits = Vec::new();
    let mut left = u32::from(n);
    loop {
        digits.push(char::from_digit(left % 36, 36).unwrap_or('0'));
        left /= 36;
        if left == 0 {
            break;
        }
    }
    digits.push('\0');
    bridge_prefix(install) + digits.iter().rev().collect::<String>().trim_start_matches('\0')
}

/// A number for a new app's network. `freed` says when numbers that are not used now were last in use.
pub fn pick_network(
    shares: &[Subnet],
    used: &BTreeSet<u16>,
    freed: &BTreeMap<u16, Timestamp>,
    now: Timestamp,
) -> Option<u16> {
    pick(BUILDS + 1..networks(shares), used, freed, now)
}

/// An address for a new instance in an app's network.
pub fn pick_address(
    network: Subnet,
    used: &BTreeSet<Ipv4Addr>,
    freed: &BTreeMap<Ipv4Addr, Timestamp>,
    now: Timestamp,
) -> Option<Ipv4Addr> {
    // Without the network's own, the gateway's, and the broadcast address.
    let last = network.parts(32).saturating_sub(1);
    pick((2..last).filter_map(|n| network.address(n)), used, freed, now)
}

/// Whether what was freed at this time, if it ever was, may be given out again.
pub fn rested(freed: Option<Timestamp>, now: Timestamp) -> bool {
    freed.is_none_or(|at| now.millis_since(at) >= QUARANTINE_MILLIS)
}

/// First what was never used, in order; then what was freed longest ago, after its quarantine; then even before.
fn pick<T: Ord + Copy>(
    all: impl Iterator<Item = T>,
    used: &BTreeSet<T>,
    freed: &BTreeMap<T, Timestamp>,
    now: Timestamp,
) -> Option<T> {
    let key = |one: &T| {
        let freed = freed.get(one);
        (!rested(freed.copied(), now), freed.copied().unwrap_or(Timestamp(i64::MIN)), *one)
    };
    all.filter(|one| !used.contains(one)).min_by_key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }
    fn install(text: &str) -> InstallId {
        text.parse().unwrap()
    }
    fn minutes(n: i64) -> Timestamp {
        Timestamp(n * 60_000_000)
    }

    #[test]
    fn subnets() {
        let pool = subnet(DEFAULT_POOL);
        assert_eq!((pool.parts(SHARE_PREFIX), subnet("10.208.0.0/18").parts(NETWORK_PREFIX)), (64, 256));
        assert_eq!(pool.part(63, 18).unwrap().to_string(), "10.223.192.0/18");
        assert_eq!(pool.part(64, 18), None);
        assert!(pool.overlaps(subnet("10.0.0.0/8")) && subnet("10.0.0.0/8").overlaps(pool));
        assert!(!pool.overlaps(subnet("10.224.0.0/12")) && subnet("0.0.0.0/0").overlaps(pool));
        assert_eq!(subnet("255.255.255.255/32").part(1, 32), None);
        assert_eq!(subnet("0.0.0.0/0").parts(32), 0, "more than fits");
        for bad in ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/0", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn pools() {
        for good in [DEFAULT_POOL, "172.20.0.0/14", "192.168.0.0/16", "100.64.0.0/10", "10.9.64.0/18"] {
            assert!(parse_pool(good).is_ok(), "{good}");
        }
        for bad in ["8.8.0.0/16", "0.0.0.0/0", "10.0.0.0/19", "203.0.113.0/24", "172.0.0.0/8"] {
            assert!(parse_pool(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn routes_and_resolvers() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                    eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                    hstabcd1\t4000D00A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0\nnonsense\n\n";
        let routes = parse_routes(text);
        let shown: Vec<String> = routes.iter().map(|route| format!("{} {}", route.to, route.interface)).collect();
        assert_eq!(shown, ["172.17.0.0/16 docker0", "10.208.0.64/26 hstabcd1"]);
        let share = subnet("10.208.0.0/18");
        assert_eq!(obstacle(share, &install("abcd"), &routes, &[]), None, "its own bridge");
        let theirs = obstacle(share, &install("efgh"), &routes, &[]);
        assert_eq!(theirs.as_deref(), Some("the route to 10.208.0.64/26 through hstabcd1"));
        let servers = parse_resolvers(
            "# nameserver 1.1.1.1\nnameserver 10.208.1.53\nnameserver fe80::1%eth0\nsearch x\nnameserver\n",
        );
        assert_eq!(servers.len(), 2);
        assert!(obstacle(share, &install("abcd"), &routes, &servers).is_some());
    }

    #[test]
    fn shares_and_networks() {
        let (pool, id) = (subnet(DEFAULT_POOL), install("abcd"));
        let shares = shares_to_try(pool, &id);
        assert_eq!((shares.len(), shares.iter().collect::<BTreeSet<_>>().len()), (64, 64));
        assert_ne!(shares.first(), shares_to_try(pool, &install("abce")).first());
        let two = [subnet("10.208.64.0/18"), subnet("10.216.0.0/18")];
        assert_eq!(network(&two, 0).unwrap().to_string(), "10.208.64.0/26");
        assert_eq!(network(&two, 255).unwrap().to_string(), "10.208.127.192/26");
        assert_eq!(network(&two, 257).unwrap().to_string(), "10.216.0.64/26");
        assert_eq!(network(&two, 512), None);
        assert_eq!(network(&two, 257).unwrap().gateway().to_string(), "10.216.0.65");
        for (n, name) in [(0, "hstabcd0"), (35, "hstabcdz"), (36, "hstabcd10"), (u16::MAX, "hstabcd1ekf")] {
            assert_eq!(bridge_name(&id, n), name);
        }
    }

    #[test]
    fn nothing_is_reused_before_its_quarantine() {
        let net = subnet("10.208.0.64/26");
        let mut used = BTreeSet::new();
        let mut freed = BTreeMap::new();
        let first = pick_address(net, &used, &freed, minutes(0)).unwrap();
        assert_eq!(first.to_string(), "10.208.0.66");
        freed.insert(first, minutes(1));
        let second = pick_address(net, &used, &freed, minutes(100)).unwrap();
        assert_eq!(second.to_string(), "10.208.0.67", "what was never used comes first");
        while let Some(address) = pick_address(net, &used, &freed, minutes(2)) {
            used.insert(address);
        }
        assert_eq!(used.len(), 61);
        assert_eq!(used.last().unwrap().to_string(), "10.208.0.126");
        for (minute, n) in [(5, 70), (3, 80), (9, 71)] {
            let address = net.address(n - 64).unwrap();
            used.remove(&address);
            freed.insert(address, minutes(minute));
        }
        let pick = |now| pick_address(net, &used, &freed, minutes(now)).unwrap().to_string();
        assert_eq!(pick(14), "10.208.0.80", "out of quarantine");
        assert_eq!(pick(10), "10.208.0.80", "exhausted: the oldest");
        let shares = [subnet("10.208.0.0/18")];
        assert_eq!(
            pick_network(&shares, &BTreeSet::from([1, 2]), &BTreeMap::from([(3, minutes(0))]), minutes(1)),
            Some(4)
        );
    }
}
