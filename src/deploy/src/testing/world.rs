//! What outlives the process: files, the engine, the router, repositories; and the process itself, as often as it is started.

use super::fuse::Fuse;
use super::wire::Wire;
use crate::disks::Disks;
use crate::held::Held;
use crate::log_lines::LogLines;
use crate::probe::Serves;
use crate::reconcile::Reconciler;
use crate::{Deploys, Parts, Platform};
use domain::deploy::{Effect, Kind, is_over};
use domain::ids::DeployId;
use domain::instance::instance_name;
use domain::procfile::ProcessTable;
use domain::reconcile::Desire;
use domain::routing::{AppRoute, RouteAction, Scope};
use domain::{AppId, Commit, InstallId, Refusal};
use engine::{Engine, Fake, Starts, Status};
use futures_util::FutureExt;
use jobs::Job;
use logs::{Logs, LogsConfig};
use net::Net;
use routes::{BaseDomain, Sites};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use store::{Ask, InstanceRow, Store, path_in};
use system::layout::Layout;
use system::settings::{Raw, Settings};
use system::tasks::Tasks;
use system::trash::Trash;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How long everything may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(10);
/// Addresses of tests.
const POOL: &str = "10.240.0.0/16";

/// Repositories.
#[derive(Debug, Default)]
pub struct Git {
    /// Where branches are.
    pub tips: BTreeMap<(AppId, String), Commit>,
    /// Commits that deploys hold.
    pub pins: BTreeMap<(AppId, DeployId), Commit>,
}

/// What is outside of the process, and sees what no visitor should.
#[derive(Debug)]
pub struct Outside {
    /// Instances and images.
    pub engine: Fake,
    install: InstallId,
    git: Mutex<Git>,
    routes: Mutex<BTreeMap<AppId, Vec<AppRoute>>>,
    wrong: Mutex<Vec<String>>,
    script: Mutex<Script>,
}

/// How apps and builds behave.
#[derive(Debug, Clone)]
struct Script {
    processes: ProcessTable,
    build_fails: Option<Refusal>,
    /// Of which release no instance ever serves.
    deaf: Option<String>,
    /// Whether an app that served must go on serving.
    must_serve: bool,
    hooks: BTreeSet<Effect>,
    /// How long the router takes to be told.
    router_takes: Duration,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outside {
    fn new() -> Outside {
        let processes = [("web", "serve"), ("worker", "work"), ("release", "migrate")];
        let processes = processes.map(|(name, command)| (name.parse().unwrap(), command.to_owned())).into();
        Outside {
            engine: Fake::new(),
            install: "test".parse().unwrap(),
            git: Mutex::default(),
            routes: Mutex::default(),
            wrong: Mutex::default(),
            script: Mutex::new(Script {
                processes,
                build_fails: None,
                deaf: None,
                must_serve: true,
                hooks: BTreeSet::new(),
                router_takes: Duration::ZERO,
            }),
        }
    }

    fn copied(&self) -> Outside {
        let copy = |git: &Git| Git { tips: git.tips.clone(), pins: git.pins.clone() };
        Outside {
            engine: self.engine.copied(),
            install: self.install.clone(),
            git: Mutex::new(copy(&self.git())),
            routes: Mutex::new(lock(&self.routes).clone()),
            wrong: Mutex::default(),
            script: Mutex::new(lock(&self.script).clone()),
        }
    }

    /// Repositories.
    pub fn git(&self) -> MutexGuard<'_, Git> {
        lock(&self.git)
    }

