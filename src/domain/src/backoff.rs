//! How long to wait before the next try.

/// Exponential backoff in milliseconds: `base`, doubled per failure after the first, at most `max`, plus up to a quarter
/// of jitter chosen by `noise` (0..=255, from the shell).
pub fn delay_millis(failures: u32, base: u64, max: u64, noise: u8) -> u64 {
    if failures == 0 {
        return 0;
    }
    let factor = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
    let delay = base.saturating_mul(factor).min(max);
    delay + delay / 4 * u64::from(noise) / 255
}

/// When an instance that ended may start again: at once after the first crash, then 1 s doubled up to 5 minutes.
/// A run of `steady_millis` or more without a crash forgets the earlier ones.
pub fn restart_delay_millis(crashes: u32, noise: u8) -> u64 {
    delay_millis(crashes.saturating_sub(1), 1_000, 300_000, noise)
}

/// A run this long makes earlier crashes forgotten.
pub const STEADY_MILLIS: u64 = 300_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_stops() {
        let got: Vec<u64> = [0, 1, 2, 3, 9, 40, 200].iter().map(|n| restart_delay_millis(*n, 0)).collect();
        assert_eq!(got, [0, 0, 1_000, 2_000, 128_000, 300_000, 300_000]);
        assert_eq!(delay_millis(1, 1_000, 10_000, 255), 1_250);
    }
}
