//! State in SQLite: the only folder that speaks SQL and opens transactions.
//!
//! Invariant: one writer thread owns the writing connection, so transactions are serial; WAL with synchronous=FULL, so
//! what was acknowledged survives a power cut; a corrupt file is refused and its bytes are left alone. Secret values are
//! sealed before they become rows (`cipher`), with a key that lies beside the file (`keyfile`).
//! Absent: any knowledge of the engine.

mod apps;
mod audit;
mod builds;
mod cipher;
mod columns;
mod deploys;
mod domains;
mod events;
mod instances;
mod keyfile;
mod keys;
mod leaving;
mod networks;
mod quotas;
mod registries;
mod releases;
mod runs;
mod schema;
mod sealed;
mod tap;
mod tx;
mod users;

pub use apps::App;
pub use audit::{AuditFilter, AuditRow};
pub use builds::{Build, BuildStatus};
pub use columns::Word;
pub use deploys::{Ask, DeployRow, NewDeploy, StepRow};
pub use domains::Claimant;
pub use events::{EventFilter, EventRow, Trimmed};
pub use instances::{Addresses, InstanceRow, NewInstance};
pub use keys::{DeployKey, NewKey};
pub use leaving::{Keys, Lost};
pub use networks::Networks;
pub use quotas::{OnceLoad, Quota};
pub use registries::RegistryLogin;
pub use releases::{Release, ReleaseStatus};
pub use runs::RunRow;
#[cfg(any(test, feature = "testing"))]
pub use tap::Judge;
pub use tap::Moment;
pub use tx::{Result, Tx, TxError};
pub use users::{Key, User};

use cipher::Cipher;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, mpsc as std_mpsc};
use std::time::Duration;
use system::fault::{Error, Fault};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Calls waiting for one of the two threads; more than this waits in the caller.
const QUEUE_MAX: usize = 256;
/// How long a call may wait for its turn and its answer.
const CALL_MAX: Duration = Duration::from_secs(30);
/// How long a commit itself may take where the caller's time was over when it began.
const COMMIT_MAX: Duration = Duration::from_secs(10);
/// The same where the whole file is written anew.
const ROTATE_MAX: Duration = Duration::from_secs(600);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the database; clones share the two threads. Dropping the last one closes the file in order.
#[derive(Clone)]
pub struct Store {
    writer: Arc<Worker>,
    reader: Arc<Worker>,
    cipher: Arc<RwLock<Cipher>>,
    path: Arc<Path>,
    tap: tap::Tap,
    /// Rings after each write.
    written: Arc<watch::Sender<()>>,
    /// Rings after each write that says that something happened.
    happened: Arc<watch::Sender<()>>,
}

/// A thread that owns one connection.
struct Worker {
    jobs: Option<std_mpsc::SyncSender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens (or makes) the database and its key, checks them, migrates, seals what an older Hoist left in clear.
    ///
    /// # Errors
    /// A file that is not a sound database, or that a newer Hoist wrote, is refused and left as it is; so is one whose key is
    /// missing, damaged or another's.
    pub fn open(path: &Path) -> Result<Store, Fault> {
        let keys = if path.exists() { check_sound(path)? } else { Vec::new() };
        Store::open_checked(path, &keys)
    }

    /// [`Store::open`] of a file that a test knows to be sound: it has just written it.
    #[cfg(any(test, feature = "testing"))]
    pub fn open_sound(path: &Path) -> Result<Store, Fault> {
        Store::open_checked(path, &[])
    }

