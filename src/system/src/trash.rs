//! Removes folders that others filled, however much is in them: they are moved aside at once and emptied by a task.
//!
//! Invariant: who gives a folder away never waits for what is in it; what a killed server left is removed by the next one.

use crate::fault::Act;
use crate::proc::remove_tree;
use crate::tasks::{Tasks, blocking};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What could not be removed is tried again so soon.
const RETRY: Duration = Duration::from_secs(60);

/// A folder of things to be removed, on the file system of what is given to it. Clones share it.
#[derive(Debug, Clone)]
pub struct Trash {
    dir: PathBuf,
    filled: Arc<Notify>,
}

impl Trash {
    /// Empties `dir` from now on.
    pub fn open(dir: PathBuf, tasks: &Tasks) -> io::Result<Trash> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let trash = Trash { dir, filled: Arc::default() };
        let emptied = trash.clone();
        tasks.spawn("empty the trash", |stop| async move {
            loop {
                let left = tokio::select! { left = emptied.empty() => left, () = stop.cancelled() => return };
                let again = async {
                    if left { tokio::time::sleep(RETRY).await } else { std::future::pending().await }
                };
                tokio::select! { () = emptied.filled.notified() => {}, () = again => {}, () = stop.cancelled() => return }
            }
        });
        Ok(trash)
    }

    /// Takes a file or folder away from where it is. Absent is fine.
    pub fn take(&self, path: &Path) -> io::Result<()> {
        let aside = self.dir.join(format!("{:016x}", rand::random::<u64>()));
        match std::fs::rename(path, aside) {
            Ok(()) => {
                self.filled.notify_one();
                Ok(())
            }
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(()),
            // Something is mounted there, or it is on another file system.
            Err(_) => remove_tree(path),
        }
    }

    /// Says whether something is left.
    async fn empty(&self) -> bool {
        let dir = self.dir.clone();
        let done = blocking("empty the trash", move || {
            let mut left = false;
            for entry in std::fs::read_dir(&dir).act(|| format!("cannot list {}", dir.display()))?.flatten() {
                if let Err(err) = remove_tree(&entry.path()) {
                    tracing::warn!("cannot remove {}: {err}", entry.path().display());
                    left = true;
                }
            }
            Ok(left)
        });
        done.await.unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn much_goes_at_once_and_what_was_left_goes_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let (dir, full) = (root.path().join("trash"), root.path().join("full"));
        std::fs::create_dir_all(dir.join("of an earlier life/x")).unwrap();
        for n in 0..20 {
            std::fs::create_dir_all(full.join(n.to_string())).unwrap();
            for file in 0..500 {
                std::fs::write(full.join(format!("{n}/{file}")), "").unwrap();
            }
        }
        let tasks = Tasks::new();
        let trash = Trash::open(dir.clone(), &tasks).unwrap();
        trash.take(&full).unwrap();
        trash.take(&full).unwrap();
        assert!(!full.exists());
        let empty = async {
            while std::fs::read_dir(&dir).unwrap().next().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), empty).await.expect("an empty trash");
        assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, 0);
    }
}
