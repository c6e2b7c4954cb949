//! Which Python an app asks for, and where.
//! Invariant: the first place that says something decides.
//! Absent: what the words mean.

use super::project::{get, table};
use crate::refusal::Refusal;
use crate::tree::{TOOL_VERSIONS, Tree};
use toml::Value;

/// A version as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) place: &'static str,
}

/// What the app asks for, from the first place that says something.
pub(crate) fn python_asked(tree: &Tree) -> Result<Option<Asked>, Refusal> {
    if let Some(text) = tree.first_line(".python-version") {
        return Ok(Some(Asked { text, place: ".python-version" }));
    }
    if let Some(text) = tree.first_line("runtime.txt") {
        let text = text.strip_prefix("python-").map_or(text.clone(), str::to_owned);
        return Ok(Some(Asked { text, place: "runtime.txt" }));
    }
    if let Some(text) = tree.tool_version(&["python"]) {
        return Ok(Some(Asked { text, place: TOOL_VERSIONS }));
    }
    if let Some(project) = table(tree, "pyproject.toml")? {
        let text = |path: &[&str]| get(&project, path).and_then(Value::as_str).map(str::to_owned);
        if let Some(text) = text(&["project", "requires-python"]) {
            return Ok(Some(Asked { text, place: "requires-python in pyproject.toml" }));
        }
        if let Some(text) = text(&["tool", "poetry", "dependencies", "python"]) {
            return Ok(Some(Asked { text, place: "tool.poetry.dependencies in pyproject.toml" }));
        }
    }
    if let Some(pipfile) = table(tree, "Pipfile")? {
        let text = |name: &str| get(&pipfile, &["requires", name]).and_then(Value::as_str).map(str::to_owned);
        if let Some(text) = text("python_full_version").or_else(|| text("python_version")) {
            return Ok(Some(Asked { text, place: "Pipfile" }));
        }
    }
    Ok(None)
}
