//! What only commands need of the outside, each as narrow as they use it: so that every command runs in a test without git,
//! router, builder or Docker. Absent: what deploys need too, which is in `deploy::Parts`.

use async_trait::async_trait;
use builder::daemon::ImageBuilder;
use builder::{Builder, How, LockFile};
use domain::ids::UserId;
use domain::places::Claimant;
use domain::push::TreeFacts;
use domain::{AppId, Commit, Hostname};
use engine::BuilderVersion;
use git::lfs::Gate;
use git::{HookFrames, PushTicket, Quarantine, Receiver, Repos};
use routes::{RouterLink, RouterState, Routes};
use std::fmt::Debug;
use std::time::Duration;
use system::fault::Result;
use system::io::Io;
use system::places::Places;

/// The repositories of apps, as git's verbs and those about commits know them.
#[async_trait]
pub trait Repositories: Send + Sync + Debug {
    /// git's version.
    async fn version(&self) -> Result<(u32, u32)>;
    /// Places for pushes.
    fn pushes(&self) -> &Places;
    /// Whether an app's repository has a commit that can be read.
    async fn has_commit(&self, app: &AppId, commit: &Commit) -> bool;
    /// Takes a push; git's exit code.
    async fn receive_pack(
        &self,
        app: &AppId,
        push: (&PushTicket, &Claimant),
        protocol: Option<&str>,
        io: &mut Io,
    ) -> Result<i32>;
    /// Answers a fetch; git's exit code.
    async fn upload_pack(&self, app: &AppId, who: &Claimant, io: &mut Io) -> Result<i32>;
    /// Serves a connection of git-lfs that takes (`up`) or gives objects; its exit code.
    async fn lfs_transfer(&self, app: &AppId, up: bool, gate: &dyn Gate, io: &mut Io) -> Result<u8>;
    /// Notes that git-lfs made the app, before any push.
    async fn lfs_made(&self, app: &AppId) -> Result<()>;
    /// How long ago git-lfs made the app; `None` of one that it did not make.
    async fn lfs_made_ago(&self, app: &AppId) -> Option<Duration>;
    /// The folder where git keeps what a push brought until it is judged.
    fn quarantine(&self, app: &AppId, named: &str) -> Result<Quarantine>;
    /// The commit that a pushed id means: a tag's is what the tag is of.
    async fn peel(&self, app: &AppId, named: &Commit, quarantine: Option<Quarantine>) -> Result<Commit>;
    /// What the rules for trees ask of a commit.
    async fn inspect(&self, app: &AppId, commit: &Commit, quarantine: Option<Quarantine>) -> Result<TreeFacts>;
    /// Whether another shallow push changed the repository meanwhile.
    fn shallow_stale(&self, push: &str) -> bool;
    /// Serves a hook of a push that is under way.
    async fn serve_hook(
        &self,
        receiver: &dyn Receiver,
        hello: serde_json::Value,
        frames: &mut dyn HookFrames,
    ) -> Result<()>;
}

#[async_trait]
impl Repositories for Repos {
    async fn version(&self) -> Result<(u32, u32)> {
        Repos::version(self).await
    }
    fn pushes(&self) -> &Places {
        Repos::pushes(self)
    }
    async fn has_commit(&self, app: &AppId, commit: &Commit) -> bool {
        Repos::commit_info(self, app, commit).await.is_ok()
    }
    async fn receive_pack(
        &self,
        app: &AppId,
        push: (&PushTicket, &Claimant),
        protocol: Option<&str>,
        io: &mut Io,
    ) -> Result<i32> {
        Repos::receive_pack(self, app, push, protocol, io).await
    }
    async fn upload_pack(&self, app: &AppId, who: &Claimant, io: &mut Io) -> Result<i32> {
        Repos::upload_pack(self, app, who, io).await
    }
    async fn lfs_transfer(&self, app: &AppId, up: bool, gate: &dyn Gate, io: &mut Io) -> Result<u8> {
        Repos::lfs_transfer(self, app, up, gate, io).await
    }
    async fn lfs_made(&self, app: &AppId) -> Result<()> {
        Repos::lfs_made(self, app).await
    }
    async fn lfs_made_ago(&self, app: &AppId) -> Option<Duration> {
        Repos::lfs_made_ago(self, app).await
    }
    fn quarantine(&self, app: &AppId, named: &str) -> Result<Quarantine> {
        Repos::quarantine(self, app, named)
    }
    async fn peel(&self, app: &AppId, named: &Commit, quarantine: Option<Quarantine>) -> Result<Commit> {
        Repos::peel(self, app, named, quarantine).await
    }
    async fn inspect(&self, app: &AppId, commit: &Commit, quarantine: Option<Quarantine>) -> Result<TreeFacts> {
        Repos::inspect(self, app, commit, quarantine).await
    }
    fn shallow_stale(&self, push: &str) -> bool {
        Repos::shallow_stale(self, push)
    }
    async fn serve_hook(
        &self,
        receiver: &dyn Receiver,
        hello: serde_json::Value,
        frames: &mut dyn HookFrames,
    ) -> Result<()> {
        git::serve_hook(self, receiver, hello, frames).await
    }
}

