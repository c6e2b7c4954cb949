//! One life's way to the outside: every call goes through its fuse to what outlives it.

use super::fuse::{Blow, Fuse};
use super::world::Outside;
use crate::branches::Branches;
use crate::hooks::{Call, Hooks};
use crate::probe::{Probe, Serves};
use async_trait::async_trait;
use domain::deploy::Effect;
use domain::dockerfile::ImageFacts;
use domain::ids::DeployId;
use domain::listeners::Seen;
use domain::push::BranchName;
use domain::routing::{Hosts, Scope};
use domain::{AppId, Commit};
use engine::{Engine, EngineError, EngineVersion, Hint, ImageReference, InstanceSpec, NetworkSpec, Observed, Status};
use jobs::{BuildAsk, Builds, Job, Made};
use routes::{BaseDomain, RouterLink};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Build, BuildStatus, Store};
use system::clock::Clock;
use system::fault::{Fault, Result};
use tokio::sync::mpsc;

/// A second of the product in a test.
const SECOND: Duration = Duration::from_millis(1);

/// What one life of the process is wired to.
#[derive(Debug)]
pub struct Wire {
    pub(super) outside: Arc<Outside>,
    pub(super) fuse: Arc<Fuse>,
    pub(super) store: Store,
    pub(super) base: BaseDomain,
    pub(super) listed: Mutex<Vec<Observed>>,
}

fn refused() -> EngineError {
    EngineError::Failed { act: "do what a test forbids".to_owned(), source: "as the test asked".into() }
}

fn broken() -> system::fault::Error {
    Fault::plain("as the test asked").transient().into()
}

impl Wire {
    async fn engine<T>(
        &self,
        verb: &str,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        self.fuse.call(&format!("engine.{verb}"), work, refused).await
    }
}

#[async_trait]
impl Engine for Wire {
    async fn version(&self) -> Result<EngineVersion, EngineError> {
        self.outside.engine.version().await
    }
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        self.engine("ensure_network", self.outside.engine.ensure_network(spec)).await
    }
    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.engine("remove_network", self.outside.engine.remove_network(name)).await
    }
    async fn networks(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.outside.engine.networks(key, value).await
    }
    async fn ensure_started(&self, spec: &InstanceSpec) -> Result<(), EngineError> {
        let process = spec.labels.get("hoist.process").cloned().unwrap_or_default();
        let verb = format!("engine.ensure_started {process}");
        let work = async {
            self.outside.engine.ensure_started(spec).await?;
            if process == "release" {
                self.outside.engine.exit(&spec.name, 0, false);
            }
            Ok(())
        };
        self.fuse.call(&verb, work, refused).await
    }
    async fn start_again(&self, name: &str) -> Result<(), EngineError> {
        self.engine("start_again", self.outside.engine.start_again(name)).await
    }
    async fn inspect(&self, name: &str) -> Result<Option<Observed>, EngineError> {
        self.engine("inspect", self.outside.engine.inspect(name)).await
    }
    async fn list(&self, key: &str, value: &str) -> Result<Vec<Observed>, EngineError> {
        self.fuse.alive().await;
        let before = self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match self.fuse.next("engine.list") {
            Some(Blow::Stale) => return Ok(before),
            Some(Blow::Forget) => self.outside.forget_one(),
            Some(Blow::Fail | Blow::AnswerLost) => return Err(refused()),
            Some(Blow::DieBefore | Blow::DieAfter) => {
                self.fuse.dead().cancel();
                self.fuse.alive().await;
            }
            None => {}
        }
        let now = self.outside.engine.list(key, value).await?;
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
        Ok(now)
    }
    async fn fillable(&self, _: &str) -> Result<Vec<PathBuf>, EngineError> {
        Ok(Vec::new())
    }
    async fn memory(&self, name: &str) -> Result<Option<u64>, EngineError> {
        self.outside.engine.memory(name).await
    }
    async fn wait(&self, name: &str) -> Result<Status, EngineError> {
        self.engine("wait", self.outside.engine.wait(name)).await
    }
    async fn stop(&self, name: &str, grace: Duration) -> Result<(), EngineError> {
        let work = async {
            self.outside.ends(name, "stopped");
            self.outside.engine.stop(name, grace).await
        };
        self.engine("stop", work).await
    }
    async fn kill(&self, name: &str) -> Result<(), EngineError> {
        let work = async {
            self.outside.ends(name, "killed");
            self.outside.engine.kill(name).await
        };
        self.engine("kill", work).await
    }
    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let work = async {
            self.outside.ends(name, "removed");
            self.outside.engine.remove(name).await
        };
        self.engine("remove", work).await
    }
    async fn pull(&self, reference: &ImageReference, tag: &str) -> Result<(), EngineError> {
        self.outside.engine.pull(reference, tag).await
    }
    async fn has_image(&self, tag: &str) -> Result<bool, EngineError> {
        self.engine("has_image", self.outside.engine.has_image(tag)).await
    }
    async fn remove_image(&self, tag: &str) -> Result<(), EngineError> {
        self.outside.engine.remove_image(tag).await
    }
    async fn images(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.outside.engine.images(key, value).await
    }
    async fn image_facts(&self, tag: &str) -> Result<Option<ImageFacts>, EngineError> {
        self.outside.engine.image_facts(tag).await
    }
    async fn hints(&self, key: &str, value: &str) -> Result<mpsc::Receiver<Hint>, EngineError> {
        self.outside.engine.hints(key, value).await
    }
}

