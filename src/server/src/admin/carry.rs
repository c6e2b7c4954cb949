//! A command over an open conversation: its streams as frames, its end as the last one.

use bytes::Bytes;
use futures_util::FutureExt;
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use system::frames::{self, Tag};
use system::io::{CHUNKS_MAX, Chunk, Io};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a client may refuse to take output.
pub(super) const STALLED_MAX: Duration = Duration::from_secs(120);
/// The exit code of a command that panicked: EX_SOFTWARE.
const SOFTWARE: u8 = 70;

/// How a command's streams are carried.
pub(super) struct Carried {
    /// Whether standard input will be sent on request; otherwise it is empty.
    pub stdin: bool,
    /// Whether output goes to a terminal.
    pub tty: bool,
    /// Fired when the client has gone.
    pub hangup: CancellationToken,
    /// Fired to end the conversation before the command has ended.
    pub deaf: CancellationToken,
}

/// Runs a command over an open conversation.
pub(super) async fn carry<F: Future<Output = u8>>(
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    streams: Carried,
    run: impl FnOnce(Io) -> F,
) -> std::io::Result<()> {
    let Carried { stdin, tty, hangup, deaf } = streams;
    let (stdin_tx, stdin_rx) = mpsc::channel(1);
    let (out, out_rx) = mpsc::channel(CHUNKS_MAX);
    let (want, wants) = mpsc::channel(1);
    let io = Io { stdin: stdin_rx, out, hangup: hangup.clone(), tty, terminal: None };
    let work = AssertUnwindSafe(run(io)).catch_unwind();
    let input = listen(reader, stdin.then_some(stdin_tx), want, &hangup);
    let output = async {
        tokio::select! {
            () = deaf.cancelled() => Err(ErrorKind::ConnectionAborted.into()),
            written = write_out(writer, out_rx, wants) => written,
        }
    };
    let (ended, written) = tokio::select! {
        done = async { tokio::join!(work, output) } => done,
        () = input => return Ok(()),
    };
    let mut writer = written?;
    let code = ended.unwrap_or_else(|_| {
        tracing::error!("a command panicked");
        SOFTWARE
    });
    frames::write_async(&mut writer, Tag::Exit, &[code]).await
}

/// Writes output and requests for input until the command has ended; afterwards gives the writer back.
async fn write_out(
    mut writer: OwnedWriteHalf,
    mut chunks: mpsc::Receiver<Chunk>,
    mut wants: mpsc::Receiver<()>,
) -> std::io::Result<OwnedWriteHalf> {
    let mut asked = true;
    loop {
        let (tag, bytes) = tokio::select! {
            biased;
            chunk = chunks.recv() => match chunk {
                Some(Chunk::Out(bytes) | Chunk::Raw(bytes)) => (Tag::Out, bytes),
                Some(Chunk::Err(bytes)) => (Tag::Err, bytes),
                None => return Ok(writer),
            },
            want = wants.recv(), if asked => match want {
                Some(()) => (Tag::Want, Bytes::new()),
                None => {
                    asked = false;
                    continue;
                }
            },
        };
        tokio::time::timeout(STALLED_MAX, frames::write_async(&mut writer, tag, &bytes)).await??;
    }
}

/// Reads the client's frames. Never returns: the command's end ends it; the client's end fires `hangup`.
async fn listen(
    mut reader: OwnedReadHalf,
    mut stdin: Option<mpsc::Sender<Bytes>>,
    want: mpsc::Sender<()>,
    hangup: &CancellationToken,
) {
    loop {
        // The client sends one piece for each request, so a place for it is there before it is asked for.
        let place = match stdin.take() {
            Some(sender) => {
                let ready = async { sender.reserve_owned().await.ok() };
                match beside(ready, &mut reader, hangup).await {
                    Some(place) if want.send(()).await.is_ok() => Some(place),
                    Some(_) | None => None,
                }
            }
            None => None,
        };
        match (frames::read_async(&mut reader).await, place) {
            (Ok(Some((Tag::Stdin, bytes))), Some(place)) => stdin = Some(place.send(Bytes::from(bytes))),
            // Dropping the place ends the command's input.
            (Ok(Some((Tag::StdinEnd, _))), _) => {}
            (Ok(Some((_, _))), _) => {}
            (Ok(None) | Err(_), _) => {
                hangup.cancel();
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Waits for `ready`; the client may only end meanwhile, which fires `hangup`.
async fn beside<T>(
    ready: impl Future<Output = Option<T>>,
    reader: &mut OwnedReadHalf,
    hangup: &CancellationToken,
) -> Option<T> {
    tokio::pin!(ready);
    loop {
        tokio::select! {
            got = &mut ready => return got,
            _ = reader.readable() => {
                let mut byte = [0; 1];
                match reader.try_read(&mut byte) {
                    Err(err) if err.kind() == ErrorKind::WouldBlock => {}
                    // Neither an end, nor a piece that nobody asked for, leads to anything but the end.
                    Ok(_) | Err(_) => {
                        hangup.cancel();
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}
