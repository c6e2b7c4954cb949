//! The control process's side of the routers: keeps one running, tells it the routes, waits for its word.
//!
//! Invariant: routes are always computed from the store, never remembered; a router that was away gets them whole.
//! Absent: requests. The router serves without us.

mod process;

pub use process::RouterLaunch;

use crate::fault::Result;
use crate::logs::{Logs, SpoolMeta};
use crate::store::Store;
use crate::tasks::Tasks;
use domain::formation::{self, WEB};
use domain::log::{Source, SpoolKey};
use domain::reconcile::Desire;
use domain::routing::{self, AppRoute, AppState, ReadyInstance, RouteAction};
use domain::{AppId, backoff};
use router::RouterClient;
use router::client::Events;
use router::proto::{Change, Hello, Snapshot};
use router::table::{Action, HostPattern, PathPrefix, Route, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const ASK_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The routes of this installation. Clones share them.
#[derive(Debug, Clone)]
pub struct Routes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    logs: Logs,
    base_domain: String,
    launch: RouterLaunch,
    /// Raised by everybody who changed what routes are made from.
    wanted: watch::Sender<u64>,
    /// The `wanted` that the router is known to serve.
    served: watch::Sender<u64>,
    client: Mutex<Option<Arc<RouterClient>>>,
    /// Set while the installation is being shut down: a router that ends stays so.
    paused: AtomicBool,
}

/// A connection to the router, just made.
pub struct Connected {
    client: Arc<RouterClient>,
    hello: Hello,
    events: Events,
}

impl Connected {
    /// Where the router listens.
    pub fn http(&self) -> Option<SocketAddr> {
        self.hello.listeners.first().copied()
    }
}

impl Routes {
    /// Routes that will be told to the router of `launch`.
    pub fn new(store: Store, logs: Logs, base_domain: String, launch: RouterLaunch) -> Routes {
        Routes(Arc::new(Shared {
            store,
            logs,
            base_domain,
            launch,
            wanted: watch::Sender::new(1),
            served: watch::Sender::new(0),
            client: Mutex::new(None),
            paused: AtomicBool::new(false),
        }))
    }

    /// Finds the router, or starts one.
    pub async fn connect(&self) -> Result<Connected> {
        let (client, hello, events) = self.0.launch.find_or_start(CONNECT_MAX).await?;
        Ok(Connected { client: Arc::new(client), hello, events })
    }

    /// Keeps the router told, and running, until the end of the server.
    pub fn keep(&self, first: Connected, tasks: &Tasks) {
        let this = self.clone();
        tasks.spawn("routes", move |stop| async move { this.keep_told(first, stop).await });
    }

    /// Says that routes changed and waits until the router serves the change; false if it has not by `deadline`.
    pub async fn publish(&self, deadline: Duration) -> bool {
        let mut mine = 0;
        self.0.wanted.send_modify(|n| {
            *n += 1;
            mine = *n;
        });
        self.wait_served(mine, deadline).await
    }

    /// Waits until everything said so far is served.
    pub async fn settled(&self, deadline: Duration) -> bool {
        let now = *self.0.wanted.borrow();
        self.wait_served(now, deadline).await
    }

    async fn wait_served(&self, number: u64, deadline: Duration) -> bool {
        let mut served = self.0.served.subscribe();
        matches!(timeout(deadline, served.wait_for(|n| *n >= number)).await, Ok(Ok(_)))
    }

    /// Requests in flight, served and failed of these targets, summed; `None` without a router.
    pub async fn loads(&self, targets: &[String]) -> Option<(u64, u64, u64)> {
        let client = self.client().await?;
        let (loads, _) = client.loads(targets.to_vec(), ASK_MAX).await.ok()?;
        Some(loads.iter().fold((0, 0, 0), |(i, s, f), l| (i + l.in_flight, s + l.served, f + l.failed)))
    }

