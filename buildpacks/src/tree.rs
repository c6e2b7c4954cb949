//! The pushed files as a build plan sees them: paths, kinds, sizes, and the few contents that decide something.
//! Invariant: a path is relative to the app's folder, with `/` between names, and a folder is known only by what is in it.
//! Absent: reading anything. The shell fills a tree from git and asks [`crate::reads`] which contents to load.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest lock file whose content is loaded; a larger one is still built from, unread.
pub const LOCK_MAX: u64 = 16 * 1024 * 1024;
/// Largest of the other deciding files whose content is loaded.
pub const FILE_MAX: u64 = 1024 * 1024;
/// Largest source file that is looked into.
pub(crate) const SOURCE_MAX: u64 = 64 * 1024;

/// The file of asdf and mise, which has versions for any language.
pub(crate) const TOOL_VERSIONS: &str = ".tool-versions";

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
    /// The content, where [`crate::reads`] asked for it.
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

    /// The version that `.tool-versions`, the file of asdf and mise, has for a tool of one of these names.
    pub(crate) fn tool_version(&self, names: &[&str]) -> Option<String> {
        let Found::File(content) = self.find(TOOL_VERSIONS) else { return None };
        let text = String::from_utf8_lossy(content);
        let version = |line: &str| {
            let mut words = line.split('#').next()?.split_whitespace();
            names.contains(&words.next()?).then(|| words.next().map(str::to_owned))?
        };
        text.lines().find_map(version)
    }
}
