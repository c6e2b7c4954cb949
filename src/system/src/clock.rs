//! The one place that reads the clock and the machine's boot id.

use async_trait::async_trait;
use domain::Timestamp;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The kernel's id of this boot; empty where it has none.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Now.
pub fn now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    Timestamp(micros)
}

/// The clock on the wall and the one that only goes forward, at the server's start.
static START: OnceLock<(Instant, Timestamp)> = OnceLock::new();

/// Seconds by which the clock on the wall was moved since the first call; the first call is to be the server's start.
pub fn stepped() -> i64 {
    let (instant, wall) = *START.get_or_init(|| (Instant::now(), now()));
    let passed = i64::try_from(instant.elapsed().as_secs()).unwrap_or(i64::MAX);
    (now().0 - wall.0) / 1_000_000 - passed
}

/// Pauses between two tries, for those whose tests cannot wait for them.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wall;

#[async_trait]
impl Clock for Wall {
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
