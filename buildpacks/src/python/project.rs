//! pyproject.toml and Pipfile, as tables.
//! Invariant: wrong types inside a valid file count as absent.
//! Absent: what their entries mean for installing.

use super::dependencies::normal;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use toml::{Table, Value};

/// A TOML file; none if there is no such file.
pub(crate) fn table(tree: &Tree, path: &str) -> Result<Option<Table>, Refusal> {
    let content = match tree.find(path) {
        Found::Nothing | Found::Unread => return Ok(None),
        Found::NotAFile => {
            let why = "a symbolic link or a submodule has this name, and links are not followed";
            let next = format!("commit {path} as a plain file in the app's own folder");
            return Err(Refusal::new(Code::NotAFile, format!("{path} is not a file"), why, &next));
        }
        Found::File(content) => content,
    };
    let text = String::from_utf8_lossy(content);
    match text.trim_start_matches('\u{feff}').parse::<Table>() {
        Ok(table) => Ok(Some(table)),
        Err(err) => {
            let at = err.span().map_or(0, |span| text.get(..span.start).unwrap_or("").matches('\n').count());
            let why = format!("line {}: {}", at.saturating_add(1), quote(err.message()));
            let next = format!("correct {path}, commit and push");
            Err(Refusal::new(Code::BadToml, format!("{path} is not valid TOML"), why, &next))
        }
    }
}

/// A value inside tables.
pub(crate) fn get<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Value> {
    let (last, folders) = path.split_last()?;
    folders.iter().try_fold(table, |table, name| table.get(*name)?.as_table())?.get(*last)
}

/// Whether a project's own package is among its files.
pub(crate) fn has_package(tree: &Tree, project: &Table) -> bool {
    let name = ["project", "tool.poetry"].iter().find_map(|at| {
        let path: Vec<&str> = at.split('.').chain(["name"]).collect();
        get(project, &path).and_then(Value::as_str)
    });
    let module = normal(name.unwrap_or_default()).replace('-', "_");
    let listed = get(project, &["tool", "poetry", "packages"]).is_some();
    let init = |folder: &str| tree.has_file(&format!("{folder}{module}/__init__.py"));
    !module.is_empty() && (listed || init("") || init("src/"))
}
