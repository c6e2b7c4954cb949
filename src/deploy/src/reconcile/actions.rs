//! The effects of the reconciler's plan, one instance each.

use super::Reconciler;
use crate::exec;
use crate::{boot, once};
use domain::InstanceId;
use domain::backoff::STEADY_MILLIS;
use domain::event::{Crash, Event};
use domain::instance::instance_name;
use domain::reconcile::{Action, Desire};
use engine::{EngineError, Observed, Status};
use log_format::{Source, SpoolKey};
use std::time::Duration;
use store::InstanceRow;
use system::clock::now;
use system::fault::{Act, Result};

/// How long a change of routes by the reconciler waits for the router.
const ROUTE_MAX: Duration = Duration::from_secs(10);

/// Lines of the log say from here on whose instance it is.
pub(super) fn in_span(row: &InstanceRow) {
    tracing::Span::current().record("app", tracing::field::display(&row.app));
}

impl Reconciler {
    pub(super) async fn run_action(&self, action: &Action) -> Result<()> {
        match action {
            Action::Ensure(id) => self.ensure(*id).await,
            Action::NoteCrash(id) => self.note_crash(*id).await,
            Action::StartAgain(id) => self.start_again(*id).await,
            Action::Probe(id) => self.probe(*id).await,
            Action::Replace(id) => self.replace(*id).await,
            Action::Retire(id) => self.retire(*id).await,
            Action::Collect(id, over) => match self.row(*id, Desire::Once).await? {
                Some(row) => once::collect(&self.p, &row, *over).await,
                None => Ok(()),
            },
            Action::RemoveStray(name) => Ok(self.p.engine.remove(name).await?),
        }
    }

    /// The row, if it is still wanted as the plan saw it.
    async fn row(&self, id: InstanceId, desire: Desire) -> Result<Option<InstanceRow>> {
        let row = self.p.store.read(move |tx| tx.instance(id)).await?;
        Ok(row.filter(|r| r.desire == desire).inspect(in_span))
    }

    /// Whether an instance runs after all: what a plan is made from may be older than what is done by it.
    async fn runs(&self, id: InstanceId) -> Result<Option<Observed>> {
        let seen = self.p.engine.inspect(&instance_name(&self.p.install, id)).await?;
        Ok(seen.filter(|seen| matches!(seen.status, Status::Running { .. })))
    }

    async fn ensure(&self, id: InstanceId) -> Result<()> {
        let Some(row) = self.row(id, Desire::Up).await? else { return Ok(()) };
        if self.runs(id).await?.is_some() {
            return Ok(());
        }
        if row.ready {
            self.down(&row, Event::InstanceGone { instance: row.name(), release: row.release }).await?;
        }
        boot::ensure_started(&self.p, &row, Source::App).await?;
        self.p.store.write(move |tx| tx.note_start(id, now())).await?;
        self.await_ready(&row).await
    }

