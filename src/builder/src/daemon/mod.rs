//! The builder of Dockerfiles as a program of this installation: an engine of its own in a network namespace behind our
//! rules, a control group, a folder and a file system of its own. It runs while something is built, and for a while after.
//!
//! Invariant: the walls are around the builder: whatever a Dockerfile says, its steps and the builder itself reach the
//! outside, its own folder, and nothing else of this host; no line is judged here by what it may fetch. Absent: the
//! protocol it is spoken to with (`engine::BuildKit`), and images of apps: none has a name there that lasts.

mod disk;
pub mod enter;
pub mod group;
mod relay;

pub use disk::Written;
pub use group::{Group, Limits};

use domain::floors::{self, Part};
use domain::refusal::Code;
use domain::{AppId, InstallId, Refusal};
use engine::{BuildKit, BuilderVersion, Engine, EngineError};
use enter::Place;
use group::Groups;
use net::{BuilderNet, Net, resolvers};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use system::clock::now;
use system::fault::{Act, Error, Fault, Result};
use system::layout::Layout;
use system::proc::{self, Program, Running};
use system::settings::Settings;
use system::tasks::{Tasks, blocking};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Its configuration, in its folder below `run`.
pub const CONFIG: &str = "daemon.json";
const SOCKET: &str = "docker.sock";
/// Which root it runs in: beside the stacks.
const SIDECAR: &str = "builder.json";
/// How long it may take until it answers.
const READY_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long it goes on without work: the next build would wait two seconds for it.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);
const IDLE_LOOK: Duration = Duration::from_secs(30);
/// How long processes of one that was killed may take to go.
const GONE_MAX: Duration = Duration::from_secs(10);
/// How long it may take to put its store in order at its end.
const END_GRACE: Duration = Duration::from_secs(5);
/// What the builder itself may use: it unpacks, copies and packs.
const ITSELF: Limits = Limits { memory: 2_000_000_000, cpu_millis: 0, processes: 4_096 };
/// Bytes of earlier results that it keeps for later builds.
const CACHE_KEPT: &str = "10GB";

/// The builder of this installation. One per control process.
#[derive(Debug)]
pub struct ImageBuilder {
    install: InstallId,
    folder: PathBuf,
    stacks: PathBuf,
    bundle: Option<PathBuf>,
    accept_old: bool,
    program: PathBuf,
    net: Net,
    groups: Option<Groups>,
    tasks: Tasks,
    on: Mutex<Option<On>>,
    users: Arc<AtomicUsize>,
}

/// One that runs.
#[derive(Debug)]
struct On {
    process: Running,
    kit: BuildKit,
    version: BuilderVersion,
    relays: relay::Relays,
    used: Instant,
}

/// The right to build: while it is held, the builder goes on.
#[derive(Debug)]
pub struct Lease {
    /// The builder.
    pub kit: BuildKit,
    groups: Groups,
    store: PathBuf,
    users: Arc<AtomicUsize>,
}

impl Lease {
    /// The control group of an app's builds.
    pub fn group(&self, app: &AppId) -> Group {
        self.groups.of(app)
    }

    /// Whether nobody else builds now.
    pub fn is_alone(&self) -> bool {
        self.users.load(Ordering::Acquire) <= 1
    }

