//! The control socket: who connects, what they ask, what they are told.
//!
//! Any number of control processes may be connected (two are during a self-upgrade); table changes queue for the one
//! task that owns the table, questions about loads are answered beside it. No decision is taken here.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use tokio::{
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::RouterError,
    proto::{Answer, Ask, Event, Hello, Tell, What, read_frame, write_frame},
    worker_pool::Workers,
};

/// What only the owner of the table can answer.
pub(crate) enum Command {
    Hello(oneshot::Sender<Hello>),
    Ask(What, oneshot::Sender<Answer>),
}

/// What a connection needs.
pub(crate) struct Context {
    pub(crate) workers: Workers,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) tasks: TaskTracker,
    /// No more asks are read; what was asked is still answered.
    pub(crate) ending: CancellationToken,
}

/// The socket file; removed when dropped, if it is still this one.
pub(crate) struct Socket {
    path: PathBuf,
    inode: u64,
    listener: UnixListener,
}

const TELLS: usize = 64;
const WRITE_MAX: Duration = Duration::from_secs(10);
const CONNECTIONS: usize = 32;

impl Socket {
    /// Binds beside the path and moves the socket there: a successor replaces it without a moment of absence.
    pub(crate) fn bind(path: &Path) -> Result<Self, RouterError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(RouterError::io("create", dir))?;
        }
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let _ = std::fs::remove_file(&beside);
        let listener = UnixListener::bind(&beside).map_err(RouterError::io("bind", &beside))?;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&beside, mode).map_err(RouterError::io("protect", &beside))?;
        let inode = std::fs::metadata(&beside).map_err(RouterError::io("read", &beside))?.ino();
        std::fs::rename(&beside, path).map_err(RouterError::io("rename", &beside))?;
        Ok(Self { path: path.to_path_buf(), inode, listener })
    }

    /// Takes connections for ever.
    pub(crate) async fn serve(&self, context: Rc<Context>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if context.tasks.len() < CONNECTIONS * 2 => {
                    context.tasks.spawn_local(connection(context.clone(), stream));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if std::fs::metadata(&self.path).is_ok_and(|m| m.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

async fn connection(context: Rc<Context>, stream: UnixStream) {
    let events = context.events.subscribe();
    let (reply, hello) = oneshot::channel();
    if context.commands.send(Command::Hello(reply)).await.is_err() {
        return;
    }
    let Ok(hello) = hello.await else { return };
    let (mut read, mut write) = stream.into_split();
    if !matches!(timeout(WRITE_MAX, write_frame(&mut write, &Tell::Hello(hello))).await, Ok(Ok(()))) {
        return;
    }
    let (tells, outbox) = mpsc::channel(TELLS);
    let reader = async move {
        let asks = async {
            while let Ok(Some(ask)) = read_frame::<Ask>(&mut read).await {
                answer(&context, ask, &tells).await;
            }
        };
        let _ = context.ending.run_until_cancelled(asks).await;
        // With the last sender gone the writer ends, after the answers that are still due.
        drop(tells);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reader => {}
        () = tell(write, outbox, events) => {}
    }
}

/// Answers at once, or has the owner of the table answer in turn.
async fn answer(context: &Rc<Context>, Ask { id, what }: Ask, tells: &mpsc::Sender<Tell>) {
    match what {
        What::Loads { targets } => {
            let answer = context.workers.loads(targets).await;
            let _ = tells.send(Tell::Answer { id, answer }).await;
        }
        What::Drain { targets } => {
            let answer = context.workers.drain(targets).await;
            let _ = tells.send(Tell::Answer { id, answer }).await;
        }
        What::Snapshot(_) | What::Change(_) | What::Role { .. } | What::Shutdown { .. } => {
            let (reply, answer) = oneshot::channel();
            // Bounded by the queue: the reader waits here while too much is pending.
            if context.commands.send(Command::Ask(what, reply)).await.is_err() {
                return;
            }
            let tells = tells.clone();
            context.tasks.spawn_local(async move {
                let why = || Answer::Refused { why: "the router is ending".into() };
                let answer = answer.await.unwrap_or_else(|_| why());
                let _ = tells.send(Tell::Answer { id, answer }).await;
            });
        }
    }
}

/// Writes answers and events until the reader on the other side is too slow or gone.
async fn tell(mut write: OwnedWriteHalf, mut outbox: mpsc::Receiver<Tell>, mut events: broadcast::Receiver<Event>) {
    loop {
        let tell = tokio::select! {
            tell = outbox.recv() => match tell {
                Some(tell) => tell,
                None => return,
            },
            event = events.recv() => match event {
                Ok(event) => Tell::Event { event },
                // Missed ones come again while somebody waits.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            },
        };
        if !matches!(timeout(WRITE_MAX, write_frame(&mut write, &tell)).await, Ok(Ok(()))) {
            return;
        }
    }
}
