//! Version ranges as npm and nvm write them: `>=18 <23`, `^20 || ^22`, `20.x`, `18 - 20`, `lts/*`, `lts/jod`, `node`.
//! Invariant: what npm's semver calls invalid is an error here, and a contradiction (`>=18 <17`) fits nothing.
//! Absent: prereleases in ranges; one can be asked for only by its full name. Crates were tried and left out: nodejs-semver 7.0
//! and node-semver 2.2 read `>=18 <17` as "one of them" and pass over words that they do not know; deno_semver 0.10 reads ranges
//! as npm does, but takes `20,` for one, panics where a range is a tag, and brings ten crates for half of this file.

use std::fmt;

/// The line of an app that asks for nothing.
pub(crate) const DEFAULT_MAJOR: u32 = 24;
/// The newest line with long-term support when this was written.
const LTS_MAJOR: u32 = 26;
/// From this line on every line gets long-term support; before it, the even ones.
const ALL_LTS_FROM: u32 = 27;
/// The oldest line that got security fixes when this was written.
pub(crate) const OLDEST_MAINTAINED: u32 = 22;
/// Code names of the lines with long-term support.
const LTS_NAMES: [(&str, u32); 12] = [
    ("argon", 4),
    ("boron", 6),
    ("carbon", 8),
    ("dubnium", 10),
    ("erbium", 12),
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
    ("lithium", 26),
];
/// Longest range that is read.
const RANGE_MAX: usize = 256;

/// A published version that is not a prerelease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    any_of: Vec<Span>,
    /// A prerelease, by its full name.
    exact: Option<String>,
    /// `node`, `latest`: the newest of all, even if its line will not get long-term support.
    newest: bool,
}

/// The versions from `low` to before `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    low: Version,
    high: Option<Version>,
}

/// A version that may end early: `20`, `20.1`, `*`.
#[derive(Debug, Clone, Copy)]
struct Partial {
    major: Option<u32>,
    minor: Option<u32>,
    patch: Option<u32>,
}

impl Version {
    const ZERO: Version = Version { major: 0, minor: 0, patch: 0 };

    /// None for a prerelease and for what is no version.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        match Partial::parse(text)? {
            Partial { major: Some(major), minor: Some(minor), patch: Some(patch) }
                if !text.contains(['-', 'v', '=']) =>
            {
                Some(Version { major, minor, patch })
            }
            Partial { .. } => None,
        }
    }
}

impl Version {
    /// Whether its line gets, or got, long-term support.
    pub(crate) fn long_term(self) -> bool {
        self.major.is_multiple_of(2) || self.major >= ALL_LTS_FROM
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Range {
    /// None if it is not a range.
    pub(crate) fn parse(text: &str) -> Option<Range> {
        let text = text.trim();
        if text.len() > RANGE_MAX {
            return None;
        }
        let bare = text.trim_start_matches(['=', 'v']);
        if bare.contains('-') && !bare.contains([' ', '|', '<', '>', '^', '~']) && Partial::parse(bare).is_some() {
            return Some(Range { any_of: Vec::new(), exact: Some(bare.to_owned()), newest: false });
        }
        let newest = matches!(text, "node" | "latest" | "current" | "stable");
        if newest {
            return Some(Range { any_of: vec![Span::ALL], exact: None, newest });
        }
        let any_of = text.split("||").map(span_of).collect::<Option<Vec<_>>>()?;
        Some(Range { any_of, exact: None, newest })
    }

    /// All versions of one major.
    pub(crate) fn line(major: u32) -> Range {
        Range { any_of: vec![Span::line(major)], exact: None, newest: false }
    }

    /// Whether this published version, as text, fits.
    pub(crate) fn fits(&self, version: &str) -> bool {
        self.exact.as_deref() == Some(version) || Version::parse(version).is_some_and(|version| self.holds(version))
    }

    fn holds(&self, version: Version) -> bool {
        self.any_of.iter().any(|span| span.low <= version && span.high.is_none_or(|high| version < high))
    }

    /// Whether it has no upper end.
    fn open(&self) -> bool {
        self.any_of.iter().any(|span| span.high.is_none())
    }

    /// The newest published version that fits. A range without upper end is given a line with long-term support, if
    /// one fits; the flag says that a newer version was passed over for it.
    pub(crate) fn choose(&self, published: &[String]) -> Option<(String, bool)> {
        if let Some(exact) = &self.exact {
            return published.contains(exact).then(|| (exact.clone(), false));
        }
        let fitting =
            || published.iter().filter_map(|text| Version::parse(text)).filter(|version| self.holds(*version));
        let newest = fitting().max()?;
        let supported = fitting().filter(|version| version.long_term()).max();
        match supported {
            Some(supported) if self.open() && !self.newest => Some((supported.to_string(), supported != newest)),
            Some(_) | None => Some((newest.to_string(), false)),
        }
    }
}

impl Span {
    const ALL: Span = Span { low: Version::ZERO, high: None };
    const NONE: Span = Span { low: Version::ZERO, high: Some(Version::ZERO) };

    fn line(major: u32) -> Span {
        let high = Version { major: major.saturating_add(1), ..Version::ZERO };
        Span { low: Version { major, ..Version::ZERO }, high: Some(high) }
    }

    fn and(self, other: Span) -> Span {
        let high = match (self.high, other.high) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Span { low: self.low.max(other.low), high }
    }
}

/// What lies between two `||`: parts that must all fit, or `low - high`.
fn span_of(text: &str) -> Option<Span> {
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (Partial::parse(low.trim())?, Partial::parse(high.trim())?);
        return Some(Span { low: low.first(), high: high.after() });
    }
    let mut span = Span::ALL;
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let rest = word.trim_start_matches(['<', '>', '=', '^', '~']);
        let operator = word.strip_suffix(rest).unwrap_or("");
        let rest = if rest.is_empty() { words.next()? } else { rest };
        span = span.and(comparator(operator, rest)?);
    }
    Some(span)
}

