//! The loop: next step, intent, effect, outcome. Also the only place that decides what a cancel means.

use super::app_lock::{Place, Replaced, Turns};
use super::effects::Effects;
use crate::Platform;
use domain::deploy::{Deploy, Effect, Kind, Outcome, apply, can_cancel, is_over, next, settle};
use domain::ids::DeployId;
use domain::refusal::Code;
use domain::{AppId, Refusal, backoff, leaving};
use jobs::Job;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Ask, DeployRow, NewDeploy};
use system::clock::now;
use system::fault::{Error, Fault, Result};
use tokio_util::sync::CancellationToken;
use tracing::field::{self, Empty};
use tracing::{Instrument, Span};

/// All deploys of this control process. Clones share them.
#[derive(Debug, Clone)]
pub struct Deploys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    platform: Platform,
    turns: Turns,
    owner: String,
    live: Mutex<BTreeMap<DeployId, (AppId, Job)>>,
}

impl Deploys {
    /// The deploys of a control process known as `owner`.
    pub fn new(platform: Platform, owner: String) -> Deploys {
        Deploys(Arc::new(Shared { platform, turns: Turns::default(), owner, live: Mutex::default() }))
    }

    /// Queues a job: from here on it is the server's, with a row in the store.
    pub async fn submit(&self, app: &AppId, kind: Kind, ask: Ask, actor: &str) -> Result<Job> {
        let (deploy, taken) = self.add(app, kind, ask, actor).await?;
        let replaceable = matches!(kind, Kind::Push | Kind::Rebuild);
        let place = self.0.turns.enter(app, replaceable);
        Ok(taken.start(app, deploy, Some(place)))
    }

    /// Queues a job in a turn that the caller holds already.
    pub async fn submit_within(&self, _turn: &Place, app: &AppId, kind: Kind, ask: Ask, actor: &str) -> Result<Job> {
        let (deploy, taken) = self.add(app, kind, ask, actor).await?;
        Ok(taken.start(app, deploy, None))
    }

    async fn add(&self, app: &AppId, kind: Kind, mut ask: Ask, actor: &str) -> Result<(DeployId, Taken)> {
        ask.nonce = format!("{:016x}", rand::random::<u64>());
        let taken = Taken { deploys: self.clone(), nonce: Some(ask.nonce.clone()) };
        // A pushed commit outlives its connection from here on.
        let commit = ask.commit.clone().filter(|_| kind == Kind::Push);
        let (actor, owner) = (actor.to_owned(), self.0.owner.clone());
        let new = NewDeploy { app: app.clone(), kind, ask, actor, owner };
        let deploy = self.0.platform.store.write(move |tx| {
            let deploy = tx.add_deploy(&new, now())?;
            // It has a number to ask about from the moment it waits.
            if let (Kind::Push | Kind::Rebuild, Some(commit)) = (new.kind, &new.ask.commit) {
                tx.queue_build(&new.app, deploy, commit, &new.actor, now())?;
            }
            Ok(deploy)
        });
        let deploy = deploy.await?;
        if let Some(commit) = &commit {
            self.0.platform.repos.pin(app, deploy, commit).await?;
        }
        Ok((deploy, taken))
    }

    /// Ends the job that was asked for with this nonce, if it is in the store: whoever asked does not know of it.
    async fn end_unheard(&self, nonce: &str) -> Result<()> {
        let p = &self.0.platform;
        // Where rows are written: after the one that may be being committed this moment.
        let open = p.store.write(|tx| tx.open_deploys()).await?;
        let Some(row) = open.into_iter().find(|row| row.ask.nonce == nonce && row.owner == self.0.owner) else {
            return Ok(());
        };
        let why = Refusal::new(Code::NotTakenIn, "the server could not take the job in")
            .why("what it needed could not be written down in time")
            .next("try again");
        let place = self.0.turns.enter(&row.app, false);
        self.start(&row.app, row.id, Some(place), Begun::GivenUp(why));
        Ok(())
    }

