//! Every app's log: lines flow from the spools that instances, builds and the router write into one store per app.
//!
//! `DATA/logs/spool/KEY/{0,1}` (the router's: `ROUTER/spool/KEY`) is written by others and only read here; a writer in an
//! instance gets the files by `KEY/in` (`offer`); `KEY.json` beside it says whose it is, so that a new control process goes
//! on by itself; `DATA/logs/apps/APP` is the store.
//! Invariants: each line is stored once,
//! also across a kill at any byte; a flood costs its own app lines, which are counted, and nobody else; at rest nothing runs.
//! Absent: Docker, the database, who may read what.

mod app;
mod bucket;
mod follow;
mod grep;
mod ingest;
mod marks;
mod offer;
mod read;
mod ready;
mod scan;
mod seal;
mod sealed;
mod spool;
mod store;
mod watcher;

#[cfg(test)]
mod tests;

use app::AppLog;
use bucket::Floods;
use domain::{AppId, Timestamp};
use log_format::budget::{Budget, Segments};
use log_format::{Record, Source, SpoolKey, SpoolRecord, spool::SpoolLine};
pub use read::Ask;
use ready::Ready;
use serde::{Deserialize, Serialize};
use spool::SpoolReader;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use system::fault::{Act, Result};
use system::tasks::{Tasks, blocking};
use system::trash::Trash;
use tokio::sync::Semaphore;
use watcher::Watcher;

/// The priority of searching and sealing.
const NICE: i32 = 10;
/// Records on the way to one reader.
const CHANNEL_MAX: usize = 256;
/// Bytes of a spool that [`Logs::recent`] looks at.
const RECENT_MAX: u64 = 256 * 1024;

/// Where logs live and how much of them is kept.
#[derive(Debug, Clone)]
pub struct LogsConfig {
    /// `DATA/logs`.
    pub dir: PathBuf,
    /// Where the router's spools lie: a folder that its user owns.
    pub router_spools: PathBuf,
    /// Bytes on the disk, compressed for the most part; the oldest go first.
    pub budget: Budget,
    /// Bytes of one segment of the store.
    pub segment_bytes: u64,
    /// Bytes per second that an app may go on storing.
    pub rate: u64,
    /// Bytes that an app may store at once before `rate` counts.
    pub burst: u64,
    /// Bytes per second for all apps together that are over their burst.
    pub floods: u64,
}

impl LogsConfig {
    /// The usual sizes: 512 MB an app and 4 GB for all, in segments of 8 MiB; 4 MB/s an app after the first 64 MiB.
    pub fn at(dir: PathBuf) -> LogsConfig {
        const MIB: u64 = 1024 * 1024;
        let budget = Budget { app: 512_000_000, total: 4_096_000_000 };
        let router_spools = dir.join("spool");
        LogsConfig {
            dir,
            router_spools,
            budget,
            segment_bytes: 8 * MIB,
            rate: 4_000_000,
            burst: 64 * MIB,
            floods: 12_000_000,
        }
    }
}

/// Whose lines a spool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolMeta {
    /// The spool's name.
    pub key: SpoolKey,
    /// The app.
    pub app: AppId,
    /// What its stdout and stderr count as.
    pub source: Source,
    /// The process type; empty where there is none.
    pub process: String,
    /// The instance, `web.1`; empty where there is none.
    pub instance: String,
    /// The release that runs; 0 where there is none.
    pub release: u32,
}

/// Which event a line is of.
#[derive(Debug, Clone, Copy)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
    /// The largest number that there is: a log that knows larger ones goes with another database.
    pub newest: u64,
}

/// The logs of this installation. Clones share everything.
#[derive(Debug, Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: LogsConfig,
    tasks: Tasks,
    ready: Ready,
    watcher: Option<Watcher>,
    trash: Trash,
    apps: Mutex<BTreeMap<AppId, Arc<AppLog>>>,
    spools: Mutex<BTreeMap<SpoolKey, Arc<app::Handle>>>,
    /// What lies in the logs of apps that nothing was done with yet.
    unopened: Mutex<BTreeMap<AppId, Segments>>,
    waiting: seal::Waiting,
    floods: Arc<Floods>,
    /// Pieces of searches at work at a time, of all readers, and how many of them may be of one.
    searches: Arc<Semaphore>,
    search_width: usize,
    /// Held while a spool is begun.
    following: Mutex<()>,
    /// Turns taken so far: at rest it stands still.
    turns: AtomicU64,
}

