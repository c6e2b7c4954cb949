//! The dependencies of a Python app, as its lock files and lists have them.
//! Invariant: one file decides what is installed; of several, a lock comes before a list, and the others are named.
//! Absent: resolving anything.

use super::dependencies::{Dependencies, Manager, normal};
use super::project::{get, has_package, table};
use super::requirements;
use super::unlocked::{FILES, wanted};
use crate::json;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// The dependencies, or none if no file names any.
pub(crate) fn read(tree: &Tree) -> Result<Option<Dependencies>, Refusal> {
    let there: Vec<Manager> = FILES.into_iter().filter(|manager| tree.0.contains_key(manager.file())).collect();
    let Some(manager) = there.first().copied() else { return without_lock(tree) };
    let mut found = match manager {
        Manager::Uv => uv(tree)?,
        Manager::Poetry => poetry(tree)?,
        Manager::Pipenv => pipenv(tree)?,
        Manager::Pip => requirements::read(tree)?,
    };
    for other in there.iter().skip(1) {
        found.warnings.push(format!(
            "{} is not used, as there is {}: remove one of them",
            other.file(),
            manager.file()
        ));
    }
    Ok(Some(found))
}

fn without_lock(tree: &Tree) -> Result<Option<Dependencies>, Refusal> {
    let (what, lock) = if tree.0.contains_key("Pipfile") {
        ("Pipfile", "pipenv lock && git add Pipfile.lock && git commit -m Lock")
    } else {
        match wanted(tree)? {
            None => return Ok(None),
            Some(Manager::Poetry) => ("pyproject.toml", "poetry lock && git add poetry.lock && git commit -m Lock"),
            Some(_) => ("pyproject.toml", "uv lock && git add uv.lock && git commit -m Lock"),
        }
    };
    let why = format!("{what} has dependencies, but no lock file says which versions");
    let refusal = Refusal::new(Code::LockMissing, "dependencies cannot be installed", why, lock);
    Err(refusal.or("looked for: uv.lock, poetry.lock, Pipfile.lock, requirements.txt"))
}

fn packages(lock: &Table) -> impl Iterator<Item = &Table> {
    lock.get("package").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn lock_and_project(manager: Manager, tree: &Tree) -> Result<(Table, Table, Vec<String>), Refusal> {
    let lock = table(tree, manager.file())?.unwrap_or_default();
    let Some(project) = table(tree, "pyproject.toml")? else {
        let why = format!("there is {} and no pyproject.toml", manager.file());
        return Err(Refusal::new(
            Code::NoPyproject,
            "dependencies cannot be installed",
            why,
            "git add pyproject.toml, commit and push",
        ));
    };
    Ok((lock, project, vec!["pyproject.toml".to_owned(), manager.file().to_owned()]))
}

fn uv(tree: &Tree) -> Result<Dependencies, Refusal> {
    let (lock, project, mut files) = lock_and_project(Manager::Uv, tree)?;
    files.extend(["uv.toml"].into_iter().filter(|path| tree.has_file(path)).map(str::to_owned));
    let own = get(&project, &["project", "name"]).and_then(Value::as_str).map(normal).unwrap_or_default();
    let mut local =
        matches!(tree.find("uv.lock"), Found::Unread).then(|| "uv.lock is too large to be looked into".to_owned());
    let dynamic = get(&project, &["project", "dynamic"]).and_then(Value::as_array).into_iter().flatten();
    if dynamic.filter_map(Value::as_str).any(|field| field.ends_with("dependencies")) {
        local = Some("dependencies are dynamic in pyproject.toml".to_owned());
    }
    let mut package = false;
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in packages(&lock) {
        let name = entry.get("name").and_then(Value::as_str).map(normal).unwrap_or_default();
        let source = entry.get("source").and_then(Value::as_table);
        let from = |kind: &str| source.and_then(|source| source.get(kind)?.as_str());
        let path = ["editable", "directory", "virtual", "path"].iter().find_map(|kind| Some((*kind, from(kind)?)));
        // An index can be a folder: `find-links`, or an index of the format "flat".
        let path = path.or_else(|| Some(("registry", from("registry").filter(|place| !place.contains("://"))?)));
        match path {
            Some((kind, ".")) if name == own => package = kind != "virtual",
            Some(_) => local = local.or_else(|| Some(format!("{} comes from the app's own files", quote(&name)))),
            None => {}
        }
        let listed = |value: Option<&Value>| {
            let list = value.and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|need| need.get("name")?.as_str().map(normal)).collect::<Vec<_>>()
        };
        let mut all = listed(entry.get("dependencies"));
        if name != own {
            let optional = entry.get("optional-dependencies").and_then(Value::as_table).into_iter().flatten();
            all.extend(optional.flat_map(|(_, list)| listed(Some(list))));
        }
        needs.insert(name, all);
    }
    let names = transitive(&needs, &own);
    let unsure = lock.is_empty();
    Ok(Dependencies { files, local, package, names, unsure, ..Dependencies::of(Manager::Uv) })
}

