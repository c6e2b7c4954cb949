//! Programs run inside an instance for somebody outside: the streams of `run`, `enter` and `ps:exec`.
//!
//! `hoist-init` serves a socket in a folder of the instance's own (`DATA/run/io/ID`, mounted; only root may enter it, and root
//! inside is nobody once init has started). Why not the engine's attach and exec: they copy every byte through Docker, end with
//! it, take Ctrl-P for themselves, and start as another process with another environment; this is the app's own init, its
//! user, its environment, and a session whose connection breaks (a client gone, a server killed) is ended by init itself.
//! Absent: who may do this, what is noted about it (`commands/`).

mod frames;

use crate::io::{Chunk, Io, Terminal};
use crate::layout::Layout;
use domain::InstanceId;
use frames::{Ask, Told, receive, send};
use rustix::fs::{Mode, OFlags, fstat, open, openat};
use serde_json::json;
use std::future::pending;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

const SOCKET: &str = "sock";
/// Between two looks whether a new instance's socket is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The program ended with this code, 128+N for signals.
    Exited(u8),
    /// It could not be started: a shell's code for that, and why.
    NotStarted(u8, String),
    /// The instance ended before the program said how.
    Cut,
    /// The client went away first.
    Left,
}

/// Makes the folder of an instance's socket.
pub fn prepare(layout: &Layout, id: InstanceId) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(layout.io(id))
}

/// Removes it, when the instance is gone.
pub fn forget(layout: &Layout, id: InstanceId) {
    let folder = layout.io(id);
    if let Err(err) = crate::proc::remove_tree(&folder) {
        tracing::warn!("cannot remove {}: {err}", folder.display());
    }
}

/// Connects to an instance's init; one that was started a moment ago may take up to `max` to be there.
pub async fn connect(folder: &Path, max: Duration) -> Result<UnixStream> {
    let end = Instant::now() + max;
    loop {
        match connect_once(folder).await {
            Err(err)
                if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) && Instant::now() < end =>
            {
                sleep(LOOK_EVERY).await;
            }
            other => return other,
        }
    }
}

/// By descriptors: whatever stands in the socket's place, a link out of the folder is not followed, and no path is too long.
async fn connect_once(folder: &Path) -> Result<UnixStream> {
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let socket = openat(&folder, SOCKET, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::FileType::from_raw_mode(fstat(&socket)?.st_mode) != rustix::fs::FileType::Socket {
        return Err(Error::new(ErrorKind::InvalidData, "not a socket"));
    }
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
}

/// Runs a program (none: a shell, or what the instance is there for) and carries its streams until it, the instance or the
/// client ends. Dropped, the program ends too.
pub async fn carry(stream: UnixStream, argv: &[String], terminal: Option<Terminal>, io: &mut Io) -> Result<Ending> {
    let (mut from, mut to) = stream.into_split();
    let about = terminal.as_ref().map(|it| {
        let size = *it.size.borrow();
        json!({"term": it.term, "rows": size.rows, "columns": size.columns})
    });
    if let Some(terminal) = &terminal {
        terminal.go_raw();
    }
    send(&mut to, Ask::Start(&json!({"argv": argv, "terminal": about}).to_string())).await?;
    let Io { stdin, out, hangup, .. } = io;
    let raw = terminal.is_some();
    let output = async {
        let mut note = None;
        loop {
            let chunk = match receive(&mut from).await {
                Ok(Some(Told::Out(bytes))) if raw => Chunk::Raw(bytes.into()),
                Ok(Some(Told::Out(bytes))) => Chunk::Out(bytes.into()),
                Ok(Some(Told::Err(bytes))) => Chunk::Err(bytes.into()),
                Ok(Some(Told::Note(bytes))) => {
                    note = Some(String::from_utf8_lossy(&bytes).into_owned());
                    continue;
                }
                Ok(Some(Told::Exit(code))) => {
                    return Ok(note.map_or(Ending::Exited(code), |why| Ending::NotStarted(code, why)));
                }
                Ok(None) => return Ok(Ending::Cut),
                Err(err) if matches!(err.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    return Ok(Ending::Cut);
                }
                Err(err) => return Err(err),
            };
            if out.send(chunk).await.is_err() {
                return Ok(Ending::Left);
            }
        }
    };
    let input = async {
        let mut sizes = terminal.as_ref().map(|it| it.size.clone());
        let mut open = true;
        loop {
            let resized = async {
                if let Some(sizes) = &mut sizes
                    && sizes.changed().await.is_ok()
                {
                    return *sizes.borrow_and_update();
                }
                pending().await
            };
            let sent = tokio::select! {
                bytes = stdin.recv(), if open => match bytes {
                    Some(bytes) => send(&mut to, Ask::Input(&bytes)).await,
                    None => {
                        open = false;
                        send(&mut to, Ask::InputEnd).await
                    }
                },
                size = resized => send(&mut to, Ask::Resize(size)).await,
            };
            if sent.is_err() {
                // The other half says how it ended.
                pending::<()>().await;
            }
        }
    };
    let left = async {
        tokio::select! { () = hangup.cancelled() => {}, () = out.closed() => {} }
    };
    tokio::select! {
        biased;
        ending = output => ending,
        () = left => Ok(Ending::Left),
        () = input => Ok(Ending::Left),
    }
}
