//! Cases as data.

use super::*;
use crate::refusal::Code;
use expect_test::expect;

#[test]
fn ignored() {
    let check = |patterns: &str, out: &[&str], stay: &[&str]| {
        let ignore = Ignore::parse(patterns);
        for path in out {
            assert!(ignore.leaves_out(path), "{path} by {patterns:?}");
        }
        for path in stay {
            assert!(!ignore.leaves_out(path), "{path} by {patterns:?}");
        }
    };
    check("# no\n\n  node_modules  \n", &["node_modules", "node_modules/a/b"], &["x/node_modules", "node_modulesx"]);
    check("*/temp*", &["some/temp.txt", "some/temporary/x"], &["temp", "a/b/temp"]);
    check("*/*/temp*", &["a/b/temporary"], &["a/temp"]);
    check("temp?", &["tempa", "tempb/x"], &["temp", "tempab"]);
    check("**/*.go", &["a.go", "a/b/c.go"], &["a.gox"]);
    check("*.md\n!README.md", &["CHANGES.md"], &["README.md"]);
    check("*.md\n!README*.md\nREADME-secret.md", &["README-secret.md", "x.md"], &["README-open.md"]);
    check("*.md\nREADME-secret.md\n!README*.md", &["x.md"], &["README-secret.md"]);
    check("**", &["a", "a/b"], &[]);
    check("**\n!src/**", &["a", "b/src/x"], &["src/a", "src/b/c"]);
    check("docs\n!docs/keep", &["docs/a"], &["docs/keep", "docs/keep/x"]);
    check("/a/../b/./c/", &["b/c", "b/c/d"], &["a", "b"]);
    check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb"]);
    check("a/**", &["a/b", "a/b/c"], &["a", "ab"]);
    check("**/a", &["a", "x/a", "x/a/y"], &["xa"]);
    check("**a", &["a", "x/a"], &["xa"]);
    check("[a-c]x\n[^a]y", &["bx", "by"], &["dx", "ay"]);
    check("\\!x\n\\*", &["!x", "*"], &["a"]);
    check("../x\n!\n/\n.", &["x"], &["y"]);
    check("[", &[], &["a"]);
    let slow = format!("{}b", "*a".repeat(200));
    assert!(!Ignore::parse(&slow).leaves_out(&"a".repeat(2_000)));
}

#[test]
fn declarations() {
    let text = "# syntax = docker/dockerfile:1.4\n# escape=\\\nARG V=1\nFROM --platform=linux/amd64 node:20 AS Build\n\
                RUN --mount=type=secret,id=TOKEN --mount=type=cache,target=/c \\\n  # note\n  npm ci\n\
                RUN --mount=type=secret,target=/run/secrets/KEY x\nFROM build AS b2\nFROM scratch\nfrom hoist/stack-run\n";
    let found = declared(text);
    assert_eq!(found.images, ["node:20", "hoist/stack-run"]);
    assert_eq!(found.stages, ["build", "b2"]);
    assert_eq!(found.secrets, ["TOKEN", "KEY"]);
    assert_eq!(found.args, ["V"]);
    assert_eq!(declared("\u{feff}\n \\\n\\"), Declared::default());
}

#[test]
fn frontends() {
    let text = "# escape=\\\n# syntax = docker/dockerfile:1.4\nFROM x\n";
    assert_eq!(syntax(text), Syntax::Usual("docker/dockerfile:1.4".to_owned()));
    let other = |text: &str, image: &str| assert_eq!(syntax(text), Syntax::Other(image.to_owned()), "{text}");
    other("# syntax=example.com/own/frontend:2\nFROM x", "example.com/own/frontend:2");
    other("# syntax=example.com/docker/dockerfile:1\nFROM x", "example.com/docker/dockerfile:1");
    // Builders read on after lines that they do not know.
    other("# note=1\n\n#SYNTAX=a/b\nFROM x", "a/b");
    other("#!/usr/bin/x\n// syntax=a/b\nFROM x", "a/b");
    other("# syntax=docker/dockerfile\n# syntax=a/b", "a/b");
    assert_eq!(syntax("FROM x\n# syntax=a/b"), Syntax::Absent);
    let hub = concat!("# syntax=dock", "er.io/docker/dockerfile@sha256:abc\nFROM x");
    assert!(matches!(syntax(hub), Syntax::Usual(_)));
}