    /// Takes the app's turn for something that is not a deploy (scale, stop, destroy).
    pub async fn turn(&self, app: &AppId) -> Result<Place> {
        let mut place = self.0.turns.enter(app, false);
        place.turn().await.map_err(|Replaced| Fault::plain("a place that cannot be replaced was"))?;
        Ok(place)
    }

    /// Whether somebody is at work on the app.
    pub fn is_busy(&self, app: &AppId) -> bool {
        self.live().values().any(|(a, _)| a == app)
    }

    /// The jobs in flight of an app.
    pub fn jobs_of(&self, app: &AppId) -> Vec<Job> {
        self.live().values().filter(|(a, _)| a == app).map(|(_, job)| job.clone()).collect()
    }

    /// A job in flight.
    pub fn job(&self, id: DeployId) -> Option<Job> {
        self.live().get(&id).map(|(_, job)| job.clone())
    }

    /// The ids of all jobs in flight.
    pub fn in_flight(&self) -> std::collections::BTreeSet<DeployId> {
        self.live().keys().copied().collect()
    }

    /// Whether no job is in flight.
    pub fn is_idle(&self) -> bool {
        self.live().is_empty()
    }

    /// Takes over and resumes every open job of dead control processes.
    pub async fn resume(&self) -> Result<usize> {
        let owner = self.0.owner.clone();
        let open = self
            .0
            .platform
            .store
            .write(move |tx| {
                tx.take_over(&owner)?;
                tx.open_deploys()
            })
            .await?;
        let mut rows: Vec<&DeployRow> = open.iter().collect();
        // One that was at work goes first: its instances must not be taken for another's old ones. Then the order of asking.
        rows.sort_by_key(|row| (row.state == Deploy::Received, row.id));
        for row in rows {
            let place = self.0.turns.enter(&row.app, false);
            let job = self.start(&row.app, row.id, Some(place), Begun::Before);
            job.head(format!("Resumed after a restart of the server ({})", row.kind.word()));
        }
        Ok(open.len())
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<DeployId, (AppId, Job)>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, app: &AppId, deploy: DeployId, place: Option<Place>, begun: Begun) -> Job {
        let p = &self.0.platform;
        let job = Job::new(deploy, &p.layout.job_logs().join(format!("{deploy}.log")));
        let resumed = matches!(begun, Begun::Before);
        if let Begun::GivenUp(why) = begun {
            job.cancel(why);
        }
        self.live().insert(deploy, (app.clone(), job.clone()));
        let (this, out) = (self.clone(), job.clone());
        let span = tracing::info_span!("deploy", %app, %deploy, build = Empty, release = Empty);
        let work = move |stop: CancellationToken| async move {
            let run = this.run(deploy, place, &out, resumed);
            let end = tokio::select! {
                end = run => end,
                () = stop.cancelled() => Err(Fault::plain("the server is stopping; the job goes on at its next start").into()),
            };
            this.live().remove(&deploy);
            let state = end.unwrap_or_else(|err| {
                let why = told(&err);
                out.warn(&why.what);
                Deploy::Failed { release: None, why }
            });
            out.finish(state);
        };
        p.tasks.spawn("deploy", move |stop| work(stop).instrument(span));
        job
    }