    /// What was seen that must not be.
    pub fn wrong(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    fn note(&self, wrong: String) {
        lock(&self.wrong).push(wrong);
    }

    pub(super) fn build_fails(&self) -> Option<Refusal> {
        lock(&self.script).build_fails.clone()
    }

    /// The process types of what is built from now on; each one's command is its name.
    pub fn set_processes(&self, names: &[&str]) {
        let named = |name: &&str| Some((name.parse().ok()?, (*name).to_owned()));
        lock(&self.script).processes = names.iter().filter_map(named).collect();
    }

    pub(super) fn processes(&self) -> ProcessTable {
        lock(&self.script).processes.clone()
    }

    pub(super) fn never_serves(&self, name: &str) -> Option<Serves> {
        let deaf = lock(&self.script).deaf.clone()?;
        let spec = self.engine.spec(name)?;
        (spec.env.get("HOIST_RELEASE") == Some(&deaf)).then_some(Serves::NotOpened)
    }

    /// Every build from now on fails with this; or none.
    pub fn set_build_fails(&self, why: Option<Refusal>) {
        lock(&self.script).build_fails = why;
    }

    /// The operator has a say at every step where one can have it.
    pub fn set_hooks(&self) {
        lock(&self.script).hooks = Effect::ALL.into_iter().filter(|effect| effect.is_hook()).collect();
    }

    pub(super) fn hooks(&self) -> BTreeSet<Effect> {
        lock(&self.script).hooks.clone()
    }

    /// The router takes so long from now on to be told.
    pub fn set_router_takes(&self, time: Duration) {
        lock(&self.script).router_takes = time;
    }

    pub(super) fn router_takes(&self) -> Duration {
        lock(&self.script).router_takes
    }

    /// No instance of this release serves.
    pub fn set_deaf(&self, release: Option<&str>) {
        lock(&self.script).deaf = release.map(str::to_owned);
    }

    /// Whether it is wrong that an app which served does not any more.
    pub fn set_must_serve(&self, must: bool) {
        lock(&self.script).must_serve = must;
    }

    /// The engine loses an instance that serves, without a word.
    pub fn forget_one(&self) {
        self.set_must_serve(false);
        let target = self.targets().into_iter().next();
        if let Some(name) = target {
            self.engine.forget(&name);
        }
    }

    fn is_running(&self, name: &str) -> bool {
        let seen = self.engine.inspect(name).now_or_never();
        matches!(seen, Some(Ok(Some(seen))) if matches!(seen.status, Status::Running { .. }))
    }

    /// The instances that requests go to.
    pub fn targets(&self) -> Vec<String> {
        let routes = lock(&self.routes);
        let mut names: Vec<String> = Vec::new();
        for route in routes.values().flatten() {
            if let RouteAction::Serve(ready) = &route.action {
                names.extend(ready.iter().map(|one| instance_name(&self.install, one.id)));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// What requests get, by host.
    pub fn routes(&self) -> BTreeMap<String, RouteAction> {
        lock(&self.routes).values().flatten().map(|route| (route.host.clone(), route.action.clone())).collect()
    }

    pub(super) fn route(&self, scope: Scope, routes: BTreeMap<AppId, Vec<AppRoute>>) {
        let must = lock(&self.script).must_serve;
        let before = self.targets();
        {
            let mut table = lock(&self.routes);
            match scope {
                Scope::All => *table = routes,
                Scope::Some(apps) => {
                    for app in apps.keys() {
                        table.remove(app);
                    }
                    table.extend(routes);
                }
            }
        }
        let now = self.targets();
        for name in now.iter().filter(|name| !self.is_running(name)) {
            if must {
                self.note(format!("requests go to {name}, which does not run"));
            }
        }
        if must && !before.is_empty() && now.is_empty() {
            self.note(format!("nobody serves after {}", before.join(" ")));
        }
    }

    pub(super) fn ends(&self, name: &str, how: &str) {
        if lock(&self.script).must_serve && self.targets().iter().any(|target| target == name) && self.is_running(name)
        {
            self.note(format!("{name} was {how} while requests went to it"));
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct World {
    dir: tempfile::TempDir,
    /// Claimed once: which addresses it has never changes.
    net: Net,
    /// No process has had the database yet: it needs no look at whether it is sound.
    fresh: AtomicBool,
    /// What is outside of the process.
    pub outside: Arc<Outside>,
}

/// One run of the process.
pub struct Life {
    /// What it works with.
    pub platform: Platform,
    /// Its deploys.
    pub deploys: Deploys,
    /// Its reconciler.
    pub reconciler: Reconciler,
    /// Its fuse.
    pub fuse: Arc<Fuse>,
    /// What is outside of it.
    pub outside: Arc<Outside>,
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// A machine without anything on it.
    pub fn new() -> World {
        let dir = in_memory();
        let host = dir.path().join("host");
        std::fs::create_dir(&host).unwrap();
        let net = Net::claim_for_tests(&host, dir.path(), POOL.parse().unwrap());
        let world = World { dir, net, fresh: AtomicBool::new(true), outside: Arc::new(Outside::new()) };
        world.layout().create().unwrap();
        let (database, key) = template();
        std::fs::write(path_in(world.data()), database).unwrap();
        std::fs::write(world.data().join("secret.key"), key).unwrap();
        world
    }

    /// A machine with what this one has now, as after a power cut; the process must not be at work.
    pub fn copied(&self) -> World {
        let dir = in_memory();
        copy(self.dir.path(), dir.path());
        World { dir, net: self.net.clone(), fresh: AtomicBool::new(true), outside: Arc::new(self.outside.copied()) }
    }

    fn data(&self) -> &Path {
        self.dir.path()
    }

    fn layout(&self) -> Layout {
        Layout::new(self.data())
    }

    fn settings(&self) -> Settings {
        let flags = [
            ("data", self.data().display().to_string()),
            ("ssh", "127.0.0.1:0".to_owned()),
            ("http", "127.0.0.1:80".to_owned()),
            ("base-domain", "example.com".to_owned()),
            ("ssh-host", "example.com".to_owned()),
            ("stacks", self.data().display().to_string()),
            ("free-min", "0".to_owned()),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value)).into();
        let (raw, mistakes) = Raw::merge(&flags, |_| None, None);
        Settings::resolve(&raw, mistakes, 2).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    }

    /// Starts the process: what was open goes on.
    pub async fn start(&self, fuse: Arc<Fuse>) -> Life {
        let (settings, layout, tasks) = (self.settings(), self.layout(), Tasks::new());
        let open = if self.fresh.swap(false, Ordering::Relaxed) { Store::open_sound } else { Store::open };
        let store = open(&path_in(self.data())).unwrap();
        let judge = Arc::clone(&fuse);
        store.set_judge(Arc::new(move |moment, writes| judge.judge(moment, writes)));
        let logs = Logs::open(LogsConfig::at(layout.logs()), &tasks).await.unwrap();
        let base = BaseDomain::load(&store, "example.com").await.unwrap();
        let wire = Arc::new(Wire {
            outside: Arc::clone(&self.outside),
            fuse: Arc::clone(&fuse),
            store: store.clone(),
            base: base.clone(),
            listed: Mutex::default(),
        });
        let sites = Sites {
            base,
            ssh_host: "example.com".to_owned(),
            ssh_share: None,
            http_port: 80,
            tls_proxy: false,
            ssh_port: 22,
        };
        let platform = Platform(Arc::new(Parts {
            trash: Trash::open(layout.trash(), &tasks).unwrap(),
            init: layout.bin().join("hoist-init"),
            install: self.outside.install.clone(),
            engine: Arc::<Wire>::clone(&wire),
            probe: Arc::<Wire>::clone(&wire),
            repos: Arc::<Wire>::clone(&wire),
            builder: Arc::<Wire>::clone(&wire),
            routes: Arc::<Wire>::clone(&wire),
            hooks: Arc::<Wire>::clone(&wire),
            clock: wire,
            starts: Starts::default(),
            held: Held::default(),
            log_lines: LogLines::new(store.clone(), logs.clone()),
            disks: Disks::default(),
            wake: Arc::new(Notify::new()),
            paused: AtomicBool::new(false),
            turn: tokio::sync::Mutex::default(),
            sites,
            settings,
            layout,
            store,
            net: self.net.clone(),
            logs,
            tasks,
        }));
        let deploys = Deploys::new(platform.clone(), format!("life-{:08x}", rand::random::<u32>()));
        if let Err(err) = deploys.resume().await {
            assert!(fuse.dead().is_cancelled(), "{err}");
        }
        let reconciler = Reconciler::new(platform.clone(), deploys.clone());
        reconciler.start();
        Life { platform, deploys, reconciler, fuse, outside: Arc::clone(&self.outside) }
    }
}

/// A folder in memory where there is such a place: what is tested is the order of what is written.
fn in_memory() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (at, kind) = (to.join(entry.file_name()), entry.file_type().unwrap());
        if kind.is_dir() {
            std::fs::create_dir(&at).unwrap();
            copy(&entry.path(), &at);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), at).unwrap();
        }
    }
}

/// A database as a first start leaves it, and its key: made once.
fn template() -> (Vec<u8>, Vec<u8>) {
    static MADE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let make = || {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(&path_in(dir.path())).unwrap());
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        (read("hoist.db"), read("secret.key"))
    };
    MADE.get_or_init(make).clone()
}

impl Life {
    /// Makes an app that runs one `web` and one `worker`.
    pub async fn app(&self, name: &str) -> AppId {
        let id = AppId::from_random(rand::random());
        let (app, name) = (id.clone(), name.parse().unwrap());
        let make = move |tx: &store::Tx<'_>| {
            tx.add_app(&app, &name, None, system::clock::now())?;
            tx.set_formation(&app, &[("worker".parse()?, 1)].into(), system::clock::now())
        };
        self.platform.store.write(make).await.unwrap();
        id
    }

