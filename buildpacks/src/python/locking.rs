//! uv.lock or poetry.lock for a pyproject.toml that has none.
//! Invariant: a list of requirements, or any lock file that is there, is what is installed, and nothing is made beside it.
//! Absent: Pipfile.lock, which only Pipenv makes.

use super::app;
use super::dependencies::Dependencies;
use super::layers::Make;
use super::project::{get, table};
use super::requirements::may_be_list;
use super::tool::tools;
use super::unlocked::{MANIFEST, wanted};
use super::version;
use crate::locking::{Known, Locking, Unlocked};
use crate::plan::{KeyPart, Layer};
use crate::refusal::Refusal;
use crate::tree::Tree;
use toml::{Table, Value};

pub(crate) const LOCKING: Locking = Locking { unlocked, layers };

/// Whether the tool looks into more than pyproject.toml: then it sees everything.
fn looks_around(project: &Table) -> bool {
    let fields = get(project, &["project", "dynamic"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let members = get(project, &["tool", "uv", "workspace"]).is_some();
    fields || members || project.iter().any(|(name, value)| names_files(name, value))
}

/// Whether something in here may be a place among the app's own files.
fn names_files(name: &str, value: &Value) -> bool {
    match value {
        Value::Table(inner) => inner.iter().any(|(name, value)| names_files(name, value)),
        Value::Array(list) => list.iter().any(|value| names_files("", value)),
        Value::String(text) => name == "path" || text.contains("file:"),
        Value::Integer(_) | Value::Float(_) | Value::Datetime(_) => false,
        Value::Boolean(_) => name == "workspace",
    }
}

fn unlocked(tree: &Tree) -> Result<Option<Unlocked>, Refusal> {
    let Some(manager) = wanted(tree)? else { return Ok(None) };
    let key = inputs(tree)?.into_iter().map(KeyPart::File).collect();
    Ok(Some(Unlocked { file: manager.file(), key, manifest: MANIFEST, notes: Vec::new() }))
}

/// The files that say what is asked for.
fn inputs(tree: &Tree) -> Result<Vec<String>, Refusal> {
    let around = table(tree, MANIFEST)?.is_some_and(|project| looks_around(&project));
    let named = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let own = [MANIFEST, "uv.toml", "poetry.toml"].contains(&path.as_str());
        let metadata =
            [MANIFEST, "setup.py", "setup.cfg"].contains(&name) || may_be_list(path) || name.ends_with(".whl");
        own || (around && metadata)
    };
    Ok(tree.0.keys().filter(named).cloned().collect())
}

fn layers(tree: &Tree, known: Known<'_>) -> Result<Vec<Layer>, Refusal> {
    let Known { settings, pins, facts, before } = known;
    let Some(manager) = wanted(tree)? else { return Ok(Vec::new()) };
    let python = version::choose(tree, settings, pins, facts).map_err(|stop| app::unknown(stop, "Python"))?;
    let found = Dependencies::of(manager);
    let chosen = tools(tree, Some(&found))
        .into_iter()
        .map(|tool| Ok((tool.name, tool.choose(pins, facts).map_err(|stop| app::unknown(stop, tool.name))?.0)));
    let chosen = chosen.collect::<Result<Vec<_>, Refusal>>()?;
    let version = |name: &str| chosen.iter().find(|(tool, _)| *tool == name).map(|(_, version)| version.as_str());
    let make = Make {
        python: &python,
        uv: version("uv").unwrap_or_default(),
        poetry: version("poetry"),
        dependencies: None,
        config: &settings.config,
        named: Vec::new(),
        collectstatic: false,
    };
    let whole = table(tree, MANIFEST)?.is_some_and(|project| looks_around(&project));
    Ok(make.locking(manager, Some(inputs(tree)?).filter(|_| !whole), before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{facts, ids, tree};
    use crate::{Pins, Settings};
    use crate::{ask, locking, unlocked};

    fn made_of(files: &str) -> String {
        match unlocked(&tree(files), &Settings::default()).unwrap() {
            None => "not needed".to_owned(),
            Some(found) => {
                let key = found.key.iter().map(|part| match part {
                    KeyPart::File(path) => path.clone(),
                    other => format!("{other:?}"),
                });
                format!("{} of {}", found.file, key.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn what_a_lock_file_is_made_of() {
        let project = "-- pyproject.toml\n[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"flask\"]\n";
        for (files, want) in [
            (project.to_owned(), "uv.lock of pyproject.toml"),
            (format!("{project}-- uv.toml\n-- lib/pyproject.toml\n"), "uv.lock of pyproject.toml uv.toml"),
            (format!("{project}-- uv.lock\n"), "not needed"),
            (format!("{project}-- requirements.txt\nflask\n"), "not needed"),
            ("-- pyproject.toml\n[project]\nname = \"x\"\n".to_owned(), "not needed"),
            (
                format!("{project}[tool.uv.sources]\nlib = {{ path = \"lib\" }}\n-- lib/pyproject.toml\n-- a.py\n"),
                "uv.lock of lib/pyproject.toml pyproject.toml",
            ),
            (
                "-- pyproject.toml\n[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n-- setup.py\n-- deps/requirements-x.txt\n-- app.py"
                    .to_owned(),
                "uv.lock of deps/requirements-x.txt pyproject.toml setup.py",
            ),
            (
                "-- pyproject.toml\n[tool.poetry.dependencies]\npython = \"^3.11\"\nflask = \"*\"\n".to_owned(),
                "poetry.lock of pyproject.toml",
            ),
            ("-- Pipfile\n[packages]\nflask = \"*\"\n".to_owned(), "not needed"),
        ] {
            assert_eq!(made_of(&files), want, "{files}");
        }
    }

    #[test]
    fn it_is_asked_for_and_made_before_there_is_a_plan() {
        let (settings, none) = (Settings::default(), Pins::new());
        let poetry = tree("-- pyproject.toml\n[tool.poetry.dependencies]\npython = \"^3.11\"\nflask = \"*\"\n");
        assert_eq!(ids(ask(&poetry, &settings, &none)), "pythons-deb13 pypi-uv pypi-poetry");
        let (facts, before) = (facts(), Some("x".to_owned()));
        let known = Known { settings: &settings, pins: &none, facts: &facts, before };
        let layers = locking(&poetry, known).unwrap();
        let names = layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["runtime", "installer", "lock"]);
        assert!(layers[2].input_files.iter().any(|file| file.path == "/app/poetry.lock" && file.content == "x"));
    }
}
