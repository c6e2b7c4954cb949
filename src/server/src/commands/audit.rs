//! Audit rows on their way to the store: those that must be there first are awaited, the rest is written in batches.
//!
//! Invariant: [`AuditLog::flush`] returns after everything noted before it can be read.

use crate::fault::{Fault, Result};
use crate::store::{AuditRow, Store};
use crate::tasks::Tasks;
use domain::AppId;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Rows waiting to be written; whoever brings another waits.
const WAITING_MAX: usize = 256;
/// How long commands that end while the server stops may still leave a row.
const LATE: Duration = Duration::from_millis(300);

/// Where commands leave what is not worth waiting for.
#[derive(Debug)]
pub struct AuditLog {
    store: Store,
    later: mpsc::Sender<Note>,
}

#[derive(Debug)]
enum Note {
    /// A command that only read, from beginning to end.
    Whole(Box<AuditRow>, Option<AppId>),
    /// The end of a command whose row is there.
    End(i64, u8, Option<AppId>),
    /// Somebody waits for everything before.
    Written(oneshot::Sender<()>),
}

impl AuditLog {
    /// Starts the writer.
    pub fn start(store: Store, tasks: &Tasks) -> AuditLog {
        let (later, notes) = mpsc::channel(WAITING_MAX);
        let to = store.clone();
        tasks.spawn("audit writer", move |stop| write(to, notes, stop));
        AuditLog { store, later }
    }

    /// Writes a row before its command runs; its id.
    pub async fn begin(&self, row: AuditRow, app: Option<AppId>) -> Result<i64> {
        self.store.write(move |tx| tx.add_audit(&row, app.as_ref())).await
    }

    /// Notes how a command ended, and the app that it made.
    pub async fn end(&self, id: i64, code: u8, made: Option<AppId>) -> Result<()> {
        self.note(Note::End(id, code, made)).await
    }

    /// Notes a command as a whole.
    pub async fn whole(&self, row: AuditRow, app: Option<AppId>) -> Result<()> {
        self.note(Note::Whole(Box::new(row), app)).await
    }

    /// Waits until what was noted is written.
    pub async fn flush(&self) -> Result<()> {
        let (written, wait) = oneshot::channel();
        self.note(Note::Written(written)).await?;
        let _ = wait.await;
        Ok(())
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.later.send(note).await.map_err(|_| Fault::plain("the audit writer has ended").into())
    }
}

async fn write(store: Store, mut notes: mpsc::Receiver<Note>, stop: CancellationToken) {
    loop {
        let first = tokio::select! {
            note = notes.recv() => note,
            late = async { stop.cancelled().await; tokio::time::timeout(LATE, std::future::pending::<()>()).await } => {
                let _ = late;
                notes.try_recv().ok()
            }
        };
        let Some(first) = first else { return };
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
            Err(err) => tracing::error!("audit rows were not written: {}", err.lines().join("; ")),
        }
    }
}
