//! Targets as one worker knows them: what they do now, and the idle connections to them.
//!
//! Counting is plain arithmetic in one thread: a claim is taken in the same step as the route is read, so once a worker
//! has switched tables nothing of it can arrive at a target that is gone from the table.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::transport::{Transport, Upstream, connect};
use crate::{code::Code, config::Limits, proto::Load, table};

pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    pub(crate) name: Arc<str>,
    pub(crate) in_flight: Cell<u32>,
    pub(crate) tunnels: Cell<u32>,
    pub(crate) served: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    /// Clients last served from here get `Connection: close`.
    pub(crate) draining: Cell<bool>,
    avoid_until: Cell<Option<Instant>>,
    idle: RefCell<Vec<Idle>>,
    /// Whether the worker's sweep knows of idle connections here.
    listed: Cell<bool>,
    /// Routes that lead here.
    routed: Cell<u32>,
    last_used: Cell<Instant>,
}

struct Idle {
    stream: Upstream,
    since: Instant,
}

/// A connection to a target, and whether it has served a request before.
pub(crate) struct Link {
    pub(crate) stream: Upstream,
    pub(crate) reused: bool,
}

impl Backend {
    pub(crate) fn new(target: &table::Target) -> Self {
        Self {
            addr: target.addr,
            name: Arc::from(target.name.as_str()),
            in_flight: Cell::new(0),
            tunnels: Cell::new(0),
            served: Cell::new(0),
            failed: Cell::new(0),
            draining: Cell::new(false),
            avoid_until: Cell::new(None),
            idle: RefCell::new(vec![]),
            listed: Cell::new(false),
            routed: Cell::new(0),
            last_used: Cell::new(Instant::now()),
        }
    }

    /// A route leads here; also ends a drain.
    pub(crate) fn route(&self) {
        self.routed.set(self.routed.get() + 1);
        self.draining.set(false);
    }

    /// A route is gone; without any the idle connections are closed.
    pub(crate) fn unroute(&self) {
        self.routed.set(self.routed.get().saturating_sub(1));
        self.last_used.set(Instant::now());
        if self.routed.get() == 0 {
            self.close_idle();
        }
    }

    /// Nothing leads here, nothing runs here, and nobody will ask any more.
    pub(crate) fn forgettable(&self, now: Instant, after: Duration) -> bool {
        self.routed.get() == 0 && self.in_flight.get() == 0 && now > self.last_used.get() + after
    }

    /// One request more.
    pub(super) fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// One request less.
    pub(super) fn end(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.last_used.set(Instant::now());
    }

    pub(crate) fn avoided(&self, now: Instant) -> bool {
        self.avoid_until.get().is_some_and(|until| now < until)
    }

    pub(crate) fn add_to(&self, load: &mut Load) {
        load.in_flight += u64::from(self.in_flight.get());
        load.tunnels += u64::from(self.tunnels.get());
        load.served += self.served.get();
        load.failed += self.failed.get();
    }

    /// A connection: an idle one if the request may be sent twice, else a new one.
    pub(crate) async fn open(&self, limits: &Limits, may_reuse: bool) -> Result<Link, Code> {
        if may_reuse && let Some(stream) = self.take_idle(limits.pool_idle) {
            return Ok(Link { stream, reused: true });
        }
        let fault = match timeout(limits.connect, connect(self.addr)).await {
            Ok(Ok(stream)) => {
                self.avoid_until.set(None);
                return Ok(Link { stream, reused: false });
            }
            Ok(Err(err)) if err.kind() == std::io::ErrorKind::TimedOut => Code::ConnectTimeout,
            Ok(Err(_)) => Code::ConnectRefused,
            Err(_) => Code::ConnectTimeout,
        };
        self.avoid_until.set(Some(Instant::now() + limits.avoid));
        Err(fault)
    }

    /// The most recent idle connection that is young enough and has nothing to say.
    fn take_idle(&self, max_age: Duration) -> Option<Upstream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { stream, since }) = idle.pop() {
            if since.elapsed() < max_age && stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose exchange ended cleanly. True when the sweep must learn of this target.
    pub(crate) fn keep(&self, stream: Upstream, limits: &Limits) -> bool {
        let mut idle = self.idle.borrow_mut();
        let unwanted = self.routed.get() == 0 || self.draining.get();
        if unwanted || idle.len() >= limits.pool_size || limits.pool_idle.is_zero() {
            return false;
        }
        idle.push(Idle { stream, since: Instant::now() });
        !self.listed.replace(true)
    }

    /// Closes what is too old. False when nothing is left.
    pub(crate) fn sweep(&self, max_age: Duration) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|i| i.since.elapsed() < max_age);
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
        self.listed.set(!idle.is_empty());
        !idle.is_empty()
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }
}
