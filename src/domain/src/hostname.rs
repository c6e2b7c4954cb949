//! Host names that users own: parsed strictly, kept as DNS has them.
//!
//! A value is lower case ASCII (IDNA's form of what was typed), without trailing dot, with at least two labels, perhaps
//! behind `*.`. Absent: who may have one; see `domains`.

use crate::refusal::Code;
use crate::refusal::Refusal;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use std::{fmt, str::FromStr};

/// The longest name that DNS takes, without the trailing dot.
const NAME_MAX: usize = 253;

/// `shop.example.com`, or `*.example.com` for exactly one label in front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// The text, `*.` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for every name one label below its zone.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name without `*.`.
    pub fn zone(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// The zone's labels from the right, `com.example.shop`: names below one another sort together.
    pub fn reversed(&self) -> String {
        reversed(self.zone())
    }

    /// The zone's own name and every name above it, longest first: `a.b.c`, `b.c`, `c`.
    pub fn suffixes(&self) -> Vec<&str> {
        let zone = self.zone();
        let starts = std::iter::once(0).chain(zone.match_indices('.').map(|(at, _)| at + 1));
        starts.filter_map(|at| zone.get(at..)).collect()
    }

    /// The labels in front of `parent`, where this name is below it: `a.b` for `a.b.example.com` below `example.com`.
    pub fn below<'a>(&'a self, parent: &str) -> Option<&'a str> {
        self.0.strip_suffix(parent)?.strip_suffix('.')
    }

    /// The name as its owner's language writes it, where that differs.
    pub fn readable(&self) -> Option<String> {
        let (text, result) = Uts46::new().to_unicode(self.0.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
        (result.is_ok() && text != self.0).then(|| text.into_owned())
    }

    /// A name that this one answers for: itself, or for a wildcard one that nobody else asks for.
    pub fn sample(&self) -> String {
        if self.is_wildcard() { format!("hoist-check.{}", self.zone()) } else { self.0.clone() }
    }
}

/// The longest base domain: an app's name of 30 characters and a dot fit in front.
pub const BASE_MAX: usize = 200;

/// A name as a configuration may have it, which need not be one that the world knows: `localhost`, `server`, `apps.example.com`.
/// In small ASCII letters, without a trailing dot; names of apps fit in front of it.
///
/// # Errors
/// In words, what it should be.
pub fn configured(text: &str) -> Result<String, String> {
    let ascii = ascii(text.strip_suffix('.').unwrap_or(text)).filter(|name| name.len() <= BASE_MAX);
    ascii.ok_or_else(|| "a host name, such as apps.example.com".to_owned())
}

/// The letters that DNS has for a name, if it is one.
fn ascii(name: &str) -> Option<String> {
    let name = Uts46::new().to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    name.ok().map(std::borrow::Cow::into_owned)
}

/// Labels from the right.
pub fn reversed(name: &str) -> String {
    name.rsplit('.').collect::<Vec<_>>().join(".")
}

/// The address that names such as `1-2-3-4.sslip.io` carry.
pub fn embedded_address(name: &str) -> Option<Ipv4Addr> {
    let rest = [".sslip.io", ".nip.io"].iter().find_map(|end| name.strip_suffix(end))?;
    let dashed = rest.rsplit('.').next().and_then(|label| {
        let parts: Vec<&str> = label.rsplit('-').take(4).collect();
        parse_address(parts)
    });
    dashed.or_else(|| parse_address(rest.rsplit('.').take(4).collect()))
}

fn parse_address(parts: Vec<&str>) -> Option<Ipv4Addr> {
    (parts.len() == 4).then(|| parts.into_iter().rev().collect::<Vec<_>>().join("."))?.parse().ok()
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Hostname> for String {
    fn from(host: Hostname) -> String {
        host.0
    }
}

impl TryFrom<String> for Hostname {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Hostname, Refusal> {
        text.parse()
    }
}

impl FromStr for Hostname {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Hostname, Refusal> {
        let bad = |why: &str| Refusal::new(Code::BadHostname, format!("{} is not a host name", shown(text))).why(why);
        if text.contains("://") || text.contains(['/', '?', '#', '@']) {
            let no = bad("leave http://, paths and user names away: only the name, such as shop.example.com");
            return Err(suggest(no, text));
        }
        if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Err(bad("that is an address; a domain is a name, such as shop.example.com"));
        }
        if text.contains(':') {
            return Err(suggest(bad("leave the port away: apps answer on the server's port"), text));
        }
        let (star, name) = match text.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", text),
        };
        if name.contains('*') {
            return Err(bad("* stands for one whole label, the first: *.example.com"));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let ascii = ascii(name).ok_or_else(|| {
            bad("allowed: labels of letters, digits and - (not at an end), up to 63 each, 253 in all")
        })?;
        if star.len() + ascii.len() > NAME_MAX {
            return Err(bad("it is longer than 253 characters"));
        }
        let Some((_, last)) = ascii.rsplit_once('.') else {
            return Err(bad("a domain has at least two labels, such as shop.example.com"));
        };
        let hex = last.strip_prefix("0x").is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("its last label is a number, so browsers would read it as an address"));
        }
        Ok(Hostname(format!("{star}{ascii}")))
    }
}

