//! Where a request comes from: the network that one customer has, and the proxies whose word about it is taken. Pure.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network that counts as one: an IPv4 address, or an IPv6 network of 56 or 48 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    V4(u32),
    V6(u64, u8),
}

impl Source {
    /// What one line has: an IPv4 address, an IPv6 /56.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.into()),
            IpAddr::V6(v6) => Self::V6(high(v6) & (u64::MAX << 8), 56),
        }
    }

    /// What one site has: an IPv6 /48. An IPv4 address is all that there is of it.
    pub(crate) fn wide(self) -> Self {
        match self {
            Self::V4(_) => self,
            Self::V6(high, _) => Self::V6(high & (u64::MAX << 16), 48),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(bits) => write!(f, "{}/32", Ipv4Addr::from(*bits)),
            Self::V6(high, len) => write!(f, "{}/{len}", Ipv6Addr::from(u128::from(*high) << 64)),
        }
    }
}

fn high(v6: Ipv6Addr) -> u64 {
    u64::try_from(u128::from(v6) >> 64).unwrap_or_default()
}

/// A network in the usual notation; a lone address is all of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no address and no network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct BadNetwork(String);

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_string());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => (address, Some(bits)),
            Some(_) => return Err(bad()),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |b| b.parse::<u8>().map_err(|_| bad()))?;
        if bits > most { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Network {
    /// Whether the address lies in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let rest = width.saturating_sub(u32::from(self.bits));
            (a ^ b).checked_shr(rest).unwrap_or(0) == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whether the address is one of a proxy of ours.
pub(crate) fn trusted(proxies: &[Network], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.holds(address))
}

/// What a proxy's X-Forwarded-For comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The list up to the client, who is its last entry.
    pub(crate) list: String,
    /// The client, if the entry is an address.
    pub(crate) client: Option<IpAddr>,
}

/// Reads the list from the right, where the nearest proxy wrote: the first entry that is no proxy of ours is the client.
/// A list of proxies only is a request by the outermost of them.
pub(crate) fn told(list: &str, proxies: &[Network]) -> Told {
    let mut kept = list.trim();
    loop {
        let (before, last) = kept.rsplit_once(',').unwrap_or(("", kept));
        let (before, last) = (before.trim_end(), last.trim());
        match entry(last) {
            Some(address) if trusted(proxies, address) && !before.is_empty() => kept = before,
            client => return Told { list: kept.to_string(), client },
        }
    }
}

/// An address as proxies write it: alone, with a port, in brackets.
fn entry(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches('"');
    let plain = || text.parse().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain().or_else(with_port).or_else(in_brackets).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_networks_of_customers() {
        let show = |text: &str| {
            let source = Source::of(text.parse().unwrap());
            format!("{source} {}", source.wide())
        };
        assert_eq!(show("192.0.2.7"), "192.0.2.7/32 192.0.2.7/32");
        assert_eq!(show("::ffff:192.0.2.7"), "192.0.2.7/32 192.0.2.7/32");
        assert_eq!(show("2001:db8:1:2345::9"), "2001:db8:1:2300::/56 2001:db8:1::/48");
        assert_eq!(
            Source::of("2001:db8:1:2300::".parse().unwrap()),
            Source::of("2001:db8:1:23ff:f::".parse().unwrap())
        );
    }

    #[test]
    fn networks_hold_what_is_in_them() {
        for (network, address, want) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
            assert_eq!(parsed.holds(address.parse().unwrap()), want, "{address} in {network}");
        }
        for bad in
            ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "300.0.0.0"]
        {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_client_is_the_last_who_is_no_proxy() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "2001:db8::/32"].iter().map(|n| n.parse().unwrap()).collect();
        for (list, want, client) in [
            ("203.0.113.9", "203.0.113.9", Some("203.0.113.9")),
            ("6.6.6.6, 203.0.113.9", "6.6.6.6, 203.0.113.9", Some("203.0.113.9")),
            ("6.6.6.6, 203.0.113.9, 10.0.0.2", "6.6.6.6, 203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.9,10.0.0.2 ,2001:db8::5", "203.0.113.9", Some("203.0.113.9")),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3", Some("10.0.0.3")),
            ("203.0.113.9:4711, 10.0.0.2:80", "203.0.113.9:4711", Some("203.0.113.9")),
            ("[2001:db9::1]:9", "[2001:db9::1]:9", Some("2001:db9::1")),
            ("[2001:db9::1]", "[2001:db9::1]", Some("2001:db9::1")),
            ("::ffff:203.0.113.9", "::ffff:203.0.113.9", Some("203.0.113.9")),
            ("unknown", "unknown", None),
            ("10.0.0.3, unknown, 10.0.0.2", "10.0.0.3, unknown", None),
            ("", "", None),
            (",", ",", None),
        ] {
            let want = Told { list: want.into(), client: client.map(|c| c.parse().unwrap()) };
            assert_eq!(told(list, &proxies), want, "{list:?}");
        }
    }
}
