//! Under which name apps answer when nobody has set one up. Pure: the machine's address comes in.

use std::net::IpAddr;

/// A public service that answers any name with the address that stands in it.
pub(crate) const BY_ADDRESS: &str = "sslip.io";

/// Where a new installation is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosting {
    /// Apps answer at `APP.base_domain`.
    pub base_domain: String,
    /// The host in git remotes.
    pub ssh_host: String,
    /// What the operator should know about it.
    pub remark: String,
}

/// The name asked for, else one that holds the machine's address and so resolves without any set-up.
pub fn choose(asked: Option<&str>, source: Option<IpAddr>) -> Hosting {
    match (asked, source.map(|ip| ip.to_canonical())) {
        (Some(name), source) => named(name, source),
        (None, Some(ip)) if !ip.is_loopback() && !ip.is_unspecified() => by_address(ip),
        (None, Some(_) | None) => Hosting {
            base_domain: "localhost".to_owned(),
            ssh_host: "localhost".to_owned(),
            remark: "This machine has no way out, so apps answer at APP.localhost, from this machine only".to_owned(),
        },
    }
}

fn named(name: &str, source: Option<IpAddr>) -> Hosting {
    let here = source.map_or_else(|| "the address of this machine".to_owned(), |ip| ip.to_string());
    let remark = format!("{name} and *.{name} must point at {here}; doctor checks that");
    Hosting { base_domain: name.to_owned(), ssh_host: name.to_owned(), remark }
}

fn by_address(ip: IpAddr) -> Hosting {
    // Every group is written out: a label must not begin or end with the dash that `::` would leave.
    let dashed = match ip {
        IpAddr::V4(v4) => v4.octets().map(|n| n.to_string()).join("-"),
        IpAddr::V6(v6) => v6.segments().map(|n| format!("{n:x}")).join("-"),
    };
    let base_domain = format!("{dashed}.{BY_ADDRESS}");
    let reach = match is_private(ip) {
        true => format!("{base_domain} needs no set-up, but {ip} is a private address: only machines near it reach it"),
        false => format!("{base_domain} resolves without any set-up"),
    };
    let remark =
        format!("{reach}. {BY_ADDRESS} is a public service of others that answers with the address in the name");
    // A name, not the address: an IPv6 address would need brackets in some places and none in others.
    let ssh_host = if ip.is_ipv4() { ip.to_string() } else { base_domain.clone() };
    Hosting { base_domain, ssh_host, remark }
}

/// Whether the internet does not route to it.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64/10 is shared by the customers of a provider.
            v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: Option<&str>, source: Option<&str>, base: &str, host: &str, remark: &str) {
        let got = choose(asked, source.map(|s| s.parse().unwrap()));
        assert_eq!((got.base_domain.as_str(), got.ssh_host.as_str()), (base, host));
        assert!(got.remark.contains(remark), "{}", got.remark);
    }

    #[test]
    fn names_from_what_there_is() {
        check(None, Some("203.0.113.7"), "203-0-113-7.sslip.io", "203.0.113.7", "without any set-up");
        for private in ["10.1.2.3", "192.168.0.2", "172.31.0.1", "100.64.0.9", "169.254.1.1"] {
            check(None, Some(private), &format!("{}.sslip.io", private.replace('.', "-")), private, "private address");
        }
        check(None, Some("172.32.0.1"), "172-32-0-1.sslip.io", "172.32.0.1", "without any set-up");
        check(None, Some("::ffff:1.2.3.4"), "1-2-3-4.sslip.io", "1.2.3.4", "without");
        let (long, mapped) = ("2001-db8-0-0-0-0-0-2.sslip.io", "2001:db8::2");
        check(None, Some(mapped), long, long, "without");
        check(None, Some("fd00::1"), "fd00-0-0-0-0-0-0-1.sslip.io", "fd00-0-0-0-0-0-0-1.sslip.io", "private");
        for nowhere in [None, Some("127.0.0.1"), Some("::1"), Some("0.0.0.0")] {
            check(None, nowhere, "localhost", "localhost", "no way out");
        }
        check(Some("apps.example.com"), Some("1.2.3.4"), "apps.example.com", "apps.example.com", "point at 1.2.3.4");
        check(Some("apps.example.com"), None, "apps.example.com", "apps.example.com", "the address of this machine");
    }
}
