//! How an app without a Procfile is started.
//! Invariant: what npm would only pass on is started directly, so that a signal reaches the app and not npm.
//! Absent: Procfiles.

use super::package::Package;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::Tree;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) command: String,
    pub(crate) from: String,
    pub(crate) warning: Option<String>,
}

pub(crate) fn find(tree: &Tree, package: &Package) -> Option<Start> {
    if let Some(script) = package.script("start") {
        return Some(from_script(package, script));
    }
    if tree.has_file("server.js") {
        return Some(Start { command: "node server.js".into(), from: "server.js".into(), warning: None });
    }
    let main = package.main.as_deref()?.trim_start_matches("./");
    let file = [main.to_owned(), format!("{main}.js")].into_iter().find(|path| plain(path) && tree.has_file(path))?;
    Some(Start { command: format!("node {file}"), from: "\"main\" in package.json".into(), warning: None })
}

fn from_script(package: &Package, script: &str) -> Start {
    let wrapped = package.script("prestart").is_some() || package.script("poststart").is_some();
    let direct = !wrapped && !script.contains("npm") && !script.contains(char::is_control);
    let command = if direct { script.to_owned() } else { "npm start".to_owned() };
    let program = script.split_whitespace().find(|word| !word.contains('=')).unwrap_or("");
    let build_only = |name: &str| package.dev_dependencies.contains(name) && !package.dependencies.contains(name);
    let tool = if program == "tsc" { "typescript" } else { program };
    let warning = build_only(tool).then(|| {
        let tool = quote(tool);
        format!("the start script runs {tool}, which is in devDependencies: the image does not have it. Move it to dependencies")
    });
    Start { command, from: "scripts.start in package.json".into(), warning }
}

/// Whether a path can stand in a command as it is.
fn plain(path: &str) -> bool {
    !path.starts_with('-') && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
}

pub(crate) fn refusal(package: &Package) -> Refusal {
    let why = "looked for: a Procfile, scripts.start in package.json, server.js, \"main\" in package.json";
    let refusal = Refusal::new(
        Code::NoStartCommand,
        "nothing says how to start this app",
        why,
        "add a Procfile with a line such as `web: node index.js`, or a \"start\" script to package.json",
    );
    match package.script("build").is_some() {
        true => refusal.or(
            "if the build makes a static site: add static.json, such as {\"root\": \"dist\", \"routes\": {\"/**\": \"index.html\"}}",
        ),
        false => refusal,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check_lines;
    use expect_test::{Expect, expect};

    fn start(files: &str, expect: Expect) {
        check_lines(files, &["web:", "+ web", "+ proc", "! the", "refused", "looked", "->"], expect);
    }

    fn script(scripts: &str) -> String {
        let build = r#""devDependencies":{"nodemon":"1","typescript":"5"}"#;
        format!("-- package.json\n{{\"scripts\":{{{scripts}}},{build}}}")
    }

    #[test]
    fn start_scripts() {
        start(
            &script(r#""start":"node .""#),
            expect![[r#"
            + web: node . (from scripts.start in package.json)
            web: node .
        "#]],
        );
        start(
            &script(r#""start":"npm run serve""#),
            expect![[r#"
            + web: npm start (from scripts.start in package.json)
            web: npm start
        "#]],
        );
        start(
            &script(r#""start":"node x","prestart":"y""#),
            expect![[r#"
            + web: npm start (from scripts.start in package.json)
            web: npm start
        "#]],
        );
        start(
            &script(r#""start":"node a $npm_package_version""#),
            expect![[r#"
            + web: npm start (from scripts.start in package.json)
            web: npm start
        "#]],
        );
        start(
            &script(r#""start":"PORT=1 nodemon x""#),
            expect![[r#"
            + web: PORT=1 nodemon x (from scripts.start in package.json)
            ! the start script runs nodemon, which is in devDependencies: the image does not have it. Move it to dependencies
            web: PORT=1 nodemon x
        "#]],
        );
        start(
            &script(r#""start":"tsc && node x""#),
            expect![[r#"
            + web: tsc && node x (from scripts.start in package.json)
            ! the start script runs typescript, which is in devDependencies: the image does not have it. Move it to dependencies
            web: tsc && node x
        "#]],
        );
        start(
            &script(r#""start":"a\nb""#),
            expect![[r#"
            + web: npm start (from scripts.start in package.json)
            web: npm start
        "#]],
        );
        start(
            &script(r#""start":"  ""#),
            expect![[r#"
            refused no-start-command: nothing says how to start this app
            looked for: a Procfile, scripts.start in package.json, server.js, "main" in package.json
            -> add a Procfile with a line such as `web: node index.js`, or a "start" script to package.json
        "#]],
        );
    }

    #[test]
    fn without_a_start_script() {
        start(
            "-- package.json\n{\"main\":\"./lib/app\"}\n-- lib/app.js",
            expect![[r#"
            + web: node lib/app.js (from "main" in package.json)
            web: node lib/app.js
        "#]],
        );
        start(
            "-- package.json\n{\"main\":\"$(touch x).js\"}\n-- $(touch x).js",
            expect![[r#"
            refused no-start-command: nothing says how to start this app
            looked for: a Procfile, scripts.start in package.json, server.js, "main" in package.json
            -> add a Procfile with a line such as `web: node index.js`, or a "start" script to package.json
        "#]],
        );
        start(
            "-- package.json\n{\"main\":\"a.js\"}\n-- server.js\n-- a.js",
            expect![[r#"
            + web: node server.js (from server.js)
            web: node server.js
        "#]],
        );
        start(
            "-- package.json\n{\"scripts\":{\"build\":\"vite build\"}}\n-- index.html",
            expect![[r#"
            refused no-start-command: nothing says how to start this app
            looked for: a Procfile, scripts.start in package.json, server.js, "main" in package.json
            -> add a Procfile with a line such as `web: node index.js`, or a "start" script to package.json
            -> if the build makes a static site: add static.json, such as {"root": "dist", "routes": {"/**": "index.html"}}
        "#]],
        );
        start(
            "-- package.json\n{\"scripts\":{\"start\":\"x\"}}\n-- Procfile\nweb: y",
            expect![[r#"
            + processes from Procfile
        "#]],
        );
    }
}
