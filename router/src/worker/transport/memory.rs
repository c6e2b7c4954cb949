//! Connections without a socket: two ends in one thread, with so much room between them and not more.
//!
//! Stricter than a socket where that shows a fault, as TLS is: what was written may stay where it is until it is flushed,
//! and an end that was dropped without being shut down first is no clean end for the other.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::seam::{Entrance, Listen, Reader, Transport};

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Written, and not yet flushed.
    unsent: Vec<u8>,
    room: usize,
    end: Option<End>,
    /// The reader is gone.
    deaf: bool,
    waits: [Option<Waker>; 2],
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The writer said so.
    Clean,
    /// The writer was dropped.
    Dropped,
    /// The writer was reset.
    Reset,
}

/// One end of a connection.
pub(crate) struct Memory {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    is_reset: Cell<bool>,
}

pub(crate) struct Half(Rc<RefCell<Pipe>>);

/// Two ends, and room for so many bytes in each direction.
pub(crate) fn pair(room: usize) -> (Memory, Memory) {
    let pipe = || Rc::new(RefCell::new(Pipe { room, ..Pipe::default() }));
    let (one, two) = (pipe(), pipe());
    let end = |incoming: &Rc<_>, outgoing: &Rc<_>| Memory {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        is_reset: Cell::new(false),
    };
    (end(&one, &two), end(&two, &one))
}

impl Pipe {
    fn wake(&mut self) {
        self.waits.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, side: usize, cx: &Context<'_>) -> Poll<T> {
        self.waits[side] = Some(cx.waker().clone());
        Poll::Pending
    }

    fn flush(&mut self) {
        self.bytes.extend(self.unsent.drain(..));
        self.wake();
    }

    fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.wake();
    }
}

impl Memory {
    /// How the other side's direction ended, if it did.
    pub(crate) fn ended(&self) -> Option<End> {
        self.incoming.borrow().end
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let end = if self.is_reset.get() { End::Reset } else { End::Dropped };
        self.outgoing.borrow_mut().finish(end);
        let mut incoming = self.incoming.borrow_mut();
        incoming.deaf = true;
        incoming.wake();
    }
}

impl Transport for Memory {
    type Reader<'a> = Half;
    type Writer<'a> = Half;

    fn split(&mut self) -> (Half, Half) {
        (Half(self.incoming.clone()), Half(self.outgoing.clone()))
    }

    fn is_quiet(&self) -> bool {
        let pipe = self.incoming.borrow();
        pipe.bytes.is_empty() && pipe.end.is_none()
    }

    fn reset(&self) {
        self.is_reset.set(true);
    }

    fn dismiss(self, words: &[u8]) {
        let mut pipe = self.outgoing.borrow_mut();
        pipe.bytes.extend(words);
        pipe.finish(End::Clean);
    }
}

impl Reader for Half {
    async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut pipe = self.0.borrow_mut();
            if pipe.bytes.is_empty() && pipe.end.is_none() { pipe.wait(0, cx) } else { Poll::Ready(Ok(())) }
        })
        .await
    }
}

impl AsyncRead for Half {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        let n = pipe.bytes.len().min(buf.remaining());
        match (n, pipe.end) {
            (1.., _) => {
                let taken: Vec<u8> = pipe.bytes.drain(..n).collect();
                buf.put_slice(&taken);
                pipe.wake();
                Poll::Ready(Ok(()))
            }
            (0, Some(End::Clean)) => Poll::Ready(Ok(())),
            (0, Some(End::Dropped)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            (0, Some(End::Reset)) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (0, None) => pipe.wait(0, cx),
        }
    }
}

impl AsyncWrite for Half {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.deaf || pipe.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = (pipe.room - pipe.bytes.len() - pipe.unsent.len()).min(bytes.len());
        if n == 0 {
            pipe.flush();
            return pipe.wait(1, cx);
        }
        pipe.unsent.extend(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        pipe.flush();
        pipe.finish(End::Clean);
        Poll::Ready(Ok(()))
    }
}

/// Those who came and were not taken yet, and who is woken for them.
type Line = (VecDeque<(Memory, SocketAddr)>, Option<Waker>);

/// Where a test puts connections in.
#[derive(Clone)]
pub(crate) struct Listener {
    entrance: Entrance,
    line: Rc<RefCell<Line>>,
}

impl Listener {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, line: Rc::default() }
    }

    /// A client comes in as this peer; its end of the connection.
    pub(crate) fn connect(&self, peer: &str, room: usize) -> Memory {
        let (ours, theirs) = pair(room);
        let (line, waker) = &mut *self.line.borrow_mut();
        line.push_back((theirs, peer.parse().unwrap()));
        waker.take().into_iter().for_each(Waker::wake);
        ours
    }
}

impl Listen for Listener {
    type Transport = Memory;

    fn entrance(&self) -> Entrance {
        self.entrance
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Memory, SocketAddr)>> {
        let (line, waker) = &mut *self.line.borrow_mut();
        match line.pop_front() {
            Some(next) => Poll::Ready(Ok(next)),
            None => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
