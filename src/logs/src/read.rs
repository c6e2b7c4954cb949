//! Reading a log for somebody: the last lines that match, and those that come.
//!
//! A reader holds no queue of lines: it has the number of the next one and reads the store, so it misses nothing, sees
//! nothing twice and slows nobody, however slow it is. Memory is bounded by [`KEEP`]: of a longer answer only the place
//! where it begins is searched for, and then it is read forwards.

use super::app::AppLog;
use super::grep::Wanted;
use super::scan::{self, Cursor, Found};
use super::store::{Segment, Snapshot};
use super::{Logs, clock, lines, nicely};
use domain::refusal::Code;
use domain::{AppId, Refusal};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use log_format::{Filter, Record};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use system::fault::{Act, Result};
use system::tasks::blocking;
use tokio::sync::{Semaphore, mpsc};

/// Bytes of records held for one reader.
const KEEP: usize = 4 * 1024 * 1024;
/// Batches on the way to one reader.
const BATCHES: usize = 4;
/// Segments that one piece of work looks through.
const PIECE: usize = 2;
/// How long a search may take: an expression can be slow, though never endless.
const SEARCH_MAX: Duration = Duration::from_secs(60);
/// A follower that is so many lines behind goes on at [`CATCH_UP`] lines before the end.
const BEHIND_MAX: u64 = 100_000;
const CATCH_UP: u64 = 1_000;

/// What a reader asks for.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Which lines.
    pub filter: Filter,
    /// How many of the last ones; all without it.
    pub last: Option<usize>,
    /// Whether to stay and go on with those that come.
    pub follow: bool,
}

/// How an answer goes on.
#[derive(Debug, Clone, Copy)]
struct Manner {
    follow: bool,
    /// Lines that arrived too late for the store's order (a machine with no time left) are put in their place. Not for
    /// one who goes on after the last number he saw.
    by_time: bool,
}

/// Where an answer begins.
enum Start {
    /// These are all of it, oldest first.
    Records(Vec<Record>),
    /// At this line.
    At(u64),
}

impl Logs {
    /// The records asked for, in their order, in batches. Ends with the answer; of a follower, when the app is forgotten
    /// or the server stops. A follower that is too slow is told how many lines it missed.
    pub async fn read(&self, app: &AppId, ask: Ask) -> Result<mpsc::Receiver<Vec<Record>>> {
        let wanted = Arc::new(Wanted::new(ask.filter)?);
        let (shared, id) = (Arc::clone(&self.shared), app.clone());
        let log =
            blocking("open a log", move || Ok(shared.app(&id).act(|| format!("cannot open the log of {id}"))?)).await?;
        let follower = if ask.follow { Some(log.follower()?) } else { None };
        let snapshot = log.snapshot();
        let missed = missed(&snapshot, wanted.filter.after)?;
        let start = self.search(&snapshot, &wanted, ask.last).await?;
        let manner = Manner { follow: ask.follow, by_time: !ask.follow && wanted.filter.after.is_none() };
        let (tx, rx) = mpsc::channel(BATCHES);
        self.shared.tasks.spawn("logs-read", move |stop| async move {
            if let Some(missed) = missed
                && tx.send(vec![missed]).await.is_err()
            {
                return;
            }
            tokio::select! {
                done = answer(&log, snapshot, start, &wanted, manner, &tx) => if let Err(err) = done {
                    tracing::warn!(%err, "cannot read a log");
                    let _ = tx.send(vec![Record::platform(clock(), "the log cannot be read further")]).await;
                },
                () = tx.closed() => {}
                () = stop.cancelled() => {}
            }
            drop(follower);
        });
        Ok(rx)
    }

    /// All records of an answer at once: for few.
    pub async fn query(&self, app: &AppId, filter: Filter, last: usize) -> Result<Vec<Record>> {
        let mut batches = self.read(app, Ask { filter, last: Some(last), follow: false }).await?;
        let mut all = Vec::new();
        while let Some(batch) = batches.recv().await {
            all.extend(batch);
        }
        Ok(all)
    }

    /// Finds where the last `last` wanted lines begin. Pieces are looked through on all processors, newest first; most
    /// answers are in the first one, which is alone.
    async fn search(&self, snapshot: &Snapshot, wanted: &Arc<Wanted>, last: Option<usize>) -> Result<Start> {
        let need = last.unwrap_or(usize::MAX);
        let begun = Instant::now();
        let mut all = Found { kept: true, ..Found::default() };
        let mut pieces = pieces(&snapshot.segments);
        let mut width = 1;
        let mut running = FuturesOrdered::new();
        while all.count < need {
            while running.len() < width
                && let Some(piece) = pieces.pop_front()
            {
                running.push_back(self.look(snapshot, wanted, piece, need - all.count));
            }
            let Some(done) = running.next().await else { break };
            let (piece, mut found) = done?;
            width = self.shared.search_width;
            // What was looked for together with others may be too much.
            if found.count > need - all.count {
                found = self.look(snapshot, wanted, piece, need - all.count).await?.1;
            }
            if found.count == 0 {
                if begun.elapsed() > SEARCH_MAX {
                    return Err(too_slow().into());
                }
                continue;
            }
            all.oldest = found.oldest;
            all.count += found.count;
            all.bytes += found.bytes;
            all.kept &= found.kept && all.bytes <= KEEP;
            all.records = if all.kept { std::mem::take(&mut all.records) } else { Vec::new() };
            if all.kept {
                all.records.append(&mut found.records);
            } else if last.is_none() {
                return Ok(Start::At(snapshot.segments.first().map_or(0, |s| s.first)));
            }
        }
        if all.kept {
            all.records.reverse();
            return Ok(Start::Records(all.records));
        }
        Ok(Start::At(all.oldest))
    }

