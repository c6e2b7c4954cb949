//! What a worker knows: its table with live targets, its idle connections, and what all its requests share.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    backend::Backend,
    buf::Spare,
    door::Door,
    route_state::{HostState, Live, RouteState},
    transport::Upstream,
};
use crate::{
    access::Sink,
    code::Page,
    config::Limits,
    proto::{Event, Load},
    table::{Action, HostPattern, HostRoutes, Patch, Route, Table, Target},
};

/// A worker's state; everything in it belongs to one thread.
pub(crate) struct Worker {
    pub(super) limits: Limits,
    table: RefCell<Table<Slot>>,
    backends: RefCell<HashMap<Arc<str>, Vec<Rc<Backend>>>>,
    /// Targets with idle connections, for the sweep.
    pooled: RefCell<Vec<Rc<Backend>>>,
    pooled_some: Notify,
    pub(super) spare: Spare,
    pub(super) ids: Ids,
    pub(super) sink: Sink,
    pub(super) own_log: Option<Arc<str>>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) door: Rc<Door>,
    pub(super) held: Cell<u64>,
    pub(super) draining: Cell<bool>,
    pub(super) stop_accept: CancellationToken,
    pub(super) close_idle: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A host: what all workers share, and what this one made of it at the first request.
struct Slot {
    shared: Arc<HostRoutes>,
    live: OnceCell<HostState>,
}

impl Worker {
    pub(super) fn new(
        limits: Limits,
        door: Rc<Door>,
        (sink, own_log): (Sink, Option<Arc<str>>),
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            limits,
            table: RefCell::default(),
            backends: RefCell::default(),
            pooled: RefCell::default(),
            pooled_some: Notify::new(),
            spare: Spare::default(),
            ids: Ids::default(),
            sink,
            own_log,
            events,
            door,
            held: Cell::new(0),
            draining: Cell::new(false),
            stop_accept: CancellationToken::new(),
            close_idle: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// These hosts have other routes from now on.
    pub(super) fn patch(&self, patch: &Patch) {
        for (host, routes) in patch {
            let slot = routes.clone().map(|shared| Slot { shared, live: OnceCell::new() });
            let old = self.table.borrow_mut().set(host, slot);
            if let Some(old) = old.and_then(|slot| slot.live.into_inner()) {
                self.succeed(host, &old);
            }
        }
    }

    /// A host that was in use got new routes, or none: waiting requests look again, unused targets are let go.
    fn succeed(&self, host: &HostPattern, old: &HostState) {
        if let Some(slot) = self.table.borrow().get(host) {
            slot.live.get_or_init(|| self.compile(&slot.shared));
        }
        for route in &old.routes {
            route.replaced.notify_waiters();
            if let Live::Serve(backends) = &route.action {
                for backend in backends {
                    backend.unroute();
                }
            }
        }
    }

    /// Clients last served by these targets come on a new connection, and idle connections to them end.
    pub(super) fn drain(&self, targets: &[String]) {
        let backends = self.backends.borrow();
        for backend in targets.iter().filter_map(|id| backends.get(id.as_str())).flatten() {
            backend.draining.set(true);
            backend.close_idle();
        }
    }

    /// The route that serves a host and path now.
    pub(super) fn find(&self, name: &str, path: &str) -> Option<Rc<RouteState>> {
        let table = self.table.borrow();
        let slot = table.find(name)?;
        slot.live.get_or_init(|| self.compile(&slot.shared)).find(path).cloned()
    }

    fn compile(&self, routes: &HostRoutes) -> HostState {
        let state = |route: &Route| {
            let action = match &route.action {
                Action::Serve { targets } => Live::Serve(targets.iter().map(|t| self.backend(t)).collect()),
                Action::Hold { max_wait } => Live::Hold(*max_wait),
                Action::Page { status, code, desc, retry_after, html } => Live::Page(Page {
                    status: *status,
                    code: code.clone(),
                    desc: desc.clone(),
                    retry_after: *retry_after,
                    html: html.as_deref().map(Arc::from),
                }),
            };
            Rc::new(RouteState::new(route.key(), route.log.as_deref().map(Arc::from), action))
        };
        HostState { routes: routes.routes().iter().map(state).collect() }
    }

    /// The target's state here; an id at a new address begins anew beside the old one.
    fn backend(&self, target: &Target) -> Rc<Backend> {
        let mut backends = self.backends.borrow_mut();
        let known = backends.entry(Arc::from(target.id.as_str())).or_default();
        let backend = match known.iter().find(|b| b.addr == target.addr && *b.name == *target.name) {
            Some(backend) => backend.clone(),
            None => {
                let backend = Rc::new(Backend::new(target));
                known.push(backend.clone());
                backend
            }
        };
        backend.route();
        backend
    }

    /// What a target does here.
    pub(super) fn load(&self, id: &str) -> Load {
        let mut load = Load { target: id.to_string(), ..Load::default() };
        for backend in self.backends.borrow().get(id).into_iter().flatten() {
            backend.add_to(&mut load);
        }
        load
    }

    /// Keeps a connection to a target for the next request.
    pub(super) fn keep(&self, backend: &Rc<Backend>, stream: Upstream) {
        if backend.keep(stream, &self.limits) {
            self.pooled.borrow_mut().push(backend.clone());
            self.pooled_some.notify_one();
        }
    }

    /// Closes idle connections that are too old, as long as there are any. Never returns.
    pub(super) async fn sweep(&self, every: Duration) {
        loop {
            if self.pooled.borrow().is_empty() {
                self.pooled_some.notified().await;
            }
            sleep(every).await;
            self.pooled.borrow_mut().retain(|b| b.sweep(self.limits.pool_idle));
        }
    }

    /// Forgets targets that had neither route nor request for so long.
    pub(super) fn forget(&self, after: Duration) {
        let now = Instant::now();
        self.backends.borrow_mut().retain(|_, known| {
            known.retain(|b| !b.forgettable(now, after));
            !known.is_empty()
        });
    }
}

/// Request ids: 128 bits from a keyed hash with random keys. Unguessable enough for a log, not a secret.
#[derive(Default)]
pub(super) struct Ids {
    keys: (RandomState, RandomState),
    count: Cell<u64>,
}

impl Ids {
    pub(super) fn next(&self) -> String {
        let n = self.count.get();
        self.count.set(n.wrapping_add(1));
        let (a, b) = (self.keys.0.hash_one(n), self.keys.1.hash_one(n));
        let (high, mid, low) = (a >> 32, a >> 16 & 0xffff, a & 0xffff);
        format!("{high:08x}-{mid:04x}-{low:04x}-{:04x}-{:012x}", b >> 48, b & 0xffff_ffff_ffff)
    }
}
