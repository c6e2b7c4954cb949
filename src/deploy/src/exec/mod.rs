//! Programs run inside an instance for somebody outside: the streams of `run`, `enter` and `ps:exec`.
//!
//! `hoist-init` serves a socket in a folder of the instance's own (`DATA/run/io/ID`, mounted; only root may enter it, and root
//! inside is nobody once init has started). Why not the engine's attach and exec: they copy every byte through Docker, end with
//! it, take Ctrl-P for themselves, and start as another process with another environment; this is the app's own init, its
//! user, its environment, and a session whose connection breaks (a client gone, a server killed) is ended by init itself.
//! Absent: who may do this, what is noted about it (`commands/`).

mod frames;

use crate::Parts;
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
use system::io::{Chunk, Io, Terminal};
use system::layout::Layout;
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

/// Removes it, when the instance is gone, with whatever the instance put there.
pub fn forget(p: &Parts, id: InstanceId) {
    let folder = p.layout.io(id);
    if let Err(err) = p.trash.take(&folder) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener as Blocking;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixListener;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn only_a_socket_in_the_folder_itself_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, at) = (dir.path().join("io"), dir.path().join("io/sock"));
        std::fs::create_dir(&folder).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        let _listening = Blocking::bind(&elsewhere).unwrap();
        let tried = async |what: &str| {
            let answer = tokio::time::timeout(DEADLINE, connect(&folder, Duration::from_millis(10))).await;
            assert!(answer.expect(what).is_err(), "{what}");
        };
        tried("nothing").await;
        std::os::unix::fs::symlink(&elsewhere, &at).unwrap();
        tried("a link").await;
        std::fs::remove_file(&at).unwrap();
        std::fs::create_dir(&at).unwrap();
        tried("a folder").await;
        std::fs::remove_dir(&at).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        tried("a pipe").await;
        std::fs::remove_file(&at).unwrap();
        drop(Blocking::bind(&at).unwrap());
        tried("a socket that nobody listens at").await;
        std::fs::remove_file(&at).unwrap();
        let full = Blocking::bind(&at).unwrap();
        rustix::net::listen(&full, 0).unwrap();
        let _waiting = std::os::unix::net::UnixStream::connect(&at).unwrap();
        tried("a socket that takes nobody").await;
    }

    /// What speaks in the init's place cannot make us hold much, or take its word for anything but an end.
    #[tokio::test]
    async fn nonsense_and_floods_end_a_session() {
        let dir = tempfile::tempdir().unwrap();
        let flood = [[0, 0, 0, 1, b'n', b'x'].as_slice(); 10_000].concat();
        let cases: [(&str, Vec<u8>, bool); 4] = [
            ("words of another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), false),
            ("a frame of 4 GB", [255, 255, 255, 255, b'o'].to_vec(), false),
            ("half a frame", [0, 0, 0, 9, b'o', 1].to_vec(), true),
            ("notes without end, then an end", flood, true),
        ];
        for (n, (what, bytes, cut)) in cases.into_iter().enumerate() {
            let folder = dir.path().join(n.to_string());
            std::fs::create_dir(&folder).unwrap();
            let listener = UnixListener::bind(folder.join("sock")).unwrap();
            let stream = connect(&folder, DEADLINE).await.unwrap();
            let (_stdin, stdin) = mpsc::channel(1);
            let (out, mut shown) = mpsc::channel(64);
            let mut io = Io { stdin, out, hangup: CancellationToken::new(), tty: false, terminal: None };
            let speak = async {
                let (mut theirs, _) = listener.accept().await.unwrap();
                let _they_may_have_gone = theirs.write_all(&bytes).await;
            };
            let carried = async { tokio::join!(carry(stream, &[], None, &mut io), speak).0 };
            let ending = tokio::time::timeout(DEADLINE, carried).await.expect(what);
            assert_eq!(matches!(ending, Ok(Ending::Cut)), cut, "{what}: {ending:?}");
            assert_eq!(ending.is_err(), !cut, "{what}: {ending:?}");
            assert!(shown.try_recv().is_err(), "{what}");
        }
    }
}