/// The routers, as those know them who change names or end them.
#[async_trait]
pub trait Routers: RouterLink {
    /// Says that these names of an app came or went; false if the router does not serve that by `deadline`.
    async fn publish_hosts(&self, app: &AppId, hosts: &[Hostname], deadline: Duration) -> bool;
    /// From here on a router that ends is not started again.
    fn pause(&self);
    /// Ends the router process.
    async fn shutdown_router(&self, grace: Duration);
    /// The router that is connected; `None` without one.
    async fn state(&self) -> Option<RouterState>;
}

#[async_trait]
impl Routers for Routes {
    async fn publish_hosts(&self, app: &AppId, hosts: &[Hostname], deadline: Duration) -> bool {
        Routes::publish_hosts(self, app, hosts, deadline).await
    }
    fn pause(&self) {
        Routes::pause(self);
    }
    async fn shutdown_router(&self, grace: Duration) {
        Routes::shutdown_router(self, grace).await;
    }
    async fn state(&self) -> Option<RouterState> {
        Routes::state(self).await
    }
}

/// Who says how a commit is built.
#[async_trait]
pub trait Planner: Send + Sync + Debug {
    /// How a commit would be built now.
    async fn planned(&self, app: &AppId, commit: &Commit) -> Result<How>;
    /// The lock file that a commit's build made.
    async fn lock_of(&self, app: &AppId, commit: &Commit) -> Result<LockFile>;
    /// How many builds of a user are at work.
    fn working(&self, user: UserId) -> u64;
    /// Ends what is fetched ahead.
    async fn end_ahead(&self);
}

#[async_trait]
impl Planner for Builder {
    async fn planned(&self, app: &AppId, commit: &Commit) -> Result<How> {
        Builder::planned(self, app, commit).await
    }
    async fn lock_of(&self, app: &AppId, commit: &Commit) -> Result<LockFile> {
        Builder::lock_of(self, app, commit).await
    }
    fn working(&self, user: UserId) -> u64 {
        self.slots().working(Some(user))
    }
    async fn end_ahead(&self) {
        Builder::end_ahead(self).await;
    }
}

/// What builds Dockerfiles, as `doctor` and `shutdown` know it.
#[async_trait]
pub trait Dockerfiles: Send + Sync + Debug {
    /// What it consists of, while it runs.
    async fn version(&self) -> Option<BuilderVersion>;
    /// Whether its root is there.
    async fn installed(&self) -> bool;
    /// Whether parts below the floors are accepted.
    fn accepts_old(&self) -> bool;
    /// Ends it and takes its network and groups away.
    async fn remove(&self) -> Result<()>;
}

#[async_trait]
impl Dockerfiles for ImageBuilder {
    async fn version(&self) -> Option<BuilderVersion> {
        ImageBuilder::version(self).await
    }
    async fn installed(&self) -> bool {
        self.root().await.is_some()
    }
    fn accepts_old(&self) -> bool {
        ImageBuilder::accepts_old(self)
    }
    async fn remove(&self) -> Result<()> {
        ImageBuilder::remove(self).await
    }
}