/// Adds the name that was probably meant.
fn suggest(no: Refusal, text: &str) -> Refusal {
    let rest = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let name = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    // Only what has none of these left, so this ends.
    match name.parse::<Hostname>() {
        Ok(name) => no.next(format!("{name}")),
        Err(_) => no,
    }
}

fn shown(text: &str) -> String {
    let plain: String = crate::text::plain(text).chars().take(60).collect();
    format!("\"{plain}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = match text.parse::<Hostname>() {
            Ok(name) => name.to_string(),
            Err(no) => format!("no: {}", no.next.join(" ")),
        };
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn names() {
        check("shop.example.com", "shop.example.com");
        check("Shop.Example.COM.", "shop.example.com");
        check("*.example.com", "*.example.com");
        check("München.example", "xn--mnchen-3ya.example");
        check("xn--mnchen-3ya.example", "xn--mnchen-3ya.example");
        check("ab--cd.example", "ab--cd.example");
        check("ｅｘａｍｐｌｅ。com", "example.com");
        check("1-2-3-4.sslip.io", "1-2-3-4.sslip.io");
        check("https://shop.example.com/cart?x=1", "no: shop.example.com");
        check("http://u:p@shop.example.com:80/", "no: shop.example.com");
        check("shop.example.com:8080", "no: shop.example.com");
        check("shop.example.com/cart", "no: shop.example.com");
        for bad in [
            "",
            ".",
            "*",
            "*.",
            "..",
            "a..b",
            ".a.b",
            "a.b..",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b.c",
            "a,b.c",
            "*.*.a.b",
            "a.*.b",
            "a*.b.c",
            "localhost",
            "*.com",
            "127.0.0.1",
            "[::1]",
            "::1",
            "1.2.3",
            "foo.0x7f",
            "a.1",
            "a\0b.c",
            "a\nb.c",
            "xn--a.b",
            "://",
            "https://",
            "a%2eb.c",
            "ä\u{0}.de",
            "\u{200d}.de",
            "a.b\u{202e}",
        ] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad:?}");
        }
        assert!(format!("{}.example", "a".repeat(64)).parse::<Hostname>().is_err());
        let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert!(long.parse::<Hostname>().is_ok(), "{}", long.len());
        assert!(format!("*.{long}").parse::<Hostname>().is_err());
    }

    #[test]
    fn parts() {
        let host: Hostname = "*.shop.example.com".parse().unwrap();
        assert!(host.is_wildcard());
        assert_eq!((host.zone(), host.reversed().as_str()), ("shop.example.com", "com.example.shop"));
        assert_eq!(host.suffixes(), ["shop.example.com", "example.com", "com"]);
        let deep: Hostname = "a.b.example.com".parse().unwrap();
        assert_eq!(deep.below("example.com"), Some("a.b"));
        assert_eq!((deep.below("ample.com"), deep.below("a.b.example.com")), (None, None));
        assert_eq!(
            "xn--mnchen-3ya.example".parse::<Hostname>().unwrap().readable().as_deref(),
            Some("münchen.example")
        );
        assert_eq!(deep.readable(), None);
        for (name, want) in [
            ("1-2-3-4.sslip.io", Some("1.2.3.4")),
            ("apps.1-2-3-4.sslip.io", Some("1.2.3.4")),
            ("x-1-2-3-4.nip.io", Some("1.2.3.4")),
            ("1.2.3.4.sslip.io", Some("1.2.3.4")),
            ("1-2-3.sslip.io", None),
            ("1-2-3-400.sslip.io", None),
            ("1-2-3-4.example.com", None),
        ] {
            assert_eq!(embedded_address(name).map(|a| a.to_string()).as_deref(), want, "{name}");
        }
    }

    /// Whatever bytes come: no panic, and what is taken is in normal form and a name that the router takes.
    #[test]
    fn any_text_is_taken_or_refused() {
        let pieces = [
            "a", "Z", "0", "-", ".", "*", "*.", "_", " ", ":", "/", "@", "ä", "ß", "。", "xn--", "\u{202e}", "0x",
            "com", "\u{0}", "[", "]", "日本",
        ];
        // A small generator of our own: the same words each time.
        let mut seed = 1_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap()
        };
        for _ in 0..50_000 {
            let text: String = (0..next() % 9).map(|_| pieces[next() % pieces.len()]).collect();
            let Ok(name) = text.parse::<Hostname>() else { continue };
            assert_eq!(name.as_str().parse::<Hostname>().as_ref(), Ok(&name), "{text:?}");
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let ok = |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(plain) && !l.starts_with('-');
            assert!(name.zone().split('.').all(ok), "{text:?} became {name}");
        }
    }
}
