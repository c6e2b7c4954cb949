//! What git-lfs calls: whether there is room for what it brings, and the end of an app that it made and nobody pushed to.
//!
//! A push runs git-lfs while git itself waits, connected; then the app is there. `git lfs push` alone comes before any push,
//! and makes the app as a push would.

use super::{Ask, Commands, apps, git};
use crate::{Server, usage};
use ::git::lfs::{Gate, Held};
use async_trait::async_trait;
use domain::access::Principal;
use domain::command::{Request, find};
use domain::ids::UserId;
use domain::refusal::Code;
use domain::{AppId, Refusal};
use std::time::Duration;
use store::AuditFilter;
use system::fault::{Fault, Result};
use system::io::Io;

/// An app that git-lfs made and nobody used goes after this time.
const UNUSED_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often such apps are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Audit rows that are looked at of one.
const ROWS: u32 = 1_000;

/// The room for one app's objects.
struct Room<'a> {
    p: &'a Server,
    app: AppId,
    owner: Option<UserId>,
}

#[async_trait]
impl Gate for Room<'_> {
    async fn may(&self, bytes: u64) -> Result<()> {
        let coming = self.p.usage.reserved().saturating_add(bytes);
        deploy::room::may_grow(self.p, coming, "files of Git LFS")?;
        usage::may_grow(self.p, self.owner, bytes).await
    }

    async fn take(&self, bytes: u64) -> Result<Held> {
        self.may(bytes).await?;
        Ok(Box::new(self.p.usage.reserve(&self.app, bytes)))
    }
}

pub(super) async fn transfer(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let up = is_up(ask.what());
    let (app, owner) = match ask.app() {
        Some(app) => (app.id.clone(), app.owner),
        None => {
            may_make(c, &ask).await?;
            let name = ask.what().app.clone().ok_or_else(|| Fault::plain("git-lfs without an app"))?;
            let app = apps::make(c, ask.principal(), &name).await?;
            c.p.repos.lfs_made(&app.id).await?;
            (app.id, app.owner)
        }
    };
    c.p.repos.lfs_transfer(&app, up, &Room { p: &c.p, app: app.clone(), owner }, io).await
}

/// A git-lfs that may send nothing over ssh asks this next, and shows what is said here alone: so it hears why.
pub(super) async fn authenticate(c: &Commands, ask: Ask) -> Result<u8> {
    if is_up(ask.what()) {
        may_make(c, &ask).await?;
    }
    Err(Refusal::new(Code::LfsClient, "this git-lfs does not send files over ssh, which it can since version 3.0")
        .why("it asked for an address of HTTPS, and there is none here")
        .next("git lfs version, and where it says less than 3.0: install a newer git-lfs, then push again")
        .into())
}

fn is_up(request: &Request) -> bool {
    request.args.maybe("OPERATION") == Some("upload")
}

async fn may_make(c: &Commands, ask: &Ask) -> Result<()> {
    deploy::room::may_begin(&c.p, "a push")?;
    let owner = match (ask.app(), ask.principal()) {
        (Some(app), _) => app.owner,
        (None, Principal::User { id, .. }) => Some(*id),
        (None, Principal::Local | Principal::DeployKey { .. }) => None,
    };
    usage::may_push(&c.p, owner).await
}

/// Looks for apps that git-lfs made and nobody pushed to, until the end of the server.
pub fn start(c: &Commands) {
    let c = c.clone();
    let tasks = c.p.tasks.clone();
    tasks.spawn("remove apps without a push", move |stop| async move {
        while !stop.is_cancelled() {
            if let Err(err) = c.remove_unused(UNUSED_MAX).await {
                tracing::warn!("an app that only git-lfs used stays for now: {}", err.chain());
            }
            tokio::select! { () = tokio::time::sleep(LOOK_EVERY) => {}, () = stop.cancelled() => return }
        }
    });
}

impl Commands {
    /// Removes apps that git-lfs made so long ago and of which nobody did anything else.
    pub(super) async fn remove_unused(&self, age: Duration) -> Result<()> {
        for app in self.p.store.read(|tx| tx.apps()).await? {
            if self.p.repos.lfs_made_ago(&app.id).await.is_none_or(|ago| ago < age) {
                continue;
            }
            if git::is_unused(self, &app.id).await? && self.only_git_asked(&app.id).await? {
                tracing::info!(app = %app.name, "git-lfs made it, and no push came: it is removed");
                apps::unmake(self, &app.id).await?;
            }
        }
        Ok(())
    }

    /// Whether nobody did anything with an app but bring it objects, try a push, or look.
    async fn only_git_asked(&self, app: &AppId) -> Result<bool> {
        let filter = AuditFilter { app: Some(app.clone()), max: ROWS, ..AuditFilter::default() };
        let rows = self.p.store.read(move |tx| tx.audit(&filter)).await?;
        Ok(rows.iter().all(|(_, row)| find(&row.verb).is_some_and(|spec| spec.git || spec.reads)))
    }
}
