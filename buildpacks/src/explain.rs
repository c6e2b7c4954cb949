//! Why a step of a build failed, from the end of what it printed, and what to do.
//! Invariant: only what tools print in so many words is taken for a cause; everything else stays unexplained.
//! Absent: steps of the server's own making, and what a compiler says about the app's own code.

use crate::refusal::quote;

/// A likely cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The reason.
    pub why: String,
    /// What to do, in order; never empty.
    pub next: Vec<String>,
}

/// What a line holds, why that is, what to do. `%` in the last two is the word after the text.
type Known = (&'static str, &'static str, &'static [&'static str]);

/// Without requires-python a lock made under one Python is for that one.
const UV_LOCK: [&str; 2] = [
    "uv lock && git add uv.lock && git commit -m Lock",
    "no requires-python in pyproject.toml? Add one that this Python fits, such as \">=3.11\", and do the same",
];
const UNKNOWN_CA: &str = "the registry's certificate comes from an authority that builds do not know";
const TRUST: &[&str] =
    &["the server's setting ca-bundle names the authorities that builds trust: put this one into that file"];

/// In order: the first that any line holds wins.
const KNOWN: &[Known] = &[
    // The way to a registry: what npm, uv, pip, Go and apt say.
    ("SELF_SIGNED_CERT_IN_CHAIN", UNKNOWN_CA, TRUST),
    ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", UNKNOWN_CA, TRUST),
    ("invalid peer certificate: UnknownIssuer", UNKNOWN_CA, TRUST),
    ("CERTIFICATE_VERIFY_FAILED", UNKNOWN_CA, TRUST),
    ("certificate signed by unknown authority", UNKNOWN_CA, TRUST),
    ("Certificate verification failed: The certificate is NOT trusted", UNKNOWN_CA, TRUST),
    // Headers and libraries.
    (
        "fatal error: ",
        "a C header is missing: %",
        &["name the Debian package that has it in an Aptfile (`apt-file search` finds it), commit and push"],
    ),
    (
        "pg_config executable not found",
        "psycopg2 is compiled and finds no PostgreSQL",
        &["use psycopg2-binary, or put libpq-dev into an Aptfile"],
    ),
    (
        "cannot find -l",
        "a C library is missing: lib%",
        &["put the -dev package that has it into an Aptfile, commit and push"],
    ),
    (
        "Package libmysqlclient was not found",
        "mysqlclient is compiled and finds no MySQL",
        &["put `default-libmysqlclient-dev` into an Aptfile, commit and push"],
    ),
    // Aptfile.
    (
        "E: Unable to locate package ",
        "Debian has no package %",
        &["correct the name in Aptfile; `apt-cache search` on a Debian machine finds it"],
    ),
    ("E: Version ", "Debian has no such version: %", &["remove the =VERSION in Aptfile, or write one that there is"]),
    ("E: Package ", "the package % cannot be had", &["remove it from Aptfile, or name the one that replaces it"]),
    ("E: Failed to fetch", "Debian's packages could not be reached", &["push again; the mirror may be back"]),
    // Python.
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
        "was not found in the package registry",
        "a package is not in the registry: its name is above",
        &[
            "correct its name, commit and push",
            "is it private? config:set APP UV_INDEX_URL=https://USER:PASSWORD@HOST/simple",
        ],
    ),
    (
        "No solution found when resolving dependencies",
        "the dependencies contradict each other, or this Python",
        &[
            "lock them on your machine (`uv lock`, `poetry lock`) with the Python that is named above, commit and push",
            "another Python: write it in .python-version",
        ],
    ),
    (
        "Distribution not found at",
        "a dependency is a folder that is not in the commit: %",
        &["commit the folder, or correct the path"],
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
    // npm.
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
    // Go.
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

/// The likely cause of a step's failure, from the last lines it printed.
pub fn explain(step: &str, lines: &[&str]) -> Option<Cause> {
    let found = KNOWN.iter().find_map(|(text, why, next)| {
        let rest = lines.iter().find_map(|line| line.split_once(text).map(|(_, rest)| rest))?;
        // A compiler says this of the app's own files too.
        if *text == "fatal error: " && !rest.contains("No such file or directory") {
            return None;
        }
        let word = rest.split_whitespace().next().unwrap_or("").trim_matches(['\'', '"', '`', ':', ';', ',', ')']);
        let fill = |text: &str| text.replace('%', &quote(word));
        Some(Cause { why: fill(why), next: next.iter().map(|next| fill(next)).collect() })
    });
    found.or_else(|| missing_module(lines)).or_else(|| collectstatic(step, lines))
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

#[cfg(test)]
mod tests {
    use super::explain;
    use expect_test::{Expect, expect};

    fn check(step: &str, lines: &str, expect: Expect) {
        let lines: Vec<&str> = lines.lines().collect();
        let text = match explain(step, &lines) {
            Some(cause) => format!("{}\n-> {}\n", cause.why, cause.next.join("\n-> ")),
            None => "unexplained\n".to_owned(),
        };
        expect.assert_eq(&text);
    }

    #[test]
    fn causes() {
        let install = |lines: &str, expect| check("Installing dependencies", lines, expect);
        install(
            "x.c:4:10: fatal error: magic.h: No such file or directory\ncompilation terminated.",
            expect![[r#"
            a C header is missing: magic.h
            -> name the Debian package that has it in an Aptfile (`apt-file search` finds it), commit and push
        "#]],
        );
        install(
            "main.go: fatal error: all goroutines are asleep",
            expect![[r#"
            unexplained
        "#]],
        );
        install(
            "error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.",
            expect![[r#"
                uv.lock does not fit pyproject.toml
                -> uv lock && git add uv.lock && git commit -m Lock
                -> no requires-python in pyproject.toml? Add one that this Python fits, such as ">=3.11", and do the same
            "#]],
        );
        install(
            "E: Unable to locate package ffmpg",
            expect![[r#"
            Debian has no package ffmpg
            -> correct the name in Aptfile; `apt-cache search` on a Debian machine finds it
        "#]],
        );
        install(
            "go: example.com/x@v1.0.0 requires go >= 1.27 (running go 1.26.1)",
            expect![[r#"
            a module needs Go 1.27
            -> go get go@1.27 toolchain@none && go mod tidy, commit and push
        "#]],
        );
        install(
            "main.go:4:2: no required module provides package github.com/gorilla/mux; to add it:",
            expect![[r#"
                go.mod does not have the module of github.com/gorilla/mux
                -> go mod tidy && git add go.mod go.sum && git commit -m 'go mod tidy'
            "#]],
        );
        install(
            "  x Because flsk was not found in the package registry and you require flsk",
            expect![[r#"
                a package is not in the registry: its name is above
                -> correct its name, commit and push
                -> is it private? config:set APP UV_INDEX_URL=https://USER:PASSWORD@HOST/simple
            "#]],
        );
        install(
            "ModuleNotFoundError: No module named 'pkg_resources'",
            expect![[r#"
            Python finds no module pkg_resources
            -> add setuptools to the dependencies, lock and commit: a package relies on it without saying so
        "#]],
        );
        install(
            "",
            expect![[r#"
            unexplained
        "#]],
        );
        check(
            "Collecting static files",
            "Traceback\nKeyError: 'API_KEY'\n",
            expect![[r#"
            collectstatic ended with: KeyError: 'API_KEY'
            -> config:set APP API_KEY=... before the push: the settings read it
            -> run `python manage.py collectstatic --noinput` on your machine
            -> not wanted? config:set APP DISABLE_COLLECTSTATIC=1
        "#]],
        );
        check(
            "Collecting static files",
            "ModuleNotFoundError: No module named 'shop'",
            expect![[r#"
            Python finds no module shop
            -> add the package that has it to the dependencies, lock and commit; is shop a file of yours that git ignores?
        "#]],
        );
        check(
            "Collecting static files",
            "",
            expect![[r#"
            collectstatic ended with: 
            -> run `python manage.py collectstatic --noinput` on your machine
            -> not wanted? config:set APP DISABLE_COLLECTSTATIC=1
        "#]],
        );
    }
}
