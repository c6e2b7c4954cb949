//! The control process's side of the routers: keeps one running, tells it the routes, waits for its word.
//!
//! Invariant: routes are always computed from the store, never remembered; a router that was away gets them whole.
//! Absent: requests. The router serves without us.

pub mod base;
mod link;
mod migrate;
mod process;
mod sites;
mod snapshot;
mod sync;

pub use base::BaseDomain;
pub use link::RouterLink;
pub use migrate::move_from_before;
pub use process::RouterLaunch;
pub use sites::Sites;

use self::sync::{Told, difference, take_in};
use domain::event::Event;
use domain::routing::{self, AppRoute, Hosts, RouteAction, Scope};
use domain::{AppId, Hostname, backoff};
use log_format::{Source, SpoolKey};
use logs::{Logs, SpoolMeta};
use router::RouterClient;
use router::client::Events;
use router::proto::{Change, Hello, Snapshot};
use router::table::{Action, HostPattern, PathPrefix, Route, Target};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::Store;
use system::fault::{Act, Fault, Result};
use system::settings::RouterMode;
use system::tasks::Tasks;
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

const ASK_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The routes of this installation. Clones share them.
#[derive(Debug, Clone)]
pub struct Routes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    logs: Logs,
    base: BaseDomain,
    launch: RouterLaunch,
    /// Raised by everybody who changed what routes are made from.
    wanted: watch::Sender<u64>,
    /// Whose routes they changed; put there before `wanted` is raised.
    changed: std::sync::Mutex<Scope>,
    /// The `wanted` that the router is known to serve.
    served: watch::Sender<u64>,
    client: Mutex<Option<Arc<RouterClient>>>,
    /// What the router said of itself when we last connected.
    hello: std::sync::Mutex<Option<Hello>>,
    /// The generation that the router is known to serve.
    generation: AtomicU64,
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

/// What is known of the router that runs.
#[derive(Debug, Clone)]
pub struct RouterState {
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub listeners: Vec<SocketAddr>,
    /// The number of the table that it serves.
    pub generation: u64,
    /// That table holds everything that was published.
    pub current: bool,
}

impl Routes {
    /// Routes that will be told to the router of `launch`.
    pub fn new(store: Store, logs: Logs, base: BaseDomain, launch: RouterLaunch) -> Routes {
        Routes(Arc::new(Shared {
            store,
            logs,
            base,
            launch,
            wanted: watch::Sender::new(1),
            changed: std::sync::Mutex::new(Scope::none()),
            served: watch::Sender::new(0),
            client: Mutex::new(None),
            hello: std::sync::Mutex::default(),
            generation: AtomicU64::new(0),
            paused: AtomicBool::new(false),
        }))
    }

    /// The router at the start of the server. One that others start may still be missing then.
    pub async fn first(&self) -> Result<Option<Connected>> {
        match (self.connect().await, self.0.launch.mode()) {
            (Ok(found), _) => Ok(Some(found)),
            (Err(err), RouterMode::Spawn) => Err(err),
            (Err(err), RouterMode::External) => {
                tracing::error!("{}", err.chain());
                tracing::error!("going on without a router: nothing is served over HTTP until it is there");
                Ok(None)
            }
        }
    }

    /// Finds the router, or starts one.
    async fn connect(&self) -> Result<Connected> {
        let (client, hello, events) = self.0.launch.find_or_start(CONNECT_MAX).await?;
        Ok(Connected { client: Arc::new(client), hello, events })
    }

    /// Keeps the router told, and running, until the end of the server.
    pub fn keep(&self, first: Option<Connected>, tasks: &Tasks) {
        let this = self.clone();
        let span = tracing::info_span!(parent: None, "router");
        tasks.spawn("routes", move |stop| async move { this.keep_told(first, stop).await }.instrument(span));
    }

    /// Says that routes changed and waits until the router serves the change; false if it has not by `deadline`.
    pub async fn publish(&self, deadline: Duration) -> bool {
        self.publish_scope(Scope::All, deadline).await
    }

    /// The same, where only routes of one app changed: costs what that app's routes cost, whoever else is there.
    pub async fn publish_app(&self, app: &AppId, deadline: Duration) -> bool {
        self.publish_scope(Scope::app(app.clone(), Hosts::All), deadline).await
    }

    /// The same, where only these names of an app came or went.
    pub async fn publish_hosts(&self, app: &AppId, hosts: &[Hostname], deadline: Duration) -> bool {
        self.publish_scope(Scope::app(app.clone(), Hosts::These(hosts.iter().cloned().collect())), deadline).await
    }

