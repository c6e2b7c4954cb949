//! One-off instances (`run`): allocated, started, and collected when they are over.
//!
//! Invariant: whoever starts one holds it from the transaction that allocates it; what nobody holds is the reconciler's,
//! which collects it by [`collect`], also after a crash. So an instance and its address never outlive their use.
//! Absent: the streams (`inside/`).

use super::boot;
use super::held::Held;
use super::spec::{self, Once};
use super::{network, quota};
use crate::Platform;
use crate::exec;
use domain::ids::SetId;
use domain::reconcile::{Desire, Over};
use domain::refusal::Code;
use domain::run::RUN;
use domain::{AppId, InstanceId, Refusal, ReleaseNumber};
use engine::Status;
use log_format::{Source, SpoolKey};
use std::sync::Arc;
use std::time::Duration;
use store::{InstanceRow, NewInstance, RunRow};
use system::clock::now;
use system::fault::{Fault, Result};
use tokio::sync::Notify;

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// How long the engine may take to notice an end.
const ENDED_MAX: Duration = Duration::from_secs(3);

/// Holds one; dropped, the reconciler looks at what is left.
#[derive(Debug)]
pub struct Hold {
    held: Held,
    id: InstanceId,
    wake: Arc<Notify>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.ids().remove(&self.id);
        self.wake.notify_one();
    }
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The release.
    pub release: ReleaseNumber,
    /// The command, as `ps` shows it.
    pub shown: String,
    /// Who asks.
    pub actor: String,
    /// The fingerprint of their key; empty for root.
    pub key: String,
    /// How long it may run.
    pub timeout: Duration,
    /// What is special about it.
    pub once: Once,
}

/// Allocates a one-off instance and holds it.
pub async fn allocate(p: &Platform, app: &AppId, new: &NewRun) -> Result<(InstanceRow, RunRow, Hold)> {
    network::ensure_number(p, app).await?;
    let (app, p, new, held, wake) = (app.clone(), p.clone(), new.clone(), p.held.clone(), p.wake.clone());
    let (store, most) = (p.store.clone(), p.settings.run_max);
    store
        .write(move |tx| {
            let at = now();
            let row = tx.the_app(&app)?;
            if tx.runs(Some(&app), at)?.len() as u64 >= most {
                return Err(Refusal::new(
                    Code::TooManyRuns,
                    format!("{} has {most} one-off instances already", row.name),
                )
                .next(format!("ps {}", row.name))
                .next(format!("ps:stop {} run.N", row.name))
                .into());
            }
            quota::may_run_once(tx, &p.settings, &row, new.once.memory)?;
            let address = p.net.choose_address(&row, &tx.addresses_of(&app)?, at)?;
            let ordinal = tx.next_run(&app)?;
            let desire = Desire::Once;
            let instance = NewInstance {
                release: new.release,
                process: RUN.parse()?,
                ordinal,
                set: SetId(0),
                desire,
                served: false,
            };
            let instance = tx.add_instance(&app, &instance, address, at)?;
            let run = RunRow {
                id: instance.id,
                app: app.clone(),
                number: ordinal,
                release: new.release,
                command: new.shown,
                actor: new.actor,
                key: new.key,
                detached: new.once.detached,
                memory: new.once.memory,
                begun: at,
                deadline: at.plus_millis(i64::try_from(new.timeout.as_millis()).unwrap_or(i64::MAX / 2_000)),
                ended: None,
                why: String::new(),
            };
            tx.add_run(&run)?;
            // Before anybody else can see the row.
            held.ids().insert(instance.id);
            Ok((instance.clone(), run, Hold { held, id: instance.id, wake }))
        })
        .await
}

/// Starts one that was allocated.
pub async fn start(p: &Platform, row: &InstanceRow, once: &Once) -> Result<()> {
    let launch = boot::launch_of(p, row).await?;
    let source = if once.detached { Some(Source::Run) } else { None };
    boot::start_as(p, &launch, source, |host| {
        spec::once_spec(&launch, once, host).ok_or_else(|| Fault::plain(format!("{} has no image", row.release)))
    })
    .await
}

/// Notes how one ended; the first who says so is believed.
pub async fn note_end(p: &Platform, id: InstanceId, code: Option<i64>, why: &str) -> Result<()> {
    let why = why.to_owned();
    p.store.write(move |tx| tx.end_run(id, code, &why, now()).map(drop)).await
}

/// `with exit code 3 after 2 s (stopped by ana)`.
pub fn how_ended(run: &RunRow) -> String {
    let Some((at, code)) = run.ended else { return "not yet".to_owned() };
    domain::run::how_ended(code, at.millis_since(run.begun), &run.why)
}

/// What the engine knows of an end: its code, and whether memory was the cause.
pub async fn seen_end(p: &Platform, id: InstanceId) -> Option<(i64, bool)> {
    match p.engine.inspect(&domain::instance::instance_name(&p.install, id)).await {
        Ok(Some(seen)) => match seen.status {
            Status::Exited { code, out_of_memory } => Some((code, out_of_memory)),
            Status::Created | Status::Running { .. } => None,
        },
        Ok(None) | Err(_) => None,
    }
}

/// Whether an instance that is ending was ended for its memory; the engine knows a moment after us.
pub async fn was_memory(p: &Platform, id: InstanceId) -> bool {
    let name = domain::instance::instance_name(&p.install, id);
    let _looked_at_next = tokio::time::timeout(ENDED_MAX, p.engine.wait(&name)).await;
    seen_end(p, id).await.is_some_and(|(_, memory)| memory)
}

/// The word for an end by the kernel.
pub fn memory_word(run_memory: u64) -> String {
    format!("R15: out of memory, its limit is {}", domain::text::human_bytes(run_memory))
}

/// Ends and removes one that is over; every step may have been done before.
pub async fn collect(p: &Platform, row: &InstanceRow, over: Over) -> Result<()> {
    let name = domain::instance::instance_name(&p.install, row.id);
    p.starts.settled(&name).await;
    let id = row.id;
    if over == Over::Gone {
        // Seen before its start was over, and let go of since.
        let there = p.engine.inspect(&name).await?;
        if there.is_some_and(|seen| matches!(seen.status, Status::Running { .. })) {
            return Ok(());
        }
    }
    let run = p.store.read(move |tx| tx.run(id)).await?;
    let stopped = match over {
        Over::Late => Some("its time limit was reached"),
        Over::Left => Some("the server restarted, and with it went whoever was connected"),
        Over::Ended | Over::Gone => None,
    };
    if let Some(why) = stopped {
        if let Some(run) = &run
            && run.why.is_empty()
        {
            p.store.write(move |tx| tx.end_run_soon(id, why, now())).await?;
        }
        p.engine.stop(&name, GRACE).await?;
    }
    let (code, why) = match (seen_end(p, id).await, &run) {
        (Some((code, true)), Some(run)) => (Some(code), memory_word(run.memory)),
        (Some((code, _)), _) => (Some(code), String::new()),
        (None, _) => (None, "it was not there any more".to_owned()),
    };
    note_end(p, id, code, &why).await?;
    p.engine.remove(&name).await?;
    p.logs.finish(&SpoolKey::instance(id)).await?;
    exec::forget(p, id);
    let row = row.clone();
    p.store.write(move |tx| tx.remove_instance(&row, now())).await
}
