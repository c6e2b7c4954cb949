//! Looks at what a Dockerfile's build uses, and says when it is too much: disk and processes.
//!
//! The engine's builder writes into the engine's own folder, which has no quota: what counts is by how much the free space
//! there has shrunk since the build began. Absent: memory, which the kernel ends by itself.

use super::limits::Held;
use crate::platform::Parts;
use crate::tasks::blocking;
use domain::{Refusal, text};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Refused forks after which a build is more than unlucky.
const REFUSED_MAX: u64 = 2_000;
/// Free space below which no build goes on: others need it.
const FREE_MIN: u64 = 500_000_000;

/// Ends when the build uses too much, with the reason.
pub(super) async fn over(p: &Parts, held: &Held) -> Refusal {
    let root = match p.engine.version().await {
        Ok(version) if !version.root.is_empty() => PathBuf::from(version.root),
        Ok(_) | Err(_) => PathBuf::from("/"),
    };
    let begun = free(&root).await;
    loop {
        sleep(LOOK_EVERY).await;
        if held.forks_refused() > REFUSED_MAX {
            return Refusal::new("build-processes", "the build started more processes than it may have")
                .why(format!("a build may have {} processes", super::limits::PROCESSES))
                .next("look for a step that starts itself over and over, or use fewer jobs (make -j2)");
        }
        let (Some(begun), Some(free)) = (begun, free(&root).await) else { continue };
        let limit = p.settings.build_disk;
        if begun.saturating_sub(free) > limit || (free < FREE_MIN && begun > FREE_MIN) {
            return Refusal::new(
                "build-disk",
                format!("the build wrote more than {}", text::human_bytes(limit.min(begun))),
            )
            .why("counted is by how much the free space on Docker's disk shrank since the build began")
            .next("write less, or raise build-disk in the server's configuration");
        }
    }
}

async fn free(root: &std::path::Path) -> Option<u64> {
    let root = root.to_path_buf();
    let ask = blocking("look at a disk", move || {
        Ok(rustix::fs::statvfs(&root).ok().map(|about| about.f_bavail.saturating_mul(about.f_frsize)))
    });
    ask.await.ok().flatten()
}
