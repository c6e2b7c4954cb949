//! Moving refs: by git itself, compare and swap, synced to disk.
//!
//! Invariant: every ref name here is built from a checked name or a number; no user text is an argument of git.

use super::repos::{GIT_SECONDS, Repos};
use domain::ids::DeployId;
use domain::push::BranchName;
use domain::refusal::Code;
use domain::{AppId, Commit, Refusal};
use system::fault::{Error, Fault, Result};
use system::proc::{self, Limits};

/// What git takes for "must not exist".
const NONE: &str = "0000000000000000000000000000000000000000";

impl Repos {
    /// Moves a branch from `old` to `new`; a refusal if it is at neither. At `new` already: done, so a replay is harmless.
    pub async fn update_ref(&self, app: &AppId, branch: &BranchName, old: Option<&Commit>, new: &Commit) -> Result<()> {
        let words = ["update-ref", "--no-deref", &branch.full(), new.as_str(), old.map_or(NONE, Commit::as_str)];
        let done = proc::run(&self.git_in(app).args(words), b"", Limits::seconds(GIT_SECONDS)).await?;
        if done.code == 0 {
            return Ok(());
        }
        let now = self.branch_tip(app, branch).await?;
        if now.as_ref() == Some(new) {
            return Ok(());
        }
        if now.as_ref() != old {
            let at = now.map_or_else(|| "gone".to_owned(), |c| format!("at {}", c.short()));
            return Err(Refusal::new(Code::BranchMoved, format!("{branch} is {at} now: another push was faster"))
                .next(format!("git pull --rebase hoist {branch} && git push hoist {branch}"))
                .into());
        }
        Err(Error::from(done.success(format!("cannot move {branch}")).err().unwrap_or_else(|| Fault::plain("git"))))
    }

    /// Keeps a pushed commit, so that it outlives its connection. Pinning again is harmless.
    pub async fn pin(&self, app: &AppId, push: DeployId, commit: &Commit) -> Result<()> {
        self.hidden_ref(app, &["update-ref", &pin_name(push), commit.as_str()]).await
    }

    /// Lets go of a pinned commit; one that is not pinned is no error.
    pub async fn unpin(&self, app: &AppId, push: DeployId) -> Result<()> {
        self.hidden_ref(app, &["update-ref", "-d", &pin_name(push)]).await
    }

    /// The pushes whose commits are kept.
    pub async fn pins(&self, app: &AppId) -> Result<Vec<DeployId>> {
        self.read(app, "cannot list kept commits", |reader| reader.pins()).await
    }

    async fn hidden_ref(&self, app: &AppId, words: &[&str]) -> Result<()> {
        let done = proc::run(&self.git_in(app).args(words), b"", Limits::seconds(GIT_SECONDS)).await?;
        done.success("cannot pin or unpin a commit")?;
        Ok(())
    }
}

/// Where kept commits are.
pub(crate) const PINS: &str = "refs/hoist/push/";

fn pin_name(push: DeployId) -> String {
    format!("{PINS}{push}")
}
