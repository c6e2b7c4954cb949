//! Instances on an engine: the trait that Docker (and later Swarm) implement, and its plain data.
//!
//! Invariant: every call is an *ensure*: idempotent, by a deterministic name, and has a deadline; a hung engine answers
//! [`EngineError::NotAnswering`] within ten seconds. Only this folder says "container".
//! Absent: any knowledge of releases, the store, or the router.

mod build;
pub mod buildkit;
pub mod docker;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod images;
mod listeners;
mod starts;

#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests")]
pub mod bench;
#[cfg(test)]
mod contract;

pub use build::{BuildError, ContextEntry, ContextFiles, ContextKind, ImageBuild, Login, Reports};
pub use buildkit::{BuildKit, BuilderVersion, Built};
pub use docker::Docker;
#[cfg(any(test, feature = "testing"))]
pub use fake::Fake;
pub use listeners::{listeners, taken};
pub use starts::Starts;

use async_trait::async_trait;
use domain::dockerfile::ImageFacts;
use domain::instance::{INSTALL_LABEL, KIND_LABEL};
use domain::refusal::Code;
use domain::{InstallId, Refusal};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use system::fault::{Error, Fault};

/// How long one call to the engine may take before it counts as not answering.
pub const CALL_MAX: Duration = Duration::from_secs(10);

/// What an engine says when it cannot.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No answer within [`CALL_MAX`].
    #[error("Docker is not answering")]
    NotAnswering,
    /// The engine's socket is not there or refuses.
    #[error("Docker is not running")]
    NotRunning(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thing named does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The registry no longer has a blob that the engine asked for: make it again and pull again.
    #[error("a layer of {0} is gone from the registry")]
    LayerGone(String),
    /// No space left on the engine's disk.
    #[error("no space left on the engine's disk")]
    NoSpace,
    /// Anything else; the act names its object.
    #[error("cannot {act}")]
    Failed {
        /// What was tried: `start h7k2q-i12`.
        act: String,
        /// The engine's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<EngineError> for Error {
    fn from(err: EngineError) -> Error {
        match err {
            EngineError::NotAnswering => Refusal::new(Code::EngineHung, "Docker is not answering")
                .why("running apps keep being served")
                .next("an administrator: doctor")
                .into(),
            EngineError::NotRunning(cause) => Refusal::new(Code::EngineDown, "Docker is not running")
                .why(format!("running apps keep being served ({cause})"))
                .next("an administrator: doctor")
                .into(),
            EngineError::NoSpace => Refusal::new(Code::NoSpace, "no space is left on the disk of Docker")
                .next("remove what is not needed, then try again")
                .into(),
            err @ (EngineError::NotFound(_) | EngineError::LayerGone(_) | EngineError::Failed { .. }) => {
                Fault::new("the engine could not do it", err).into()
            }
        }
    }
}

/// Limits of one instance or build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; swap is not added to it.
    pub memory: u64,
    /// Thousandths of a processor; 0: no limit, but less weight than those that have one.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub pids: i64,
    /// Open files.
    pub files: i64,
}

/// A host folder or file seen inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A bind of a host path.
    Bind {
        /// Path on the host.
        host: PathBuf,
        /// Path inside.
        at: String,
        /// Whether the inside may write.
        writable: bool,
    },
    /// An overlay made by the engine while the instance runs: `lower` is only read, changes land in `upper`.
    Overlay {
        /// The folder read.
        lower: PathBuf,
        /// Where changes land.
        upper: PathBuf,
        /// The kernel's scratch folder, on `upper`'s file system.
        work: PathBuf,
        /// Path inside.
        at: String,
    },
    /// A file system in memory, in bytes.
    Tmpfs {
        /// Path inside.
        at: String,
        /// Its size in bytes.
        size: u64,
    },
}

/// Where an instance is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The network's name, ensured before.
    pub network: String,
    /// The static address; `None` lets the engine choose (builds).
    pub address: Option<Ipv4Addr>,
}

/// A network to ensure: a bridge with a name and subnet of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its name in the engine, made from immutable ids.
    pub name: String,
    /// The bridge's interface name, `hst…`, at most 15 bytes.
    pub bridge: String,
    /// Network address and prefix length.
    pub subnet: (Ipv4Addr, u8),
    /// The host's address on it.
    pub gateway: Ipv4Addr,
    /// Whether its members may reach each other.
    pub members_talk: bool,
    /// Labels, among them the installation's.
    pub labels: BTreeMap<String, String>,
}

/// Everything about one instance (or build, run, release command) to ensure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Deterministic name from immutable ids.
    pub name: String,
    /// The image's id or name in the engine.
    pub image: String,
    /// Program and arguments inside (the init of ours and what it starts).
    pub argv: Vec<String>,
    /// Environment on top of the image's.
    pub env: BTreeMap<String, String>,
    /// Working folder; `None` keeps the image's.
    pub cwd: Option<String>,
    /// Capabilities kept; all others are dropped. The init needs SETUID and SETGID.
    pub capabilities: Vec<String>,
    /// Only mounts can be written to.
    pub read_only: bool,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Limits.
    pub limits: Limits,
    /// Network.
    pub attachment: Attachment,
    /// Host name inside.
    pub hostname: String,
    /// Labels, among them the installation's.
    pub labels: BTreeMap<String, String>,
}

