//! Go modules as text, and their plans.

use crate::testing::{check_lines, facts, ids, planned, show, tree};
use crate::{Facts, Pins, Settings, ask, plan};
use expect_test::{Expect, expect};

fn check(files: &str, expect: Expect) {
    expect.assert_eq(&planned(files));
}

fn said(files: &str, expect: Expect) {
    check_lines(files, &["+", "!", "refused", "->", "web:", "migrate:", "there are", "looked"], expect);
}

const MAIN: &str = "-- main.go\n// A server.\npackage main\n";

#[test]
fn one_program() {
    check(
        &format!(
            "-- go.mod\nmodule example.com/shop/v2\n\ngo 1.26\n\nrequire github.com/gorilla/mux v1.8.1\n-- go.sum\n{MAIN}-- main_test.go\npackage main\n"
        ),
        expect![[r#"
            Go
            + Go 1.26.10 (go 1.26 in go.mod)
            + builds . into bin/ (package main in the module's folder and in cmd/)
            + web: bin/shop (the module's only program)
            + cgo is off: the programs are static
            [toolchain Host build] key go=1.26.10 Stack
              sees None config None
              $ sh -c SCRIPT fetch-go 1.26.10 /layers/toolchain
              keeps /layers/toolchain as /opt/go
            [app App launch] key Whole go=1.26.10 Stack
              sees Whole config None
              mount toolchain /layers/toolchain at /opt/go ReadOnly
              $ go build -trimpath -ldflags=-s -w -o /app/bin/ .
              keeps /app as /app
            web: bin/shop
            env PATH=/app/bin:$PATH
            pins {"go": "1.26.10"}
        "#]],
    );
}

#[test]
fn several_commands_and_vendored_modules() {
    check(
        "-- go.mod\nmodule shop\ngo 1.27.0\nrequire (\n\tgithub.com/gorilla/mux v1.8.1 // indirect\n)\n-- vendor/modules.txt\n-- cmd/server/main.go\npackage main\n-- cmd/migrate/main.go\n//go:build linux\n\npackage main\n-- cmd/release/main.go\npackage main\n-- cmd/lib/lib.go\npackage lib\n-- lib.go\npackage shop\n-- tool.go\n//go:build ignore\npackage main\n",
        expect![[r#"
            Go
            + Go 1.27.3 (go 1.27.0 in go.mod)
            + builds ./cmd/migrate ./cmd/release ./cmd/server into bin/ (package main in the module's folder and in cmd/)
            + web: bin/server (the module's main program)
            + modules from vendor/, nothing is downloaded
            + cgo is off: the programs are static
            [toolchain Host build] key go=1.27.3 Stack
              sees None config None
              $ sh -c SCRIPT fetch-go 1.27.3 /layers/toolchain
              keeps /layers/toolchain as /opt/go
            [app App launch] key Whole go=1.27.3 Stack
              sees Whole config None
              mount toolchain /layers/toolchain at /opt/go ReadOnly
              $ go build -trimpath -ldflags=-s -w -mod=vendor -o /app/bin/ ./cmd/migrate ./cmd/release ./cmd/server
              keeps /app as /app except vendor
            migrate: bin/migrate
            web: bin/server
            env PATH=/app/bin:$PATH
            pins {"go": "1.27.3"}
        "#]],
    );
}

#[test]
fn what_cannot_be_built() {
    said(
        "-- go.mod\nmodule a\ngo 1.26\n-- lib.go\npackage a\n",
        expect![[r#"
        refused no-command: there is no program in this module
        looked for: `package main` in the module's folder, in cmd/ and in its folders
        -> add `func main` in a `package main`, commit and push
        -> it is elsewhere? Name it in go.mod: // +heroku install ./path/to/command
    "#]],
    );
    said(
        "-- go.mod\nmodule a\ngo 1.26\n-- cmd/x/m.go\npackage main\n-- cmd/y/m.go\npackage main\n",
        expect![[r#"
        refused no-start-command: nothing says which program gets the requests
        there are several: x, y
        -> add a Procfile with a line such as `web: bin/x`
    "#]],
    );
    said(
        &format!("-- go.mod\nmodule a\ngo 1.99\n{MAIN}"),
        expect![[r#"
        refused go-version-unavailable: there is no such Go
        -> `go get go@1.27.3 toolchain@none && go mod tidy`, commit and push
    "#]],
    );
    said(
        &format!("-- go.mod\nmodule a\ngo latest\n{MAIN}"),
        expect![[r#"
        refused go-version-unclear: go in go.mod does not say a Go version that can be understood
        -> write a released version such as 1.26 there
    "#]],
    );
    said(
        &format!("-- go.mod\nmodule a\ngo 1.26\nrequire x.example/y v1.0.0\n{MAIN}"),
        expect![[r#"
            + Go 1.26.10 (go 1.26 in go.mod)
            + builds . into bin/ (package main in the module's folder and in cmd/)
            + web: bin/a (the module's only program)
            + cgo is off: the programs are static
            ! there is no go.sum: what is downloaded is not compared with what you have: go mod tidy && git add go.sum && git commit -m 'go mod tidy'
            web: bin/a
        "#]],
    );
    said(
        &format!("-- go.mod\nmodule a\n// +heroku install $(id)\n{MAIN}"),
        expect![[r#"
        refused go-install-unclear: this is no package
        -> write folders there, such as ./cmd/server
    "#]],
    );
}

#[test]
fn what_go_mod_asks_for() {
    said(
        &format!("-- go.mod\nmodule a\ngo 1.25.0\ntoolchain go1.26.4\n{MAIN}"),
        expect![[r#"
            + Go 1.26.10 (toolchain 1.26.4 in go.mod)
            + builds . into bin/ (package main in the module's folder and in cmd/)
            + web: bin/a (the module's only program)
            + cgo is off: the programs are static
            web: bin/a
        "#]],
    );
    said(
        &format!("-- go.mod\nmodule a\ngo 1.16\n{MAIN}"),
        expect![[r#"
            + Go 1.26.10 (go 1.16 in go.mod, which a newer Go builds as it was)
            + builds . into bin/ (package main in the module's folder and in cmd/)
            + web: bin/a (the module's only program)
            + cgo is off: the programs are static
            web: bin/a
        "#]],
    );
    said(
        &format!("-- go.mod\nmodule a\ngo 1.24.3\nrequire github.com/mattn/go-sqlite3 v1.14.0\n-- go.sum\n{MAIN}"),
        expect![[r#"
            + Go 1.24.11 (go 1.24.3 in go.mod)
            + builds . into bin/ (package main in the module's folder and in cmd/)
            + web: bin/a (the module's only program)
            + cgo is on, as github.com/mattn/go-sqlite3 is C
            ! Go 1.24 gets no security fixes any more: `go get go@1.26 && go mod tidy`
            web: bin/a
        "#]],
    );
    said(
        "-- go.mod\n// +heroku goVersion go1.27\n// +heroku install ./tools/...  ./cmd/web\nmodule a\n-- Procfile\nweb: bin/web\n",
        expect![[r#"
            + Go 1.27.3 (// +heroku goVersion 1.27 in go.mod)
            + builds ./tools/... ./cmd/web into bin/ (// +heroku install in go.mod)
            + processes from Procfile
            + cgo is off: the programs are static
        "#]],
    );
}

#[test]
fn a_version_stays() {
    let files = tree(&format!("-- go.mod\nmodule a\ngo 1.26\n{MAIN}"));
    let pins = Pins::from([("go".into(), "1.26.2".into())]);
    assert_eq!(ids(ask(&files, &Settings::default(), &pins)), "");
    let text = show(plan(&files, &Settings::default(), &pins, &Facts::default()));
    assert!(text.contains("Go 1.26.2 (go 1.26 in go.mod, as at the last build)"), "{text}");
    let pins = Pins::from([("go".into(), "1.25.9".into())]);
    assert_eq!(ids(ask(&files, &Settings::default(), &pins)), "go");
    assert!(show(plan(&files, &Settings::default(), &pins, &facts())).contains("Go 1.26.10"));
}

#[test]
fn modules_that_nobody_locks_or_that_lie_in_the_repository() {
    let built = |files: &str, expect: Expect| check_lines(files, &["!", "refused", "web:", "  $ go build"], expect);
    built(
        &format!("-- go.mod\nmodule a\ngo 1.26\nrequire x.example/y v1.0.0\n{MAIN}"),
        expect![[r#"
        ! there is no go.sum: what is downloaded is not compared with what you have: go mod tidy && git add go.sum && git commit -m 'go mod tidy'
          $ go build -trimpath -ldflags=-s -w -mod=mod -o /app/bin/ .
        web: bin/a
    "#]],
    );
    built(
        &format!(
            "-- go.mod\nmodule a\ngo 1.26\nrequire (\n\tx.example/y v1.0.0\n\t\"x.example/z\" v0.0.0\n)\nreplace x.example/y => ./lib\nreplace (\n\tx.example/z v0.0.0 => ../z\n)\nexclude (\n\tx.example/w v1.0.0\n)\n{MAIN}"
        ),
        expect![[r#"
              $ go build -trimpath -ldflags=-s -w -o /app/bin/ .
            web: bin/a
        "#]],
    );
    built(
        &format!(
            "-- go.mod\nmodule a\ngo 1.26\nrequire x.example/y v1.0.0\nreplace x.example/y => x.example/z v1.0.0\n{MAIN}"
        ),
        expect![[r#"
            ! there is no go.sum: what is downloaded is not compared with what you have: go mod tidy && git add go.sum && git commit -m 'go mod tidy'
              $ go build -trimpath -ldflags=-s -w -mod=mod -o /app/bin/ .
            web: bin/a
        "#]],
    );
}

#[test]
fn programs_of_one_name() {
    let built = |files: &str, expect: Expect| {
        check_lines(files, &["+ web", "refused", "->", "there", "web:", "tools", "b-", "httpd", "  $ go build"], expect)
    };
    built(
        &format!(
            "-- go.mod\nmodule example.com/httpd\ngo 1.26\n{MAIN}-- cmd/httpd/main.go\npackage main\n-- cmd/x/main.go\npackage main\n"
        ),
        expect![[r#"
            + web: bin/httpd (the module's main program)
              $ go build -trimpath -ldflags=-s -w -o /app/bin/ . ./cmd/x
              $ go build -trimpath -ldflags=-s -w -o /app/bin/cmd-httpd ./cmd/httpd
            web: bin/httpd
        "#]],
    );
    built(
        "-- go.mod\nmodule a\ngo 1.26\n// +heroku install ./cmd/httpd ./b/httpd ./tools/web\n-- cmd/httpd/main.go\npackage main\n",
        expect![[r#"
            + web: bin/web (the module's main program)
              $ go build -trimpath -ldflags=-s -w -o /app/bin/ ./cmd/httpd ./tools/web
              $ go build -trimpath -ldflags=-s -w -o /app/bin/b-httpd ./b/httpd
            b-httpd: bin/b-httpd
            httpd: bin/httpd
            web: bin/web
        "#]],
    );
    built(
        "-- go.mod\nmodule example.com/shop\ngo 1.26\n-- cmd/main.go\npackage main\n",
        expect![[r#"
        + web: bin/shop (the module's only program)
          $ go build -trimpath -ldflags=-s -w -o /app/bin/shop ./cmd
        web: bin/shop
    "#]],
    );
    built(
        "-- go.mod\nmodule a\ngo 1.26\n// +heroku install ./a/httpd ./b/httpd\n",
        expect![[r#"
        refused no-start-command: nothing says which program gets the requests
        there are several: b-httpd, httpd
        -> add a Procfile with a line such as `web: bin/b-httpd`
    "#]],
    );
}
