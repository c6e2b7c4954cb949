//! Node.js with npm: what package.json and its lock file say, made into layers.
//! Invariant: a changed line of source reinstalls nothing, and the build's dependencies never reach the image.
//! Absent: Yarn, pnpm, Bun (refused, with what to do), and the root's install scripts outside the app layer.

mod layers;
mod package;
mod range;
mod start;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod version_tests;
mod versions;

pub(crate) use layers::env;
pub(crate) use package::Package;

use crate::plan::{EnvOp, Facts, Pins, Plan, Question, Settings};
use crate::refusal::Refusal;
use crate::tree::Tree;
use layers::{Make, NODE};
use package::Lock;
use std::collections::BTreeMap;
use versions::{Stop, Versions};

/// Whether files or package.json say how to run a Node.js server.
pub(crate) fn serves(tree: &Tree, package: &Package) -> bool {
    tree.has_file("Procfile") || tree.has_file("server.js") || package.script("start").is_some()
}

/// The script that builds, if there is one.
pub(crate) fn build_script(package: &Package) -> Option<&'static str> {
    ["heroku-postbuild", "build"].into_iter().find(|name| package.script(name).is_some())
}

pub(crate) fn ask(tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
    match versions::choose(tree, &read(tree)?, settings, pins, &Facts::default()) {
        Ok(_) => Ok(Vec::new()),
        Err(Stop::Ask(questions)) => Ok(questions),
        Err(Stop::Refuse(refusal)) => Err(refusal),
    }
}

pub(crate) fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    build(tree, settings, (pins, facts), None)
}

/// A site that a Node.js build makes in this folder; serving it is the caller's.
pub(crate) fn plan_site(
    tree: &Tree,
    settings: &Settings,
    pins: &Pins,
    facts: &Facts,
    site: &str,
) -> Result<Plan, Refusal> {
    build(tree, settings, (pins, facts), Some(site.to_owned()))
}

fn read(tree: &Tree) -> Result<Package, Refusal> {
    Package::read(tree)?.ok_or_else(|| {
        Refusal::new(
            "no-package-json",
            "this is not a Node.js app",
            "the Node.js buildpack is set, but there is no package.json in the app's folder",
            "`npm init`, commit package.json and push; or let the files decide: remove the buildpack setting",
        )
    })
}

fn build(
    tree: &Tree,
    settings: &Settings,
    (pins, facts): (&Pins, &Facts),
    site: Option<String>,
) -> Result<Plan, Refusal> {
    let package = read(tree)?;
    let mut decided = Vec::new();
    let mut warnings = Vec::new();
    let processes = match &site {
        Some(_) => BTreeMap::new(),
        None => processes(tree, &package, &mut decided, &mut warnings)?,
    };
    let scripts = scripts(tree, &package, &mut decided, &mut warnings);
    let needs_lock = !package.dependencies.is_empty()
        || package.workspaces
        || (!scripts.is_empty() && !package.dev_dependencies.is_empty());
    let lock = if needs_lock { Some(Lock::read(tree)?) } else { None };
    let versions = match versions::choose(tree, &package, settings, pins, facts) {
        Ok(versions) => versions,
        Err(Stop::Refuse(refusal)) => return Err(refusal),
        Err(Stop::Ask(_)) => return Err(unknown_versions()),
    };
    let Versions { decided: said, warnings: warned, pins, .. } = versions.clone();
    decided.splice(0..0, said);
    warnings.splice(0..0, warned);
    let make = Make { tree, package: &package, versions: &versions, lock, config: &settings.config, scripts, site };
    match &make.lock {
        Some(lock) => decided.push(installs(lock, make.whole(lock))),
        None => decided.push("no dependencies to install".to_owned()),
    }
    if make.lock.is_some() && tree.has_folder("node_modules") {
        warnings
            .push("node_modules is committed and not used: remove it with `git rm -r --cached node_modules`".into());
    }
    let path = format!("{NODE}/bin:/app/node_modules/.bin");
    let launch_env =
        vec![env("PATH", EnvOp::Prepend(":".into()), &path), env("NODE_ENV", EnvOp::Default, "production")];
    Ok(Plan { language: "Node.js".into(), decided, warnings, layers: make.layers(), processes, launch_env, pins })
}

fn unknown_versions() -> Refusal {
    let why = "the list of published versions could not be brought";
    Refusal::new(
        "versions-unknown",
        "the Node.js version cannot be chosen",
        why,
        "push again; the registry may be back",
    )
}

fn installs(lock: &Lock, whole: Option<String>) -> String {
    match whole {
        None => format!("npm ci from {}; kept until it or package.json changes", lock.path),
        Some(why) => format!("npm ci from {} at every change of the sources: {why}", lock.path),
    }
}

fn processes(
    tree: &Tree,
    package: &Package,
    decided: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    if tree.has_file("Procfile") {
        decided.push("processes from Procfile".into());
        return Ok(BTreeMap::new());
    }
    let start = start::find(tree, package).ok_or_else(|| start::refusal(package))?;
    decided.push(format!("web: {} (from {})", crate::refusal::quote(&start.command), start.from));
    warnings.extend(start.warning);
    Ok(BTreeMap::from([("web".to_owned(), start.command)]))
}

/// The root's scripts that run with the sources and all dependencies there: what `npm ci` would run, then the build.
fn scripts(tree: &Tree, package: &Package, decided: &mut Vec<String>, warnings: &mut Vec<String>) -> Vec<&'static str> {
    let has = |name: &&str| package.script(name).is_some();
    let mut scripts: Vec<&'static str> = ["heroku-prebuild"].into_iter().filter(has).collect();
    // `npm run install` runs preinstall and postinstall too.
    let around: &[&str] = if has(&"install") { &["install"] } else { &["preinstall", "postinstall"] };
    scripts.extend(around.iter().copied().filter(has));
    if let Some(text) = package.script("prepare") {
        if only_husky(text) {
            decided.push("prepare is not run: it only installs git hooks".into());
        } else {
            scripts.push("prepare");
        }
    }
    scripts.extend(build_script(package));
    if !scripts.is_empty() {
        decided.push(format!("runs {} with the build's dependencies", scripts.join(", ")));
    }
    if package.script("heroku-cleanup").is_some() {
        warnings.push("heroku-cleanup is not run: development dependencies never reach the image".into());
    }
    if tree.has_file("binding.gyp") && package.script("install").is_none() {
        warnings.push("binding.gyp is not compiled: add the script \"install\": \"node-gyp rebuild\"".into());
    }
    scripts
}

fn only_husky(text: &str) -> bool {
    let husky = text.split_whitespace().next() == Some("husky");
    husky && !text.contains(['&', ';', '\n'])
}
