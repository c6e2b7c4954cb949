//! What a request head says: method, path, host, framing. Each is decided here and nowhere else.
//!
//! Refused: anything whose end two readers could find in different places, and CONNECT.

use std::borrow::Cow;

use super::{
    body::Body,
    chunk::Chunked,
    head::{Connection, Refused, Slots, length, odd_value},
    host,
};

/// A request head that passed.
#[derive(Debug)]
pub struct Request<'h, 'b> {
    /// The method, a token in the case that came.
    pub method: &'b str,
    /// What is forwarded: origin form (`/path?query`), or `*` of OPTIONS.
    pub target: &'b str,
    /// The Host field without a final dot; empty only in HTTP/1.0.
    pub host: Cow<'b, str>,
    /// The host that the table is asked for: lower case, no port.
    pub name: String,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    /// All fields as they came.
    pub fields: &'h [httparse::Header<'b>],
    /// Where the body ends.
    pub body: Body,
    /// The Connection fields.
    pub connection: Connection,
    /// The protocol asked for by Upgrade, when Connection lists it and it is not h2c.
    pub upgrade: Option<&'b str>,
    /// The client waits for 100 before it sends the body.
    pub expects: bool,
}

impl Request<'_, '_> {
    /// The path without the query: the bytes that the route is chosen by.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// Whether the client wants the connection kept.
    pub fn keep_alive(&self) -> bool {
        if self.minor == 0 { self.connection.keep_alive && !self.connection.close } else { !self.connection.close }
    }

    /// Whether doing it twice is the same as doing it once (RFC 9110, 9.2.2).
    pub fn idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE")
    }
}

#[derive(Default)]
struct Facts<'b> {
    host: Option<&'b [u8]>,
    length: Option<u64>,
    chunked: bool,
    expects: bool,
    upgrade: Option<&'b str>,
    connection: Connection,
}

/// Judges one complete head, found by [`super::Scan`].
pub fn request<'h, 'b>(head: &'b [u8], slots: &'h mut Slots<'b>) -> Result<Request<'h, 'b>, Refused> {
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, slots.room()) {
        Ok(httparse::Status::Complete(n)) if n == head.len() => {}
        Ok(_) => return Err(Refused::bad("head ends early")),
        Err(httparse::Error::Version) => return Err(Refused { status: 505, why: "not HTTP/1.0 or HTTP/1.1" }),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused { status: 431, why: "too many header fields" }),
        Err(_) => return Err(Refused::bad("malformed head")),
    }
    let (Some(method), Some(raw), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Refused::bad("malformed request line"));
    };
    let fields: &'h [httparse::Header<'b>] = parsed.headers;
    let facts = facts(fields, minor)?;
    let (authority, target) = split_target(method, raw)?;
    let host = host_of(&facts, authority, minor)?;
    let name = if host.is_empty() { String::new() } else { host::name(host.as_bytes())? };
    let host = host::without_final_dot(host);
    let body = match (facts.chunked, facts.length) {
        (true, Some(_)) => return Err(Refused::bad("Content-Length with Transfer-Encoding")),
        (true, None) => Body::Chunked(Chunked::request()),
        (false, Some(n)) if n > 0 => Body::Length(n),
        (false, _) => Body::Empty,
    };
    let upgrade = facts.upgrade.filter(|u| facts.connection.upgrade && minor == 1 && !u.eq_ignore_ascii_case("h2c"));
    if upgrade.is_some() && !matches!(body, Body::Empty) {
        return Err(Refused::bad("Upgrade with a body"));
    }
    Ok(Request {
        method,
        target,
        host,
        name,
        minor,
        fields,
        body,
        connection: facts.connection,
        upgrade,
        expects: facts.expects,
    })
}

