//! The `shallow` file of a repository: commits whose parents are absent on purpose.
//!
//! Invariant: it is only changed under git's own lock (`shallow.lock`) and replaced in one step.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, read_to_string, remove_file, rename};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another holder of the lock is waited for.
const LOCK_MAX: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The commit ids in the text of a shallow file; other lines are not ids and are left out.
pub(super) fn parse(text: &str) -> Vec<String> {
    let id = |l: &&str| l.len() == 40 && l.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.lines().filter(id).map(str::to_owned).collect()
}

/// Adds boundaries that are not there yet.
pub(super) fn add(git_dir: &Path, boundaries: &[String]) -> io::Result<()> {
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
