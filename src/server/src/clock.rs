//! The one place that reads the clock and the machine's boot id.

use domain::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

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
