//! Takes away what grew: output of old jobs, layers nobody used lately, folders of apps and builds that are gone.
//!
//! Invariant: nothing here is needed to serve; what is missed later (a kept layer, a blob) is made again by the next build.

use super::Reconciler;
use domain::AppId;
use domain::ids::DeployId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use system::fault::{Act, Result};
use system::layout::GONE;
use system::layout::Layout;
use system::proc::remove_tree;
use system::tasks::blocking;

/// Outputs of the newest jobs of an app that are kept.
const JOBS: u32 = 50;
/// Versions of a layer's outputs that are kept for later builds, of one app and of the host.
const KEPT_OF_APP: usize = 2;
const KEPT_OF_HOST: usize = 5;
/// Records of known layers kept per app: 100 bytes each.
const RECORDS: usize = 200;
/// What was used this lately may be in a build's hands.
const LATELY: Duration = Duration::from_secs(3_600);
/// Packs of a repository, one for each push, that are put together into one when there are more.
const PACKS: usize = 50;
/// The scope of layers that all apps share.
const HOST: &str = "host";
/// A key and the hyphen before it, at the end of a kept layer's name.
const KEY_LEN: usize = 41;

impl Reconciler {
    /// One sweep.
    pub(super) async fn sweep(&self) -> Result<()> {
        let jobs = self.p.store.read(|tx| tx.newest_deploys(JOBS)).await?;
        let at_work = self.deploys.in_flight();
        // Listed before the apps are read: a folder made later is not seen here, one of a known app stays.
        let repos = names_in(self.p.layout.repos()).await?;
        let apps: BTreeSet<AppId> = self.p.store.read(|tx| tx.apps()).await?.into_iter().map(|app| app.id).collect();
        for name in repos {
            let id = name.strip_suffix(".git").or_else(|| name.strip_suffix(".removed")).and_then(|n| n.parse().ok());
            if let Some(id) = id.filter(|id| !apps.contains(id)) {
                self.p.repos.remove(&id).await?;
            }
        }
        for app in &apps {
            // One repository a sweep: putting a large one together takes a processor for a while.
            match self.p.repos.tidy_above(app, PACKS).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(err) => tracing::warn!(%app, "a repository stays untidy: {}", err.chain()),
            }
        }
        self.unpin(&apps).await?;
        self.collect_lfs(&apps).await?;
        for key in self.p.logs.keys("b") {
            let deploy = key.as_str().trim_start_matches('b').split('-').next().and_then(|id| id.parse::<i64>().ok());
            if deploy.is_some_and(|id| !at_work.contains(&DeployId(id)) && !self.builds(DeployId(id))) {
                // A flood takes a while to be stored; the next sweep goes on.
                if let Err(err) = self.p.logs.finish(&key).await {
                    tracing::info!(%key, "a build's spool stays for now: {}", err.chain());
                }
            }
        }
        let layout = self.p.layout.clone();
        blocking("sweep", move || {
            sweep_jobs(&layout.job_logs(), &jobs, &at_work);
            sweep_caches(&layout.data().join("cache"), &apps, SystemTime::now());
            Ok(())
        })
        .await?;
        let (keep, now) = (self.p.settings.audit_keep(), system::clock::now());
        while self.p.store.write(move |tx| tx.trim_audit(keep, now)).await? > 0 {}
        loop {
            let trimmed = self.p.store.write(move |tx| tx.trim_events(keep, now)).await?;
            for (reader, events) in trimmed.lost {
                tracing::error!("{events} events are lost for {reader}, which did not read them in time");
            }
            if trimmed.rows == 0 {
                break;
            }
        }
        self.p.builder.prune().await
    }
}

impl Reconciler {
    /// Takes away files of Git LFS that no release needs to which an app can go back.
    async fn collect_lfs(&self, apps: &BTreeSet<AppId>) -> Result<()> {
        let mut kept = self.p.store.read(|tx| tx.commits_in_use(domain::images::KEEP_RELEASES)).await?;
        for app in apps {
            // One app a sweep, as with packs.
            match self.p.repos.collect_lfs(app, kept.remove(app).unwrap_or_default()).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(err) => tracing::warn!(%app, "files of Git LFS stay for now: {}", err.chain()),
            }
        }
        Ok(())
    }

    /// Lets go of commits whose deploys are over: of one that was killed before it could, or could not just then.
    pub(crate) async fn unpin(&self, apps: &BTreeSet<AppId>) -> Result<()> {
        for app in apps {
            // Listed before the deploys are read: a pin is made when its deploy is open.
            let pins = self.p.repos.pins(app).await?;
            if pins.is_empty() {
                continue;
            }
            let open: BTreeSet<DeployId> =
                self.p.store.read(|tx| tx.open_deploys()).await?.into_iter().map(|row| row.id).collect();
            for deploy in pins.into_iter().filter(|deploy| !open.contains(deploy)) {
                // One that is over may be saying its last words.
                if self.deploys.job(deploy).is_none() {
                    self.p.repos.unpin(app, deploy).await?;
                }
            }
        }
        Ok(())
    }
}

