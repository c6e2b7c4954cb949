//! One app's stored lines: numbered segments, the newest appended in batches, older ones sealed, the oldest deleted.
//!
//! The newest segments are plain files. A batch is lines and then a mark of the spool positions they reach, in one write;
//! at open, what follows the last whole mark is cut off and read from the spools again. So a kill at any byte leaves no gap
//! and no double. Every plain segment, and every 256 KiB in it, has a mark with all positions and the number of the line
//! that follows, so that recovery reads little; a sealed one keeps the last of its marks.
//! Absent: decoding of records, compression, file descriptors between calls, fsync of plain segments (a power cut may cost
//! the last seconds).

pub(super) use super::marks::{Mark, Marks};
use super::marks::{first_line, parse_marks, push_full, push_marks, recover};
use super::sealed::SealedReader;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sizes of a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub segment: u64,
    pub budget: u64,
}

/// How a segment lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `NUMBER.log`, lines and marks.
    Plain,
    /// `NUMBER-FIRST.zst`.
    Sealed,
}

/// A segment as a reader may use it: of a plain one, bytes beyond `bytes` are not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub number: u64,
    pub form: Form,
    pub bytes: u64,
    /// The number of its first line.
    pub first: u64,
    /// The number after its last line.
    pub next: u64,
}

/// The committed segments at one moment, oldest first, without a lock.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub dir: Arc<Path>,
    pub segments: Vec<Segment>,
    /// The number of the next line.
    pub end: u64,
}

/// The segments of one app.
#[derive(Debug)]
pub(super) struct Store {
    dir: Arc<Path>,
    sizes: Sizes,
    segments: BTreeMap<u64, (Form, u64, u64)>,
    /// The number of the next line.
    next: u64,
    /// Bytes since the last mark with all positions.
    since_full: u64,
}

const FULL_EVERY: u64 = 256 * 1024;