fn transitive(needs: &BTreeMap<String, Vec<String>>, from: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open: Vec<&str> = needs.get(from).into_iter().flatten().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if names.insert(name.to_owned()) {
            open.extend(needs.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    names
}

fn poetry(tree: &Tree) -> Result<Dependencies, Refusal> {
    let (lock, project, files) = lock_and_project(Manager::Poetry, tree)?;
    let mut local = matches!(tree.find("poetry.lock"), Found::Unread)
        .then(|| "poetry.lock is too large to be looked into".to_owned());
    let mut names = BTreeSet::new();
    for entry in packages(&lock) {
        let name = entry.get("name").and_then(Value::as_str).map(normal).unwrap_or_default();
        let kind = get(entry, &["source", "type"]).and_then(Value::as_str);
        if matches!(kind, Some("directory" | "file")) {
            local = local.or_else(|| Some(format!("{} comes from the app's own files", quote(&name))));
        }
        let groups = entry.get("groups").and_then(Value::as_array);
        if groups.is_none_or(|groups| groups.iter().any(|group| group.as_str() == Some("main"))) {
            names.insert(name);
        }
    }
    let off = get(&project, &["tool", "poetry", "package-mode"]).and_then(Value::as_bool) == Some(false);
    let package = !off && project.contains_key("build-system") && has_package(tree, &project);
    let unsure = lock.is_empty();
    Ok(Dependencies { files, local, package, names, unsure, ..Dependencies::of(Manager::Poetry) })
}

fn pipenv(tree: &Tree) -> Result<Dependencies, Refusal> {
    let lock = json::object(tree, "Pipfile.lock")?.unwrap_or_default();
    let (mut names, mut lines, mut local) = (BTreeSet::new(), Vec::new(), None);
    let sources = lock.get("_meta").and_then(|meta| meta.get("sources")?.as_array()).into_iter().flatten();
    for (n, source) in sources.filter_map(|source| source.get("url")?.as_str()).enumerate() {
        // The registry itself is what installing asks anyway; naming it would overrule a setting of the server's.
        if n > 0 || source.contains('$') {
            lines.push(format!("{} {source}", if n == 0 { "--index-url" } else { "--extra-index-url" }));
        }
    }
    for (name, entry) in lock.get("default").and_then(|d| d.as_object()).into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(serde_json::Value::as_str);
        let texts = |key: &str| {
            entry
                .get(key)
                .and_then(serde_json::Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(serde_json::Value::as_str)
        };
        let extras: Vec<&str> = texts("extras").collect();
        let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
        let vcs = ["git", "hg", "svn", "bzr"].into_iter().find_map(|kind| Some((kind, text(kind)?)));
        let mut line = match (text("version"), vcs, text("path").or(text("file"))) {
            (Some(version), _, _) => format!("{name}{extras}{}", if version == "*" { "" } else { version }),
            (None, Some((kind, from)), _) => {
                let below = text("subdirectory").map(|folder| format!("#subdirectory={folder}")).unwrap_or_default();
                format!("{name}{extras} @ {kind}+{from}@{}{below}", text("ref").unwrap_or("HEAD"))
            }
            (None, None, Some(url)) if url.contains("://") && !url.starts_with("file:") => {
                format!("{name}{extras} @ {url}")
            }
            (None, None, Some(path)) => {
                local = Some(format!("{} comes from the app's own files", quote(name)));
                let editable = entry.get("editable").and_then(serde_json::Value::as_bool) == Some(true);
                format!("{}{path}", if editable { "-e " } else { "" })
            }
            // Whatever it is, it is not left out in silence.
            (None, None, None) => format!("{name}{extras}"),
        };
        if let Some(markers) = text("markers") {
            line.push_str(&format!(" ; {markers}"));
        }
        if text("version").is_some() {
            line.extend(texts("hashes").map(|hash| format!(" --hash={hash}")));
        }
        lines.push(line.replace(char::is_control, " "));
        names.insert(normal(name));
    }
    lines.push(String::new());
    let (files, requirements) = (vec!["Pipfile.lock".to_owned()], Some(lines.join("\n")));
    Ok(Dependencies { files, local, names, requirements, ..Dependencies::of(Manager::Pipenv) })
}