    /// Pushes a commit to `main`, as the hook does.
    pub async fn push(&self, app: &AppId, commit: &Commit) -> system::fault::Result<Job> {
        let old = self.outside.git().tips.get(&(app.clone(), "refs/heads/main".to_owned())).cloned();
        let old = old.or_else(|| self.outside.git().tips.get(&(app.clone(), "main".to_owned())).cloned());
        let ask = Ask { commit: Some(commit.clone()), branch: Some("main".to_owned()), old, ..Ask::default() };
        self.deploys.submit(app, Kind::Push, ask, "ana").await
    }

    /// Waits until nothing is under way and what runs is what should; false if the process died before.
    pub async fn rests(&self) -> bool {
        let until = Instant::now() + REST_MAX;
        let mut why = String::new();
        while Instant::now() < until {
            if self.fuse.dead().is_cancelled() {
                return false;
            }
            match self.unrest().await {
                None => return true,
                Some(now) => why = now,
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("no rest after {REST_MAX:?}: {why}; {:?}; {:?}", self.fuse, self.outside.engine.calls());
    }

    /// What is still to come.
    async fn unrest(&self) -> Option<String> {
        if !self.deploys.is_idle() {
            return Some("a deploy is at work".to_owned());
        }
        let read = self.platform.store.read(|tx| Ok((tx.open_deploys()?, tx.instances(None)?))).await;
        let Ok((open, rows)) = read else { return Some("the database cannot be read".to_owned()) };
        if let Some(open) = open.iter().find(|row| !is_over(&row.state)) {
            return Some(format!("deploy {} is {:?}", open.id, open.state));
        }
        if let Some(row) = rows.iter().find(|row| row.desire != Desire::Up || !row.ready) {
            return Some(format!("{} is {:?}, ready {}", row.label(), row.desire, row.ready));
        }
        let there = self.there().await;
        let name = |row: &InstanceRow| instance_name(&self.platform.install, row.id);
        let mut wanted: Vec<String> = rows.iter().map(name).collect();
        wanted.sort();
        if there != wanted {
            return Some(format!("{there:?} run, wanted are {wanted:?}"));
        }
        // The router is told after the store, of what is ready as of everything else.
        let base = &self.platform.sites.base;
        let Ok(routes) = routes::wanted(&self.platform.store, base, &Scope::All).await else {
            return Some("the routes cannot be read".to_owned());
        };
        let routes: BTreeMap<String, RouteAction> =
            routes.into_values().flatten().map(|route| (route.host, route.action)).collect();
        let told = self.outside.routes();
        (told != routes).then(|| format!("the router has {told:?}, wanted is {routes:?}"))
    }

    /// Names of what runs, in order; with a mark those that do not.
    pub async fn there(&self) -> Vec<String> {
        let seen = self.outside.engine.list(domain::instance::INSTALL_LABEL, "test").await.unwrap();
        let name = |one: engine::Observed| match one.status {
            Status::Running { .. } => one.name,
            Status::Created | Status::Exited { .. } => format!("{} (not running)", one.name),
        };
        seen.into_iter().map(name).collect()
    }
}
