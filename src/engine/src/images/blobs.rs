//! Blobs on disk by digest: layers, image configurations, manifests.
//!
//! Invariant: a file under its digest's name is whole: written elsewhere, then renamed. Not synced: every blob can be
//! made again, the engine checks each digest, and what a power cut spoiled is reported as a layer that is gone.

use super::digest::{Digest, Layer};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use system::fault::{Act, Fault};

const BUFFER: usize = 256 * 1024;
/// An unfinished file this old belongs to nobody who still lives.
const UNFINISHED_MAX: Duration = Duration::from_secs(24 * 3600);

/// The folder `DATA/blobs/sha256`.
#[derive(Debug)]
pub struct BlobStore {
    root: PathBuf,
    unfinished: PathBuf,
    /// Blobs that lie elsewhere under another name (stack layers), served without a copy.
    aliases: Mutex<BTreeMap<Digest, PathBuf>>,
}

/// How much the store may keep.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes of all blobs together.
    pub bytes: u64,
    /// Younger blobs stay: their image may be being pulled.
    pub keep_younger: Duration,
}

/// What pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs removed.
    pub removed: usize,
    /// Bytes removed.
    pub freed: u64,
    /// Bytes that stay.
    pub kept: u64,
}

impl BlobStore {
    /// Opens, or makes, the store under the data folder.
    pub fn open(data: &Path) -> Result<BlobStore, Fault> {
        let root = data.join("blobs").join("sha256");
        let unfinished = data.join("blobs").join("unfinished");
        for folder in [&root, &unfinished] {
            // Layers hold the apps' files: for nobody else on this host.
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .act(|| format!("cannot make {}", folder.display()))?;
        }
        let store = BlobStore { root, unfinished, aliases: Mutex::default() };
        store.drop_unfinished(SystemTime::now());
        Ok(store)
    }

    /// The file of a blob, if it is here.
    pub fn find(&self, digest: &Digest) -> Option<PathBuf> {
        let own = self.root.join(digest.hex());
        if own.is_file() {
            return Some(own);
        }
        let alias = self.aliases.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        alias.filter(|path| path.is_file())
    }

    /// Serves a file that lies elsewhere as this blob. The engine checks the digest when it pulls.
    pub fn alias(&self, digest: &Digest, path: PathBuf) {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), path);
    }

    /// Serves it no longer.
    pub fn forget_alias(&self, digest: &Digest) {
        self.aliases.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    /// Begins a blob whose digest is known when all is written.
    pub fn writer(&self) -> Result<BlobWriter, Fault> {
        let path = self.unfinished.join(format!("{:016x}", rand::random::<u64>()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.act(|| format!("cannot make {}", path.display()))?;
        let sink = Sink { file, hasher: Sha256::new(), size: 0 };
        Ok(BlobWriter { sink: BufWriter::with_capacity(BUFFER, sink), path, root: self.root.clone() })
    }

    /// Stores these bytes.
    pub fn put(&self, bytes: &[u8]) -> Result<Layer, Fault> {
        let mut writer = self.writer()?;
        writer.write_all(bytes).act(|| "cannot write a blob")?;
        writer.finish()
    }

    /// Removes the oldest blobs that are not pinned until the rest fits the budget.
    pub fn prune(&self, budget: Budget, pinned: &BTreeSet<Digest>, now: SystemTime) -> Result<Pruned, Fault> {
        let act = || format!("cannot list {}", self.root.display());
        let mut blobs = Vec::new();
        for entry in fs::read_dir(&self.root).act(act)? {
            let entry = entry.act(act)?;
            let Ok(about) = entry.metadata() else { continue };
            blobs.push((about.modified().unwrap_or(now), entry.file_name(), about.len()));
        }
        blobs.sort();
        let mut pruned = Pruned { removed: 0, freed: 0, kept: blobs.iter().map(|(_, _, size)| size).sum() };
        for (modified, name, size) in blobs {
            if pruned.kept <= budget.bytes {
                break;
            }
            let digest = format!("sha256:{}", name.to_string_lossy()).parse::<Digest>().ok();
            let young = now.duration_since(modified).unwrap_or_default() < budget.keep_younger;
            if young || digest.is_some_and(|digest| pinned.contains(&digest)) {
                continue;
            }
            let path = self.root.join(&name);
            fs::remove_file(&path).act(|| format!("cannot remove {}", path.display()))?;
            pruned = Pruned { removed: pruned.removed + 1, freed: pruned.freed + size, kept: pruned.kept - size };
        }
        self.drop_unfinished(now);
        Ok(pruned)
    }

    /// Removes what a killed process left unfinished.
    fn drop_unfinished(&self, now: SystemTime) {
        let Ok(entries) = fs::read_dir(&self.unfinished) else { return };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|about| about.modified()).unwrap_or(now);
            if now.duration_since(modified).unwrap_or_default() > UNFINISHED_MAX {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A blob being written; hashed on its way. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    sink: BufWriter<Sink>,
    path: PathBuf,
    root: PathBuf,
}

#[derive(Debug)]
struct Sink {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl BlobWriter {
    /// Puts the blob in its place.
    pub fn finish(mut self) -> Result<Layer, Fault> {
        self.sink.flush().act(|| format!("cannot write {}", self.path.display()))?;
        let sink = self.sink.get_ref();
        let layer = Layer { digest: Digest::from_hasher(sink.hasher.clone()), size: sink.size };
        let place = self.root.join(layer.digest.hex());
        fs::rename(&self.path, &place)
            .act(|| format!("cannot rename {} to {}", self.path.display(), place.display()))?;
        Ok(layer)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_absent() {
        let data = tempfile::tempdir().unwrap();
        let store = BlobStore::open(data.path()).unwrap();
        let blob = store.put(b"hello").unwrap();
        assert_eq!((blob.digest.clone(), blob.size), (Digest::of(b"hello"), 5));
        assert_eq!(fs::read(store.find(&blob.digest).unwrap()).unwrap(), b"hello");
        let mut abandoned = store.writer().unwrap();
        abandoned.write_all(b"x").unwrap();
        drop(abandoned);
        assert_eq!(fs::read_dir(data.path().join("blobs/unfinished")).unwrap().count(), 0);
        let elsewhere = data.path().join("other.tar");
        fs::write(&elsewhere, b"tar").unwrap();
        let digest = Digest::of(b"tar");
        assert_eq!(store.find(&digest), None);
        store.alias(&digest, elsewhere.clone());
        assert_eq!(store.find(&digest), Some(elsewhere));
    }

    #[test]
    fn oldest_unpinned_go_first() {
        let data = tempfile::tempdir().unwrap();
        let store = BlobStore::open(data.path()).unwrap();
        let now = SystemTime::now();
        let digests: Vec<Digest> = (0..5u8)
            .map(|n| {
                let blob = store.put(&[n; 10]).unwrap();
                let file = File::open(store.find(&blob.digest).unwrap()).unwrap();
                file.set_modified(now - Duration::from_secs(100 - u64::from(n))).unwrap();
                blob.digest
            })
            .collect();
        let pinned = BTreeSet::from([digests[0].clone()]);
        let budget = Budget { bytes: 25, keep_younger: Duration::from_secs(60) };
        assert_eq!(store.prune(budget, &pinned, now).unwrap(), Pruned { removed: 3, freed: 30, kept: 20 });
        assert!(store.find(&digests[0]).is_some() && store.find(&digests[4]).is_some());
        let all_young = Budget { bytes: 0, keep_younger: Duration::from_secs(1000) };
        assert_eq!(store.prune(all_young, &pinned, now).unwrap().removed, 0);
    }
}
