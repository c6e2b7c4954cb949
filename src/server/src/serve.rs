//! `hoist serve` as a story: lock, state, network, engine, logs, router, listeners, "ready", and the end in order.

use crate::admin;
use builder::Builder;
use builder::daemon::ImageBuilder;
use commands::usage::Usage;
use commands::{Commands, Server};
use deploy::disks::Disks;
use deploy::hooks::Files;
use deploy::probe::Connects;
use deploy::reconcile::Reconciler;
use deploy::{Deploys, Held, LogLines, Parts, Platform};
use domain::InstallId;
use domain::addresses::Subnet;
use engine::images::{BlobStore, Registry};
use engine::{Docker, Engine, Starts};
use git::{Repos, ReposConfig};
use logs::{Logs, LogsConfig};
use net::Net;
use routes::{BaseDomain, Connected, RouterLaunch, Routes, Sites};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use store::Store;
use system::clock::Wall;
use system::fault::{Act, Fault, Result};
use system::layout::Layout;
use system::settings::Settings;
use system::tasks::{Tasks, blocking};
use system::trash::Trash;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// How long everything may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long the lock of a server that was killed may outlive it, and how often it is looked at.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);
const LOCK_LOOK: Duration = Duration::from_millis(20);
const INIT: &[u8] = include_bytes!(env!("HOIST_INIT_PATH"));

/// Runs the control process until it is told to end. `say` gets the lines for standard output.
pub async fn serve(settings: Settings, say: impl Fn(&str)) -> Result<()> {
    system::clock::stepped();
    for (program, _) in system::host_checks::programs().iter().filter(|(_, there)| !there) {
        tracing::warn!("{}", system::fault::Missing(*program));
    }
    let layout = Layout::with_router(&settings.data, &settings.router_dir);
    layout.create().act(|| format!("cannot make the data folder {}", settings.data.display()))?;
    let _lock = only_one(&layout).await?;
    let tasks = Tasks::new();
    let end = Arc::new(Notify::new());
    let program = std::env::current_exe().act(|| "cannot find this program")?;

    let store = Store::open(&store::path_in(layout.data()))?;
    let install = install_id(&store).await?;
    note_boot(&store).await?;
    if let Some(file) = &settings.first_admin_keys {
        crate::first_admin::make(&store, file).await?;
    }
    let net = claim(&install, &settings).await?;
    routes::move_from_before(&layout).await?;
    let logs_config =
        LogsConfig { router_spools: layout.router_spools(), budget: settings.logs(), ..LogsConfig::at(layout.logs()) };
    let logs = Logs::open(logs_config, &tasks).await?;
    let launch = RouterLaunch::new(&settings, layout.clone(), program.clone());
    let base = BaseDomain::load(&store, &settings.base_domain).await?;
    let routes = Routes::new(store.clone(), logs.clone(), base.clone(), launch);
    let router = routes.first().await?;
    let http = router.as_ref().and_then(Connected::http).unwrap_or(settings.http);
    let sessions = ssh::sessions(settings.sessions_per_user);
    let limits = ssh::Limits { sessions: sessions.clone(), ..ssh::Limits::default() };
    let ssh_config = ssh::SshConfig { addr: settings.ssh, host_key_path: layout.host_key(), limits };
    let ssh_server = ssh::Server::bind(ssh_config).await?;
    let admin_server = admin::Server::bind(layout.data()).await?;
    let image_builder = ImageBuilder::open(&install, &settings, &layout, &net, &program, &tasks).await?;
    let repos = Repos::open(ReposConfig {
        data: layout.data().to_path_buf(),
        bin: program,
        socket: layout.admin_socket(),
        memory: settings.git_memory.unwrap_or_else(system::restrictions::share_of_memory),
        group: Some(format!("hoist-{install}")),
        pushes_each: usize::try_from(settings.pushes_per_user).unwrap_or(usize::MAX),
    })
    .await?;
    let blobs = Arc::new(BlobStore::open(layout.data())?);
    let registry = Registry::start(&tasks, blobs).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let ssh_addr = ssh_server.addr();
    let engine: Arc<dyn Engine> = Arc::new(Docker::new(&settings.docker, tasks.clone()));
    let starts = Starts::default();
    let init = write_init(&layout)?;
    let sites = Sites {
        base,
        ssh_host: settings.ssh_host.clone(),
        ssh_share: settings.ssh_share.clone(),
        http_port: http.port(),
        tls_proxy: settings.tls_proxy,
        ssh_port: ssh_addr.port(),
    };
    let parts = builder::Parts {
        settings: settings.clone(),
        layout: layout.clone(),
        install: install.clone(),
        store: store.clone(),
        engine: Arc::clone(&engine),
        starts: starts.clone(),
        logs: logs.clone(),
        repos: repos.clone(),
        net: net.clone(),
        image_builder: Arc::clone(&image_builder),
        init: init.clone(),
        sites: sites.clone(),
        tasks: tasks.clone(),
    };
    let builder = Arc::new(Builder::new(parts, registry, cores.div_ceil(2)));
    let platform = Platform(Arc::new(Parts {
        engine,
        probe: Arc::new(Connects),
        repos: Arc::new(repos.clone()),
        builder: Arc::<Builder>::clone(&builder),
        routes: Arc::new(routes.clone()),
        hooks: Arc::new(Files { folder: layout.hooks(), limit: settings.hook_timeout }),
        clock: Arc::new(Wall),
        starts,
        held: Held::default(),
        log_lines: LogLines::new(store.clone(), logs.clone()),
        disks: Disks::default(),
        sites,
        wake: Arc::new(Notify::new()),
        tasks: tasks.clone(),
        trash: Trash::open(layout.trash(), &tasks).act(|| "cannot make the folder of what is being removed")?,
        init,
        paused: AtomicBool::new(false),
        turn: tokio::sync::Mutex::default(),
        settings,
        layout,
        install,
        store,
        net,
        logs,
    }));
    let server = Server {
        platform: platform.clone(),
        repos: Arc::new(repos.clone()),
        routes: Arc::new(routes.clone()),
        builder: Arc::<Builder>::clone(&builder),
        image_builder,
        usage: Usage::default(),
        sessions,
    };
    say(&format!("ssh {ssh_addr}"));
    say(&format!("http {http}"));

    if let Err(err) = platform.net.ensure_firewall().await {
        tracing::error!("no firewall: {}; instances and builds are less isolated until it is there", err.chain());
    }
    routes.keep(router, &tasks);
    let owner = format!("{}-{:08x}", std::process::id(), rand::random::<u32>());
    let deploys = Deploys::new(platform.clone(), owner);
    let commands = Commands::new(server.clone(), deploys.clone(), Arc::clone(&end));
    deploy::reconcile::clear_builds(&platform.layout).await?;
    let resumed = deploys.resume().await?;
    if resumed > 0 {
        tracing::info!("{resumed} deploys resumed");
    }
    Reconciler::new(platform.clone(), deploys.clone()).start();
    platform.log_lines.start(&tasks);
    builder.fetch_ahead(move || deploys.is_idle());
    commands::usage::start(&server);
    commands::end_unused(&commands);
    let met = commands.seen_before().await;
    ssh_server.serve(Arc::new(commands.clone()), met, &tasks);
    if let Some(user) = &platform.settings.ssh_share {
        match admin::ShareServer::bind(&platform.settings.ssh_share_socket, user) {
            Ok(share) => share.serve(Arc::new(commands.clone()), &tasks),
            // The host's sshd is only one way in: ours goes on.
            Err(err) => tracing::error!("{}; logins by the host's sshd do not work", err.chain()),
        }
    }
    admin_server.serve(Arc::new(commands), &tasks);
    say("ready");
    system::systemd::ready();

    let mut signals = Signals::new()?;
    tokio::select! { () = signals.any() => {}, () = end.notified() => {} }
    tracing::info!("ending");
    system::systemd::ending();
    let left = tokio::select! {
        left = tasks.shutdown(GRACE) => left,
        // A second signal ends us at once.
        () = signals.any() => std::process::exit(130),
    };
    if left > 0 {
        tracing::warn!("{left} tasks did not end in time");
    }
    repos.close();
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).act(|| "cannot listen for signals");
        Ok(Signals { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! { _ = self.term.recv() => {}, _ = self.int.recv() => {} }
    }
}

