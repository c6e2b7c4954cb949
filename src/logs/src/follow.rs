//! The life of a followed spool: begun, gone on with after a restart, watched, finished, forgotten; and the tasks at work.

use super::app::{AppLog, Handle};
use super::ready::Next;
use super::spool::{Position, SpoolReader};
use super::store::Marks;
use super::{CHANNEL_MAX, Logs, Shared, SpoolMeta, clock, lines, lock, offer};
use domain::text::human_bytes;
use domain::{AppId, Timestamp};
use log_format::spool::{FILES, SpoolLine, SpoolStream};
use log_format::{SpoolKey, SpoolRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use system::fault::{Act, Fault, Result};
use system::tasks::blocking;
use tokio::sync::{mpsc, watch};

/// Apps whose lines are stored at the same time.
const WORKERS: usize = 2;
/// News within this time is taken together.
const COALESCE: Duration = Duration::from_millis(5);
/// How long [`Logs::finish`] waits for the store, and then for direct readers.
const FINISH_MAX: Duration = Duration::from_secs(10);
const READERS_MAX: Duration = Duration::from_secs(5);
/// Bytes of a spool that a direct reader takes at once.
const WATCH_CHUNK: usize = 256 * 1024;

/// What `KEY.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Saved {
    #[serde(flatten)]
    meta: SpoolMeta,
    /// When the spool was begun: tells it from an earlier one of the same name.
    life: i64,
    /// [`Logs::finish`] was called.
    #[serde(default)]
    finishing: bool,
}

impl Logs {
    /// Begins to store what is written to a spool, from its beginning, and goes on after restarts until it is finished.
    /// Returns its folder, which exists from here on. Following it already changes nothing.
    pub async fn follow(&self, meta: SpoolMeta) -> Result<PathBuf> {
        let shared = Arc::clone(&self.shared);
        blocking("follow a log spool", move || {
            let dir = shared.spool_dir(&meta.key);
            let _one_at_a_time = lock(&shared.following);
            if lock(&shared.spools).contains_key(&meta.key) {
                return Ok(dir);
            }
            let saved = Saved { life: clock().0, finishing: false, meta };
            make_for_writer(&dir).act(|| format!("cannot create {}", dir.display()))?;
            if !saved.meta.key.is_routers() {
                offer::offer(&dir, &shared.trash).act(|| format!("cannot make the files of {}", dir.display()))?;
            }
            shared.save(&saved)?;
            shared.begin(saved).act(|| format!("cannot follow {}", dir.display()))?;
            Ok(dir)
        })
        .await
    }

    /// The spools that are followed and whose names begin so.
    pub fn keys(&self, prefix: &str) -> Vec<SpoolKey> {
        lock(&self.shared.spools).keys().filter(|key| key.as_str().starts_with(prefix)).cloned().collect()
    }

    /// Finishes every spool whose name begins so.
    pub async fn finish_all(&self, prefix: &str) -> Result<()> {
        for key in &self.keys(prefix) {
            self.finish(key).await?;
        }
        Ok(())
    }

    /// The spool's program is told to end: what is said of its end from here on is why. A restart of the server forgets it.
    pub fn stopping(&self, key: &SpoolKey, why: String) {
        if let Some(spool) = lock(&self.shared.spools).get(key) {
            // Said already where it is tried again.
            let _ = spool.stopped.set(why);
        }
    }

    /// The spool's writer is gone: stores the rest, lets direct readers reach the end, removes the spool.
    /// A spool that is not followed is finished already.
    pub async fn finish(&self, key: &SpoolKey) -> Result<()> {
        let Some(spool) = lock(&self.shared.spools).get(key).cloned() else { return Ok(()) };
        let turn = Arc::clone(&spool);
        let _turn = turn.ending.lock().await;
        let same = lock(&self.shared.spools).get(key).is_some_and(|now| Arc::ptr_eq(now, &turn));
        if !same {
            return Ok(());
        }
        let (shared, ending) = (Arc::clone(&self.shared), Arc::clone(&spool));
        let drained = blocking("finish a log spool", move || {
            if let Some(saved) = shared.saved(&ending.key) {
                shared.save(&Saved { finishing: true, ..saved })?;
            }
            let log = shared.app(&ending.app).act(|| format!("cannot open the log of {}", ending.app))?;
            let drained = log.drain(&ending.key);
            shared.ready.push(&ending.app);
            Ok(drained)
        })
        .await?;
        if let Some(drained) = drained
            && tokio::time::timeout(FINISH_MAX, drained).await.is_err()
        {
            return Err(Fault::plain(format!("cannot store the rest of the spool {key}")).transient().into());
        }
        if tokio::time::timeout(READERS_MAX, spool.signal.closed()).await.is_err() {
            tracing::warn!(spool = %key, "a reader did not take the last lines");
        }
        let shared = Arc::clone(&self.shared);
        blocking("remove a log spool", move || {
            if let Ok(log) = shared.app(&spool.app) {
                log.unfollow(&spool.key);
            }
            shared.remove_spool(&spool.key)
        })
        .await
    }

