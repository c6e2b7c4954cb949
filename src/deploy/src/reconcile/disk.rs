//! Looks at what instances write to the disk, and ends those that pass their limit.
//!
//! The engine's layers have no quota on most file systems, so they are counted: rarely while nothing points to a change,
//! at once when free space shrinks, and never for more than a part of a processor (`domain::room`). What an instance can
//! fill is the engine's to say; the folders that we gave it are counted with it.

use super::Reconciler;
use crate::room as room_on_disks;
use domain::event::Event;
use domain::instance::instance_name;
use domain::reconcile::Desire;
use domain::room::{self, Used};
use domain::{InstanceId, Timestamp};
use log_format::SpoolKey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::InstanceRow;
use system::clock::now;
use system::fault::Result;
use system::host_checks;
use system::tasks::blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How often free space is read.
const TICK: Duration = Duration::from_secs(1);
/// How long counting one instance may take.
const COUNT_MAX: Duration = Duration::from_secs(2);
/// How long what the engine said is believed.
const PLACES_MAX: Duration = Duration::from_secs(60);

/// What the engine said that an instance can fill, since it was started at that time.
struct Places {
    said: Instant,
    started: Timestamp,
    paths: Vec<PathBuf>,
}

impl Reconciler {
    /// Looks until the end of the server.
    pub(super) async fn watch_disks(&self, stop: CancellationToken) {
        let mut places = BTreeMap::new();
        let (mut before, mut took, mut root_at) = (Vec::new(), 0, Instant::now());
        let mut ended: Option<Instant> = None;
        while !stop.is_cancelled() {
            if self.p.paused.load(Ordering::SeqCst) {
                return;
            }
            if Instant::now() >= root_at {
                root_at = Instant::now() + PLACES_MAX;
                if let Ok(version) = self.p.engine.version().await
                    && !version.root.is_empty()
                {
                    self.p.disks.set_engine(version.root.into());
                }
            }
            let free = self.free().await;
            let alarm = free
                .iter()
                .zip(&before)
                .any(|(now, before)| room::alarms(*before, *now, self.p.settings.instance_disk));
            let rested = ended.map_or(u64::MAX, |at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
            if rested >= room::pause(took, alarm) {
                let begun = Instant::now();
                if let Err(err) = self.look_at_disks(&mut places).await {
                    tracing::warn!("cannot look at what instances write: {}", err.chain());
                }
                if let Err(err) = room_on_disks::note(&self.p).await {
                    tracing::warn!("cannot note how much room is on the disks: {}", err.chain());
                }
                took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                ended = Some(Instant::now());
                before = free;
            } else {
                // What was freed since the last look can be filled as fast as what was free then.
                before = free.iter().zip(before.iter().chain(std::iter::repeat(&0))).map(|(a, b)| *a.max(b)).collect();
            }
            tokio::select! { () = sleep(TICK) => {}, () = stop.cancelled() => return }
        }
    }

    /// Free bytes where instances write.
    async fn free(&self) -> Vec<u64> {
        let paths: Vec<PathBuf> =
            [Some(self.p.layout.data().to_owned()), self.p.disks.engine()].into_iter().flatten().collect();
        let read = move || {
            Ok(paths.iter().map(|path| host_checks::disk("", path).bytes.map_or(0, |(free, _)| free)).collect())
        };
        blocking("look at free space", read).await.unwrap_or_default()
    }

    async fn look_at_disks(&self, places: &mut BTreeMap<InstanceId, Places>) -> Result<()> {
        let rows = self.p.store.read(|tx| tx.instances(None)).await?;
        let ids: BTreeSet<InstanceId> = rows.iter().map(|row| row.id).collect();
        places.retain(|id, _| ids.contains(id));
        self.p.disks.keep(&ids);
        let limit = self.p.settings.instance_disk;
        for row in &rows {
            let fresh = |known: &Places| known.said.elapsed() < PLACES_MAX && known.started == row.started;
            if !places.get(&row.id).is_some_and(fresh) {
                // An engine that is away has nothing that could be ended either.
                let Ok(paths) = self.p.engine.fillable(&instance_name(&self.p.install, row.id)).await else { continue };
                places.insert(row.id, Places { said: Instant::now(), started: row.started, paths });
            }
            let Some(known) = places.get(&row.id).filter(|known| !known.paths.is_empty()) else { continue };
            let mut paths = known.paths.clone();
            paths.extend([self.p.layout.io(row.id), self.p.logs.writer_dir(&SpoolKey::instance(row.id))]);
            let until = std::time::Instant::now() + COUNT_MAX;
            let used =
                blocking("count what an instance wrote", move || Ok(host_checks::used(&paths, limit, until))).await?;
            if used.bytes > limit {
                places.remove(&row.id);
                self.end_for_disk(row, used).await?;
            } else {
                self.p.disks.note(row.id, used);
            }
        }
        Ok(())
    }

    /// Ends one that wrote too much, at once: while it is asked politely it would fill the disk. Those that should run are
    /// made anew by the next passes, as after any crash, but with an empty disk.
    async fn end_for_disk(&self, row: &InstanceRow, used: Used) -> Result<()> {
        let id = row.id;
        let limit = self.p.settings.instance_disk;
        let why = room::over(limit);
        let news = self.p.disks.over(id).is_none();
        if news {
            tracing::warn!(app = %row.app, instance = %row.label(), "ended: {why}");
        }
        // The end of one that should run is told when it is noted.
        if row.desire != Desire::Up {
            let row = row.clone();
            let ends = move |tx: &store::Tx<'_>| {
                if row.desire == Desire::Once {
                    tx.end_run_soon(id, &why, now())?;
                }
                let (instance, release) = (row.name(), row.release);
                match news {
                    true => tx.happened(Some(&row.app), &Event::InstanceFull { instance, release, limit }, now()),
                    false => Ok(()),
                }
            };
            self.p.store.write(ends).await?;
        }
        self.p.disks.note_over(id, used);
        self.p.engine.kill(&instance_name(&self.p.install, id)).await?;
        self.p.wake.notify_one();
        Ok(())
    }
}
