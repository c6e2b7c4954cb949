//! Which buildpack is chosen, what is refused, and that no input makes this crate panic.

use crate::testing::{add, facts, planned, show, tree};
use crate::*;
use expect_test::{Expect, expect};

fn check(files: &str, expect: Expect) {
    expect.assert_eq(&planned(files));
}

#[test]
fn nothing_to_build() {
    check(
        "",
        expect![[r#"
            refused nothing-to-build: nothing here can be built
            the commit has no files. looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile
            -> commit the app's files (`git add .`, `git commit`) and push
        "#]],
    );
    check(
        "-- README.md",
        expect![[r#"
            refused nothing-to-build: nothing here can be built
            looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile
            -> add a package.json (Node.js), requirements.txt (Python), go.mod (Go), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push
        "#]],
    );
    check(
        "-- Dockerfile\n-- requirements.txt\n-- pyproject.toml",
        expect![[r#"
            refused no-start-command: nothing says how to start this app
            looked for: a Procfile, manage.py of Django, an object made by Flask(…), FastAPI(…) or Starlette(…) in app.py, main.py, wsgi.py, asgi.py and alike
            -> add a Procfile with a line such as `web: gunicorn --bind 0.0.0.0:$PORT app:app`
        "#]],
    );
    check(
        "-- package.JSON\n-- Index.html",
        expect![[r#"
            refused nothing-to-build: nothing here can be built
            looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile
            -> git mv Index.html index.html
            -> git mv package.JSON package.json
            -> add a package.json (Node.js), requirements.txt (Python), go.mod (Go), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push
        "#]],
    );
    check(
        "-- web/package.json\n{}",
        expect![[r#"
            refused nothing-to-build: nothing here can be built
            looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile
            -> the app is in web/? apps:set APP root=web
            -> add a package.json (Node.js), requirements.txt (Python), go.mod (Go), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push
        "#]],
    );
    check(
        "-- we b;/package.json\n{}",
        expect![[r#"
            refused nothing-to-build: nothing here can be built
            looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile
            -> add a package.json (Node.js), requirements.txt (Python), go.mod (Go), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push
        "#]],
    );
    check(
        "-> link index.html",
        expect![[r#"
            refused nothing-to-build: nothing here can be built
            looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile
            -> add a package.json (Node.js), requirements.txt (Python), go.mod (Go), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push
        "#]],
    );
}

#[test]
fn package_json_that_cannot_be_read() {
    check(
        "-> link package.json",
        expect![[r#"
        refused not-a-file: package.json is not a file
        a symbolic link or a submodule has this name, and links are not followed
        -> commit package.json as a plain file in the app's own folder
    "#]],
    );
    check(
        "-> submodule package.json",
        expect![[r#"
        refused not-a-file: package.json is not a file
        a symbolic link or a submodule has this name, and links are not followed
        -> commit package.json as a plain file in the app's own folder
    "#]],
    );
    check(
        "-> unread package.json",
        expect![[r#"
        refused file-too-large: package.json is too large
        it is not read
        -> make package.json smaller than 1 MiB
    "#]],
    );
    check(
        "-- package.json\n{\n  \"a\": 1,\n}",
        expect![[r#"
        refused bad-json: package.json is not valid JSON
        line 3: trailing comma
        -> correct package.json, commit and push; `npx jsonlint package.json` finds mistakes
    "#]],
    );
    check(
        "-- package.json",
        expect![[r#"
        refused bad-json: package.json is not valid JSON
        line 1: EOF while parsing a value
        -> correct package.json, commit and push; `npx jsonlint package.json` finds mistakes
    "#]],
    );
    check(
        "-- package.json\n[]",
        expect![[r#"
        refused bad-json: package.json is not valid JSON
        it must be an object, {…}
        -> correct package.json, commit and push; `npx jsonlint package.json` finds mistakes
    "#]],
    );
}

#[test]
fn package_json_that_is_hostile() {
    check(
        &format!("-- package.json\n{}", "[".repeat(100_000)),
        expect![[r#"
        refused bad-json: package.json is not valid JSON
        line 1: recursion limit exceeded
        -> correct package.json, commit and push; `npx jsonlint package.json` finds mistakes
    "#]],
    );
    check(
        &format!("-- package.json\n{{\"a\":{}1}}", "9".repeat(5000)),
        expect![[r#"
        refused bad-json: package.json is not valid JSON
        line 1: number out of range
        -> correct package.json, commit and push; `npx jsonlint package.json` finds mistakes
    "#]],
    );
    let mut bytes = tree("");
    add(&mut bytes, "package.json", Kind::File { executable: false }, Some(b"{\n\"a\": \"\xff\"}".to_vec()));
    expect![[r#"
        refused bad-json: package.json is not valid JSON
        line 2: not UTF-8 text; save the file as UTF-8
        -> correct package.json, commit and push; `npx jsonlint package.json` finds mistakes
    "#]]
    .assert_eq(&show(plan(&bytes, &Settings::default(), &Pins::new(), &facts())));
}

#[test]
fn byte_order_mark_is_passed_over() {
    let text = planned("-- package.json\n\u{feff}{}\n-- server.js");
    assert!(text.starts_with("Node.js\n"), "{text}");
}

#[test]
fn buildpack_setting() {
    let with = |buildpack: &str, files: &str| {
        let settings = Settings { buildpack: Some(buildpack.to_owned()), ..Settings::default() };
        let shown = show(plan(&tree(files), &settings, &Pins::new(), &facts()));
        shown.lines().take(3).map(|line| format!("{line}\n")).collect::<String>()
    };
    const BOTH: &str = "-- package.json\n{}\n-- server.js\n-- index.html";
    expect![[r#"
        Static site
        + serves the app's folder (where index.html is)
        + web: Caddy
    "#]]
    .assert_eq(&with("static", BOTH));
    expect![[r#"
        Node.js
        + Node.js 24.21.0 (24.x, as nothing asks for a version)
        + npm 11.21.2 (the version that fits this Node.js)
    "#]]
    .assert_eq(&with("nodejs", BOTH));
    expect![[r#"
        refused no-package-json: this is not a Node.js app
        the Node.js buildpack is set, but there is no package.json in the app's folder
        -> `npm init`, commit package.json and push; or let the files decide: remove the buildpack setting
    "#]]
    .assert_eq(&with("node", "-- index.html"));
    expect![[r#"
        refused no-site: there is no site to serve
        no root is named, and there is no index.html, public_html/index.html or public/index.html
        -> commit index.html, or name the folder in static.json: {"root": "dist"}
    "#]]
    .assert_eq(&with("static", "-- server.js"));
    expect![[r#"
        refused unknown-buildpack: there is no such buildpack
        the app's buildpack setting is https://example.org/x  [2J; there are: node, python, go, static, shell, dockerfile
        -> set the buildpack to one of them, or remove the setting to let the files decide
    "#]]
    .assert_eq(&with("https://example.org/x\n\u{1b}[2J", BOTH));
}

#[test]
fn which_contents_are_read() {
    let cases =
        ["package.json", "a/package.json", "package-lock.json", "Staticfile", "index.html", "", "/", "static.json/"];
    let line =
        |path: &&str| format!("{path:?} {} {} {}\n", reads(path, 1), reads(path, FILE_MAX + 1), reads(path, u64::MAX));
    expect![[r#"
        "package.json" true false false
        "a/package.json" false false false
        "package-lock.json" true true false
        "Staticfile" true false false
        "index.html" false false false
        "" false false false
        "/" false false false
        "static.json/" false false false
    "#]]
    .assert_eq(&cases.iter().map(line).collect::<String>());
}

/// Every deciding file with every bad content: a plan or a refusal with something to do.
#[test]
fn hostile_contents() {
    let deep = format!("{{\"packages\":{}", "{\"a\":".repeat(50_000));
    let long = format!("{{\"engines\":{{\"node\":\"{}\"}},\"main\":\"{}\"}}", "1||".repeat(99_999), "../".repeat(9999));
    let contents: [&[u8]; 12] = [
        b"",
        b"\0",
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf",
        b"null",
        b"{\"scripts\":[],\"engines\":null,\"workspaces\":{\"packages\":[\"..\"]},\"dependencies\":7}",
        b"{\"dependencies\":{\"\":\"\",\"../x\":\"file:/etc\"},\"scripts\":{\"start\":\"\\u0000\",\"build\":\"x\"}}",
        b"{\"packages\":{\"/node_modules/\":{\"link\":true},\"a/../../node_modules/b\":{},\"a\\u0000/node_modules/b\":{}}}",
        b"{\"root\":\"\",\"routes\":[],\"redirects\":{\"/\":null},\"headers\":{\"/\":7}}",
        b"nodejs\nnode\n: : :\nroot:\nroot: ../\n",
        deep.as_bytes(),
        long.as_bytes(),
    ];
    let names =
        ["package.json", "package-lock.json", ".npmrc", ".nvmrc", ".tool-versions", "static.json", "Staticfile"];
    for name in names {
        for content in contents {
            for rest in ["", "-- package.json\n{\"dependencies\":{\"a\":\"1\"}}\n-- server.js", "-- index.html"] {
                let mut tree = tree(rest);
                add(&mut tree, name, Kind::File { executable: true }, Some(content.to_vec()));
                let settings = Settings::default();
                let asked = ask(&tree, &settings, &Pins::new());
                let planned = plan(&tree, &settings, &Pins::new(), &facts());
                for refusal in [asked.err(), planned.err()].into_iter().flatten() {
                    let said = refusal.to_string().replace('\n', "");
                    assert!(
                        !refusal.next.is_empty() && said.len() < 2000 && !said.contains(char::is_control),
                        "{said}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_plan_survives_json() {
    let tree = tree("-- package.json\n{\"scripts\":{\"build\":\"x\"}}\n-- server.js\n-> link a\n-> submodule b");
    let again: Tree = serde_json::from_str(&serde_json::to_string(&tree).unwrap()).unwrap();
    assert_eq!(again, tree);
    let plan = plan(&tree, &Settings::default(), &Pins::new(), &facts()).unwrap();
    let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(again, plan);
}
