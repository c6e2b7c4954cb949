//! One app's stored lines: numbered segment files, appended in batches, the oldest deleted under a budget.
//!
//! A batch is lines and then a mark of the spool positions they reach, in one write; at open, what follows the last whole
//! mark is cut off and read from the spools again. So a kill at any byte leaves no gap and no double. Every segment, and
//! every 256 KiB in it, has a mark with all positions, so that recovery reads little.
//! Absent: decoding of records, file descriptors between calls, fsync (a power cut may cost the last seconds).

use super::spool::{Position, read_at};
use domain::log::SpoolKey;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How far a spool has been stored. `life` tells two spools apart that had one name after each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub life: i64,
    pub position: Position,
}

/// Marks by spool.
pub(super) type Marks = BTreeMap<SpoolKey, Mark>;

/// Sizes of a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub segment: u64,
    pub budget: u64,
}

/// A segment as a reader may use it: bytes beyond `len` are not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentRef {
    pub path: PathBuf,
    pub len: u64,
}

/// The segments of one app.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    sizes: Sizes,
    segments: BTreeMap<u64, u64>,
    /// Bytes since the last mark with all positions.
    since_full: u64,
}

const FULL_EVERY: u64 = 256 * 1024;
const TAIL: u64 = 1024 * 1024;

impl Store {
    /// Opens or creates the store in `dir`, cuts off what was not committed, and returns the positions reached.
    pub fn open(dir: &Path, sizes: Sizes) -> io::Result<(Store, Marks)> {
        fs::create_dir_all(dir)?;
        let mut segments = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".log")).and_then(|n| n.parse().ok()) {
                segments.insert(number, entry.metadata()?.len());
            }
        }
        let mut store = Store { dir: dir.to_owned(), sizes, segments, since_full: FULL_EVERY };
        while let Some((number, len)) = store.segments.last_key_value().map(|(n, l)| (*n, *l)) {
            let path = store.path(number);
            if let Some((committed, marks)) = recover(&path, len)? {
                if committed < len {
                    OpenOptions::new().write(true).open(&path)?.set_len(committed)?;
                    store.segments.insert(number, committed);
                }
                return Ok((store, marks));
            }
            // Its first write was cut short: nothing in it counts.
            fs::remove_file(&path)?;
            store.segments.remove(&number);
        }
        Ok((store, Marks::new()))
    }

    /// Appends a batch: whole encoded lines and the positions that moved. `all` are the positions before the batch.
    /// On an error nothing of it is stored.
    pub fn commit(&mut self, lines: &str, moved: &Marks, all: &Marks) -> io::Result<()> {
        let (number, len) = self.segments.last_key_value().map_or((0, 0), |(n, l)| (*n, *l));
        let fresh = self.segments.is_empty() || (len > 0 && len + lines.len() as u64 > self.sizes.segment);
        let (number, len) = if fresh { (number + 1, 0) } else { (number, len) };
        let mut batch = String::with_capacity(lines.len() + 256);
        if fresh {
            push_mark(&mut batch, "@F", all);
        }
        batch.push_str(lines);
        let full = !fresh && self.since_full + lines.len() as u64 >= FULL_EVERY;
        if full {
            let mut after = all.clone();
            after.extend(moved.iter().map(|(k, m)| (k.clone(), *m)));
            push_mark(&mut batch, "@F", &after);
        } else {
            push_mark(&mut batch, "@P", moved);
        }
        let path = self.path(number);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if let Err(err) = file.write_all_at(batch.as_bytes(), len) {
            let _ = if fresh { fs::remove_file(&path) } else { file.set_len(len) };
            return Err(err);
        }
        self.segments.insert(number, len + batch.len() as u64);
        self.since_full = if full {
            0
        } else if fresh {
            lines.len() as u64
        } else {
            self.since_full + batch.len() as u64
        };
        self.keep_budget();
        Ok(())
    }

    /// The committed segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentRef> {
        self.segments.iter().map(|(n, len)| SegmentRef { path: self.path(*n), len: *len }).collect()
    }

    fn keep_budget(&mut self) {
        let mut total: u64 = self.segments.values().sum();
        while total > self.sizes.budget && self.segments.len() > 1 {
            let Some((number, len)) = self.segments.pop_first() else { return };
            if let Err(err) = fs::remove_file(self.path(number)) {
                tracing::warn!(%err, segment = %self.path(number).display(), "cannot delete an old log segment");
            }
            total = total.saturating_sub(len);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:08}.log"))
    }
}

/// A mark's line: `@F` or `@P`, then `key life seq offset count` per spool.
fn push_mark(out: &mut String, kind: &str, marks: &Marks) {
    out.push_str(kind);
    for (key, Mark { life, position: p }) in marks {
        let _ = write!(out, "\t{key} {life} {} {} {}", p.seq, p.offset, p.count);
    }
    out.push('\n');
}

/// Finds the end of the last whole mark in a segment and the positions it stands for. `None`: there is no mark.
fn recover(path: &Path, len: u64) -> io::Result<Option<(u64, Marks)>> {
    let file = File::open(path)?;
    let start = len.saturating_sub(TAIL);
    if start > 0
        && let Some(found) = read_marks(&file, start, len)?
    {
        return Ok(Some(found));
    }
    read_marks(&file, 0, len)
}

/// The same within `start..len`; `None` also if no mark with all positions is in there.
fn read_marks(file: &File, start: u64, len: u64) -> io::Result<Option<(u64, Marks)>> {
    let bytes = read_at(file, start, usize::try_from(len - start).unwrap_or(0))?;
    let mut marks = None;
    let mut committed = 0;
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        // The first piece of a block may be the rest of a line, and then it can look like a mark.
        let partial_first = start > 0 && at == line.len();
        if partial_first || line.first() != Some(&b'@') {
            continue;
        }
        let Some(line) = line.strip_suffix(b"\n").and_then(|l| std::str::from_utf8(l).ok()) else { continue };
        if let Some(rest) = line.strip_prefix("@F") {
            marks = Some(parse_marks(rest));
        } else if let (Some(rest), Some(marks)) = (line.strip_prefix("@P"), marks.as_mut()) {
            marks.extend(parse_marks(rest));
        }
        committed = at;
    }
    Ok(marks.map(|m| (start + committed as u64, m)))
}

fn parse_marks(rest: &str) -> Marks {
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
