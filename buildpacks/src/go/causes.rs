//! What the Go command prints when it fails, why, and what to do.
//! Invariant: only what it says of modules and toolchains.
//! Absent: what the compiler says of the app's own code.

use crate::cause::Known;

pub(crate) const CAUSES: &[Known] = &[
    (
        "missing go.sum entry",
        "go.sum does not have all modules",
        &["go mod tidy && git add go.mod go.sum && git commit -m 'go mod tidy'"],
    ),
    (
        "updates to go.mod needed",
        "go.mod does not fit the code",
        &["go mod tidy && git add go.mod go.sum && git commit -m 'go mod tidy'"],
    ),
    (
        "no required module provides package ",
        "go.mod does not have the module of %",
        &["go mod tidy && git add go.mod go.sum && git commit -m 'go mod tidy'"],
    ),
    (
        "inconsistent vendoring",
        "vendor/ does not fit go.mod",
        &["go mod vendor && git add vendor && git commit -m 'go mod vendor'"],
    ),
    (
        "verifying module: checksum mismatch",
        "a module is not the one that go.sum names",
        &["find out why; a private module: config:set APP GOPRIVATE=its.host"],
    ),
    (
        "terminal prompts disabled",
        "a module is in a private git repository that the build cannot read",
        &["`go mod vendor`, commit vendor/ and push", "or a private proxy: config:set APP GOPROXY=https://..."],
    ),
    ("note: module requires Go", "a module needs a newer Go", &["go get go@latest && go mod tidy, commit and push"]),
    ("requires go >= ", "a module needs Go %", &["go get go@% toolchain@none && go mod tidy, commit and push"]),
];
