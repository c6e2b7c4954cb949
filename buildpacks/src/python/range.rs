//! Sets of Python versions as .python-version, Python's own tools, Poetry and Pipenv write them.
//! Invariant: `==3.12`, `<=3.12` and `3.12` mean the line, `>3.12` what comes after it.
//! Absent: prereleases. The crate pep440_rs was looked at and left out: it reads none of `3.12`, `3.12.x`, `^3.12`, `~3.12`,
//! `>=3.9 <3.14`, `3.11 || 3.12`, and means other versions by `==`, `<=` and `>`: all but four operators would be translated
//! for it by what is here.

use std::fmt;

/// Longest set of versions that is read.
const TEXT_MAX: usize = 256;

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

/// A set of versions: any of several, each a list of clauses that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range(Vec<Vec<Clause>>);

/// From `low` to before `high`, or outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clause {
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
        text.split("||").map(clauses).collect::<Option<Vec<_>>>().map(Range)
    }

    pub(crate) fn fits(&self, version: Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|clause| clause.holds(version)))
    }

    /// The line and the patch, if it is just one full version.
    pub(crate) fn exact(&self) -> Option<Version> {
        let [all] = self.0.as_slice() else { return None };
        let [Clause { low, high, not: false }] = all.as_slice() else { return None };
        (*high == Some(Version(low.0, low.1, low.2.saturating_add(1)))).then_some(*low)
    }
}

impl Clause {
    fn holds(&self, version: Version) -> bool {
        (self.low <= version && self.high.is_none_or(|high| version < high)) != self.not
    }
}

fn clauses(text: &str) -> Option<Vec<Clause>> {
    let words: Vec<&str> = text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    let mut all = Vec::new();
    let mut operator = String::new();
    for word in words {
        let rest = word.trim_start_matches(['<', '>', '=', '!', '~', '^']);
        operator.push_str(word.strip_suffix(rest).unwrap_or(""));
        if !rest.is_empty() {
            all.push(clause(&std::mem::take(&mut operator), rest)?);
        }
    }
    (operator.is_empty() && !all.is_empty()).then_some(all)
}

fn clause(operator: &str, text: &str) -> Option<Clause> {
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
    let span = |low, high| Some(Clause { low, high, not: false });
    match operator {
        // `==3.12` means 3.12.0 to Python's own tools; nobody who writes it wants that.
        "" | "=" | "==" | "===" => span(low, after),
        "!=" => Some(Clause { low, high: after, not: true }),
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
