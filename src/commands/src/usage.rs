//! What each app keeps on the disk: its repository, its build caches, its log. Measured again and again in the background,
//! and at once where a push would be refused for it. Images are the engine's, which shares their layers, and are not here.

use crate::server::Server;
pub use crate::sizes::{Reserved, Sum, Usage};
use domain::ids::UserId;
use domain::quota::{Holder, What, limit};
use domain::AppId;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use system::clock::now;
use system::fault::{Act, Result};
use system::probes::bytes_below;
use system::tasks::blocking;

/// How often everything is measured.
const EVERY: Duration = Duration::from_secs(300);
/// Measuring takes at most one part in so many of the time.
const REST: u32 = 20;
/// What was measured this lately is not measured again for a push.
const LATELY_MILLIS: u64 = 10_000;
/// How long a push waits for a measurement; then the last one counts.
const MEASURE_MAX: Duration = Duration::from_secs(20);
/// More than this is not counted: 1 PB.
const COUNTED_MAX: u64 = 1 << 50;

/// Measures all apps, until the end of the server.
pub fn start(p: &Server) {
    let p = p.clone();
    let tasks = p.tasks.clone();
    tasks.spawn("measure the disk", move |stop| async move {
        while !stop.is_cancelled() {
            let began = Instant::now();
            tokio::select! {
                done = measure_all(&p) => if let Err(err) = done {
                    tracing::warn!("cannot measure what apps keep: {}", err.chain());
                },
                () = stop.cancelled() => return,
            }
            let rest = EVERY.max(began.elapsed().saturating_mul(REST));
            tokio::select! { () = tokio::time::sleep(rest) => {}, () = stop.cancelled() => return }
        }
    });
}

async fn measure_all(p: &Server) -> Result<()> {
    let apps: Vec<AppId> = p.store.read(|tx| tx.apps()).await?.into_iter().map(|app| app.id).collect();
    p.usage.known().retain(|app, _| apps.contains(app));
    for app in apps {
        measure(p, vec![app]).await?;
    }
    Ok(())
}

/// Measures these apps now.
async fn measure(p: &Server, apps: Vec<AppId>) -> Result<()> {
    let folders: Vec<(AppId, PathBuf, Vec<PathBuf>)> =
        apps.into_iter().map(|app| (app.clone(), p.layout.app_cache(&app), folders(p, &app))).collect();
    let (usage, trash) = (p.usage.clone(), p.trash.clone());
    blocking("measure what apps keep", move || {
        for (app, cache, folders) in folders {
            // One that a build nested too deep to be counted would be more than anybody may keep, for ever, and its owner
            // could push nothing any more. A cache can be made again.
            if bytes_below(&cache, COUNTED_MAX) > COUNTED_MAX {
                tracing::warn!(%app, "the cache of builds is nested too deep to be counted: it is removed");
                trash.take(&cache).act(|| format!("cannot remove {}", cache.display()))?;
            }
            let bytes = folders.iter().map(|folder| bytes_below(folder, COUNTED_MAX)).fold(0, u64::saturating_add);
            usage.note(app, bytes, now());
        }
        Ok(())
    })
    .await
}

/// Where an app's things lie.
fn folders(p: &Server, app: &AppId) -> Vec<PathBuf> {
    vec![
        p.platform.repos.path(app),
        p.layout.app_cache(app),
        p.layout.kept(app.as_str()),
        p.layout.layer_records(app.as_str()),
        p.layout.locks(app),
        p.layout.app_log(app),
    ]
}

/// Whether a push to an app of this owner may begin.
pub async fn may_push(p: &Server, owner: Option<UserId>) -> Result<()> {
    let defaults = &p.settings.quotas();
    let Some((holder, used)) = used_by(p, owner, 0).await? else { return Ok(()) };
    Ok(holder.may_keep(used, defaults)?)
}

/// Whether an app of this owner may grow by so many bytes.
pub async fn may_grow(p: &Server, owner: Option<UserId>, bytes: u64) -> Result<()> {
    let defaults = &p.settings.quotas();
    let Some((holder, used)) = used_by(p, owner, bytes).await? else { return Ok(()) };
    Ok(holder.may_grow(used, bytes, defaults)?)
}

/// An owner with a limit, and what is kept of theirs; measured anew where `more` would be over the limit.
async fn used_by(p: &Server, owner: Option<UserId>, more: u64) -> Result<Option<(Holder, u64)>> {
    let Some(owner) = owner else { return Ok(None) };
    let found = p.store.read(move |tx| Ok(tx.quota_holder(owner)?.zip(Some(tx.apps_owned(owner)?)))).await?;
    let Some((holder, apps)) = found else { return Ok(None) };
    let defaults = &p.settings.quotas();
    let (Some(most), _) = limit(What::Disk, &holder.own, holder.role, defaults) else { return Ok(None) };
    let sum = p.usage.of(&apps);
    let old = sum.since.is_none_or(|since| now().millis_since(since) > LATELY_MILLIS);
    // Nobody is refused for what was there minutes ago.
    if sum.unknown > 0 || (sum.bytes.saturating_add(more) >= most && old) {
        match tokio::time::timeout(MEASURE_MAX, measure(p, apps.clone())).await {
            Ok(done) => done?,
            Err(_) => tracing::warn!("measuring what {} keeps takes long", holder.name),
        }
    }
    let used = p.usage.of(&apps).bytes;
    Ok(Some((holder, used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_says_how_old_it_is() {
        let usage = Usage::default();
        let [a, b, c]: [AppId; 3] = ["aaaaaaaa", "bbbbbbbb", "cccccccc"].map(|id| id.parse().unwrap());
        usage.note(a.clone(), 5, domain::Timestamp(20));
        usage.note(b.clone(), 7, domain::Timestamp(10));
        assert_eq!(usage.of(&[a.clone(), b]), Sum { bytes: 12, since: Some(domain::Timestamp(10)), unknown: 0 });
        assert_eq!(usage.of(&[a, c]), Sum { bytes: 5, since: Some(domain::Timestamp(20)), unknown: 1 });
        assert_eq!(usage.of(&[]), Sum::default());
    }

    #[test]
    fn what_is_on_its_way_counts_once() {
        let usage = Usage::default();
        let a: AppId = "aaaaaaaa".parse().unwrap();
        let bytes = || usage.of(std::slice::from_ref(&a)).bytes;
        usage.note(a.clone(), 5, Timestamp(20));
        let (one, two) = (usage.reserve(&a, 7), usage.reserve(&a, 1));
        assert_eq!((bytes(), usage.reserved()), (13, 8));
        drop(one);
        assert_eq!((bytes(), usage.reserved()), (13, 1));
        usage.note(a.clone(), 12, Timestamp(30));
        drop(two);
        assert_eq!((bytes(), usage.reserved()), (13, 0));
    }
}
