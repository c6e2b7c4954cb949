//! What deploys, one-off instances and the reconciler work with. What runs on the outside is behind a trait that names what is
//! needed of it, so that all of this runs over fakes, with the real store, in one process.

use crate::branches::Branches;
use crate::disks::Disks;
use crate::held::Held;
use crate::hooks::Hooks;
use crate::log_lines::LogLines;
use crate::probe::Probe;
use domain::{AppId, InstallId};
use engine::{Engine, EngineError, Observed, Starts};
use jobs::Builds;
use log_format::Record;
use logs::Logs;
use net::Net;
use routes::{RouterLink, Sites};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use store::Store;
use system::clock::Clock;
use system::layout::Layout;
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
    /// Whether they serve.
    pub probe: Arc<dyn Probe>,
    /// Deploy branches.
    pub repos: Arc<dyn Branches>,
    /// Images.
    pub builder: Arc<dyn Builds>,
    /// The routers.
    pub routes: Arc<dyn RouterLink>,
    /// The operator's say.
    pub hooks: Arc<dyn Hooks>,
    /// Pauses.
    pub clock: Arc<dyn Clock>,
    /// Starts of instances that are under way.
    pub starts: Starts,
    /// One-off instances that somebody in this process holds.
    pub held: Held,
    /// What instances use of the disk.
    pub disks: Disks,
    /// Addresses, networks, firewall.
    pub net: Net,
    /// Logs.
    pub logs: Logs,
    /// What happened becomes lines of them.
    pub log_lines: LogLines,
    /// Where apps answer.
    pub sites: Sites,
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
}

impl std::ops::Deref for Platform {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    /// Every container that this installation made. One that somebody made by hand of an app's image is theirs.
    pub async fn containers(&self) -> Result<Vec<Observed>, EngineError> {
        engine::ours(self.engine.as_ref(), &self.install).await
    }

    /// Writes a line of ours into an app's log, of what is no change of a state: those are events, which the store is told.
    pub async fn note(&self, app: &AppId, text: impl Into<String>) {
        self.logs.append(app, Record::platform(system::clock::now(), text)).await;
    }
}
