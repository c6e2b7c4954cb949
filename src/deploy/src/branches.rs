//! What deploys need of an app's repository.

use async_trait::async_trait;
use domain::ids::DeployId;
use domain::push::BranchName;
use domain::{AppId, Commit};
use git::Repos;
use std::path::PathBuf;
use system::fault::Result;

/// The repositories of apps, as deploys and the sweep know them.
#[async_trait]
pub trait Branches: Send + Sync + std::fmt::Debug {
    /// Where an app's repository lies; for those who are told so.
    fn path(&self, app: &AppId) -> PathBuf;
    /// Keeps the commit of a deploy until it is unpinned.
    async fn pin(&self, app: &AppId, deploy: DeployId, commit: &Commit) -> Result<()>;
    /// Lets go of a deploy's commit; done before is fine.
    async fn unpin(&self, app: &AppId, deploy: DeployId) -> Result<()>;
    /// The deploys whose commits are kept.
    async fn pins(&self, app: &AppId) -> Result<Vec<DeployId>>;
    /// Where a branch is; `None` if there is none.
    async fn branch_tip(&self, app: &AppId, branch: &BranchName) -> Result<Option<Commit>>;
    /// Whether `commit` has `ancestor` in its history.
    async fn is_descendant(&self, app: &AppId, commit: &Commit, ancestor: &Commit) -> Result<bool>;
    /// Moves a branch from where it must be now.
    async fn update_ref(&self, app: &AppId, branch: &BranchName, from: Option<&Commit>, to: &Commit) -> Result<()>;
    /// Makes a branch the one that a clone gets.
    async fn set_head(&self, app: &AppId, branch: &BranchName) -> Result<()>;
    /// Removes an app's repository; gone already is fine.
    async fn remove(&self, app: &AppId) -> Result<()>;
    /// Puts the packs of a repository together where there are more than so many; whether there were.
    async fn tidy_above(&self, app: &AppId, packs: usize) -> Result<bool>;
    /// Takes away Git LFS files that neither its refs nor `kept` name; whether it had to look.
    async fn collect_lfs(&self, app: &AppId, kept: Vec<Commit>) -> Result<bool>;
}

#[async_trait]
impl Branches for Repos {
    fn path(&self, app: &AppId) -> PathBuf {
        Repos::path(self, app)
    }
    async fn pin(&self, app: &AppId, deploy: DeployId, commit: &Commit) -> Result<()> {
        Repos::pin(self, app, deploy, commit).await
    }
    async fn unpin(&self, app: &AppId, deploy: DeployId) -> Result<()> {
        Repos::unpin(self, app, deploy).await
    }
    async fn pins(&self, app: &AppId) -> Result<Vec<DeployId>> {
        match Repos::path(self, app).exists() {
            true => Repos::pins(self, app).await,
            false => Ok(Vec::new()),
        }
    }
    async fn branch_tip(&self, app: &AppId, branch: &BranchName) -> Result<Option<Commit>> {
        Repos::branch_tip(self, app, branch).await
    }
    async fn is_descendant(&self, app: &AppId, commit: &Commit, ancestor: &Commit) -> Result<bool> {
        Repos::is_descendant(self, app, commit, ancestor).await
    }
    async fn update_ref(&self, app: &AppId, branch: &BranchName, from: Option<&Commit>, to: &Commit) -> Result<()> {
        Repos::update_ref(self, app, branch, from, to).await
    }
    async fn set_head(&self, app: &AppId, branch: &BranchName) -> Result<()> {
        Repos::set_head(self, app, branch).await
    }
    async fn remove(&self, app: &AppId) -> Result<()> {
        Repos::remove(self, app).await
    }
    async fn tidy_above(&self, app: &AppId, packs: usize) -> Result<bool> {
        // An app that was never pushed to has none.
        match Repos::path(self, app).exists() {
            true => Repos::tidy_above(self, app, packs).await,
            false => Ok(false),
        }
    }
    async fn collect_lfs(&self, app: &AppId, kept: Vec<Commit>) -> Result<bool> {
        let collected = Repos::collect_lfs(self, app, kept).await?;
        if let Some(gone) = collected.filter(|gone| gone.objects > 0) {
            tracing::info!(%app, objects = gone.objects, bytes = gone.bytes, "files of Git LFS that nothing needs are gone");
        }
        Ok(collected.is_some())
    }
}
