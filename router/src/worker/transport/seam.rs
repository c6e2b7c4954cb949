//! What a kind of connection must be able to do, and what is known of each.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// One connection. A read of no bytes is the peer's clean end: it said that nothing more follows. Whatever else ends it is
/// an error, so a body that lasts until the end is complete or known not to be. To shut the writer down says the same to
/// the peer, after all that was written, and leaves the other direction open. To drop a connection closes it.
pub(crate) trait Transport: 'static {
    type Reader<'a>: Reader;
    type Writer<'a>: AsyncWrite + Unpin;

    /// Both halves, to be used at the same time.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);

    /// Open, and nothing came that was not read.
    fn is_quiet(&self) -> bool;

    /// From now on its end is none that a peer could take for a clean one.
    fn reset(&self);

    /// Writes what goes out at once, and closes; for one that was never served.
    fn dismiss(self, words: &[u8]);
}

/// The half of a connection that reads.
pub(crate) trait Reader: AsyncRead + Unpin {
    /// Waits for something to read, an end among it, without a buffer to read it into.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;
}

pub(crate) trait Listen: 'static {
    type Transport: Transport;

    /// What all that comes in here has in common.
    fn entrance(&self) -> Entrance;

    /// The next connection and who it is, an IPv4 address as such. What must be known of it first, such as a handshake or
    /// the word of a proxy, has been read.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Transport, SocketAddr)>>;
}

/// How clients address what they reach through a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrance {
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) const ALL: [Self; 2] = [Self::Http, Self::Https];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Writes everything, or fails when nothing of it moves on for too long.
pub(crate) async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], patience: Duration) -> io::Result<()> {
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    timeout(patience, written).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Says that nothing more comes.
pub(crate) async fn finish(to: &mut (impl AsyncWrite + Unpin), patience: Duration) -> io::Result<()> {
    timeout(patience, to.shutdown()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
