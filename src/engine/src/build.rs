//! What the builder is asked to build from a Dockerfile, and what it says meanwhile. Plain data.

use super::EngineError;
use domain::Secret;
use domain::dockerfile::Report;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// One build from a Dockerfile.
#[derive(Debug, Clone)]
pub struct ImageBuild {
    /// Unique; the build can be ended by it.
    pub id: String,
    /// The control group that its steps run in.
    pub group: String,
    /// Builds with the same one may be given each other's files of the last time.
    pub shared_key: String,
    /// The Dockerfile's name among [`ContextFiles::dockerfile`].
    pub dockerfile: String,
    /// The stage; `None`: the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, Secret<String>>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// What `--mount=type=secret,id=NAME` gets.
    pub secrets: BTreeMap<String, Secret<String>>,
    /// Who this server is at registries, by host.
    pub registries: BTreeMap<String, Login>,
    /// Results of earlier builds are not used.
    pub no_cache: bool,
    /// The files.
    pub files: Arc<dyn ContextFiles>,
}

/// A user of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret<String>,
}

/// The files of a build. Read from threads that may block.
pub trait ContextFiles: Send + Sync + fmt::Debug {
    /// The Dockerfile as it is to be read: name and content.
    fn dockerfile(&self) -> (String, Vec<u8>);
    /// All entries; folders come before what is in them, names of one folder in order.
    fn entries(&self) -> Vec<ContextEntry>;
    /// Gives the content of the n-th entry to `take`, in pieces, until it says no.
    fn read(&self, n: usize, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()>;
}

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextEntry {
    /// Relative path.
    pub path: String,
    /// What it is.
    pub kind: ContextKind,
    /// What the file shows, in nanoseconds: changes when the content does.
    pub time: i64,
    /// Not zero: what was made of this content under another number is not used for it.
    pub apart: i64,
}

/// What a context entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextKind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Whether it may be executed.
        exec: bool,
        /// Bytes in it.
        size: u64,
    },
    /// A link and where it points; never followed here.
    Symlink(String),
}

/// Why a build came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile or something it needs: the engine's own words.
    #[error("the build failed: {0}")]
    Failed(String),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Hears what happens while an image is built.
pub type Reports = tokio::sync::mpsc::Sender<Report>;
