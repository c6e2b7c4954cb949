//! Signs of life of git-lfs, for which git waits without a word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When something last moved on one of an app's connections of LFS.
#[derive(Debug)]
pub(crate) struct Moving {
    start: Instant,
    last: AtomicU64,
}

impl Moving {
    pub fn new() -> Moving {
        Moving { start: Instant::now(), last: AtomicU64::new(0) }
    }

    pub fn mark(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// The last time.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}