    /// Tells clients of these targets to come back on new connections and waits until none is being answered; false if
    /// some still are at `deadline`, or there is no router to ask.
    pub async fn wait_idle(&self, targets: &[String], deadline: Duration) -> bool {
        let Some(client) = self.client().await else { return false };
        let _ = client.drain(targets.to_vec(), ASK_MAX).await;
        match client.wait_idle(targets.to_vec(), deadline).await {
            Ok(loads) => loads.iter().all(|l| l.in_flight == 0),
            Err(_) => false,
        }
    }

    /// From here on a router that ends is not started again.
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::SeqCst);
    }

    /// Ends the router process.
    pub async fn shutdown_router(&self, grace: Duration) {
        if let Some(client) = self.client().await {
            let _ = client.shutdown(grace, ASK_MAX).await;
        }
    }

    /// Whether a router is connected.
    pub async fn is_connected(&self) -> bool {
        self.client().await.is_some()
    }

    async fn client(&self) -> Option<Arc<RouterClient>> {
        self.0.client.lock().await.clone()
    }

    async fn keep_told(&self, first: Connected, stop: CancellationToken) {
        let mut connected = Some(first);
        let mut failures = 0;
        while !stop.is_cancelled() {
            let Some(now) = connected.take() else {
                if self.0.paused.load(Ordering::SeqCst) {
                    return;
                }
                failures += 1;
                let pause = backoff::delay_millis(failures, 50, 5_000, rand::random());
                tokio::select! { () = sleep(Duration::from_millis(pause)) => {}, () = stop.cancelled() => return }
                match self.connect().await {
                    Ok(found) => connected = Some(found),
                    Err(err) => tracing::warn!("no router: {}", err.lines().join("; ")),
                }
                continue;
            };
            failures = 0;
            *self.0.client.lock().await = Some(Arc::clone(&now.client));
            let ended = tokio::select! { () = self.tell(now) => "the router is gone", () = stop.cancelled() => return };
            *self.0.client.lock().await = None;
            self.0.served.send_replace(0);
            // What was served before is served by the next router only once it has said so.
            self.0.wanted.send_modify(|n| *n += 1);
            tracing::warn!("{ended}; starting it again");
        }
    }

    /// Tells one router, until its connection ends.
    async fn tell(&self, mut connected: Connected) {
        let mut wanted = self.0.wanted.subscribe();
        let mut generation = connected.hello.generation;
        let mut told: Option<Vec<Route>> = None;
        loop {
            let number = *wanted.borrow_and_update();
            match self.routes().await {
                Ok(routes) => {
                    generation += 1;
                    if !send(&connected.client, generation, told.as_deref(), &routes).await {
                        // Snapshots always fit; what was refused was a change against another base.
                        generation += 1;
                        if !send(&connected.client, generation, None, &routes).await {
                            return;
                        }
                    }
                    told = Some(routes);
                    self.0.served.send_replace(number);
                }
                Err(err) => tracing::error!("cannot compute routes: {}", err.lines().join("; ")),
            }
            loop {
                tokio::select! {
                    changed = wanted.changed() => if changed.is_err() { return } else { break },
                    event = connected.events.recv() => if event.is_none() { return },
                }
            }
        }
    }

    async fn routes(&self) -> Result<Vec<Route>> {
        let states = self.0.store.read(app_states).await?;
        for app in &states {
            let meta = SpoolMeta {
                key: SpoolKey::router(&app.id),
                app: app.id.clone(),
                source: Source::Router,
                process: String::new(),
                instance: String::new(),
                release: 0,
            };
            self.0.logs.follow(meta).await?;
        }
        Ok(routing::routes(&states, &self.0.base_domain).into_iter().filter_map(route).collect())
    }
}

