//! A client's connection: heads in, one exchange after the other, in order.
//!
//! While nothing is being asked it holds no buffer. Whatever does not pass the gate is answered once and closed.

use std::{net::SocketAddr, rc::Rc};

use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::{
    asked::Asked,
    conn::{Conn, LINGER},
    crowd::At,
    door::Guest,
    exchange::exchange,
    state::Worker,
    transport::{Entrance, Scheme, Transport, write},
};
use crate::{
    access::Entry,
    code::{Code, Page, PageAsk},
    gate::{Refused, Scan, scan::Span},
};

/// What comes next on a connection.
enum Next {
    Head(Span),
    Refused(Refused),
    /// Closed, or idle for too long: nothing to say.
    End,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<T: Transport>(
    worker: Rc<Worker>,
    stream: T,
    guest: Guest,
    peer: SocketAddr,
    entrance: Entrance,
) {
    let trusted = worker.door.trusts(peer.ip());
    let mut conn = Conn::new(stream, guest, (peer, trusted), entrance);
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
            conn.close(&worker.spare, !asked.uploaded).await;
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
        match scan.advance(buf.bytes(), &limits.request_head) {
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

/// Answers what did not pass the gate, and closes.
async fn refuse<T: Transport>(worker: &Worker, conn: &mut Conn<T>, no: Refused) {
    let page = Page::refused(no);
    let mut out = vec![];
    page.write(&mut out, &PageAsk { accept: "", request_id: "", keep_alive: false, body: true });
    let _ = write(&mut conn.stream.split().1, &out, LINGER).await;
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
    conn.close(&worker.spare, true).await;
}
