//! One app's log: its store, the spools that flow into it, and who is tailing it.
//!
//! A turn reads a bounded piece of each spool that changed and commits lines and positions together. Everything here
//! blocks and runs on the pool. Invariant: what a reader of the store or a tail sees has been committed, in that order.

use super::bucket::Bucket;
use super::feed::{Feed, lines};
use super::ready::Next;
use super::spool::{Chunk, Position, SpoolReader};
use super::store::{Mark, Marks, SegmentRef, Sizes, Store};
use super::{LogsConfig, SpoolMeta};
use domain::log::spool::SpoolLine;
use domain::log::{Filter, Record, Source, SpoolKey, Stream, View};
use domain::{AppId, Refusal, Timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Bytes read of one spool in one turn.
const CHUNK: usize = 256 * 1024;
/// Spools read in one turn.
const SPOOLS_PER_TURN: usize = 4;
/// What is left of a backlog when the rest of it is shed: the newest lines.
const KEEP: u64 = 64 * 1024;
/// Lines of Hoist's own that wait for space on the disk.
const UNSAVED_MAX: usize = 1000;
/// Tails of one app at a time.
const TAILS_MAX: usize = 64;
const SHED_EVERY: Duration = Duration::from_secs(1);
const THROTTLED: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);
/// For spools that cannot be watched.
const POLL: Duration = Duration::from_millis(500);

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
}

#[derive(Debug)]
struct Inner {
    store: Store,
    followers: BTreeMap<SpoolKey, Follower>,
    bucket: Bucket,
    /// Since when the app has waited for its budget.
    starved: Option<Instant>,
    feeds: Vec<Arc<Feed>>,
    unsaved: VecDeque<Record>,
    gone: bool,
}