#[async_trait]
impl Probe for Wire {
    async fn serves(&self, _: &dyn Engine, name: &str, _: SocketAddr, _: Duration) -> Serves {
        self.fuse.alive().await;
        if let Some(never) = self.outside.never_serves(name) {
            tokio::time::sleep(SECOND).await;
            return never;
        }
        loop {
            match self.outside.engine.inspect(name).await {
                Ok(Some(Observed { status: Status::Running { .. }, .. })) => return Serves::Yes,
                Ok(Some(Observed { status: Status::Created, .. })) => tokio::time::sleep(SECOND).await,
                Ok(_) | Err(_) => std::future::pending().await,
            }
        }
    }
    async fn seen(&self, _: &dyn Engine, _: &str, _: u16) -> Seen {
        Seen::Nothing
    }
}

#[async_trait]
impl Clock for Wire {
    /// A thousand times as fast.
    async fn sleep(&self, time: Duration) {
        self.fuse.alive().await;
        tokio::time::sleep((time / 200).max(SECOND)).await;
        self.fuse.alive().await;
    }
}

#[async_trait]
impl RouterLink for Wire {
    async fn publish(&self, _: Duration) -> bool {
        self.told(Scope::All).await
    }
    async fn publish_app(&self, app: &AppId, _: Duration) -> bool {
        self.told(Scope::app(app.clone(), Hosts::All)).await
    }
    async fn loads(&self, _: &[String]) -> Option<(u64, u64, u64)> {
        self.fuse.alive().await;
        Some((0, 7, 0))
    }
    async fn wait_idle(&self, _: &[String], _: Duration) -> bool {
        self.fuse.alive().await;
        true
    }
}

impl Wire {
    /// The router takes the routes as the store has them; a call that fails is one that it does not acknowledge, and has heard
    /// or not.
    async fn told(&self, scope: Scope) -> bool {
        let work = async {
            let routes = routes::wanted(&self.store, &self.base, &scope).await?;
            let takes = self.outside.router_takes();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            self.outside.route(scope, routes);
            Ok(())
        };
        self.fuse.call("router.publish", work, broken).await.is_ok()
    }
}

