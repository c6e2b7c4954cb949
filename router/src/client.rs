//! The control process's end of the control protocol. Every call has a deadline; reconnecting is the caller's business.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use crate::proto::{
    Answer, Ask, Change, Event, FrameError, Hello, Load, Snapshot, Tell, What, read_frame, write_frame,
};

/// A connection to a router. Cheap to share by reference; asks may overlap.
#[derive(Debug)]
pub struct RouterClient {
    asks: mpsc::Sender<Ask>,
    waiting: Waiting,
    next: AtomicU64,
    _reader: AbortOnDropHandle<()>,
    _writer: AbortOnDropHandle<()>,
}

/// Events of one connection; ends with it.
pub type Events = mpsc::Receiver<Event>;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it ended.
    #[error("the router is not connected")]
    Gone,
    /// The stream broke.
    #[error("cannot talk to the router")]
    Frame(#[from] FrameError),
    /// The router did not answer in time.
    #[error("the router did not answer within {0:?}")]
    Late(Duration),
    /// The router speaks another protocol.
    #[error("the router speaks version {0} of the control protocol")]
    Version(u32),
    /// The router did not do it. For routes: send a snapshot.
    #[error("the router refused: {0}")]
    Refused(String),
    /// The answer does not fit the ask.
    #[error("the router gave an answer that does not fit")]
    Odd,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

const EVENTS: usize = 256;
const ASKS: usize = 64;
/// Between two looks at the loads in `wait_idle`.
const POLL: Duration = Duration::from_millis(20);

impl RouterClient {
    /// Connects and reads the router's hello.
    pub async fn connect(path: &Path, deadline: Duration) -> Result<(Self, Hello, Events), ClientError> {
        let hello = async {
            let mut stream = UnixStream::connect(path).await.map_err(|_| ClientError::Gone)?;
            match read_frame(&mut stream).await? {
                Some(Tell::Hello(hello)) if hello.version == crate::proto::VERSION => Ok((stream, hello)),
                Some(Tell::Hello(hello)) => Err(ClientError::Version(hello.version)),
                Some(Tell::Answer { .. } | Tell::Event { .. }) => Err(ClientError::Odd),
                None => Err(ClientError::Gone),
            }
        };
        let (stream, hello) = timeout(deadline, hello).await.map_err(|_| ClientError::Late(deadline))??;
        let (mut read, mut write) = stream.into_split();
        let (asks, mut to_send) = mpsc::channel::<Ask>(ASKS);
        let (events_in, events) = mpsc::channel(EVENTS);
        let waiting = Waiting::default();
        let shared = waiting.clone();
        #[allow(
            clippy::disallowed_methods,
            reason = "owned by the client's abort-on-drop handles; router has no Tasks"
        )]
        let reader = tokio::spawn(async move {
            while let Ok(Some(tell)) = read_frame(&mut read).await {
                match tell {
                    Tell::Answer { id, answer } => {
                        if let Some(reply) = lock(&shared).remove(&id) {
                            let _ = reply.send(answer);
                        }
                    }
                    // A full queue drops: a wake comes again as long as somebody waits.
                    Tell::Event { event } => drop(events_in.try_send(event)),
                    Tell::Hello(_) => {}
                }
            }
            lock(&shared).clear();
        });
        #[allow(clippy::disallowed_methods, reason = "as above")]
        let writer = tokio::spawn(async move {
            while let Some(ask) = to_send.recv().await {
                if write_frame(&mut write, &ask).await.is_err() {
                    break;
                }
            }
        });
        let client = Self {
            asks,
            waiting,
            next: AtomicU64::new(1),
            _reader: AbortOnDropHandle::new(reader),
            _writer: AbortOnDropHandle::new(writer),
        };
        Ok((client, hello, events))
    }

    /// Gives the whole table; returns once it is served and synced.
    pub async fn install(&self, snapshot: Snapshot, deadline: Duration) -> Result<u64, ClientError> {
        serving(self.ask(What::Snapshot(snapshot), deadline).await?)
    }

    /// Changes the table; returns once it is served and synced.
    pub async fn change(&self, change: Change, deadline: Duration) -> Result<u64, ClientError> {
        serving(self.ask(What::Change(change), deadline).await?)
    }

    /// How busy these targets are, and how many requests wait on held routes.
    pub async fn loads(&self, targets: Vec<String>, deadline: Duration) -> Result<(Vec<Load>, u64), ClientError> {
        match self.ask(What::Loads { targets }, deadline).await? {
            Answer::Loads { loads, held } => Ok((loads, held)),
            other => Err(odd(other)),
        }
    }

    /// Asks clients last served by these targets to come on a new connection.
    pub async fn drain(&self, targets: Vec<String>, deadline: Duration) -> Result<(), ClientError> {
        done(self.ask(What::Drain { targets }, deadline).await?)
    }

    /// Waits until none of these targets serves a request; returns the last loads either way, busy ones if late.
    pub async fn wait_idle(&self, targets: Vec<String>, deadline: Duration) -> Result<Vec<Load>, ClientError> {
        let end = Instant::now() + deadline;
        let mut pause = Duration::from_millis(1);
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
            let (loads, _) = self.loads(targets.clone(), left).await?;
            if loads.iter().all(|l| l.in_flight == 0) || Instant::now() >= end {
                return Ok(loads);
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL);
        }
    }

    /// Says whether this router writes the table to disk.
    pub async fn role(&self, active: bool, deadline: Duration) -> Result<(), ClientError> {
        done(self.ask(What::Role { active }, deadline).await?)
    }

    /// Begins the end of the router: it stops accepting, finishes requests within the grace, and exits.
    pub async fn shutdown(&self, grace: Duration, deadline: Duration) -> Result<(), ClientError> {
        done(self.ask(What::Shutdown { grace }, deadline).await?)
    }

    async fn ask(&self, what: What, deadline: Duration) -> Result<Answer, ClientError> {
        let end = Instant::now() + deadline;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        lock(&self.waiting).insert(id, reply);
        let _forget = Forget { waiting: &self.waiting, id };
        let exchange = async {
            self.asks.send(Ask { id, what }).await.map_err(|_| ClientError::Gone)?;
            if self._reader.is_finished() {
                return Err(ClientError::Gone);
            }
            answer.await.map_err(|_| ClientError::Gone)
        };
        timeout_at(end, exchange).await.map_err(|_| ClientError::Late(deadline))?
    }
}

/// Takes an ask off the list however its call ends, also when the caller stops waiting.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.id);
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn serving(answer: Answer) -> Result<u64, ClientError> {
    match answer {
        Answer::Serving { generation } => Ok(generation),
        other => Err(odd(other)),
    }
}

fn done(answer: Answer) -> Result<(), ClientError> {
    match answer {
        Answer::Done => Ok(()),
        other => Err(odd(other)),
    }
}

fn odd(answer: Answer) -> ClientError {
    match answer {
        Answer::Refused { why } => ClientError::Refused(why),
        Answer::Serving { .. } | Answer::Loads { .. } | Answer::Done => ClientError::Odd,
    }
}
