//! What npm prints when it fails, why, and what to do.
//! Invariant: only npm's own codes.
//! Absent: what an app's scripts print.

use crate::cause::{Cause, Known};
use crate::refusal::quote;

const FOREIGN_LOCK: &str = "package-lock.json was made on another system and lacks what Linux needs";
/// npm keeps what it has: npm/cli#4828.
const OTHER_SYSTEM: &[&str] = &[
    "rm -r node_modules package-lock.json && npm install && git add package-lock.json && git commit -m Lock, push again",
    "both at once: while one of them is there, npm install adds nothing",
];

pub(crate) const CAUSES: &[Known] = &[
    (
        "npm error code EUSAGE",
        "package-lock.json does not fit package.json",
        &["npm install && git add package-lock.json && git commit -m 'Lock', push again"],
    ),
    ("npm has a bug related to optional dependencies", FOREIGN_LOCK, OTHER_SYSTEM),
    (
        "npm error code EBADPLATFORM",
        "a package is for another system than Linux: its name is above",
        &[
            "move it to optionalDependencies in package.json, npm install, commit both and push",
            "is it only in package-lock.json? rm -r node_modules package-lock.json && npm install, commit and push",
        ],
    ),
    ("Cannot find module '@rollup/rollup-linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Cannot find module '@esbuild/linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Could not load the \"sharp\" module using the linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Failed to load native binding", FOREIGN_LOCK, OTHER_SYSTEM),
    ("The package \"@esbuild/linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Cannot find module '../lightningcss.linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Cannot find module '@swc/core-linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Cannot find module '@parcel/watcher-linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    ("Cannot find module '@tailwindcss/oxide-linux-", FOREIGN_LOCK, OTHER_SYSTEM),
    (
        "npm error code ERESOLVE",
        "two packages want different versions of a third",
        &["npm install here until it succeeds, commit package.json and package-lock.json, push again"],
    ),
    (
        "npm error code E401",
        "the registry wants to know who asks",
        &["set the token that .npmrc names: config:set APP NPM_TOKEN=…"],
    ),
    (
        "npm error code E403",
        "the registry does not let this token read a package",
        &["config:set APP NPM_TOKEN=… with one that may"],
    ),
];

/// Packages that the registry does not have, in npm's own words. npm before 10 says `ERR!` for `error`.
pub(crate) fn explain(_: &str, lines: &[&str]) -> Option<Cause> {
    let said = |code: &str| {
        lines.iter().find_map(|line| {
            let rest = line.trim_start().strip_prefix("npm ")?;
            let rest = rest.strip_prefix("error ").or_else(|| rest.strip_prefix("ERR! "))?;
            rest.strip_prefix(code).map(str::trim)
        })
    };
    let all = |code: &str, text: &str| {
        lines
            .iter()
            .find_map(|line| line.split_once(code).map(|(_, rest)| rest.trim()).filter(|rest| rest.contains(text)))
    };
    let next = |text: &str| {
        vec![
            text.to_owned(),
            "is it private? .npmrc must name its registry, and a token: config:set APP NPM_TOKEN=…".to_owned(),
        ]
    };
    if said("code E404").is_some() {
        let words = all(" 404 ", " is not in this registry").or_else(|| all(" 404 ", " could not be found"));
        let name = words.and_then(|words| words.split('\'').nth(1));
        let words = words.or_else(|| said("404")).unwrap_or("");
        let why = match name {
            Some(name) => format!("npm: E404 {}: the registry has no such package", quote(name)),
            None => format!("npm: E404 {}", quote(words)),
        };
        return Some(Cause { why, next: next("correct its name in package.json, commit and push") });
    }
    if said("code ETARGET").is_some() {
        let words = said("notarget No matching version found for").unwrap_or("").trim_end_matches('.');
        let why = format!("npm: ETARGET {}: the registry has no such version", quote(words));
        return Some(Cause { why, next: vec!["correct the version in package.json, commit and push".to_owned()] });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        explain("", &text.lines().collect::<Vec<_>>()).map_or_else(|| "unknown".to_owned(), |cause| cause.why)
    }

    #[test]
    fn what_the_registry_does_not_have_is_named() {
        let e404 = |said: &str, name: &str| {
            format!(
                "npm {said} code E404\nnpm {said} 404 Not Found - GET https://r/no-such - Not found\nnpm {said} 404\nnpm {said} 404  '{name}' is not in this registry."
            )
        };
        let want = "npm: E404 no-such@^1.0.0: the registry has no such package";
        assert_eq!(why(&e404("error", "no-such@^1.0.0")), want);
        assert_eq!(why(&e404("ERR!", "no-such@^1.0.0")), want);
        let other = "npm error code E404\nnpm error 404  The requested resource 'no-such@^1.0.0' could not be found or you do not";
        assert_eq!(why(other), want);
        assert_eq!(
            why("npm error code E404\nnpm error 404 Not Found - GET https://r/x"),
            "npm: E404 Not Found - GET https://r/x"
        );
        let target = "npm error code ETARGET\nnpm error notarget No matching version found for ms@^99.0.0.";
        assert_eq!(why(target), "npm: ETARGET ms@^99.0.0: the registry has no such version");
        assert_eq!(why("npm error code EUSAGE"), "unknown");
    }
}
