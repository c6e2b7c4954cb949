//! The router's table and who may change it: one task that takes snapshots and changes in turn.
//!
//! A change goes to the workers at once and to the disk at the same time; it is acknowledged when both have it. A table
//! of another boot is served with its `Serve` routes held, until a snapshot confirms it. The journal has a thread of its
//! own, so a hung disk delays acknowledgements and nothing else.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    config::RouterError,
    journal::{Delta, Journal, Stored},
    proto::{Answer, Change, Load, Snapshot},
    table::{HostPattern, HostRoutes, Patch, Route, Table},
    worker::Order,
};

/// The longest wait for the workers to switch, and for the disk.
const SWITCH_MAX: Duration = Duration::from_secs(10);
const SYNC_MAX: Duration = Duration::from_secs(30);

/// The ways to the workers.
#[derive(Clone)]
pub(crate) struct Workers(pub(crate) Arc<[mpsc::Sender<Order>]>);

/// The table with everything that changing it takes.
pub(crate) struct Control {
    table: Table<Arc<HostRoutes>>,
    pub(crate) generation: u64,
    /// The boot that the table was confirmed in.
    table_boot: String,
    pub(crate) boot_id: String,
    boot_hold: Duration,
    workers: Workers,
    disk: Disk,
    pub(crate) active: bool,
    /// The disk does not have this table: the next record must be a whole one.
    behind: bool,
}

/// The thread that owns the journal.
pub(crate) struct Disk(SyncSender<(Job, oneshot::Sender<Result<bool, String>>)>);

enum Job {
    Install(Stored),
    Append(Delta),
    Compact(Stored),
}

impl Disk {
    /// Reads the table and starts the thread; it ends with this value.
    pub(crate) fn open(dir: PathBuf) -> Result<(Self, Stored), RouterError> {
        let (mut journal, stored) = Journal::open(&dir)?;
        let (jobs, inbox) = sync_channel::<(Job, oneshot::Sender<Result<bool, String>>)>(4);
        let work = move || {
            while let Ok((job, reply)) = inbox.recv() {
                let result = match job {
                    Job::Install(table) => journal.install(&table),
                    Job::Append(delta) => journal.append(&delta),
                    Job::Compact(table) => journal.compact(&table),
                };
                let _ = reply.send(result.map(|()| journal.wants_compaction()).map_err(|err| chain(&err)));
            }
        };
        let thread = std::thread::Builder::new().name("journal".into()).stack_size(512 << 10).spawn(work);
        thread.map_err(|_| RouterError::Thread { name: "journal".into() })?;
        Ok((Self(jobs), stored))
    }

    /// Hands a job over at once; the future is its result.
    fn start(&self, job: Job) -> impl Future<Output = Result<bool, String>> + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.try_send((job, reply)).is_ok();
        async move {
            match timeout(SYNC_MAX, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) if sent => Err("the journal thread ended".into()),
                Ok(Err(_)) | Err(_) => Err("the disk does not answer".into()),
            }
        }
    }
}

fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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