impl Logs {
    /// Opens the logs, goes on with every spool that was followed, and starts the tasks that store lines.
    pub async fn open(config: LogsConfig, tasks: &Tasks) -> Result<Logs> {
        let watcher = Watcher::new();
        if let Err(err) = &watcher {
            tracing::warn!(%err, "no inotify: log spools are looked at twice a second");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let gone = config.dir.join("gone");
        let shared = Shared {
            trash: Trash::open(gone, tasks).act(|| "cannot make the folder of removed logs")?,
            floods: Arc::new(Floods::new(config.floods)),
            unopened: Mutex::default(),
            waiting: seal::Waiting::default(),
            searches: Arc::new(Semaphore::new(cores)),
            search_width: cores.min(8),
            config,
            tasks: tasks.clone(),
            ready: Ready::default(),
            watcher: watcher.ok(),
            apps: Mutex::default(),
            spools: Mutex::default(),
            following: Mutex::default(),
            turns: AtomicU64::new(0),
        };
        let logs = Logs { shared: Arc::new(shared) };
        let opening = logs.clone();
        let finishing = blocking("open the logs", move || opening.shared.resume()).await?;
        logs.start(finishing);
        Ok(logs)
    }

    /// The folder of a spool that a writer in an instance gets to see.
    pub fn writer_dir(&self, key: &SpoolKey) -> PathBuf {
        offer::folder(&self.shared.spool_dir(key))
    }

    /// Puts a spool's files where the next writer looks for them. Nothing may run that sees the folder.
    pub async fn offer(&self, key: &SpoolKey) -> Result<()> {
        let (shared, key) = (Arc::clone(&self.shared), key.clone());
        blocking("offer a log spool", move || {
            Ok(offer::offer(&shared.spool_dir(&key), &shared.trash).act(|| format!("cannot offer the spool {key}"))?)
        })
        .await
    }

    /// Whether a spool is followed.
    pub fn follows(&self, key: &SpoolKey) -> bool {
        lock(&self.shared.spools).contains_key(key)
    }

    /// Stores a line at once. An app's log that cannot be written now keeps the line for later, up to a limit.
    pub async fn append(&self, app: &AppId, record: Record) {
        let (shared, app) = (Arc::clone(&self.shared), app.clone());
        let done = blocking("store a log line", move || {
            let log = shared.app(&app).act(|| format!("cannot open the log of {app}"))?;
            if log.append(lines_of(record), clock()) != ready::Next::Idle {
                shared.ready.push(&app);
            }
            Ok(())
        });
        if let Err(err) = done.await {
            tracing::warn!(%err, "a log line of ours is lost");
        }
    }

    /// Stores the lines of what happened (with a newline between, where there are two), once: numbers grow with every event, and
    /// up to which one there are lines is kept with the lines themselves, so that neither a kill nor telling it again
    /// doubles one. False: they could not be stored now, and are to be told again.
    pub async fn append_once(&self, app: &AppId, event: Numbered, record: Record) -> Result<bool> {
        let (shared, app) = (Arc::clone(&self.shared), app.clone());
        blocking("store a log line", move || {
            let log = shared.app(&app).act(|| format!("cannot open the log of {app}"))?;
            let (stored, next) = log.append_once(event, lines_of(record), clock());
            if next != ready::Next::Idle {
                shared.ready.push(&app);
            }
            Ok(stored)
        })
        .await
    }

    /// The last `n` lines of one spool, straight from it.
    pub async fn recent(&self, key: &SpoolKey, n: usize) -> Result<Vec<SpoolRecord>> {
        let (dir, key) = (self.shared.spool_dir(key), key.clone());
        blocking("read a log spool", move || {
            let newest =
                SpoolReader::new(dir, None).newest(RECENT_MAX).act(|| format!("cannot read the spool {key}"))?;
            let whole = newest.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
            let lines: Vec<SpoolLine<'_>> = whole.filter_map(SpoolLine::parse).collect();
            Ok(lines.iter().skip(lines.len().saturating_sub(n)).map(SpoolLine::to_record).collect())
        })
        .await
    }
}

impl Shared {
    fn spool_root(&self) -> PathBuf {
        self.config.dir.join("spool")
    }

    fn spool_dir(&self, key: &SpoolKey) -> PathBuf {
        let root = if key.is_routers() { self.config.router_spools.clone() } else { self.spool_root() };
        root.join(key.as_str())
    }

    /// The note on whose spool it is, outside the folder that the app's container sees.
    fn meta_path(&self, key: &SpoolKey) -> PathBuf {
        self.spool_root().join(format!("{key}.json"))
    }

    fn app_dir(&self, app: &AppId) -> PathBuf {
        self.config.dir.join("apps").join(app.as_str())
    }

    fn app(&self, app: &AppId) -> std::io::Result<Arc<AppLog>> {
        Ok(self.app_and_marks(app)?.0)
    }

    /// The app's log, opened at first use; the marks come with the first.
    fn app_and_marks(&self, app: &AppId) -> std::io::Result<(Arc<AppLog>, store::Marks)> {
        let mut apps = lock(&self.apps);
        if let Some(log) = apps.get(app) {
            return Ok((Arc::clone(log), store::Marks::new()));
        }
        let (log, marks) = AppLog::open(app, &self.app_dir(app), &self.config, &self.floods, Instant::now())?;
        let log = Arc::new(log);
        lock(&self.unopened).remove(app);
        if log.wants_sealing() {
            self.waiting.push(app);
        }
        apps.insert(app.clone(), Arc::clone(&log));
        Ok((log, marks))
    }
}

/// Works at a priority below serving and storing, which take a processor first.
fn nicely<T>(work: impl FnOnce() -> T) -> T {
    use rustix::process::{getpriority_process, setpriority_process};
    let this = rustix::thread::gettid();
    let usual = getpriority_process(Some(this)).unwrap_or(0);
    // Only root may raise it again, and the pool's thread has other work afterwards.
    let lowered = rustix::process::geteuid().is_root() && setpriority_process(Some(this), usual.max(NICE)).is_ok();
    let done = work();
    if lowered {
        let _ = setpriority_process(Some(this), usual);
    }
    done
}

fn lines_of(record: Record) -> Vec<Record> {
    let whole = Record { text: String::new(), ..record.clone() };
    record.text.split('\n').map(|text| Record { text: text.to_owned(), ..whole.clone() }).collect()
}

/// "line" or "lines".
fn lines(n: u64) -> &'static str {
    if n == 1 { "line" } else { "lines" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}
