//! Whether a project has dependencies and no file that says which versions.
//! Invariant: any file that is installed from is enough. Absent: making one.

use super::dependencies::Manager;
use super::project::{get, table};
use crate::refusal::Refusal;
use crate::tree::Tree;
use toml::{Table, Value};

pub(crate) const MANIFEST: &str = "pyproject.toml";
/// Who reads which file, the first one that is there.
pub(crate) const FILES: [Manager; 4] = [Manager::Uv, Manager::Poetry, Manager::Pipenv, Manager::Pip];

/// Who makes the lock file, where a project has dependencies and none.
pub(crate) fn wanted(tree: &Tree) -> Result<Option<Manager>, Refusal> {
    if FILES.iter().any(|manager| tree.0.contains_key(manager.file())) || tree.0.contains_key("Pipfile") {
        return Ok(None);
    }
    let Some(project) = table(tree, MANIFEST)? else { return Ok(None) };
    let listed = |path: &[&str]| get(&project, path).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    Ok(if get(&project, &["tool", "poetry", "dependencies"]).is_some() {
        Some(Manager::Poetry)
    } else if listed(&["project", "dependencies"]) || dynamic(&project) {
        Some(Manager::Uv)
    } else {
        None
    })
}

/// Whether a build backend says what the dependencies are.
fn dynamic(project: &Table) -> bool {
    let fields = get(project, &["project", "dynamic"]).and_then(Value::as_array).into_iter().flatten();
    fields.filter_map(Value::as_str).any(|field| field == "dependencies")
}
