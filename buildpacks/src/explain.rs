//! Why a step of a build failed, from the end of what it printed, and what to do.
//! Invariant: only what tools print in so many words is taken for a cause; everything else stays unexplained.
//! Absent: steps of the server's own making, and what a compiler says about the app's own code.

use crate::aptfile;
use crate::cause::{self, Cause, Known};
use crate::language::Languages;
use crate::scripts::{self, Sure};

const UNKNOWN_CA: &str = "the registry's certificate comes from an authority that builds do not know";
const TRUST: &[&str] =
    &["the server's setting ca-bundle names the authorities that builds trust: put this one into that file"];

/// What tools of several languages print.
const SHARED: &[Known] = &[
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
        "cannot find -l",
        "a C library is missing: lib%",
        &["put the -dev package that has it into an Aptfile, commit and push"],
    ),
    (
        "Package libmysqlclient was not found",
        "mysqlclient is compiled and finds no MySQL",
        &["put `default-libmysqlclient-dev` into an Aptfile, commit and push"],
    ),
];

impl Languages {
    /// The likely cause of a step's failure, from the last lines it printed: the first known text that any line holds.
    pub(crate) fn explain(&self, step: &str, lines: &[&str]) -> Option<Cause> {
        let own = self.rows.iter().flat_map(|row| row.causes);
        cause::find(SHARED.iter().chain(aptfile::CAUSES).chain(own), lines)
            .or_else(|| self.rows.iter().find_map(|row| (row.explain)(step, lines)))
            .or_else(|| made_on_windows(lines))
    }
}

/// What shells and the kernel say of a script that is not executable, or whose lines end with CR LF.
fn made_on_windows(lines: &[&str]) -> Option<Cause> {
    let no = scripts::said(lines, "a step of the build", Sure::No)?;
    Some(Cause { why: no.what, next: no.next })
}

#[cfg(test)]
mod tests {
    use crate::explain;
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
            "npm error code E401\nnpm error 401 Unauthorized - GET the package",
            expect![[r#"
            the registry wants to know who asks
            -> set the token that .npmrc names: config:set APP NPM_TOKEN=…
        "#]],
        );
        install(
            "  x Because flsk was not found in the package registry and you require flsk",
            expect![[r#"
                uv: Because flsk was not found in the package registry and you require flsk
                -> correct its name or version, commit and push
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