#[test]
fn images_of_others() {
    let check = |text: &str, want: Option<&str>| assert_eq!(declared(text).of_an_app(), want, "{text}");
    check("FROM hoist/stack-run\nCOPY --from=hoist/stack-build /a /b", None);
    check("FROM hoist/abcd-app:b1", Some("hoist/abcd-app:b1"));
    let hub = concat!("dock", "er.io/hoist/abcd-app:b1");
    check(&format!("FROM {hub} AS x"), Some(hub));
    check("ARG A=hoist/abcd\nARG B=b1\nFROM ${A}-app:$B", Some("hoist/abcd-app:b1"));
    check("FROM x\nCOPY --chown=1 --from=hoist/a:b / /", Some("hoist/a:b"));
    check("FROM x\nRUN --mount=type=bind,from=hoist/a:b,target=/x ls", Some("hoist/a:b"));
    check("FROM x AS hoist/a\nCOPY --from=hoist/a / /\nCOPY --from=0 / /", None);
}

fn image(exposed: &[&str]) -> ImageFacts {
    ImageFacts {
        user: "app".to_owned(),
        entrypoint: vec!["/tini".to_owned(), "--".to_owned()],
        cmd: vec!["./server".to_owned(), "--fast".to_owned()],
        exposed: exposed.iter().map(|e| (*e).to_owned()).collect(),
        ..ImageFacts::default()
    }
}

#[test]
fn ports() {
    let port =
        |exposed: &[&str], setting| launch(&image(exposed), None, setting, "blog").map(|(_, start, _)| start.port);
    assert_eq!(port(&[], None).unwrap(), 5000);
    assert_eq!(port(&["80/tcp"], None).unwrap(), 80);
    assert_eq!(port(&["53/udp", "8080/tcp"], None).unwrap(), 8080);
    assert_eq!(port(&["80/tcp", "443/tcp"], Some(443)).unwrap(), 443);
    let no = port(&["8080/tcp", "80/tcp"], None).unwrap_err();
    assert_eq!(no.code, Code::WhichPort);
    assert!(no.next[0].starts_with("apps:set blog port=80 "), "{no}");
    assert!(no.next[1].starts_with("apps:set blog port=8080 "), "{no}");
}

