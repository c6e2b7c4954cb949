//! The Host field: which name a request is for.
//!
//! A name in the letters of DNS, or an address, and perhaps a port; nothing else. No userinfo, path, list, percent-encoding
//! or trailing dot passes, since the app behind might read those differently than the table does.

use super::head::Refused;
use crate::table::is_host_name;

/// The name that the table is asked for: lower case, without port. A bracketed IPv6 address keeps its brackets.
pub fn name(value: &[u8]) -> Result<String, Refused> {
    const ODD: Refused = Refused::bad("odd Host");
    if value.is_empty() {
        return Err(Refused::bad("empty Host"));
    }
    let text = std::str::from_utf8(value).map_err(|_| ODD)?;
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']').ok_or(ODD)?;
            inner.parse::<std::net::Ipv6Addr>().map_err(|_| ODD)?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(ODD)?) };
            (text.get(..inner.len() + 2).ok_or(ODD)?, port)
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if port.is_some_and(|p| !is_port(p)) {
        return Err(ODD);
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with('[') || is_host_name(&lower) { Ok(lower) } else { Err(ODD) }
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn only_names_and_addresses_pass() {
        for (text, want) in [
            ("a.example", Some("a.example")),
            ("A.Example:8080", Some("a.example")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("my_app.local", Some("my_app.local")),
            ("", None),
            (" ", None),
            ("a.example.", None),
            ("a,b", None),
            ("a b", None),
            ("u@a", None),
            ("a/b", None),
            ("a:", None),
            ("a:80:80", None),
            ("a:99999", None),
            ("a:+80", None),
            ("a%2eb", None),
            ("[::1", None),
            ("[::1]x", None),
            ("a\\b", None),
            ("ä.example", None),
            ("a..b", None),
            ("-a.b", None),
        ] {
            assert_eq!(name(text.as_bytes()).ok().as_deref(), want, "{text:?}");
        }
    }
}
