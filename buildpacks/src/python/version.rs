//! Which Python: what the app asks for, what it had before, what Debian has for the stack.
//! Invariant: an app keeps the version it was given until that no longer fits what it asks for, or its stack has it no
//! more. A version that names a patch gets the patch of that line that there is, and is told so.
//! Absent: prereleases, PyPy, Pythons from elsewhere.

use super::files::{self, Asked};
use crate::debian::PYTHONS;
use crate::plan::{Facts, Pins, Question, Settings};
use crate::refusal::{Refusal, quote};
use crate::tree::Tree;
use std::fmt;

/// The oldest line that got security fixes when this was written.
const OLDEST_MAINTAINED: (u32, u32) = (3, 11);
/// Longest set of versions that is read.
const TEXT_MAX: usize = 256;

/// The Python to build with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    /// `3.13.5`.
    pub(crate) version: Version,
    /// The suite of Debian that it comes from.
    pub(crate) suite: &'static str,
    pub(crate) decided: String,
    pub(crate) warnings: Vec<String>,
}

/// Why there is no version yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The shell must bring this first.
    Ask(Question),
    /// The app must change.
    Refuse(Refusal),
}

/// A version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// A released version: two or three numbers.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        let version = Version(parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        parts.next().is_none().then_some(version)
    }

    /// `3.13`.
    pub(crate) fn line(self) -> String {
        format!("{}.{}", self.0, self.1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A set of versions: any of several, each a list of conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range(Vec<Vec<Condition>>);

/// One condition: from `low` to before `high`, or outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    low: Version,
    high: Option<Version>,
    not: bool,
}

impl Range {
    /// `3.13`, `3.13.*`, `>=3.11,<4`, `~=3.12`, `^3.11`, `~3.12`, `==3.12.*`, `>=3.9 <3.14`, `3.11 || 3.12`, `*`.
    pub(crate) fn parse(text: &str) -> Option<Range> {
        if text.len() > TEXT_MAX {
            return None;
        }
        text.split("||").map(conditions).collect::<Option<Vec<_>>>().map(Range)
    }

    pub(crate) fn fits(&self, version: Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|condition| condition.holds(version)))
    }

    /// The line and the patch, if it is just one full version.
    fn exact(&self) -> Option<Version> {
        let [all] = self.0.as_slice() else { return None };
        let [Condition { low, high, not: false }] = all.as_slice() else { return None };
        (*high == Some(Version(low.0, low.1, low.2.saturating_add(1)))).then_some(*low)
    }
}

impl Condition {
    fn holds(&self, version: Version) -> bool {
        (self.low <= version && self.high.is_none_or(|high| version < high)) != self.not
    }
}

fn conditions(text: &str) -> Option<Vec<Condition>> {
    let words: Vec<&str> = text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    let mut all = Vec::new();
    let mut operator = String::new();
    for word in words {
        let rest = word.trim_start_matches(['<', '>', '=', '!', '~', '^']);
        operator.push_str(word.strip_suffix(rest).unwrap_or(""));
        if !rest.is_empty() {
            all.push(condition(&std::mem::take(&mut operator), rest)?);
        }
    }
    (operator.is_empty() && !all.is_empty()).then_some(all)
}

fn condition(operator: &str, text: &str) -> Option<Condition> {
    const ZERO: Version = Version(0, 0, 0);
    let star = text == "*" || text.ends_with(".*") || text.ends_with(".x");
    let bare = text.trim_end_matches(['*', 'x']).trim_end_matches('.');
    let parts = bare.split('.').filter(|part| !part.is_empty()).map(|part| part.parse::<u32>().ok());
    let parts = parts.collect::<Option<Vec<u32>>>()?;
    let (low, after, up) = match parts[..] {
        [] if star => (ZERO, None, None),
        [major] => (Version(major, 0, 0), Some(Version(major.checked_add(1)?, 0, 0)), None),
        [major, minor] => {
            let next = Version(major, minor.checked_add(1)?, 0);
            (Version(major, minor, 0), Some(next), Some(Version(major.checked_add(1)?, 0, 0)))
        }
        [major, minor, patch] => {
            let next = Version(major, minor, patch.checked_add(1)?);
            (Version(major, minor, patch), Some(next), Some(Version(major, minor.checked_add(1)?, 0)))
        }
        _ => return None,
    };
    let next_major = Some(Version(low.0.checked_add(1)?, 0, 0));
    let span = |low, high| Some(Condition { low, high, not: false });
    match operator {
        // `==3.12` means 3.12.0 to Python's own tools; nobody who writes it wants that.
        "" | "=" | "==" | "===" => span(low, after),
        "!=" => Some(Condition { low, high: after, not: true }),
        ">=" => span(low, None),
        ">" if star => None,
        ">" => span(after?, None),
        "<=" => span(ZERO, Some(after?)),
        "<" => span(ZERO, Some(low)),
        "^" => span(low, next_major),
        "~=" => span(low, up.or(after)),
        "~" => span(low, if parts.len() == 3 { up } else { after }),
        _ => None,
    }
}

/// The version to build with, or what is missing to know it.
pub(crate) fn choose(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Python, Stop> {
    let asked = files::python_asked(tree).map_err(Stop::Refuse)?;
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
    let Some(there) = &facts.pythons else { return Err(Stop::Ask(Question::Pythons { stack: settings.stack })) };
    let there: Vec<(Version, &'static str)> = there
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
    Refusal::new("python-version-unclear", what, why, &next)
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
        "python-version-unavailable",
        "there is no such Python here",
        why,
        &format!("ask for {line} in {place}, commit and push"),
    );
    match settings.stack {
        crate::plan::Stack::Deb12 => refusal.or("or build on the newer stack: apps:set APP stack=trixie"),
        crate::plan::Stack::Deb13 => refusal,
    }
}