/// What a control is made of.
pub(crate) struct Parts {
    pub(crate) stored: Stored,
    pub(crate) boot_id: String,
    pub(crate) boot_hold: Duration,
    pub(crate) workers: Workers,
    pub(crate) disk: Disk,
    pub(crate) active: bool,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { stored, boot_id, boot_hold, workers, disk, active } = parts;
        let mut table = Table::default();
        for (host, routes) in group(stored.routes) {
            table.set(&host, Some(Arc::new(routes)));
        }
        let (generation, table_boot) = (stored.generation, stored.boot_id);
        // An empty journal has no snapshot to append to.
        let behind = table_boot.is_empty();
        Self { table, generation, table_boot, boot_id, boot_hold, workers, disk, active, behind }
    }

    /// The table is of another boot, so its addresses may be somebody else's.
    pub(crate) fn held(&self) -> bool {
        self.table_boot != self.boot_id
    }

    /// Gives the workers their first table.
    pub(crate) async fn begin(&self) -> Result<(), String> {
        let view = |routes: &Arc<HostRoutes>| match self.held() {
            true => Arc::new(routes.held(self.boot_hold)),
            false => routes.clone(),
        };
        self.workers.patch(self.table.iter().map(|(host, routes)| (host, Some(view(routes)))).collect()).await
    }

    /// Takes a whole table. Only what differs reaches the workers.
    pub(crate) async fn install(&mut self, snapshot: Snapshot) -> Answer {
        if let Err(why) = check(&snapshot.routes) {
            return Answer::Refused { why };
        }
        let all = self.held();
        let new = group(snapshot.routes);
        let gone = |host: &HostPattern| !new.contains_key(host);
        let mut patch: Patch = self.table.iter().filter(|(host, _)| gone(host)).map(|(host, _)| (host, None)).collect();
        for (host, routes) in new {
            if all || self.table.get(&host).is_none_or(|old| **old != routes) {
                patch.push((host, Some(Arc::new(routes))));
            }
        }
        self.table_boot = self.boot_id.clone();
        self.behind = true;
        self.switch(patch, snapshot.generation, None).await
    }

    /// Takes a change of the table that the sender believes to be served.
    pub(crate) async fn change(&mut self, change: Change) -> Answer {
        let refused = |why: String| Answer::Refused { why };
        if self.held() {
            return refused("the table is of an earlier boot: send a snapshot".into());
        }
        if change.base != self.generation {
            return refused(format!("the table is {}, not {}: send a snapshot", self.generation, change.base));
        }
        if change.generation <= change.base {
            return refused(format!("{} does not come after {}", change.generation, change.base));
        }
        if let Err(why) = check(&change.upsert) {
            return refused(why);
        }
        let mut touched: HashMap<HostPattern, HostRoutes> = HashMap::new();
        let current = |host: &HostPattern| self.table.get(host).map(|r| HostRoutes::clone(r)).unwrap_or_default();
        for key in &change.remove {
            touched.entry(key.host.clone()).or_insert_with(|| current(&key.host)).remove(&key.path);
        }
        for route in &change.upsert {
            touched.entry(route.host.clone()).or_insert_with(|| current(&route.host)).upsert(route.clone());
        }
        let patch = touched.into_iter().map(|(h, r)| (h, (!r.is_empty()).then(|| Arc::new(r)))).collect();
        let Change { generation, base, upsert, remove } = change;
        self.switch(patch, generation, Some(Delta { generation, base, upsert, remove })).await
    }

    /// From now on this router is, or is not, the one that writes to disk.
    pub(crate) async fn role(&mut self, active: bool) -> Answer {
        self.behind |= !active;
        self.active = active;
        if active && self.behind && !self.held() {
            let job = Job::Install(self.stored());
            return match self.disk.start(job).await {
                Ok(_) => {
                    self.behind = false;
                    Answer::Done
                }
                Err(why) => Answer::Refused { why },
            };
        }
        Answer::Done
    }

    async fn switch(&mut self, patch: Patch, generation: u64, delta: Option<Delta>) -> Answer {
        for (host, routes) in &patch {
            self.table.set(host, routes.clone());
        }
        self.generation = generation;
        let job = match (self.active, delta) {
            (false, _) => None,
            (true, Some(delta)) if !self.behind => Some(Job::Append(delta)),
            (true, _) => Some(Job::Install(self.stored())),
        };
        self.behind = true;
        let synced = job.map(|job| self.disk.start(job));
        let switched = self.workers.patch(patch).await;
        let synced = match synced {
            Some(synced) => synced.await,
            None => Ok(false),
        };
        match (switched, synced) {
            (Ok(()), Ok(compact)) => {
                self.behind = !self.active;
                if compact {
                    // Best effort: without it the journal only stays long.
                    let _ = self.disk.start(Job::Compact(self.stored())).await;
                }
                Answer::Serving { generation }
            }
            (Err(why), _) => Answer::Refused { why },
            (_, Err(why)) => Answer::Refused { why: format!("served, but not on disk: {why}") },
        }
    }

    fn stored(&self) -> Stored {
        let routes = self.table.iter().flat_map(|(_, routes)| routes.routes().to_vec()).collect();
        Stored { boot_id: self.table_boot.clone(), generation: self.generation, routes }
    }
}

fn check(routes: &[Route]) -> Result<(), String> {
    routes.iter().try_for_each(Route::check).map_err(|bad| bad.to_string())
}

fn group(routes: Vec<Route>) -> HashMap<HostPattern, HostRoutes> {
    let mut hosts: HashMap<HostPattern, HostRoutes> = HashMap::new();
    for route in routes {
        hosts.entry(route.host.clone()).or_default().upsert(route);
    }
    hosts
}
