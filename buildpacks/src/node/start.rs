//! How an app without a Procfile is started.
//! Invariant: what npm would only pass on is started directly, so that a signal reaches the app and not npm.
//! Absent: Procfiles.

use super::package::Package;
use crate::refusal::{Refusal, quote};
use crate::tree::Tree;

/// A command and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) command: String,
    pub(crate) from: String,
    pub(crate) warning: Option<String>,
}

/// The command, or none if nothing says how to start.
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

/// Nothing says how to start.
pub(crate) fn refusal(package: &Package) -> Refusal {
    let why = "looked for: a Procfile, scripts.start in package.json, server.js, \"main\" in package.json";
    let refusal = Refusal::new(
        "no-start-command",
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
