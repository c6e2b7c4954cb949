//! What uv, Poetry, packages that are compiled, and Django print when they fail, why, and what to do.
//! Invariant: a module that is not installed is told from one that the commit lacks by nobody: both are said.
//! Absent: what an app's own code prints.

use crate::cause::{Cause, Known};
use crate::refusal::quote;

/// Without requires-python a lock made under one Python is for that one.
const UV_LOCK: [&str; 2] = [
    "uv lock && git add uv.lock && git commit -m Lock",
    "no requires-python in pyproject.toml? Add one that this Python fits, such as \">=3.11\", and do the same",
];

pub(crate) const CAUSES: &[Known] = &[
    (
        "pg_config executable not found",
        "psycopg2 is compiled and finds no PostgreSQL",
        &["use psycopg2-binary, or put libpq-dev into an Aptfile"],
    ),
    ("needs to be updated, but `--locked` was provided", "uv.lock does not fit pyproject.toml", &UV_LOCK),
    ("`--locked` was provided", "uv.lock does not fit pyproject.toml", &UV_LOCK),
    (
        "pyproject.toml changed significantly since poetry.lock",
        "poetry.lock does not fit pyproject.toml",
        &["poetry lock && git add poetry.lock && git commit -m Lock"],
    ),
    (
        "Hash mismatch for",
        "a package is not the one that was locked: %",
        &["lock again and commit; if nothing changed on purpose, find out why the registry gives other bytes"],
    ),
    (
        "Git operation failed",
        "a dependency comes from a git repository that the build cannot read",
        &[
            "publish it to a registry and name that (UV_INDEX_URL or PIP_INDEX_URL as a config var), or copy its code into the repository",
        ],
    ),
    (
        "failed to clone",
        "a dependency comes from a git repository that the build cannot read",
        &[
            "publish it to a registry and name that (UV_INDEX_URL or PIP_INDEX_URL as a config var), or copy its code into the repository",
        ],
    ),
    (
        "because of the following error: HTTP status client error (401",
        "a private registry wants a password",
        &["config:set APP UV_INDEX_URL=https://USER:PASSWORD@HOST/simple"],
    ),
    (
        "401 Unauthorized",
        "a private registry wants a password",
        &["config:set APP UV_INDEX_URL=https://USER:PASSWORD@HOST/simple"],
    ),
    (
        "Distribution not found at",
        "a dependency is a folder that is not in the commit: %",
        &["commit the folder, or correct the path"],
    ),
    (
        "File not found: ",
        "a file that the requirements include is not in the commit: %",
        &["git add it, commit and push; a path there is written with /, as Linux has it"],
    ),
    // Django.
    (
        "You're using the staticfiles app without having set the STATIC_ROOT",
        "the settings have no STATIC_ROOT",
        &[
            "write STATIC_ROOT = BASE_DIR / \"staticfiles\" into the settings",
            "not wanted? config:set APP DISABLE_COLLECTSTATIC=1",
        ],
    ),
    (
        "The SECRET_KEY setting must not be empty",
        "SECRET_KEY is not set at build time",
        &["config:set APP SECRET_KEY=...", "not wanted? config:set APP DISABLE_COLLECTSTATIC=1"],
    ),
    (
        "django.core.exceptions.ImproperlyConfigured: ",
        "the settings cannot be loaded at build time",
        &["config:set APP the variable that is named above", "not wanted? config:set APP DISABLE_COLLECTSTATIC=1"],
    ),
];

pub(crate) fn explain(step: &str, lines: &[&str]) -> Option<Cause> {
    unresolved(lines).or_else(|| missing_module(lines)).or_else(|| collectstatic(step, lines))
}

/// Longest piece of a resolver's own words that is repeated.
const WORDS_MAX: usize = 400;

/// A mirror of the registry without the interface that Poetry asks: it has the package's files, and not what it needs.
fn unanswered(lines: &[&str]) -> Option<Cause> {
    let line = lines.iter().rev().find(|line| !line.trim().is_empty())?.trim();
    let named = line.strip_prefix("Package ").and_then(|rest| rest.strip_suffix(" not found."))?;
    if !named.contains(" (") {
        return None;
    }
    let next = "poetry lock && git add poetry.lock && git commit -m Lock, push again".to_owned();
    let mirror =
        "is the registry here a mirror? Poetry asks for /pypi/NAME/VERSION/json, which many mirrors do not have"
            .to_owned();
    Some(Cause { why: format!("Poetry: {}", quote(line)), next: vec![next, mirror] })
}

/// Packages that the registry does not have, or that do not go together, in the resolver's own words.
fn unresolved(lines: &[&str]) -> Option<Cause> {
    const PRIVATE: &str = "is it private? config:set APP UV_INDEX_URL=https://USER:PASSWORD@HOST/simple";
    // uv breaks its lines.
    let text = lines.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
    let words = |tool: &str, from: &str, to: &str| {
        let rest = text.split_once(from)?.1;
        let end = rest.find(to).map_or(rest.len(), |at| at.saturating_add(to.len()));
        let said: String = rest.get(..end)?.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        Some(format!("{tool}: {from}{said}"))
    };
    if let Some(cause) = unanswered(lines) {
        return Some(cause);
    }
    let uv = text.contains("No solution found when resolving") || text.contains("in the package registry");
    let why = match uv {
        true => words("uv", "Because ", " unsatisfiable."),
        false => words("Poetry", "Because ", "version solving failed."),
    };
    let missing =
        text.contains(" was not found in the package registry") || text.contains("doesn't match any versions");
    if !missing && !uv && !text.contains("version solving failed") {
        return None;
    }
    let why = why.unwrap_or_else(|| "the dependencies contradict each other, or this Python".to_owned());
    let next = match missing {
        true => ["correct its name or version, commit and push", PRIVATE],
        false => [
            "lock them on your machine (`uv lock`, `poetry lock`) with the Python that is named above, commit and push",
            "another Python: write it in .python-version",
        ],
    };
    Some(Cause { why, next: next.map(str::to_owned).to_vec() })
}

/// Python's word for a module that is not installed.
fn missing_module(lines: &[&str]) -> Option<Cause> {
    let name = lines.iter().rev().find_map(|line| line.split_once("ModuleNotFoundError: No module named '"))?.1;
    let name = name.split('\'').next().unwrap_or(name);
    let why = format!("Python finds no module {}", quote(name));
    let mut next = vec![format!(
        "add the package that has it to the dependencies, lock and commit; is {} a file of yours that git ignores?",
        quote(name)
    )];
    if matches!(name, "setuptools" | "pkg_resources" | "distutils") {
        next = vec![
            "add setuptools to the dependencies, lock and commit: a package relies on it without saying so".to_owned(),
        ];
    }
    Some(Cause { why, next })
}

fn collectstatic(step: &str, lines: &[&str]) -> Option<Cause> {
    if step != "Collecting static files" {
        return None;
    }
    let last = lines.iter().rev().find(|line| !line.trim().is_empty()).map_or("", |line| line.trim());
    let mut next = vec!["run `python manage.py collectstatic --noinput` on your machine".to_owned()];
    if let Some(name) = last.strip_prefix("KeyError: ") {
        next.insert(
            0,
            format!("config:set APP {}=... before the push: the settings read it", quote(name.trim_matches('\''))),
        );
    }
    next.push("not wanted? config:set APP DISABLE_COLLECTSTATIC=1".to_owned());
    Some(Cause { why: format!("collectstatic ended with: {}", quote(last)), next })
}