fn facts<'b>(fields: &[httparse::Header<'b>], minor: u8) -> Result<Facts<'b>, Refused> {
    let mut facts = Facts::default();
    for field in fields {
        if odd_value(field.value) {
            return Err(Refused::bad("control byte in a header"));
        }
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            if facts.host.replace(field.value).is_some() {
                return Err(Refused::bad("more than one Host"));
            }
        } else if is("content-length") {
            let n = length(field.value).ok_or(Refused::bad("odd Content-Length"))?;
            if facts.length.replace(n).is_some() {
                return Err(Refused::bad("more than one Content-Length"));
            }
        } else if is("transfer-encoding") {
            if facts.chunked || minor == 0 || !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::bad("odd Transfer-Encoding"));
            }
            facts.chunked = true;
        } else if is("connection") {
            if !field.value.is_ascii() {
                return Err(Refused::bad("odd Connection"));
            }
            facts.connection.read(field.value);
        } else if is("expect") {
            if !field.value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refused { status: 417, why: "Expect other than 100-continue" });
            }
            facts.expects = minor == 1;
        } else if is("upgrade") {
            let value = std::str::from_utf8(field.value).map_err(|_| Refused::bad("odd Upgrade"))?;
            if value.is_empty() || facts.upgrade.replace(value).is_some() {
                return Err(Refused::bad("odd Upgrade"));
            }
        }
    }
    Ok(facts)
}

/// The authority of an absolute form, and the origin form that is forwarded.
fn split_target<'b>(method: &str, raw: &'b str) -> Result<(Option<&'b str>, &'b str), Refused> {
    const ODD: Refused = Refused::bad("odd request target");
    if method == "CONNECT" {
        return Err(Refused { status: 405, why: "CONNECT is not offered" });
    }
    if odd_target(raw) {
        return Err(ODD);
    }
    if raw.starts_with('/') {
        return Ok((None, raw));
    }
    if raw == "*" {
        return if method == "OPTIONS" { Ok((None, raw)) } else { Err(ODD) };
    }
    let rest = strip_scheme(raw).filter(|rest| !rest.is_empty() && !rest.starts_with('/')).ok_or(ODD)?;
    match rest.find(['/', '?']) {
        Some(at) => match rest.split_at_checked(at) {
            Some((authority, path)) if path.starts_with('/') => Ok((Some(authority), path)),
            Some(_) | None => Err(ODD),
        },
        None => Ok((Some(rest), "/")),
    }
}

/// Whether a byte is in the target that strict readers refuse and others percent-encode: not everywhere the same ones.
fn odd_target(raw: &str) -> bool {
    let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
    let odd = |b: u8| b <= b' ' || b == 0x7f || matches!(b, b'#' | b'<' | b'>');
    path.bytes().any(|b| odd(b) || b == b'`') || query.bytes().any(|b| odd(b) || b == b'"')
}

fn strip_scheme(raw: &str) -> Option<&str> {
    let (scheme, rest) = raw.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

fn host_of<'b>(facts: &Facts<'b>, authority: Option<&'b str>, minor: u8) -> Result<&'b str, Refused> {
    let field = match facts.host {
        Some(value) => Some(std::str::from_utf8(value).map_err(|_| Refused::bad("odd Host"))?),
        None => None,
    };
    match (field, authority) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            Err(Refused::bad("Host differs from the request target"))
        }
        (Some(""), _) => Err(Refused::bad("empty Host")),
        (Some(host), _) => Ok(host),
        (None, _) if minor == 1 => Err(Refused::bad("no Host")),
        (None, Some(authority)) => Ok(authority),
        (None, None) => Ok(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{HeadLimits, Scan};

    fn judge(text: &str) -> String {
        let bytes = text.as_bytes();
        let span = match Scan::default().advance(bytes, &HeadLimits::REQUEST) {
            Ok(Some(span)) => span,
            Ok(None) => return "incomplete".into(),
            Err(no) => return format!("{} {}", no.status, no.why),
        };
        let mut slots = Slots::of(span.fields);
        match request(&bytes[span.start..span.end], &mut slots) {
            Ok(r) => format!("{} {} {} {:?}", r.name, r.target, r.path(), r.body.kind()),
            Err(no) => format!("{} {}", no.status, no.why),
        }
    }

    #[test]
    fn corpus() {
        for (text, want) in include!("corpus.in") {
            assert_eq!(judge(text), want, "{text:?}");
        }
    }

    #[test]
    fn keep_alive_and_upgrade() {
        let check = |text: &str, keep: bool, upgrade: Option<&str>| {
            let mut slots = Slots::of(9);
            let r = request(text.as_bytes(), &mut slots).unwrap();
            assert_eq!((r.keep_alive(), r.upgrade), (keep, upgrade), "{text:?}");
        };
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, None);
        check("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false, None);
        check("GET / HTTP/1.0\r\n\r\n", false, None);
        check("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, None);
        let up = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        check(up, true, Some("websocket"));
        check("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", true, None);
        check("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", true, None);
    }
}
