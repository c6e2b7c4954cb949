//! The spool: a ring of two files that the router writes and the log store follows.
//!
//! `LOGS/<key>/0` and `1`. Each begins with `hoist-spool 1 SEQ FIRST\n` (the number of this segment; the number of its
//! first record over the spool's life), then records `MICROS r TEXT\n`. When a segment has reached half of the ring the
//! other file is emptied and begun. One writer per spool; the writer never waits for a reader.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::table::is_log_key;

/// The writer of one spool.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    out: BufWriter<File>,
    /// Which of the two files is written.
    slot: u8,
    seq: u64,
    /// The number of the next record.
    next: u64,
    size: u64,
    half: u64,
}

/// What a segment file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    slot: u8,
    seq: u64,
    first: u64,
    header: u64,
}

impl Spool {
    /// Opens a spool to continue after what is there. A key is a folder's name and never a path.
    pub fn open(logs: &Path, key: &str, ring_bytes: u64) -> io::Result<Self> {
        if !is_log_key(key) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a spool key"));
        }
        let dir = logs.join(key);
        fs::create_dir_all(&dir)?;
        let half = (ring_bytes / 2).max(4096);
        let newest = [0, 1].into_iter().filter_map(|slot| read_header(&dir, slot)).max_by_key(|s| s.seq);
        match newest {
            Some(segment) => Self::resume(dir, segment, half),
            None => Self::begin(dir, Segment { slot: 0, seq: 0, first: 0, header: 0 }, half),
        }
    }

    /// Adds a record; it reaches the file at the next flush at the latest.
    pub fn write(&mut self, micros: u64, text: &str) -> io::Result<()> {
        if self.size >= self.half {
            self.rotate()?;
        }
        let stamp = format!("{micros} r ");
        self.out.write_all(stamp.as_bytes())?;
        // A line end within a record would make two of it.
        for piece in text.split_inclusive(['\n', '\r']) {
            let line = piece.trim_end_matches(['\n', '\r']);
            self.out.write_all(line.as_bytes())?;
            if line.len() < piece.len() {
                self.out.write_all(b" ")?;
            }
        }
        self.out.write_all(b"\n")?;
        self.size += (stamp.len() + text.len() + 1) as u64;
        self.next += 1;
        Ok(())
    }

    /// Hands everything to the kernel.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let segment = Segment { slot: 1 - self.slot, seq: self.seq + 1, first: self.next, header: 0 };
        *self = Self::begin(self.dir.clone(), segment, self.half)?;
        Ok(())
    }

    fn begin(dir: PathBuf, segment: Segment, half: u64) -> io::Result<Self> {
        let header = format!("hoist-spool 1 {} {}\n", segment.seq, segment.first);
        let path = dir.join(segment.slot.to_string());
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        file.write_all(header.as_bytes())?;
        let out = BufWriter::with_capacity(4096, file);
        let Segment { slot, seq, first, .. } = segment;
        Ok(Self { dir, out, slot, seq, next: first, size: header.len() as u64, half })
    }

    /// Counts the records of the newest segment and cuts a torn last line.
    fn resume(dir: PathBuf, segment: Segment, half: u64) -> io::Result<Self> {
        let path = dir.join(segment.slot.to_string());
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let (mut records, mut size, mut at) = (0, segment.header, segment.header);
        file.seek(SeekFrom::Start(segment.header))?;
        let mut reader = BufReader::with_capacity(32 << 10, &file);
        loop {
            let block = reader.fill_buf()?;
            if block.is_empty() {
                break;
            }
            for found in memchr::memchr_iter(b'\n', block) {
                records += 1;
                size = at + found as u64 + 1;
            }
            let n = block.len();
            at += n as u64;
            reader.consume(n);
        }
        file.set_len(size)?;
        file.seek(SeekFrom::Start(size))?;
        let out = BufWriter::with_capacity(4096, file);
        Ok(Self { dir, out, slot: segment.slot, seq: segment.seq, next: segment.first + records, size, half })
    }
}

fn read_header(dir: &Path, slot: u8) -> Option<Segment> {
    let mut start = Vec::new();
    File::open(dir.join(slot.to_string())).ok()?.take(80).read_to_end(&mut start).ok()?;
    let end = memchr::memchr(b'\n', &start)?;
    let line = std::str::from_utf8(start.get(..end)?).ok()?;
    let mut words = line.strip_prefix("hoist-spool 1 ")?.split(' ');
    let (seq, first) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(Segment { slot, seq, first, header: end as u64 + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(dir: &Path, slot: &str) -> String {
        fs::read_to_string(dir.join("app-1").join(slot)).unwrap_or_default()
    }

    #[test]
    fn continues_after_what_is_there_and_cuts_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), "app-1", 1 << 20).unwrap();
        spool.write(1, "one").unwrap();
        spool.write(2, "two\nlines").unwrap();
        drop(spool);
        let path = dir.path().join("app-1/0");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"3 r to").unwrap();
        let mut spool = Spool::open(dir.path(), "app-1", 1 << 20).unwrap();
        assert_eq!(spool.next, 2);
        spool.write(4, "four").unwrap();
        spool.flush().unwrap();
        assert_eq!(text(dir.path(), "0"), "hoist-spool 1 0 0\n1 r one\n2 r two lines\n4 r four\n");
    }

    #[test]
    fn turns_around_the_ring() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), "app-1", 8192).unwrap();
        let line = "x".repeat(500);
        for n in 0..100 {
            spool.write(n, &line).unwrap();
        }
        let (seq, next) = (spool.seq, spool.next);
        drop(spool);
        assert!(seq >= 10 && next == 100, "{seq} {next}");
        let again = Spool::open(dir.path(), "app-1", 8192).unwrap();
        assert_eq!((again.seq, again.next), (seq, next));
        let total = text(dir.path(), "0").len() + text(dir.path(), "1").len();
        assert!(total <= 8192 + 1200, "{total}");
        assert!(Spool::open(dir.path(), "../x", 8192).is_err());
    }
}
