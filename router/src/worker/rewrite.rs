//! Heads as they leave the router. Pure but for what comes in as arguments.
//!
//! Framing fields are written from the gate's verdict, never copied. What the client claims about itself (the table in
//! `headers`) does not reach the app, except that X-Forwarded-For keeps its list and gets the real peer at its right end.
//! A trusted proxy's claims do, but not in another spelling, which it may have passed on unseen.

use std::{fmt::Write as _, net::IpAddr};

use super::transport::Scheme;
use crate::{
    gate::{Body, Listed, Request, Response},
    headers::{Fate, fate, is_plain},
};

/// What the router adds to a request.
pub(crate) struct Added<'a> {
    /// The last entry of X-Forwarded-For, unless the list has it already.
    pub(crate) peer: Option<IpAddr>,
    /// What a trusted proxy claims passes.
    pub(crate) trusted: bool,
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
    pub(crate) request_id: &'a str,
    pub(crate) start_ms: u64,
}

/// The hop-by-hop fields, and those of a message to be written anew.
const OWN: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "http2-settings",
    "host",
    "expect",
];

/// What a trusted proxy says in those fields that the router writes, where it is what can be said there.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) port: Option<u16>,
    pub(crate) start_ms: Option<u64>,
}

impl Said {
    /// A field that is there twice says nothing.
    pub(crate) fn by(request: &Request<'_, '_>) -> Self {
        let only = |name: &str| {
            let mut all = request.fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
            let first = all.next().and_then(|f| std::str::from_utf8(f.value).ok());
            if all.next().is_some() { None } else { first.map(str::trim) }
        };
        let scheme = Scheme::ALL
            .into_iter()
            .find(|scheme| only("x-forwarded-proto").is_some_and(|v| v.eq_ignore_ascii_case(scheme.name())));
        let digits = |v: &str| v.bytes().all(|b| b.is_ascii_digit());
        let port = only("x-forwarded-port").filter(|v| digits(v)).and_then(|v| v.parse().ok()).filter(|port| *port > 0);
        // Others write seconds or microseconds, and `t=`; what looks like milliseconds of this century is taken.
        let start = only("x-request-start").map(|v| v.strip_prefix("t=").unwrap_or(v));
        let start_ms = start.filter(|v| v.len() == 13 && digits(v)).and_then(|v| v.parse().ok());
        Self { scheme, port, start_ms }
    }
}

/// A client's X-Request-Id, if it may stay.
pub(crate) fn good_request_id(value: &[u8]) -> Option<&str> {
    let good = (20..=200).contains(&value.len()) && value.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    if good { std::str::from_utf8(value).ok() } else { None }
}

/// The client's X-Forwarded-For lists as one.
pub(crate) fn forwarded_for(request: &Request<'_, '_>) -> String {
    let mut list = String::new();
    for field in request.fields.iter().filter(|f| f.name.eq_ignore_ascii_case("x-forwarded-for")) {
        let Ok(value) = std::str::from_utf8(field.value) else { continue };
        let value = value.trim();
        if !value.is_empty() {
            list.push_str(if list.is_empty() { "" } else { ", " });
            list.push_str(value);
        }
    }
    list
}

/// Whether a request field passes. `listed`: a Connection field names it, so that it is for us only; a proxy may have
/// passed that on from a client, who must not be able to take away what the proxy says.
fn passes(name: &str, trusted: bool, listed: impl FnOnce() -> bool) -> bool {
    match fate(name) {
        None => !listed(),
        Some(Fate::Claim) => trusted && is_plain(name),
        Some(Fate::Hop | Fate::Ours | Fate::Never) => false,
    }
}

/// The request head for the app.
pub(crate) fn request(out: &mut Vec<u8>, request: &Request<'_, '_>, forwarded: &str, added: &Added<'_>) {
    out.extend([request.method, " ", request.target, " HTTP/1.1\r\nHost: "].iter().flat_map(|s| s.as_bytes()));
    out.extend_from_slice(request.host.as_bytes());
    out.extend_from_slice(b"\r\n");
    let listed = Listed::of(request.fields);
    for field in request.fields {
        if passes(field.name, added.trusted, || listed.has(field.name)) {
            copy(out, field);
        }
    }
    let mut text = String::with_capacity(256);
    match request.body {
        Body::Chunked(_) | Body::Unchunked(_) | Body::UntilClose => text.push_str("Transfer-Encoding: chunked\r\n"),
        Body::Length(n) => drop(write!(text, "Content-Length: {n}\r\n")),
        Body::Empty if request.fields.iter().any(|f| f.name.eq_ignore_ascii_case("content-length")) => {
            text.push_str("Content-Length: 0\r\n");
        }
        Body::Empty => {}
    }
    if let Some(protocol) = request.upgrade {
        let _ = write!(text, "Connection: upgrade\r\nUpgrade: {protocol}\r\n");
    }
    if request.expects && !request.body.done() {
        text.push_str("Expect: 100-continue\r\n");
    }
    let Added { peer, scheme, port, request_id, start_ms, .. } = added;
    let _ = write!(text, "X-Forwarded-For: {forwarded}");
    if let Some(peer) = peer {
        let _ = write!(text, "{}{peer}", if forwarded.is_empty() { "" } else { ", " });
    }
    let _ = write!(text, "\r\nX-Forwarded-Proto: {}\r\n", scheme.name());
    let _ = write!(text, "X-Forwarded-Port: {port}\r\nX-Request-Id: {request_id}\r\n");
    let _ = write!(text, "X-Request-Start: {start_ms}\r\nVia: 1.{} hoist\r\n\r\n", request.minor);
    out.extend_from_slice(text.as_bytes());
}