/// One control process per data folder: a lock that ends with the process. A killed one's may last a moment longer, in the
/// hands of a program that it was about to start.
async fn only_one(layout: &Layout) -> Result<File, Fault> {
    let path = layout.run().join("serve.lock");
    let file =
        File::options().create(true).write(true).truncate(false).open(&path).act(|| "cannot open the server's lock")?;
    let until = Instant::now() + LOCK_WAIT_MAX;
    while rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= until {
            return Err(Fault::plain(format!(
                "a server runs on {} already; end it first: hoist --data {} shutdown",
                layout.data().display(),
                layout.data().display()
            )));
        }
        tokio::time::sleep(LOCK_LOOK).await;
    }
    Ok(file)
}

async fn install_id(store: &Store) -> Result<InstallId> {
    store
        .write(|tx| match tx.meta("install")? {
            Some(id) => Ok(id.parse()?),
            None => {
                let id = InstallId::from_random(rand::random());
                tx.set_meta("install", id.as_str())?;
                Ok(id)
            }
        })
        .await
}

/// In another boot than the last time nothing of ours runs: routes hold until instances are up again.
async fn note_boot(store: &Store) -> Result<()> {
    let boot = system::clock::boot_id();
    store
        .write(move |tx| {
            if tx.meta("boot")?.is_some_and(|last| last != boot) {
                tx.forget_runs()?;
            }
            tx.set_meta("boot", &boot)
        })
        .await
}

async fn claim(install: &InstallId, settings: &Settings) -> Result<Net> {
    let (install, data, services) = (install.clone(), settings.data.clone(), settings.host_services.clone());
    let pool = Subnet::of(settings.pool.0, settings.pool.1);
    blocking("claim addresses", move || Net::claim(&install, &data, pool, services)).await
}

/// Writes the init under its digest, so that instances of an older Hoist keep theirs.
fn write_init(layout: &Layout) -> Result<PathBuf, Fault> {
    let digest = engine::images::Digest::of(INIT);
    let path: PathBuf = layout.bin().join(format!("hoist-init-{}", digest.hex().get(..16).unwrap_or("0")));
    let act = || format!("cannot write {}", path.display());
    if !is_whole(&path) {
        system::whole::write(&path, INIT, 0o755).act(act)?;
    }
    Ok(path)
}

fn is_whole(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.len() == INIT.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_that_outlives_its_server_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::with_router(dir.path(), &dir.path().join("router"));
        layout.create().unwrap();
        let held = only_one(&layout).await.unwrap();
        let mut second = Box::pin(only_one(&layout));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(held);
        let held = second.await.unwrap();
        let refused = only_one(&layout).await.unwrap_err().chain();
        assert!(refused.contains("a server runs on"), "{refused}");
        drop(held);
    }
}
