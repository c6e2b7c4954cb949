//! Which records are wanted: by origin, time, number and text. Every condition must hold; lists take any of theirs.
//!
//! Absent: the search in the text itself, which needs a regex engine; a [`Grep`] only says what is looked for.

use super::{Source, View};
use domain::refusal::Code;
use domain::words::quote;
use domain::{Refusal, Timestamp};

/// Longer ones are refused: nobody types them, and an expression's size decides what a search costs.
const GREP_MAX: usize = 1000;

/// Conditions; an empty filter takes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Process types (`web`) or instances (`web.1`).
    pub processes: Vec<String>,
    /// Sources.
    pub sources: Vec<Source>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Not younger than this.
    pub until: Option<Timestamp>,
    /// Only lines with a number above this one.
    pub after: Option<u64>,
    /// What the text holds.
    pub grep: Option<Grep>,
    /// No lines of builds, which have a place of their own.
    pub no_builds: bool,
}

/// What is looked for in a line's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grep {
    /// The text as it is.
    Text(String),
    /// A regular expression.
    Regex(String),
}

impl Filter {
    /// Whether a record is wanted as far as its text plays no part.
    pub fn takes(&self, id: u64, record: &View<'_>) -> bool {
        self.origin(record.source, record.process, record.instance)
            && self.since.is_none_or(|t| record.time >= t)
            && self.until.is_none_or(|t| record.time <= t)
            && self.after.is_none_or(|after| id > after)
    }

    /// Whether lines of this origin are wanted.
    pub fn origin(&self, source: Source, process: &str, instance: &str) -> bool {
        (self.processes.is_empty() || self.processes.iter().any(|p| p == process || p == instance))
            && (self.sources.is_empty() || self.sources.contains(&source))
            && !(self.no_builds && source == Source::Build)
    }

    /// Whether some line between two times, both included, can be wanted.
    pub fn overlaps(&self, from: Timestamp, to: Timestamp) -> bool {
        self.since.is_none_or(|t| to >= t) && self.until.is_none_or(|t| from <= t)
    }

    /// Whether nothing but the origin of a line decides.
    pub fn by_origin_only(&self) -> bool {
        self.since.is_none() && self.until.is_none() && self.after.is_none() && self.grep.is_none()
    }

    /// Reads `web,worker.1`.
    pub fn parse_processes(text: &str) -> Result<Vec<String>, Refusal> {
        text.split(',').map(process).collect()
    }

    /// Reads `app,router`.
    pub fn parse_sources(text: &str) -> Result<Vec<Source>, Refusal> {
        text.split(',').map(str::parse).collect()
    }

    /// Refuses a range that holds no time.
    pub fn checked(self) -> Result<Filter, Refusal> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if since > until => {
                Err(Refusal::new(Code::BadTime, "--since is later than --until: no line can match")
                    .why(format!("--since is {}, --until is {}", since.rfc3339(), until.rfc3339()))
                    .next("logs APP --since 2h --until 1h"))
            }
            _ => Ok(self),
        }
    }
}

impl Grep {
    /// Reads `WORD`, or `/EXPRESSION/`.
    pub fn parse(what: &str) -> Result<Grep, Refusal> {
        let bad = |why: &str| {
            Refusal::new(Code::BadGrep, format!("--grep {} looks for nothing that can be found", quote(what)))
                .why(why)
                .next("logs APP --grep timeout, or logs APP --grep '/status=5[0-9][0-9]/'")
        };
        if what.len() > GREP_MAX {
            return Err(bad(&format!("more than {GREP_MAX} bytes")));
        }
        if what.contains('\n') {
            return Err(bad("a record is one line"));
        }
        match what.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some("") => Err(bad("an empty expression")),
            Some(expression) => Ok(Grep::Regex(expression.to_owned())),
            None if what.is_empty() => Err(bad("it is empty")),
            None => Ok(Grep::Text(what.to_owned())),
        }
    }
}

fn process(word: &str) -> Result<String, Refusal> {
    let (name, number) = word.split_once('.').map_or((word, None), |(name, number)| (name, Some(number)));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let named = !name.is_empty() && name.len() <= 63 && name.chars().all(plain);
    let numbered = number.is_none_or(|n| !n.is_empty() && n.len() <= 9 && n.chars().all(|c| c.is_ascii_digit()));
    if named && numbered {
        return Ok(word.to_owned());
    }
    Err(Refusal::new(Code::BadProcess, format!("{} is neither a process type nor an instance", quote(word)))
        .next("logs APP -p web, or logs APP -p web.1,worker"))
}

