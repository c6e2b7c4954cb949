//! Objects on the disk, within the app's repository: `lfs/objects/4d/7a/4d7a…`, where git-lfs has them too, so that they are
//! counted, kept and removed with it. Blocking.
//!
//! Invariant: a name appears when the bytes behind it are whole, are those that it says, and are on the disk.

use super::pointer::ObjectId;
use super::wire::Want;
use domain::Refusal;
use domain::refusal::Code;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use system::fault::{Act, Result};

/// What is not whole after this time belongs to nobody.
const PART_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The note of an app that was made for its objects.
const MADE: &str = "made";

/// The objects of one app.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

/// An object that comes in; it is gone when this is dropped before its end.
#[derive(Debug)]
pub(super) struct Incoming {
    store: Store,
    want: Want,
    part: PathBuf,
    file: File,
    hash: Sha256,
    got: u64,
}

/// What a collection took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Of a repository.
    pub fn of(repository: &Path) -> Store {
        Store(repository.join("lfs"))
    }

    /// Whether the app ever had objects.
    pub fn is_there(&self) -> bool {
        self.0.is_dir()
    }

    /// The size of an object that is here.
    pub fn size_of(&self, oid: &ObjectId) -> Option<u64> {
        fs::symlink_metadata(self.path(oid)).ok().filter(fs::Metadata::is_file).map(|about| about.len())
    }

    /// An object that is here, and its size.
    pub fn open(&self, oid: &ObjectId) -> Option<(File, u64)> {
        let file = File::open(self.path(oid)).ok()?;
        let size = file.metadata().ok()?.len();
        Some((file, size))
    }

    /// Somebody counts on an object from now on: it stays for a while, whatever names it.
    pub fn touch(&self, oid: &ObjectId) {
        let _ = File::open(self.path(oid)).and_then(|file| file.set_modified(SystemTime::now()));
    }

    /// A file that holds one object's bytes until they are whole.
    pub(super) fn begin(&self, want: Want) -> Result<Incoming> {
        let parts = self.0.join("incoming");
        fs::create_dir_all(&parts).act(|| format!("cannot make {}", parts.display()))?;
        let part = parts.join(format!("{:032x}", rand::random::<u128>()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = made.act(|| format!("cannot make {}", part.display()))?;
        Ok(Incoming { store: self.clone(), want, part, file, hash: Sha256::new(), got: 0 })
    }

    /// Notes that the app is there for these objects alone.
    pub fn note_made(&self) -> Result<()> {
        fs::create_dir_all(&self.0).act(|| format!("cannot make {}", self.0.display()))?;
        File::create(self.0.join(MADE)).act(|| format!("cannot make {}", self.0.join(MADE).display()))?;
        Ok(())
    }

    /// How long ago that was noted.
    pub fn made_ago(&self, now: SystemTime) -> Option<Duration> {
        let path = self.0.join(MADE);
        path.exists().then(|| age(&path, now))
    }

    /// Takes away objects that nothing names and nobody counted on for `grace`; those that are named begin it anew. And what
    /// never became whole.
    pub fn collect(&self, named: &BTreeSet<ObjectId>, grace: Duration, now: SystemTime) -> Collected {
        let mut gone = Collected::default();
        for (path, bytes) in self.older_than(grace, now) {
            let oid = path.file_name().and_then(|name| ObjectId::parse(name.to_str()?));
            match oid {
                Some(oid) if named.contains(&oid) => self.touch(&oid),
                // A push may have counted on it since the list was made.
                Some(_) | None if age(&path, now) <= grace => {}
                Some(_) | None => {
                    if let Err(err) = fs::remove_file(&path) {
                        tracing::warn!("cannot remove {}: {err}", path.display());
                        continue;
                    }
                    gone.objects += 1;
                    gone.bytes += bytes;
                }
            }
        }
        for part in paths_in(&self.0.join("incoming")) {
            if age(&part, now) > PART_AGE_MAX {
                let _ = fs::remove_file(&part);
            }
        }
        gone
    }

    /// Objects that nobody counted on for `grace`, with their sizes.
    pub fn older_than(&self, grace: Duration, now: SystemTime) -> Vec<(PathBuf, u64)> {
        let folders = paths_in(&self.0.join("objects")).into_iter().flat_map(|folder| paths_in(&folder));
        let old = folders.flat_map(|folder| paths_in(&folder)).filter(|path| age(path, now) > grace);
        let sized = |path: PathBuf| {
            let bytes = path.metadata().map_or(0, |about| about.len());
            (path, bytes)
        };
        old.map(sized).collect()
    }

    fn path(&self, oid: &ObjectId) -> PathBuf {
        let digits = oid.as_str();
        let part = |from: usize| digits.get(from..from + 2).unwrap_or_default();
        self.0.join("objects").join(part(0)).join(part(2)).join(digits)
    }
}

impl Incoming {
    /// More of its bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.got = self.got.saturating_add(bytes.len() as u64);
        if self.got > self.want.size {
            return Err(not_as_announced("it is longer than was announced").into());
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).act(|| format!("cannot write {}", self.part.display()))?;
        Ok(())
    }

    /// All its bytes are here: from now on it is one of the objects.
    pub fn end(mut self) -> Result<()> {
        if self.got != self.want.size {
            return Err(not_as_announced("it is shorter than was announced").into());
        }
        let digest = std::mem::take(&mut self.hash).finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if hex != self.want.oid.as_str() {
            return Err(not_as_announced("its bytes have another SHA-256").into());
        }
        let to = self.store.path(&self.want.oid);
        let folder = to.parent().unwrap_or(&self.store.0);
        let act = || format!("cannot keep {}", to.display());
        self.file.sync_all().act(act)?;
        fs::create_dir_all(folder).act(act)?;
        fs::rename(&self.part, &to).act(act)?;
        File::open(folder).and_then(|folder| folder.sync_all()).act(act)?;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Of one that was kept, the name is gone already.
        let _ = fs::remove_file(&self.part);
    }
}

