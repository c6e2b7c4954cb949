//! Audit rows on their way to the store: those that must be there first are awaited, the rest is written in batches. What
//! somebody types again and again is counted in one row (`domain::flood`).
//!
//! Invariant: [`AuditLog::flush`] returns after everything noted before it can be read.

use domain::AppId;
use domain::flood::{Count, Flood, Kind, Place};
use domain::ids::AuditId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{AuditRow, Store};
use system::clock::now;
use system::fault::{Fault, Result};
use system::tasks::Tasks;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Rows waiting to be written; whoever brings another waits.
const WAITING_MAX: usize = 256;
/// How long commands that end while the server stops may still leave a row.
const LATE: Duration = Duration::from_millis(300);
/// How often rows that count are looked through for those to be completed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where commands leave what is not worth waiting for.
#[derive(Debug)]
pub struct AuditLog {
    store: Store,
    later: mpsc::Sender<Note>,
    flood: Arc<Mutex<Flood>>,
}

/// Where a command that runs was noted.
#[derive(Debug)]
pub enum Begun {
    /// In a row of its own.
    Own(AuditId, Kind),
    /// In one that counts; its own is written if it turns out to be worth one.
    Counted(Kind, Box<AuditRow>, Option<AppId>),
}

#[derive(Debug)]
enum Note {
    /// A command that only read, from beginning to end.
    Whole(Box<AuditRow>, Option<AppId>),
    /// The end of a command whose row is there.
    End(AuditId, u8, Option<AppId>),
    /// Somebody waits for everything before.
    Written(oneshot::Sender<()>),
}

impl AuditLog {
    /// Starts the writer.
    pub fn start(store: Store, tasks: &Tasks) -> AuditLog {
        let (later, notes) = mpsc::channel(WAITING_MAX);
        let (to, flood) = (store.clone(), Arc::<Mutex<Flood>>::default());
        let counts = Arc::clone(&flood);
        tasks.spawn("audit writer", move |stop| write(to, notes, counts, stop));
        AuditLog { store, later, flood }
    }

    /// Sees to it that there is a row before a command runs.
    pub async fn begin(&self, row: AuditRow, app: Option<AppId>) -> Result<Begun> {
        let mut flood = self.flood.lock().await;
        match flood.begin(kind_of(&row), now()) {
            Place::Own(kind) => {
                drop(flood);
                let id = self.store.write(move |tx| tx.add_audit(&row, app.as_ref())).await?;
                Ok(Begun::Own(id, kind))
            }
            Place::Open(kind) => {
                self.open(&mut flood, &kind, &row, app.as_ref()).await?;
                Ok(Begun::Counted(kind, Box::new(row), app))
            }
            Place::Counted(kind, _) => Ok(Begun::Counted(kind, Box::new(row), app)),
        }
    }

    /// Notes how a command ended, and the app that it made.
    pub async fn end(&self, begun: Begun, code: u8, made: Option<AppId>) -> Result<()> {
        match begun {
            Begun::Own(id, kind) => {
                self.flood.lock().await.ended_own(kind, code != 0, now());
                self.note(Note::End(id, code, made)).await
            }
            Begun::Counted(kind, row, app) => {
                if self.flood.lock().await.ended(&kind, code, code != 0, now()) {
                    return Ok(());
                }
                let row = AuditRow { exit_code: Some(code), ..*row };
                self.note(Note::Whole(Box::new(row), app.or(made))).await
            }
        }
    }

    /// Notes a command as a whole: one that only read.
    pub async fn whole(&self, row: AuditRow, app: Option<AppId>) -> Result<()> {
        let code = row.exit_code.unwrap_or_default();
        let mut flood = self.flood.lock().await;
        match flood.begin(kind_of(&row), now()) {
            Place::Own(kind) => {
                flood.ended_own(kind, true, now());
                drop(flood);
                self.note(Note::Whole(Box::new(row), app)).await
            }
            Place::Open(kind) => {
                self.open(&mut flood, &kind, &row, app.as_ref()).await?;
                flood.ended(&kind, code, true, now());
                Ok(())
            }
            Place::Counted(kind, _) => {
                flood.ended(&kind, code, true, now());
                Ok(())
            }
        }
    }

    /// Writes the row that counts from here on.
    async fn open(&self, flood: &mut Flood, kind: &Kind, row: &AuditRow, app: Option<&AppId>) -> Result<()> {
        let mut open = AuditRow { exit_code: None, repeats: Some(0), ..row.clone() };
        let mut app = app.cloned();
        if kind.line.is_none() {
            open.line = format!("{} … (too many to keep each)", kind.verb);
            // They may have been about several.
            (open.app, app) = (None, None);
        }
        match self.store.write(move |tx| tx.add_audit(&open, app.as_ref())).await {
            Ok(id) => {
                flood.opened(kind, id, now());
                Ok(())
            }
            Err(err) => {
                flood.not_opened(kind);
                Err(err)
            }
        }
    }

    /// Waits until what was noted is written; what the rows that still count have counted.
    pub async fn flush(&self) -> Result<BTreeMap<AuditId, Count>> {
        let (written, wait) = oneshot::channel();
        self.note(Note::Written(written)).await?;
        let _ = wait.await;
        Ok(self.flood.lock().await.open())
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.later.send(note).await.map_err(|_| Fault::plain("the audit writer has ended").into())
    }
}

fn kind_of(row: &AuditRow) -> Kind {
    // A user's name is theirs alone, a deploy key's is its app's.
    let user = row.actor.parse::<domain::UserName>().is_ok();
    let from = row.origin.parse().map_or_else(|_| row.origin.clone(), |a: std::net::SocketAddr| a.ip().to_string());
    Kind {
        who: if user { row.actor.clone() } else { row.key.clone() },
        from,
        verb: row.verb.clone(),
        app: row.app.clone().unwrap_or_default(),
        line: Some(row.line.clone()),
    }
}

async fn write(store: Store, mut notes: mpsc::Receiver<Note>, flood: Arc<Mutex<Flood>>, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        let first = tokio::select! {
            note = notes.recv() => note,
            _ = look.tick(), if !stop.is_cancelled() => {
                complete(&store, flood.lock().await.over(now())).await;
                continue;
            }
            late = async { stop.cancelled().await; tokio::time::timeout(LATE, std::future::pending::<()>()).await } => {
                let _ = late;
                notes.try_recv().ok()
            }
        };
        let Some(first) = first else { break };
        let mut batch = vec![first];
        while batch.len() < WAITING_MAX
            && let Ok(more) = notes.try_recv()
        {
            batch.push(more);
        }
        let written = store
            .write(move |tx| {
                let mut waiting = Vec::new();
                for note in batch {
                    match note {
                        Note::Whole(row, app) => drop(tx.add_audit(&row, app.as_ref())?),
                        Note::End(id, code, made) => tx.end_audit(id, code, made.as_ref())?,
                        Note::Written(who) => waiting.push(who),
                    }
                }
                Ok(waiting)
            })
            .await;
        match written {
            Ok(waiting) => waiting.into_iter().for_each(|who| who.send(()).unwrap_or(())),
            Err(err) => tracing::error!("audit rows were not written: {}", err.chain()),
        }
    }
    complete(&store, flood.lock().await.end()).await;
}

async fn complete(store: &Store, over: Vec<(AuditId, Count)>) {
    if over.is_empty() {
        return;
    }
    let done = store.write(move |tx| over.iter().try_for_each(|(id, count)| tx.end_counting(*id, count))).await;
    if let Err(err) = done {
        tracing::error!("audit rows were not completed: {}", err.chain());
    }
}