    fn open_checked(path: &Path, keys: &[String]) -> Result<Store, Fault> {
        let cipher = keyfile::load(&keyfile::beside(path), keys)?;
        let mut writer = connect(path).map_err(|err| named(path, err))?;
        schema::migrate(&mut writer, path)?;
        let cipher = sealed::settle(&mut writer, path, cipher)
            .map_err(|err| Fault::new(format!("cannot seal the secret values in {}", path.display()), err))?;
        let reader = connect(path).map_err(|err| named(path, err))?;
        Ok(Store {
            writer: Arc::new(serve("store-write", writer)?),
            reader: Arc::new(serve("store-read", reader)?),
            cipher: Arc::new(RwLock::new(cipher)),
            path: path.into(),
            tap: tap::Tap::new(),
            written: Arc::new(watch::Sender::new(())),
            happened: Arc::new(watch::Sender::new(())),
        })
    }

    /// Replaces the key of secret values: the old one's id, the new one's, and how many rows were sealed anew. Nothing else is
    /// written meanwhile.
    pub async fn rotate_key(&self) -> Result<(String, String, usize), Error> {
        let (path, cipher) = (Arc::clone(&self.path), Arc::clone(&self.cipher));
        ask(&self.writer, ROTATE_MAX, move |conn, _| sealed::rotate(conn, &path, &cipher)).await
    }

    /// Runs `work` in one immediate transaction; an error rolls it back, and so does a caller who has given up by then.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx) -> Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.call(&self.writer, TransactionBehavior::Immediate, work).await
    }

    /// Runs `work` on one consistent snapshot; writing in it fails.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx) -> Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.call(&self.reader, TransactionBehavior::Deferred, work).await
    }

    /// Waits until `look` finds what it looks for, which it does at once and after each write; `None` once `until` has passed.
    pub async fn wait_for<T: Send + 'static>(
        &self,
        until: Instant,
        look: impl Fn(&Tx) -> Result<Option<T>> + Clone + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let mut written = self.written.subscribe();
        loop {
            // Before it looks: a write that comes meanwhile makes it look again.
            written.mark_unchanged();
            if let Some(found) = self.read(look.clone()).await? {
                return Ok(Some(found));
            }
            if tokio::time::timeout_at(until, written.changed()).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Changes whenever something has happened: for those who read events.
    pub fn news(&self) -> watch::Receiver<()> {
        self.happened.subscribe()
    }

    async fn call<T: Send + 'static>(
        &self,
        worker: &Worker,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Tx) -> Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (cipher, tap) = (Arc::clone(&self.cipher), self.tap.clone());
        let (written, happened) = (Arc::clone(&self.written), Arc::clone(&self.happened));
        let judged = move |conn: &mut Connection, decided: &Decided| {
            let writes = matches!(behavior, TransactionBehavior::Immediate);
            let passes = |moment| match tap.passes(moment, writes) {
                true => Ok(()),
                false => Err(Fault::plain("a test made the database fail").transient()),
            };
            passes(Moment::Begin)?;
            let (done, news) = transact(conn, behavior, &cipher, decided, |tx| {
                let done = work(tx)?;
                passes(Moment::BeforeCommit)?;
                Ok(done)
            })?;
            if writes {
                written.send_replace(());
            }
            if news {
                happened.send_replace(());
            }
            passes(Moment::AfterCommit)?;
            Ok(done)
        };
        ask(worker, CALL_MAX, judged).await
    }

    /// Has a test judge every transaction from now on.
    #[cfg(any(test, feature = "testing"))]
    pub fn set_judge(&self, judge: Judge) {
        self.tap.set(judge);
    }
}

/// Who comes first, the caller who gives up or the thread that is about to commit, decides what becomes of a transaction.
#[derive(Debug, Clone, Default)]
struct Decided(Arc<AtomicBool>);

impl Decided {
    /// Whether this is the first to decide.
    fn first(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// Gives up when dropped: what has not been committed by then never is.
struct Caller(Decided);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.first();
    }
}

