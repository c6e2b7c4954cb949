//! Keeps what should run running and removes what is ours and not wanted. Takes no input: every pass reads the store and
//! the engine afresh, on a timer, on a wake-up, and on hints of the engine.

mod actions;
mod disk;
mod retire;
mod sweep;

pub use sweep::clear_builds;

use crate::Platform;
use crate::{Deploys, network};
use domain::InstanceId;
use domain::ids::DeployId;
use domain::instance::{INSTALL_LABEL, KIND_LABEL, instance_name};
use domain::reconcile::{Action, Desire, Once, Row, Seen, plan};
use engine::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use system::fault::Result;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

/// The longest time without a look.
const EVERY: Duration = Duration::from_secs(5);
/// How often networks and firewall are compared.
const NETWORK_EVERY: Duration = Duration::from_secs(8);
/// How often images that no release needs are removed.
const IMAGES_EVERY: Duration = Duration::from_secs(300);
/// The first time after the start.
const IMAGES_FIRST: Duration = Duration::from_secs(20);

/// The reconciler. Clones share what is at work.
#[derive(Debug, Clone)]
pub struct Reconciler {
    p: Platform,
    deploys: Deploys,
    /// Instances that an action is at work on.
    busy: Arc<Mutex<BTreeSet<InstanceId>>>,
}

impl Reconciler {
    /// A reconciler of this installation.
    pub fn new(p: Platform, deploys: Deploys) -> Reconciler {
        Reconciler { p, deploys, busy: Arc::default() }
    }

    /// Runs until the end of the server.
    pub fn start(&self) {
        let this = self.clone();
        self.p.tasks.spawn("reconcile", move |stop| async move { this.run(stop).await });
        let this = self.clone();
        self.p.tasks.spawn("hints", move |stop| async move { this.hints(stop).await });
        let this = self.clone();
        self.p.tasks.spawn("disks", move |stop| async move { this.watch_disks(stop).await });
    }

