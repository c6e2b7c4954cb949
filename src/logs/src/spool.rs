//! Reads one spool from a position: complete lines, segment by segment, counting what was overwritten unread.
//!
//! The writer truncates a file and begins its next segment there at any moment, so a chunk counts only if the header
//! still says the same segment after it was read. Files are opened per read (no descriptor is held), never through a
//! link: an app may have written the folder. What is in them is believed within the bounds of what a writer of ours puts
//! there; the rest is passed over and counted. Absent: the store, any waiting.

use log_format::spool::{FILES, HEADER_MAX, Header, SEGMENT_MAX};
use rustix::fs::{Mode, OFlags};
use std::{fs::File, io, os::unix::fs::FileExt, path::Path, path::PathBuf};

const SKIP: usize = 256 * 1024;
/// Bytes that may be looked through in one turn to count lines that are shed.
pub(super) const SKIP_MAX: u64 = 2 * SEGMENT_MAX;

/// Where reading goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The segment's number.
    pub seq: u64,
    /// Bytes of its file that are done.
    pub offset: u64,
    /// Records done over the spool's life, those that were dropped included.
    pub count: u64,
}

/// One read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Whole lines, each with its newline.
    pub lines: Vec<u8>,
    /// Records that were overwritten before `lines`.
    pub dropped: u64,
    /// Bytes before `lines` that no writer of ours puts there: no line is so long, no file so large.
    pub passed: u64,
    /// Nothing more can be read now.
    pub at_end: bool,
    /// The last line stood there without its newline.
    pub torn: bool,
    /// The spool cannot be read, and will not be written any more: what is left of it is lost.
    pub unreadable: bool,
}

/// A reader of the spool in one folder.
#[derive(Debug, Clone)]
pub(super) struct SpoolReader {
    dir: PathBuf,
    /// `None` until the first header was seen.
    pub position: Option<Position>,
    /// The segment whose excess was counted.
    excess: Option<u64>,
    /// Bytes that were passed over and are not yet told.
    owed: u64,
}

struct Segment {
    file: File,
    header: Header,
    body: u64,
    /// Where reading ends.
    len: u64,
    /// Bytes of the file beyond that.
    excess: u64,
}

impl SpoolReader {
    pub fn new(dir: PathBuf, position: Option<Position>) -> SpoolReader {
        SpoolReader { dir, position, excess: None, owed: 0 }
    }

    /// Reads at most `max` bytes of whole lines. With `last`, what stands at the very end without a newline is a line too.
    pub fn read(&mut self, max: usize, last: bool) -> io::Result<Chunk> {
        let mut chunk = Chunk { passed: std::mem::take(&mut self.owed), ..Chunk::default() };
        // Each turn of the loop goes on to a later segment, or restarts after the writer took one away.
        for _ in 0..8 {
            let segments = self.segments()?;
            let Some((segment, newer)) = self.seek(&segments, &mut chunk.dropped) else {
                chunk.at_end = true;
                return Ok(chunk);
            };
            if segment.excess > 0 && self.excess != Some(segment.header.seq) {
                self.excess = Some(segment.header.seq);
                chunk.passed = chunk.passed.saturating_add(segment.excess);
            }
            let Some(position) = self.position.as_mut() else { break };
            position.offset = position.offset.min(segment.len);
            let room = usize::try_from(segment.len - position.offset).unwrap_or(max).min(max);
            let mut bytes = read_at(&segment.file, position.offset, room)?;
            if header(&segment.file)?.is_none_or(|(now, _)| now.seq != segment.header.seq) {
                continue;
            }
            let full = bytes.len() == max;
            match bytes.iter().rposition(|b| *b == b'\n') {
                Some(end) => bytes.truncate(end + 1),
                None if full => {
                    // Longer than any record: skipped piece by piece, the rest is a damaged line.
                    position.offset += bytes.len() as u64;
                    chunk.passed = chunk.passed.saturating_add(bytes.len() as u64);
                    continue;
                }
                None if last && newer.is_none() && !bytes.is_empty() => {
                    position.offset += bytes.len() as u64;
                    position.count = position.count.saturating_add(1);
                    bytes.push(b'\n');
                    (chunk.lines, chunk.at_end, chunk.torn) = (bytes, true, true);
                    return Ok(chunk);
                }
                None => match newer {
                    Some(next) => {
                        let lost = next.header.first.saturating_sub(position.count);
                        chunk.dropped = chunk.dropped.saturating_add(lost);
                        *position = next.start();
                        continue;
                    }
                    None => {
                        chunk.at_end = true;
                        return Ok(chunk);
                    }
                },
            }
            position.offset += bytes.len() as u64;
            position.count = position.count.saturating_add(count_lines(&bytes));
            chunk.at_end = !full && newer.is_none() && !last;
            chunk.lines = bytes;
            return Ok(chunk);
        }
        Ok(chunk)
    }

    /// Takes back the end of the last chunk: it will be read again.
    pub fn unread(&mut self, bytes: usize, lines: usize) {
        if let Some(position) = &mut self.position {
            position.offset = position.offset.saturating_sub(bytes as u64);
            position.count = position.count.saturating_sub(lines as u64);
        }
    }

