//! The `shallow` file of a repository: commits whose parents are absent on purpose.
//!
//! Git writes it itself when it moves a branch to a shallow push, and aborts if anybody changed it since the push began
//! ("shallow file has changed since we read it"). So a hook only notes the boundaries in `shallow.pending`, and they
//! are settled when no push is open: what git did not write (the build failed, the pusher left) is added then, because
//! `refs/hoist` may hold such a commit. Invariant: `shallow` changes only under git's own lock, in one step.

use super::walk::alone;
use domain::push::COMMIT_MAX;
use git2::{Oid, Repository};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, read_to_string, remove_file, rename};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use system::fault::{Act, Fault};

/// How long another holder of the lock is waited for.
const LOCK_MAX: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const PENDING: &str = "shallow.pending";
const SETTLING: &str = "shallow.settling";

/// What tells one state of the file from another, as git does: `None` where there is none.
pub(super) type Stamp = Option<(u64, u64, i64, i64)>;

/// The state of the file now.
pub(super) fn stamp(git_dir: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(git_dir.join("shallow")).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// The commit ids in the text of a shallow file; other lines are not ids and are left out.
pub(super) fn parse(text: &str) -> Vec<String> {
    let id = |l: &&str| l.len() == 40 && l.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.lines().filter(id).map(str::to_owned).collect()
}

/// Notes boundaries of a push, for [`settle`].
pub(super) fn note(git_dir: &Path, boundaries: &[String]) -> io::Result<()> {
    if boundaries.is_empty() {
        return Ok(());
    }
    let mut pending = OpenOptions::new().append(true).create(true).open(git_dir.join(PENDING))?;
    pending.write_all(format!("{}\n", boundaries.join("\n")).as_bytes())?;
    pending.sync_all()
}

/// Adds the noted boundaries that are still needed: of commits that are here and have a parent that is not.
pub(super) fn settle(git_dir: &Path) -> Result<(), Fault> {
    let (pending, settling) = (git_dir.join(PENDING), git_dir.join(SETTLING));
    // Twice: what a crash left half settled, then what has come since.
    for _ in 0..2 {
        match read_to_string(&settling) {
            Ok(text) => {
                let repo = Repository::open_bare(git_dir).act(|| format!("cannot open {}", git_dir.display()))?;
                let cut: Vec<String> = parse(&text).into_iter().filter(|id| is_cut(&repo, id)).collect();
                add(git_dir, &cut).act(|| "cannot write the shallow boundaries")?;
                remove_file(&settling).act(|| "cannot remove settled boundaries")?;
            }
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) => return Err(Fault::new("cannot read noted boundaries", err)),
        }
        match rename(&pending, &settling) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            moved => moved.act(|| "cannot take noted boundaries")?,
        }
    }
    Ok(())
}

fn is_cut(repo: &Repository, id: &str) -> bool {
    // The object itself is read: a commit's parents as git2 gives them are those that `shallow` leaves.
    let Ok(odb) = repo.odb() else { return true };
    let Ok(oid) = Oid::from_str(id) else { return false };
    let Ok((size, _)) = odb.read_header(oid) else { return false };
    // No message is that long: it stays a boundary, unread.
    if size as u64 > COMMIT_MAX {
        return true;
    }
    let Ok(object) = alone(|| odb.read(oid)) else { return false };
    let text = String::from_utf8_lossy(object.data());
    let parents = text.lines().take_while(|l| !l.is_empty()).filter_map(|l| l.strip_prefix("parent "));
    parents.filter_map(|p| Oid::from_str(p).ok()).any(|p| !odb.exists(p))
}

/// Adds boundaries that are not there yet.
fn add(git_dir: &Path, boundaries: &[String]) -> io::Result<()> {
    if boundaries.is_empty() {
        return Ok(());
    }
    let (path, lock_path) = (git_dir.join("shallow"), git_dir.join("shallow.lock"));
    let lock = lock(&lock_path)?;
    let done = write_union(lock, &path, &lock_path, boundaries);
    if done.is_err() {
        let _ = remove_file(&lock_path);
    }
    done
}

fn write_union(mut lock: File, path: &Path, lock_path: &Path, boundaries: &[String]) -> io::Result<()> {
    let before = match read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == ErrorKind::NotFound => String::new(),
        Err(err) => return Err(err),
    };
    let mut all: BTreeSet<String> = parse(&before).into_iter().collect();
    let known = all.len();
    all.extend(boundaries.iter().cloned());
    if all.len() == known {
        return remove_file(lock_path);
    }
    for id in &all {
        writeln!(lock, "{id}")?;
    }
    lock.sync_all()?;
    rename(lock_path, path)
}

fn lock(path: &Path) -> io::Result<File> {
    let until = Instant::now() + LOCK_MAX;
    loop {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(err) if err.kind() == ErrorKind::AlreadyExists && Instant::now() < until => {
                std::thread::sleep(LOCK_PAUSE)
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_cut_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(dir.path()).unwrap();
        let odb = repo.odb().unwrap();
        let tree = repo.treebuilder(None).unwrap().write().unwrap();
        let commit = |parent: &str| {
            let text = format!("tree {tree}\nparent {parent}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n");
            odb.write(git2::ObjectType::Commit, text.as_bytes()).unwrap().to_string()
        };
        let cut = commit(&"a".repeat(40));
        let whole = commit(&cut);
        note(dir.path(), &[cut.clone(), whole]).unwrap();
        note(dir.path(), &["b".repeat(40)]).unwrap();
        settle(dir.path()).unwrap();
        assert_eq!(read_to_string(dir.path().join("shallow")).unwrap(), format!("{cut}\n"));
        let before = stamp(dir.path());
        // A crash left half of it; nothing new comes of it.
        std::fs::write(dir.path().join(SETTLING), &cut).unwrap();
        settle(dir.path()).unwrap();
        assert_eq!(stamp(dir.path()), before);
        assert!(!dir.path().join(PENDING).exists() && !dir.path().join(SETTLING).exists());
    }

    #[test]
    fn boundaries_are_added_once_and_the_lock_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = || read_to_string(dir.path().join("shallow")).unwrap();
        add(dir.path(), &[]).unwrap();
        assert!(!dir.path().join("shallow").exists());
        add(dir.path(), std::slice::from_ref(&b)).unwrap();
        add(dir.path(), &[a.clone(), b.clone()]).unwrap();
        add(dir.path(), std::slice::from_ref(&a)).unwrap();
        assert_eq!(text(), format!("{a}\n{b}\n"));
        assert!(!dir.path().join("shallow.lock").exists());
        assert_eq!(parse("nonsense\n\n-x\n"), Vec::<String>::new());
    }
}