#[async_trait]
impl Branches for Wire {
    fn path(&self, app: &AppId) -> PathBuf {
        PathBuf::from(format!("/fake/{app}.git"))
    }
    async fn pin(&self, app: &AppId, deploy: DeployId, commit: &Commit) -> Result<()> {
        let work = async {
            self.outside.git().pins.insert((app.clone(), deploy), commit.clone());
            Ok(())
        };
        self.fuse.call("git.pin", work, broken).await
    }
    async fn unpin(&self, app: &AppId, deploy: DeployId) -> Result<()> {
        let work = async {
            self.outside.git().pins.remove(&(app.clone(), deploy));
            Ok(())
        };
        self.fuse.call("git.unpin", work, broken).await
    }
    async fn pins(&self, app: &AppId) -> Result<Vec<DeployId>> {
        Ok(self.outside.git().pins.keys().filter(|(of, _)| of == app).map(|(_, deploy)| *deploy).collect())
    }
    async fn branch_tip(&self, app: &AppId, branch: &BranchName) -> Result<Option<Commit>> {
        let work = async { Ok(self.outside.git().tips.get(&(app.clone(), branch.to_string())).cloned()) };
        self.fuse.call("git.branch_tip", work, broken).await
    }
    /// Commits are numbered in order.
    async fn is_descendant(&self, _: &AppId, commit: &Commit, ancestor: &Commit) -> Result<bool> {
        self.fuse.alive().await;
        Ok(commit.as_str() >= ancestor.as_str())
    }
    async fn update_ref(&self, app: &AppId, branch: &BranchName, from: Option<&Commit>, to: &Commit) -> Result<()> {
        let work = async {
            let mut git = self.outside.git();
            let key = (app.clone(), branch.to_string());
            if git.tips.get(&key) != from {
                return Err(Fault::plain("the branch is elsewhere").into());
            }
            git.tips.insert(key, to.clone());
            Ok(())
        };
        self.fuse.call("git.update_ref", work, broken).await
    }
    async fn set_head(&self, _: &AppId, _: &BranchName) -> Result<()> {
        self.fuse.call("git.set_head", async { Ok(()) }, broken).await
    }
    async fn remove(&self, app: &AppId) -> Result<()> {
        let mut git = self.outside.git();
        git.tips.retain(|(of, _), _| of != app);
        git.pins.retain(|(of, _), _| of != app);
        Ok(())
    }
    async fn tidy_above(&self, _: &AppId, _: usize) -> Result<bool> {
        Ok(false)
    }
    async fn collect_lfs(&self, _: &AppId, _: Vec<Commit>) -> Result<bool> {
        Ok(false)
    }
}

#[async_trait]
impl Hooks for Wire {
    async fn present(&self) -> Result<BTreeSet<Effect>> {
        self.fuse.alive().await;
        Ok(self.outside.hooks())
    }
    async fn run(&self, call: Call<'_>) -> Result<()> {
        let what = format!("hook.{:?}", call.effect);
        self.fuse.call(&what, async { Ok(()) }, broken).await
    }
}

#[async_trait]
impl Builds for Wire {
    async fn build(&self, ask: &BuildAsk, job: &Job) -> Result<Made> {
        let work = async {
            if let Some(no) = self.outside.build_fails() {
                return Err(no.into());
            }
            job.head("Building with nothing");
            let image = format!("hoist/test-{}:b{}-0123456789abcdef", ask.app, ask.build);
            self.outside.engine.add_image(&image);
            let processes = self.outside.processes();
            let build = Build {
                id: ask.build,
                app: ask.app.clone(),
                commit: ask.commit.clone(),
                status: BuildStatus::Running,
                language: "nothing".to_owned(),
                digest: Some(format!("sha256:{}", ask.commit)),
                image: Some(image),
                launch: None,
                processes,
                why: None,
                actor: String::new(),
                started: system::clock::now(),
                ended: None,
            };
            Ok(Made { build, pins: Default::default() })
        };
        self.fuse.call("builder.build", work, broken).await
    }
    async fn discard(&self, _: DeployId) -> Result<()> {
        self.fuse.call("builder.discard", async { Ok(()) }, broken).await
    }
    fn is_ahead(&self, _: DeployId) -> bool {
        false
    }
    async fn prune(&self) -> Result<()> {
        Ok(())
    }
}
