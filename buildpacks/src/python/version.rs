//! Which Python: what the app asks for, what it had before, what Debian has for the stack.
//! Invariant: an app keeps the version it was given until that no longer fits what it asks for, or its stack has it no
//! more. A version that names a patch gets the patch of that line that there is, and is told so.
//! Absent: prereleases, PyPy, Pythons from elsewhere.

use super::asked::{Asked, python_asked};
use super::debian::{PYTHONS, published};
use super::range::{Range, Version};
use crate::facts::{Facts, Stop};
use crate::plan::{Pins, Settings, Stack};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::Tree;

/// The oldest line that got security fixes when this was written.
const OLDEST_MAINTAINED: (u32, u32) = (3, 11);
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    /// `3.13.5`.
    pub(crate) version: Version,
    /// The suite of Debian that it comes from.
    pub(crate) suite: &'static str,
    pub(crate) decided: String,
    pub(crate) warnings: Vec<String>,
}

/// The version to build with, or what is missing to know it.
pub(crate) fn choose(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Python, Stop> {
    let asked = python_asked(tree)?;
    let range = match &asked {
        Some(asked) => Some(Range::parse(&asked.text).ok_or_else(|| Stop::Refuse(unclear(asked)))?),
        None => None,
    };
    let wanted = |version| range.as_ref().is_none_or(|range| range.fits(version));
    let line_of = |line: &str| PYTHONS.iter().find(|(stack, known, _)| *stack == settings.stack && *known == line);
    let pinned = pins.get("python").and_then(|pin| Version::parse(pin));
    let near = |version: Version| {
        let exact = range.as_ref().and_then(Range::exact);
        exact.is_some_and(|exact| (exact.0, exact.1) == (version.0, version.1))
    };
    if let Some(pinned) = pinned.filter(|pinned| wanted(*pinned) || near(*pinned))
        && let Some((_, _, suite)) = line_of(&pinned.line())
    {
        return Ok(said(pinned, suite, asked, true, !wanted(pinned)));
    }
    let there: Vec<(Version, &'static str)> = facts
        .get(published(settings.stack))?
        .iter()
        .filter_map(|line| {
            let version = Version::parse(line.split(' ').next()?)?;
            let (_, _, suite) = line_of(&version.line())?;
            Some((version, *suite))
        })
        .collect();
    let own = there.iter().find(|(_, suite)| *suite == settings.stack.suite());
    let newest = || there.iter().filter(|(version, _)| wanted(*version)).max();
    let found = own.filter(|(version, _)| wanted(*version)).or_else(newest);
    if let Some((version, suite)) = found {
        return Ok(said(*version, suite, asked, false, false));
    }
    match there.iter().find(|(version, _)| near(*version)) {
        Some((version, suite)) => Ok(said(*version, suite, asked, false, true)),
        None => Err(Stop::Refuse(absent(settings, asked.as_ref(), &there))),
    }
}

fn said(version: Version, suite: &'static str, asked: Option<Asked>, kept: bool, other_patch: bool) -> Python {
    let kept = if kept { ", as at the last build" } else { "" };
    let from = match &asked {
        Some(asked) => format!("{} in {}", quote(&asked.text), asked.place),
        None => "nothing asks for a version".to_owned(),
    };
    let mut warnings = Vec::new();
    if other_patch && let Some(asked) = &asked {
        let (text, place) = (quote(&asked.text), &asked.place);
        warnings
            .push(format!("{place} asks for {text}; of that line there is {version}. Write {} there", version.line()));
    }
    if (version.0, version.1) < OLDEST_MAINTAINED {
        warnings.push(format!("Python {} gets no security fixes any more", version.line()));
    }
    if suite == "forky" {
        warnings.push(format!(
            "Python {} comes from Debian's testing suite: its module termios does not load here",
            version.line()
        ));
    }
    Python { version, suite, decided: format!("Python {version} ({from}{kept})"), warnings }
}

fn unclear(asked: &Asked) -> Refusal {
    let (what, why) = (
        format!("{} does not say a Python version that can be understood", asked.place),
        format!("it says {}", quote(&asked.text)),
    );
    let next = format!(
        "write {} in {}",
        if asked.place == "runtime.txt" { "python-3.13" } else { "3.13 or >=3.11" },
        asked.place
    );
    Refusal::new(Code::PythonVersionUnclear, what, why, &next)
}

fn absent(settings: &Settings, asked: Option<&Asked>, there: &[(Version, &str)]) -> Refusal {
    let versions: Vec<String> = there.iter().map(|(version, _)| version.to_string()).collect();
    let (text, place) = asked.map_or(("any", "nothing"), |asked| (asked.text.as_str(), asked.place));
    let why = match versions.is_empty() {
        true => "Debian's package lists could not be read".to_owned(),
        false => {
            format!("{place} asks for {}; the stack {} has {}", quote(text), settings.stack.name(), versions.join(", "))
        }
    };
    let line = there.first().map_or_else(|| "3.13".to_owned(), |(version, _)| version.line());
    let refusal = Refusal::new(
        Code::PythonVersionUnavailable,
        "there is no such Python here",
        why,
        &format!("ask for {line} in {place}, commit and push"),
    );
    match settings.stack {
        Stack::Deb12 => refusal.or("or build on the newer stack: apps:set APP stack=trixie"),
        Stack::Deb13 => refusal,
    }
}
