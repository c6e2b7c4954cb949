//! Node.js with npm: what package.json and its lock file say, made into layers.
//! Invariant: a changed line of source reinstalls nothing, and the build's dependencies never reach the image.
//! Absent: Yarn, pnpm, Bun (refused, with what to do), and the root's install scripts outside the app layer.

mod app;
mod causes;
mod layers;
mod locking;
mod package;
mod range;
mod site;
mod start;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod version_tests;
mod versions;

use crate::facts::{Facts, Question, missing};
use crate::language::{Claim, Language, Look};
use crate::plan::{Pins, Plan, Settings};
use crate::refusal::Refusal;
use crate::tree::{FILE_MAX, LOCK_MAX, Tree};
use package::{LOCKS, Package, build_script, serves};

pub(crate) const LANGUAGE: Language = Language {
    name: "node",
    aliases: &["nodejs", "heroku/nodejs"],
    signs: &["package.json"],
    add: "a package.json (Node.js)",
    looks: &[
        Look::Into("package.json", FILE_MAX),
        Look::Into(LOCKS[0], LOCK_MAX),
        Look::Into(LOCKS[1], LOCK_MAX),
        Look::Into("yarn.lock", LOCK_MAX),
        Look::Into(".npmrc", FILE_MAX),
        Look::Into(".nvmrc", FILE_MAX),
        Look::Into(".node-version", FILE_MAX),
        Look::Into(".gitignore", FILE_MAX),
        Look::There("server.js"),
    ],
    claim,
    ask,
    plan,
    lock: Some(locking::LOCKING),
    causes: causes::CAUSES,
    explain: causes::explain,
    usual: &[
        ("package.json", r#"{"name":"usual","scripts":{"start":"node ."},"dependencies":{"any":"1.0.0"}}"#),
        (
            "package-lock.json",
            r#"{"name":"usual","lockfileVersion":3,"packages":{"":{"dependencies":{"any":"1.0.0"}},
            "node_modules/any":{"version":"1.0.0"}}}"#,
        ),
    ],
};

/// Many apps in other languages have a package.json for their tools: one that starts nothing does not decide.
fn claim(tree: &Tree) -> Result<Claim, Refusal> {
    let Some(package) = Package::read(tree)? else { return Ok(Claim::None) };
    Ok(if package.script("start").is_some() || tree.has_file("server.js") {
        Claim::Starts
    } else if serves(tree, &package) || build_script(&package).is_some() {
        Claim::Possible
    } else {
        Claim::Tools
    })
}

fn ask(tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
    // What is wrong with a site's file is said before anything is looked up.
    site::find(tree)?;
    missing(versions::choose(tree, &app::read(tree)?, settings, pins, &Facts::default()))
}

fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    match site::find(tree)? {
        Some(site) => site::plan(tree, settings, (pins, facts), site),
        None => app::plan(tree, settings, (pins, facts), None),
    }
}
