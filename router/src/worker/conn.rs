//! A client's connection: heads in, one exchange after the other, in order.
//!
//! While nothing is being asked it holds no buffer. Whatever does not pass the gate is answered once and closed.

use std::{net::SocketAddr, rc::Rc};

use tokio::{
    io::AsyncWriteExt,
    time::{Duration, Instant, timeout, timeout_at},
};

use super::{
    Worker,
    backend::Backend,
    buf::Buf,
    crowd::At,
    door::Guest,
    exchange::exchange,
    rewrite,
    transport::{Entrance, Scheme, Transport},
};
use crate::{
    access::{Entry, micros_now},
    code::{Code, Page, PageAsk},
    gate::{self, Body, HeadLimits, Refused, Scan, Slots, scan::Span},
    source::{self, Source},
};

/// A client's connection.
pub(crate) struct Conn<T> {
    pub(crate) stream: T,
    pub(crate) buf: Buf,
    pub(crate) peer: SocketAddr,
    pub(crate) guest: Guest,
    /// The peer is a proxy whose word about its clients counts.
    trusted: bool,
    pub(crate) entrance: Entrance,
    /// The target of the last request.
    pub(crate) last: Option<Rc<Backend>>,
    is_cut: bool,
}

impl<T: Transport> Conn<T> {
    /// A response broke off: the connection ends with a reset, since an orderly end could look like the response's.
    pub(crate) fn cut(&mut self) {
        self.stream.reset();
        self.is_cut = true;
    }
}

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

/// What comes next on a connection.
enum Next {
    Head(Span),
    Refused(Refused),
    /// Closed, or idle for too long: nothing to say.
    End,
}

/// How long and how much a closing connection is read, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

/// Serves a connection until it ends.
pub(crate) async fn serve<T: Transport>(
    worker: Rc<Worker>,
    stream: T,
    guest: Guest,
    peer: SocketAddr,
    entrance: Entrance,
) {
    let trusted = worker.door.trusts(peer.ip());
    let mut conn = Conn { stream, buf: Buf::default(), peer, guest, trusted, entrance, last: None, is_cut: false };
    let mut first = true;
    loop {
        let span = match next_head(&worker, &mut conn, first).await {
            Next::Head(span) => span,
            Next::Refused(no) => return refuse(&worker, &mut conn, no).await,
            Next::End => return,
        };
        first = false;
        let mut asked = match Asked::read(&worker, &conn, span) {
            Ok(asked) => asked,
            Err(no) => return refuse(&worker, &mut conn, no).await,
        };
        conn.buf.consume(span.end);
        // Boxed: an idle connection should not carry the room for an exchange.
        if !Box::pin(exchange(&worker, &mut conn, &mut asked)).await {
            if !conn.is_cut {
                close(&worker, &mut conn, !asked.uploaded).await;
            }
            return;
        }
        conn.buf.release(&worker.spare);
    }
}

async fn next_head<T: Transport>(worker: &Worker, conn: &mut Conn<T>, first: bool) -> Next {
    let limits = &worker.limits;
    let mut scan = Scan::default();
    let Conn { stream, buf, guest, .. } = conn;
    let (mut client, _) = stream.split();
    if buf.is_empty() {
        guest.turn(At::Idle);
        let patience = if first { limits.header_read } else { limits.client_idle };
        let read = tokio::select! {
            biased;
            read = timeout(patience, buf.fill(&mut client, &worker.spare)) => read,
            () = worker.close_idle.cancelled() => return Next::End,
            () = guest.sent_away() => return Next::End,
        };
        if !matches!(read, Ok(Ok(1..))) {
            return Next::End;
        }
    }
    let due = Instant::now() + limits.header_read;
    loop {
        match scan.advance(buf.bytes(), &HeadLimits::REQUEST) {
            Ok(Some(span)) => {
                guest.turn(At::Busy);
                return Next::Head(span);
            }
            Ok(None) => guest.turn(At::Head),
            Err(no) => return Next::Refused(no),
        }
        let read = tokio::select! {
            biased;
            read = timeout_at(due, buf.fill(&mut client, &worker.spare)) => read,
            () = guest.sent_away() => return Next::End,
        };
        match read {
            Ok(Ok(1..)) => {}
            Ok(Ok(_) | Err(_)) => return Next::End,
            Err(_) => return Next::Refused(Refused { status: 408, why: "head too slow" }),
        }
    }
}

impl Asked {
    fn read<T: Transport>(worker: &Worker, conn: &Conn<T>, span: Span) -> Result<Self, Refused> {
        let mut slots = Slots::default();
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

/// Answers what did not pass the gate, and closes.
async fn refuse<T: Transport>(worker: &Worker, conn: &mut Conn<T>, no: Refused) {
    let page = Page::refused(no);
    let mut out = vec![];
    page.write(&mut out, &PageAsk { accept: "", request_id: "", keep_alive: false, body: true });
    let _ = timeout(LINGER, conn.stream.split().1.write_all(&out)).await;
    if let Some(key) = &worker.own_log {
        let entry = Entry {
            code: Some((Code::RequestError.name(), no.why)),
            method: "-",
            path: "-",
            host: "-",
            request_id: "-",
            forwarded: "",
            peer: conn.peer.ip(),
            instance: "",
            connect: Duration::ZERO,
            service: Duration::ZERO,
            status: no.status,
            bytes: out.len() as u64,
            minor: 1,
            tls: conn.entrance.scheme == Scheme::Https,
        };
        worker.sink.push(key, entry.line());
    }
    close(worker, conn, true).await;
}

/// Closes so that what was written arrives, even if the client is still sending.
async fn close<T: Transport>(worker: &Worker, conn: &mut Conn<T>, unread: bool) {
    if conn.stream.split().1.shutdown().await.is_err() || (!unread && conn.buf.is_empty()) {
        return;
    }
    // Nothing is served any more: it may go for others.
    conn.guest.turn(At::Idle);
    let Conn { stream, buf, guest, .. } = conn;
    let (mut client, _) = stream.split();
    let drain = timeout(LINGER, async {
        let mut seen = 0;
        while seen < LINGER_BYTES {
            buf.consume(buf.len());
            match buf.fill(&mut client, &worker.spare).await {
                Ok(n @ 1..) => seen += n,
                Ok(_) | Err(_) => break,
            }
        }
    });
    tokio::select! {
        biased;
        _ = drain => {}
        () = guest.sent_away() => {}
    }
}
