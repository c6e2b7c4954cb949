//! The folders of one build on the host: where the sandbox's paths lie, and their end.

use super::sources::{make_folder, within};
use buildpacks::{APP, Layer, MountMode};
use domain::ids::DeployId;
use domain::refusal::Code;
use domain::{Refusal, text};
use std::path::{Path, PathBuf};
use system::fault::{Act, Result};
use system::proc::remove_tree;

/// The folders of one layer's sandbox.
#[derive(Debug)]
pub struct Folders {
    root: PathBuf,
    layer: String,
}

impl Folders {
    /// Fresh folders for one layer of one deploy; leftovers of an earlier try are removed.
    pub fn fresh(builds: &Path, deploy: DeployId, layer: &Layer) -> Result<Folders> {
        let root = builds.join(format!("{deploy}-{}", layer.name));
        // Something that still writes there would be part of the layer.
        remove_tree(&root).act(|| format!("cannot empty {}", root.display()))?;
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

    /// Where a path of the sandbox lies on the host: the root of the mount it is in, and the way from there.
    fn located(&self, layer: &Layer, inside: &str) -> (PathBuf, String) {
        for (n, mount) in layer.mounts.iter().enumerate() {
            if mount.mode == MountMode::Overlay && mount.at == inside {
                return (self.upper(n), String::new());
            }
        }
        let below = |at: &str| {
            let rest = inside.strip_prefix(at).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            rest.map(str::to_owned)
        };
        if let Some(rest) = below(&format!("/layers/{}", self.layer)) {
            return (self.own(), rest);
        }
        match below(APP) {
            Some(rest) => (self.app(), rest),
            None => (self.root.join("elsewhere"), inside.to_owned()),
        }
    }

    /// Where a path of the sandbox lies on the host, before any step has run.
    pub fn host_path(&self, layer: &Layer, inside: &str) -> Result<PathBuf> {
        let (root, rest) = self.located(layer, inside);
        within(&root, &rest)
    }

    /// The folder that steps made there. `None` where there is none: a link, on the way or at its end, may lead anywhere on
    /// the host, and is no folder.
    pub fn made(&self, layer: &Layer, inside: &str) -> Result<Option<PathBuf>> {
        let (mut at, rest) = self.located(layer, inside);
        within(&at, &rest)?;
        let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|about| about.is_dir());
        let mut is_one = is_folder(&at);
        for name in rest.split('/').filter(|name| !name.is_empty()) {
            at.push(name);
            is_one = is_one && is_folder(&at);
        }
        Ok(is_one.then_some(at))
    }

    /// Lends the layer a folder of the app's cache for its steps.
    pub fn lend(&self, layer: &Layer, cache: &Path) -> Result<Option<Lent>> {
        let Some(lent) = &layer.cache_at else { return Ok(None) };
        let (home, away) = (within(cache, &lent.folder)?, self.host_path(layer, &lent.at)?);
        if away.symlink_metadata().is_ok() {
            let name = text::plain(lent.at.trim_start_matches(APP).trim_start_matches('/'));
            let no = Refusal::new(Code::NameTaken, format!("{name} is a name that the build needs for itself"));
            return Err(no.next("give what the app has there another name").into());
        }
        // Steps can write to the cache: what is no folder there is none of ours.
        if home.symlink_metadata().is_ok_and(|about| !about.is_dir()) {
            std::fs::remove_file(&home).act(|| format!("cannot remove {}", home.display()))?;
        }
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

/// A folder of a cache that is elsewhere; its drop brings it back, however the steps ended. A server that is killed
/// meanwhile loses it: the next build begins with an empty one.
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
pub fn remove_of(builds: &Path, deploy: DeployId) {
    let Ok(entries) = std::fs::read_dir(builds) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{deploy}-")) {
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    if let Err(err) = remove_tree(path) {
        tracing::warn!("cannot remove {}: {err}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use buildpacks::{Facts, Pins, Settings, plan, usual};

    fn lending() -> Layer {
        let facts = [("pythons-deb13", "3.13.5 trixie"), ("pypi-uv", "0.13.9")];
        let facts = Facts(facts.map(|(id, answer)| (id.to_owned(), vec![answer.to_owned()])).into());
        let plan = plan(&usual("python").unwrap(), &Settings::default(), &Pins::new(), &facts).unwrap();
        plan.layers.into_iter().find(|layer| layer.cache_at.is_some()).unwrap()
    }

    #[test]
    fn what_was_lent_comes_back_unless_something_else_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (layer, cache) = (lending(), dir.path().join("cache"));
        let folders = Folders::fresh(&dir.path().join("builds"), DeployId(7), &layer).unwrap();
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
        let refused = folders.lend(&layer, &cache).unwrap_err().lines().join(" ");
        assert!(refused.contains(".hoist-uv is a name that the build needs"), "{refused}");
        // Nor is a link that a step put into the cache itself.
        std::fs::remove_file(&away).unwrap();
        std::os::unix::fs::symlink("/nowhere", &home).unwrap();
        drop(folders.lend(&layer, &cache).unwrap());
        assert!(home.symlink_metadata().unwrap().is_dir());
    }

    #[test]
    fn what_steps_made_is_a_folder_and_no_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let layer = lending();
        let folders = Folders::fresh(&dir.path().join("builds"), DeployId(7), &layer).unwrap();
        let app = folders.app();
        std::fs::create_dir_all(app.join("dist/inner")).unwrap();
        std::fs::write(app.join("file"), "").unwrap();
        std::fs::create_dir_all(dir.path().join("repos")).unwrap();
        for (name, target) in [("up", "../../.."), ("etc", "/etc"), ("here", "dist")] {
            std::os::unix::fs::symlink(target, app.join(name)).unwrap();
        }
        let made = |inside: &str| folders.made(&layer, inside).unwrap();
        assert_eq!(made("/app"), Some(app.clone()));
        assert_eq!(made("/app/dist/inner"), Some(app.join("dist/inner")));
        for none in ["/app/up/repos", "/app/up", "/app/etc", "/app/here/inner", "/app/file", "/app/file/x", "/app/none"]
        {
            assert_eq!(made(none), None, "{none}");
        }
        assert!(folders.made(&layer, "/app/../..").is_err());
        std::fs::remove_dir_all(&app).unwrap();
        std::os::unix::fs::symlink("/etc", &app).unwrap();
        assert_eq!(made("/app"), None);
    }
}
