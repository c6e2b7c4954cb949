//! What npm prints when it fails, why, and what to do.
//! Invariant: only npm's own codes.
//! Absent: what an app's scripts print.

use crate::cause::Known;

pub(crate) const CAUSES: &[Known] = &[
    (
        "npm error code EUSAGE",
        "package-lock.json does not fit package.json",
        &["npm install && git add package-lock.json && git commit -m 'Lock', push again"],
    ),
    (
        "npm error code ERESOLVE",
        "two packages want different versions of a third",
        &["npm install here until it succeeds, commit package.json and package-lock.json, push again"],
    ),
    (
        "npm error code E404",
        "the registry does not have one of the packages",
        &["check its name and version in package.json"],
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