/// What a killed server left of builds; before anything is resumed.
pub async fn clear_builds(layout: &Layout) -> Result<()> {
    let folder = layout.builds();
    blocking("empty the builds' folder", move || {
        for path in paths_in(&folder) {
            remove(&path);
        }
        Ok(())
    })
    .await
}

async fn names_in(folder: PathBuf) -> Result<Vec<String>> {
    blocking("list a folder", move || {
        let entries = std::fs::read_dir(&folder).act(|| format!("cannot list {}", folder.display()))?;
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    })
    .await
}

fn sweep_jobs(folder: &Path, newest: &BTreeSet<DeployId>, at_work: &BTreeSet<DeployId>) {
    for path in paths_in(folder) {
        let id = path.file_stem().and_then(|stem| stem.to_string_lossy().parse::<i64>().ok());
        if id.is_some_and(|id| !newest.contains(&DeployId(id)) && !at_work.contains(&DeployId(id))) {
            remove(&path);
        }
    }
}

/// Caches of apps that are gone, and of the others all but the layers used last.
fn sweep_caches(cache: &Path, apps: &BTreeSet<AppId>, now: SystemTime) {
    for kind in ["apps", "kept", "layers"] {
        for scope in paths_in(&cache.join(kind)) {
            let name = scope.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name != HOST && name.parse::<AppId>().is_ok_and(|id| !apps.contains(&id)) {
                remove(&scope);
                continue;
            }
            match kind {
                "kept" => {
                    let most = if name == HOST { KEPT_OF_HOST } else { KEPT_OF_APP };
                    sweep_oldest(&scope, most, now, |name| {
                        name.get(..name.len().saturating_sub(KEY_LEN)).unwrap_or(name).to_owned()
                    });
                }
                "layers" => sweep_oldest(&scope, RECORDS, now, |_| String::new()),
                _ => {}
            }
        }
    }
}

/// Of each group, all but the `most` used last go.
fn sweep_oldest(folder: &Path, most: usize, now: SystemTime, group: impl Fn(&str) -> String) {
    let mut groups: BTreeMap<String, Vec<(SystemTime, PathBuf)>> = BTreeMap::new();
    for path in paths_in(folder) {
        let used = path.symlink_metadata().and_then(|about| about.modified()).unwrap_or(now);
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Of one that another took the place of, none is kept.
        match name.starts_with(GONE) {
            true if now.duration_since(used).unwrap_or_default() > LATELY => remove(&path),
            true => {}
            false => groups.entry(group(&name)).or_default().push((used, path)),
        }
    }
    for mut members in groups.into_values() {
        members.sort();
        let old = members.len().saturating_sub(most);
        for (used, path) in members.into_iter().take(old) {
            if now.duration_since(used).unwrap_or_default() > LATELY {
                remove(&path);
            }
        }
    }
}

fn paths_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn remove(path: &Path) {
    if let Err(err) = remove_tree(path) {
        tracing::warn!("cannot remove {}: {err}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_layers_jobs_and_caches_of_gone_apps_go() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let app: AppId = "aaaaaaaa".parse().unwrap();
        let gone = dir.path().join("kept/bbbbbbbb/x");
        std::fs::create_dir_all(&gone).unwrap();
        for (n, age) in [(1, 9_000), (2, 8_000), (3, 7_000), (4, 10)] {
            let path = dir.path().join(format!("kept/aaaaaaaa/deps-{n:040}"));
            std::fs::create_dir_all(path.join("0")).unwrap();
            std::fs::File::open(&path).unwrap().set_modified(now - Duration::from_secs(age)).unwrap();
        }
        for (name, age) in [("gone-1", 9_000), ("gone-2", 10)] {
            let path = dir.path().join("kept/host").join(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::File::open(&path).unwrap().set_modified(now - Duration::from_secs(age)).unwrap();
        }
        sweep_caches(dir.path(), &[app].into(), now);
        assert_eq!(paths_in(&dir.path().join("kept/host")), [dir.path().join("kept/host/gone-2")]);
        assert!(!gone.parent().unwrap().exists());
        let left: BTreeSet<String> = paths_in(&dir.path().join("kept/aaaaaaaa"))
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(left, [format!("deps-{:040}", 3), format!("deps-{:040}", 4)].into());

        let jobs = dir.path().join("jobs");
        std::fs::create_dir_all(&jobs).unwrap();
        for n in 1..=4 {
            std::fs::write(jobs.join(format!("{n}.log")), "x").unwrap();
        }
        sweep_jobs(&jobs, &[DeployId(3)].into(), &[DeployId(4)].into());
        assert_eq!(paths_in(&jobs).len(), 2);
    }
}
