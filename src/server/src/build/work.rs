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

    /// Removes everything.
    pub fn remove(self) {
        remove(&self.root);
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
