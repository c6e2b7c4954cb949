//! How lines get into an app's store: a turn reads pieces of its spools, chooses what may be stored, commits it.
//!
//! Everything here blocks and runs on the pool, under the app's lock. What it decides is in domain (`log::merge`).

use super::app::Handle;
use super::bucket::{Bucket, Floods};
use super::ready::Next;
use super::spool::{Chunk, Position, SKIP_MAX, SpoolReader};
use super::store::{Mark, Marks, Store};
use super::{SpoolMeta, lines};
use domain::text::human_bytes;
use domain::{AppId, Timestamp};
use log_format::merge::{self, Piece};
use log_format::spool::{SpoolLine, SpoolStream};
use log_format::{Record, Source, SpoolKey, Stream, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes read of all spools in one turn, and of one of them at least.
const TURN: usize = 1024 * 1024;
const CHUNK_MIN: usize = 64 * 1024;
/// What is left of a backlog when the rest of it is shed: the newest lines.
const KEEP: u64 = 64 * 1024;
/// The most that one read is charged for what it passed over.
const BILL_MAX: u64 = 8 * TURN as u64;
const SHED_EVERY: Duration = Duration::from_secs(1);
const THROTTLED: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_millis(merge::HOLD_MILLIS.cast_unsigned());

/// A spool that flows into the store.
#[derive(Debug)]
pub(super) struct Follower {
    pub meta: SpoolMeta,
    pub life: i64,
    pub reader: SpoolReader,
    pub handle: Arc<Handle>,
    pub last: Timestamp,
    pub drained: Vec<oneshot::Sender<()>>,
}

/// What the lock of an app holds.
#[derive(Debug)]
pub(super) struct Inner {
    pub store: Store,
    pub followers: BTreeMap<SpoolKey, Follower>,
    pub app: AppId,
    pub rate: u64,
    pub bucket: Bucket,
    pub floods: Arc<Floods>,
    /// Since when the app has waited for its budget.
    pub starved: Option<Instant>,
    pub unsaved: VecDeque<Record>,
    pub events: Told,
    pub gone: bool,
}

/// Up to which event there are lines: in what waits to be stored, and in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub taken: u64,
    pub stored: u64,
}

/// What was read of a spool in a turn.
struct Read {
    key: SpoolKey,
    chunk: Chunk,
    /// How many of its lines were shed before it.
    shed: u64,
    lines: Vec<Line>,
    /// The first so many are stored now.
    stored: usize,
}

/// A line of a chunk.
struct Line {
    /// The time it sorts by: never goes back within one spool.
    sort: Timestamp,
    start: usize,
    end: usize,
}

impl Inner {
    /// Returns what is wanted next, and which spools are not at their end.
    pub fn turn(
        &mut self,
        dirty: &[SpoolKey],
        now: Instant,
        clock: Timestamp,
        lost: &AtomicU64,
    ) -> (Next, Vec<SpoolKey>) {
        let before = self.marks(self.events.stored);
        self.bucket.set_rate(self.floods.rate(self.rate, now));
        let mut spools = dirty;
        let mut sheds = false;
        if !dirty.is_empty() && self.bucket.is_empty(now) {
            self.floods.note(&self.app, now);
            let since = *self.starved.get_or_insert(now);
            let finishing = dirty.iter().filter_map(|k| self.followers.get(k)).any(Follower::finishing);
            sheds = now.saturating_duration_since(since) >= SHED_EVERY || finishing;
            if sheds {
                self.starved = Some(now);
            } else {
                spools = &[];
            }
        }
        let mut reads = self.read(spools, sheds, clock);
        let waits = self.choose(&mut reads, clock);
        if let Err(err) = self.store_batch(&reads, &before, clock, lost) {
            tracing::warn!(%err, "cannot store log lines; trying again");
            for (key, follower) in &mut self.followers {
                follower.reader.position = before.get(key).map(|m| m.position);
            }
            return (Next::After(RETRY), dirty.to_vec());
        }
        if spools.is_empty() && !dirty.is_empty() {
            return (Next::After(THROTTLED), dirty.to_vec());
        }
        // Lines that only wait are many turns' work if each turn takes the few that became free meanwhile.
        let backlog = reads.iter().any(|r| !r.chunk.at_end && r.stored > 0);
        let mut unread = Vec::new();
        for read in reads {
            match self.followers.get_mut(&read.key) {
                Some(follower) if read.chunk.at_end && read.stored == read.lines.len() => {
                    for tx in follower.drained.drain(..) {
                        let _ = tx.send(());
                    }
                }
                Some(_) | None => unread.push(read.key),
            }
        }
        if !dirty.is_empty() && unread.is_empty() && !self.bucket.is_empty(now) {
            self.starved = None;
        }
        let next = if waits && !backlog { Next::After(HOLD) } else { Next::Idle };
        (next, unread)
    }