    async fn run(&self, deploy: DeployId, place: Option<Place>, job: &Job, resumed: bool) -> Result<Deploy> {
        let mut place = place;
        let mut early: Option<Refusal> = None;
        if let Some(place) = place.as_mut() {
            early = wait_turn(place, job).await;
        }
        let p = &self.0.platform;
        let row = p.store.read(move |tx| tx.deploy(deploy)).await?;
        // Its row goes with its app.
        let mut row =
            row.ok_or_else(|| Refusal::new(Code::AppGone, "the app was destroyed meanwhile").next("apps:list"))?;
        let mut effects = Effects::new(p.clone(), job.clone(), resumed);
        if early.is_none() && row.state == Deploy::Received {
            early = match effects.may_begin(&row).await {
                Ok(early) => early,
                Err(err) => Some(told(&err)),
            };
        }
        let hooks = p.hooks.present().await?;
        if let Some(why) = early.filter(|_| row.state == Deploy::Received) {
            self.write_intent(&row, Effect::Build).await?;
            self.step(&mut row, &hooks, Effect::Build, Outcome::Failed { why }).await?;
        }
        // A state that is over counts once it is written: then the hook's step runs, and finds nothing to do.
        let settled = settle(row.kind, row.state.clone(), |hook| hooks.contains(&hook));
        if !is_over(&settled) {
            row.state = settled;
        }
        let mut failures = 0;
        while let Some(effect) = next(row.kind, &row.state) {
            let before = row.state.clone();
            let outcome = self.run_effect(&mut effects, &row, effect, job).await?;
            match &outcome {
                // A fault is in the log with its cause.
                Outcome::Failed { why } if why.code != Code::Fault => {
                    tracing::info!(?effect, code = %why.code, "step failed: {}", why.what);
                }
                Outcome::Built { build } => {
                    Span::current().record("build", field::display(build));
                }
                Outcome::Cut { release } => {
                    Span::current().record("release", field::display(release));
                }
                Outcome::Failed { .. } | Outcome::Done | Outcome::Routed { .. } => {}
            }
            self.step(&mut row, &hooks, effect, outcome).await?;
            // After the commit point (and while undoing) a failed step is tried again, ever more slowly.
            if row.state == before {
                failures += 1;
                let pause = backoff::delay_millis(failures, 200, 30_000, rand::random());
                self.0.platform.clock.sleep(Duration::from_millis(pause)).await;
            } else {
                failures = 0;
            }
        }
        effects.farewell(&row).await;
        drop(place);
        Ok(row.state)
    }

    /// Writes the step's outcome, and with it the new state. At the commit point the release becomes the current one in the
    /// same transaction: whoever does not hear whether it was written asks again, and no failure can come in between.
    async fn step(
        &self,
        row: &mut DeployRow,
        hooks: &BTreeSet<Effect>,
        effect: Effect,
        outcome: Outcome,
    ) -> Result<()> {
        let state = apply(row.kind, row.state.clone(), outcome.clone())
            .map_err(|err| Fault::new(format!("deploy {} took a wrong step", row.id), err))?;
        let state = settle(row.kind, state, |hook| hooks.contains(&hook));
        let mut failures = 0;
        loop {
            let (old, new, outcome) = (row.clone(), state.clone(), outcome.clone());
            let written = self.0.platform.store.write(move |tx| {
                if let (Effect::Commit, Outcome::Done, Deploy::Booted { release }) = (effect, &outcome, &old.state) {
                    tx.commit_release(&old.app, *release, old.id.into(), now())?;
                }
                tx.end_step(&old, &outcome, &new, now())
            });
            match written.await {
                Ok(()) => break,
                Err(err) => self.write_failed(row, &err, &mut failures).await?,
            }
        }
        row.state = state;
        Ok(())
    }

    /// A step that cannot be written down is neither done nor failed: it is written again later (the disk is full, say).
    /// Only a row that is gone, or another's now, ends the job here.
    async fn write_failed(&self, row: &DeployRow, err: &Error, failures: &mut u32) -> Result<()> {
        let (id, owner, fence) = (row.id, row.owner.clone(), row.fence);
        if let Ok(found) = self.0.platform.store.read(move |tx| tx.deploy(id)).await {
            match found {
                None => {
                    return Err(Refusal::new(Code::AppGone, "the app was destroyed meanwhile")
                        .next("apps:list")
                        .into());
                }
                Some(found) if found.owner != owner || found.fence != fence => {
                    return Err(Fault::plain(format!("deploy {id} was taken over")).into());
                }
                Some(_) => {}
            }
        }
        *failures += 1;
        tracing::warn!("cannot write down a step: {}", err.chain());
        let pause = backoff::delay_millis(*failures, 200, 30_000, rand::random());
        self.0.platform.clock.sleep(Duration::from_millis(pause)).await;
        Ok(())
    }

