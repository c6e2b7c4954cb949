//! Lock files that builds made for commits without one: kept for the app until what they are made from changes.
//!
//! Invariant: what is kept is whole, small enough to be read, and plain text; the newest few stay, so that an older release's
//! commit is built again with the versions that it had.

use super::keys::{KeyContext, key_of};
use super::sources::Sources;
use buildpacks::{LOCK_MAX, Unlocked};
use domain::Refusal;
use domain::config::ConfigVars;
use domain::refusal::Code;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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

/// Where a lock file is kept.
#[derive(Debug, Clone)]
pub struct Place {
    folder: PathBuf,
    /// The file.
    pub path: PathBuf,
    file: &'static str,
}

impl Place {
    pub fn of(folder: PathBuf, sources: &Sources, unlocked: &Unlocked) -> Place {
        let (config, earlier) = (ConfigVars::new(), BTreeMap::new());
        let context = KeyContext { sources, config: &config, stacks: "", earlier: &earlier };
        let key = key_of(unlocked.file, &unlocked.key, &context);
        Place { path: folder.join(format!("{key}-{}", unlocked.file)), folder, file: unlocked.file }
    }
}

/// The file that steps left: they may have put anything there.
pub fn take(path: &Path, file: &str) -> Result<String> {
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

/// A lock file that is kept.
pub async fn read(path: PathBuf) -> Result<Option<String>> {
    blocking("read a lock file", move || content(&path)).await
}

/// The same, which says when it was last used.
pub async fn use_kept(path: PathBuf) -> Result<Option<String>> {
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
pub async fn newest(place: Place) -> Result<Option<String>> {
    blocking("read a lock file", move || {
        let end = format!("-{}", place.file);
        let of_kind = kept(&place.folder).into_iter().find(|(path, _)| path.to_string_lossy().ends_with(&end));
        of_kind.map_or(Ok(None), |(path, _)| content(&path))
    })
    .await
}

/// Keeps one, and removes what is too much.
pub async fn keep(place: Place, content: String) -> Result<()> {
    blocking("keep a lock file", move || {
        let act = || format!("cannot write {}", place.path.display());
        std::fs::create_dir_all(&place.folder).act(act)?;
        system::whole::write(&place.path, content.as_bytes(), 0o600).act(act)?;
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
