//! What a door did to whom since it was last said, as one line.

use std::{collections::HashMap, fmt::Write as _};

use crate::source::Source;

#[derive(Default)]
pub(super) struct Report {
    closed: Counts,
    refused: Counts,
    requests: Counts,
    full: u32,
}

#[derive(Default)]
struct Counts(HashMap<Source, u32>);

/// Sources that are told apart in one report.
const SOURCES: usize = 1024;
/// Sources that a report names.
const NAMED: usize = 3;

impl Report {
    /// A connection that waited was closed.
    pub(super) fn closed(&mut self, source: Source) {
        self.closed.add(source);
    }

    /// A connection was refused, for its source has too many.
    pub(super) fn refused(&mut self, source: Source) {
        self.refused.add(source);
    }

    /// A request was refused, for its source has too many.
    pub(super) fn request_refused(&mut self, source: Source) {
        self.requests.add(source);
    }

    /// A connection was refused, for there is no place at all.
    pub(super) fn full(&mut self) {
        self.full = self.full.saturating_add(1);
    }

    /// Empty when nothing happened.
    pub(super) fn line(&self) -> String {
        let mut line = String::new();
        let mut part = |text: String| {
            line.push_str(if line.is_empty() { "" } else { "; " });
            line.push_str(&text);
        };
        for (counts, act, what) in [
            (&self.closed, "closed", "waiting connections to make room"),
            (&self.refused, "refused", "connections of sources that have too many"),
            (&self.requests, "refused", "requests of sources that have too many at once"),
        ] {
            if !counts.0.is_empty() {
                part(format!("{act} {} {what}: {}", counts.all(), counts.most()));
            }
        }
        if self.full > 0 {
            part(format!("refused {} connections: all that may be open are at work", self.full));
        }
        line
    }
}

impl Counts {
    fn add(&mut self, source: Source) {
        if self.0.len() < SOURCES || self.0.contains_key(&source) {
            let n = self.0.entry(source).or_default();
            *n = n.saturating_add(1);
        }
    }

    fn all(&self) -> u64 {
        self.0.values().map(|n| u64::from(*n)).sum()
    }

    /// The networks with the highest counts.
    fn most(&self) -> String {
        let mut all: Vec<(Source, u32)> = self.0.iter().map(|(source, n)| (*source, *n)).collect();
        all.sort_by_key(|(source, n)| (std::cmp::Reverse(*n), *source));
        let mut text = String::new();
        for (source, n) in all.iter().take(NAMED) {
            let _ = write!(text, "{}{source} {n}", if text.is_empty() { "" } else { ", " });
        }
        if all.len() > NAMED {
            let _ = write!(text, " and {} more", all.len() - NAMED);
        }
        text
    }
}