/// What runs, as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The instance's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it stands.
    pub status: Status,
    /// Its addresses; none on an instance that was cut off its network.
    pub addresses: Vec<Ipv4Addr>,
}

/// An instance's state in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Made, never started.
    Created,
    /// Running; the host's pid of its init (for reading its network namespace).
    Running {
        /// Process id on the host.
        pid: u32,
    },
    /// Ended.
    Exited {
        /// Exit code, 128+N for signals.
        code: i64,
        /// Whether the kernel killed it for memory.
        out_of_memory: bool,
    },
}

/// Something happened to an instance; a hint to look, never the truth itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The instance's name.
    pub name: String,
}

/// An engine that runs instances.
#[async_trait]
pub trait Engine: Send + Sync + std::fmt::Debug {
    /// The engine's version, for `doctor` and `version`.
    async fn version(&self) -> Result<EngineVersion, EngineError>;
    /// Makes sure the network exists as specified (a bridge with other settings of the same name is replaced if unused).
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<(), EngineError>;
    /// Removes a network; gone already is fine.
    async fn remove_network(&self, name: &str) -> Result<(), EngineError>;
    /// Names of the networks that carry the label `key=value`.
    async fn networks(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError>;
    /// Makes sure the instance exists and was started (one that has ended is not started again by this).
    async fn ensure_started(&self, spec: &InstanceSpec) -> Result<(), EngineError>;
    /// Starts an instance that has ended, under the same name and address.
    async fn start_again(&self, name: &str) -> Result<(), EngineError>;
    /// One instance; `None` if there is none of that name.
    async fn inspect(&self, name: &str) -> Result<Option<Observed>, EngineError>;
    /// All instances with the label `key=value`, in order of name.
    async fn list(&self, key: &str, value: &str) -> Result<Vec<Observed>, EngineError>;
    /// Files and folders on the host that the instance can fill, besides those that its spec names; none if it is not there.
    async fn fillable(&self, name: &str) -> Result<Vec<PathBuf>, EngineError>;
    /// Bytes of memory that the instance uses now, without files that the kernel could let go of; `None` where nothing runs.
    async fn memory(&self, name: &str) -> Result<Option<u64>, EngineError>;
    /// Waits until the instance has ended; returns how. Has no deadline of its own, and survives a restart of the engine.
    async fn wait(&self, name: &str) -> Result<Status, EngineError>;
    /// Sends SIGTERM (or the signal that the image names), waits up to `grace`, sends SIGKILL; gone already is fine. Deadline: `grace` plus [`CALL_MAX`].
    async fn stop(&self, name: &str, grace: Duration) -> Result<(), EngineError>;
    /// Kills at once; not running is fine.
    async fn kill(&self, name: &str) -> Result<(), EngineError>;
    /// Removes an instance, killing it if it runs; gone already is fine.
    async fn remove(&self, name: &str) -> Result<(), EngineError>;
    /// Pulls an image by digest from the loopback registry and names it `tag`; the registry's own reference is dropped, and
    /// so is an image that had this name before, if nothing else names or uses it. Takes as long as it makes progress.
    async fn pull(&self, reference: &ImageReference, tag: &str) -> Result<(), EngineError>;
    /// Whether the image is there.
    async fn has_image(&self, tag: &str) -> Result<bool, EngineError>;
    /// Removes the name `tag` (and the image, if nothing else names it); gone already, or in use, is fine.
    async fn remove_image(&self, tag: &str) -> Result<(), EngineError>;
    /// Names of the images that carry the label `key=value`.
    async fn images(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError>;
    /// What the image says about itself; `None` if there is none of that name.
    async fn image_facts(&self, tag: &str) -> Result<Option<ImageFacts>, EngineError>;
    /// Hints about instances with the label `key=value`, until the receiver is dropped; lost, doubled and late ones happen.
    async fn hints(&self, key: &str, value: &str) -> Result<tokio::sync::mpsc::Receiver<Hint>, EngineError>;
}

/// What answers on the engine's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// `20.10.24`.
    pub version: String,
    /// The API version agreed on.
    pub api: String,
    /// Whether running instances survive the engine's own death.
    pub live_restore: bool,
    /// The image store: `overlay2`, `containerd`.
    pub store: String,
    /// The folder that the engine fills.
    pub root: String,
    /// The versions of what it consists of, by name: `containerd`, `runc`.
    pub parts: BTreeMap<String, String>,
}

/// The user name that the loopback registry knows.
pub const REGISTRY_USER: &str = "hoist";

/// An image in the loopback registry, by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// `127.0.0.1:PORT`.
    pub registry: String,
    /// Repository name.
    pub repository: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// The password that this registry asks for (user name [`REGISTRY_USER`]).
    pub token: domain::Secret<String>,
}

/// Every instance and sandbox that an installation made. One that somebody made by hand of an app's image is theirs.
pub async fn ours(engine: &dyn Engine, install: &InstallId) -> Result<Vec<Observed>, EngineError> {
    let mut all = engine.list(INSTALL_LABEL, install.as_str()).await?;
    all.retain(|one| one.labels.contains_key(KIND_LABEL));
    Ok(all)
}
