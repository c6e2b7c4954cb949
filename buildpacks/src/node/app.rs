//! The plan of a Node.js app.
//! Invariant: what is decided is said, with the file that it comes from.
//! Absent: what the layers are made of.

use super::layers::{Make, NODE};
use super::package::{Lock, Package, build_script, needed};
use super::start;
use super::versions::{self, Versions};
use crate::defaults::Left;
use crate::facts::Facts;
use crate::plan::{Env, Pins, Plan, Settings};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::Tree;
use std::collections::BTreeMap;

pub(crate) fn read(tree: &Tree) -> Result<Package, Refusal> {
    Package::read(tree)?.ok_or_else(|| {
        Refusal::new(
            Code::NoPackageJson,
            "this is not a Node.js app",
            "the Node.js buildpack is set, but there is no package.json in the app's folder",
            "`npm init`, commit package.json and push; or let the files decide: remove the buildpack setting",
        )
    })
}

/// The plan of an app, or of the folder that its build makes.
pub(crate) fn plan(
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
    let lock = if needed(&package, &scripts) { Some(Lock::read(tree)?) } else { None };
    let versions = versions::choose(tree, &package, settings, pins, facts)
        .map_err(|stop| stop.refusal("the Node.js version cannot be chosen", "the registry"))?;
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
    let launch_env = vec![Env::path("PATH", &path), Env::default("NODE_ENV", "production")];
    Ok(Plan { language: "Node.js".into(), decided, warnings, layers: make.layers(), processes, launch_env, pins })
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
    let left = Left::of(tree);
    if left != Left::All {
        decided.push("processes from Procfile".into());
    }
    let own = |start: &start::Start| {
        left.takes(&start.command) && package.script("start").is_none_or(|text| left.takes(text))
    };
    let start = match (start::find(tree, package), &left) {
        (Some(start), _) if own(&start) => start,
        (None, Left::All) => return Err(start::refusal(package)),
        (Some(_) | None, _) => return Ok(BTreeMap::new()),
    };
    decided.push(format!("web: {} (from {})", quote(&start.command), left.from(&start.from)));
    warnings.extend(start.warning);
    Ok(BTreeMap::from([("web".to_owned(), start.command)]))
}

/// The root's scripts that run with the sources and all dependencies there: what `npm ci` would run, then the build.
pub(crate) fn scripts(
    tree: &Tree,
    package: &Package,
    decided: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Vec<&'static str> {
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
