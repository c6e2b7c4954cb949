//! How many bytes an app may store: a sustained rate and a burst. Pure: the time comes in.

use std::time::{Duration, Instant};

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
}
