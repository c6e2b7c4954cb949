//! From rows to what the engine is asked for: names, labels, environment, limits of one instance. Pure.

use domain::InstallId;
use domain::config::{ConfigVars, resolve};
use domain::instance::{APP_USER, INIT_AT, INSTALL_LABEL, IO_AT, KIND_LABEL, SPOOL_AT, instance_name};
use engine::{Attachment, InstanceSpec, Limits, Mount};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::{App, Build, InstanceRow, Release};
use system::settings::Settings;

/// All rows that one instance is made from.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The instance.
    pub row: InstanceRow,
    /// Its app.
    pub app: App,
    /// Its release.
    pub release: Release,
    /// The release's build.
    pub build: Build,
    /// The release's config.
    pub config: ConfigVars,
}

/// What the host gives every instance.
#[derive(Debug, Clone)]
pub struct HostSide<'a> {
    /// The configuration.
    pub settings: &'a Settings,
    /// This installation.
    pub install: &'a InstallId,
    /// The init on the host.
    pub init: &'a Path,
    /// The folder on the host where the init finds its spool.
    pub spool: PathBuf,
    /// The folder of the socket for sessions on the host.
    pub io: PathBuf,
    /// The network's name.
    pub network: &'a str,
    /// The app's host name.
    pub domain: String,
    /// Where the app answers.
    pub url: String,
}

/// As whom, where and with which rights programs run in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// `1000:1000`, or what the image says.
    pub user: String,
    /// The folder.
    pub cwd: String,
    /// Capabilities that the engine must leave; the init needs two of them.
    pub capabilities: Vec<String>,
}

impl Start {
    /// In this build's image.
    pub fn of(build: &Build) -> Start {
        match &build.launch {
            Some(launch) => {
                Start { user: launch.user.clone(), cwd: launch.workdir.clone(), capabilities: launch.capabilities() }
            }
            None => Start {
                user: APP_USER.to_owned(),
                cwd: "/app".to_owned(),
                capabilities: ["SETUID", "SETGID"].map(str::to_owned).to_vec(),
            },
        }
    }
}

/// Program and arguments of a process type with this command.
fn program(build: &Build, process: &domain::ProcessType, command: &str) -> Vec<String> {
    match &build.launch {
        Some(launch) => launch.argv(process.as_str(), command),
        None => ["/bin/bash", "-c", command].map(str::to_owned).to_vec(),
    }
}

/// The instance as the engine must run it; `None` if the release has no such process type.
pub fn instance_spec(launch: &Launch, host: &HostSide<'_>) -> Option<InstanceSpec> {
    let command = launch.build.processes.get(&launch.row.process)?;
    let mut argv = init(&Start::of(&launch.build), &["--spool", SPOOL_AT, "--io", IO_AT]);
    argv.extend(program(&launch.build, &launch.row.process, command));
    let mounts = vec![spool_mount(host)];
    Some(InstanceSpec { argv, env: environment(launch, host), ..base(launch, host, mounts)? })
}

/// What a one-off instance has that others do not.
#[derive(Debug, Clone)]
pub struct Once {
    /// What it runs.
    pub argv: Vec<String>,
    /// Variables of its own.
    pub env: ConfigVars,
    /// Bytes of memory.
    pub memory: u64,
    /// Its output goes to the log; else to whoever is connected.
    pub detached: bool,
}

/// A one-off instance as the engine must run it; `None` if the release has no image.
pub fn once_spec(launch: &Launch, once: &Once, host: &HostSide<'_>) -> Option<InstanceSpec> {
    let (options, mounts) = match once.detached {
        true => (["--spool", SPOOL_AT, "--io", IO_AT].as_slice(), vec![spool_mount(host)]),
        false => (["--attached", IO_AT].as_slice(), Vec::new()),
    };
    let mut argv = init(&Start::of(&launch.build), options);
    argv.extend(once.argv.iter().cloned());
    let mut env = environment(launch, host);
    env.extend(once.env.iter().map(|(name, value)| (name.to_string(), value.reveal().clone())));
    let base = base(launch, host, mounts)?;
    let limits = Limits { memory: once.memory, ..base.limits };
    Some(InstanceSpec { argv, env, limits, ..base })
}

