//! One walk over the tree of a commit, in the order of full paths, without recursion.
//!
//! Invariant: it reads only objects: no working copy exists, and a link is a file that holds text. What it holds at once, the
//! lists of the folders on the way down, has a bound.

use domain::push::{LISTS_MAX, lists_too_long};
use git2::{FileMode, ObjectType, Oid, Repository, Tree};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use system::fault::{Act, Fault, Result};

/// Folders within folders, at most.
pub(super) const DEPTH_MAX: usize = 100;
/// Bytes of one path, at most.
pub(super) const PATH_MAX: usize = 4096;
/// Entries looked at before the clock is: each may be made from something large.
const CLOCK_EVERY: u64 = 16;

/// What a walk meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Folder,
    File {
        exec: bool,
    },
    Symlink,
    /// Another repository's commit. Its files are walked like a folder's where they are here, if the visitor wants to go on
    /// into it.
    Submodule,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The full path; `None` where it could not be unpacked safely.
    pub path: Option<&'a str>,
    /// The same for people.
    pub shown: &'a str,
    pub oid: Oid,
    pub met: Met,
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// Not into this folder.
    Skip,
    Stop,
}

struct Level<'r> {
    tree: Tree<'r>,
    at: usize,
    /// How long the path was before this folder's own entries.
    prefix: usize,
    /// Bytes of its list.
    size: u64,
}

/// Reads one object while no other is read in this process. Its size was looked at before, but what it was stored as a
/// difference to may be larger: as large as git could hold when it took the pack in, which is then the bound for all readers.
pub(super) fn alone<T>(read: impl FnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    read()
}

/// Walks `root`; `visit` steers. Late is a fault: nothing here waits for anybody.
pub(super) fn walk(
    repo: &Repository,
    root: Tree<'_>,
    time: Duration,
    mut visit: impl FnMut(&Entry<'_>) -> Result<Flow>,
) -> Result<()> {
    let until = Instant::now() + time;
    let mut path: Vec<u8> = Vec::new();
    // The root's own size was looked at before it was read.
    let mut levels = vec![Level { tree: root, at: 0, prefix: 0, size: 0 }];
    let (odb, mut held) = (repo.odb().act(|| "cannot read objects")?, 0_u64);
    let mut seen = 0_u64;
    while let (depth, Some(level)) = (levels.len(), levels.last_mut()) {
        seen += 1;
        if seen.is_multiple_of(CLOCK_EVERY) && Instant::now() > until {
            return Err(Fault::plain("reading the tree took too long").transient().into());
        }
        path.truncate(level.prefix);
        let Some((oid, met, good)) = level.tree.get(level.at).map(|entry| {
            path.extend_from_slice(entry.name_bytes());
            (entry.id(), met(entry.kind(), entry.filemode()), good_name(entry.name_bytes()))
        }) else {
            held = held.saturating_sub(level.size);
            levels.pop();
            continue;
        };
        level.at += 1;
        let good = good && path.len() <= PATH_MAX && depth <= DEPTH_MAX;
        let shown = String::from_utf8_lossy(&path);
        let safe = if good { std::str::from_utf8(&path).ok() } else { None };
        match visit(&Entry { path: safe, shown: &shown, oid, met })? {
            Flow::Stop => return Ok(()),
            Flow::Next if good => {
                let Some(folder) = folder(repo, met, oid) else { continue };
                let size = odb.read_header(folder).act(|| "cannot read the size of a folder's list")?.0 as u64;
                held = held.saturating_add(size);
                if held > LISTS_MAX {
                    return Err(lists_too_long().into());
                }
                let tree = alone(|| repo.find_tree(folder)).act(|| "cannot read a folder of the commit")?;
                path.push(b'/');
                let prefix = path.len();
                levels.push(Level { tree, at: 0, prefix, size });
            }
            Flow::Next | Flow::Skip => {}
        }
    }
    Ok(())
}

/// The list of what is in there, where there is one and it is here.
fn folder(repo: &Repository, met: Met, oid: Oid) -> Option<Oid> {
    match met {
        Met::Folder => Some(oid),
        Met::Submodule => alone(|| repo.find_commit(oid)).ok().map(|commit| commit.tree_id()),
        Met::File { .. } | Met::Symlink => None,
    }
}

fn met(kind: Option<ObjectType>, mode: i32) -> Met {
    if mode == i32::from(FileMode::Link) {
        return Met::Symlink;
    }
    match kind {
        Some(ObjectType::Tree) => Met::Folder,
        Some(ObjectType::Commit) => Met::Submodule,
        _ => Met::File { exec: mode & 0o111 != 0 },
    }
}

/// Names that mean something else to a file system. Git's fsck refuses them too; this does not rely on it.
fn good_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.eq_ignore_ascii_case(b".git")
        && !name.contains(&b'/')
        && !name.contains(&0)
}
