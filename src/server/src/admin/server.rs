//! The server's side of the admin socket.

use super::carry::{Carried, STALLED_MAX, carry};
use super::hook::{FRAMES_MAX, HookHandler, HookIo};
use super::share::Gatekeeper;
use super::{HELLO_MAX, Hello, socket_path};
use async_trait::async_trait;
use bytes::Bytes;
use domain::Refusal;
use domain::refusal::Code;
use futures_util::FutureExt;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use system::fault::{Act, Fault, Result};
use system::frames::{self, Tag};
use system::io::Io;
use system::tasks::Tasks;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Conversations of the local administrator, and of sshd about keys, at once; more wait.
const CONVERSATIONS_MAX: usize = 256;
/// Conversations of hooks at once; more wait. Each belongs to an open push, and their number is bounded elsewhere.
const HOOKS_MAX: usize = 1_024;
/// Clients that have not yet said what they want.
const ARRIVING_MAX: usize = 64;
/// How long a conversation may last once the server stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What runs the local administrator's commands.
#[async_trait]
pub trait LocalShell: Send + Sync + 'static {
    /// Runs the words as `Principal::Local` and returns the exit code.
    async fn run(&self, argv: Vec<String>, io: Io) -> u8;
}

/// A bound socket, not serving yet. The socket's file goes when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: SocketFile,
    uid: u32,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Server {
    /// Binds the socket of a data folder; one that nobody answers on is replaced.
    pub async fn bind(data: &Path) -> Result<Server> {
        let path = socket_path(data);
        let act = || format!("cannot listen on {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).act(act)?;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).act(act)?;
        }
        match UnixStream::connect(&path).await {
            Ok(_) => {
                let what = format!("a server is running on {} already", data.display());
                return Err(Refusal::new(Code::AlreadyRunning, what)
                    .next(format!("hoist --data {} shutdown", data.display()))
                    .into());
            }
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) if err.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(&path).act(act)?,
            Err(err) if err.kind() == ErrorKind::InvalidInput => {
                let what = format!("the path {} is too long for a socket", path.display());
                return Err(Refusal::new(Code::PathTooLong, what)
                    .next("choose a data folder with a path of at most 90 bytes")
                    .into());
            }
            Err(err) => return Err(Fault::new(act(), err).into()),
        }
        let listener = UnixListener::bind(&path).act(act)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).act(act)?;
        Ok(Server { listener, path: SocketFile(path), uid: rustix::process::geteuid().as_raw() })
    }

    /// Serves until `tasks` stops.
    pub fn serve<H: LocalShell + HookHandler + Gatekeeper>(self, host: Arc<H>, tasks: &Tasks) {
        let owner = tasks.clone();
        tasks.spawn("admin listener", move |stop| self.accept(host, owner, stop));
    }

    async fn accept<H: LocalShell + HookHandler + Gatekeeper>(
        self,
        host: Arc<H>,
        tasks: Tasks,
        stop: CancellationToken,
    ) {
        let _file = self.path;
        let arriving = Arc::new(Semaphore::new(ARRIVING_MAX));
        // A push waits as long as its deploy takes: it does not keep the administrator out.
        let places = Arc::new(Kinds { local: Semaphore::new(CONVERSATIONS_MAX), hooks: Semaphore::new(HOOKS_MAX) });
        loop {
            let next = async {
                let place = arriving.clone().acquire_owned().await;
                (self.listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = stop.cancelled() => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) if may_enter(&stream, self.uid) => {
                    let (host, places) = (host.clone(), places.clone());
                    tasks.spawn("admin conversation", move |stop| async move {
                        let deadline = async {
                            stop.cancelled().await;
                            tokio::time::sleep(STOP_MAX).await;
                        };
                        tokio::select! {
                            () = deadline => {}
                            result = converse(stream, host, place.ok(), &places) => {
                                if let Err(err) = result {
                                    tracing::debug!(%err, "admin conversation");
                                }
                            }
                        }
                    });
                }
                Ok((_, _)) => tracing::warn!("a user other than root tried the admin socket"),
                Err(err) => {
                    tracing::warn!(%err, "cannot accept on the admin socket");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// Root, or the user that the server runs as.
fn may_enter(stream: &UnixStream, own: u32) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

/// Places by what is wanted.
struct Kinds {
    local: Semaphore,
    hooks: Semaphore,
}

async fn converse<H: LocalShell + HookHandler + Gatekeeper>(
    stream: UnixStream,
    host: Arc<H>,
    arriving: Option<OwnedSemaphorePermit>,
    places: &Kinds,
) -> std::io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let first = tokio::time::timeout(HELLO_MAX, frames::read_async(&mut reader)).await??;
    let Some((Tag::Hello, bytes)) = first else { return Err(ErrorKind::InvalidData.into()) };
    let hello: serde_json::Value = serde_json::from_slice(&bytes)?;
    drop(arriving);
    if hello.get("kind").and_then(serde_json::Value::as_str) == Some("hook") {
        let _place = places.hooks.acquire().await;
        return hook(hello, host, reader, writer).await;
    }
    let _place = places.local.acquire().await;
    match serde_json::from_value(hello)? {
        Hello::Command { argv, tty, stdin } => {
            let streams = Carried { stdin, tty, hangup: CancellationToken::new(), deaf: CancellationToken::new() };
            carry(reader, writer, streams, |io| LocalShell::run(&*host, argv, io)).await
        }
        Hello::Key { fingerprint, program } => {
            let line = host.authorized_line(&fingerprint, &program).await;
            if let Some(line) = line {
                frames::write_async(&mut writer, Tag::Out, format!("{line}\n").as_bytes()).await?;
            }
            frames::write_async(&mut writer, Tag::Exit, &[0]).await
        }
    }
}

async fn hook<H: HookHandler>(
    hello: serde_json::Value,
    hooks: Arc<H>,
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
) -> std::io::Result<()> {
    let (frames_tx, frames_rx) = mpsc::channel(FRAMES_MAX);
    let (answers, mut answers_rx) = mpsc::channel::<Bytes>(FRAMES_MAX);
    let closed = CancellationToken::new();
    let io = HookIo { frames: frames_rx, answers, closed: closed.clone() };
    let work = AssertUnwindSafe(hooks.hook(hello, io)).catch_unwind();
    let write = async {
        while let Some(bytes) = answers_rx.recv().await {
            let sent = tokio::time::timeout(STALLED_MAX, frames::write_async(&mut writer, Tag::Hook, &bytes)).await;
            if !matches!(sent, Ok(Ok(()))) {
                // The handler's sends fail from here on.
                answers_rx.close();
                return;
            }
        }
    };
    let read = async {
        let mut to = Some(frames_tx);
        loop {
            match frames::read_async(&mut reader).await {
                Ok(Some((Tag::Hook, bytes))) => {
                    let gone = match &to {
                        Some(sender) => sender.send(Bytes::from(bytes)).await.is_err(),
                        None => false,
                    };
                    if gone {
                        to = None;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    drop(to.take());
                    closed.cancel();
                    return std::future::pending::<()>().await;
                }
            }
        }
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(work, write) } => {
            if ended.is_err() {
                tracing::error!("a hook's handler panicked");
            }
        }
        () = read => {}
    }
    Ok(())
}
