//! An upgraded connection: bytes both ways until one side has closed and the other has too, or nothing moved for long.

use std::{cell::Cell, io};

use tokio::{
    io::AsyncWrite,
    time::{Instant, timeout_at},
};

use super::{
    buf::{Buf, Spare},
    transport::{Reader, Transport, finish, write},
};
use crate::config::Limits;

/// One end of a tunnel, with what was read from it so far.
pub(crate) struct End<'a, T> {
    pub(crate) stream: &'a mut T,
    pub(crate) buf: &'a mut Buf,
}

/// Carries both directions; gives back how many bytes went to the client.
pub(crate) async fn run<C: Transport, T: Transport>(
    client: End<'_, C>,
    target: End<'_, T>,
    limits: &Limits,
    spare: &Spare,
) -> u64 {
    let moved = Cell::new(Instant::now());
    let bytes = Cell::new(0);
    let (client_read, client_write) = client.stream.split();
    let (target_read, target_write) = target.stream.split();
    let up = carry(Way { from: client_read, buf: client.buf, to: target_write, moved: &moved }, limits, spare, None);
    let down =
        carry(Way { from: target_read, buf: target.buf, to: client_write, moved: &moved }, limits, spare, Some(&bytes));
    // The first fault of either direction ends both; an orderly close ends only its own.
    let _ = tokio::try_join!(up, down);
    bytes.get()
}

struct Way<'a, R, W> {
    from: R,
    buf: &'a mut Buf,
    to: W,
    moved: &'a Cell<Instant>,
}

async fn carry<R: Reader, W: AsyncWrite + Unpin>(
    mut way: Way<'_, R, W>,
    limits: &Limits,
    spare: &Spare,
    count: Option<&Cell<u64>>,
) -> io::Result<()> {
    loop {
        if !way.buf.is_empty() {
            write(&mut way.to, way.buf.bytes(), limits.idle_window).await?;
            if let Some(count) = count {
                count.set(count.get() + way.buf.len() as u64);
            }
            way.buf.consume(way.buf.len());
        }
        let due = way.moved.get() + limits.tunnel_idle;
        match timeout_at(due, way.buf.fill(&mut way.from, spare)).await {
            Ok(Ok(0)) => return finish(&mut way.to, limits.idle_window).await,
            Ok(Ok(_)) => way.moved.set(Instant::now()),
            Ok(Err(err)) => return Err(err),
            Err(_) if way.moved.get() + limits.tunnel_idle > due => {}
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
