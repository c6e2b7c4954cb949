//! A worker: one thread that owns its table, its counters and its connections to targets.
//!
//! It hears of changes as messages. Reading a route and counting the request there is one step without an await, so
//! once a worker has said that it switched, no request of its goes to a target that left the table. No lock, no disk.

mod asked;
mod backend;
mod balance;
mod buf;
mod conn;
mod crowd;
mod door;
mod exchange;
mod flow;
mod hold;
mod rewrite;
mod route_state;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

use std::{future::poll_fn, net::TcpListener, rc::Rc, sync::Arc, task::Poll, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

pub(crate) use self::door::Census;
use self::{
    door::Door,
    state::Worker,
    transport::{Listen, Scheme, Transport},
};
use crate::{
    access::{FLUSH_EVERY, Sink},
    code::{Code, PageAsk},
    config::Limits,
    proto::{Event, Load},
    source::Network,
    table::Patch,
};

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

pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) sink: Sink,
    pub(crate) own_log: Option<Arc<str>>,
    /// Which worker it is, and of how many.
    pub(crate) number: (usize, usize),
    pub(crate) trusted: Arc<[Network]>,
    /// Client connections of all workers.
    pub(crate) census: Arc<Census>,
    pub(crate) notes: mpsc::Sender<String>,
}

const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// A target without route or request is forgotten after this.
const FORGET_AFTER: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The thread's main function. It ends after `Stop`, or when nobody can give orders any more.
pub(crate) fn run(setup: Setup, listeners: Vec<TcpListener>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let open_all = |worker: &Rc<Worker>| {
        for listener in listeners {
            open(worker, transport::TcpListener::new(listener, Scheme::Http)?);
        }
        Ok(())
    };
    local.block_on(&runtime, serve(setup, open_all))
}

/// Serves what comes in where `open_all` opens.
async fn serve(setup: Setup, open_all: impl FnOnce(&Rc<Worker>) -> std::io::Result<()>) -> std::io::Result<()> {
    let Setup { limits, mut orders, events, sink, own_log, number, trusted, census, notes } = setup;
    let door = Rc::new(Door::new(&limits, number, trusted, census, notes));
    let worker = Rc::new(Worker::new(limits, door, (sink, own_log), events));
    // The first order is the table: nobody is served before it.
    match orders.recv().await {
        Some(order) => drop(obey(&worker, order)),
        None => return Ok(()),
    }
    open_all(&worker)?;
    let mut housekeeping = std::pin::pin!(housekeeping(&worker));
    let mut end: Option<(Instant, Instant)> = None;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order.map(|o| obey(&worker, o)) {
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
    let targets = async {
        loop {
            sleep(FORGET_AFTER / 10).await;
            worker.forget(FORGET_AFTER);
        }
    };
    let door = async {
        loop {
            sleep(worker.limits.report_every).await;
            worker.door.report();
        }
    };
    let ((), (), (), ()) = tokio::join!(lines, worker.sweep(SWEEP_EVERY), targets, door);
}

/// Takes connections from here until it is told to stop.
fn open(worker: &Rc<Worker>, listener: impl Listen) {
    worker.tasks.spawn_local(accept(worker.clone(), listener));
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
                    drop(worker.tasks.spawn_local(session::serve(worker.clone(), stream, guest, peer, entrance)))
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

/// Does what it is told; gives back the grace of a stop.
fn obey(worker: &Worker, order: Order) -> Option<Duration> {
    match order {
        Order::Patch { patch, done } => {
            worker.patch(&patch);
            let _ = done.send(());
        }
        Order::Loads { targets, reply } => {
            let loads = targets.iter().map(|id| worker.load(id)).collect();
            let _ = reply.send((loads, worker.held.get()));
        }
        Order::Drain { targets, done } => {
            worker.drain(&targets);
            let _ = done.send(());
        }
        Order::Stop { grace } => {
            worker.draining.set(true);
            worker.stop_accept.cancel();
            worker.tasks.close();
            return Some(grace);
        }
    }
    None
}
