//! The reader of events that writes apps' logs: what happened to an app becomes a line there, once.
//!
//! Invariant: an event's line is stored together with the event's number (`Logs::append_once`), and the cursor moves on
//! afterwards; killed in between, the reader tells the event again and the log knows it. An app whose log cannot be
//! written holds up only its own lines: the cursor stays before the first of them, and others are told past it.

use domain::AppId;
use domain::ids::EventId;
use log_format::Record;
use logs::{Logs, Numbered};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{EventRow, Store};
use system::fault::Result;
use system::tasks::Tasks;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the store knows the reader by.
const NAME: &str = "log";
/// Events read at a time.
const PAGE: u32 = 200;
/// Until lines are tried again that could not be stored.
const RETRY: Duration = Duration::from_secs(1);

/// The reader. Clones share how far it has come.
#[derive(Debug, Clone)]
pub struct LogLines {
    store: Store,
    logs: Logs,
    told: Arc<watch::Sender<EventId>>,
}

/// What was done of what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pass {
    /// Everything up to here is told.
    to: EventId,
    /// There is nothing behind it.
    whole: bool,
}

impl LogLines {
    /// A reader that has not begun.
    pub fn new(store: Store, logs: Logs) -> LogLines {
        LogLines { store, logs, told: Arc::new(watch::Sender::new(EventId(0))) }
    }

    /// Reads until the end of the server.
    pub fn start(&self, tasks: &Tasks) {
        let this = self.clone();
        tasks.spawn("log-lines", move |stop| async move { this.run(stop).await });
    }

    /// Tells all that there is to tell now; false if some of it could not be stored.
    pub async fn catch_up(&self) -> Result<bool> {
        let from = self.store.read(|tx| tx.event_reader(NAME)).await?;
        Ok(self.pass(from).await?.whole)
    }

    /// Waits until what has happened so far is told, but not for ever.
    pub async fn caught_up(&self, most: Duration) {
        let Ok(newest) = self.store.read(|tx| tx.newest_event()).await else { return };
        let mut told = self.told.subscribe();
        let _ = tokio::time::timeout(most, told.wait_for(|told| *told >= newest)).await;
    }

    async fn run(&self, stop: CancellationToken) {
        let mut news = self.store.news();
        let (mut from, mut quiet) = (None, false);
        while !stop.is_cancelled() {
            // Before it reads: what happens meanwhile makes it read again.
            news.mark_unchanged();
            let whole = match self.go_on(from).await {
                Ok(done) => {
                    from = Some(done.to);
                    self.told.send_replace(done.to);
                    quiet = false;
                    done.whole
                }
                Err(err) => {
                    if !quiet {
                        tracing::error!("lines of events are late: {}", err.chain());
                    }
                    quiet = true;
                    false
                }
            };
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if !whole => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn go_on(&self, from: Option<EventId>) -> Result<Pass> {
        let from = match from {
            Some(from) => from,
            None => self.store.read(|tx| tx.event_reader(NAME)).await?,
        };
        self.pass(from).await
    }

    /// Tells everything after `from`.
    async fn pass(&self, from: EventId) -> Result<Pass> {
        let (mut at, mut saved) = (from, from);
        let mut late: BTreeSet<AppId> = BTreeSet::new();
        let mut first_late = None;
        loop {
            let (newest, page) = self.store.read(move |tx| Ok((tx.newest_event()?, living(tx, at)?))).await?;
            let Some(last) = page.last().map(|(row, _)| row.seq) else { break };
            let mut lines = false;
            for (row, lives) in page {
                let (Some(app), Some(line)) = (&row.app, row.event.line()) else { continue };
                // Nothing is written for one that is gone: it would bring its log's folder back.
                if !lives {
                    continue;
                }
                lines = true;
                // Later lines of an app do not pass the one that it waits for.
                if late.contains(app) || !self.tell(app, &row, newest, line).await {
                    late.insert(app.clone());
                    first_late.get_or_insert(row.seq);
                }
            }
            at = last;
            let to = first_late.map_or(at, before);
            // What has no line may be read again; it costs less than to note that it was read.
            if to > saved && (lines || to.0 - saved.0 >= i64::from(PAGE)) {
                self.store.write(move |tx| tx.advance_reader(NAME, to)).await?;
                saved = to;
            }
        }
        Ok(Pass { to: first_late.map_or(at, before), whole: first_late.is_none() })
    }

    async fn tell(&self, app: &AppId, row: &EventRow, newest: EventId, line: String) -> bool {
        let number = |seq: EventId| u64::try_from(seq.0).unwrap_or_default();
        let event = Numbered { number: number(row.seq), newest: number(newest) };
        match self.logs.append_once(app, event, Record::platform(row.at, line)).await {
            Ok(stored) => stored,
            Err(err) => {
                tracing::warn!(%app, "a line of an event is late: {}", err.chain());
                false
            }
        }
    }
}

fn before(seq: EventId) -> EventId {
    EventId(seq.0 - 1)
}

/// The next events, and whether the app of each is there.
fn living(tx: &store::Tx<'_>, after: EventId) -> store::Result<Vec<(EventRow, bool)>> {
    let with = |row: EventRow| {
        let lives = row.app.as_ref().map(|app| tx.app(app)).transpose()?.flatten().is_some();
        Ok((row, lives))
    };
    tx.events_after(after, PAGE)?.into_iter().map(with).collect()
}