impl Store {
    /// Opens or creates the store in `dir`, cuts off what was not committed, and returns the positions reached.
    pub fn open(dir: &Path, sizes: Sizes) -> io::Result<(Store, Marks)> {
        fs::create_dir_all(dir)?;
        let mut store =
            Store { dir: Arc::from(dir), sizes, segments: BTreeMap::new(), next: 0, since_full: FULL_EVERY };
        let mut plain = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (name, bytes) = (entry.file_name(), entry.metadata()?.len());
            match name.to_str().map(parse_name) {
                Some(Named::Sealed(number, first)) => drop(store.segments.insert(number, (Form::Sealed, bytes, first))),
                Some(Named::Plain(number)) => drop(plain.insert(number, bytes)),
                Some(Named::Unfinished) => fs::remove_file(entry.path())?,
                Some(Named::Other) | None => {}
            }
        }
        store.take_plain(&plain)?;
        while let Some((&number, &(form, len, first))) = store.segments.last_key_value() {
            let path = path(dir, number, form, first);
            match form {
                Form::Plain => {
                    if let Some(found) = recover(&path, len, first)? {
                        if found.committed < len {
                            OpenOptions::new().write(true).open(&path)?.set_len(found.committed)?;
                        }
                        store.segments.insert(number, (form, found.committed, first));
                        store.next = found.next;
                        return Ok((store, found.marks));
                    }
                    // Its first write was cut short: nothing in it counts.
                    fs::remove_file(&path)?;
                    store.segments.remove(&number);
                }
                // A power cut took the segment that was begun after this one.
                Form::Sealed => match SealedReader::open(&path) {
                    Ok(sealed) => {
                        store.next = sealed.index.next();
                        return Ok((store, parse_marks(&sealed.index.marks)));
                    }
                    Err(err) => {
                        tracing::warn!(%err, segment = %path.display(), "a log segment cannot be read: set aside");
                        fs::rename(&path, path.with_extension("damaged"))?;
                        store.segments.remove(&number);
                        store.next = first;
                    }
                },
            }
        }
        Ok((store, Marks::new()))
    }

    /// Adds the plain segments, each with the number of its first line. One whose sealed form is whole is not needed.
    fn take_plain(&mut self, plain: &BTreeMap<u64, u64>) -> io::Result<()> {
        let mut next = 0;
        for (&number, &len) in plain {
            let file = path(&self.dir, number, Form::Plain, 0);
            if let Some(&(_, _, first)) = self.segments.get(&number) {
                let sealed = path(&self.dir, number, Form::Sealed, first);
                if let Ok(sealed) = SealedReader::open(&sealed) {
                    next = sealed.index.next();
                    fs::remove_file(&file)?;
                    continue;
                }
                fs::remove_file(&sealed)?;
            }
            let before = self.segments.range(..number).next_back().map(|(n, s)| (*n, *s));
            let first = match (first_line(&file)?, before) {
                (Some(first), _) => first,
                (None, Some((before, (Form::Sealed, _, first)))) => {
                    SealedReader::open(&path(&self.dir, before, Form::Sealed, first)).map_or(next, |s| s.index.next())
                }
                (None, Some((_, (Form::Plain, ..))) | None) => next,
            };
            self.segments.insert(number, (Form::Plain, len, first));
            // Only a store from before lines had numbers needs them counted.
            let follows = plain.range(number + 1..).next().map(|(n, _)| path(&self.dir, *n, Form::Plain, 0));
            if let Some(follows) = follows
                && first_line(&follows)?.is_none()
            {
                next = recover(&file, len, first)?.map_or(first, |found| found.next);
            }
        }
        Ok(())
    }

    /// Appends a batch: whole encoded lines and the positions that moved. `all` are the positions before the batch.
    /// On an error nothing of it is stored.
    pub fn commit(&mut self, lines: &str, count: u64, moved: &Marks, all: &Marks) -> io::Result<()> {
        let newest = self.segments.last_key_value().map(|(n, (form, len, _))| (*n, *form, *len));
        let (number, len, fresh) = match newest {
            Some((n, Form::Plain, len)) if len == 0 || len + lines.len() as u64 <= self.sizes.segment => {
                (n, len, false)
            }
            Some((n, ..)) => (n + 1, 0, true),
            None => (1, 0, true),
        };
        let mut batch = String::with_capacity(lines.len() + 256);
        if fresh {
            push_full(&mut batch, self.next, all);
        }
        batch.push_str(lines);
        let full = !fresh && self.since_full + lines.len() as u64 >= FULL_EVERY;
        if full {
            let mut after = all.clone();
            after.extend(moved.iter().map(|(k, m)| (k.clone(), *m)));
            push_full(&mut batch, self.next + count, &after);
        } else {
            batch.push_str("@P");
            push_marks(&mut batch, moved);
            batch.push('\n');
        }
        let path = path(&self.dir, number, Form::Plain, 0);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if let Err(err) = file.write_all_at(batch.as_bytes(), len) {
            let _ = if fresh { fs::remove_file(&path) } else { file.set_len(len) };
            return Err(err);
        }
        let first = if fresh { self.next } else { self.segments.get(&number).map_or(self.next, |(.., first)| *first) };
        self.segments.insert(number, (Form::Plain, len + batch.len() as u64, first));
        self.next += count;
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

    /// What is committed now.
    pub fn snapshot(&self) -> Snapshot {
        let mut segments: Vec<Segment> = Vec::with_capacity(self.segments.len());
        let mut next = self.next;
        for (&number, &(form, bytes, first)) in self.segments.iter().rev() {
            segments.push(Segment { number, form, bytes, first, next });
            next = first;
        }
        segments.reverse();
        Snapshot { dir: Arc::clone(&self.dir), segments, end: self.next }
    }

    /// The number of the next line.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// The folder.
    pub fn dir(&self) -> Arc<Path> {
        Arc::clone(&self.dir)
    }

    /// Whether a plain segment is complete. Such ones lie just before the newest.
    pub fn has_unsealed(&self) -> bool {
        self.segments.values().rev().nth(1).is_some_and(|(form, ..)| *form == Form::Plain)
    }

    /// The oldest plain segment that is complete.
    pub fn unsealed(&self) -> Option<Segment> {
        let newest = self.segments.last_key_value().map(|(n, _)| *n);
        self.snapshot().segments.into_iter().find(|s| s.form == Form::Plain && Some(s.number) != newest)
    }

    /// Puts the sealed file in a plain segment's place. One deleted meanwhile stays so.
    pub fn seal(&mut self, segment: &Segment, written: &Path, bytes: u64) -> io::Result<()> {
        if self.segments.get(&segment.number).is_none_or(|(form, ..)| *form != Form::Plain) {
            return fs::remove_file(written);
        }
        fs::rename(written, path(&self.dir, segment.number, Form::Sealed, segment.first))?;
        self.segments.insert(segment.number, (Form::Sealed, bytes, segment.first));
        fs::remove_file(path(&self.dir, segment.number, Form::Plain, 0))
    }

    /// Sizes by number, for the budget.
    pub fn sizes(&self) -> BTreeMap<u64, u64> {
        self.segments.iter().map(|(number, (_, bytes, _))| (*number, *bytes)).collect()
    }

    /// Deletes a segment, but never the newest.
    pub fn delete(&mut self, number: u64) {
        if self.segments.last_key_value().is_none_or(|(newest, _)| *newest == number) {
            return;
        }
        let Some((form, _, first)) = self.segments.remove(&number) else { return };
        let path = path(&self.dir, number, form, first);
        if let Err(err) = fs::remove_file(&path) {
            tracing::warn!(%err, segment = %path.display(), "cannot delete an old log segment");
        }
    }

    fn keep_budget(&mut self) {
        let mut total: u64 = self.segments.values().map(|(_, bytes, _)| *bytes).sum();
        while total > self.sizes.budget && self.segments.len() > 1 {
            let Some((&number, &(_, bytes, _))) = self.segments.first_key_value() else { return };
            self.delete(number);
            total = total.saturating_sub(bytes);
        }
    }
}

impl Segment {
    pub fn path(&self, dir: &Path) -> PathBuf {
        path(dir, self.number, self.form, self.first)
    }
}

fn path(dir: &Path, number: u64, form: Form, first: u64) -> PathBuf {
    dir.join(match form {
        Form::Plain => format!("{number:08}.log"),
        Form::Sealed => format!("{number:08}-{first}.zst"),
    })
}

/// The number of the segment in a file of this name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    match parse_name(name) {
        Named::Plain(number) | Named::Sealed(number, _) => Some(number),
        Named::Unfinished | Named::Other => None,
    }
}

enum Named {
    Plain(u64),
    Sealed(u64, u64),
    /// A sealed segment that was cut short.
    Unfinished,
    Other,
}

fn parse_name(name: &str) -> Named {
    let sealed = |name: &str| {
        let (number, first) = name.split_once('-')?;
        Some(Named::Sealed(number.parse().ok()?, first.parse().ok()?))
    };
    match name.rsplit_once('.') {
        Some((stem, "log")) => stem.parse().map_or(Named::Other, Named::Plain),
        Some((stem, "zst")) => sealed(stem).unwrap_or(Named::Other),
        Some((_, "sealing")) => Named::Unfinished,
        Some(_) | None => Named::Other,
    }
}