impl AppLog {
    /// Opens or creates the app's store; also returns the positions its spools had reached.
    pub fn open(dir: &Path, config: &LogsConfig, now: Instant) -> io::Result<(AppLog, Marks)> {
        let sizes = Sizes { segment: config.segment_bytes, budget: config.store_budget };
        let (store, marks) = Store::open(dir, sizes)?;
        let inner = Inner {
            store,
            followers: BTreeMap::new(),
            bucket: Bucket::new(config.rate, config.burst, now),
            starved: None,
            feeds: Vec::new(),
            unsaved: VecDeque::new(),
            gone: false,
        };
        Ok((AppLog { dirty: Mutex::default(), inner: Mutex::new(inner), lost: AtomicU64::new(0) }, marks))
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
            let n = dirty.len().min(SPOOLS_PER_TURN);
            dirty.drain(..n).collect()
        };
        let mut inner = self.lock();
        if inner.gone {
            return Next::Idle;
        }
        let (next, unread) = inner.turn(&dirty, now, clock, &self.lost);
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
        inner.turn(&[], Instant::now(), clock, &self.lost).0
    }

    /// Joins the stream: what is committed now, and a feed of all that comes after.
    pub fn subscribe(&self, filter: Filter) -> Result<(Vec<SegmentRef>, Arc<Feed>), Refusal> {
        let mut inner = self.lock();
        inner.feeds.retain(|f| !f.is_closed());
        if inner.feeds.len() >= TAILS_MAX {
            return Err(Refusal::new("too-many-tails", format!("{TAILS_MAX} readers follow this log already"))
                .next("end one of them, or use `logs` without -t"));
        }
        let feed = Arc::new(Feed::new(filter));
        inner.feeds.push(Arc::clone(&feed));
        Ok((inner.store.segments(), feed))
    }

    /// What is committed now.
    pub fn segments(&self) -> Vec<SegmentRef> {
        self.lock().store.segments()
    }

    /// The app is destroyed: nothing is stored from here on. Returns its spools.
    pub fn close(&self) -> Vec<SpoolKey> {
        let mut inner = self.lock();
        inner.gone = true;
        inner.feeds.iter().for_each(|f| f.close());
        std::mem::take(&mut inner.followers).into_keys().collect()
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

impl Inner {
    /// Returns what is wanted next, and which spools are not at their end.
    fn turn(&mut self, dirty: &[SpoolKey], now: Instant, clock: Timestamp, lost: &AtomicU64) -> (Next, Vec<SpoolKey>) {
        let mut shed = BTreeMap::new();
        let before = self.marks();
        if !dirty.is_empty() && self.bucket.is_empty(now) {
            let since = *self.starved.get_or_insert(now);
            let finishing = dirty.iter().filter_map(|k| self.followers.get(k)).any(Follower::finishing);
            if now.saturating_duration_since(since) < SHED_EVERY && !finishing {
                return (Next::After(THROTTLED), dirty.to_vec());
            }
            self.starved = Some(now);
            for key in dirty {
                if let Some(follower) = self.followers.get_mut(key) {
                    shed.insert(key.clone(), follower.reader.skip(KEEP).unwrap_or(0));
                }
            }
        }
        let mut chunks: Vec<(&SpoolKey, Chunk)> = Vec::new();
        for key in dirty {
            let Some(follower) = self.followers.get_mut(key) else { continue };
            match follower.reader.read(CHUNK, follower.finishing()) {
                Ok(mut chunk) => {
                    chunk.dropped = chunk.dropped.saturating_add(shed.get(key).copied().unwrap_or(0));
                    chunks.push((key, chunk));
                }
                Err(err) => tracing::warn!(%err, spool = %key, "cannot read a log spool"),
            }
        }
        if let Err(err) = self.store_batch(&chunks, &before, clock, lost) {
            tracing::warn!(%err, "cannot store log lines; trying again");
            for (key, follower) in &mut self.followers {
                follower.reader.position = before.get(key).map(|m| m.position);
            }
            return (Next::After(RETRY), dirty.to_vec());
        }
        let mut unread = Vec::new();
        for (key, chunk) in chunks {
            match self.followers.get_mut(key) {
                Some(follower) if chunk.at_end => {
                    for tx in follower.drained.drain(..) {
                        let _ = tx.send(());
                    }
                }
                Some(_) | None => unread.push(key.clone()),
            }
        }
        if !dirty.is_empty() && unread.is_empty() && !self.bucket.is_empty(now) {
            self.starved = None;
        }
        (Next::Idle, unread)
    }

    /// Commits what was read, with the positions reached, and hands it to the tails.
    fn store_batch(
        &mut self,
        chunks: &[(&SpoolKey, Chunk)],
        before: &Marks,
        clock: Timestamp,
        lost: &AtomicU64,
    ) -> io::Result<()> {
        let lost_now = lost.load(Ordering::Relaxed);
        let told = Record::platform(clock, format!("{lost_now} {} dropped: the disk was full", lines(lost_now)));
        let mut views: Vec<(Timestamp, View<'_>)> = self.unsaved.iter().map(|r| (r.time, r.view())).collect();
        if lost_now > 0 && !self.unsaved.is_empty() {
            views.push((clock, told.view()));
        }
        let mut latest = Vec::new();
        for (key, chunk) in chunks {
            if let Some(follower) = self.followers.get(*key) {
                latest.push((*key, follower.views(chunk, clock, &mut views)));
            }
        }
        if chunks.len() > 1 {
            views.sort_by_key(|(time, _)| *time);
        }
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
        self.store.commit(&text, &moved, before)?;
        self.feeds.retain(|f| !f.is_closed());
        for feed in &self.feeds {
            views.iter().for_each(|(_, view)| feed.push(view));
        }
        drop(views);
        if !chunks.is_empty() {
            self.bucket.take(text.len());
        }
        if !self.unsaved.is_empty() {
            lost.fetch_sub(lost_now, Ordering::Relaxed);
            self.unsaved.clear();
        }
        for (key, time) in latest {
            if let Some(follower) = self.followers.get_mut(key) {
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

    /// The records of a chunk, each with the time it sorts by: that never goes back within one spool.
    fn views<'a>(&'a self, chunk: &'a Chunk, clock: Timestamp, out: &mut Vec<(Timestamp, View<'a>)>) -> Timestamp {
        let mut last = self.last;
        let mut damaged = 0;
        let start = out.len();
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
        for line in chunk.lines.split_inclusive(|b| *b == b'\n') {
            let Some(line) = line.strip_suffix(b"\n").and_then(SpoolLine::parse) else {
                damaged += 1;
                continue;
            };
            let (source, stream) = line.stream.stored(self.meta.source);
            last = last.max(line.time);
            out.push((last, view(line.time, source, stream, line.continued, String::from_utf8_lossy(line.text))));
        }
        let dropped = chunk.dropped.saturating_add(damaged);
        if dropped > 0 {
            let time = out.get(start).map_or(clock, |(_, first)| first.time);
            let text = format!("{dropped} {} dropped: the app logs faster than they can be stored", lines(dropped));
            let sort = out.get(start).map_or(last, |(time, _)| *time);
            out.insert(start, (sort, view(time, Source::Platform, Stream::System, false, Cow::Owned(text))));
        }
        last
    }
}
