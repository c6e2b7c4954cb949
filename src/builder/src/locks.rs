//! Lock files for commits that have none: made in a sandbox by the language's own tool, kept for the app until what they are
//! made from changes, and from then on like one that was committed.
//!
//! Invariant: what is kept is whole, small enough to be read, and plain text; the newest few stay, so that an older release's
//! commit is built again with the versions that it had.

use super::asked::Asked;
use super::keys::{KeyContext, key_of};
use super::{Builder, Work, refusal, stacks_id};
use crate::Parts;
use buildpacks::{Base, Facts, Known, LOCK_MAX, Plan, Unlocked};
use domain::refusal::Code;
use domain::{AppId, Commit, Refusal};
use jobs::{BuildAsk, Job};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use system::fault::{Act, Result};
use system::tasks::blocking;

/// Files that are kept of one app: as many as the releases whose images are.
const KEPT_MAX: usize = 10;
/// Bytes of all of them.
const BYTES_MAX: u64 = 4 * LOCK_MAX;

/// What there is of a commit's lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockFile {
    /// It was made: its name and content.
    Made(&'static str, String),
    /// The commit has what it needs.
    Own,
    /// None was made, or it is not kept any more.
    Missing(&'static str),
}

impl Builder {
    /// The lock file that a commit's build made, if it lacks one.
    pub async fn lock_of(&self, app: &AppId, commit: &Commit) -> Result<LockFile> {
        let asked = Asked::read(&self.p, app, commit).await?;
        if super::dockerfile::wanted(&asked.app, &asked.sources) {
            return Ok(LockFile::Own);
        }
        let Some(unlocked) = buildpacks::unlocked(&asked.sources.tree, &asked.settings).map_err(refusal)? else {
            return Ok(LockFile::Own);
        };
        let kept = read(Place::of(&self.p, &asked, &unlocked).path).await?;
        Ok(kept.map_or(LockFile::Missing(unlocked.file), |content| LockFile::Made(unlocked.file, content)))
    }

    /// The commit as it is built: with the lock file that is kept for it, else with one that is made now.
    /// With what is said of it.
    pub(super) async fn lock(
        &self,
        ask: &BuildAsk,
        job: &Job,
        asked: Asked,
        facts: &Facts,
    ) -> Result<(Asked, Vec<String>)> {
        let Asked { app, sources, settings, pins, config } = &asked;
        let p = &self.p;
        let unlocked = buildpacks::unlocked(&sources.tree, settings).map_err(refusal)?;
        let Some(unlocked) = unlocked else {
            return Ok((asked, Vec::new()));
        };
        let place = Place::of(p, &asked, &unlocked);
        let kept = match ask.clear_cache {
            true => None,
            false => use_kept(place.path.clone()).await?,
        };
        let (content, new) = match kept {
            Some(content) => (content, false),
            None => {
                let before = match ask.clear_cache {
                    true => None,
                    false => newest(place.clone()).await?,
                };
                job.detail(format!("There is no {}: it is made from {}", unlocked.file, unlocked.manifest));
                let known = Known { settings, pins, facts, before };
                let layers = buildpacks::locking(&sources.tree, known).map_err(refusal)?;
                let run = self.stack(p, settings.stack, Base::Run, job).await?;
                let work = Work {
                    p,
                    job,
                    ask,
                    plan: plan_of(layers),
                    sources: Arc::clone(sources),
                    image_key: app.image_key.clone(),
                    config: config.clone(),
                    stack: settings.stack,
                    stacks: stacks_id(p, &run, settings.stack).await?,
                };
                let file = unlocked.file;
                let content = self.made(&work, move |folder| take(&folder.join(file), file)).await?;
                keep(place, content.clone()).await?;
                (content, true)
            }
        };
        let warnings = said(p, &app.name, &unlocked, new);
        Ok((with(asked, &unlocked, content)?, warnings))
    }
}

/// The same for a plan that nothing is built by: with what is kept.
pub(super) async fn with_kept(p: &Parts, asked: Asked) -> Result<Asked> {
    let unlocked = buildpacks::unlocked(&asked.sources.tree, &asked.settings).map_err(refusal)?;
    let Some(unlocked) = unlocked else { return Ok(asked) };
    match read(Place::of(p, &asked, &unlocked).path).await? {
        Some(content) => with(asked, &unlocked, content),
        None => Ok(asked),
    }
}

fn with(asked: Asked, unlocked: &Unlocked, content: String) -> Result<Asked> {
    let sources = Arc::unwrap_or_clone(asked.sources).locked(unlocked, content)?;
    Ok(Asked { sources: Arc::new(sources), ..asked })
}

/// Where a lock file is kept.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    path: PathBuf,
    file: &'static str,
}

impl Place {
    fn of(p: &Parts, asked: &Asked, unlocked: &Unlocked) -> Place {
        let (folder, earlier) = (p.layout.locks(&asked.app.id), BTreeMap::new());
        let context = KeyContext { sources: &asked.sources, config: &asked.config, stacks: "", earlier: &earlier };
        let key = key_of(unlocked.file, &unlocked.key, &context);
        Place { path: folder.join(format!("{key}-{}", unlocked.file)), folder, file: unlocked.file }
    }
}

fn plan_of(layers: Vec<buildpacks::Layer>) -> Plan {
    Plan {
        language: String::new(),
        decided: Vec::new(),
        warnings: Vec::new(),
        layers,
        processes: BTreeMap::new(),
        launch_env: Vec::new(),
        pins: BTreeMap::new(),
    }
}

