//! What npm prints when it fails, why, and what to do.
//! Invariant: only npm's own codes.
//! Absent: what an app's scripts print.

use crate::cause::Known;

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