async fn ask<T: Send + 'static>(
    worker: &Worker,
    most: Duration,
    work: impl FnOnce(&mut Connection, &Decided) -> Result<T> + Send + 'static,
) -> Result<T, Error> {
    let (answer, mut answered) = oneshot::channel();
    let caller = Caller(Decided::default());
    let decided = caller.0.clone();
    let job: Job = Box::new(move |conn| {
        let _ = answer.send(work(conn, &decided));
    });
    let sent = worker.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
    if !sent {
        return Err(Fault::plain("the database is overloaded or gone").transient().into());
    }
    let done = match tokio::time::timeout(most, &mut answered).await {
        Ok(done) => done,
        Err(_) if caller.0.first() => {
            return Err(Fault::plain("the database does not answer; nothing was written").transient().into());
        }
        // It is being committed this moment: then the answer is near.
        Err(_) => match tokio::time::timeout(COMMIT_MAX, answered).await {
            Ok(done) => done,
            Err(_) => {
                return Err(
                    Fault::plain("the database does not answer; what was asked for may still be written").into()
                );
            }
        },
    };
    match done {
        Ok(done) => Ok(done?),
        Err(_) => Err(Fault::plain("the database thread has ended").into()),
    }
}

fn transact<T>(
    conn: &mut Connection,
    behavior: TransactionBehavior,
    cipher: &RwLock<Cipher>,
    decided: &Decided,
    work: impl FnOnce(&Tx) -> Result<T>,
) -> Result<(T, bool)> {
    // Held for the whole transaction: what it reads was sealed with these keys.
    let cipher = cipher.read().unwrap_or_else(PoisonError::into_inner);
    let tx = conn.transaction_with_behavior(behavior)?;
    let news = Cell::new(false);
    let done = work(&Tx(&tx, &cipher, &news))?;
    if !decided.first() {
        return Err(Fault::plain("who asked for this has given up").transient().into());
    }
    tx.commit()?;
    Ok((done, news.get()))
}

fn serve(name: &str, mut conn: Connection) -> Result<Worker, Fault> {
    let (sender, jobs) = std_mpsc::sync_channel::<Job>(QUEUE_MAX);
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 * 1024)
        .spawn(move || {
            for job in jobs {
                job(&mut conn);
            }
        })
        .map_err(|err| Fault::new("cannot start the database thread", err))?;
    Ok(Worker { jobs: Some(sender), thread: Some(thread) })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(10))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    conn.pragma_update(None, "cache_size", -512)?;
    // What is deleted or replaced is overwritten, not left in free pages.
    conn.pragma_update(None, "secure_delete", "ON")?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Reads the file through a connection that cannot write; anything unsound is refused. The ids of the keys that it needs.
fn check_sound(path: &Path) -> Result<Vec<String>, Fault> {
    let check = || -> rusqlite::Result<(String, Vec<String>)> {
        let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.busy_timeout(Duration::from_secs(10))?;
        let word: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let keys = if word == "ok" { sealed::keys_in(&conn)? } else { Vec::new() };
        Ok((word, keys))
    };
    match check() {
        Ok((word, keys)) if word == "ok" => Ok(keys),
        Ok((words, _)) => Err(damaged(path, &words)),
        Err(err) => Err(damaged(path, &err.to_string())),
    }
}

fn damaged(path: &Path, why: &str) -> Fault {
    Fault::plain(format!(
        "{} is damaged ({why}); it was left as it is. Put a backup in its place, then start again; running apps keep being served",
        path.display()
    ))
}

fn named(path: &Path, err: rusqlite::Error) -> Fault {
    Fault::new(format!("cannot open {}", path.display()), err)
}

/// Removes every sealed value from a database whose key is lost, and every trace of the key; how many rows. No server may run
/// on it.
pub fn forget_secrets(path: &Path) -> Result<usize, Fault> {
    check_sound(path)?;
    let mut conn = connect(path).map_err(|err| named(path, err))?;
    sealed::forget(&mut conn, path)
        .map_err(|err| Fault::new(format!("cannot forget the secrets in {}", path.display()), err))
}

/// Where the database lies in a data folder.
pub fn path_in(data: &Path) -> PathBuf {
    data.join("hoist.db")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
