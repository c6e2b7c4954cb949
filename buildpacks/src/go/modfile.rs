//! What go.mod says, as far as a plan depends on it, and which folders hold commands.
//! Invariant: a folder is a command if one of its files that is built says `package main`.
//! Absent: resolving modules; Go does that, and checks go.sum.

use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::tree::{Found, Tree};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GoMod {
    pub(crate) module: String,
    /// `go 1.24`, `go 1.24.3`.
    pub(crate) go: Option<String>,
    /// `toolchain go1.24.5`.
    pub(crate) toolchain: Option<String>,
    pub(crate) requires: Vec<String>,
    /// Modules whose place a folder of the app's own takes.
    replaced: Vec<String>,
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
        let mut inside = "";
        for line in content.trim_start_matches('\u{feff}').lines() {
            let (code, comment) = line.split_once("//").unwrap_or((line, ""));
            let mut words = code.split_whitespace();
            match (words.next(), words.next()) {
                (Some(")"), _) => inside = "",
                (Some("require"), Some("(")) => inside = "require",
                (Some("replace"), Some("(")) => inside = "replace",
                (Some(_), Some("(")) => inside = "other",
                (Some("require"), Some(path)) => found.requires.push(path.trim_matches('"').to_owned()),
                (Some("replace"), Some(path)) => found.replaced.extend(by_folder(path, code)),
                (Some(path), Some(_)) if inside == "require" => found.requires.push(path.trim_matches('"').to_owned()),
                (Some(path), Some(_)) if inside == "replace" => found.replaced.extend(by_folder(path, code)),
                (Some(_), _) if !inside.is_empty() => {}
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

    /// Whether anything comes from elsewhere.
    pub(crate) fn fetches(&self) -> bool {
        self.requires.iter().any(|path| !self.replaced.contains(path))
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

/// The module that `path v1.0.0 => ./folder` replaces; none where it is replaced by another one.
fn by_folder(path: &str, line: &str) -> Option<String> {
    let to = line.split_once("=>")?.1.trim().trim_matches('"');
    to.starts_with(['.', '/']).then(|| path.trim_matches('"').to_owned())
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
    let is_command = |path: &str| match tree.find(path) {
        Found::File(content) => is_main(&String::from_utf8_lossy(content)),
        Found::Nothing | Found::NotAFile | Found::Unread => false,
    };
    let paths = tree.0.keys().filter(|path| may_be_main(path) && is_command(path));
    let folders: BTreeSet<&str> = paths.map(|path| path.rsplit_once('/').map_or(".", |(folder, _)| folder)).collect();
    named(folders.into_iter().map(|folder| match folder {
        "." => (gomod.program(), ".".to_owned()),
        "cmd" => (gomod.program(), "./cmd".to_owned()),
        folder => (folder.trim_start_matches("cmd/").to_owned(), format!("./{folder}")),
    }))
}

/// Programs by name. Where two folders give the same name, the first one has it, and the others are called by their whole path.
pub(crate) fn named(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for (name, folder) in all.filter(|(name, _)| plain(name)) {
        let whole = folder.trim_start_matches("./").replace('/', "-");
        let free = [name, whole].into_iter().find(|name| plain(name) && !found.contains_key(name));
        if let Some(name) = free.filter(|_| !found.values().any(|known| *known == folder)) {
            found.insert(name, folder);
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