/// A point in time as people give it: `10m` before now (s, m, h, d, w), `2026-11-21T14:00:00Z`, `2026-11-21 14:00`, `2026-11-21`.
pub fn when(option: &str, word: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    ago(word, now).or_else(|| Timestamp::parse(word)).ok_or_else(|| {
        Refusal::new(Code::BadTime, format!("--{option} {} is not a time", quote(word)))
            .why("it takes a span back from now, or a time as RFC 3339 has it; without a zone it is UTC")
            .next(format!("--{option} 10m"))
            .next(format!("--{option} {}Z", now.rfc3339().get(..19).unwrap_or("")))
    })
}

fn ago(word: &str, now: Timestamp) -> Option<Timestamp> {
    let unit = word.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let digits = word.strip_suffix(unit)?;
    let n: i64 = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok()? } else { return None };
    Some(now.plus_millis(n.checked_mul(seconds)?.checked_mul(1000)?.checked_neg()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;

    #[test]
    fn what_is_taken() {
        let mut r = Record::platform(Timestamp(1_714_150_712_943_253), "GET /health");
        (r.source, r.process, r.instance) = (Source::App, "web".into(), "web.1".into());
        let all = Filter::default();
        let processes = |text: &str| Filter { processes: Filter::parse_processes(text).unwrap(), ..Filter::default() };
        let sources = |text: &str| Filter { sources: Filter::parse_sources(text).unwrap(), ..Filter::default() };
        for (filter, want) in [
            (all.clone(), true),
            (processes("web"), true),
            (processes("web.1"), true),
            (processes("worker,web.1"), true),
            (processes("web.2"), false),
            (sources("router"), false),
            (sources("router,app"), true),
            (Filter { since: Some(r.time), ..all.clone() }, true),
            (Filter { since: Some(r.time.plus_millis(1)), ..all.clone() }, false),
            (Filter { until: Some(r.time), ..all.clone() }, true),
            (Filter { until: Some(r.time.plus_millis(-1)), ..all.clone() }, false),
            (Filter { after: Some(7), ..all.clone() }, false),
            (Filter { after: Some(6), ..all.clone() }, true),
        ] {
            assert_eq!(filter.takes(7, &r.view()), want, "{filter:?}");
        }
        let range = Filter { since: Some(Timestamp(10)), until: Some(Timestamp(20)), ..all };
        let hits = |from, to| range.overlaps(Timestamp(from), Timestamp(to));
        assert!(hits(0, 10) && hits(20, 30) && hits(0, 99) && !hits(0, 9) && !hits(21, 30));
        assert_eq!(range.clone().checked(), Ok(range.clone()));
        let back = Filter { since: range.until, until: range.since, ..range };
        assert_eq!(back.checked().unwrap_err().code, Code::BadTime);
    }

    #[test]
    fn words_are_read_or_refused_with_an_example() {
        for bad in ["", "web.", ".1", "web.x", "web,,", "../x", "web.1.2", "a b"] {
            let refused = Filter::parse_processes(bad).unwrap_err();
            assert_eq!((refused.code.as_str(), !refused.next.is_empty()), ("bad-process", true), "{bad:?}");
        }
        assert!(Filter::parse_sources("app,dyno").is_err() && Filter::parse_sources("").is_err());
        assert_eq!(Grep::parse("timeout"), Ok(Grep::Text("timeout".into())));
        assert_eq!(Grep::parse("/a|b/"), Ok(Grep::Regex("a|b".into())));
        assert_eq!(Grep::parse("/health"), Ok(Grep::Text("/health".into())));
        for bad in ["", "//", "a\nb", "x".repeat(1001).as_str()] {
            assert_eq!(Grep::parse(bad).unwrap_err().code, Code::BadGrep, "{bad:?}");
        }
        assert_eq!(Grep::parse("/"), Ok(Grep::Text("/".into())));
    }

    #[test]
    fn times_as_people_give_them() {
        let now = Timestamp(1_714_150_712_943_253);
        for (word, want) in [
            ("10m", now.0 - 600_000_000),
            ("0s", now.0),
            ("2h", now.0 - 7_200_000_000),
            ("1d", now.0 - 86_400_000_000),
            ("1w", now.0 - 604_800_000_000),
            ("2024-04-26T16:58:32.943253+00:00", now.0),
            ("2024-04-26T16:58:32Z", 1_714_150_712_000_000),
            ("2024-04-26 16:58", 1_714_150_680_000_000),
            ("2024-04-26", 1_714_089_600_000_000),
            ("2024-04-26T18:58:32+02:00", 1_714_150_712_000_000),
        ] {
            assert_eq!(when("since", word, now), Ok(Timestamp(want)), "{word}");
        }
        for bad in
            ["", "10", "m", "-5m", "10x", "yesterday", "99999999999999999999m", "9223372036854775807w", "2024-13-01"]
        {
            let refused = when("since", bad, now).unwrap_err();
            assert_eq!((refused.code.as_str(), !refused.next.is_empty()), ("bad-time", true), "{bad:?}");
        }
    }
}