    async fn replace(&self, id: InstanceId) -> Result<()> {
        let Some(row) = self.row(id, Desire::Up).await? else { return Ok(()) };
        if self.runs(id).await?.is_some_and(|seen| seen.addresses.contains(&row.address)) {
            return Ok(());
        }
        let (app, event) = (row.app.clone(), Event::InstanceCutOff { instance: row.name(), release: row.release });
        let cut_off = move |tx: &store::Tx<'_>| {
            tx.note_down(id, None, now())?;
            tx.happened(Some(&app), &event, now())
        };
        self.p.store.write(cut_off).await?;
        self.p.routes.publish_app(&row.app, ROUTE_MAX).await;
        self.p.engine.remove(&instance_name(&self.p.install, id)).await?;
        boot::ensure_started(&self.p, &row, Source::App).await?;
        self.p.store.write(move |tx| tx.note_start(id, now())).await?;
        self.await_ready(&row).await
    }

    async fn note_crash(&self, id: InstanceId) -> Result<()> {
        let Some(row) = self.row(id, Desire::Up).await? else { return Ok(()) };
        if self.runs(id).await?.is_some() {
            return Ok(());
        }
        let ended = now();
        let cause = self.why_ended(id).await;
        let steady = ended.millis_since(row.started) >= STEADY_MILLIS;
        let crashes = if steady { 1 } else { row.crashes + 1 };
        self.p.store.write(move |tx| tx.note_crash(id, crashes, cause, ended)).await?;
        self.p.routes.publish_app(&row.app, ROUTE_MAX).await;
        if self.p.disks.over(id).is_some() {
            // With it goes what it wrote; what comes in its place is made from the image again.
            self.p.engine.remove(&instance_name(&self.p.install, id)).await?;
            exec::forget(&self.p, id);
        }
        self.p.wake.notify_one();
        Ok(())
    }

    /// What the engine knows of an end that the instance itself could not say.
    async fn why_ended(&self, id: InstanceId) -> Crash {
        if self.p.disks.over(id).is_some() {
            return Crash::DiskFull { limit: self.p.settings.instance_disk };
        }
        match self.p.engine.inspect(&instance_name(&self.p.install, id)).await {
            Ok(Some(Observed { status: Status::Exited { out_of_memory: true, .. }, .. })) => {
                Crash::OutOfMemory { limit: self.p.settings.app_memory }
            }
            Ok(Some(Observed { status: Status::Exited { code, .. }, .. })) => Crash::Exited { code: Some(code) },
            Ok(_) | Err(_) => Crash::Exited { code: None },
        }
    }

    async fn start_again(&self, id: InstanceId) -> Result<()> {
        let Some(row) = self.row(id, Desire::Up).await? else { return Ok(()) };
        self.p.store.write(move |tx| tx.note_start(id, now())).await?;
        self.p.disks.begin(id);
        let name = instance_name(&self.p.install, id);
        let key = SpoolKey::instance(id);
        if self.p.logs.follows(&key) {
            self.p.logs.offer(&key).await?;
        }
        // Whatever it put in the way of its next life's socket.
        exec::forget(&self.p, id);
        exec::prepare(&self.p.layout, id).act(|| format!("cannot make the folder of the socket of {}", row.label()))?;
        match self.p.engine.start_again(&name).await {
            // It, or what it is made of (its network), is gone: made anew, it has all.
            Err(EngineError::NotFound(_) | EngineError::Failed { .. }) => {
                self.p.engine.remove(&name).await?;
                boot::ensure_started(&self.p, &row, Source::App).await?;
            }
            other => other?,
        }
        self.await_ready(&row).await
    }

    async fn probe(&self, id: InstanceId) -> Result<()> {
        let Some(row) = self.row(id, Desire::Up).await? else { return Ok(()) };
        self.await_ready(&row).await
    }

    async fn await_ready(&self, row: &InstanceRow) -> Result<()> {
        match boot::wait_ready(&self.p, row, None).await {
            Ok(()) => {
                let id = row.id;
                self.p.store.write(move |tx| tx.note_up(id, now())).await?;
                self.p.routes.publish_app(&row.app, ROUTE_MAX).await;
                Ok(())
            }
            Err(err) => {
                err.log();
                let (instance, release, why) = (row.name(), row.release, err.lines().join("; "));
                let (app, event) = (row.app.clone(), Event::InstanceNotUp { instance, release, why });
                self.p.store.write(move |tx| tx.happened(Some(&app), &event, now())).await?;
                // It ended, or never opened its port: either way the next look sees it and decides.
                self.p.engine.kill(&instance_name(&self.p.install, row.id)).await?;
                self.p.wake.notify_one();
                Ok(())
            }
        }
    }

    /// It takes no requests from here on, which whoever waits hears with the reason.
    async fn down(&self, row: &InstanceRow, why: Event) -> Result<()> {
        let id = row.id;
        self.p.store.write(move |tx| tx.note_down(id, Some(&why), now())).await?;
        self.p.routes.publish_app(&row.app, ROUTE_MAX).await;
        Ok(())
    }
}
