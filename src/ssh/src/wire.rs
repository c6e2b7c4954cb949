//! The connection below SSH: notices how the client goes away, and can be cut.
//!
//! russh tells an orderly end from a dead transport only by log lines; the socket itself knows.

use super::Gone;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What became, or should become, of a connection. Clones speak of the same one.
#[derive(Debug, Clone, Default)]
pub struct Fate(Arc<FateState>);

#[derive(Debug, Default)]
struct FateState {
    gone: OnceLock<Gone>,
    ended: CancellationToken,
    cut: CancellationToken,
}

impl Fate {
    /// How the client went away; the first cause counts.
    pub fn gone(&self) -> Option<Gone> {
        self.0.gone.get().copied()
    }

    /// Waits until the client has gone away.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// Says that an end from now on is ours, not the client's wish.
    pub fn leave(&self) {
        self.note(Gone::Lost);
    }

    /// Ends the connection from our side.
    pub fn cut(&self) {
        self.leave();
        self.0.cut.cancel();
    }

    fn note(&self, gone: Gone) {
        let _ = self.0.gone.set(gone);
        self.0.ended.cancel();
    }

    fn note_error(&self, err: &io::Error) {
        // A client that is killed with data unread makes its kernel send a reset: an end as orderly as a FIN.
        self.note(match err.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Gone::Closed
            }
            _ => Gone::Lost,
        });
    }
}

/// A stream with a fate.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    fate: Fate,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Wire<S> {
    /// Wraps a stream.
    pub fn new(stream: S, fate: Fate) -> Wire<S> {
        let cut = Box::pin(fate.0.cut.clone().cancelled_owned());
        Wire { stream, fate, cut }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut")),
            Poll::Pending => Ok(()),
        }
    }

    fn seen<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(err)) = &result {
            self.fate.note_error(err);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if matches!(result, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0 {
            this.fate.note(Gone::Closed);
        }
        this.seen(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.seen(result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.seen(result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // russh shuts the stream down after a disconnect message; one of ours is preceded by a cut.
        this.fate.note(Gone::Closed);
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
