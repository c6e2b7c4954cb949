//! A route as one worker serves it: its action with live targets, its counters, and who waits on it.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    backend::Backend,
    balance::{Standing, choose},
    crowd::fair,
};
use crate::{
    code::{Code, Page},
    table::RouteKey,
};

pub(crate) struct RouteState {
    pub(crate) key: RouteKey,
    pub(crate) log: Option<Arc<str>>,
    pub(crate) action: Live,
    pub(crate) in_flight: Cell<u32>,
    pub(crate) held: Cell<u32>,
    /// Notified once, when another takes over.
    pub(crate) replaced: Notify,
    pub(crate) last_wake: Cell<Option<Instant>>,
    turn: Cell<usize>,
}

pub(crate) enum Live {
    Serve(Vec<Rc<Backend>>),
    Hold(Duration),
    Page(Page),
}

/// One request's place at a target; ends when dropped.
pub(crate) struct Claim {
    pub(crate) backend: Rc<Backend>,
    route: Rc<RouteState>,
}

/// All routes of one host, the longest path first.
pub(crate) struct HostState {
    pub(crate) routes: Vec<Rc<RouteState>>,
}

impl HostState {
    pub(crate) fn find(&self, path: &str) -> Option<&Rc<RouteState>> {
        self.routes.iter().find(|r| r.key.path.takes(path))
    }
}

impl RouteState {
    pub(crate) fn new(key: RouteKey, log: Option<Arc<str>>, action: Live) -> Self {
        Self {
            key,
            log,
            action,
            in_flight: Cell::new(0),
            held: Cell::new(0),
            replaced: Notify::new(),
            last_wake: Cell::new(None),
            turn: Cell::new(0),
        }
    }

    /// Chooses a target and counts the request there, in one step.
    /// `tried` are targets that this request was refused by; `last` is what the last of them said. `own` counts what the
    /// request's source has here.
    pub(crate) fn claim(
        self: &Rc<Self>,
        backends: &[Rc<Backend>],
        per_target: u32,
        tried: &[Rc<Backend>],
        last: Code,
        own: impl FnOnce() -> u32,
    ) -> Result<Claim, Code> {
        if backends.is_empty() {
            return Err(Code::NoInstances);
        }
        let cap = per_target.saturating_mul(u32::try_from(backends.len()).unwrap_or(u32::MAX));
        if self.in_flight.get() >= cap || !fair(self.in_flight.get(), cap, own) {
            return Err(Code::BacklogTooDeep);
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let chosen = match backends {
            [only] if tried.is_empty() => Some(only),
            _ => {
                let now = Instant::now();
                let standing = |b: &Rc<Backend>| Standing {
                    in_flight: b.in_flight.get(),
                    avoided: b.avoided(now),
                    tried: tried.iter().any(|t| Rc::ptr_eq(t, b)),
                };
                let standings: Vec<Standing> = backends.iter().map(standing).collect();
                choose(&standings, turn).and_then(|n| backends.get(n))
            }
        };
        chosen.map(|b| Claim::new(b.clone(), self.clone())).ok_or(last)
    }
}

impl Claim {
    fn new(backend: Rc<Backend>, route: Rc<RouteState>) -> Self {
        backend.begin();
        route.in_flight.set(route.in_flight.get() + 1);
        Self { backend, route }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.backend.end();
        self.route.in_flight.set(self.route.in_flight.get().saturating_sub(1));
    }
}