    /// Reads a piece of each spool; with `sheds` only of its newest lines.
    fn read(&mut self, spools: &[SpoolKey], sheds: bool, clock: Timestamp) -> Vec<Read> {
        let room = (TURN / spools.len().max(1)).max(CHUNK_MIN);
        let mut budget = SKIP_MAX;
        let mut reads = Vec::with_capacity(spools.len());
        for key in spools {
            let Some(follower) = self.followers.get_mut(key) else { continue };
            let shed = if sheds { follower.reader.skip(KEEP, &mut budget).unwrap_or(0) } else { 0 };
            let chunk = match follower.reader.read(room, follower.finishing()) {
                Ok(chunk) => chunk,
                Err(err) => {
                    tracing::warn!(%err, spool = %key, "cannot read a log spool");
                    if !follower.finishing() {
                        continue;
                    }
                    // Nobody will mend it, and its end is waited for.
                    Chunk { at_end: true, unreadable: true, ..Chunk::default() }
                }
            };
            let lines = follower.lines(&chunk, clock);
            reads.push(Read { key: key.clone(), stored: lines.len(), chunk, shed, lines });
        }
        reads
    }

    /// Takes back what must wait for lines that were written before it; says whether some waits only for time to pass.
    fn choose(&mut self, reads: &mut [Read], clock: Timestamp) -> bool {
        let piece = |read: &Read| Piece {
            times: read.lines.iter().map(|l| l.sort).collect(),
            more: !read.chunk.at_end && !read.chunk.torn,
            holds: self.followers.get(&read.key).is_some_and(|f| !f.finishing()),
        };
        let pieces: Vec<Piece> = reads.iter().map(piece).collect();
        let (counts, waits) = merge::free(&pieces, clock);
        for (read, count) in reads.iter_mut().zip(counts) {
            if read.chunk.torn || count >= read.lines.len() {
                continue;
            }
            read.stored = count;
            let from = read.lines.get(count).map_or(read.chunk.lines.len(), |l| l.start);
            if let Some(follower) = self.followers.get_mut(&read.key) {
                follower.reader.unread(read.chunk.lines.len() - from, read.lines.len() - count);
            }
        }
        waits
    }

    /// Commits what was chosen, with the positions reached.
    fn store_batch(&mut self, reads: &[Read], before: &Marks, clock: Timestamp, lost: &AtomicU64) -> io::Result<()> {
        let lost_now = lost.load(Ordering::Relaxed);
        let told = Record::platform(clock, format!("{lost_now} {} dropped: the disk was full", lines(lost_now)));
        let mut views: Vec<(Timestamp, View<'_>)> = Vec::new();
        let mut latest = Vec::new();
        for read in reads {
            if let Some(follower) = self.followers.get(&read.key) {
                follower.views(read, clock, &mut views);
                let last = read.lines.iter().take(read.stored).next_back().map(|l| l.sort);
                latest.extend(last.map(|last| (read.key.clone(), last)));
            }
        }
        views.extend(self.unsaved.iter().map(|r| (r.time, r.view())));
        if lost_now > 0 && !self.unsaved.is_empty() {
            views.push((clock, told.view()));
        }
        views.sort_by_key(|(time, _)| *time);
        // All that waits goes into this batch, and with it the number of its last event.
        let after = self.marks(self.events.taken);
        let moved: Marks = after.into_iter().filter(|(key, mark)| before.get(key) != Some(mark)).collect();
        if views.is_empty() && moved.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (_, view) in &views {
            view.encode(&mut text);
            text.push('\n');
        }
        self.store.commit(&text, views.len() as u64, &moved, before)?;
        drop(views);
        self.events.stored = self.events.taken;
        if !reads.is_empty() {
            // What was passed over costs as much as a line of that length: nobody makes us read holes for ever.
            let passed: u64 = reads.iter().map(|read| read.chunk.passed.min(BILL_MAX)).sum();
            self.bucket.take(text.len() + usize::try_from(passed).unwrap_or(0));
        }
        if !self.unsaved.is_empty() {
            lost.fetch_sub(lost_now, Ordering::Relaxed);
            self.unsaved.clear();
        }
        for (key, time) in latest {
            if let Some(follower) = self.followers.get_mut(&key) {
                follower.last = time;
            }
        }
        Ok(())
    }

    fn marks(&self, events: u64) -> Marks {
        let mark = |f: &Follower| f.reader.position.map(|position| Mark { life: f.life, position });
        let mut marks: Marks = self.followers.iter().filter_map(|(key, f)| mark(f).map(|m| (key.clone(), m))).collect();
        if events > 0 {
            let position = Position { seq: 0, offset: 0, count: events };
            marks.insert(SpoolKey::events(), Mark { life: 0, position });
        }
        marks
    }
}

impl Follower {
    pub fn finishing(&self) -> bool {
        self.handle.signal.borrow().finishing
    }

