//! What one installation is made of: handed to deploys, the reconciler and the commands.

use crate::base::BaseDomain;
use crate::build::Builder;
use crate::builder::ImageBuilder;
use crate::deploy::Held;
use crate::deploy::spec::{INSTALL_LABEL, KIND_LABEL};
use crate::disks::Disks;
use crate::routes::Routes;
use crate::usage::Usage;
use domain::log::Record;
use domain::{AppId, InstallId};
use engine::{Engine, EngineError, Observed, Starts};
use git::Repos;
use logs::Logs;
use net::Net;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use store::Store;
use system::layout::Layout;
use system::places::Places;
use system::settings::Settings;
use system::tasks::Tasks;
use system::trash::Trash;
use tokio::sync::Notify;

/// The parts of a running control process. Clones share them.
#[derive(Debug, Clone)]
pub struct Platform(pub Arc<Parts>);

/// The parts.
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub settings: Settings,
    /// Where everything lies.
    pub layout: Layout,
    /// This installation's id.
    pub install: InstallId,
    /// State.
    pub store: Store,
    /// Instances.
    pub engine: Arc<dyn Engine>,
    /// Starts of instances that are under way.
    pub starts: Starts,
    /// One-off instances that somebody in this process holds.
    pub held: Held,
    /// What instances use of the disk.
    pub disks: Disks,
    /// Addresses, networks, firewall.
    pub net: Net,
    /// Places for SSH sessions.
    pub sessions: Places,
    /// Logs.
    pub logs: Logs,
    /// Repositories.
    pub repos: Repos,
    /// Images.
    pub builder: Builder,
    /// What builds Dockerfiles.
    pub image_builder: Arc<ImageBuilder>,
    /// What apps keep on the disk.
    pub usage: Usage,
    /// The routers.
    pub routes: Routes,
    /// The base domain in force.
    pub base: BaseDomain,
    /// Pokes the reconciler.
    pub wake: Arc<Notify>,
    /// Everything that is spawned.
    pub tasks: Tasks,
    /// Where folders go that instances filled.
    pub trash: Trash,
    /// The init on the host, mounted into every instance.
    pub init: PathBuf,
    /// Set while the installation is being shut down: the reconciler rests.
    pub paused: AtomicBool,
    /// Held while the reconciler makes something: what a shutdown removes must not come back.
    pub turn: tokio::sync::Mutex<()>,
    /// The port that HTTP is really served on.
    pub http_port: u16,
    /// The port that SSH is really served on.
    pub ssh_port: u16,
}

impl std::ops::Deref for Platform {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    /// An app's default host name.
    pub fn domain(&self, app: &domain::AppName) -> String {
        format!("{app}.{}", self.base.get())
    }

    /// The URL of an app's default host name.
    pub fn url(&self, app: &domain::AppName) -> String {
        self.host_url(&self.domain(app))
    }

    /// The URL of a host name.
    pub fn host_url(&self, host: &str) -> String {
        domain::routing::url(host, self.http_port)
    }

    /// The host in remotes that are printed: the one of the configuration, else the base domain in force.
    pub fn ssh_host(&self) -> String {
        if self.settings.ssh_host == self.base.configured() {
            self.base.get().to_string()
        } else {
            self.settings.ssh_host.clone()
        }
    }

    /// The git remote of an app.
    pub fn remote(&self, app: &domain::AppName) -> String {
        let host = self.ssh_host();
        match (&self.settings.ssh_share, self.ssh_port) {
            (Some(user), _) => format!("{user}@{host}:{app}"),
            (None, 22) => format!("ssh://hoist@{host}/{app}"),
            (None, port) => format!("ssh://hoist@{host}:{port}/{app}"),
        }
    }

    /// How a command is typed from elsewhere, before the command's words.
    pub fn ssh_command(&self) -> String {
        let host = self.ssh_host();
        match (&self.settings.ssh_share, self.ssh_port) {
            (Some(user), _) => format!("ssh {user}@{host}"),
            (None, 22) => format!("ssh hoist@{host}"),
            (None, port) => format!("ssh -p {port} hoist@{host}"),
        }
    }

    /// Every container that this installation made. One that somebody made by hand of an app's image is theirs.
    pub async fn containers(&self) -> Result<Vec<Observed>, EngineError> {
        let mut all = self.engine.list(INSTALL_LABEL, self.install.as_str()).await?;
        all.retain(|one| one.labels.contains_key(KIND_LABEL));
        Ok(all)
    }

    /// Writes a line of ours into an app's log.
    pub async fn note(&self, app: &AppId, text: impl Into<String>) {
        self.logs.append(app, Record::platform(system::clock::now(), text)).await;
    }
}