    async fn write_intent(&self, row: &DeployRow, effect: Effect) -> Result<()> {
        let mut failures = 0;
        loop {
            let intent = row.clone();
            match self.0.platform.store.write(move |tx| tx.begin_step(&intent, effect, now())).await {
                Ok(()) => return Ok(()),
                Err(err) => self.write_failed(row, &err, &mut failures).await?,
            }
        }
    }

    async fn right_lost(&self, row: &DeployRow) -> Result<Option<Refusal>> {
        let (key, app) = (row.ask.key.clone(), row.app.clone());
        let lost = self.0.platform.store.read(move |tx| tx.app_lost_by(&key, &app)).await?;
        Ok(lost.map(|app| leaving::right_lost(&row.actor, &app.name)))
    }

    async fn run_effect(&self, effects: &mut Effects, row: &DeployRow, effect: Effect, job: &Job) -> Result<Outcome> {
        self.write_intent(row, effect).await?;
        // Looked at before every step, after a restart too: what was queued with a right that has ended goes no further.
        if can_cancel(&row.state)
            && let Some(why) = self.right_lost(row).await.unwrap_or_else(|err| Some(told(&err)))
        {
            return Ok(Outcome::Failed { why });
        }
        let cancellable = can_cancel(&row.state) && effect != Effect::Commit;
        let done = tokio::select! {
            done = effects.run(row, effect) => done,
            () = job.cancelled().cancelled(), if cancellable => Err(job.cancel_reason().into()),
        };
        Ok(done.unwrap_or_else(|err| Outcome::Failed { why: told(&err) }))
    }
}

/// What those who listen are told of an error; a fault is in the log with it.
fn told(err: &Error) -> Refusal {
    err.log();
    err.refusal()
}

/// How a job comes to be run.
enum Begun {
    /// Somebody asks for it now.
    Now,
    /// An earlier control process had it.
    Before,
    /// Nobody waits for it; it is only ended.
    GivenUp(Refusal),
}

/// A job between its row and its start. Dropped before it started, its row is ended as soon as the store can be written.
struct Taken {
    deploys: Deploys,
    nonce: Option<String>,
}

impl Taken {
    fn start(mut self, app: &AppId, deploy: DeployId, place: Option<Place>) -> Job {
        self.nonce = None;
        self.deploys.start(app, deploy, place, Begun::Now)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(nonce) = self.nonce.take() else { return };
        let deploys = self.deploys.clone();
        self.deploys.0.platform.tasks.spawn("end an unheard job", move |stop| async move {
            let mut failures = 0;
            while let Err(err) = deploys.end_unheard(&nonce).await {
                failures += 1;
                tracing::warn!("cannot end a job that was not taken in: {}", err.chain());
                let pause = Duration::from_millis(backoff::delay_millis(failures, 200, 30_000, rand::random()));
                tokio::select! {
                    () = deploys.0.platform.clock.sleep(pause) => {}
                    // The next control process resumes what is open.
                    () = stop.cancelled() => return,
                }
            }
        });
    }
}

/// Waits for the turn; the refusal if it will not come.
async fn wait_turn(place: &mut Place, job: &Job) -> Option<Refusal> {
    if place.waits() {
        job.head("Waiting: another job is at work on this app");
    }
    if job.cancelled().is_cancelled() {
        return Some(job.cancel_reason());
    }
    tokio::select! {
        turn = place.turn() => turn.err().map(|Replaced| {
            Refusal::new(Code::Superseded, "a later push took this one's place in the queue").next("nothing to do if that was yours")
        }),
        () = job.cancelled().cancelled() => Some(job.cancel_reason()),
    }
}
