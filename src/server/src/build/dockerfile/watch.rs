//! Looks at what a Dockerfile's build uses, and says when it is too much: disk and processes.
//!
//! The builder writes into one folder, which has no quota. By how much the free space there has shrunk is more than any one
//! build has written; only when that is over a build's limit is it counted what this one's steps have written. Absent:
//! memory, which the kernel ends by itself.

use crate::builder::{Group, Lease, written};
use crate::platform::Parts;
use crate::tasks::blocking;
use domain::{Refusal, text};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Counting many files takes a while: this many times as long as it took is waited before the next.
const REST: u32 = 5;
/// Refused forks after which a build is more than unlucky.
const REFUSED_MAX: u64 = 2_000;
/// Free space below which no build goes on: others need it.
const FREE_MIN: u64 = 500_000_000;

/// Ends when the build uses too much, with the reason.
pub(super) async fn over(p: &Parts, lease: &Lease, group: &Group) -> Refusal {
    let (refused_before, limit) = (group.refused(), p.settings.build_disk);
    let begun = free(lease.store()).await;
    let (mut seen, mut rest) = (BTreeSet::new(), Duration::ZERO);
    loop {
        sleep(LOOK_EVERY.max(rest)).await;
        if group.refused().saturating_sub(refused_before) > REFUSED_MAX {
            return Refusal::new("build-processes", "the build started more processes than it may have")
                .why(format!("a build may have {} processes", super::PROCESSES))
                .next("look for a step that starts itself over and over, or use fewer jobs (make -j2)");
        }
        let (Some(begun), Some(now)) = (begun, free(lease.store()).await) else { continue };
        let shrunk = begun.saturating_sub(now);
        let full = now < FREE_MIN && begun > FREE_MIN;
        if shrunk <= limit && !full {
            continue;
        }
        let counting = Instant::now();
        let Ok((bytes, more)) = written(group, lease.store(), seen.clone()).await else { continue };
        rest = counting.elapsed() * REST;
        seen = more;
        // What the builder itself fetches (ADD, FROM) is in no step: alone, a build has written all of it.
        let own = if lease.is_alone() { shrunk } else { bytes };
        if own > limit || full {
            return Refusal::new(
                "build-disk",
                format!("the build wrote more than {}", text::human_bytes(limit.min(begun))),
            )
            .why("counted is what its steps changed and, for the only build at work, what the builder fetched for it")
            .next("write less, or raise build-disk in the server's configuration");
        }
    }
}

async fn free(folder: &Path) -> Option<u64> {
    let folder: PathBuf = folder.to_owned();
    let ask = blocking("look at a disk", move || {
        Ok(rustix::fs::statvfs(&folder).ok().map(|about| about.f_bavail.saturating_mul(about.f_frsize)))
    });
    ask.await.ok().flatten()
}
