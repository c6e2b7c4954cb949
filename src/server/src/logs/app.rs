//! One app's log: its store, the spools that flow into it, and who follows it.
//!
//! A turn reads a bounded piece of each spool that changed, and commits lines in the order in which they were written,
//! and positions, together. Everything here blocks and runs on the pool. Invariant: what a reader sees has been
//! committed, in that order.

use super::bucket::{Bucket, Floods};
use super::lines;
use super::ready::Next;
use super::spool::{Chunk, Position, SpoolReader};
use super::store::{Mark, Marks, Sizes, Snapshot, Store};
use super::{LogsConfig, SpoolMeta, seal};
use domain::log::merge::{self, Piece};
use domain::log::spool::SpoolLine;
use domain::log::{Record, Source, SpoolKey, Stream, View};
use domain::{AppId, Refusal, Timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Bytes read of all spools in one turn, and of one of them at least.
const TURN: usize = 1024 * 1024;
const CHUNK_MIN: usize = 64 * 1024;
/// What is left of a backlog when the rest of it is shed: the newest lines.
const KEEP: u64 = 64 * 1024;
/// Lines of Hoist's own that wait for space on the disk.
const UNSAVED_MAX: usize = 1000;
/// Followers of one app at a time.
const FOLLOWERS_MAX: usize = 64;
const SHED_EVERY: Duration = Duration::from_secs(1);
const THROTTLED: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// For spools that cannot be watched.
const POLL: Duration = Duration::from_millis(500);
const HOLD: Duration = Duration::from_millis(merge::HOLD_MILLIS.cast_unsigned());

/// What everybody may know of a followed spool.
#[derive(Debug)]
pub(super) struct Handle {
    pub app: AppId,
    pub key: SpoolKey,
    /// Changes with every piece of news; its receivers are the spool's direct readers.
    pub signal: watch::Sender<Signal>,
    /// False: inotify refused, look from time to time.
    pub watched: AtomicBool,
    /// Held by the one who finishes it: several may want to at once (a destroyed app, its retired instances).
    pub ending: tokio::sync::Mutex<()>,
}

/// News of a spool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signal {
    pub news: u64,
    /// Nothing more is written.
    pub finishing: bool,
}

impl Handle {
    /// New data, perhaps.
    pub fn poke(&self) {
        self.signal.send_modify(|s| s.news += 1);
    }
}

/// A spool that flows into the store.
#[derive(Debug)]
struct Follower {
    meta: SpoolMeta,
    life: i64,
    reader: SpoolReader,
    handle: Arc<Handle>,
    last: Timestamp,
    drained: Vec<oneshot::Sender<()>>,
}

/// One app's log.
#[derive(Debug)]
pub(super) struct AppLog {
    dirty: Mutex<VecDeque<SpoolKey>>,
    inner: Mutex<Inner>,
    /// Lines that found no space, not yet told.
    lost: AtomicU64,
    news: watch::Sender<News>,
    followers: Arc<Semaphore>,
}

/// What followers wait for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct News {
    /// The number of the next line.
    pub end: u64,
    /// The app is destroyed.
    pub gone: bool,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    followers: BTreeMap<SpoolKey, Follower>,
    app: AppId,
    rate: u64,
    bucket: Bucket,
    floods: Arc<Floods>,
    /// Since when the app has waited for its budget.
    starved: Option<Instant>,
    unsaved: VecDeque<Record>,
    gone: bool,
}

impl AppLog {
    /// Opens or creates the app's store; also returns the positions its spools had reached.
    pub fn open(
        app: &AppId,
        dir: &Path,
        config: &LogsConfig,
        floods: &Arc<Floods>,
        now: Instant,
    ) -> io::Result<(AppLog, Marks)> {
        let sizes = Sizes { segment: config.segment_bytes, budget: config.budget.app };
        let (store, marks) = Store::open(dir, sizes)?;
        let news = watch::Sender::new(News { end: store.end(), gone: false });
        let inner = Inner {
            store,
            followers: BTreeMap::new(),
            app: app.clone(),
            rate: config.rate,
            bucket: Bucket::new(config.rate, config.burst, now),
            floods: Arc::clone(floods),
            starved: None,
            unsaved: VecDeque::new(),
            gone: false,
        };
        let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
        let inner = Mutex::new(inner);
        Ok((AppLog { dirty: Mutex::default(), inner, lost: AtomicU64::new(0), news, followers }, marks))
    }