    async fn publish_scope(&self, scope: Scope, deadline: Duration) -> bool {
        self.note_changed(scope);
        let mut mine = 0;
        self.0.wanted.send_modify(|n| {
            *n += 1;
            mine = *n;
        });
        self.wait_served(mine, deadline).await
    }

    fn note_changed(&self, scope: Scope) {
        self.0.changed.lock().unwrap_or_else(PoisonError::into_inner).merge(scope);
    }

    fn take_changed(&self) -> Scope {
        std::mem::replace(&mut *self.0.changed.lock().unwrap_or_else(PoisonError::into_inner), Scope::none())
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

    /// The router that is connected, and whether it serves what was last published; `None` without one.
    pub async fn state(&self) -> Option<RouterState> {
        self.client().await?;
        let hello = self.0.hello.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let generation = self.0.generation.load(Ordering::SeqCst);
        let current = *self.0.served.borrow() >= *self.0.wanted.borrow();
        Some(RouterState { pid: hello.pid, listeners: hello.listeners, generation, current })
    }

    async fn client(&self) -> Option<Arc<RouterClient>> {
        self.0.client.lock().await.clone()
    }

    async fn keep_told(&self, first: Option<Connected>, stop: CancellationToken) {
        let mut connected = first;
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
                    Err(err) => {
                        tracing::warn!("no router: {}", err.chain());
                        self.note_health(Some(&err.chain())).await;
                    }
                }
                continue;
            };
            failures = 0;
            self.note_health(None).await;
            *self.0.client.lock().await = Some(Arc::clone(&now.client));
            *self.0.hello.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.hello.clone());
            let ended = tokio::select! { () = self.tell(now) => "the router is gone", () = stop.cancelled() => return };
            *self.0.client.lock().await = None;
            if !self.0.paused.load(Ordering::SeqCst) {
                self.note_health(Some(ended)).await;
            }
            self.0.served.send_replace(0);
            // What was served before is served by the next router only once it has said so.
            self.0.wanted.send_modify(|n| *n += 1);
            match self.0.launch.mode() {
                RouterMode::Spawn => tracing::warn!("{ended}; starting it again"),
                RouterMode::External => tracing::warn!("{ended}; waiting for the next"),
            }
        }
    }

    /// Notes whether there is a router, and if not, why. What cannot be written now is written when it is looked at next.
    async fn note_health(&self, away: Option<&str>) {
        let (well, event) = match away {
            None => (true, Event::RouterBack),
            Some(why) => (false, Event::RouterUnreachable { why: why.to_owned() }),
        };
        let note = self.0.store.write(move |tx| tx.note_health("router", well, &event, system::clock::now()));
        if let Err(err) = note.await {
            tracing::warn!("cannot note how the router is: {}", err.chain());
        }
    }

    /// Tells one router, until its connection ends.
    async fn tell(&self, mut connected: Connected) {
        let mut wanted = self.0.wanted.subscribe();
        let mut generation = connected.hello.generation;
        let mut told: Option<Told> = None;
        loop {
            let number = *wanted.borrow_and_update();
            let taken = self.take_changed();
            let scope = if told.is_some() { taken.clone() } else { Scope::All };
            match self.routes(&scope).await {
                Ok(found) => {
                    generation += 1;
                    let changed = match &mut told {
                        Some(told) => change(&connected.client, generation, told, &scope, &found).await,
                        None => false,
                    };
                    let whole = match (changed, &told) {
                        (true, _) => None,
                        (false, None) => Some(found),
                        // Snapshots always fit; what was refused was a change against another base.
                        (false, Some(_)) => match self.routes(&Scope::All).await {
                            Ok(all) => Some(all),
                            Err(_) => return,
                        },
                    };
                    if let Some(all) = whole {
                        generation += 1;
                        if !install(&connected.client, generation, &all).await {
                            return;
                        }
                        told = Some(all);
                    }
                    self.0.generation.store(generation, Ordering::SeqCst);
                    self.0.served.send_replace(number);
                }
                Err(err) => {
                    self.note_changed(taken);
                    tracing::error!("cannot compute routes: {}", err.chain());
                }
            }
            loop {
                tokio::select! {
                    changed = wanted.changed() => if changed.is_err() { return } else { break },
                    event = connected.events.recv() => if event.is_none() { return },
                }
            }
        }
    }

    /// The routes of these apps, as the store has them now; an app that is gone has none.
    async fn routes(&self, scope: &Scope) -> Result<Told> {
        let mut all = Told::new();
        for (app, routes) in wanted(&self.0.store, &self.0.base, scope).await? {
            let meta = SpoolMeta {
                key: SpoolKey::router(&app),
                app: app.clone(),
                source: Source::Router,
                process: String::new(),
                instance: String::new(),
                release: 0,
            };
            self.0.logs.follow(meta).await?;
            let routes = routes.into_iter().filter_map(|found| match route(found) {
                Ok(route) => Some((route.key(), route)),
                // The other names go on being served.
                Err(fault) => {
                    tracing::error!(%app, "{}", fault.chain());
                    None
                }
            });
            let routes = routes.collect();
            all.insert(app, routes);
        }
        Ok(all)
    }
}

