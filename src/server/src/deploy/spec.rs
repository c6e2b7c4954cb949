//! From rows to what the engine is asked for: names, labels, environment, limits of one instance. Pure.

use crate::engine::{Attachment, InstanceSpec, Limits, Mount};
use crate::settings::Settings;
use crate::store::{App, Build, InstanceRow, Release};
use domain::config::ConfigVars;
use domain::formation::WEB;
use domain::{InstallId, InstanceId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The port that `web` gets in `PORT`.
pub const PORT: u16 = 5000;
/// The label that carries the installation's id.
pub const INSTALL_LABEL: &str = "hoist.install";
/// The user that instances of our own images run as.
pub const APP_USER: &str = "1000:1000";
/// Where the init lies inside.
pub const INIT_AT: &str = "/.hoist/init";
/// Where the spool lies inside.
pub const SPOOL_AT: &str = "/.hoist/spool";

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
    /// The spool's folder on the host.
    pub spool: PathBuf,
    /// The network's name.
    pub network: &'a str,
}

/// An instance's name in the engine.
pub fn instance_name(install: &InstallId, id: InstanceId) -> String {
    format!("hoist-{install}-{id}")
}

/// Whether the process type gets `PORT` and must open it.
pub fn has_port(process: &domain::ProcessType) -> bool {
    process.as_str() == WEB
}

/// The port that `web` of this build opens.
pub fn port(build: &Build) -> u16 {
    build.launch.as_ref().map_or(PORT, |launch| launch.port)
}

/// What a process is, before anything of ours: the program, its user, its folder, its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `1000:1000`, or what the image says.
    pub user: String,
    /// The folder.
    pub cwd: String,
    /// Capabilities that the engine must leave; the init needs two of them.
    pub capabilities: Vec<String>,
}

impl Start {
    /// Of a process type with this command, in this build's image.
    pub fn of(build: &Build, process: &domain::ProcessType, command: &str) -> Start {
        match &build.launch {
            Some(launch) => Start {
                argv: launch.argv(process.as_str(), command),
                user: launch.user.clone(),
                cwd: launch.workdir.clone(),
                capabilities: launch.capabilities(),
            },
            None => Start {
                argv: ["/bin/bash", "-c", command].map(str::to_owned).to_vec(),
                user: APP_USER.to_owned(),
                cwd: "/app".to_owned(),
                capabilities: ["SETUID", "SETGID"].map(str::to_owned).to_vec(),
            },
        }
    }
}

/// The instance as the engine must run it; `None` if the release has no such process type.
pub fn instance_spec(launch: &Launch, host: &HostSide<'_>) -> Option<InstanceSpec> {
    let command = launch.build.processes.get(&launch.row.process)?;
    let start = Start::of(&launch.build, &launch.row.process, command);
    let init = [INIT_AT, "--user", &start.user, "--spool", SPOOL_AT, "--cwd", &start.cwd, "--"];
    let argv = init.iter().map(|word| (*word).to_owned()).chain(start.argv).collect();
    Some(InstanceSpec {
        name: instance_name(host.install, launch.row.id),
        image: launch.build.image.clone()?,
        argv,
        env: environment(launch),
        cwd: None,
        capabilities: start.capabilities,
        read_only: false,
        mounts: vec![
            Mount::Bind { host: host.init.to_path_buf(), at: INIT_AT.to_owned(), writable: false },
            Mount::Bind { host: host.spool.clone(), at: SPOOL_AT.to_owned(), writable: true },
        ],
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
        ("hoist.kind".to_owned(), "instance".to_owned()),
        ("hoist.app".to_owned(), launch.app.id.to_string()),
        ("hoist.release".to_owned(), launch.release.number.to_string()),
        ("hoist.process".to_owned(), launch.row.process.to_string()),
        ("hoist.instance".to_owned(), launch.row.id.to_string()),
    ])
}

/// Config vars, then what the platform sets; the metadata has Heroku's names beside ours.
fn environment(launch: &Launch) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        launch.config.iter().map(|(name, value)| (name.to_string(), value.reveal().clone())).collect();
    let description = format!("Deploy {}", launch.build.commit.short());
    let label = launch.row.label();
    for (name, value) in [
        ("APP_ID", launch.app.id.as_str()),
        ("APP_NAME", launch.app.name.as_str()),
        ("RELEASE_VERSION", &launch.release.number.to_string()),
        ("RELEASE_CREATED_AT", &launch.release.created.rfc3339()),
        ("BUILD_COMMIT", launch.build.commit.as_str()),
        ("BUILD_DESCRIPTION", &description),
        ("SLUG_COMMIT", launch.build.commit.as_str()),
        ("SLUG_DESCRIPTION", &description),
    ] {
        env.entry(format!("HEROKU_{name}")).or_insert_with(|| value.to_owned());
        env.insert(format!("HOIST_{name}"), value.to_owned());
    }
    env.insert("HOIST_RELEASE".to_owned(), launch.release.number.to_string());
    env.insert("HOIST_INSTANCE".to_owned(), label.clone());
    env.entry("DYNO".to_owned()).or_insert(label);
    if has_port(&launch.row.process) {
        env.insert("PORT".to_owned(), port(&launch.build).to_string());
    }
    env
}