#[test]
fn starts() {
    let (table, start, said) = launch(&image(&[]), None, None, "blog").unwrap();
    assert_eq!(start.argv("web", "ignored"), ["/tini", "--", "./server", "--fast"]);
    assert!(!start.root() && start.capabilities() == ["SETGID", "SETUID"]);
    expect![[r#"
        The image's own command is web: /tini -- ./server --fast
        Port 5000 (no EXPOSE)
        Runs as app"#]]
    .assert_eq(&said.join("\n"));
    assert_eq!(table.len(), 1);
    let procfile =
        crate::procfile::parse(b"web: serve 'a b' \"c\\\"d\"\nworker: work $X && more\nrelease: ./up now").unwrap();
    let (_, start, _) = launch(&image(&[]), Some(procfile.clone()), None, "blog").unwrap();
    assert_eq!(start.argv("web", "serve 'a b' \"c\\\"d\""), ["/tini", "--", "serve", "a b", "c\"d"]);
    let bare = ImageFacts { entrypoint: Vec::new(), user: "root:x".to_owned(), ..image(&[]) };
    let (_, start, said) = launch(&bare, Some(procfile), None, "blog").unwrap();
    assert_eq!(start.argv("worker", "work $X && more"), ["/bin/sh", "-c", "work $X && more"]);
    assert_eq!(start.argv("release", "./up now"), ["./up", "now"]);
    assert_eq!(start.argv("web", "it's"), ["/bin/sh", "-c", "it's"]);
    assert!(start.root() && said.iter().any(|line| line.contains("NET_BIND_SERVICE")));
    let nothing = launch(&ImageFacts::default(), None, None, "blog").unwrap_err();
    assert_eq!(nothing.code, Code::NoCommand);
}

#[test]
fn the_screen() {
    let step =
        |id: &str, name: &str, began, ended| Step { id: id.into(), name: name.into(), began, ended, ..Step::default() };
    let log = |id: &str, text: &str| Log { step: id.into(), text: text.into() };
    let mut progress = Progress::default();
    let mut lines = progress.take(&Report {
        steps: vec![
            step("i", "[internal] load build definition", Some(0), Some(1)),
            step("a", concat!("[1/3] FROM dock", "er.io/library/node:20"), Some(0), Some(900)),
            Step { cached: true, ..step("b", "[2/3] COPY . .", Some(900), Some(900)) },
            step("c", "[3/3] RUN make", Some(900), None),
        ],
        ..Report::default()
    });
    lines.extend(progress.take(&Report {
        logs: vec![log("c", "one\r\ntw"), log("c", "o\n10%\r20%\r\n\u{1b}[31mred")],
        ..Report::default()
    }));
    assert_eq!(progress.waiting(61_000), "Still at [3/3] RUN make (1m 00s)");
    let end = Step { error: "exit code: 2".into(), ..step("c", "", None, Some(5_000)) };
    lines.extend(progress.take(&Report { steps: vec![end], ..Report::default() }));
    let text: Vec<String> = lines
        .iter()
        .map(|line| match line {
            Line::Head(text) => format!("# {text}"),
            Line::Detail(text) => format!("  {text}"),
        })
        .collect();
    expect![[r#"
        # [1/3] FROM node:20
          done in 900ms
        # [2/3] COPY . .
          cached
        # [3/3] RUN make
          one
          two
          20%
          red"#]]
    .assert_eq(&text.join("\n"));
    let (name, tail) = progress.failure().unwrap();
    assert_eq!((name.as_str(), tail.len()), ("[3/3] RUN make", 4));
}

#[test]
fn causes() {
    let code = |step: &str, tail: &[&str], message: &str| {
        explain(&Failure {
            step: step.into(),
            tail: tail.iter().map(|l| (*l).to_owned()).collect(),
            message: message.into(),
            app: "blog".into(),
            memory: "4 GB".into(),
            dockerfile: "Dockerfile".into(),
            left_out: 3,
            ..Failure::default()
        })
    };
    let run = "[2/3] RUN x";
    for (want, tail, message) in [
        ("build-memory", "", "executor failed running [/bin/sh -c x]: exit code: 137"),
        ("build-processes", "sh: 1: Cannot fork", "exit code: 2"),
        ("build-disk", "write error: No space left on device", "exit code: 1"),
        ("no-such-package", "E: Unable to locate package gccc", "exit code: 100"),
        ("no-such-program", "/bin/sh: 1: npmm: not found", "exit code: 127"),
        ("build-network", "curl: (6) Could not resolve host: db.internal", "exit code: 6"),
        ("build-network", "connect to 10.0.0.1 port 5432 failed: Connection timed out", "exit code: 2"),
        ("build-tls", "SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed", "exit code: 1"),
        ("build-permission", "/bin/sh: 1: ./x.sh: Permission denied", "exit code: 126"),
        ("build-failed", "assertion failed", "exit code: 1"),
    ] {
        assert_eq!(code(run, &[tail], message).code.as_str(), want, "{tail} {message}");
    }
    let no = code("[2/2] COPY nope.txt .", &[], "failed to compute cache key: \"/nope.txt\" not found: not found");
    assert_eq!(no.code, Code::NoSuchFile);
    assert!(no.why.starts_with("nope.txt") && no.next[0].contains(".dockerignore"), "{no}");
    let from = code("[x 1/2] COPY --from=build /a /b", &[], "failed to compute cache key: \"/a\" not found: not found");
    assert_eq!((from.code, from.why.as_str()), (Code::NoSuchFile, "a is not in build"));
    let parse = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 3: unknown instruction: RUNN";
    let no = code("", &[], parse);
    assert_eq!(
        (no.code.as_str(), no.why.as_str()),
        ("bad-dockerfile", "dockerfile parse error line 3: unknown instruction: RUNN")
    );
    let away = "failed to do request: Head \"https://r.example/v2/x\": dial tcp: lookup r.example: no such host";
    assert_eq!(code("[internal] load metadata", &[], away).code, Code::BaseImageUnreachable);
    assert_eq!(
        code("", &[], "pull access denied, repository does not exist or may require authorization").code,
        Code::BaseImageDenied
    );
    for text in ["", "\u{1b}[31m", "secret ", "\"", ": not found"] {
        explain(&Failure { message: text.to_owned(), ..Failure::default() });
    }
}
