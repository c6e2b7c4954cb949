//! Looks at what a Dockerfile's build uses, and says when it is too much: disk and processes.
//!
//! The builder writes into one folder, which has no quota, on a disk that others fill too. Only when the free space there
//! has shrunk by more than a build's limit is it counted what this one has written. Absent: memory, which the kernel ends
//! by itself.

use crate::Parts;
use crate::daemon::{Group, Lease, Written};
use domain::refusal::Code;
use domain::{Refusal, text};
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::fault::Result;
use system::tasks::blocking;
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Counting many files takes a while: this many times as long as it took is waited before the next.
const REST: u32 = 5;
/// Refused forks after which a build is more than unlucky.
const REFUSED_MAX: u64 = 2_000;
/// Free space below which no build goes on: others need it.
const FREE_MIN: u64 = 500_000_000;

/// What was there when a build began.
pub(super) struct Watch<'a> {
    lease: &'a Lease,
    group: &'a Group,
    limit: u64,
    refused: u64,
    free: Option<u64>,
    written: Written,
}

impl<'a> Watch<'a> {
    /// Before the build begins.
    pub(super) async fn new(p: &Parts, lease: &'a Lease, group: &'a Group) -> Result<Watch<'a>> {
        let written = Written::from_now(group, lease.store()).await?;
        let free = free(lease.store()).await;
        Ok(Watch { lease, group, limit: p.settings.build_disk, refused: group.refused(), free, written })
    }

    /// Ends when the build uses too much, with the reason.
    pub(super) async fn over(mut self) -> Refusal {
        let mut rest = Duration::ZERO;
        loop {
            sleep(LOOK_EVERY.max(rest)).await;
            if self.group.refused().saturating_sub(self.refused) > REFUSED_MAX {
                return Refusal::new(Code::BuildProcesses, "the build started more processes than it may have")
                    .why(format!("a build may have {} processes", super::PROCESSES))
                    .next("look for a step that starts itself over and over, or use fewer jobs (make -j2)");
            }
            let (Some(begun), Some(now)) = (self.free, free(self.lease.store()).await) else { continue };
            if now < FREE_MIN && begun > FREE_MIN {
                return Refusal::new(Code::DiskLow, "the build was ended, as the disk of the server is nearly full")
                    .why(format!(
                        "{} are free; below {} nothing is built",
                        text::human_bytes(now),
                        text::human_bytes(FREE_MIN)
                    ))
                    .next("ask the server's administrator to look at what doctor says of its disk, then push again");
            }
            if begun.saturating_sub(now) <= self.limit {
                continue;
            }
            let counting = Instant::now();
            let Ok(bytes) = self.written.bytes(self.lease.is_alone()).await else { continue };
            rest = counting.elapsed() * REST;
            if bytes > self.limit {
                return Refusal::new(
                    Code::BuildDisk,
                    format!("the build wrote more than {}", text::human_bytes(self.limit)),
                )
                .why("counted is what its steps changed and, for the only build at work, what the builder fetched for it")
                .next("write less, or raise build-disk in the server's configuration");
            }
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
