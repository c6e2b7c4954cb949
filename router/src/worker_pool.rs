//! The threads of the workers, and the ways to them: what is told to all is done when each has answered.

use std::{net::TcpListener, sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    access::Log,
    config::{RouterConfig, RouterError},
    proto::{Answer, Event, Load},
    table::Patch,
    worker::{self, Census, Order, Setup},
};

/// The longest wait for the workers to switch.
const SWITCH_MAX: Duration = Duration::from_secs(10);
const ORDERS: usize = 256;

/// The ways to the workers.
#[derive(Clone)]
pub(crate) struct Workers(pub(crate) Arc<[mpsc::Sender<Order>]>);

/// The worker threads.
pub(crate) struct WorkerPool {
    pub(crate) workers: Workers,
    threads: Vec<JoinHandle<()>>,
    /// Closed by each thread at its end.
    ended: Vec<oneshot::Receiver<()>>,
}

impl WorkerPool {
    pub(crate) fn start(
        config: &RouterConfig,
        listeners: &[TcpListener],
        log: &Log,
        (events, notes): (&mpsc::Sender<Event>, &mpsc::Sender<String>),
    ) -> Result<Self, RouterError> {
        let (census, trusted) = (Arc::new(Census::new(config.worker_count())), Arc::from(config.trusted.as_slice()));
        let own_log = config.own_log.as_deref().filter(|key| crate::table::is_log_key(key)).map(Arc::from);
        let (mut senders, mut threads, mut ended) = (vec![], vec![], vec![]);
        for n in 0..config.worker_count() {
            let name = format!("worker-{n}");
            let copies: Result<Vec<TcpListener>, _> = listeners.iter().map(TcpListener::try_clone).collect();
            let (sender, orders) = mpsc::channel(ORDERS);
            let (guard, end) = oneshot::channel();
            let copies = copies.map_err(RouterError::io("duplicate", "a listener"))?;
            let setup = Setup {
                limits: config.limits.clone(),
                orders,
                events: events.clone(),
                sink: log.sink(),
                own_log: own_log.clone(),
                number: (n, config.worker_count()),
                trusted: Arc::clone(&trusted),
                census: census.clone(),
                notes: notes.clone(),
            };
            let work = move || {
                let _guard: oneshot::Sender<()> = guard;
                let _ = worker::run(setup, copies);
            };
            let thread = std::thread::Builder::new().name(name.clone()).stack_size(512 << 10).spawn(work);
            threads.push(thread.map_err(|_| RouterError::Thread { name })?);
            senders.push(sender);
            ended.push(end);
        }
        Ok(Self { workers: Workers(senders.into()), threads, ended })
    }

    /// Returns when one thread has ended.
    pub(crate) async fn any_ended(&mut self) {
        std::future::poll_fn(|cx| {
            let over = |end: &mut oneshot::Receiver<()>| Future::poll(std::pin::Pin::new(end), cx).is_ready();
            if self.ended.iter_mut().any(over) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    pub(crate) async fn all_ended(&mut self) {
        while let Some(end) = self.ended.last_mut() {
            let _ = end.await;
            self.ended.pop();
        }
    }

    /// Waits so long for the threads; without orders they end at once.
    pub(crate) fn join(self, patience: Duration) {
        drop(self.workers);
        for thread in self.threads {
            let end = std::time::Instant::now() + patience;
            while !thread.is_finished() && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Workers {
    async fn each<T>(&self, order: impl Fn(oneshot::Sender<T>) -> Order) -> Result<Vec<T>, String> {
        let mut answers = vec![];
        for worker in self.0.iter() {
            let (reply, answer) = oneshot::channel();
            let sent = timeout(SWITCH_MAX, worker.send(order(reply))).await;
            if !matches!(sent, Ok(Ok(()))) {
                return Err("a worker takes no orders".into());
            }
            answers.push(answer);
        }
        let mut values = vec![];
        for answer in answers {
            match timeout(SWITCH_MAX, answer).await {
                Ok(Ok(value)) => values.push(value),
                Ok(Err(_)) | Err(_) => return Err("a worker does not answer".into()),
            }
        }
        Ok(values)
    }

    pub(crate) async fn patch(&self, patch: Patch) -> Result<(), String> {
        let patch = Arc::new(patch);
        self.each(|done| Order::Patch { patch: patch.clone(), done }).await.map(drop)
    }

    pub(crate) async fn loads(&self, targets: Vec<String>) -> Answer {
        let targets = Arc::new(targets);
        let mut loads: Vec<Load> = targets.iter().map(|id| Load { target: id.clone(), ..Load::default() }).collect();
        let mut held = 0;
        match self.each(|reply| Order::Loads { targets: targets.clone(), reply }).await {
            Ok(answers) => {
                for (part, waiting) in answers {
                    held += waiting;
                    for (sum, one) in loads.iter_mut().zip(part) {
                        sum.in_flight += one.in_flight;
                        sum.tunnels += one.tunnels;
                        sum.served += one.served;
                        sum.failed += one.failed;
                    }
                }
                Answer::Loads { loads, held }
            }
            Err(why) => Answer::Refused { why },
        }
    }

    pub(crate) async fn drain(&self, targets: Vec<String>) -> Answer {
        let targets = Arc::new(targets);
        match self.each(|done| Order::Drain { targets: targets.clone(), done }).await {
            Ok(_) => Answer::Done,
            Err(why) => Answer::Refused { why },
        }
    }

    pub(crate) async fn stop(&self, grace: Duration) {
        for worker in self.0.iter() {
            let _ = timeout(Duration::from_secs(1), worker.send(Order::Stop { grace })).await;
        }
    }
}
