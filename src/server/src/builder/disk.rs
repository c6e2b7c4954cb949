//! How much the steps of one build have written: into the layers that they change, and into their cache mounts.

use super::Group;
use crate::fault::Result;
use crate::probes::bytes_below;
use crate::tasks::blocking;
use std::collections::BTreeSet;
use std::path::Path;

/// Where the builder keeps what steps change, below its store.
const SNAPSHOTS: &str = "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots";

/// Bytes in all places that the steps of this group write to, or were seen writing to before: those stay in `seen`.
pub async fn written(group: &Group, store: &Path, seen: BTreeSet<String>) -> Result<(u64, BTreeSet<String>)> {
    let (group, snapshots) = (group.clone(), store.join(SNAPSHOTS));
    blocking("measure a build", move || {
        let mut seen = seen;
        for step in group.steps() {
            let mounts = std::fs::read_to_string(format!("/proc/{step}/mountinfo")).unwrap_or_default();
            seen.extend(mounts.lines().flat_map(places));
        }
        let bytes = seen.iter().map(|number| bytes_below(&snapshots.join(number).join("fs"), u64::MAX)).sum();
        Ok((bytes, seen))
    })
    .await
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
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
