//! Retiring one instance: no new requests (all routers say so), its requests end, SIGTERM, grace, SIGKILL, gone.

use super::Reconciler;
use domain::InstanceId;
use domain::instance::instance_name;
use domain::reconcile::Desire;
use log_format::SpoolKey;
use std::time::Duration;
use system::clock::now;
use system::fault::Result;

/// Between two tries while a router does not acknowledge.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(10);

impl Reconciler {
    pub(super) async fn retire(&self, id: InstanceId) -> Result<()> {
        let found = self.p.store.read(move |tx| {
            let Some(row) = tx.instance(id)? else { return Ok(None) };
            let app = tx.the_app(&row.app)?;
            let newer = app.current_release.filter(|current| *current > row.release && !app.stopped);
            Ok(Some((app.settings, newer, row)))
        });
        let Some((settings, newer, row)) = found.await? else { return Ok(()) };
        super::actions::in_span(&row);
        if row.desire != Desire::Retiring {
            return Ok(());
        }
        let name = instance_name(&self.p.install, id);
        if row.ready {
            // A router that does not acknowledge blocks retiring, never serving.
            if !self.p.routes.publish(ACKNOWLEDGE_MAX).await {
                return Err(system::fault::Fault::plain(format!("{} waits for the router", row.label()))
                    .transient()
                    .into());
            }
            self.p.routes.wait_idle(&[id.to_string()], settings.drain_time()).await;
        }
        self.p.starts.settled(&name).await;
        // One that never served has nothing to finish.
        if row.ready {
            let why = newer.map_or_else(|| "Stopped".to_owned(), |newer| format!("Stopped, replaced by {newer}"));
            self.p.logs.stopping(&SpoolKey::instance(id), why);
            self.p.engine.stop(&name, settings.stop_grace()).await?;
        }
        self.p.engine.remove(&name).await?;
        self.p.logs.finish(&SpoolKey::instance(id)).await?;
        crate::exec::forget(&self.p, id);
        self.p.store.write(move |tx| tx.remove_instance(&row, now())).await
    }
}
