//! Reads stored lines backwards, newest first, until enough are found.
//!
//! Absent: locks; a reader works on the committed lengths that it was given while the writer goes on.

use super::spool::read_at;
use super::store::SegmentRef;
use domain::Timestamp;
use domain::log::{Filter, Record, View};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

const BLOCK: u64 = 256 * 1024;
/// A line longer than this was never written by us.
const LINE_MAX: usize = 1024 * 1024;

/// The last `last` records that match, by time.
pub(super) fn last(segments: &[SegmentRef], filter: &Filter, last: usize) -> io::Result<Vec<Record>> {
    let mut found = Vec::new();
    for segment in segments.iter().rev() {
        let file = match File::open(&segment.path) {
            Ok(file) => file,
            // Deleted by the budget since; so are all older ones.
            Err(err) if err.kind() == io::ErrorKind::NotFound => break,
            Err(err) => return Err(err),
        };
        if filter.since.is_some_and(|since| changed(&file.metadata().ok()) < since) || found.len() >= last {
            break;
        }
        scan_segment(&file, segment.len, filter, last, &mut found)?;
    }
    found.reverse();
    found.sort_by_key(|r| r.time);
    Ok(found)
}

/// When the file was last written, and two seconds: no record in it is younger. A time we cannot read excludes nothing.
fn changed(meta: &Option<Metadata>) -> Timestamp {
    meta.as_ref().map_or(Timestamp(i64::MAX), |m| Timestamp(m.mtime().saturating_add(2).saturating_mul(1_000_000)))
}

fn scan_segment(file: &File, len: u64, filter: &Filter, last: usize, found: &mut Vec<Record>) -> io::Result<()> {
    let mut end = len;
    // The beginning of the block after this one, up to its first newline: the end of this block's last line.
    let mut carry: Vec<u8> = Vec::new();
    while end > 0 && found.len() < last {
        let start = end.saturating_sub(BLOCK);
        let mut block = read_at(file, start, usize::try_from(end - start).unwrap_or(0))?;
        block.extend_from_slice(&carry);
        end = start;
        let first = if start == 0 { 0 } else { block.iter().position(|b| *b == b'\n').map_or(block.len(), |n| n + 1) };
        carry = block.get(..first).unwrap_or(&[]).to_vec();
        if carry.len() > LINE_MAX {
            carry.clear();
        }
        let body = block.get(first..).unwrap_or(&[]);
        if filter.grep.as_ref().is_some_and(|needle| !holds(body, needle)) {
            continue;
        }
        for line in body.rsplit(|b| *b == b'\n') {
            if found.len() >= last {
                break;
            }
            let line = String::from_utf8_lossy(line);
            if filter.grep.as_ref().is_some_and(|needle| !line.contains(needle.as_str())) {
                continue;
            }
            found.extend(View::decode(&line).filter(|v| filter.matches(v)).map(|v| v.to_record()));
        }
    }
    Ok(())
}

/// Whether a block holds the text at all: most blocks do not, and are done with that.
fn holds(body: &[u8], needle: &str) -> bool {
    std::str::from_utf8(body).map_or(true, |text| text.contains(needle))
}
