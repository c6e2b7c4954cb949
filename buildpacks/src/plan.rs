//! What a build is made of: layers, the steps that fill them, what of them goes into the image.
//! Invariant: a plan is data, complete and ordered; who runs it has nothing left to decide, and equal plans are equal bytes.
//! Absent: running, caching, hashing, the Docker Engine, and the values of the app's config vars.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The app's folder in the build container, and in the image.
pub const APP: &str = "/app";
/// The app's own cache in the build container; it survives builds, and a layer with [`Scope::Host`] never sees it.
pub const CACHE: &str = "/cache";

/// Versions chosen at earlier builds, by name (`node`, `npm`, …); the shell stores them per app.
pub type Pins = BTreeMap<String, String>;

/// What the app's owner has set, and where the build runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The buildpack that the app's setting names (`node`, `python`, …); none: the files decide.
    pub buildpack: Option<String>,
    /// The stack that the app is built and run on.
    pub stack: Stack,
    /// The processor of the build container and of the instances.
    pub arch: Arch,
    /// The config vars that are set, by name. A plan names those it needs and never holds a value.
    pub config: Vec<String>,
}

/// A stack: the Debian that apps are built and run on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stack {
    /// Debian 13, trixie.
    #[default]
    Deb13,
    /// Debian 12, bookworm.
    Deb12,
}

impl Stack {
    /// Every stack, the default one first.
    pub const ALL: [Stack; 2] = [Stack::Deb13, Stack::Deb12];

    /// Its name in files, images and settings.
    pub fn name(self) -> &'static str {
        match self {
            Stack::Deb13 => "deb13",
            Stack::Deb12 => "deb12",
        }
    }

    /// Debian's name for it, which package sources are named by.
    pub fn suite(self) -> &'static str {
        match self {
            Stack::Deb13 => "trixie",
            Stack::Deb12 => "bookworm",
        }
    }

    /// By either name.
    pub fn parse(text: &str) -> Option<Stack> {
        Stack::ALL.into_iter().find(|stack| [stack.name(), stack.suite()].contains(&text))
    }
}

/// A processor family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// x86-64.
    #[default]
    X64,
    /// 64-bit ARM.
    Arm64,
}

/// How to build and start one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The buildpack's name for people: `Node.js`.
    pub language: String,
    /// What was decided and where it was asked for, one line each.
    pub decided: Vec<String>,
    /// What works but should be changed, one line each.
    pub warnings: Vec<String>,
    /// In build order, which is also the image's order.
    pub layers: Vec<Layer>,
    /// Process type to command, for what the app's Procfile does not name.
    pub processes: BTreeMap<String, String>,
    /// The environment that the image gives to every process.
    pub launch_env: Vec<Env>,
    /// The versions to remember for the next build; they replace the old ones.
    pub pins: Pins,
}

/// One part of the build that can be kept, and perhaps one layer of the image.
///
/// Its key is what [`Layer::key`] names, together with [`Layer::recipe`]. A layer whose key is known is not built,
/// packed, hashed or sent. A launch layer without steps is made from the sources, without a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique in the plan: `runtime`, `build-dependencies`, `dependencies`, `server`, `app`.
    pub name: String,
    /// Who may be given the kept layer.
    pub scope: Scope,
    /// Whether its outputs become a layer of the image.
    pub launch: bool,
    /// Which of the stack's two images its steps run in.
    pub base: Base,
    /// What the key is made of.
    pub key: Vec<KeyPart>,
    /// The sources that lie in [`APP`] before the first step.
    pub inputs: Inputs,
    /// Files of ours that are written over the sources, before the first step.
    pub input_files: Vec<GeneratedFile>,
    /// Outputs of earlier layers that its steps see.
    pub mounts: Vec<Mount>,
    /// A folder of the app's cache that lies elsewhere while the steps run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_at: Option<CacheAt>,
    /// The config vars that its steps see; they come first, and [`Layer::env`] is applied over them.
    pub config: ConfigVars,
    /// The environment of its steps.
    pub env: Vec<Env>,
    /// What is run, in order; the first that fails ends the build.
    pub steps: Vec<Step>,
    /// What is kept. Nothing at `from` when the steps are done: an empty output, no error.
    pub outputs: Vec<Output>,
    /// Files of ours that the image's layer holds besides the outputs.
    pub image_files: Vec<GeneratedFile>,
}

impl Layer {
    /// A launch layer with nothing in it yet.
    pub(crate) fn empty(name: &str, scope: Scope) -> Layer {
        Layer {
            name: name.into(),
            scope,
            launch: true,
            base: Base::Build,
            key: Vec::new(),
            inputs: Inputs::None,
            input_files: Vec::new(),
            mounts: Vec::new(),
            cache_at: None,
            config: ConfigVars::None,
            env: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
            image_files: Vec::new(),
        }
    }

