//! References in values: `${{NAME}}` stands for another config var or for what the platform knows; `$${{` is that text.
//!
//! A plain `${NAME}` is never touched: values hold shell and template text. What a reference names is checked when it
//! is set; resolving itself never fails.

use super::vars::{ConfigVars, VALUE_MAX};
use crate::names::VarName;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::secret::Secret;
use std::collections::BTreeMap;

/// What the platform knows, as references may name it. Those of a release or an instance are not known while building.
pub const METADATA: [&str; 9] = [
    "HOIST_APP_ID",
    "HOIST_APP_NAME",
    "HOIST_BUILD_COMMIT",
    "HOIST_DOMAIN",
    "HOIST_INSTANCE",
    "HOIST_RELEASE",
    "HOIST_RELEASE_CREATED_AT",
    "HOIST_RELEASE_VERSION",
    "HOIST_URL",
];

const OPEN: &str = "${{";
const ESCAPED: &str = "$${{";
const CLOSE: &str = "}}";
/// A metadata value is taken as this long when sizes are added up.
const METADATA_LEN: usize = 300;

/// A piece of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// What stands between the braces.
    Reference(&'a str),
}

fn parts(value: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find(OPEN) {
        let (before, from) = rest.split_at(at);
        if let Some(text) = before.strip_suffix('$') {
            found.push(Part::Text(text));
            found.push(Part::Text(OPEN));
            rest = from.strip_prefix(OPEN).unwrap_or_default();
            continue;
        }
        let inside = from.strip_prefix(OPEN).unwrap_or_default();
        // Without its end it is text.
        let Some((name, after)) = inside.split_once(CLOSE) else { break };
        found.push(Part::Text(before));
        found.push(Part::Reference(name.trim()));
        rest = after;
    }
    found.push(Part::Text(rest));
    found
}

/// Refuses what cannot be resolved: unknown names, circles, and values that grow beyond the limit.
pub(super) fn check(vars: &ConfigVars) -> Result<(), Refusal> {
    let mut sizes = BTreeMap::new();
    for name in vars.keys() {
        let size = size(vars, name, &mut sizes, &mut Vec::new())?;
        if size > VALUE_MAX {
            return Err(Refusal::new(
                Code::ValueTooLong,
                format!("{name} has more than {VALUE_MAX} bytes once its references are filled in"),
            )
            .next("refer to less"));
        }
    }
    Ok(())
}

/// The length of a value once it is resolved, without making it.
fn size<'v>(
    vars: &'v ConfigVars,
    name: &'v VarName,
    sizes: &mut BTreeMap<&'v VarName, usize>,
    path: &mut Vec<&'v VarName>,
) -> Result<usize, Refusal> {
    if let Some(known) = sizes.get(name) {
        return Ok(*known);
    }
    if path.contains(&name) {
        let circle: Vec<&str> = path.iter().map(|n| n.as_str()).chain([name.as_str()]).collect();
        return Err(Refusal::new(Code::ReferenceCircle, format!("{name} refers to itself: {}", circle.join(" -> ")))
            .next("set one of them to a value of its own"));
    }
    path.push(name);
    let mut total: usize = 0;
    for part in vars.get(name).map(|v| parts(v.reveal())).unwrap_or_default() {
        let more = match part {
            Part::Text(text) => text.len(),
            Part::Reference(to) if METADATA.contains(&to) => METADATA_LEN,
            Part::Reference(to) => match vars.keys().find(|n| n.as_str() == to) {
                Some(to) => size(vars, to, sizes, path)?,
                None => return Err(unknown(name, to)),
            },
        };
        total = total.saturating_add(more);
    }
    path.pop();
    sizes.insert(name, total);
    Ok(total)
}

fn unknown(name: &VarName, to: &str) -> Refusal {
    // What is no name may be anything, a part of a secret too.
    let to = if to.parse::<VarName>().is_ok() { to } else { "…" };
    Refusal::new(Code::UnknownReference, format!("{name} refers to {OPEN}{to}{CLOSE}, which is not there"))
        .why(format!("a reference names a config var of the app, or one of {}", METADATA.join(", ")))
        .next(format!("set {to} too, in the same command or before"))
        .next(format!("write {ESCAPED} where {OPEN} is meant as text"))
}

/// The vars with their references filled in. Those that refer to what `metadata` does not have (a release's number while
/// it is built) are left out; what is no good reference stays as it is.
pub fn resolve(vars: &ConfigVars, metadata: &BTreeMap<String, String>) -> ConfigVars {
    let mut done = BTreeMap::new();
    for name in vars.keys() {
        resolve_one(vars, metadata, name, &mut done);
    }
    done.into_iter().filter_map(|(name, value)| Some((name.clone(), Secret::new(value?)))).collect()
}

fn resolve_one<'v>(
    vars: &'v ConfigVars,
    metadata: &BTreeMap<String, String>,
    name: &'v VarName,
    done: &mut BTreeMap<&'v VarName, Option<String>>,
) -> Option<String> {
    if let Some(known) = done.get(name) {
        return known.clone();
    }
    let raw = vars.get(name)?.reveal();
    // Found again on the way: a circle, stored before circles were refused.
    done.insert(name, Some(raw.clone()));
    let mut text = String::with_capacity(raw.len());
    let mut known = true;
    for part in parts(raw) {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Reference(to) if METADATA.contains(&to) => match metadata.get(to) {
                Some(value) => text.push_str(value),
                None => known = false,
            },
            Part::Reference(to) => match vars.keys().find(|n| n.as_str() == to) {
                Some(to) => match resolve_one(vars, metadata, to, done) {
                    Some(value) => text.push_str(&value),
                    None => known = false,
                },
                None => text.push_str(&format!("{OPEN}{to}{CLOSE}")),
            },
        }
        if text.len() > VALUE_MAX {
            text.truncate(text.floor_char_boundary_at(VALUE_MAX));
            break;
        }
    }
    let value = known.then_some(text);
    done.insert(name, value.clone());
    value
}

/// `str::floor_char_boundary`, which is newer than the oldest compiler we build with.
trait FloorBoundary {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}
impl FloorBoundary for String {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|i| self.is_char_boundary(*i)).unwrap_or(0)
    }
}
