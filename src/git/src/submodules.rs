//! What builds fetched of other repositories: packs of the commits that submodules name, beside the app's own objects.
//!
//! Invariant: a pack is looked through by git, within its walls, before anything reads it; no ref, configuration or hook comes
//! with it. It is a cache: what is not here is fetched again. Absent: fetching, which a sandbox does.

use super::repos::Repos;
use domain::AppId;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::fault::{Act, Fault, Result};
use system::proc::{self, Limits};
use system::tasks::blocking;

/// Bytes of one pack, at most.
const SUBMODULE_PACK_MAX: u64 = 1_000_000_000;
/// Packs that are kept; one is for one commit of one submodule.
const PACKS_MAX: usize = 50;
/// How long git may look through one.
const INDEX_MAX: Duration = Duration::from_secs(600);

/// The folder of a repository where these objects are.
pub(super) fn objects(repository: &Path) -> PathBuf {
    repository.join("submodules").join("objects")
}

impl Repos {
    /// Takes a pack that a sandbox made, from a folder where nothing of it runs any more.
    pub async fn take_submodule(&self, app: &AppId, pack: &Path) -> Result<()> {
        let (home, from) = (self.path(app).join("submodules"), pack.to_owned());
        let incoming = home.join(format!("incoming-{:016x}.pack", rand::random::<u64>()));
        let to = incoming.clone();
        blocking("take a submodule", move || {
            let act = || format!("cannot take {}", from.display());
            // Not through a link: it may lead anywhere.
            let about = fs::symlink_metadata(&from).act(act)?;
            if !about.is_file() || about.len() > SUBMODULE_PACK_MAX {
                return Err(Fault::plain(format!("{} is no pack that is taken", from.display())).into());
            }
            fs::create_dir_all(home.join("objects/pack")).act(act)?;
            let mut pack = File::open(&from).act(act)?;
            let mut copy = File::create_new(&to).act(act)?;
            std::io::copy(&mut pack, &mut copy).act(act)?;
            copy.sync_all().act(act)?;
            Ok(())
        })
        .await?;
        let kept = self.index(app, &incoming).await;
        for part in ["pack", "idx", "rev"] {
            let _ = fs::remove_file(incoming.with_extension(part));
        }
        kept
    }

    /// Looks through a pack, and gives it its name.
    async fn index(&self, app: &AppId, incoming: &Path) -> Result<()> {
        let program = self.git_in(app).args(["index-pack", "--fsck-objects", "--threads=1"]).arg(incoming);
        let limits = Limits { deadline: INDEX_MAX, output_max: 1 << 16 };
        let done = proc::run(&program, b"", limits).await?.success("cannot look through a submodule's pack")?;
        let hash = done.text().trim().to_owned();
        if hash.is_empty() || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Fault::plain("git names a pack by no hash").into());
        }
        let objects = objects(&self.path(app));
        let incoming = incoming.to_owned();
        blocking("keep a submodule", move || {
            // Its index last: with it, it is there.
            for part in ["pack", "idx"] {
                let to = objects.join("pack").join(format!("pack-{hash}.{part}"));
                fs::rename(incoming.with_extension(part), &to).act(|| format!("cannot keep {}", to.display()))?;
            }
            Ok(())
        })
        .await
    }

    /// Makes room before more is fetched: where there are many packs, all go, and what is still named is fetched again.
    pub async fn make_room_for_submodules(&self, app: &AppId) -> Result<()> {
        let home = self.path(app).join("submodules");
        blocking("make room for submodules", move || {
            let packs = fs::read_dir(home.join("objects/pack")).map_or(0, |all| {
                all.flatten().filter(|entry| entry.path().extension().is_some_and(|it| it == "pack")).count()
            });
            if packs >= PACKS_MAX {
                fs::remove_dir_all(&home).act(|| format!("cannot remove {}", home.display()))?;
            }
            // What was never whole.
            for entry in fs::read_dir(&home).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with("incoming-") {
                    let _ = fs::remove_file(entry.path());
                }
            }
            Ok(())
        })
        .await
    }
}