fn not_as_announced(why: &str) -> Refusal {
    Refusal::new(Code::LfsObject, "the object did not arrive as it was announced").why(why).next("git push hoist main")
}

fn paths_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// How long ago a file changed; what has gone meanwhile, or is of the future, is new.
fn age(path: &Path, now: SystemTime) -> Duration {
    let changed = fs::symlink_metadata(path).and_then(|about| about.modified()).ok();
    changed.and_then(|at| now.duration_since(at).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(bytes: &[u8]) -> ObjectId {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        ObjectId::parse(&hex).unwrap()
    }

    fn put(store: &Store, oid: &ObjectId, size: u64, pieces: &[&[u8]]) -> Result<()> {
        let mut incoming = store.begin(Want { oid: oid.clone(), size })?;
        pieces.iter().try_for_each(|piece| incoming.write(piece))?;
        incoming.end()
    }

    #[test]
    fn an_object_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        let one = oid(b"hello");
        assert!(!store.is_there());
        for (size, pieces, why) in [
            (5, &[&b"hell"[..]][..], "shorter"),
            (5, &[b"hello!"], "longer"),
            (5, &[b"hellO"], "SHA-256"),
            (4, &[b"hell"], "SHA-256"),
        ] {
            let no = put(&store, &one, size, pieces).unwrap_err().chain();
            assert!(no.contains(why), "{no}");
            assert_eq!(store.size_of(&one), None);
        }
        drop(store.begin(Want { oid: one.clone(), size: 5 }).unwrap());
        assert!(paths_in(&dir.path().join("lfs/incoming")).is_empty());
        put(&store, &one, 5, &[b"he", b"llo"]).unwrap();
        put(&store, &one, 5, &[b"hello"]).unwrap();
        put(&store, &oid(b""), 0, &[]).unwrap();
        assert_eq!((store.size_of(&one), store.size_of(&oid(b""))), (Some(5), Some(0)));
        assert!(paths_in(&dir.path().join("lfs/incoming")).is_empty());
    }

    #[test]
    fn what_nothing_names_goes_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of(dir.path());
        let [named, old, counted_on, fresh] = [&b"named"[..], b"old", b"counted on", b"fresh"];
        for bytes in [named, old, counted_on, fresh] {
            put(&store, &oid(bytes), bytes.len() as u64, &[bytes]).unwrap();
        }
        let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
        for bytes in [named, old, counted_on] {
            File::open(store.path(&oid(bytes))).unwrap().set_modified(now - 2 * day).unwrap();
        }
        store.touch(&oid(counted_on));
        let part = dir.path().join("lfs/incoming/left");
        File::create(&part).unwrap().set_modified(now - 2 * day).unwrap();
        let gone = store.collect(&[oid(named)].into(), day, now);
        assert_eq!(gone, Collected { objects: 1, bytes: 3 });
        assert_eq!(store.size_of(&oid(old)), None);
        assert!([named, counted_on, fresh].iter().all(|bytes| store.size_of(&oid(bytes)).is_some()));
        assert!(!part.exists() && store.older_than(day, now).is_empty());
    }
}
