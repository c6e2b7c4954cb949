//! Which stored segments go when the disk that logs may use is full.
//!
//! Pure. First every app is held to what one app may use, then all of them to what all may: the app that uses most gives
//! its oldest segment, again and again, so an app that uses less than its share loses nothing. The newest segment of an
//! app, which is being written, always stays.

use domain::AppId;
use std::collections::BTreeMap;

/// What logs may use on the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// One app.
    pub app: u64,
    /// All apps together.
    pub total: u64,
}

/// The sizes of an app's segments by their numbers, oldest first.
pub type Segments = BTreeMap<u64, u64>;

/// The segments to delete, in order.
pub fn excess(apps: &BTreeMap<AppId, Segments>, budget: Budget) -> Vec<(AppId, u64)> {
    let mut left: BTreeMap<&AppId, (u64, Segments)> =
        apps.iter().map(|(app, segments)| (app, (segments.values().sum(), segments.clone()))).collect();
    let mut gone = Vec::new();
    for (app, (used, segments)) in &mut left {
        while *used > budget.app
            && let Some(number) = drop_oldest(used, segments)
        {
            gone.push(((*app).clone(), number));
        }
    }
    while left.values().map(|(used, _)| *used).sum::<u64>() > budget.total {
        let over = left.iter_mut().filter(|(_, (_, segments))| segments.len() > 1).max_by_key(|(_, (used, _))| *used);
        let Some((app, (used, segments))) = over else { break };
        if let Some(number) = drop_oldest(used, segments) {
            gone.push(((*app).clone(), number));
        }
    }
    gone
}

fn drop_oldest(used: &mut u64, segments: &mut Segments) -> Option<u64> {
    if segments.len() < 2 {
        return None;
    }
    let (number, bytes) = segments.pop_first()?;
    *used = used.saturating_sub(bytes);
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(n: u8) -> AppId {
        AppId::from_random([n, 0, 0, 0, 0, 0, 0, 0])
    }

    fn check(apps: &[&[u64]], budget: (u64, u64), want: &[(u8, u64)]) {
        let sizes = |sizes: &&[u64]| (1..).zip(sizes.iter().copied()).collect();
        let apps = (0..).zip(apps).map(|(n, segments)| (app(n), sizes(segments))).collect();
        let gone = excess(&apps, Budget { app: budget.0, total: budget.1 });
        assert_eq!(gone, want.iter().map(|(n, number)| (app(*n), *number)).collect::<Vec<_>>());
    }

    #[test]
    fn the_oldest_of_the_largest_goes() {
        check(&[], (10, 10), &[]);
        check(&[&[5, 5], &[5]], (10, 100), &[]);
        check(&[&[5, 5, 5], &[5]], (10, 100), &[(0, 1)]);
        check(&[&[50]], (10, 10), &[]);
        check(&[&[5, 5, 5, 5], &[5, 5], &[1, 1]], (100, 22), &[(0, 1), (0, 2)]);
        check(&[&[50, 1], &[1, 1, 1]], (10, 3), &[(0, 1), (1, 1)]);
        check(&[&[50], &[1, 1, 1]], (100, 10), &[(1, 1), (1, 2)]);
    }
}