fn comparator(operator: &str, text: &str) -> Option<Span> {
    if operator.is_empty()
        && let Some(major) = lts(text)
    {
        return Some(Span::line(major));
    }
    let partial = Partial::parse(text)?;
    let low = partial.first();
    let Some(major) = partial.major else {
        return Some(if matches!(operator, "<" | ">") { Span::NONE } else { Span::ALL });
    };
    let next_minor = Version { major, minor: low.minor.saturating_add(1), patch: 0 };
    Some(match operator {
        "" | "=" => Span { low, high: partial.after() },
        ">=" => Span { low, high: None },
        ">" => Span { low: partial.after()?, high: None },
        "<" => Span { low: Version::ZERO, high: Some(low) },
        "<=" => Span { low: Version::ZERO, high: partial.after() },
        "~" | "~>" => Span { low, high: if partial.minor.is_some() { Some(next_minor) } else { partial.after() } },
        "^" => match (major, partial.minor, partial.patch) {
            (0, Some(0), Some(_)) => Span { low, high: partial.after() },
            (0, Some(_), _) => Span { low, high: Some(next_minor) },
            (major, _, _) => Span { low, high: Span::line(major).high },
        },
        _ => return None,
    })
}

/// The line that a name for long-term support stands for.
fn lts(text: &str) -> Option<u32> {
    let name = match text {
        "lts" | "lts/*" | "--lts" => return Some(LTS_MAJOR),
        text => text.strip_prefix("lts/")?.to_ascii_lowercase(),
    };
    LTS_NAMES.iter().find(|(known, _)| *known == name).map(|(_, major)| *major)
}

impl Partial {
    /// `v20.x`, `20.1.0-rc.1+build`: a prerelease's or build's name is passed over.
    fn parse(text: &str) -> Option<Partial> {
        let text = text.trim_start_matches(['v', '=']);
        let numbers = text.split(['-', '+']).next()?;
        let mut parts = numbers.split('.');
        let major = number(parts.next()?)?;
        let minor = parts.next().map_or(Some(None), number)?;
        let patch = parts.next().map_or(Some(None), number)?;
        let minor = major.and(minor);
        let whole = numbers.len() == text.len() || patch.is_some();
        (parts.next().is_none() && whole).then_some(Partial { major, minor, patch: minor.and(patch) })
    }

    fn first(self) -> Version {
        let part = |part: Option<u32>| part.unwrap_or(0);
        Version { major: part(self.major), minor: part(self.minor), patch: part(self.patch) }
    }

    /// The first version that it no longer stands for.
    fn after(self) -> Option<Version> {
        let Version { major, minor, patch } = self.first();
        Some(match self {
            Partial { major: None, .. } => return None,
            Partial { minor: None, .. } => Version { major: major.saturating_add(1), ..Version::ZERO },
            Partial { patch: None, .. } => Version { major, minor: minor.saturating_add(1), patch: 0 },
            Partial { .. } => Version { major, minor, patch: patch.saturating_add(1) },
        })
    }
}

