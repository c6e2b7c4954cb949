//! Bytes on TCP, as they are: HTTP without TLS from clients, and all that goes to targets.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use tokio::net::{
    TcpStream,
    tcp::{ReadHalf, WriteHalf},
};

use super::seam::{Entrance, Listen, Reader, Scheme, Transport};

/// What leads to a target.
pub(crate) type Upstream = TcpStream;

pub(crate) async fn connect(target: SocketAddr) -> io::Result<Upstream> {
    let stream = TcpStream::connect(target).await?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

impl Transport for TcpStream {
    type Reader<'a> = ReadHalf<'a>;
    type Writer<'a> = WriteHalf<'a>;

    fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        TcpStream::split(self)
    }

    fn is_quiet(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(err) if err.kind() == io::ErrorKind::WouldBlock)
    }

    fn reset(&self) {
        let _ = self.set_zero_linger();
    }

    fn dismiss(self, words: &[u8]) {
        // The runtime does not know yet that it can be written to: the socket does.
        if let Ok(mut stream) = self.into_std() {
            let _ = io::Write::write(&mut stream, words);
        }
    }
}

impl Reader for ReadHalf<'_> {
    async fn readable(&self) -> io::Result<()> {
        ReadHalf::readable(self).await
    }
}

pub(crate) struct Listener {
    socket: tokio::net::TcpListener,
    entrance: Entrance,
}

impl Listener {
    pub(crate) fn new(socket: std::net::TcpListener, scheme: Scheme) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        let socket = tokio::net::TcpListener::from_std(socket)?;
        Ok(Self { socket, entrance: Entrance { scheme, port } })
    }
}

impl Listen for Listener {
    type Transport = TcpStream;

    fn entrance(&self) -> Entrance {
        self.entrance
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.socket.poll_accept(cx).map_ok(|(stream, peer)| {
            let _ = stream.set_nodelay(true);
            (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()))
        })
    }
}