fn said(p: &Parts, app: &domain::AppName, unlocked: &Unlocked, new: bool) -> Vec<String> {
    let Unlocked { file, manifest, notes, .. } = unlocked;
    let what = match new {
        true => format!(
            "there is no {file}: this build chose the versions of dependencies, and they stay until {manifest} changes"
        ),
        false => format!("there is no {file}: the versions are those of the earlier build, until {manifest} changes"),
    };
    let commit = format!(
        "to have them in the repository: {} builds:lock {app} > {file} && git add {file} && git commit -m Lock",
        p.sites.ssh_command()
    );
    [what].into_iter().chain(notes.iter().cloned()).chain([commit]).collect()
}

/// The file that steps left: they may have put anything there.
fn take(path: &Path, file: &str) -> Result<String> {
    let no = |why: &str| {
        Refusal::new(Code::LockMissing, format!("no {file} that can be used was made"))
            .why(why)
            .next(format!("make {file} on your machine, git add {file} && git commit -m Lock, push again"))
    };
    if path.symlink_metadata().is_ok_and(|about| !about.is_file()) {
        return Err(no("what is there is not a file").into());
    }
    match content(path)? {
        Some(content) => Ok(content),
        None => Err(no("it is missing, larger than 16 MiB, or not plain text").into()),
    }
}

/// A lock file; none of what cannot be one.
fn content(path: &Path) -> Result<Option<String>> {
    // Neither a link is followed nor a pipe waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let Ok(file) = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path) else { return Ok(None) };
    let mut bytes = Vec::new();
    let act = || format!("cannot read {}", path.display());
    file.take(LOCK_MAX + 1).read_to_end(&mut bytes).act(act)?;
    if bytes.is_empty() || bytes.len() as u64 > LOCK_MAX {
        return Ok(None);
    }
    // It is printed as it is.
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    Ok(String::from_utf8(bytes).ok().filter(|text| text.chars().all(plain)))
}

async fn read(path: PathBuf) -> Result<Option<String>> {
    blocking("read a lock file", move || content(&path)).await
}

/// The same, which says when it was last used.
async fn use_kept(path: PathBuf) -> Result<Option<String>> {
    blocking("read a lock file", move || {
        let found = content(&path)?;
        if found.is_some() {
            let used = std::fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            used.act(|| format!("cannot mark {}", path.display()))?;
        }
        Ok(found)
    })
    .await
}

/// The one that was used last, of the same kind.
async fn newest(place: Place) -> Result<Option<String>> {
    blocking("read a lock file", move || {
        let end = format!("-{}", place.file);
        let of_kind = kept(&place.folder).into_iter().find(|(path, _)| path.to_string_lossy().ends_with(&end));
        of_kind.map_or(Ok(None), |(path, _)| content(&path))
    })
    .await
}

async fn keep(place: Place, content: String) -> Result<()> {
    blocking("keep a lock file", move || {
        super::assemble::write_whole(&place.path, content.as_bytes())?;
        let mut bytes = 0_u64;
        for (n, (path, size)) in kept(&place.folder).into_iter().enumerate() {
            bytes = bytes.saturating_add(size);
            if (n >= KEPT_MAX || bytes > BYTES_MAX) && path != place.path {
                std::fs::remove_file(&path).act(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    })
    .await
}

/// Files that are kept, the one that was used last first, with their sizes.
fn kept(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: std::fs::DirEntry| {
        let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((about.modified().ok()?, entry.path(), about.len()))
    };
    let mut files: Vec<_> = entries.filter_map(file).collect();
    files.sort();
    files.into_iter().rev().map(|(_, path, size)| (path, size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_a_size_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("good"), "{\n\t\"a\": \"ü\"\r\n}\n").unwrap();
        assert_eq!(take(&at("good"), "x").unwrap(), "{\n\t\"a\": \"ü\"\r\n}\n");
        std::fs::write(at("escape"), "{\"a\": \"\u{1b}[2J\"}").unwrap();
        std::fs::write(at("latin"), b"\xfc").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::File::create(at("large")).unwrap().set_len(LOCK_MAX + 1).unwrap();
        std::os::unix::fs::symlink("good", at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for name in ["escape", "latin", "empty", "large", "link", "folder", "none"] {
            assert!(take(&at(name), "package-lock.json").is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_newest_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("locks");
        let place = |n: usize, file: &'static str| Place {
            path: folder.join(format!("{n}-{file}")),
            folder: folder.clone(),
            file,
        };
        for n in 0..KEPT_MAX + 3 {
            keep(place(n, "uv.lock"), format!("{n}")).await.unwrap();
            let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            std::fs::File::open(place(n, "uv.lock").path).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(kept(&folder).len(), KEPT_MAX);
        assert_eq!(read(place(2, "uv.lock").path).await.unwrap(), None);
        assert_eq!(newest(place(99, "uv.lock")).await.unwrap().as_deref(), Some("12"));
        assert_eq!(newest(place(99, "poetry.lock")).await.unwrap(), None);
        // What is used again stays.
        assert_eq!(use_kept(place(3, "uv.lock").path).await.unwrap().as_deref(), Some("3"));
        assert_eq!(newest(place(99, "uv.lock")).await.unwrap().as_deref(), Some("3"));
    }
}
