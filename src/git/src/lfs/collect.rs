//! Which objects an app still needs: those that its branches, its pushes under way and its kept releases name.

use super::store::{Collected, Store};
use crate::Repos;
use crate::read::Reader;
use domain::{AppId, Commit};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use system::fault::Result;
use system::tasks::blocking;

/// How long an object stays that nothing names: a client may have sent it for a push that is yet to come.
const GRACE: Duration = Duration::from_secs(24 * 3600);

impl Repos {
    /// Notes that git-lfs made the app, before any push.
    pub async fn lfs_made(&self, app: &AppId) -> Result<()> {
        self.ensure(app).await?;
        let store = Store::of(&self.path(app));
        blocking("note who made an app", move || store.note_made()).await
    }

    /// How long ago git-lfs made the app; `None` of one that it did not make.
    pub async fn lfs_made_ago(&self, app: &AppId) -> Option<Duration> {
        let store = Store::of(&self.path(app));
        blocking("look who made an app", move || Ok(store.made_ago(SystemTime::now()))).await.ok().flatten()
    }

    /// Takes away objects that neither the refs nor `kept` name. `None` where no object has been there for
    /// a day without being looked at: then no tree is.
    pub async fn collect_lfs(&self, app: &AppId, kept: Vec<Commit>) -> Result<Option<Collected>> {
        self.collect_lfs_after(app, kept, GRACE).await
    }

    pub(crate) async fn collect_lfs_after(
        &self,
        app: &AppId,
        kept: Vec<Commit>,
        grace: Duration,
    ) -> Result<Option<Collected>> {
        let (path, walls) = (self.path(app), self.walls().clone());
        // Its objects may be between arrival and the push that names them for longer than a day, on a slow line.
        if self.is_at_work(app) {
            return Ok(None);
        }
        blocking("collect objects", move || {
            let (store, now) = (Store::of(&path), SystemTime::now());
            if store.older_than(grace, now).is_empty() {
                return Ok(None);
            }
            let reader = Reader::open(&path, &walls)?;
            let commits: BTreeSet<Commit> = reader.tips()?.into_iter().chain(kept).collect();
            let named = reader.lfs_objects(&commits)?;
            Ok(Some(store.collect(&named, grace, now)))
        })
        .await
    }
}
