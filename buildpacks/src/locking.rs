//! Dependencies that a commit names without saying which versions: what a lock file is made of, and how.
//! Invariant: what is made is the language's own lock file by its own tool, and from then on nothing tells it from one that
//! was committed. Absent: making and keeping it.

use crate::facts::Facts;
use crate::plan::{KeyPart, Pins};
use crate::plan::{Layer, Output, Scope, Settings, Step};
use crate::refusal::Refusal;
use crate::tree::{Entry, Kind, LOCK_MAX, Tree};

/// The folder in which a lock file lies when its layer's steps are done.
pub const LOCKED: &str = "/layers/lock";
const NAME: &str = "lock";

/// A commit without the lock file that its dependencies need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlocked {
    /// The lock file's name, in the app's folder.
    pub file: &'static str,
    /// What it is made from: while this is equal, the file that was made is kept.
    pub key: Vec<KeyPart>,
    /// The file that people change, for them.
    pub manifest: &'static str,
    /// What else must be known of it, one line each.
    pub notes: Vec<String>,
}

/// What is known when a lock file is made.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// The app's settings.
    pub settings: &'a Settings,
    /// The versions that were chosen before.
    pub pins: &'a Pins,
    /// The answers to what was asked.
    pub facts: &'a Facts,
    /// The lock file that was made before: its versions stay where they still fit.
    pub before: Option<String>,
}

/// How a language makes its lock file.
pub(crate) struct Locking {
    /// Whether a commit needs one that it does not have.
    pub(crate) unlocked: fn(&Tree) -> Result<Option<Unlocked>, Refusal>,
    /// The layers that make it, of which [`layer`] is the last.
    pub(crate) layers: fn(&Tree, Known<'_>) -> Result<Vec<Layer>, Refusal>,
}

/// The layer that makes the file: its steps leave it in [`LOCKED`].
pub(crate) fn layer(steps: Vec<Step>) -> Layer {
    Layer {
        launch: false,
        steps,
        outputs: vec![Output { from: LOCKED.into(), to: LOCKED.into(), exclude: Vec::new() }],
        ..Layer::empty(NAME, Scope::App)
    }
}

impl Unlocked {
    /// The tree as it is with the file.
    pub fn locked(&self, tree: &mut Tree, content: Vec<u8>) {
        let size = content.len() as u64;
        let content = Some(content).filter(|_| size <= LOCK_MAX);
        tree.0.insert(self.file.to_owned(), Entry { kind: Kind::File { executable: false }, size, content });
    }
}
