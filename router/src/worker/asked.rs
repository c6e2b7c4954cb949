//! A request as it is carried through: judged, with its head for the target made.

use tokio::time::Instant;

use super::{conn::Conn, rewrite, state::Worker, transport::Transport};
use crate::{
    access::micros_now,
    gate::{self, Body, Refused, Slots, scan::Span},
    source::{self, Source},
};

/// A request as it is carried through: the head for the target, and what pages and lines need.
pub(crate) struct Asked {
    pub(crate) head: Vec<u8>,
    pub(crate) method: String,
    pub(crate) target: String,
    path_len: usize,
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) request_id: String,
    pub(crate) forwarded: String,
    /// Whose request it is; `None` when a trusted proxy does not say.
    pub(crate) source: Option<Source>,
    pub(crate) accept: String,
    pub(crate) minor: u8,
    pub(crate) body: Body,
    pub(crate) keep_alive: bool,
    pub(crate) head_only: bool,
    pub(crate) expects: bool,
    pub(crate) upgrade: bool,
    /// Idempotent and without a body: may be sent a second time.
    pub(crate) repeatable: bool,
    /// Nothing of the request is left unread.
    pub(crate) uploaded: bool,
    pub(crate) start: Instant,
}

impl Asked {
    /// Judges the head that lies in the connection's buffer.
    pub(super) fn read<T: Transport>(worker: &Worker, conn: &Conn<T>, span: Span) -> Result<Self, Refused> {
        let mut slots = Slots::of(span.fields);
        let bytes = conn.buf.bytes().get(span.start..span.end).unwrap_or_default();
        let request = gate::request(bytes, &mut slots)?;
        let field = |name: &str| request.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value);
        let request_id = match field("x-request-id").and_then(rewrite::good_request_id) {
            Some(id) => id.to_string(),
            None => worker.ids.next(),
        };
        let accept = field("accept").and_then(|v| std::str::from_utf8(v).ok()).unwrap_or_default().to_string();
        let mut forwarded = rewrite::forwarded_for(&request);
        let mut source = Some(Source::of(conn.peer.ip()));
        if conn.trusted {
            let told = source::told(&forwarded, worker.door.proxies());
            source = told.client.filter(|client| !worker.door.trusts(*client)).map(Source::of);
            forwarded = told.list;
        }
        let said = if conn.trusted { rewrite::Said::by(&request) } else { rewrite::Said::default() };
        let scheme = said.scheme.unwrap_or(conn.entrance.scheme);
        // The port where the client came in is not that of a scheme by which it came to somebody else.
        let port = if scheme == conn.entrance.scheme { conn.entrance.port } else { scheme.port() };
        let added = rewrite::Added {
            // To the app the client is the last entry: a trusted proxy is none.
            peer: (!conn.trusted || forwarded.is_empty()).then(|| conn.peer.ip()),
            trusted: conn.trusted,
            scheme,
            port: said.port.unwrap_or(port),
            request_id: &request_id,
            start_ms: said.start_ms.unwrap_or_else(|| micros_now() / 1000),
        };
        let mut head = Vec::with_capacity(bytes.len() + 256 + forwarded.len());
        rewrite::request(&mut head, &request, &forwarded, &added);
        Ok(Self {
            head,
            method: request.method.to_string(),
            target: request.target.to_string(),
            path_len: request.path().len(),
            host: request.host.to_string(),
            minor: request.minor,
            body: request.body,
            keep_alive: request.keep_alive(),
            head_only: request.method == "HEAD",
            expects: request.expects && !request.body.done(),
            upgrade: request.upgrade.is_some(),
            repeatable: request.idempotent() && request.body.done(),
            uploaded: request.body.done(),
            start: Instant::now(),
            name: request.name,
            request_id,
            forwarded,
            source,
            accept,
        })
    }

    pub(crate) fn path(&self) -> &str {
        self.target.get(..self.path_len).unwrap_or(&self.target)
    }
}
