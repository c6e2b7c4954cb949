//! A worker: one thread that owns its table, its counters and its connections to targets.
//!
//! It hears of changes as messages. Reading a route and counting the request there is one step without an await, so
//! once a worker has said that it switched, no request of its goes to a target that left the table. No lock, no disk.

mod backend;
mod balance;
mod buf;
mod conn;
mod crowd;
mod door;
mod exchange;
mod flow;
mod hold;
mod place;
mod rewrite;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    future::poll_fn,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::door::Census;
use self::{
    backend::Backend,
    buf::Spare,
    door::Door,
    place::{Live, Place, Site},
    transport::{Listen, Scheme, Transport, Upstream},
};
use crate::{
    access::{FLUSH_EVERY, Sink},
    code::{Code, Page, PageAsk},
    config::Limits,
    proto::{Event, Load},
    source::Network,
    table::{Action, HostRoutes, Patch, Table, Target},
};

/// What a worker is told.
pub(crate) enum Order {
    /// These hosts changed; answered when requests see it.
    Patch { patch: Arc<Patch>, done: oneshot::Sender<()> },
    /// How busy these targets are here, and how many requests wait on held routes.
    Loads { targets: Arc<Vec<String>>, reply: oneshot::Sender<(Vec<Load>, u64)> },
    /// Clients last served by these targets shall come on a new connection.
    Drain { targets: Arc<Vec<String>>, done: oneshot::Sender<()> },
    /// Accept no more; end when idle, or after the grace. A second one may shorten it.
    Stop { grace: Duration },
}

/// What a worker starts with.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) sink: Sink,
    pub(crate) own_log: Option<Arc<str>>,
    /// Which worker it is, and of how many.
    pub(crate) place: (usize, usize),
    pub(crate) trusted: Arc<[Network]>,
    /// Client connections of all workers.
    pub(crate) census: Arc<Census>,
    pub(crate) notes: mpsc::Sender<String>,
}

/// A worker's state; everything in it belongs to one thread.
pub(crate) struct Worker {
    limits: Limits,
    table: RefCell<Table<Slot>>,
    backends: RefCell<HashMap<Arc<str>, Vec<Rc<Backend>>>>,
    /// Targets with idle connections, for the sweep.
    pooled: RefCell<Vec<Rc<Backend>>>,
    pooled_some: Notify,
    spare: Spare,
    ids: Ids,
    sink: Sink,
    own_log: Option<Arc<str>>,
    events: mpsc::Sender<Event>,
    door: Rc<Door>,
    held: Cell<u64>,
    draining: Cell<bool>,
    stop_accept: CancellationToken,
    close_idle: CancellationToken,
    tasks: TaskTracker,
}

/// A host: what all workers share, and what this one made of it at the first request.
struct Slot {
    shared: Arc<HostRoutes>,
    live: OnceCell<Site>,
}

const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// A target without route or request is forgotten after this.
const FORGET_AFTER: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The thread's main function. It ends after `Stop`, or when nobody can give orders any more.
pub(crate) fn run(setup: Setup, listeners: Vec<TcpListener>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let open = |worker: &Rc<Worker>| {
        for listener in listeners {
            worker.open(transport::TcpListener::new(listener, Scheme::Http)?);
        }
        Ok(())
    };
    local.block_on(&runtime, serve(setup, open))
}

/// Serves what comes in where `open` opens.
async fn serve(setup: Setup, open: impl FnOnce(&Rc<Worker>) -> std::io::Result<()>) -> std::io::Result<()> {
    let Setup { limits, mut orders, events, sink, own_log, place, trusted, census, notes } = setup;
    let door = Rc::new(Door::new(&limits, place, trusted, census, notes));
    let worker = Rc::new(Worker {
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
    });
    // The first order is the table: nobody is served before it.
    match orders.recv().await {
        Some(order) => drop(worker.obey(order)),
        None => return Ok(()),
    }
    open(&worker)?;
    let mut housekeeping = std::pin::pin!(housekeeping(&worker));
    let mut end: Option<(Instant, Instant)> = None;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order.map(|o| worker.obey(o)) {
                Some(None) => {}
                Some(Some(grace)) => {
                    let now = Instant::now();
                    end = Some((now + grace.min(worker.limits.drain_idle), now + grace));
                }
                None => break,
            },
            () = &mut housekeeping => break,
            () = drained(&worker, end), if end.is_some() => break,
        }
    }
    worker.sink.flush();
    Ok(())
}

async fn drained(worker: &Worker, end: Option<(Instant, Instant)>) {
    let Some((idle_until, until)) = end else { return };
    let idle = async {
        sleep_until(idle_until).await;
        worker.close_idle.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = worker.tasks.wait() => {}
        () = idle => {}
        () = sleep_until(until) => {}
    }
}

/// Sends gathered lines and closes old idle connections. Never returns.
async fn housekeeping(worker: &Worker) {
    let lines = async {
        loop {
            worker.sink.wake.notified().await;
            sleep(FLUSH_EVERY).await;
            worker.sink.flush();
        }
    };
    let pool = async {
        loop {
            if worker.pooled.borrow().is_empty() {
                worker.pooled_some.notified().await;
            }
            sleep(SWEEP_EVERY).await;
            worker.pooled.borrow_mut().retain(|b| b.sweep(worker.limits.pool_idle));
        }
    };
    let targets = async {
        loop {
            sleep(FORGET_AFTER / 10).await;
            worker.forget();
        }
    };
    let door = async {
        loop {
            sleep(worker.limits.report_every).await;
            worker.door.report();
        }
    };
    let ((), (), (), ()) = tokio::join!(lines, pool, targets, door);
}