    /// The layer itself as text, a part of its key: other steps make another layer.
    pub fn recipe(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which of a stack's two images steps run in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The one with compilers and headers.
    #[default]
    Build,
    /// The one that instances run on: what is installed there is what an instance has.
    Run,
}

/// Who may be given a kept layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every app: no step of it runs or reads anything of an app, nor an app's cache.
    Host,
    /// The app it was built for.
    App,
}

/// A part of a layer's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPart {
    /// A text, such as a version.
    Text {
        /// What it is.
        label: String,
        /// Its value.
        value: String,
    },
    /// The content and mode of a source file.
    File(String),
    /// All sources.
    Whole,
    /// The identity of the build stack and the run stack.
    Stack,
    /// The value of a config var, or that it is not set.
    Config(String),
    /// Names and values of all config vars.
    AllConfig,
}

/// The sources that lie in the app's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inputs {
    /// None: an empty folder.
    None,
    /// These files.
    Files(Vec<String>),
    /// All.
    Whole,
}

/// A file whose content is the plan's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFile {
    /// Absolute, in the container or in the image.
    pub path: String,
    /// Its text.
    pub content: String,
    /// Mode 0755, otherwise 0644.
    pub executable: bool,
}

/// An output of an earlier layer, as the steps of a later one see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The earlier layer's name.
    pub layer: String,
    /// Which of its outputs: the output's `from`. All of it, also what the image leaves out.
    pub from: String,
    /// Where the steps see it.
    pub at: String,
    /// Whether they may write.
    pub mode: MountMode,
}

/// A folder of [`CACHE`] that is moved into [`APP`] for the steps, and back when they are done: files of it can be linked
/// into what they make there, as no link crosses from one mount to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheAt {
    /// Its name in the cache.
    pub folder: String,
    /// Where it lies during the steps: a name in the app's folder that no output holds.
    pub at: String,
}

/// Whether steps may write to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountMode {
    /// No.
    ReadOnly,
    /// Yes, without changing the earlier layer; what they write can be an output.
    Overlay,
}

/// The config vars that a layer's steps see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigVars {
    /// None.
    None,
    /// These, where they are set.
    Named(Vec<String>),
    /// All.
    All,
}

/// One variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// Its name.
    pub name: String,
    /// What is done with a value that is there.
    pub op: EnvOp,
    /// The value.
    pub value: String,
}

/// What is done with the value that a variable has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvOp {
    /// Replaced.
    Set,
    /// Kept; ours is for when there is none.
    Default,
    /// Ours comes before it, with this between; without one, ours alone.
    Prepend(String),
    /// Ours comes after it, with this between; without one, ours alone.
    Append(String),
}

impl Env {
    pub(crate) fn new(name: &str, op: EnvOp, value: &str) -> Env {
        Env { name: name.into(), op, value: value.into() }
    }

    pub(crate) fn set(name: &str, value: &str) -> Env {
        Env::new(name, EnvOp::Set, value)
    }

    pub(crate) fn default(name: &str, value: &str) -> Env {
        Env::new(name, EnvOp::Default, value)
    }

    /// Before the value that is there, as paths are joined.
    pub(crate) fn path(name: &str, value: &str) -> Env {
        Env::new(name, EnvOp::Prepend(":".into()), value)
    }
}

impl KeyPart {
    pub(crate) fn text(label: &str, value: &str) -> KeyPart {
        KeyPart::Text { label: label.into(), value: value.into() }
    }
}

/// One program run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does, for the pusher's screen.
    pub title: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The folder it runs in.
    pub cwd: String,
    /// Its environment, applied over the layer's.
    pub env: Vec<Env>,
}

impl Step {
    /// In the app's folder.
    pub(crate) fn new(title: impl Into<String>, argv: &[&str]) -> Step {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        Step { title: title.into(), argv, cwd: APP.into(), env: Vec::new() }
    }

    /// Elsewhere.
    pub(crate) fn at(self, cwd: &str) -> Step {
        Step { cwd: cwd.into(), ..self }
    }
}

/// A folder of the build container that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its path in the build container. Where an overlay is mounted exactly there: only what the steps wrote.
    pub from: String,
    /// Its path in the image.
    pub to: String,
    /// Paths inside it that the image does not get, relative to `from`: exact, with all that is below.
    pub exclude: Vec<String>,
}

impl Output {
    /// A folder of the app, at the same place in the image; the empty path is the app's folder itself.
    pub(crate) fn of_app(folder: &str, exclude: &[&str]) -> Output {
        let path = if folder.is_empty() { APP.to_owned() } else { format!("{APP}/{folder}") };
        Output { from: path.clone(), to: path, exclude: exclude.iter().map(|path| (*path).to_owned()).collect() }
    }
}
