//! Fetches the usual runtimes while nothing is deployed, so that the first app of a language need not wait for them.
//!
//! Invariant: it takes no place among the builds; a push that needs what is being fetched waits for that alone and takes it.
//! Absent: anything of an app, and versions that only some app asks for.

use super::{Builder, Work};
use buildpacks::{Base, Pins, Settings};
use domain::config::ConfigVars;
use domain::ids::{BuildId, DeployId};
use domain::{AppId, text, time};
use jobs::{BuildAsk, Builds, Job, Waited};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use system::clock::now;
use system::fault::Result;
use system::host_checks;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The number that its sandboxes and folders go by; deploys count from 1.
const NUMBER: DeployId = DeployId(0);
/// The id that its output goes by: no app's, as their digits are others.
const NOBODY: &str = "00000000";
/// How often it is looked whether nothing is deployed.
const IDLE_EVERY: Duration = Duration::from_secs(2);
/// How soon the registries are asked again: there are new versions. And when they could not be asked.
const AGAIN: Duration = Duration::from_secs(86_400);
const RETRY: Duration = Duration::from_secs(1_800);
/// How long one language may take: who needs what is being fetched waits for it.
const FETCH_MAX: Duration = Duration::from_secs(300);
/// Free bytes without which nothing is fetched for nobody.
const FREE_MIN: u64 = 5_000_000_000;

/// The state that the builder shares with it.
#[derive(Debug, Default)]
pub struct Ahead {
    at_work: AtomicBool,
    end: CancellationToken,
    /// Held while it may have containers.
    turn: Mutex<()>,
}

/// Set while something is being fetched.
struct AtWork<'a>(&'a AtomicBool);

impl<'a> AtWork<'a> {
    fn new(flag: &'a AtomicBool) -> AtWork<'a> {
        flag.store(true, Ordering::SeqCst);
        AtWork(flag)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Builder {
    /// Begins to fetch what the configuration names, now and once a day, whenever `is_idle` says that nothing is deployed.
    pub fn fetch_ahead(self: &Arc<Self>, is_idle: impl Fn() -> bool + Send + Sync + 'static) {
        if self.p.settings.fetch_ahead.is_empty() {
            return;
        }
        let this = Arc::clone(self);
        self.p.tasks.spawn("fetch ahead", |stop| async move {
            let _turn = this.ahead.turn.lock().await;
            tokio::select! {
                () = this.keep_fetching(&is_idle) => {}
                () = this.ahead.end.cancelled() => {}
                () = stop.cancelled() => {}
            }
            if let Err(err) = this.discard(NUMBER).await {
                tracing::info!("what was fetched ahead leaves something behind: {}", err.chain());
            }
        });
    }

    async fn keep_fetching(&self, is_idle: &(impl Fn() -> bool + Send + Sync)) {
        loop {
            let mut again = AGAIN;
            for buildpack in &self.p.settings.fetch_ahead {
                while !is_idle() {
                    sleep(IDLE_EVERY).await;
                }
                let free = host_checks::disk("", self.p.layout.data()).bytes.map_or(0, |(free, _)| free);
                if free < FREE_MIN {
                    tracing::info!(buildpack, "not fetched ahead: {} are free", text::human_bytes(free));
                    continue;
                }
                if let Err(err) = self.fetch(buildpack).await {
                    tracing::info!(buildpack, "not fetched ahead: {}", err.chain());
                    again = RETRY;
                }
            }
            sleep(again).await;
        }
    }

    /// Whether sandboxes of this number are at work for nobody.
    pub fn is_ahead(&self, deploy: DeployId) -> bool {
        deploy == NUMBER && self.ahead.at_work.load(Ordering::SeqCst)
    }

    /// Ends the fetching for good and waits until nothing of it runs.
    pub async fn end_ahead(&self) {
        self.ahead.end.cancel();
        drop(self.ahead.turn.lock().await);
    }

    /// Makes the layers that a usual app of this language would share with others, where they are not there yet.
    async fn fetch(&self, buildpack: &str) -> Result<()> {
        let p = &self.p;
        let Some(tree) = buildpacks::usual(buildpack) else { return Ok(()) };
        let _at_work = AtWork::new(&self.ahead.at_work);
        let begun = now();
        let (settings, pins, app) = (Settings::default(), Pins::new(), NOBODY.parse::<AppId>()?);
        let ask = BuildAsk {
            app: app.clone(),
            build: BuildId(NUMBER.0),
            deploy: NUMBER,
            commit: "0".repeat(40).parse()?,
            deadline: tokio::time::Instant::now() + FETCH_MAX,
            waited: Waited::default(),
            clear_cache: false,
        };
        let job = Job::unheard(NUMBER);
        // What the last fetch or an earlier life of the server left would write into this one's folders.
        super::remove_sandboxes(p, NUMBER).await?;
        let questions = buildpacks::ask(&tree, &settings, &pins).map_err(super::refusal)?;
        let facts = self.answers(p, &ask, &job, settings.stack, &questions).await;
        p.logs.forget(&app).await?;
        let facts = facts?;
        let plan = buildpacks::plan(&tree, &settings, &pins, &facts).map_err(super::refusal)?;
        let run = self.stack(p, settings.stack, Base::Run, &job).await?;
        let stacks = super::stacks_id(p, &run, settings.stack).await?;
        let sources = Arc::new(super::Sources::none(&p.repos, &app, &ask.commit));
        let config = ConfigVars::new();
        let work = Work {
            p,
            job: &job,
            ask: &ask,
            plan,
            sources,
            image_key: String::new(),
            config,
            stack: settings.stack,
            stacks,
        };
        let made = self.fetched_layers(&work).await;
        p.logs.forget(&app).await?;
        if let Some(names) = Some(made?).filter(|names| !names.is_empty()) {
            let took = time::human_millis(now().millis_since(begun));
            tracing::info!(buildpack, "fetched ahead in {took}: {}", names.join(", "));
        }
        Ok(())
    }
}
