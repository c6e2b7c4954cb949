//! Marks: lines of a plain segment that say how far the spools are stored, and what recovery makes of them.
//!
//! `@F` has the positions of all spools and the number of the line that follows; `@P` has those that moved since.

use super::spool::{Position, read_at};
use log_format::SpoolKey;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

/// Recovery looks there first.
const TAIL: u64 = 1024 * 1024;

/// How far a spool has been stored. `life` tells two spools apart that had one name after each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub life: i64,
    pub position: Position,
}

/// Marks by spool.
pub(super) type Marks = BTreeMap<SpoolKey, Mark>;

/// A mark with all positions: `@F`, the number of the line that follows, the marks.
pub(super) fn push_full(out: &mut String, next: u64, marks: &Marks) {
    let _ = write!(out, "@F\t#{next}");
    push_marks(out, marks);
    out.push('\n');
}

/// `key life seq offset count` per spool.
pub(super) fn push_marks(out: &mut String, marks: &Marks) {
    for (key, Mark { life, position: p }) in marks {
        let _ = write!(out, "\t{key} {life} {} {} {}", p.seq, p.offset, p.count);
    }
}

/// What recovery finds in a plain segment.
pub(super) struct Found {
    /// The end of the last whole mark.
    pub committed: u64,
    pub marks: Marks,
    /// The number of the line after it.
    pub next: u64,
}

impl Found {
    /// The marks as a sealed segment keeps them.
    pub fn marks_text(&self) -> String {
        let mut text = String::new();
        push_marks(&mut text, &self.marks);
        text
    }
}

/// Finds the end of the last whole mark in a segment and the positions it stands for. `None`: there is no mark.
pub(super) fn recover(path: &Path, len: u64, first: u64) -> io::Result<Option<Found>> {
    let file = File::open(path)?;
    let start = len.saturating_sub(TAIL);
    if start > 0
        && let Some(found) = read_marks(&file, start, len, None)?
    {
        return Ok(Some(found));
    }
    read_marks(&file, 0, len, Some(first))
}

/// The same within `start..len`; `None` also if no mark with all positions and a number is in there.
fn read_marks(file: &File, start: u64, len: u64, first: Option<u64>) -> io::Result<Option<Found>> {
    let bytes = read_at(file, start, usize::try_from(len - start).unwrap_or(0))?;
    let mut marks: Option<Marks> = None;
    let mut found = None;
    let mut next = first;
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        // The first piece of a block may be the rest of a line, and then it can look like a mark.
        let partial_first = start > 0 && at == line.len();
        if partial_first {
            continue;
        }
        if line.first() != Some(&b'@') {
            next = next.map(|n| n + u64::from(line.ends_with(b"\n")));
            continue;
        }
        let Some(line) = line.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok()) else { continue };
        if let Some(rest) = line.strip_prefix("@F") {
            marks = Some(parse_marks(rest));
            next = number_in(rest).or(next);
        } else if let (Some(rest), Some(marks)) = (line.strip_prefix("@P"), marks.as_mut()) {
            marks.extend(parse_marks(rest));
        }
        if let (Some(next), true) = (next, marks.is_some()) {
            found = Some((start + at as u64, next));
        }
    }
    Ok(found.zip(marks).map(|((committed, next), marks)| Found { committed, marks, next }))
}

/// The number of a plain segment's first line, if it says so.
pub(super) fn first_line(path: &Path) -> io::Result<Option<u64>> {
    let start = read_at(&File::open(path)?, 0, 64)?;
    let start = String::from_utf8_lossy(&start);
    Ok(start.strip_prefix("@F").and_then(number_in))
}

fn number_in(rest: &str) -> Option<u64> {
    rest.strip_prefix("\t#")?.split(['\t', '\n']).next()?.parse().ok()
}

pub(super) fn parse_marks(rest: &str) -> Marks {
    rest.split('\t').filter_map(parse_mark).collect()
}

fn parse_mark(text: &str) -> Option<(SpoolKey, Mark)> {
    let mut words = text.split(' ');
    let key = words.next()?.parse().ok()?;
    let life = words.next()?.parse().ok()?;
    let mut number = || words.next().and_then(|w| w.parse().ok());
    let position = Position { seq: number()?, offset: number()?, count: number()? };
    Some((key, Mark { life, position }))
}