async fn accept<L: Listen>(worker: Rc<Worker>, listener: L) {
    let entrance = listener.entrance();
    // Looked at each time before one is taken: the socket is shared, and what is left in line is another worker's.
    let next = || {
        poll_fn(|cx| match worker.door.leaves_to_others() {
            true => Poll::Ready(None),
            false => listener.poll_accept(cx).map(Some),
        })
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = worker.stop_accept.cancelled() => return,
            accepted = next() => accepted,
        };
        match accepted {
            Some(Ok((stream, peer))) => match worker.door.enter(peer.ip()) {
                Some(guest) => {
                    drop(worker.tasks.spawn_local(conn::serve(worker.clone(), stream, guest, peer, entrance)))
                }
                None => turn_away(stream),
            },
            None => sleep(ACCEPT_PAUSE).await,
            // It left while it stood in line; the next may be well.
            Some(Err(err)) if err.kind() == std::io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors, most likely: close some, and let them close.
            Some(Err(_)) => {
                worker.door.make_any_room();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Says H22 if that goes out at once.
fn turn_away(stream: impl Transport) {
    let mut out = vec![];
    let ask = PageAsk { accept: "", request_id: "", keep_alive: false, body: true };
    Code::ConnectionLimit.page().write(&mut out, &ask);
    stream.dismiss(&out);
}

impl Worker {
    /// Takes connections from here until it is told to stop.
    fn open(self: &Rc<Self>, listener: impl Listen) {
        self.tasks.spawn_local(accept(self.clone(), listener));
    }

    /// Does what it is told; gives back the grace of a stop.
    fn obey(&self, order: Order) -> Option<Duration> {
        match order {
            Order::Patch { patch, done } => {
                for (host, routes) in patch.iter() {
                    let slot = routes.clone().map(|shared| Slot { shared, live: OnceCell::new() });
                    let old = self.table.borrow_mut().set(host, slot);
                    if let Some(site) = old.and_then(|slot| slot.live.into_inner()) {
                        self.succeed(host, &site);
                    }
                }
                let _ = done.send(());
            }
            Order::Loads { targets, reply } => {
                let loads = targets.iter().map(|id| self.load(id)).collect();
                let _ = reply.send((loads, self.held.get()));
            }
            Order::Drain { targets, done } => {
                let backends = self.backends.borrow();
                for backend in targets.iter().filter_map(|id| backends.get(id.as_str())).flatten() {
                    backend.draining.set(true);
                    backend.close_idle();
                }
                let _ = done.send(());
            }
            Order::Stop { grace } => {
                self.draining.set(true);
                self.stop_accept.cancel();
                self.tasks.close();
                return Some(grace);
            }
        }
        None
    }

    /// A host that was in use got new routes, or none: waiting requests look again, unused targets are let go.
    fn succeed(&self, host: &crate::table::HostPattern, old: &Site) {
        if let Some(slot) = self.table.borrow().get(host) {
            slot.live.get_or_init(|| self.compile(&slot.shared));
        }
        for place in &old.places {
            place.replaced.notify_waiters();
            if let Live::Serve(backends) = &place.action {
                for backend in backends {
                    backend.unroute();
                }
            }
        }
    }

    /// The place that serves a host and path now.
    fn find(&self, name: &str, path: &str) -> Option<Rc<Place>> {
        let table = self.table.borrow();
        let slot = table.find(name)?;
        slot.live.get_or_init(|| self.compile(&slot.shared)).find(path).cloned()
    }

    fn compile(&self, routes: &HostRoutes) -> Site {
        let place = |route: &crate::table::Route| {
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
            Rc::new(Place::new(route.key(), route.log.as_deref().map(Arc::from), action))
        };
        Site { places: routes.routes().iter().map(place).collect() }
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

    fn load(&self, id: &str) -> Load {
        let mut load = Load { target: id.to_string(), ..Load::default() };
        for backend in self.backends.borrow().get(id).into_iter().flatten() {
            backend.add_to(&mut load);
        }
        load
    }

    /// Keeps a connection to a target for the next request.
    fn keep(&self, backend: &Rc<Backend>, stream: Upstream) {
        if backend.keep(stream, &self.limits) {
            self.pooled.borrow_mut().push(backend.clone());
            self.pooled_some.notify_one();
        }
    }

    fn forget(&self) {
        let now = Instant::now();
        self.backends.borrow_mut().retain(|_, known| {
            known.retain(|b| !b.forgettable(now, FORGET_AFTER));
            !known.is_empty()
        });
    }
}

/// Request ids: 128 bits from a keyed hash with random keys. Unguessable enough for a log, not a secret.
#[derive(Default)]
struct Ids {
    keys: (RandomState, RandomState),
    count: Cell<u64>,
}

impl Ids {
    fn next(&self) -> String {
        let n = self.count.get();
        self.count.set(n.wrapping_add(1));
        let (a, b) = (self.keys.0.hash_one(n), self.keys.1.hash_one(n));
        let (high, mid, low) = (a >> 32, a >> 16 & 0xffff, a & 0xffff);
        format!("{high:08x}-{mid:04x}-{low:04x}-{:04x}-{:012x}", b >> 48, b & 0xffff_ffff_ffff)
    }
}
