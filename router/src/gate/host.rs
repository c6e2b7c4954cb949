//! The Host field: which name a request is for.
//!
//! A name in the letters of DNS, or an address, and perhaps a port; nothing else. No userinfo, path, list or percent-encoding
//! passes, since the app behind might read those differently than the table does. One final dot is the same name said in
//! full: it is found without it, and the app gets it without it.

use std::borrow::Cow;

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
    let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if lower.starts_with('[') || is_host_name(&lower) { Ok(lower) } else { Err(ODD) }
}

/// The field's value without the final dot of its name. Only for one that has a [`name`].
pub fn without_final_dot(value: &str) -> Cow<'_, str> {
    match value.strip_suffix('.') {
        Some(name) => name.into(),
        None if value.contains(".:") => value.replace(".:", ":").into(),
        None => value.into(),
    }
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::{name, without_final_dot};

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
            ("a.example.", Some("a.example")),
            ("A.Example.:8080", Some("a.example")),
            ("localhost.", Some("localhost")),
            ("127.0.0.1.", Some("127.0.0.1")),
            ("a.example..", None),
            ("a.example:80.", None),
            (".", None),
            (".:80", None),
            (".a.example", None),
            ("[::1].", None),
            ("[::1.]", None),
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
        let longest = [["a"; 126].join("."), "a".into()].join(".");
        assert_eq!(name(format!("{longest}.").as_bytes()).unwrap(), longest, "the dot does not count");
        assert!(name(format!("{longest}a.").as_bytes()).is_err());
    }

    #[test]
    fn the_app_gets_the_name_without_its_final_dot() {
        for (text, want) in [
            ("a.example", "a.example"),
            ("A.example.", "A.example"),
            ("a.example.:8080", "a.example:8080"),
            ("[::1]:80", "[::1]:80"),
            ("", ""),
        ] {
            assert_eq!(without_final_dot(text), want);
        }
    }
}
