//! One app's log: its store, the spools that flow into it, and who follows it.
//!
//! Everything here blocks and runs on the pool. Invariant: what a reader sees has been committed, in that order.

use super::bucket::{Bucket, Floods};
use super::ingest::{Follower, Inner, Told};
use super::ready::Next;
use super::spool::{Position, SpoolReader};
use super::store::{Marks, Sizes, Snapshot, Store};
use super::{LogsConfig, Numbered, SpoolMeta, seal};
use domain::refusal::Code;
use domain::{AppId, Refusal, Timestamp};
use log_format::{Record, SpoolKey};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// Lines of Hoist's own that wait for space on the disk.
const UNSAVED_MAX: usize = 1000;
/// Followers of one app at a time.
const FOLLOWERS_MAX: usize = 64;
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
    /// Why its program is stopped, once somebody does so.
    pub stopped: OnceLock<String>,
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
        let told = marks.get(&SpoolKey::events()).map_or(0, |mark| mark.position.count);
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
            events: Told { taken: told, stored: told },
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
                stopped: OnceLock::new(),
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
        self.store_own(inner, clock)
    }

    /// Stores the lines of an event, whose number is larger than those of earlier ones. Told again, nothing is stored again.
    /// False: they are not stored yet; they may be taken back at a restart, so they are to be told again.
    pub fn append_once(&self, event: Numbered, records: Vec<Record>, clock: Timestamp) -> (bool, Next) {
        let (mut inner, Numbered { number, newest }) = (self.lock(), event);
        if inner.events.stored > newest {
            // Numbers of another life: an older database was put in the place of the one that this log goes with.
            inner.events = Told { taken: number.saturating_sub(1), stored: number.saturating_sub(1) };
        }
        if inner.gone || number <= inner.events.stored {
            return (true, Next::Idle);
        }
        if number > inner.events.taken {
            if inner.unsaved.len() + records.len() > UNSAVED_MAX {
                return (false, Next::Idle);
            }
            inner.unsaved.extend(records);
            inner.events.taken = number;
        }
        let next = self.store_own(inner, clock);
        (number <= self.lock().events.stored, next)
    }

    /// Stores what waits of ours, with all that was written before it, so that it stands after that.
    fn store_own(&self, mut inner: MutexGuard<'_, Inner>, clock: Timestamp) -> Next {
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
            Refusal::new(Code::TooManyTails, format!("{FOLLOWERS_MAX} readers follow this log already"))
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

    /// The app is destroyed: nothing is stored from here on.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.gone = true;
        self.news.send_modify(|news| news.gone = true);
        inner.followers.clear();
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
