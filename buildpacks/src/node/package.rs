//! What package.json and the lock file say, as far as a plan depends on it.
//! Invariant: wrong types inside a valid JSON object count as absent, as they do for npm.
//! Absent: resolving dependencies; `npm ci` does that, and compares the lock with package.json.

use crate::json;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) scripts: BTreeMap<String, String>,
    /// What an instance needs.
    pub(crate) dependencies: BTreeSet<String>,
    /// What only a build needs.
    pub(crate) dev_dependencies: BTreeSet<String>,
    pub(crate) engines: BTreeMap<String, String>,
    pub(crate) package_manager: Option<String>,
    pub(crate) main: Option<String>,
    pub(crate) workspaces: bool,
    object: Map<String, Value>,
}

impl Package {
    /// None if there is no package.json.
    pub(crate) fn read(tree: &Tree) -> Result<Option<Package>, Refusal> {
        let Some(object) = json::object(tree, "package.json")? else { return Ok(None) };
        let names = |list: &[&str]| list.iter().flat_map(|name| json::texts(&object, name).into_keys()).collect();
        let held = |value: &Value| match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(inner) => !inner.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        Ok(Some(Package {
            scripts: json::texts(&object, "scripts"),
            dependencies: names(&["dependencies", "optionalDependencies", "peerDependencies"]),
            dev_dependencies: names(&["devDependencies"]),
            engines: json::texts(&object, "engines"),
            package_manager: json::text(&object, "packageManager").map(str::to_owned),
            main: json::text(&object, "main").map(str::to_owned),
            workspaces: object.get("workspaces").is_some_and(held),
            object,
        }))
    }

    /// A script that says something.
    pub(crate) fn script(&self, name: &str) -> Option<&str> {
        self.scripts.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// Whether it names packages of the app's own files.
    pub(crate) fn has_local(&self) -> bool {
        let lists = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
        let local = |from: &String| {
            ["file:", "link:"].iter().any(|start| from.starts_with(start))
                || from.starts_with(['.', '/', '~']) && from.contains('/')
        };
        lists.iter().any(|list| json::texts(&self.object, list).values().any(local))
    }

    /// The file without its scripts: what installing depends on. The root's scripts run in the app layer, where the
    /// sources and the build's dependencies are, so that a changed script does not install everything anew.
    pub(crate) fn without_scripts(&self) -> String {
        let mut object = self.object.clone();
        object.remove("scripts");
        serde_json::to_string_pretty(&object).unwrap_or_default()
    }
}

/// Whether files or package.json say how to run a Node.js server.
pub(crate) fn serves(tree: &Tree, package: &Package) -> bool {
    tree.has_file("Procfile") || tree.has_file("server.js") || package.script("start").is_some()
}

/// The script that builds, if there is one.
pub(crate) fn build_script(package: &Package) -> Option<&'static str> {
    ["heroku-postbuild", "build"].into_iter().find(|name| package.script(name).is_some())
}

/// Whether anything is installed for an app that runs these scripts when it is built.
pub(crate) fn needed(package: &Package, scripts: &[&str]) -> bool {
    let for_build = !scripts.is_empty() && !package.dev_dependencies.is_empty();
    !package.dependencies.is_empty() || package.workspaces || for_build
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) path: &'static str,
    /// Why installing needs all sources, if it does.
    pub(crate) local: Option<String>,
    /// Folders of installed packages besides `node_modules`: those of workspaces.
    pub(crate) nested: BTreeSet<String>,
}

/// npm's lock files; the first one wins, as with npm.
pub(crate) const LOCKS: [&str; 2] = ["npm-shrinkwrap.json", "package-lock.json"];
/// Lock files of others, and whose they are.
const FOREIGN: [(&str, &str); 5] = [
    ("yarn.lock", "Yarn"),
    ("pnpm-lock.yaml", "pnpm"),
    ("bun.lockb", "Bun"),
    ("bun.lock", "Bun"),
    ("deno.lock", "Deno"),
];

impl Lock {
    /// The lock file, or the refusal for its absence.
    pub(crate) fn read(tree: &Tree) -> Result<Lock, Refusal> {
        for path in LOCKS {
            match tree.find(path) {
                Found::Nothing => continue,
                Found::Unread => {
                    let local = Some(format!("{path} is too large to be looked into"));
                    return Ok(Lock { path, local, nested: BTreeSet::new() });
                }
                Found::NotAFile | Found::File(_) => {}
            }
            let object = json::object(tree, path)?.unwrap_or_default();
            return Ok(Lock { path, local: local(&object), nested: nested(&object) });
        }
        Err(absent(tree))
    }
}

fn absent(tree: &Tree) -> Refusal {
    const LOCK: &str = "npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'";
    match FOREIGN.iter().find(|(path, _)| tree.0.contains_key(*path)) {
        Some((path, owner)) => {
            let why = format!("there is a {path} and no package-lock.json: {owner} is not supported here yet");
            Refusal::new(Code::LockNotSupported, "dependencies cannot be installed", why, LOCK)
                .or(format!("then remove {path}, or keep it and both up to date, and push"))
        }
        None => {
            let why = "package.json has dependencies, but no package-lock.json says which versions";
            let refusal = Refusal::new(Code::LockMissing, "dependencies cannot be installed", why, LOCK)
                .or("in a workspace of a larger repository: the same in the app's folder, with npm install --workspaces=false");
            match ignored(tree) {
                true => refusal.or("if git ignores package-lock.json, remove it from .gitignore first"),
                false => refusal,
            }
        }
    }
}

/// Whether a line of .gitignore may be meant for the lock file.
pub(crate) fn ignored(tree: &Tree) -> bool {
    let Found::File(content) = tree.find(".gitignore") else { return false };
    let text = String::from_utf8_lossy(content);
    text.lines().any(|line| !line.starts_with('#') && (line.contains("package-lock") || line.contains("*.json")))
}

/// A package that is installed from the app's own files.
fn local(lock: &Map<String, Value>) -> Option<String> {
    let packages = lock.get("packages").and_then(Value::as_object).into_iter().flatten();
    let linked = |(path, entry): (&String, &Value)| {
        let link = entry.get("link").and_then(Value::as_bool) == Some(true);
        let file = entry.get("resolved").and_then(Value::as_str).is_some_and(|from| from.starts_with("file:"));
        let own = !path.is_empty() && !path.starts_with("node_modules/");
        (link || file || own).then(|| format!("{} comes from the app's own files", quote(path)))
    };
    let old = lock.get("dependencies").and_then(Value::as_object).into_iter().flatten();
    let old_linked = |(name, entry): (&String, &Value)| {
        let version = entry.get("version").and_then(Value::as_str)?;
        (version.starts_with("file:") || version.starts_with("link:"))
            .then(|| format!("{} comes from the app's own files", quote(name)))
    };
    packages.filter_map(linked).next().or_else(|| old.filter_map(old_linked).next())
}

fn nested(lock: &Map<String, Value>) -> BTreeSet<String> {
    let packages = lock.get("packages").and_then(Value::as_object).into_iter().flatten();
    let folder = |(path, _): (&String, &Value)| {
        let (folder, _) = path.split_once("/node_modules/")?;
        let safe = folder.split('/').all(|name| !matches!(name, "" | "." | ".." | "node_modules"));
        (safe && !folder.contains(char::is_control)).then(|| format!("{folder}/node_modules"))
    };
    packages.filter_map(folder).collect()
}