    async fn look(
        &self,
        snapshot: &Snapshot,
        wanted: &Arc<Wanted>,
        piece: Vec<Segment>,
        need: usize,
    ) -> Result<(Vec<Segment>, Found)> {
        let (dir, wanted) = (Arc::clone(&snapshot.dir), Arc::clone(wanted));
        gently(Arc::clone(&self.shared.searches), move || {
            let found = scan::back(&dir, &piece, &wanted, need, KEEP)?;
            Ok((piece, found))
        })
        .await
    }
}

/// The segments in pieces of work, newest first.
fn pieces(segments: &[Segment]) -> VecDeque<Vec<Segment>> {
    let (older, newest) = segments.split_at(segments.len().saturating_sub(PIECE));
    std::iter::once(newest).chain(older.rchunks(PIECE)).map(<[Segment]>::to_vec).collect()
}

/// Sends the answer and, to a follower, what comes after it.
async fn answer(
    log: &AppLog,
    snapshot: Snapshot,
    start: Start,
    wanted: &Arc<Wanted>,
    manner: Manner,
    tx: &mpsc::Sender<Vec<Record>>,
) -> Result<()> {
    let end = snapshot.end;
    let mut cursor = match start {
        Start::Records(mut records) => {
            if manner.by_time {
                records.sort_by_key(|r| r.time);
            }
            if !records.is_empty() && tx.send(records).await.is_err() {
                return Ok(());
            }
            Cursor::at(end)
        }
        Start::At(id) => Cursor::at(id),
    };
    let mut news = log.news();
    let mut snapshot = Arc::new(snapshot);
    loop {
        while cursor.id < snapshot.end {
            let (shown, looked) = (Arc::clone(&snapshot), Arc::clone(wanted));
            let (step, moved) = blocking("read a log", move || {
                let mut cursor = cursor;
                let step = scan::forward(&shown, &mut cursor, &looked).act(|| "cannot read a log")?;
                Ok((step, cursor))
            })
            .await?;
            cursor = moved;
            let mut records = step.records;
            if manner.by_time {
                records.sort_by_key(|r| r.time);
            }
            if step.missed > 0 && manner.follow {
                let text =
                    format!("Error L11 (reader too slow): {} {} deleted unread", step.missed, lines(step.missed));
                let time = records.first().map_or_else(clock, |r| r.time);
                records.insert(0, Record { id: cursor.id, ..Record::platform(time, text) });
            }
            if !records.is_empty() && tx.send(records).await.is_err() {
                return Ok(());
            }
        }
        if !manner.follow {
            return Ok(());
        }
        if news.wait_for(|news| news.end > cursor.id || news.gone).await.is_err() || news.borrow().gone {
            return Ok(());
        }
        snapshot = Arc::new(log.snapshot());
        let behind = snapshot.end.saturating_sub(cursor.id);
        if behind > BEHIND_MAX {
            let skipped = behind - CATCH_UP;
            cursor = Cursor::at(snapshot.end - CATCH_UP);
            let text = format!("Error L11 (reader too slow): {skipped} {} skipped", lines(skipped));
            let told = Record { id: cursor.id, ..Record::platform(clock(), text) };
            if tx.send(vec![told]).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Runs a piece of a search on the blocking pool, few at a time and after everything else that wants a processor.
async fn gently<T: Send + 'static>(
    permits: Arc<Semaphore>,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    let _permit = permits.acquire_owned().await;
    blocking("read a log", move || Ok(nicely(work).act(|| "cannot read a log")?)).await
}

/// What is said where lines after the given one were deleted already. One that is yet to come was never seen.
fn missed(snapshot: &Snapshot, after: Option<u64>) -> Result<Option<Record>> {
    let Some(from) = after.map(|after| after.saturating_add(1)) else { return Ok(None) };
    if from > snapshot.end {
        return Err(Refusal::new(Code::NoSuchLine, format!("the log has no line {} yet", from - 1))
            .why(format!("the next one is {}", snapshot.end))
            .next("logs APP --format json shows the ids of lines")
            .into());
    }
    let oldest = snapshot.segments.first().map_or(snapshot.end, |s| s.first);
    let count = oldest.saturating_sub(from);
    let text = format!("Error L11 (reader too slow): {count} {} deleted unread", lines(count));
    Ok(if count > 0 { Some(Record { id: oldest, ..Record::platform(clock(), text) }) } else { None })
}

fn too_slow() -> Refusal {
    Refusal::new(Code::SearchTooSlow, format!("nothing was found in {} seconds of searching", SEARCH_MAX.as_secs()))
        .why("the expression is slow, or the machine is busy")
        .next("logs APP --since 1h --grep WORD")
}