/// The routes of the apps of a scope, as the store has them now; an app that is gone has none.
pub async fn wanted(store: &Store, base: &BaseDomain, scope: &Scope) -> Result<BTreeMap<AppId, Vec<AppRoute>>> {
    let scope = scope.clone();
    let states = store.read(move |tx| snapshot::of(tx, &scope)).await?;
    let base = base.get();
    Ok(states.iter().map(|app| (app.id.clone(), routing::app_routes(app, &base))).collect())
}

/// Tells a router everything; true once it serves it.
async fn install(client: &RouterClient, generation: u64, all: &Told) -> bool {
    let routes = all.values().flat_map(BTreeMap::values).cloned().collect();
    served(client.install(Snapshot { generation, routes }, ASK_MAX).await, generation)
}

/// Tells a router what differs from what it was told, within the scope; true once it serves it.
async fn change(client: &RouterClient, generation: u64, told: &mut Told, scope: &Scope, found: &Told) -> bool {
    let (upsert, remove) = difference(told, scope, found);
    let done = client.change(Change { generation, base: generation - 1, upsert, remove }, ASK_MAX).await;
    take_in(told, scope, found);
    served(done, generation)
}

fn served<T>(done: std::result::Result<T, router::client::ClientError>, generation: u64) -> bool {
    match done {
        Ok(_) => true,
        Err(err) => {
            tracing::warn!("the router did not take generation {generation}: {err}");
            false
        }
    }
}

/// A name that the router does not take would answer with nothing, and nobody would know why: a fault.
fn route(route: AppRoute) -> Result<Route, Fault> {
    let action = match route.action {
        RouteAction::Serve(ready) => Action::Serve {
            targets: ready
                .into_iter()
                .map(|i| Target { id: i.id.to_string(), addr: SocketAddr::V4(i.address), name: i.label })
                .collect(),
        },
        RouteAction::Hold { max_wait } => Action::Hold { max_wait: Duration::from_millis(max_wait) },
        RouteAction::Page { status, code, desc, retry_after, html } => Action::Page {
            status,
            code: code.to_owned(),
            desc: desc.to_owned(),
            retry_after,
            html: html.as_deref().map(str::to_owned),
        },
    };
    let act = || format!("the router does not take the host name {} of {}", route.host, route.app);
    let host = HostPattern::try_from(route.host.clone()).act(act)?;
    Ok(Route { host, path: PathPrefix::root(), log: Some(SpoolKey::router(&route.app).as_str().to_owned()), action })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the settings, the store and the router each call a host name.
    #[test]
    fn every_name_that_is_taken_in_has_a_route() {
        let letters: Vec<char> = "ab09-._*xnü ßA".chars().collect();
        let (mut seed, mut taken) = (7_u64, 0);
        let mut next = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        let app: domain::AppName = "a".repeat(30).parse().unwrap();
        let mut check = |name: &str| {
            if let Ok(host) = name.parse::<Hostname>() {
                taken += 1;
                assert!(host.as_str().parse::<HostPattern>().is_ok(), "{name}");
            }
            if let Ok(base) = domain::hostname::configured(name) {
                taken += 1;
                assert!(format!("{app}.{base}").parse::<HostPattern>().is_ok(), "{name}");
            }
        };
        for _ in 0..50_000 {
            let text: String = (0..next(24)).map(|_| letters[next(letters.len())]).collect();
            check(&text);
            check(&format!("{text}.example"));
        }
        for length in 180..260 {
            let label = format!("{}.", "a".repeat(59));
            let long: String = label.repeat(5).chars().take(length).collect();
            check(&long);
            check(&format!("*.{long}"));
        }
        assert!(taken > 5_000, "only {taken} were names");
    }
}
