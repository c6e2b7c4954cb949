//! The folders of one build on the host: where the sandbox's paths lie, and their end.

use super::sources::{make_folder, within};
use crate::fault::{Act, Result};
use buildpacks::{APP, Layer, MountMode};
use std::path::{Path, PathBuf};

/// The folders of one layer's sandbox.
#[derive(Debug)]
pub struct Folders {
    root: PathBuf,
    layer: String,
}

impl Folders {
    /// Fresh folders for one layer of one deploy; leftovers of an earlier try are removed.
    pub fn fresh(builds: &Path, deploy: i64, layer: &Layer) -> Result<Folders> {
        let root = builds.join(format!("{deploy}-{}", layer.name));
        remove(&root);
        std::fs::create_dir_all(&root).act(|| format!("cannot make {}", root.display()))?;
        let folders = Folders { root, layer: layer.name.clone() };
        make_folder(&folders.app())?;
        make_folder(&folders.own())?;
        for (n, mount) in layer.mounts.iter().enumerate() {
            if mount.mode == MountMode::Overlay {
                make_folder(&folders.upper(n))?;
                make_folder(&folders.scratch(n))?;
            }
        }
        Ok(folders)
    }

    /// The app's folder.
    pub fn app(&self) -> PathBuf {
        self.root.join("app")
    }
    /// The layer's own folder.
    pub fn own(&self) -> PathBuf {
        self.root.join("own")
    }
    /// Where the n-th mount's changes land.
    pub fn upper(&self, n: usize) -> PathBuf {
        self.root.join(format!("upper-{n}"))
    }
    /// The kernel's scratch folder of the n-th mount.
    pub fn scratch(&self, n: usize) -> PathBuf {
        self.root.join(format!("scratch-{n}"))
    }
    /// The list of steps.
    pub fn steps(&self) -> PathBuf {
        self.root.join("steps.json")
    }
    /// The whole.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of the sandbox lies on the host.
    pub fn host_path(&self, layer: &Layer, inside: &str) -> Result<PathBuf> {
        for (n, mount) in layer.mounts.iter().enumerate() {
            if mount.mode == MountMode::Overlay && mount.at == inside {
                return Ok(self.upper(n));
            }
        }
        let own = format!("/layers/{}", self.layer);
        if let Some(rest) = inside.strip_prefix(&own).filter(|r| r.is_empty() || r.starts_with('/')) {
            return within(&self.own(), rest);
        }
        match inside.strip_prefix(APP).filter(|r| r.is_empty() || r.starts_with('/')) {
            Some(rest) => within(&self.app(), rest),
            None => within(&self.root.join("elsewhere"), inside),
        }
    }

    /// Lends the layer a folder of the app's cache for its steps.
    pub fn lend(&self, layer: &Layer, cache: &Path) -> Result<Option<Lent>> {
        let Some(lent) = &layer.cache_at else { return Ok(None) };
        let (home, away) = (within(cache, &lent.folder)?, self.host_path(layer, &lent.at)?);
        make_folder(&home)?;
        let act = || format!("cannot lend {} to a build", home.display());
        std::fs::rename(&home, &away).act(act)?;
        Ok(Some(Lent { home, away }))
    }

    /// Removes everything.
    pub fn remove(self) {
        remove(&self.root);
    }
}

/// A folder of a cache that is elsewhere; its drop brings it back, however the steps ended.
#[derive(Debug)]
pub struct Lent {
    home: PathBuf,
    away: PathBuf,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // What the steps put in its place is no cache.
        if self.away.symlink_metadata().is_ok_and(|about| about.is_dir())
            && let Err(err) = std::fs::rename(&self.away, &self.home)
        {
            tracing::warn!("{} does not come back from a build: {err}", self.home.display());
        }
    }
}

/// Removes the folders of a deploy's layers.
pub fn remove_of(builds: &Path, deploy: i64) {
    let Ok(entries) = std::fs::read_dir(builds) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{deploy}-")) {
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    if let Err(err) = std::fs::remove_dir_all(path)
        && err.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("cannot remove {}: {err}", path.display());
    }
}

/// Bytes below a folder, never through a link; stops counting beyond `enough`.
pub fn bytes_below(folder: &Path, enough: u64) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            }
            total += meta.blocks() * 512;
            if total > enough {
                return total;
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use buildpacks::{Facts, Pins, Settings, plan, usual};

    fn lending() -> Layer {
        let facts = Facts {
            pythons: Some(vec!["3.13.5 trixie".to_owned()]),
            pypi_versions: [("uv".to_owned(), vec!["0.13.9".to_owned()])].into(),
            ..Facts::default()
        };
        let plan = plan(&usual("python").unwrap(), &Settings::default(), &Pins::new(), &facts).unwrap();
        plan.layers.into_iter().find(|layer| layer.cache_at.is_some()).unwrap()
    }

    #[test]
    fn what_was_lent_comes_back_unless_something_else_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (layer, cache) = (lending(), dir.path().join("cache"));
        let folders = Folders::fresh(&dir.path().join("builds"), 7, &layer).unwrap();
        let (home, away) = (cache.join("uv"), folders.app().join(".hoist-uv"));
        let lent = folders.lend(&layer, &cache).unwrap();
        assert!(away.is_dir() && !home.exists());
        std::fs::write(away.join("wheel"), "1").unwrap();
        drop(lent);
        assert!(home.join("wheel").is_file() && !away.exists());

        let lent = folders.lend(&layer, &cache).unwrap();
        std::fs::remove_dir_all(&away).unwrap();
        std::os::unix::fs::symlink("/etc", &away).unwrap();
        drop(lent);
        assert!(!home.exists(), "a link is no cache");
        // What lies in the way is the app's own, and is not taken for a cache.
        assert!(folders.lend(&layer, &cache).is_err());
        assert!(home.is_dir());
    }
}
