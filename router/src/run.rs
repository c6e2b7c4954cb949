//! The process `hoist router`: threads up, table loaded, ready said, signals obeyed, everything ended.
//!
//! It serves from its own disk, without a control process. It prints nothing.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    rc::Rc,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{broadcast, mpsc},
    task::LocalSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::Log,
    config::{RouterConfig, RouterError},
    control::{Control, Parts},
    control_socket::{Command, Context, Socket},
    disk::Disk,
    proto::{Answer, Event, Hello, VERSION, What},
    worker_pool::WorkerPool,
};

/// What the router says once it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Where it listens.
    pub listeners: Vec<SocketAddr>,
    /// The number of the table from its disk.
    pub generation: u64,
    /// That table is of another boot and waits for a snapshot.
    pub held: bool,
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const EVENTS: usize = 256;
const COMMANDS: usize = 16;
const NOTES: usize = 64;
/// After the grace, how long threads may take to end.
const LAST: Duration = Duration::from_secs(2);

/// Serves until told to end. The listeners are bound by the caller; `ready` is called once requests are answered.
pub fn run(config: RouterConfig, listeners: Vec<TcpListener>, ready: impl FnOnce(&Ready)) -> Result<(), RouterError> {
    let boot_id = boot_id(&config)?;
    let (disk, stored) = Disk::open(config.data.join("routes"))?;
    let log = Log::start(config.logs.clone(), config.spool_bytes)?;
    let (events_in, events) = mpsc::channel(EVENTS);
    let (notes_in, notes) = mpsc::channel(NOTES);
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let mut pool = WorkerPool::start(&config, &listeners, &log, (&events_in, &notes_in))?;
    drop((listeners, events_in, notes_in));
    let (boot_hold, active) = (config.limits.boot_hold, config.active);
    let workers = pool.workers.clone();
    let control = Control::new(Parts { stored, boot_id, boot_hold, workers, disk, active });
    let thread_fault = |name: &'static str| move |_| RouterError::Thread { name: name.into() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(thread_fault("main"))?;
    let result =
        LocalSet::new().block_on(&runtime, main(&config, control, addresses, (events, notes), &mut pool, ready));
    // Without senders a worker ends at once, also on an early error.
    drop(runtime);
    pool.join(LAST);
    log.finish(LAST);
    result
}

fn boot_id(config: &RouterConfig) -> Result<String, RouterError> {
    match &config.boot_id {
        Some(id) => Ok(id.clone()),
        None => {
            let text = std::fs::read_to_string(Path::new(BOOT_ID)).map_err(RouterError::io("read", BOOT_ID))?;
            Ok(text.trim().to_string())
        }
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> Result<Self, RouterError> {
        let on = |kind| signal(kind).map_err(RouterError::io("watch", "signals"));
        Ok(Self {
            term: on(SignalKind::terminate())?,
            int: on(SignalKind::interrupt())?,
            hup: on(SignalKind::hangup())?,
        })
    }

    /// A signal to end. A hangup is read and ignored.
    async fn end(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => {}
            }
        }
    }
}

async fn main(
    config: &RouterConfig,
    mut control: Control,
    listeners: Vec<SocketAddr>,
    (mut events, mut notes): (mpsc::Receiver<Event>, mpsc::Receiver<String>),
    pool: &mut WorkerPool,
    ready: impl FnOnce(&Ready),
) -> Result<(), RouterError> {
    let mut signals = Signals::new()?;
    control.begin().await.map_err(|_| RouterError::Thread { name: "worker".into() })?;
    let socket = Socket::bind(&config.socket())?;
    let (commands_in, mut commands) = mpsc::channel(COMMANDS);
    let (told, _) = broadcast::channel(EVENTS);
    let workers = pool.workers.clone();
    let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
    let context =
        Rc::new(Context { workers: workers.clone(), commands: commands_in, events: told.clone(), tasks, ending });
    ready(&Ready { listeners: listeners.clone(), generation: control.generation, held: control.held() });

    let (stop_in, mut stop) = mpsc::channel(1);
    let owner = async {
        while let Some(command) = commands.recv().await {
            serve_command(command, &mut control, &listeners, &stop_in).await;
        }
    };
    let pass_on = async {
        while let Some(event) = events.recv().await {
            let _ = told.send(event);
        }
        std::future::pending::<()>().await;
    };
    let report = async {
        while let Some(line) = notes.recv().await {
            if let Some(report) = config.report {
                report(&line);
            }
        }
        std::future::pending::<()>().await;
    };
    let beside = async { tokio::join!(owner, pass_on, report, socket.serve(context.clone())) };
    let ending = async {
        let grace = tokio::select! {
            () = signals.end() => config.limits.grace,
            grace = stop.recv() => grace.unwrap_or_default(),
            () = pool.any_ended() => return Err(RouterError::Thread { name: "worker".into() }),
        };
        workers.stop(grace).await;
        let due = Instant::now() + grace + LAST;
        tokio::select! {
            () = pool.all_ended() => {}
            () = sleep_until(due) => {}
            () = signals.end() => {
                workers.stop(Duration::ZERO).await;
                let _ = timeout(LAST, pool.all_ended()).await;
            }
        }
        context.ending.cancel();
        context.tasks.close();
        let _ = timeout(LAST, context.tasks.wait()).await;
        Ok(())
    };
    tokio::select! {
        _ = beside => Ok(()),
        result = ending => result,
    }
}

async fn serve_command(
    command: Command,
    control: &mut Control,
    listeners: &[SocketAddr],
    stop: &mpsc::Sender<Duration>,
) {
    match command {
        Command::Hello(reply) => {
            let hello = Hello {
                version: VERSION,
                pid: std::process::id(),
                boot_id: control.boot_id.clone(),
                generation: control.generation,
                held: control.held(),
                listeners: listeners.to_vec(),
                active: control.active,
            };
            let _ = reply.send(hello);
        }
        Command::Ask(what, reply) => {
            let answer = match what {
                What::Snapshot(snapshot) => control.install(snapshot).await,
                What::Change(change) => control.change(change).await,
                What::Role { active } => control.role(active).await,
                What::Shutdown { grace } => {
                    let _ = stop.try_send(grace);
                    Answer::Done
                }
                What::Loads { .. } | What::Drain { .. } => Answer::Refused { why: "the table does not know".into() },
            };
            let _ = reply.send(answer);
        }
    }
}