/// How a response is passed on.
#[derive(Clone, Copy)]
pub(crate) struct Passing {
    /// The client's HTTP/1.x.
    pub(crate) minor: u8,
    /// Whether the client's connection stays open.
    pub(crate) keep_alive: bool,
}

/// The response head for the client.
pub(crate) fn response(out: &mut Vec<u8>, response: &Response<'_, '_>, passing: Passing) {
    let mut text = String::with_capacity(96);
    let _ = write!(text, "HTTP/1.1 {} {}\r\n", response.status, response.reason);
    out.extend_from_slice(text.as_bytes());
    text.clear();
    let switching = response.status == 101;
    let listed = Listed::of(response.fields);
    for field in response.fields {
        let upgrade = field.name.eq_ignore_ascii_case("upgrade");
        let own = (OWN.iter().any(|n| field.name.eq_ignore_ascii_case(n)) && !keeps(field.name))
            || field.name.eq_ignore_ascii_case("x-hoist-reason")
            || listed.has(field.name);
        if !own || upgrade && switching {
            copy(out, field);
        }
    }
    match (&response.body, response.length) {
        (Body::Chunked(_), _) if passing.minor == 1 => text.push_str("Transfer-Encoding: chunked\r\n"),
        (Body::Empty | Body::Length(_), Some(n)) if !response.interim() && response.status != 204 && !switching => {
            let _ = write!(text, "Content-Length: {n}\r\n");
        }
        _ => {}
    }
    if switching {
        text.push_str("Connection: upgrade\r\n");
    } else if !response.interim() {
        text.push_str("Via: 1.1 hoist\r\n");
        match (passing.keep_alive, passing.minor) {
            (false, _) => text.push_str("Connection: close\r\n"),
            (true, 0) => text.push_str("Connection: keep-alive\r\n"),
            (true, _) => {}
        }
    }
    text.push_str("\r\n");
    out.extend_from_slice(text.as_bytes());
}

/// Names of [`OWN`] that mean nothing special in a response.
fn keeps(name: &str) -> bool {
    ["host", "expect", "http2-settings"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn copy(out: &mut Vec<u8>, field: &httparse::Header<'_>) {
    out.extend_from_slice(field.name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(field.value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{self, Slots};

    #[test]
    fn claims_of_the_client_do_not_pass() {
        let head = "POST /a?b HTTP/1.1\r\nHost: A:80\r\nX-Forwarded-For: 9.9.9.9\r\nx-forwarded-for: 8.8.8.8\r\n\
                    X-Forwarded-Proto: https\r\nX_Forwarded_Proto: https\r\nX-Forwarded-Host: evil\r\n\
                    Forwarded: for=1\r\nX-Request-Start: 1\r\nContent_Length: 3\r\nTransfer_Encoding: chunked\r\n\
                    Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy: x\r\n\
                    Cookie: a=b\r\nUpgrade: h2c\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        let mut slots = Slots::of(99);
        let r = gate::request(head.as_bytes(), &mut slots).unwrap();
        let forwarded = forwarded_for(&r);
        let peer = Some([1, 2, 3, 4].into());
        let added = Added { peer, trusted: false, scheme: Scheme::Http, port: 80, request_id: "id", start_ms: 7 };
        let mut out = vec![];
        request(&mut out, &r, &forwarded, &added);
        let want = "POST /a?b HTTP/1.1\r\nHost: A:80\r\nCookie: a=b\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\
                    X-Forwarded-For: 9.9.9.9, 8.8.8.8, 1.2.3.4\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\
                    X-Request-Id: id\r\nX-Request-Start: 7\r\nVia: 1.1 hoist\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn responses_get_our_framing() {
        let check = |head: &str, passing: Passing, head_only: bool, want: &str| {
            let mut slots = Slots::of(99);
            let r = gate::response(head.as_bytes(), &mut slots, head_only).unwrap();
            let mut out = vec![];
            response(&mut out, &r, passing);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{head:?}");
        };
        let keep = Passing { minor: 1, keep_alive: true };
        let close = Passing { minor: 0, keep_alive: false };
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nX-Hoist-Reason: H80\r\nA: b\r\n\r\n";
        check(chunked, keep, false, "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nVia: 1.1 hoist\r\n\r\n");
        check(chunked, close, false, "HTTP/1.1 200 OK\r\nA: b\r\nVia: 1.1 hoist\r\nConnection: close\r\n\r\n");
        let hop = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nConnection: close, X-H\r\nX-H: 1\r\n\r\n";
        check(hop, keep, false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nVia: 1.1 hoist\r\n\r\n");
        let up = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        check(up, keep, false, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    }
}