    /// The folder of what it stores, as this process sees it.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The file that holds a blob of the builder's, by the hex digits of its digest. It may not be there.
    pub fn blob(&self, hex: &str) -> PathBuf {
        self.store.join("containerd/daemon/io.containerd.content.v1.content/blobs/sha256").join(hex)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.users.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What lies beside the root.
#[derive(Debug, Deserialize)]
struct Sidecar {
    root: String,
}

impl ImageBuilder {
    /// The builder of this installation; nothing runs yet. What an earlier life of the server left running is ended.
    pub async fn open(
        install: &InstallId,
        settings: &Settings,
        layout: &Layout,
        net: &Net,
        program: &Path,
        tasks: &Tasks,
    ) -> Result<Arc<ImageBuilder>> {
        let usual = Path::new(engine::images::BUNDLE);
        let builder = Arc::new(ImageBuilder {
            install: install.clone(),
            folder: layout.builder(),
            stacks: settings.stacks.clone(),
            bundle: settings.ca_bundle.clone().or_else(|| usual.exists().then(|| usual.to_owned())),
            accept_old: settings.old_builder,
            program: program.to_owned(),
            net: net.clone(),
            groups: Groups::find(Path::new(group::GROUPS), install),
            tasks: tasks.clone(),
            on: Mutex::default(),
            users: Arc::default(),
        });
        builder.end_left().await?;
        let (idle, stopped) = (Arc::clone(&builder), Arc::clone(&builder));
        tasks.spawn("end an idle builder", |stop| async move {
            tokio::select! { () = idle.end_idle() => {}, () = stop.cancelled() => {} }
            stopped.end().await;
        });
        Ok(builder)
    }

    /// The builder, started where it does not run; `say` hears what that takes.
    pub async fn lease(&self, engine: &dyn Engine, say: impl Fn(String)) -> Result<Lease> {
        let Some(groups) = self.groups.clone() else { return Err(no_groups().into()) };
        let mut on = self.on.lock().await;
        let answers = match on.as_ref() {
            Some(running) => running.kit.version().await.is_ok(),
            None => false,
        };
        if !answers {
            drop(on.take());
            let begun = now();
            *on = Some(self.start(engine, &groups).await?);
            say(format!("The builder started in {}", domain::time::human_millis(now().millis_since(begun))));
        }
        let Some(running) = on.as_mut() else { return Err(Fault::plain("the builder is gone again").into()) };
        self.acceptable(&running.version)?;
        running.used = Instant::now();
        self.users.fetch_add(1, Ordering::AcqRel);
        Ok(Lease { kit: running.kit.clone(), groups, store: self.store(), users: Arc::clone(&self.users) })
    }

    /// Lets the builder reach these registries although they are on this host or in a private network, and no others.
    pub async fn reach(&self, registries: &[String]) -> Result<()> {
        match self.on.lock().await.as_mut() {
            Some(running) => running.relays.keep(registries).await,
            None => Ok(()),
        }
    }

    /// The versions of what runs; starts nothing.
    pub async fn version(&self) -> Option<BuilderVersion> {
        self.on.lock().await.as_ref().map(|running| running.version.clone())
    }

    /// The root that it runs in; `None` where `scripts/builder` has made none.
    pub async fn root(&self) -> Option<PathBuf> {
        let (sidecar, stacks) = (self.stacks.join(SIDECAR), self.stacks.clone());
        let read = blocking("look for the builder's root", move || {
            let text = std::fs::read(sidecar).unwrap_or_default();
            Ok(serde_json::from_slice::<Sidecar>(&text).ok().map(|sidecar| stacks.join(sidecar.root)))
        });
        read.await.ok().flatten().filter(|root| root.join("usr/sbin/dockerd").exists())
    }

    /// Ends it, and what it runs.
    pub async fn end(&self) {
        if let Some(mut running) = self.on.lock().await.take() {
            running.process.end(END_GRACE).await;
        }
    }

    /// Whether one with known holes builds all the same.
    pub fn accepts_old(&self) -> bool {
        self.accept_old
    }

    /// Ends it and takes its network and groups away.
    pub async fn remove(&self) -> Result<()> {
        self.end().await;
        self.net.builder()?.remove().await?;
        if let Some(groups) = self.groups.clone() {
            blocking("remove the builder's groups", move || {
                groups.remove();
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    fn acceptable(&self, version: &BuilderVersion) -> Result<()> {
        let parts =
            [(Part::BuildKit, &version.buildkit), (Part::Containerd, &version.containerd), (Part::Runc, &version.runc)];
        for (part, seen) in parts {
            for floor in floors::below(part, seen) {
                if floor.refused && !self.accept_old {
                    return Err(too_old(part, seen, floor).into());
                }
                tracing::warn!("the builder's {part} is {seen}, below {}: {}", floor.at_least, floor.why);
            }
        }
        Ok(())
    }

    async fn start(&self, engine: &dyn Engine, groups: &Groups) -> Result<On> {
        let Some(root) = self.root().await else { return Err(not_there(&self.stacks).into()) };
        engine.ensure_network(&self.net.build_network()?).await.map_err(Error::from)?;
        let net = self.net.builder()?;
        net.ensure().await?;
        let (own, folder) = (groups.itself(), self.folder.clone());
        let place = Place { root, folder, bundle: self.bundle.clone(), groups: own.folders() };
        let config = self.config(&net);
        let prepare = self.folder.clone();
        blocking("prepare the builder", move || {
            own.limit(ITSELF).act(|| "cannot limit the builder")?;
            for name in ["root", "run", "store"] {
                let made = std::fs::create_dir_all(prepare.join(name));
                made.act(|| format!("cannot make {}", prepare.join(name).display()))?;
            }
            let run = prepare.join("run");
            // Of one that was killed: who connects to it waits for nobody.
            let _ = std::fs::remove_file(run.join(SOCKET));
            std::fs::write(run.join(CONFIG), config).act(|| "cannot configure the builder")?;
            let names: String = resolvers()?.iter().map(|address| format!("nameserver {address}\n")).collect();
            Ok(std::fs::write(run.join("resolv.conf"), names).act(|| "cannot configure the builder")?)
        })
        .await?;
        let mut process = proc::start(&self.command(&net, &place))?;
        self.log(&mut process);
        let kit = BuildKit::new(self.folder.join("run").join(SOCKET), self.tasks.clone());
        let version = self.ready(&mut process, &kit).await?;
        tracing::info!(?version, "the builder of Dockerfiles runs");
        Ok(On { process, kit, version, relays: relay::Relays::new(net.namespace, &self.tasks), used: Instant::now() })
    }

    /// Waits until it answers.
    async fn ready(&self, process: &mut Running, kit: &BuildKit) -> Result<BuilderVersion> {
        let end = Instant::now() + READY_MAX;
        loop {
            if let Ok(version) = kit.version().await {
                return Ok(version);
            }
            if process.ends_within(LOOK_EVERY).await || Instant::now() > end {
                let said = tokio::fs::read_to_string(self.folder.join("log")).await.unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing").to_owned();
                return Err(Fault::new("the builder of Dockerfiles does not start", last).transient().into());
            }
        }
    }

    /// Its namespaces, then our own program in them, which becomes the engine. Process 1 in there ends with the program
    /// that made the namespaces, and with it everything.
    fn command(&self, net: &BuilderNet, place: &Place) -> Program {
        let namespace = format!("--net={}", net.namespace.display());
        let words = [&namespace, "--", "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"];
        Program::new("nsenter", Path::new("/")).args(words).arg(&self.program).arg(enter::VERB).args(place.words())
    }

    /// What it says goes to a file of its folder, the last life's only.
    fn log(&self, process: &mut Running) {
        let (_, out, err) = process.pipes();
        let path = self.folder.join("log");
        self.tasks.spawn("builder log", |_| async move {
            let Ok(file) = tokio::fs::File::create(&path).await else { return };
            let Ok(other) = file.try_clone().await else { return };
            let copy = async |from: Option<tokio::process::ChildStdout>, mut to: tokio::fs::File| {
                if let Some(mut from) = from {
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                }
            };
            let (mut err, mut to) = (err, other);
            let errors = async {
                if let Some(err) = err.as_mut() {
                    let _ = tokio::io::copy(err, &mut to).await;
                }
            };
            tokio::join!(copy(out, file), errors);
        });
    }

    fn config(&self, net: &BuilderNet) -> String {
        let socket = Path::new(enter::INSIDE).join(SOCKET);
        json!({
            "hosts": [format!("unix://{}", socket.display())],
            "data-root": enter::STORE,
            "exec-root": "/run/docker",
            "pidfile": "/run/docker.pid",
            "features": {"containerd-snapshotter": true},
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": format!("/{}", group::name(&self.install)),
            "bip": net.steps,
            "icc": false,
            "userland-proxy": false,
            "log-level": "warn",
            "builder": {
                "gc": {"enabled": true, "defaultKeepStorage": CACHE_KEPT},
                "Entitlements": {"network-host": false, "security-insecure": false},
            },
        })
        .to_string()
    }

    /// Ends a builder that a killed server left: known by its folder among its words.
    async fn end_left(&self) -> Result<()> {
        let folder = self.folder.clone();
        blocking("end a builder that was left", move || {
            let until = std::time::Instant::now() + GONE_MAX;
            while let Some(pid) = left(&folder)
                && std::time::Instant::now() < until
            {
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
                std::thread::sleep(LOOK_EVERY);
            }
            Ok(())
        })
        .await
    }

    async fn end_idle(&self) {
        loop {
            sleep(IDLE_LOOK).await;
            let mut on = self.on.lock().await;
            let idle = on.as_ref().is_some_and(|running| running.used.elapsed() > IDLE_MAX);
            match (self.users.load(Ordering::Acquire), on.as_mut()) {
                (0, Some(_)) if idle => {
                    if let Some(mut running) = on.take() {
                        running.process.end(END_GRACE).await;
                    }
                }
                (0, _) | (_, None) => {}
                (_, Some(running)) => running.used = Instant::now(),
            }
        }
    }
}

/// A process that makes a builder's namespaces for this folder.
fn left(folder: &Path) -> Option<i32> {
    let folder = folder.to_string_lossy();
    let ours = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.contains(&enter::VERB.as_bytes()) && words.contains(&folder.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(ours)
}

/// What a failed call to the builder means to whoever pushes.
pub fn away(err: EngineError) -> Error {
    match err {
        err @ (EngineError::NotAnswering | EngineError::NotRunning(_)) => {
            tracing::warn!("the builder of Dockerfiles is away: {}", Fault::new("cannot build", err).chain());
            Refusal::new(Code::BuilderAway, "the builder of Dockerfiles does not answer")
                .why("what runs keeps being served; the builder is started again for the next build")
                .next("push again; if it stays so, an administrator: doctor")
                .into()
        }
        EngineError::NoSpace => Refusal::new(Code::NoSpace, "no space is left on the disk of the builder")
            .next("an administrator: doctor, then remove what is not needed")
            .into(),
        err @ (EngineError::NotFound(_) | EngineError::LayerGone(_) | EngineError::Failed { .. }) => {
            Fault::new("the builder could not do it", err).into()
        }
    }
}

fn not_there(stacks: &Path) -> Refusal {
    Refusal::new(Code::NoBuilder, "Dockerfiles are not built on this server: their builder is not installed")
        .why(format!("there is no {}", stacks.join(SIDECAR).display()))
        .next("the administrator of the server: scripts/builder, in the checkout that Hoist was installed from")
}

fn no_groups() -> Refusal {
    Refusal::new(Code::NoControlGroups, "Dockerfiles are not built on this server: nothing would limit their steps")
        .why(format!("there are no control groups below {} that can be written", group::GROUPS))
        .next("the administrator of the server: doctor")
}

fn too_old(part: Part, seen: &str, floor: &floors::Floor) -> Refusal {
    Refusal::new(Code::OldBuilder, format!("Dockerfiles are not built on this server: the builder's {part} is {seen}"))
        .why(format!("below {}, {}", floor.at_least, floor.why))
        .next("the administrator of the server: delete builder.json beside the stacks and run scripts/builder")
        .next("where only trusted people push: old-builder = \"allow\" in the server's configuration")
}