    /// The records of one spool from its beginning, and then as they come, until it is finished.
    pub async fn watch(&self, key: &SpoolKey) -> Result<mpsc::Receiver<SpoolRecord>> {
        let spool = lock(&self.shared.spools).get(key).cloned();
        let Some(spool) = spool else { return Err(Fault::plain(format!("the spool {key} is not followed")).into()) };
        let news = spool.signal.subscribe();
        let reader = SpoolReader::new(self.shared.spool_dir(key), None);
        let (tx, rx) = mpsc::channel(CHANNEL_MAX);
        self.shared.tasks.spawn("logs-watch", move |stop| async move {
            tokio::select! {
                ended = read_directly(reader, news, &tx) => {
                    if let Err(err) = ended {
                        tracing::warn!(%err, "cannot read a log spool");
                    }
                }
                () = tx.closed() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(rx)
    }

    /// Removes an app's log, spools and all.
    pub async fn forget(&self, app: &AppId) -> Result<()> {
        let (shared, app) = (Arc::clone(&self.shared), app.clone());
        blocking("remove a log", move || {
            // A store that cannot be opened is removed all the same.
            if let Ok(log) = shared.app(&app) {
                log.close();
            }
            let spools: Vec<SpoolKey> =
                lock(&shared.spools).iter().filter(|(_, spool)| spool.app == app).map(|(key, _)| key.clone()).collect();
            for key in spools {
                shared.remove_spool(&key)?;
            }
            lock(&shared.apps).remove(&app);
            lock(&shared.unopened).remove(&app);
            let dir = shared.app_dir(&app);
            shared.trash.take(&dir).act(|| format!("cannot remove {}", dir.display()))?;
            Ok(())
        })
        .await
    }

    /// Starts the workers, the watcher, and what finishing was left over.
    pub(super) fn start(&self, finishing: Vec<SpoolKey>) {
        for _ in 0..WORKERS {
            let shared = Arc::clone(&self.shared);
            self.shared.tasks.spawn("logs-store", move |stop| async move {
                loop {
                    let app = tokio::select! { app = shared.ready.next() => app, () = stop.cancelled() => return };
                    let next = shared.turn(&app).await;
                    shared.ready.done(&app, next);
                }
            });
        }
        self.start_sealing();
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn("logs-news", move |stop| async move {
            tokio::select! { () = shared.take_news() => {}, () = stop.cancelled() => {} }
        });
        let logs = self.clone();
        self.shared.tasks.spawn("logs-finish", move |stop| async move {
            for key in finishing {
                tokio::select! {
                    done = logs.finish(&key) => if let Err(err) = done {
                        tracing::warn!(%err, "a finished spool stays");
                    },
                    () = stop.cancelled() => return,
                }
            }
        });
    }
}

/// Makes a spool's folder and gives it to whoever owns the folder around it: the router's user owns the router's.
fn make_for_writer(dir: &Path) -> io::Result<()> {
    let Some(around) = dir.parent() else { return Ok(()) };
    if !around.exists() {
        make_for_writer(around)?;
    }
    std::fs::create_dir_all(dir)?;
    let (around, made) = (around.metadata()?, dir.symlink_metadata()?);
    if around.uid() == made.uid() {
        return Ok(());
    }
    // Not through a link: the owner of the folder around could have put one here.
    std::os::unix::fs::lchown(dir, Some(around.uid()), Some(around.gid()))
}

impl Shared {
    /// Goes on with every spool that has a note; returns those that were being finished.
    pub(super) fn resume(&self) -> Result<Vec<SpoolKey>> {
        let (root, apps) = (self.spool_root(), self.config.dir.join("apps"));
        std::fs::create_dir_all(&root).act(|| format!("cannot create {}", root.display()))?;
        let mut private = std::fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(&apps).act(|| format!("cannot create {}", apps.display()))?;
        let owner_only = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&apps, owner_only).act(|| format!("cannot protect {}", apps.display()))?;
        let mut by_app: BTreeMap<AppId, Vec<Saved>> = BTreeMap::new();
        for entry in std::fs::read_dir(&root).act(|| format!("cannot list {}", root.display()))? {
            let entry = entry.act(|| format!("cannot list {}", root.display()))?;
            let name = entry.file_name();
            let key = name.to_str().and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse().ok());
            if let Some(saved) = key.and_then(|key| self.saved(&key)) {
                by_app.entry(saved.meta.app.clone()).or_default().push(saved);
            }
        }
        let mut finishing = Vec::new();
        for (app, spools) in by_app {
            let (log, marks) = self.app_and_marks(&app).act(|| format!("cannot open the log of {app}"))?;
            // All are known to the log before the first of them stores a line and with it everybody's position.
            for saved in spools {
                if saved.finishing {
                    finishing.push(saved.meta.key.clone());
                }
                self.join(&log, saved, &marks);
            }
        }
        self.measure(&apps)?;
        Ok(finishing)
    }

    fn begin(&self, saved: Saved) -> io::Result<()> {
        let log = self.app(&saved.meta.app)?;
        self.join(&log, saved, &Marks::new());
        Ok(())
    }

    fn join(&self, log: &AppLog, saved: Saved, marks: &Marks) {
        let (key, dir) = (saved.meta.key.clone(), self.spool_dir(&saved.meta.key));
        let at: Option<Position> = marks.get(&key).filter(|mark| mark.life == saved.life).map(|mark| mark.position);
        let spool = log.follow(saved.meta, saved.life, &dir, at);
        let watched = self.watcher.as_ref().map(|watcher| {
            if key.is_routers() {
                return watcher.add(&dir, Arc::clone(&spool));
            }
            // By the files themselves: they are written under their other names.
            offer::make_files(&dir, &self.trash)?;
            FILES.iter().try_for_each(|name| watcher.add_file(&dir.join(name), Arc::clone(&spool)))
        });
        if !matches!(watched, Some(Ok(()))) {
            spool.watched.store(false, Ordering::Relaxed);
            tracing::warn!(spool = %key, error = ?watched, "cannot watch a log spool: looking twice a second");
        }
        lock(&self.spools).insert(key, Arc::clone(&spool));
        self.news(log, &spool);
    }

    fn news(&self, log: &AppLog, spool: &Handle) {
        spool.poke();
        log.mark_dirty(&spool.key);
        self.ready.push(&spool.app);
    }

    async fn take_news(&self) {
        let Some(watcher) = &self.watcher else { return };
        loop {
            match watcher.changed().await {
                Ok(spools) => {
                    for spool in spools {
                        let log = lock(&self.apps).get(&spool.app).cloned();
                        if let Some(log) = log {
                            self.news(&log, &spool);
                        }
                    }
                }
                Err(err) => tracing::warn!(%err, "cannot read inotify"),
            }
            tokio::time::sleep(COALESCE).await;
        }
    }

    async fn turn(self: &Arc<Shared>, app: &AppId) -> Next {
        let Some(log) = lock(&self.apps).get(app).cloned() else { return Next::Idle };
        self.turns.fetch_add(1, Ordering::Relaxed);
        let (shared, id) = (Arc::clone(self), app.clone());
        let turn = blocking("store log lines", move || {
            let next = log.turn(Instant::now(), clock());
            if log.wants_sealing() {
                shared.waiting.push(&id);
            }
            Ok(next)
        });
        turn.await.unwrap_or_else(|err| {
            tracing::error!(%err, %app, "storing log lines failed");
            Next::After(Duration::from_secs(1))
        })
    }

    fn save(&self, saved: &Saved) -> Result<()> {
        let path = self.meta_path(&saved.meta.key);
        let text = serde_json::to_vec(saved).act(|| "cannot write a spool's note")?;
        Ok(system::whole::write_unsynced(&path, &text, 0o644).act(|| format!("cannot write {}", path.display()))?)
    }

    fn saved(&self, key: &SpoolKey) -> Option<Saved> {
        let path = self.meta_path(key);
        let saved: Saved = match std::fs::read(&path).map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(saved)) => saved,
            Ok(Err(err)) => {
                tracing::warn!(%err, path = %path.display(), "not a note on a log spool: left alone");
                return None;
            }
            Err(_) => return None,
        };
        if saved.meta.key == *key { Some(saved) } else { None }
    }

    /// The folder first, then the note: what is cut short goes on after a restart.
    fn remove_spool(&self, key: &SpoolKey) -> Result<()> {
        let (dir, note) = (self.spool_dir(key), self.meta_path(key));
        self.trash.take(&dir).act(|| format!("cannot remove {}", dir.display()))?;
        absent_is_fine(std::fs::remove_file(&note)).act(|| format!("cannot remove {}", note.display()))?;
        lock(&self.spools).remove(key);
        Ok(())
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Sends a spool's records until it is finished or nobody takes them.
async fn read_directly(
    mut reader: SpoolReader,
    mut news: watch::Receiver<super::app::Signal>,
    tx: &mpsc::Sender<SpoolRecord>,
) -> Result<()> {
    loop {
        // Asked for before the read: what is written in between is news again.
        let finishing = news.borrow_and_update().finishing;
        let (chunk, next) = blocking("read a log spool", move || {
            let mut reader = reader;
            let chunk = reader.read(WATCH_CHUNK, finishing).act(|| "cannot read a log spool")?;
            Ok((chunk, reader))
        })
        .await?;
        reader = next;
        let whole = chunk.lines.split_inclusive(|b| *b == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        let mut records: Vec<SpoolRecord> = whole.filter_map(SpoolLine::parse).map(|l| l.to_record()).collect();
        let lost = [
            (chunk.dropped, format!("{} {} dropped", chunk.dropped, lines(chunk.dropped))),
            (chunk.passed, format!("{} passed over: damaged", human_bytes(chunk.passed))),
        ];
        for (_, text) in lost.into_iter().filter(|(count, _)| *count > 0) {
            let time = records.first().map_or(Timestamp::default(), |r| r.time);
            records.insert(0, SpoolRecord { time, stream: SpoolStream::System, continued: false, text });
        }
        for record in records {
            if tx.send(record).await.is_err() {
                return Ok(());
            }
        }
        if chunk.at_end && (finishing || news.changed().await.is_err()) {
            return Ok(());
        }
    }
}