    /// Passes over lines until between `keep` and `keep` + 256 KiB are left of what is there now; returns how many records
    /// that were. A writer may be as fast as this: what it adds meanwhile, and what is more than `budget` bytes to look
    /// through, is left for the next time.
    pub fn skip(&mut self, keep: u64, budget: &mut u64) -> io::Result<u64> {
        let enough = keep + SKIP as u64;
        let mut skipped = 0;
        // A whole segment need not be read: the header of the next one says how many records came before it.
        if let (Some(newest), Some(position)) = (self.segments()?.last(), self.position.as_mut())
            && newest.header.seq > position.seq
            && newest.len.saturating_sub(newest.body) >= enough
        {
            skipped = newest.header.first.saturating_sub(position.count);
            *position = newest.start();
        }
        for _ in 0..=self.left()? / (SKIP as u64 / 2) {
            if *budget == 0 || self.left()? < enough {
                break;
            }
            let chunk = self.read(SKIP, false)?;
            *budget = budget.saturating_sub((chunk.lines.len() as u64).max(chunk.passed).max(1));
            self.owed = chunk.passed;
            skipped = u64::saturating_add(skipped, chunk.dropped.saturating_add(count_lines(&chunk.lines)));
            if chunk.at_end || (chunk.lines.is_empty() && chunk.dropped == 0 && chunk.passed == 0) {
                break;
            }
        }
        Ok(skipped)
    }

    /// Bytes not yet read.
    pub fn left(&self) -> io::Result<u64> {
        let at = self.position.unwrap_or(Position { seq: 0, offset: 0, count: 0 });
        let left = |s: &Segment| match s.header.seq.cmp(&at.seq) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => s.len.saturating_sub(at.offset),
            std::cmp::Ordering::Greater => s.len.saturating_sub(s.body),
        };
        Ok(self.segments()?.iter().map(left).sum())
    }

    /// The newest bytes of the spool, at most about `max`, as whole lines; the position plays no part.
    pub fn newest(&self, max: u64) -> io::Result<Vec<u8>> {
        let mut out: Vec<u8> = Vec::new();
        for segment in self.segments()?.iter().rev() {
            let room = max.saturating_sub(out.len() as u64);
            let start = segment.body.max(segment.len.saturating_sub(room));
            let mut bytes =
                read_at(&segment.file, start, usize::try_from(segment.len.saturating_sub(start)).unwrap_or(0))?;
            if header(&segment.file)?.is_none_or(|(now, _)| now.seq != segment.header.seq) {
                continue;
            }
            if start > segment.body {
                let cut = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| n + 1);
                bytes.drain(..cut);
            }
            bytes.extend_from_slice(&out);
            out = bytes;
        }
        Ok(out)
    }

    /// The segment to read now, and the one after it if there is one already; moves the position if it must.
    fn seek<'a>(&mut self, segments: &'a [Segment], dropped: &mut u64) -> Option<(&'a Segment, Option<&'a Segment>)> {
        let lowest = segments.first()?;
        let position = self.position.get_or_insert_with(|| {
            *dropped = dropped.saturating_add(lowest.header.first);
            lowest.start()
        });
        if let Some(found) = segments.iter().find(|s| s.header.seq == position.seq) {
            return Some((found, segments.iter().find(|s| s.header.seq > position.seq)));
        }
        match segments.iter().find(|s| s.header.seq > position.seq) {
            Some(later) => {
                *dropped = dropped.saturating_add(later.header.first.saturating_sub(position.count));
                *position = later.start();
            }
            // The writer began anew.
            None => *position = lowest.start(),
        }
        let found = segments.iter().find(|s| s.header.seq == position.seq)?;
        Some((found, segments.iter().find(|s| s.header.seq > position.seq)))
    }

    /// The segments that have a header, lowest number first.
    fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut all = Vec::with_capacity(FILES.len());
        for name in FILES {
            let Some(file) = open(&self.dir.join(name))? else { continue };
            let Some((header, body)) = header(&file)? else { continue };
            let whole = file.metadata()?.len();
            let len = whole.min(SEGMENT_MAX);
            all.push(Segment { file, header, body: body as u64, len, excess: whole - len });
        }
        all.sort_by_key(|s| s.header.seq);
        Ok(all)
    }
}

impl Segment {
    fn start(&self) -> Position {
        Position { seq: self.header.seq, offset: self.body, count: self.header.first }
    }
}

/// Opens a regular file that is there. A link, a pipe or a device in its place reads as absent.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => {
            let file = File::from(fd);
            Ok(if file.metadata()?.is_file() { Some(file) } else { None })
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

fn header(file: &File) -> io::Result<Option<(Header, usize)>> {
    Ok(Header::parse(&read_at(file, 0, HEADER_MAX)?))
}

/// Reads at most `max` bytes at `offset`; fewer only at the end of the file.
pub(super) fn read_at(file: &File, offset: u64, max: usize) -> io::Result<Vec<u8>> {
    let there = usize::try_from(file.metadata()?.len().saturating_sub(offset)).unwrap_or(usize::MAX).min(max);
    let mut bytes = vec![0; there];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}
