//! What is installed for an app, and by whom it was locked.
//! Invariant: names are in the spelling that the registry compares.
//! Absent: reading it from the files.

use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Uv,
    Poetry,
    Pipenv,
    Pip,
}

impl Manager {
    pub(crate) fn file(self) -> &'static str {
        match self {
            Manager::Uv => "uv.lock",
            Manager::Poetry => "poetry.lock",
            Manager::Pipenv => "Pipfile.lock",
            Manager::Pip => "requirements.txt",
        }
    }

    /// How a dependency is added.
    pub(crate) fn add(self, name: &str) -> String {
        match self {
            Manager::Uv => format!("uv add {name}"),
            Manager::Poetry => format!("poetry add {name}"),
            Manager::Pipenv => format!("pipenv install {name}"),
            Manager::Pip => format!("echo {name} >>requirements.txt"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependencies {
    pub(crate) manager: Manager,
    /// Every file that installing reads.
    pub(crate) files: Vec<String>,
    /// Why installing needs all sources, if it does.
    pub(crate) local: Option<String>,
    /// Whether the app itself is a package that is to be installed.
    pub(crate) package: bool,
    /// What is installed, as far as the files say, in normal spelling.
    pub(crate) names: BTreeSet<String>,
    /// Whether more may be installed than the names say: a file that is read only when it is installed.
    pub(crate) unsure: bool,
    pub(crate) warnings: Vec<String>,
    /// Path and text of files that uv could not read as they are.
    pub(crate) rewritten: Vec<(String, String)>,
    /// `Pipfile.lock` as lines of requirements.
    pub(crate) requirements: Option<String>,
}

impl Dependencies {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether it may be installed: nothing is refused for what cannot be told.
    pub(crate) fn may_have(&self, name: &str) -> bool {
        self.unsure || self.has(name)
    }

    /// Nothing known yet of what this tool installs.
    pub(crate) fn of(manager: Manager) -> Dependencies {
        Dependencies {
            manager,
            files: Vec::new(),
            local: None,
            package: false,
            names: BTreeSet::new(),
            unsure: false,
            warnings: Vec::new(),
            rewritten: Vec::new(),
            requirements: None,
        }
    }
}

/// A name as the registry compares names: `Flask_Login` is `flask-login`.
pub(crate) fn normal(name: &str) -> String {
    let mut out = String::new();
    for c in name.trim().chars() {
        let c = if matches!(c, '_' | '.') { '-' } else { c.to_ascii_lowercase() };
        if !(c == '-' && out.ends_with('-')) {
            out.push(c);
        }
    }
    out
}