    /// Where the lines of a chunk are, and what they sort by.
    fn lines(&self, chunk: &Chunk, clock: Timestamp) -> Vec<Line> {
        let (mut last, mut at) = (self.last, 0);
        let line = |bytes: &[u8]| {
            let start = at;
            at += bytes.len();
            last = SpoolLine::parse(bytes.strip_suffix(b"\n").unwrap_or(bytes))
                .map_or(last, |l| last.max(l.believed(clock)));
            Line { sort: last, start, end: at }
        };
        chunk.lines.split_inclusive(|b| *b == b'\n').map(line).collect()
    }

    /// The records of what is stored of a chunk, each with the time it sorts by. What was lost is said before them.
    fn views<'a>(&'a self, read: &'a Read, clock: Timestamp, out: &mut Vec<(Timestamp, View<'a>)>) {
        let view = |time, source, stream, continued, text| View {
            time,
            source,
            process: &self.meta.process,
            instance: &self.meta.instance,
            release: self.meta.release,
            stream,
            continued,
            text,
        };
        let (start, mut damaged) = (out.len(), 0);
        for line in read.lines.iter().take(read.stored) {
            let bytes = read.chunk.lines.get(line.start..line.end).unwrap_or_default();
            let Some(parsed) = bytes.strip_suffix(b"\n").and_then(SpoolLine::parse) else {
                damaged += 1;
                continue;
            };
            let (source, stream) = parsed.stream.stored(self.meta.source);
            let mut text = String::from_utf8_lossy(parsed.text);
            if parsed.stream == SpoolStream::System
                && let Some(why) = self.handle.stopped.get()
            {
                text = Cow::Owned(ended(&text, why));
            }
            out.push((line.sort, view(parsed.believed(clock), source, stream, parsed.continued, text)));
        }
        let (sort, time) = out.get(start).map_or((self.last, clock), |(sort, first)| (*sort, first.time));
        let mut say = |text: String| {
            out.insert(start, (sort, view(time, Source::Platform, Stream::System, false, Cow::Owned(text))));
        };
        if read.chunk.unreadable {
            say("the end of the output is lost: its spool cannot be read".to_owned());
        }
        if read.chunk.passed > 0 {
            let bytes = human_bytes(read.chunk.passed);
            say(format!("{bytes} passed over: damaged in the spool, or not written there by Hoist"));
        }
        for (count, why) in [
            (read.shed, "Error L10 (log flood): the app logs faster than lines can be stored"),
            (read.chunk.dropped, "Error L12 (spool overflow): overwritten before they could be stored"),
            (damaged, "damaged in the spool"),
        ] {
            if count > 0 {
                say(format!("{count} {} dropped: {why}", lines(count)));
            }
        }
    }
}

/// What PID 1 says of a process's end, of one that was told to end and did: why, and not by which signal.
fn ended(text: &str, why: &str) -> String {
    match text {
        "Process killed by signal TERM" | "Process exited with status 0" | "Process exited with status 143" => {
            why.to_owned()
        }
        text if text.starts_with("Process ") => format!("{why}. {text}"),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::ended;

    #[test]
    fn an_end_that_was_asked_for_has_a_reason() {
        let check = |text: &str, want: &str| assert_eq!(ended(text, "Stopped, replaced by v9"), want, "{text}");
        check("Process killed by signal TERM", "Stopped, replaced by v9");
        check("Process exited with status 0", "Stopped, replaced by v9");
        check("Process exited with status 143", "Stopped, replaced by v9");
        check("Process exited with status 1", "Stopped, replaced by v9. Process exited with status 1");
        check("Process killed by signal KILL", "Stopped, replaced by v9. Process killed by signal KILL");
        check("cannot start x: not found", "cannot start x: not found");
    }
}
