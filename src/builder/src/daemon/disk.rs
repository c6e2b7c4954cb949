//! How much one build has written: into the layers that its steps change, into their cache mounts, and, when nobody else
//! builds, what the builder has fetched for it.

use super::Group;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use system::fault::Result;
use system::host_checks::bytes_below;
use system::tasks::blocking;

/// Where the builder keeps what steps change, below its store.
const SNAPSHOTS: &str = "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots";
/// Where it keeps what was fetched and made: first while it comes, then whole.
const CONTENT: [&str; 2] = [
    "containerd/daemon/io.containerd.content.v1.content/ingest",
    "containerd/daemon/io.containerd.content.v1.content/blobs/sha256",
];

/// The count of one build. Others may write to the same disk all the while: that is not the build's.
#[derive(Debug, Clone)]
pub struct Written {
    group: Group,
    store: PathBuf,
    /// What was in the store when the build began.
    before: BTreeSet<PathBuf>,
    /// The snapshots that steps were seen writing to, by number.
    seen: BTreeSet<String>,
}

impl Written {
    /// From here on.
    pub async fn from_now(group: &Group, store: &Path) -> Result<Written> {
        let (group, store) = (group.clone(), store.to_owned());
        blocking("measure a build", move || {
            let before = kept(&store);
            Ok(Written { group, store, before, seen: BTreeSet::new() })
        })
        .await
    }

    /// Bytes until now in all places that the steps of the group write to, or were seen writing to before; of a build that
    /// is `alone` also in all that the store has kept since.
    pub async fn bytes(&mut self, alone: bool) -> Result<u64> {
        let mut count = self.clone();
        let (bytes, seen) = blocking("measure a build", move || Ok((count.look(alone), count.seen))).await?;
        self.seen = seen;
        Ok(bytes)
    }

    fn look(&mut self, alone: bool) -> u64 {
        for step in self.group.steps() {
            let mounts = std::fs::read_to_string(format!("/proc/{step}/mountinfo")).unwrap_or_default();
            self.seen.extend(mounts.lines().flat_map(places));
        }
        let snapshots = self.store.join(SNAPSHOTS);
        let mut counted: BTreeSet<PathBuf> = self.seen.iter().map(|number| snapshots.join(number)).collect();
        if alone {
            counted.extend(kept(&self.store).into_iter().filter(|place| !self.before.contains(place)));
        }
        counted.iter().map(|place| bytes_at(place)).fold(0, u64::saturating_add)
    }
}

/// The snapshots and contents of a store. What cannot be listed is not there yet.
fn kept(store: &Path) -> BTreeSet<PathBuf> {
    let list = |folder: &str| std::fs::read_dir(store.join(folder)).into_iter().flatten().flatten();
    // One that is being removed gets another name first, and is no news.
    let snapshots = list(SNAPSHOTS).filter(|entry| is_number(&entry.file_name().to_string_lossy()));
    CONTENT.iter().flat_map(|folder| list(folder)).chain(snapshots).map(|entry| entry.path()).collect()
}

/// A snapshot and what is being fetched are folders, what was fetched is a file.
fn bytes_at(place: &Path) -> u64 {
    match std::fs::symlink_metadata(place) {
        Ok(about) if about.is_dir() => bytes_below(place, u64::MAX),
        Ok(about) => about.len(),
        Err(_) => 0,
    }
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The numbers of the snapshots that a line of a process's mounts writes to.
fn places(line: &str) -> Vec<String> {
    let fields: Vec<&str> = line.split(' ').collect();
    // A cache is a bind mount: its place on the disk is the fourth field. A step's root is an overlay: its last one.
    let bind = fields.get(3).into_iter().copied();
    let upper = fields.last().into_iter().flat_map(|options| options.split(',')).filter(|o| o.starts_with("upperdir="));
    bind.chain(upper).filter_map(number).collect()
}

fn number(path: &str) -> Option<String> {
    let rest = path.split_once("/snapshots/")?.1;
    let number = rest.split_once("/fs")?.0;
    is_number(number).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_is_what_came_since_and_only_when_alone() {
        let store = tempfile::tempdir().unwrap();
        let write = |place: &str, bytes: usize| {
            let path = store.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; bytes]).unwrap();
        };
        let [ingest, blobs] = CONTENT;
        write(&format!("{SNAPSHOTS}/1/fs/base"), 5_000_000);
        write(&format!("{blobs}/aa"), 3_000_000);
        let install = "abcd".parse().unwrap();
        let groups = store.path().join("groups");
        for kind in ["memory", "cpu", "pids"] {
            std::fs::create_dir_all(groups.join(kind)).unwrap();
        }
        let group = super::super::Groups::find(&groups, &install).unwrap().itself();
        let before = kept(store.path());
        let mut count = Written { group, store: store.path().to_owned(), before, seen: BTreeSet::new() };
        let near = |bytes: u64, want: u64| assert!(bytes >= want && bytes < want + 100_000, "{bytes} is not {want}");
        assert_eq!(count.look(true), 0);
        write(&format!("{SNAPSHOTS}/2/fs/layer"), 1_000_000);
        write(&format!("{ingest}/x/data"), 1_500_000);
        write(&format!("{blobs}/bb"), 500_000);
        write("elsewhere/not-of-the-store", 9_000_000);
        std::fs::rename(store.path().join(SNAPSHOTS).join("1"), store.path().join(SNAPSHOTS).join("rm-1")).unwrap();
        near(count.look(true), 3_000_000);
        assert_eq!(count.look(false), 0, "others' may be among it");
        count.seen.insert("2".to_owned());
        near(count.look(false), 1_000_000);
        near(count.look(true), 3_000_000);
    }

    #[test]
    fn what_is_written_to_is_found_and_what_is_read_is_not() {
        let root = "/var/lib/docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots";
        let overlay = format!(
            "812 790 0:90 / / rw,relatime - overlay overlay rw,lowerdir={root}/5/fs:{root}/4/fs,upperdir={root}/12/fs,workdir={root}/12/work"
        );
        assert_eq!(places(&overlay), ["12"]);
        let cache = "820 812 254:0 /d/builder/store/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs/x /c rw - ext4 /dev/vda rw";
        assert_eq!(places(cache), ["7"]);
        for other in
            ["", "1 2 0:3 / /proc rw - proc proc rw", "a b c /snapshots/../../etc/fs d", "a b c /snapshots//fs d"]
        {
            assert!(places(other).is_empty(), "{other}");
        }
    }
}