/// Gives the router the difference to what it was told, or everything; true once it serves it.
async fn send(client: &RouterClient, generation: u64, told: Option<&[Route]>, routes: &[Route]) -> bool {
    let done = match told {
        None => client.install(Snapshot { generation, routes: routes.to_vec() }, ASK_MAX).await,
        Some(told) => {
            let keys: BTreeSet<_> = routes.iter().map(Route::key).collect();
            let old: BTreeMap<_, &Route> = told.iter().map(|r| (r.key(), r)).collect();
            let upsert = routes.iter().filter(|r| old.get(&r.key()) != Some(r)).cloned().collect();
            let remove = old.into_keys().filter(|k| !keys.contains(k)).collect();
            client.change(Change { generation, base: generation - 1, upsert, remove }, ASK_MAX).await
        }
    };
    match done {
        Ok(_) => true,
        Err(err) => {
            tracing::warn!("the router did not take generation {generation}: {err}");
            false
        }
    }
}

/// Every app as routes need it, on one snapshot of the store.
fn app_states(tx: &crate::store::Tx<'_>) -> Result<Vec<AppState>> {
    let mut instances: BTreeMap<AppId, Vec<ReadyInstance>> = BTreeMap::new();
    let apps = tx.apps()?;
    let sets: BTreeMap<AppId, Option<i64>> = apps.iter().map(|a| (a.id.clone(), a.current_set)).collect();
    let mut coming: BTreeSet<AppId> = BTreeSet::new();
    let mut ports: BTreeMap<(AppId, domain::ReleaseNumber), u16> = BTreeMap::new();
    for row in tx.instances(None)? {
        let current = sets.get(&row.app).copied().flatten() == Some(row.set);
        if !current || row.desire != Desire::Up || row.process.as_str() != WEB {
            continue;
        }
        // After a first crash it is started again at once; after more it waits, and the page says so.
        if !row.ready && row.crashes <= 1 {
            coming.insert(row.app.clone());
        }
        if row.ready {
            let release = (row.app.clone(), row.release);
            let port = match ports.get(&release) {
                Some(port) => *port,
                None => {
                    let build = tx.build(tx.the_release(&row.app, row.release)?.build)?;
                    let port = build.as_ref().map_or(crate::deploy::spec::PORT, crate::deploy::spec::port);
                    ports.insert(release, port);
                    port
                }
            };
            instances.entry(row.app.clone()).or_default().push(ReadyInstance {
                id: row.id,
                label: row.label(),
                address: SocketAddrV4::new(row.address, port),
            });
        }
    }
    let web: domain::ProcessType = WEB.parse()?;
    let mut states = Vec::new();
    for app in apps {
        let wants_web = match app.current_release {
            Some(number) => {
                let build = tx.build(tx.the_release(&app.id, number)?.build)?;
                build.is_some_and(|b| b.processes.contains_key(&web))
                    && formation::quantity(&tx.formation(&app.id)?, &web) > 0
            }
            None => false,
        };
        states.push(AppState {
            ready: instances.remove(&app.id).unwrap_or_default(),
            coming: coming.contains(&app.id),
            id: app.id,
            name: app.name,
            released: app.current_release.is_some(),
            stopped: app.stopped,
            wants_web,
        });
    }
    Ok(states)
}

fn route(route: AppRoute) -> Option<Route> {
    let action = match route.action {
        RouteAction::Serve(ready) => Action::Serve {
            targets: ready
                .into_iter()
                .map(|i| Target { id: i.id.to_string(), addr: SocketAddr::V4(i.address), name: i.label })
                .collect(),
        },
        RouteAction::Hold { max_wait } => Action::Hold { max_wait: Duration::from_millis(max_wait) },
        RouteAction::Page { status, code, desc } => {
            Action::Page { status, code: code.to_owned(), desc: desc.to_owned() }
        }
    };
    let host = HostPattern::try_from(route.host).ok()?;
    Some(Route { host, path: PathPrefix::root(), log: Some(SpoolKey::router(&route.app).as_str().to_owned()), action })
}
