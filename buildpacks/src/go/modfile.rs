//! What go.mod says, as far as a plan depends on it, and which folders hold commands.
//! Invariant: a folder is a command if one of its files that is built says `package main`.
//! Absent: resolving modules; Go does that, and checks go.sum.

use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::tree::{Found, Tree};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GoMod {
    pub(crate) module: String,
    /// `go 1.24`, `go 1.24.3`.
    pub(crate) go: Option<String>,
    /// `toolchain go1.24.5`.
    pub(crate) toolchain: Option<String>,
    pub(crate) requires: Vec<String>,
    /// `// +heroku install ./cmd/...`.
    pub(crate) install: Vec<String>,
    /// `// +heroku goVersion go1.24`.
    pub(crate) heroku_go: Option<String>,
}

impl GoMod {
    pub(crate) fn read(tree: &Tree) -> Result<GoMod, Refusal> {
        let content = match tree.find("go.mod") {
            Found::File(content) => String::from_utf8_lossy(content).into_owned(),
            Found::Nothing | Found::NotAFile | Found::Unread => return Err(absent(tree)),
        };
        let mut found = GoMod::default();
        let mut inside = false;
        for line in content.lines() {
            let (code, comment) = line.split_once("//").unwrap_or((line, ""));
            let mut words = code.split_whitespace();
            match (words.next(), words.next()) {
                (Some(")"), _) => inside = false,
                (Some("require"), Some("(")) => inside = true,
                (Some("require"), Some(path)) => found.requires.push(path.to_owned()),
                (Some(path), Some(_)) if inside => found.requires.push(path.to_owned()),
                (Some("module"), Some(name)) => found.module = name.trim_matches('"').to_owned(),
                (Some("go"), Some(version)) => found.go = Some(version.to_owned()),
                (Some("toolchain"), Some(name)) => found.toolchain = name.strip_prefix("go").map(str::to_owned),
                _ => {}
            }
            let mut words = comment.split_whitespace();
            match (words.next(), words.next()) {
                (Some("+heroku"), Some("install")) => found.install.extend(words.map(str::to_owned)),
                (Some("+heroku"), Some("goVersion")) => {
                    found.heroku_go = words.next().map(|text| text.trim_start_matches("go").to_owned());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    pub(crate) fn requires(&self, path: &str) -> bool {
        self.requires.iter().any(|known| known == path)
    }

    /// The name that Go gives to the command in the module's own folder.
    pub(crate) fn program(&self) -> String {
        let mut parts = self.module.rsplit('/');
        let last = parts.next().unwrap_or("");
        let version = last.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()));
        let name = if version { parts.next().unwrap_or(last) } else { last };
        if plain(name) { name.to_owned() } else { "app".to_owned() }
    }
}

fn absent(tree: &Tree) -> Refusal {
    let why = "there is no go.mod in the app's folder";
    let refusal = Refusal::new(
        Code::NoGoMod,
        "this is not a Go module",
        why,
        "`go mod init NAME && go mod tidy`, commit go.mod and go.sum, push",
    );
    match tree.0.keys().find_map(|path| path.strip_suffix("/go.mod").filter(|folder| folder.split('/').all(plain))) {
        Some(folder) => refusal.or(format!("go.mod is in {folder}/: apps:set APP root={folder}")),
        None => refusal,
    }
}

/// Whether the content of a Go file may decide something.
pub(crate) fn may_be_main(path: &str) -> bool {
    let Some(path) = path.strip_suffix(".go").filter(|path| !path.ends_with("_test")) else { return false };
    matches!(path.split('/').collect::<Vec<_>>()[..], [_] | ["cmd", _] | ["cmd", _, _])
}

/// Commands by name: the folder of each, `.` for the module's own.
pub(crate) fn commands(tree: &Tree, gomod: &GoMod) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, _) in tree.0.iter().filter(|(path, _)| may_be_main(path)) {
        let Found::File(content) = tree.find(path) else { continue };
        if !is_main(&String::from_utf8_lossy(content)) {
            continue;
        }
        match path.rsplit_once('/') {
            None => drop(found.insert(gomod.program(), ".".to_owned())),
            Some((folder, _)) => {
                let name = if folder == "cmd" { gomod.program() } else { folder.trim_start_matches("cmd/").to_owned() };
                if plain(&name) {
                    found.entry(name).or_insert_with(|| format!("./{folder}"));
                }
            }
        }
    }
    found
}

/// Whether a file belongs to a command, going by its first line of code and its build constraint.
fn is_main(text: &str) -> bool {
    let mut comment = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if comment || line.starts_with("/*") {
            comment = !line.contains("*/");
        } else if line.starts_with("//go:build") && line.contains("ignore") {
            return false;
        } else if !line.is_empty() && !line.starts_with("//") {
            let mut words = line.split(|c: char| c.is_whitespace() || c == ';');
            return words.next() == Some("package") && words.find(|word| !word.is_empty()) == Some("main");
        }
    }
    false
}

/// Whether a name can stand in a command and a path as it is.
pub(crate) fn plain(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with(['-', '.']) && name.chars().all(good)
}
