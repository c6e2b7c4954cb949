//! Requests that wait for their route to become something else: an app that wakes, or addresses not yet confirmed.

use std::{rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{asked::Asked, conn::Conn, route_state::RouteState, state::Worker, transport::Transport};
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
    route: &'a RouteState,
}

impl<'a> Waiting<'a> {
    fn new(worker: &'a Worker, route: &'a RouteState) -> Self {
        worker.held.set(worker.held.get() + 1);
        route.held.set(route.held.get() + 1);
        Self { worker, route }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.worker.held.set(self.worker.held.get().saturating_sub(1));
        self.route.held.set(self.route.held.get().saturating_sub(1));
    }
}

/// Waits, and tells the control process each second that somebody does.
pub(crate) async fn hold<T: Transport>(
    worker: &Rc<Worker>,
    conn: &mut Conn<T>,
    asked: &Asked,
    route: &Rc<RouteState>,
    max_wait: Duration,
) -> Held {
    // Made before the first await: the table cannot change unnoticed in between.
    let replaced = route.replaced.notified();
    if route.held.get() >= worker.limits.held {
        return Held::TooMany;
    }
    let _waiting = Waiting::new(worker, route);
    let mut replaced = std::pin::pin!(replaced);
    let end = asked.start + max_wait;
    loop {
        let now = Instant::now();
        if now >= end {
            return Held::Expired;
        }
        wake(worker, route, now);
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

/// One event a second and route, however many wait; it is repeated because it may be lost.
fn wake(worker: &Worker, route: &RouteState, now: Instant) {
    let due = route.last_wake.get().is_none_or(|last| now.saturating_duration_since(last) >= WAKE_EVERY);
    if due {
        route.last_wake.set(Some(now));
        let _ = worker.events.try_send(Event::Wake { route: route.key.clone(), waiting: route.held.get() });
    }
}