/// `Some(None)` for a wildcard, `None` for what is no number.
fn number(text: &str) -> Option<Option<u32>> {
    match text {
        "x" | "X" | "*" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok().map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const PUBLISHED: &str = "0.12.18 4.9.1 16.20.2 18.0.0 18.20.8 20.1.5 20.20.2 21.7.3 22.0.0 22.11.0 22.23.3 23.11.1 \
                             24.0.0-rc.1 24.21.0 25.9.0 26.10.0";

    fn check(ranges: &str, expect: Expect) {
        let published: Vec<String> = PUBLISHED.split_whitespace().map(str::to_owned).collect();
        let line = |range: &str| match Range::parse(range) {
            None => format!("{range:?} is not a range\n"),
            Some(parsed) => match parsed.choose(&published) {
                None => format!("{range:?} -> nothing\n"),
                Some((version, _)) => format!("{range:?} -> {version}\n"),
            },
        };
        expect.assert_eq(&ranges.lines().map(line).collect::<String>());
    }

    #[test]
    fn closed() {
        check(
            "20\n20.x\n20.1.x\nv18\n=22\n= 22\n22.0.0\nv22.11.0\n^20 || ^22\n^20||^22\n>=18 <23\n18 - 20\n18.0.0 - 22.11\n~22.11\n~>22\n^ 20\n<=22\n<= 22.11\n<22\n0.12.x\n^0.12\n4\n24.0.0-rc.1\n20 || lts/iron",
            expect![[r#"
                "20" -> 20.20.2
                "20.x" -> 20.20.2
                "20.1.x" -> 20.1.5
                "v18" -> 18.20.8
                "=22" -> 22.23.3
                "= 22" -> 22.23.3
                "22.0.0" -> 22.0.0
                "v22.11.0" -> 22.11.0
                "^20 || ^22" -> 22.23.3
                "^20||^22" -> 22.23.3
                ">=18 <23" -> 22.23.3
                "18 - 20" -> 20.20.2
                "18.0.0 - 22.11" -> 22.11.0
                "~22.11" -> 22.11.0
                "~>22" -> 22.23.3
                "^ 20" -> 20.20.2
                "<=22" -> 22.23.3
                "<= 22.11" -> 22.11.0
                "<22" -> 21.7.3
                "0.12.x" -> 0.12.18
                "^0.12" -> 0.12.18
                "4" -> 4.9.1
                "24.0.0-rc.1" -> 24.0.0-rc.1
                "20 || lts/iron" -> 20.20.2
            "#]],
        );
    }

    #[test]
    fn open_ranges_take_a_line_with_long_term_support() {
        check(
            ">=18\n*\n\nx\n>20\n^18 || >=22\n>=25\n>=25 <26\nnode\nlatest\nlts/*\nlts/Jod\n--lts",
            expect![[r#"
                ">=18" -> 26.10.0
                "*" -> 26.10.0
                "" -> 26.10.0
                "x" -> 26.10.0
                ">20" -> 26.10.0
                "^18 || >=22" -> 26.10.0
                ">=25" -> 26.10.0
                ">=25 <26" -> 25.9.0
                "node" -> 26.10.0
                "latest" -> 26.10.0
                "lts/*" -> 26.10.0
                "lts/Jod" -> 22.23.3
                "--lts" -> 26.10.0
            "#]],
        );
    }

    #[test]
    fn contradictions_and_nonsense() {
        check(
            ">=18 <17\n20 22\n>*\n99\n20,\nnode 20\n>=20 latest\nlts/unknown\n=<22\n20.1.2.3\n^99999999999999999999\n4294967295\n>4294967295.4294967295.4294967295\n!20\n20 -\n>=\n-\n--\n^\n20-\n\u{feff}20\n２０",
            expect![[r#"
                ">=18 <17" -> nothing
                "20 22" -> nothing
                ">*" -> nothing
                "99" -> nothing
                "20," is not a range
                "node 20" is not a range
                ">=20 latest" is not a range
                "lts/unknown" is not a range
                "=<22" is not a range
                "20.1.2.3" is not a range
                "^99999999999999999999" is not a range
                "4294967295" -> nothing
                ">4294967295.4294967295.4294967295" -> nothing
                "!20" is not a range
                "20 -" is not a range
                ">=" is not a range
                "-" is not a range
                "--" is not a range
                "^" is not a range
                "20-" is not a range
                "\u{feff}20" is not a range
                "２０" is not a range
            "#]],
        );
        assert_eq!(Range::parse(&"1 || ".repeat(100_000)), None);
    }
}
