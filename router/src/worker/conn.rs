//! A client's connection, as requests use it and as it ends.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use tokio::time::timeout;

use super::{
    backend::Backend,
    buf::{Buf, Spare},
    crowd::At,
    door::Guest,
    transport::{Entrance, Transport, finish},
};

pub(crate) struct Conn<T> {
    pub(crate) stream: T,
    pub(crate) buf: Buf,
    pub(crate) peer: SocketAddr,
    pub(crate) guest: Guest,
    /// The peer is a proxy whose word about its clients counts.
    pub(crate) trusted: bool,
    pub(crate) entrance: Entrance,
    /// The target of the last request.
    pub(crate) last: Option<Rc<Backend>>,
    is_cut: bool,
}

/// How long and how much a closing connection is read, so that the answer is not lost to a reset.
pub(super) const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

impl<T: Transport> Conn<T> {
    /// `trusted`: the peer is a proxy whose word counts.
    pub(crate) fn new(stream: T, guest: Guest, (peer, trusted): (SocketAddr, bool), entrance: Entrance) -> Self {
        Self { stream, buf: Buf::default(), peer, guest, trusted, entrance, last: None, is_cut: false }
    }

    /// A response broke off: the connection ends with a reset, since an orderly end could look like the response's.
    pub(crate) fn cut(&mut self) {
        self.stream.reset();
        self.is_cut = true;
    }

    /// Closes so that what was written arrives, even if the client is still sending. What was cut is closed already.
    pub(crate) async fn close(&mut self, spare: &Spare, unread: bool) {
        if self.is_cut {
            return;
        }
        if finish(&mut self.stream.split().1, LINGER).await.is_err() || (!unread && self.buf.is_empty()) {
            return;
        }
        // Nothing is served any more: it may go for others.
        self.guest.turn(At::Idle);
        let Conn { stream, buf, guest, .. } = self;
        let (mut client, _) = stream.split();
        let drain = timeout(LINGER, async {
            let mut seen = 0;
            while seen < LINGER_BYTES {
                buf.consume(buf.len());
                match buf.fill(&mut client, spare).await {
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
}
