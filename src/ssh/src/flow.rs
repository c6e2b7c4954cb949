//! How much of a session's standard input waits in memory, and when the client is asked to slow down.
//!
//! russh refills a channel's window whenever data arrives, before anybody has taken it; blocking its loop instead would
//! stop output, keepalives and the notice of a client that goes away. So above [`HIGH`] the window is refilled by
//! [`TRICKLE`] bytes only, each after a pause: the client crawls, and the loop keeps turning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// The window of a channel while there is room.
pub const WINDOW: u32 = 2 * 1024 * 1024;
/// The window of a channel while there is none. The smallest that russh refills: below half of it.
const TRICKLE: u32 = 2;
/// Bytes waiting in a session above which the client is slowed down.
const HIGH: usize = 2 * 1024 * 1024;
/// Bytes waiting that no client reaches which respects its windows.
const ABUSE: usize = 48 * 1024 * 1024;
/// How long each trickle waits for room.
const PAUSE: Duration = Duration::from_millis(50);
/// What a chunk costs beside its bytes.
const OVERHEAD: usize = 64;

/// One session's account.
#[derive(Debug, Default)]
pub struct Flow {
    waiting: AtomicUsize,
    room: Notify,
}

/// A charge for a chunk; dropping it gives the room back.
#[derive(Debug)]
pub struct Charge {
    flow: Arc<Flow>,
    bytes: usize,
}

impl Flow {
    /// Charges a chunk; `None` if the client has overrun its windows by far.
    pub fn charge(self: &Arc<Flow>, bytes: usize) -> Option<Charge> {
        let bytes = bytes + OVERHEAD;
        let before = self.waiting.fetch_add(bytes, Ordering::AcqRel);
        let charge = Charge { flow: self.clone(), bytes };
        if before + bytes > ABUSE { None } else { Some(charge) }
    }

    /// The window to refill to.
    pub fn window(&self) -> u32 {
        if self.is_full() { TRICKLE } else { WINDOW }
    }

    /// Waits for room before the next trickle, but not long.
    pub async fn pause(&self, bytes: usize) {
        if self.is_full() && bytes <= TRICKLE as usize {
            let _ = tokio::time::timeout(PAUSE, self.room.notified()).await;
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > HIGH
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let before = self.flow.waiting.fetch_sub(self.bytes, Ordering::AcqRel);
        if before > HIGH && before - self.bytes <= HIGH {
            self.flow.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_slow_and_room_comes_back() {
        let flow = Arc::new(Flow::default());
        assert_eq!(flow.window(), WINDOW);
        let charges: Vec<Charge> = (0..80).filter_map(|_| flow.charge(32 * 1024)).collect();
        assert_eq!(flow.window(), TRICKLE);
        drop(charges);
        assert_eq!(flow.window(), WINDOW);
        let all: Vec<Option<Charge>> = (0..3_000).map(|_| flow.charge(32 * 1024)).collect();
        assert!(all.iter().any(Option::is_none));
        drop(all);
        assert_eq!(flow.waiting.load(Ordering::Acquire), 0);
    }
}
