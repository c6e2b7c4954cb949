//! Requests that wait for their route to become something else: an app that wakes, or addresses not yet confirmed.

use std::{rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    Worker,
    conn::{Asked, Conn},
    place::Place,
    transport::Transport,
};
use crate::proto::Event;

/// Why a request no longer waits.
pub(crate) enum Held {
    /// The route was replaced: look it up again.
    Changed,
    /// The client left.
    Gone,
    /// It waited as long as it may.
    Expired,
    /// Too many wait already.
    TooMany,
}

const WAKE_EVERY: Duration = Duration::from_secs(1);
const AHEAD_MAX: usize = 64 << 10;

/// Counts a waiting request until dropped.
struct Waiting<'a> {
    worker: &'a Worker,
    place: &'a Place,
}

impl<'a> Waiting<'a> {
    fn new(worker: &'a Worker, place: &'a Place) -> Self {
        worker.held.set(worker.held.get() + 1);
        place.held.set(place.held.get() + 1);
        Self { worker, place }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.worker.held.set(self.worker.held.get().saturating_sub(1));
        self.place.held.set(self.place.held.get().saturating_sub(1));
    }
}

/// Waits, and tells the control process each second that somebody does.
pub(crate) async fn hold<T: Transport>(
    worker: &Rc<Worker>,
    conn: &mut Conn<T>,
    asked: &Asked,
    place: &Rc<Place>,
    max_wait: Duration,
) -> Held {
    // Made before the first await: the table cannot change unnoticed in between.
    let replaced = place.replaced.notified();
    if place.held.get() >= worker.limits.held {
        return Held::TooMany;
    }
    let _waiting = Waiting::new(worker, place);
    let mut replaced = std::pin::pin!(replaced);
    let end = asked.start + max_wait;
    loop {
        let now = Instant::now();
        if now >= end {
            return Held::Expired;
        }
        wake(worker, place, now);
        let full = conn.buf.len() >= AHEAD_MAX;
        let (mut client, _) = conn.stream.split();
        tokio::select! {
            biased;
            () = &mut replaced => return Held::Changed,
            read = conn.buf.fill(&mut client, &worker.spare), if !full => match read {
                Ok(0) | Err(_) => return Held::Gone,
                Ok(_) => {}
            },
            () = sleep_until(end.min(now + WAKE_EVERY)) => {}
        }
    }
}

/// One event a second and place, however many wait; it is repeated because it may be lost.
fn wake(worker: &Worker, place: &Place, now: Instant) {
    let due = place.last_wake.get().is_none_or(|last| now.saturating_duration_since(last) >= WAKE_EVERY);
    if due {
        place.last_wake.set(Some(now));
        let _ = worker.events.try_send(Event::Wake { route: place.key.clone(), waiting: place.held.get() });
    }
}
