//! The pushed files as a build plan sees them: paths, kinds, sizes, and the few contents that decide something.
//! Invariant: a path is relative to the app's folder, with `/` between names, and a folder is known only by what is in it.
//! Absent: reading anything. The shell fills a tree from git and asks [`reads`] which contents to load.

use crate::{go, python};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest lock file whose content is loaded; a larger one is still built from, unread.
pub const LOCK_MAX: u64 = 16 * 1024 * 1024;
/// Largest of the other deciding files whose content is loaded.
pub const FILE_MAX: u64 = 1024 * 1024;

/// Largest source file that is looked into.
pub const SOURCE_MAX: u64 = 64 * 1024;

/// The files of one commit, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree(pub BTreeMap<String, Entry>);

/// One file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What git says it is.
    pub kind: Kind,
    /// Bytes of its content.
    pub size: u64,
    /// The content, where [`reads`] asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<u8>>,
}

/// What git says an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File {
        /// Mode 100755.
        executable: bool,
    },
    /// A symbolic link; never followed.
    Symlink,
    /// A submodule: its files are not in this repository.
    Submodule,
}

/// Whether the shell must load the content of this file before it asks for a plan.
pub fn reads(path: &str, size: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let at_root = name.len() == path.len();
    let limit = match name {
        "package-lock.json" | "npm-shrinkwrap.json" if at_root => LOCK_MAX,
        "package.json" | ".npmrc" | ".nvmrc" | ".node-version" | ".tool-versions" if at_root => FILE_MAX,
        "static.json" | "Staticfile" | "Aptfile" | "go.mod" if at_root => FILE_MAX,
        "uv.lock" | "poetry.lock" | "Pipfile.lock" if at_root => LOCK_MAX,
        "pyproject.toml" | "Pipfile" | ".python-version" | "runtime.txt" | "manage.py" if at_root => FILE_MAX,
        _ if requirements(path) => FILE_MAX,
        _ if python::may_hold_app(path) || python::is_settings(path) || go::may_be_main(path) => SOURCE_MAX,
        _ => return false,
    };
    size <= limit
}

/// A list of requirements or constraints, or one of those that it may include.
fn requirements(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let listed = name.contains("requirements") || name.contains("constraints") || folder.ends_with("requirements");
    listed && name.ends_with(".txt") && folder.matches('/').count() <= 1
}

/// What stands where a deciding file is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// Nothing of that name.
    Nothing,
    /// A link or a submodule.
    NotAFile,
    /// A file whose content was not loaded, as it is too large.
    Unread,
    /// A file and its content.
    File(&'t [u8]),
}

impl Tree {
    /// Whether a regular file has this path.
    pub fn has_file(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|entry| matches!(entry.kind, Kind::File { .. }))
    }

    /// Whether anything lies in this folder; the empty path is the app's folder itself.
    pub fn has_folder(&self, path: &str) -> bool {
        if path.is_empty() {
            return !self.0.is_empty();
        }
        let inside = format!("{path}/");
        self.0.range(inside.clone()..).next().is_some_and(|(name, _)| name.starts_with(&inside))
    }

    pub(crate) fn find(&self, path: &str) -> Found<'_> {
        match self.0.get(path) {
            None => Found::Nothing,
            Some(Entry { kind: Kind::File { .. }, content: Some(content), .. }) => Found::File(content),
            Some(Entry { kind: Kind::File { .. }, content: None, .. }) => Found::Unread,
            Some(Entry { kind: Kind::Symlink | Kind::Submodule, .. }) => Found::NotAFile,
        }
    }

    /// The first line that says something, of a small text file.
    pub(crate) fn first_line(&self, path: &str) -> Option<String> {
        let Found::File(content) = self.find(path) else { return None };
        let text = String::from_utf8_lossy(content);
        let text = text.trim_start_matches('\u{feff}');
        text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).find(|l| !l.is_empty()).map(str::to_owned)
    }
}