    /// An event of the engine is only a reason to look.
    async fn hints(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Ok(mut hints) = self.p.engine.hints(INSTALL_LABEL, self.p.install.as_str()).await {
                loop {
                    tokio::select! {
                        hint = hints.recv() => if hint.is_some() { self.p.wake.notify_one() } else { break },
                        () = stop.cancelled() => return,
                    }
                }
            }
            tokio::select! { () = self.p.clock.sleep(Duration::from_secs(2)) => {}, () = stop.cancelled() => return }
        }
    }

    async fn run(&self, stop: CancellationToken) {
        let (mut network_at, mut images_at) = (Instant::now(), Instant::now() + IMAGES_FIRST);
        let mut quiet = false;
        while !stop.is_cancelled() {
            let turn = self.p.turn.lock().await;
            if self.p.paused.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            let pause = match self.pass().await {
                Ok(again) => {
                    quiet = false;
                    again.map_or(EVERY, |ms| Duration::from_millis(ms).min(EVERY))
                }
                Err(err) => {
                    if !quiet {
                        tracing::warn!("cannot reconcile: {}", err.chain());
                    }
                    quiet = true;
                    EVERY
                }
            };
            if Instant::now() >= network_at {
                network_at = Instant::now() + NETWORK_EVERY;
                if let Err(err) = self.networks().await {
                    tracing::warn!("cannot put networks right: {}", err.chain());
                }
            }
            if Instant::now() >= images_at {
                images_at = Instant::now() + IMAGES_EVERY;
                if let Err(err) = self.images().await {
                    tracing::warn!("cannot remove images: {}", err.chain());
                }
                if let Err(err) = self.sweep().await {
                    tracing::warn!("cannot sweep: {}", err.chain());
                }
            }
            drop(turn);
            tokio::select! {
                () = self.p.clock.sleep(pause) => {}
                () = self.p.wake.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look and what follows from it; how soon to look again.
    async fn pass(&self) -> Result<Option<u64>> {
        let rows = self.p.store.read(|tx| tx.instances(None)).await?;
        let observed = self.p.containers().await?;
        let mut jobs = BTreeSet::new();
        let mut seen = BTreeMap::new();
        for one in observed {
            if one.labels.get(KIND_LABEL).is_some_and(|kind| kind == "build") && self.is_at_work(&one.name) {
                jobs.insert(one.name.clone());
            }
            let status = match one.status {
                Status::Created => Seen::Created,
                Status::Running { .. } => Seen::Running { addresses: one.addresses },
                Status::Exited { .. } => Seen::Exited,
            };
            seen.insert(one.name, status);
        }
        // Rows made after the list was taken would look absent, and instances of rows removed since look stray: rows are
        // read again, and only what both reads agree on is acted upon.
        let (later, runs) = self.p.store.read(|tx| Ok((tx.instances(None)?, tx.runs_with_instances()?))).await?;
        let once = |id| {
            let run = runs.iter().find(|run| run.id == id)?;
            Some(Once { held: self.p.held.holds(id), detached: run.detached, deadline: run.deadline })
        };
        let known: BTreeSet<String> = rows.iter().chain(&later).map(|r| instance_name(&self.p.install, r.id)).collect();
        seen.retain(|name, _| {
            later.iter().any(|r| instance_name(&self.p.install, r.id) == *name) || !known.contains(name)
        });
        let rows: Vec<Row> = later
            .iter()
            .filter(|r| rows.iter().any(|old| old.id == r.id))
            .map(|r| Row {
                id: r.id,
                name: instance_name(&self.p.install, r.id),
                address: r.address,
                desire: r.desire,
                ready: r.ready,
                crashes: r.crashes,
                ended: r.ended,
                once: once(r.id),
            })
            .collect();
        let unseen: Vec<String> = later
            .iter()
            .filter(|r| !rows.iter().any(|row| row.id == r.id))
            .map(|r| instance_name(&self.p.install, r.id))
            .collect();
        seen.retain(|name, _| !unseen.contains(name));
        let (actions, again) = plan(&rows, &seen, &jobs, system::clock::now());
        for action in actions {
            self.act(action);
        }
        Ok(again)
    }

    /// Whether the build that a sandbox belongs to is in flight: its name carries the deploy's id.
    fn is_at_work(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&format!("hoist-{}-b", self.p.install)).unwrap_or_default();
        let id = rest.split('-').next().and_then(|n| n.parse().ok());
        id.is_some_and(|id| self.builds(id))
    }

    /// Whether builds of this number are at work.
    fn builds(&self, id: DeployId) -> bool {
        self.deploys.job(id).is_some() || self.p.builder.is_ahead(id)
    }

    /// Starts an action, unless one is at work on the same instance.
    fn act(&self, action: Action) {
        let id = match &action {
            Action::Ensure(id)
            | Action::NoteCrash(id)
            | Action::StartAgain(id)
            | Action::Probe(id)
            | Action::Replace(id)
            | Action::Retire(id)
            | Action::Collect(id, _) => Some(*id),
            Action::RemoveStray(_) => None,
        };
        if let Some(id) = id
            && !self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
        {
            return;
        }
        let this = self.clone();
        let span = tracing::info_span!("reconcile", ?action, app = Empty);
        let work = move |stop: CancellationToken| async move {
            let done = tokio::select! { done = this.run_action(&action) => done, () = stop.cancelled() => Ok(()) };
            if let Err(err) = &done {
                tracing::warn!("{}", err.chain());
            }
            if let Some(id) = id {
                if done.is_err() {
                    // Not at once again: what failed a moment ago fails now too.
                    tokio::select! { () = this.p.clock.sleep(Duration::from_secs(1)) => {}, () = stop.cancelled() => {} }
                }
                this.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            }
        };
        self.p.tasks.spawn("reconcile-action", move |stop| work(stop).instrument(span));
    }

    /// Networks of apps that are gone are removed; firewall put right.
    async fn networks(&self) -> Result<()> {
        self.p.net.ensure_firewall().await?;
        let apps = self.p.store.read(|tx| tx.apps()).await?;
        let rows = self.p.store.read(|tx| tx.instances(None)).await?;
        let used: BTreeSet<_> = rows.iter().filter(|r| r.desire != Desire::Retiring).map(|r| r.app.clone()).collect();
        for app in apps.iter().filter(|a| used.contains(&a.id)) {
            // One whose addresses another installation has now gets a network with its next deploy.
            if let Ok(network) = self.p.net.app_network(app) {
                network::ensure_network(&self.p, &network).await?;
            }
        }
        network::remove_leftovers(&self.p).await?;
        Ok(())
    }

    /// Removes images of ours that neither the newest releases nor a build in flight need.
    async fn images(&self) -> Result<()> {
        let keep: BTreeSet<String> =
            self.p.store.read(|tx| tx.images_in_use(domain::images::KEEP_RELEASES)).await?.into_iter().collect();
        for image in self.p.engine.images(INSTALL_LABEL, self.p.install.as_str()).await? {
            // While a job is in flight, an image may be there that no release names yet.
            if image.contains(":b") && !keep.contains(&image) && self.deploys.is_idle() {
                // One that an old instance still runs refuses; it goes at a later look.
                if let Err(err) = self.p.engine.remove_image(&image).await {
                    let told = format!("{image} stays for now: {err}");
                    tracing::info!("{}", domain::images::without_keys(&told));
                }
            }
        }
        Ok(())
    }
}
