//! Reads stored lines: backwards until enough are found, forwards from a line's number.
//!
//! Both work on a snapshot, without a lock, while the writer goes on: what was sealed since is read in its new form, what
//! was deleted since is counted. Memory is bounded by a block and by what the caller wants kept.

use super::grep::Wanted;
use super::lines;
use super::sealed::SealedReader;
use super::spool::read_at;
use super::store::{Form, Segment, Snapshot};
use domain::Timestamp;
use log_format::segment::Block;
use log_format::{Record, View};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const BLOCK: u64 = 256 * 1024;
/// A line longer than this was never written by us.
const LINE_MAX: usize = 1024 * 1024;
/// Bytes of text found, and bytes looked at, after which a forward step ends.
const STEP_FOUND: usize = 256 * 1024;
const STEP_WORK: u64 = 4 * 1024 * 1024;

/// What a look backwards found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Newest first; empty once they were more than `keep` bytes.
    pub records: Vec<Record>,
    pub bytes: usize,
    pub count: usize,
    /// The number of the oldest of them.
    pub oldest: u64,
    /// All of them are in `records`.
    pub kept: bool,
}

/// Where a forward reader is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// The number of the next line.
    pub id: u64,
    /// How far a plain segment was read, which may be less: its number, the offset, the line there.
    place: Option<(u64, u64, u64)>,
}

impl Cursor {
    pub fn at(id: u64) -> Cursor {
        Cursor { id, place: None }
    }
}

/// The last `need` wanted lines of these segments, which are in order; kept while they are at most `keep` bytes.
pub(super) fn back(dir: &Path, segments: &[Segment], wanted: &Wanted, need: usize, keep: usize) -> io::Result<Found> {
    let mut look = Look { wanted, need, keep, found: Found { kept: true, ..Found::default() } };
    for segment in segments.iter().rev() {
        let passed = wanted.filter.after.is_some_and(|after| segment.next <= after.saturating_add(1));
        if look.found.count >= need || passed {
            break;
        }
        match open(dir, segment)? {
            Some(Opened::Sealed(sealed)) => look.sealed(sealed, segment)?,
            Some(Opened::Plain(file)) => look.plain(&file, segment)?,
            Some(Opened::Damaged(record)) => look.take(record),
            // Deleted by the budget since; so are all older ones.
            None => break,
        }
    }
    Ok(look.found)
}

struct Look<'a> {
    wanted: &'a Wanted,
    need: usize,
    keep: usize,
    found: Found,
}

