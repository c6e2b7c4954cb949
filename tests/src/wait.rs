//! The one place that waits: for a state, with a deadline.

use std::time::{Duration, Instant};

/// How often a state is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// How many times longer a busy machine may take than a deadline says.
const PATIENCE: u32 = 4;

/// Waits until `cond` holds; fails the test with `what` if it does not within `deadline`, which is that of a quiet machine.
pub fn wait_for(what: &str, deadline: Duration, cond: impl FnMut() -> bool) {
    let deadline = deadline * PATIENCE;
    assert!(try_for(deadline, cond), "not within {deadline:?}: {what}");
}

/// Whether `cond` came to hold within `deadline`.
pub fn try_for(deadline: Duration, mut cond: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if cond() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_waited_for_and_a_deadline_kept() {
        let mut looks = 0;
        wait_for("three looks", Duration::from_secs(10), || {
            looks += 1;
            looks == 3
        });
        assert!(!try_for(Duration::from_millis(30), || false));
    }
}