fn init(start: &Start, options: &[&str]) -> Vec<String> {
    let end = ["--cwd", &start.cwd, "--"];
    let words = [INIT_AT, "--user", &start.user];
    let words = words.iter().chain(options).chain(&end);
    words.map(|word| (*word).to_owned()).collect()
}

fn spool_mount(host: &HostSide<'_>) -> Mount {
    Mount::Bind { host: host.spool.clone(), at: SPOOL_AT.to_owned(), writable: true }
}

/// All that does not depend on what is run.
fn base(launch: &Launch, host: &HostSide<'_>, more: Vec<Mount>) -> Option<InstanceSpec> {
    let mut mounts = vec![
        Mount::Bind { host: host.init.to_path_buf(), at: INIT_AT.to_owned(), writable: false },
        Mount::Bind { host: host.io.clone(), at: IO_AT.to_owned(), writable: true },
    ];
    mounts.extend(more);
    Some(InstanceSpec {
        name: instance_name(host.install, launch.row.id),
        image: launch.build.image.clone()?,
        argv: Vec::new(),
        env: BTreeMap::new(),
        cwd: None,
        capabilities: Start::of(&launch.build).capabilities,
        read_only: false,
        mounts,
        limits: Limits {
            memory: host.settings.app_memory,
            cpu_millis: host.settings.app_cpu,
            pids: 512,
            files: 16_384,
        },
        attachment: Attachment { network: host.network.to_owned(), address: Some(launch.row.address) },
        hostname: launch.row.label().replace(['.', '_'], "-"),
        labels: labels(launch, host.install),
    })
}

fn labels(launch: &Launch, install: &InstallId) -> BTreeMap<String, String> {
    BTreeMap::from([
        (INSTALL_LABEL.to_owned(), install.to_string()),
        (KIND_LABEL.to_owned(), "instance".to_owned()),
        ("hoist.app".to_owned(), launch.app.id.to_string()),
        ("hoist.release".to_owned(), launch.release.number.to_string()),
        ("hoist.process".to_owned(), launch.row.process.to_string()),
        ("hoist.instance".to_owned(), launch.row.id.to_string()),
    ])
}

/// Config vars with their references filled in, then what the platform sets; the metadata has Heroku's names beside ours.
fn environment(launch: &Launch, host: &HostSide<'_>) -> BTreeMap<String, String> {
    let description = format!("Deploy {}", launch.build.commit.short());
    let (label, number) = (launch.row.label(), launch.release.number.to_string());
    let both = [
        ("APP_ID", launch.app.id.to_string()),
        ("APP_NAME", launch.app.name.to_string()),
        ("APP_DEFAULT_DOMAIN_NAME", host.domain.clone()),
        ("RELEASE_VERSION", number.clone()),
        ("RELEASE_CREATED_AT", launch.release.created.rfc3339()),
        ("BUILD_COMMIT", launch.build.commit.to_string()),
        ("BUILD_DESCRIPTION", description.clone()),
        ("SLUG_COMMIT", launch.build.commit.to_string()),
        ("SLUG_DESCRIPTION", description),
        ("DYNO_ID", launch.row.id.to_string()),
    ];
    let mut ours: BTreeMap<String, String> = both.iter().map(|(n, v)| (format!("HOIST_{n}"), v.clone())).collect();
    for (name, value) in
        [("RELEASE", number), ("INSTANCE", label.clone()), ("DOMAIN", host.domain.clone()), ("URL", host.url.clone())]
    {
        ours.insert(format!("HOIST_{name}"), value);
    }
    let mut env: BTreeMap<String, String> =
        resolve(&launch.config, &ours).iter().map(|(name, value)| (name.to_string(), value.reveal().clone())).collect();
    for (name, value) in both {
        env.entry(format!("HEROKU_{name}")).or_insert(value);
    }
    env.extend(ours);
    env.entry("DYNO".to_owned()).or_insert(label);
    if launch.row.served {
        env.insert("PORT".to_owned(), launch.build.port().to_string());
    }
    env
}