impl Look<'_> {
    fn sealed(&mut self, mut sealed: SealedReader, segment: &Segment) -> io::Result<()> {
        for block in std::mem::take(&mut sealed.index.blocks).iter().rev() {
            if self.found.count >= self.need {
                return Ok(());
            }
            if !sealed.index.may_hold(block, &self.wanted.filter) {
                continue;
            }
            let left = self.need - self.found.count;
            if let Some(n) = sealed.index.count(block, &self.wanted.filter)
                && !self.found.kept
                && n as usize <= left
            {
                self.found.count += n as usize;
                self.found.oldest = block.first;
                continue;
            }
            let mut records = block_records(&mut sealed, block, segment, self.wanted, 0)?;
            let extra = records.len().saturating_sub(left);
            records.drain(..extra);
            records.into_iter().rev().for_each(|r| self.take(r));
        }
        Ok(())
    }

    fn plain(&mut self, file: &File, segment: &Segment) -> io::Result<()> {
        let (mut end, mut id) = (segment.bytes, segment.next);
        // The beginning of the block after this one, up to its first newline: the end of this block's last line.
        let mut carry: Vec<u8> = Vec::new();
        while end > 0 && self.found.count < self.need {
            let start = end.saturating_sub(BLOCK);
            let mut block = read_at(file, start, usize::try_from(end - start).unwrap_or(0))?;
            block.extend_from_slice(&carry);
            end = start;
            let whole = block.iter().position(|b| *b == b'\n').map_or(block.len(), |n| n + 1);
            let first = if start == 0 { 0 } else { whole };
            carry = block.get(..first).unwrap_or(&[]).to_vec();
            if carry.len() > LINE_MAX {
                carry.clear();
            }
            let body = block.get(first..).unwrap_or(&[]);
            let hopeless = !self.wanted.may_be_in_plain(body);
            for line in body.rsplit(|b| *b == b'\n').filter(|line| is_record(line)) {
                id = id.saturating_sub(1);
                if hopeless || self.found.count >= self.need {
                    continue;
                }
                let line = String::from_utf8_lossy(line);
                if let Some(view) = View::decode(&line).filter(|v| self.wanted.takes(id, v)) {
                    self.take(view.numbered(id));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, record: Record) {
        let found = &mut self.found;
        found.count += 1;
        found.oldest = record.id;
        found.bytes += weight(&record);
        if found.bytes > self.keep {
            found.kept = false;
            found.records = Vec::new();
        }
        if found.kept {
            found.records.push(record);
        }
    }
}

/// What a forward step brought.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub records: Vec<Record>,
    /// Lines that were deleted before they were read.
    pub missed: u64,
}

/// Reads on from the cursor to the end of the snapshot, or until there is enough for one step.
pub(super) fn forward(snapshot: &Snapshot, cursor: &mut Cursor, wanted: &Wanted) -> io::Result<Step> {
    let mut step = Step::default();
    let (mut found, mut work) = (0, 0);
    for segment in &snapshot.segments {
        if segment.next <= cursor.id {
            continue;
        }
        if segment.first > cursor.id {
            step.missed += segment.first - cursor.id;
            *cursor = Cursor::at(segment.first);
        }
        match open(&snapshot.dir, segment)? {
            Some(Opened::Sealed(mut sealed)) => {
                for block in std::mem::take(&mut sealed.index.blocks) {
                    let next = block.first.saturating_add(u64::from(block.lines));
                    if next <= cursor.id {
                        continue;
                    }
                    if found >= STEP_FOUND || work >= STEP_WORK {
                        return Ok(step);
                    }
                    if sealed.index.may_hold(&block, &wanted.filter) {
                        let records = block_records(&mut sealed, &block, segment, wanted, cursor.id)?;
                        found += records.iter().map(weight).sum::<usize>();
                        work += u64::from(block.text_plain);
                        step.records.extend(records);
                    }
                    *cursor = Cursor::at(next);
                }
                *cursor = Cursor::at(segment.next);
            }
            Some(Opened::Plain(file)) => {
                let (mut at, mut id) = match cursor.place {
                    Some((number, at, id)) if number == segment.number => (at, id),
                    Some(_) | None => (0, segment.first),
                };
                while at < segment.bytes {
                    if found >= STEP_FOUND || work >= STEP_WORK {
                        return Ok(step);
                    }
                    let room = usize::try_from((segment.bytes - at).min(LINE_MAX as u64)).unwrap_or(0);
                    let mut bytes = read_at(&file, at, room)?;
                    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(bytes.len(), |n| n + 1);
                    bytes.truncate(whole.max(1));
                    for line in bytes.split(|b| *b == b'\n').filter(|line| is_record(line)) {
                        if id >= cursor.id {
                            let line = String::from_utf8_lossy(line);
                            let view = View::decode(&line).filter(|v| wanted.takes(id, v));
                            step.records.extend(view.map(|v| v.numbered(id)).inspect(|r| found += weight(r)));
                        }
                        id += 1;
                    }
                    at += bytes.len() as u64;
                    work += bytes.len() as u64;
                    *cursor = Cursor { id: id.max(cursor.id), place: Some((segment.number, at, id)) };
                }
                cursor.id = cursor.id.max(segment.next);
            }
            Some(Opened::Damaged(record)) => {
                step.records.push(record);
                *cursor = Cursor::at(segment.next);
            }
            None => {
                step.missed += segment.next - cursor.id;
                *cursor = Cursor::at(segment.next);
            }
        }
    }
    Ok(step)
}

enum Opened {
    Sealed(SealedReader),
    Plain(File),
    /// What is said in place of its lines.
    Damaged(Record),
}

/// Opens a segment in the form it has now; `None`: it is gone.
fn open(dir: &Path, segment: &Segment) -> io::Result<Option<Opened>> {
    if segment.form == Form::Plain {
        match File::open(segment.path(dir)) {
            Ok(file) => return Ok(Some(Opened::Plain(file))),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
    }
    let sealed = Segment { form: Form::Sealed, ..*segment };
    match SealedReader::open(&sealed.path(dir)) {
        Ok(sealed) => Ok(Some(Opened::Sealed(sealed))),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) if err.kind() == io::ErrorKind::InvalidData => {
            let changed = std::fs::metadata(sealed.path(dir)).map_or(0, |m| m.mtime().saturating_mul(1_000_000));
            let record = unreadable(&sealed, segment.first, segment.next - segment.first, Timestamp(changed));
            Ok(Some(Opened::Damaged(record)))
        }
        Err(err) => Err(err),
    }
}

fn unreadable(segment: &Segment, id: u64, count: u64, time: Timestamp) -> Record {
    let file = segment.path(Path::new(""));
    let text = format!("{count} {} cannot be read: {} is damaged", lines(count), file.display());
    Record { id, ..Record::platform(time, text) }
}

/// The wanted lines of a block from a number on, in order.
fn block_records(
    sealed: &mut SealedReader,
    block: &Block,
    segment: &Segment,
    wanted: &Wanted,
    from: u64,
) -> io::Result<Vec<Record>> {
    let read = |sealed: &mut SealedReader| -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let texts = sealed.texts(block)?;
        let columns = if wanted.may_be_in(&texts) { sealed.columns(block)? } else { return Ok(None) };
        Ok(Some((texts, columns)))
    };
    match read(sealed) {
        Ok(None) => Ok(Vec::new()),
        Ok(Some((texts, columns))) => {
            let views = sealed.index.views(block, &texts, &columns);
            Ok(views.filter(|(id, v)| *id >= from && wanted.takes(*id, v)).map(|(id, v)| v.numbered(id)).collect())
        }
        Err(err) if err.kind() == io::ErrorKind::InvalidData => {
            let segment = Segment { form: Form::Sealed, ..*segment };
            Ok(vec![unreadable(&segment, block.first, u64::from(block.lines), block.from)])
        }
        Err(err) => Err(err),
    }
}

fn is_record(line: &[u8]) -> bool {
    !line.is_empty() && line.first() != Some(&b'@')
}

/// About what a record takes in memory.
fn weight(record: &Record) -> usize {
    record.text.len() + record.process.len() + record.instance.len() + 128
}