    /// Adds a spool; one that is followed already stays as it is.
    pub fn follow(&self, meta: SpoolMeta, life: i64, dir: &Path, at: Option<Position>) -> Arc<Handle> {
        let mut inner = self.lock();
        let follower = inner.followers.entry(meta.key.clone()).or_insert_with(|| Follower {
            handle: Arc::new(Handle {
                app: meta.app.clone(),
                key: meta.key.clone(),
                signal: watch::Sender::new(Signal::default()),
                watched: AtomicBool::new(true),
                ending: tokio::sync::Mutex::new(()),
            }),
            life,
            reader: SpoolReader::new(dir.to_owned(), at),
            last: Timestamp::default(),
            drained: Vec::new(),
            meta,
        });
        Arc::clone(&follower.handle)
    }

    /// The spool may have new data.
    pub fn mark_dirty(&self, key: &SpoolKey) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        if !dirty.contains(key) {
            dirty.push_back(key.clone());
        }
    }

    /// Nothing more is written to the spool: the answer comes when all of it is stored.
    pub fn drain(&self, key: &SpoolKey) -> Option<oneshot::Receiver<()>> {
        let mut inner = self.lock();
        let follower = inner.followers.get_mut(key)?;
        let (tx, rx) = oneshot::channel();
        follower.drained.push(tx);
        follower.handle.signal.send_modify(|s| s.finishing = true);
        drop(inner);
        self.mark_dirty(key);
        Some(rx)
    }

    /// Forgets a spool.
    pub fn unfollow(&self, key: &SpoolKey) {
        self.lock().followers.remove(key);
    }

    /// One bounded piece of work.
    pub fn turn(&self, now: Instant, clock: Timestamp) -> Next {
        let dirty: Vec<SpoolKey> = {
            let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
            dirty.drain(..).collect()
        };
        let mut inner = self.lock();
        if inner.gone {
            return Next::Idle;
        }
        let (next, unread) = inner.turn(&dirty, now, clock, &self.lost);
        self.tell(&inner);
        let polled: Vec<Arc<Handle>> =
            inner.followers.values().map(|f| &f.handle).filter(|h| h.polled()).cloned().collect();
        drop(inner);
        for key in &unread {
            self.mark_dirty(key);
        }
        let more = !self.dirty.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        for spool in &polled {
            spool.poke();
            self.mark_dirty(&spool.key);
        }
        match next {
            Next::Idle if more => Next::Again,
            Next::Idle if !polled.is_empty() => Next::After(POLL),
            Next::Idle | Next::Again | Next::After(_) => next,
        }
    }

    /// Stores lines of Hoist's own at once. What finds no space waits, up to a limit; then it is counted.
    pub fn append(&self, records: Vec<Record>, clock: Timestamp) -> Next {
        let mut inner = self.lock();
        if inner.gone {
            return Next::Idle;
        }
        for record in records {
            if inner.unsaved.len() < UNSAVED_MAX {
                inner.unsaved.push_back(record);
            } else {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        // With all that was written before it, so that it stands after that.
        let spools: Vec<SpoolKey> = inner.followers.keys().cloned().collect();
        let (next, unread) = inner.turn(&spools, Instant::now(), clock, &self.lost);
        self.tell(&inner);
        drop(inner);
        for key in &unread {
            self.mark_dirty(key);
        }
        if unread.is_empty() || next != Next::Idle { next } else { Next::Again }
    }

    /// A place among those who follow, until it is dropped.
    pub fn follower(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            Refusal::new("too-many-tails", format!("{FOLLOWERS_MAX} readers follow this log already"))
                .next("end one of them, or use `logs` without -t")
        })
    }

    /// Changes with every commit.
    pub fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// What is committed now.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().store.snapshot()
    }

    /// Whether complete segments wait to be sealed.
    pub fn wants_sealing(&self) -> bool {
        let inner = self.lock();
        !inner.gone && inner.store.has_unsealed()
    }

    /// Seals the oldest complete segment. The writer goes on meanwhile.
    pub fn seal_one(&self) -> io::Result<()> {
        let (segment, dir) = {
            let inner = self.lock();
            match inner.store.unsealed() {
                Some(segment) if !inner.gone => (segment, inner.store.dir()),
                Some(_) | None => return Ok(()),
            }
        };
        let written = dir.join(format!("{:08}.sealing", segment.number));
        let sealed = seal::write(&dir, &segment, &written);
        let mut inner = self.lock();
        match sealed {
            Ok(bytes) if !inner.gone => inner.store.seal(&segment, &written, bytes),
            Ok(_) => Ok(()),
            Err(err) => {
                let _ = std::fs::remove_file(&written);
                Err(err)
            }
        }
    }

    /// Sizes of the segments by number.
    pub fn sizes(&self) -> BTreeMap<u64, u64> {
        self.lock().store.sizes()
    }

    /// Deletes a segment, but never the newest.
    pub fn delete(&self, number: u64) {
        self.lock().store.delete(number);
    }

    /// The app is destroyed: nothing is stored from here on. Returns its spools.
    pub fn close(&self) -> Vec<SpoolKey> {
        let mut inner = self.lock();
        inner.gone = true;
        self.news.send_modify(|news| news.gone = true);
        std::mem::take(&mut inner.followers).into_keys().collect()
    }

    fn tell(&self, inner: &Inner) {
        let end = inner.store.end();
        self.news.send_if_modified(|news| std::mem::replace(&mut news.end, end) != end);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    fn polled(&self) -> bool {
        !self.watched.load(Ordering::Relaxed)
    }
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
    fn turn(&mut self, dirty: &[SpoolKey], now: Instant, clock: Timestamp, lost: &AtomicU64) -> (Next, Vec<SpoolKey>) {
        let before = self.marks();
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
        let mut reads = self.read(spools, sheds);
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
        let progress = reads.iter().any(|r| r.stored > 0 || r.chunk.dropped > 0 || r.lines.is_empty());
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
        let next = if waits && !(progress && unread.len() > 1) { Next::After(HOLD) } else { Next::Idle };
        (next, unread)
    }

    /// Reads a piece of each spool; with `sheds` only of its newest lines.
    fn read(&mut self, spools: &[SpoolKey], sheds: bool) -> Vec<Read> {
        let room = (TURN / spools.len().max(1)).max(CHUNK_MIN);
        let mut reads = Vec::with_capacity(spools.len());
        for key in spools {
            let Some(follower) = self.followers.get_mut(key) else { continue };
            let shed = if sheds { follower.reader.skip(KEEP).unwrap_or(0) } else { 0 };
            match follower.reader.read(room, follower.finishing()) {
                Ok(chunk) => {
                    let lines = follower.lines(&chunk);
                    reads.push(Read { key: key.clone(), stored: lines.len(), chunk, shed, lines });
                }
                Err(err) => tracing::warn!(%err, spool = %key, "cannot read a log spool"),
            }
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
        let after = self.marks();
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
        if !reads.is_empty() {
            self.bucket.take(text.len());
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

    fn marks(&self) -> Marks {
        let mark = |f: &Follower| f.reader.position.map(|position| Mark { life: f.life, position });
        self.followers.iter().filter_map(|(key, f)| mark(f).map(|m| (key.clone(), m))).collect()
    }
}

impl Follower {
    fn finishing(&self) -> bool {
        self.handle.signal.borrow().finishing
    }

    /// Where the lines of a chunk are, and what they sort by.
    fn lines(&self, chunk: &Chunk) -> Vec<Line> {
        let (mut last, mut at) = (self.last, 0);
        let line = |bytes: &[u8]| {
            let start = at;
            at += bytes.len();
            last = SpoolLine::parse(bytes.strip_suffix(b"\n").unwrap_or(bytes)).map_or(last, |l| last.max(l.time));
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
            out.push((
                line.sort,
                view(parsed.time, source, stream, parsed.continued, String::from_utf8_lossy(parsed.text)),
            ));
        }
        let (sort, time) = out.get(start).map_or((self.last, clock), |(sort, first)| (*sort, first.time));
        for (count, why) in [
            (read.shed, "Error L10 (log flood): the app logs faster than lines can be stored"),
            (read.chunk.dropped, "Error L12 (spool overflow): overwritten before they could be stored"),
            (damaged, "damaged in the spool"),
        ] {
            if count > 0 {
                let text = Cow::Owned(format!("{count} {} dropped: {why}", lines(count)));
                out.insert(start, (sort, view(time, Source::Platform, Stream::System, false, text)));
            }
        }
    }
}
