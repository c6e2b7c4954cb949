//! How many bytes an app may store: a sustained rate and a burst. Pure: the time comes in.

use domain::AppId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An app that was over its budget counts as a flood for so long.
const LATELY: Duration = Duration::from_secs(5);

/// A token bucket in bytes; it may go into debt by one batch.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u64,
    burst: i64,
    level: i64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: u64, burst: u64, now: Instant) -> Bucket {
        let burst = i64::try_from(burst).unwrap_or(i64::MAX);
        Bucket { rate, burst, level: burst, filled: now }
    }

    /// Another rate from here on.
    pub fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
    }

    /// Whether nothing may be taken at `now`.
    pub fn is_empty(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).min(Duration::from_secs(3600));
        let gained = u128::from(self.rate) * passed.as_micros() / 1_000_000;
        if gained > 0 {
            self.level = self.level.saturating_add(i64::try_from(gained).unwrap_or(i64::MAX)).min(self.burst);
            self.filled = now;
        }
        self.level <= 0
    }

    /// Takes bytes.
    pub fn take(&mut self, bytes: usize) {
        self.level = self.level.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// Which apps were over their budget lately. What the installation may store is shared among them.
#[derive(Debug)]
pub(super) struct Floods {
    total: u64,
    recent: Mutex<BTreeMap<AppId, Instant>>,
}

impl Floods {
    /// Bytes per second for all floods together.
    pub fn new(total: u64) -> Floods {
        Floods { total, recent: Mutex::default() }
    }

    /// The app has no budget left.
    pub fn note(&self, app: &AppId, now: Instant) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone(), now);
    }

    /// The rate of one app whose own would be `own`.
    pub fn rate(&self, own: u64, now: Instant) -> u64 {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, at| now.saturating_duration_since(*at) < LATELY);
        let share = self.total.checked_div(recent.len() as u64).unwrap_or(own);
        own.min(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_burst_and_debt() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 5000, start);
        assert!(!bucket.is_empty(start));
        bucket.take(5500);
        assert!(bucket.is_empty(start));
        assert!(bucket.is_empty(start + Duration::from_millis(500)));
        assert!(!bucket.is_empty(start + Duration::from_millis(501)));
        assert!(!bucket.is_empty(start + Duration::from_secs(60)));
        bucket.take(5000);
        assert!(bucket.is_empty(start + Duration::from_secs(60)));
    }

    #[test]
    fn floods_share_what_there_is() {
        let (floods, start) = (Floods::new(1000), Instant::now());
        let app = |n| AppId::from_random([n; 8]);
        assert_eq!(floods.rate(400, start), 400);
        (0..4).for_each(|n| floods.note(&app(n), start));
        assert_eq!(floods.rate(400, start), 250);
        floods.note(&app(1), start + Duration::from_secs(3));
        assert_eq!(floods.rate(400, start + Duration::from_secs(6)), 400);
    }
}
