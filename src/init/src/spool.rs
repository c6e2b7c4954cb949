//! The instance's spool: two segments used as a ring, records with time and stream.
//!
//! A segment starts with `hoist-spool 1 SEQ FIRST`: its number, and the number of its first record over the spool's
//! life. A record is `MICROS STREAM TEXT`. What cannot be written is dropped and counted, never waited for: an app must
//! not stop because a disk is full. No record is torn: a failed write is cut off again. What is found there is believed
//! within the ring's own bounds only.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

/// No spool lives to see larger numbers; what claims them is not a header.
const NUMBER_MAX: u64 = 1 << 53;

/// Where segments live: two files, or memory in tests.
pub trait Segments {
    fn write(&mut self, which: usize, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&mut self, which: usize, length: u64) -> io::Result<()>;
}

/// What is known of a segment that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub seq: u64,
    pub first: u64,
    pub records: u64,
}

pub struct Spool<S> {
    segments: S,
    half: u64,
    current: usize,
    seq: u64,
    /// Length of the current segment on disk; 0 as long as it has no header.
    length: u64,
    /// Length of its header.
    header: u64,
    /// Number of the next record that gets written.
    next: u64,
    batch: Vec<u8>,
    batched: u64,
    dropped: u64,
    full: bool,
    micros: Vec<u8>,
}

impl<S: Segments> Spool<S> {
    /// Starts a new segment after those found, over the older one.
    pub fn start(segments: S, found: [Option<Found>; 2], ring: u64) -> Self {
        let newest = match found {
            [Some(a), Some(b)] => Some(if a.seq > b.seq { (0, a) } else { (1, b) }),
            [a, b] => a.map(|it| (0, it)).or(b.map(|it| (1, it))),
        };
        let (current, seq, next) =
            newest.map_or((0, 0, 0), |(which, it)| (1 - which, it.seq + 1, it.first + it.records));
        let mut spool = Spool {
            segments,
            half: ring / 2,
            current,
            seq,
            length: 0,
            header: 0,
            next,
            batch: Vec::new(),
            batched: 0,
            dropped: 0,
            full: false,
            micros: Vec::new(),
        };
        // A header at once, so that a reader finds the spool of an instance that says nothing.
        let _retried_at_the_next_flush = spool.begin_segment();
        spool
    }

    /// The time of the records that follow: one for everything that one read brought.
    pub fn set_time(&mut self, micros: u64) {
        self.micros.clear();
        let _vectors_take_everything = write!(self.micros, "{micros} ");
    }

    /// Adds a record to the batch.
    pub fn record(&mut self, stream: u8, text: &[u8]) {
        let size = (self.micros.len() + text.len() + 3) as u64;
        if self.records_begun() && self.length + self.batch.len() as u64 + size > self.half {
            self.flush();
            self.switch();
        }
        self.batch.extend_from_slice(&self.micros);
        self.batch.extend_from_slice(&[stream, b' ']);
        self.batch.extend_from_slice(text);
        self.batch.push(b'\n');
        self.batched += 1;
    }

    /// Writes the batch, in one write.
    pub fn flush(&mut self) {
        let done = self.try_flush();
        if let Err(err) = done {
            self.dropped += self.batched;
            self.full = matches!(err.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            // The write may have got half a record onto the disk.
            let _cut_again_by_the_next_write = self.segments.truncate(self.current, self.length);
        }
        self.batch.clear();
        self.batched = 0;
    }

    fn try_flush(&mut self) -> io::Result<()> {
        if self.length == 0 {
            self.begin_segment()?;
        }
        if self.dropped == 0 {
            return self.write_batch();
        }
        // With the batch, not before it: a notice that fits where the batch does not would only use up the last space.
        let why = if self.full { "no space left" } else { "write error" };
        let mut notice = self.micros.clone();
        writeln!(notice, "s {} lines dropped: {why}", self.dropped)?;
        self.batch.splice(..0, notice);
        self.batched += 1;
        let written = self.write_batch();
        match written {
            Ok(()) => self.dropped = 0,
            Err(_) => self.batched -= 1,
        }
        written
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.segments.write(self.current, self.length, &self.batch)?;
        self.length += self.batch.len() as u64;
        self.next += self.batched;
        Ok(())
    }

    /// The older segment becomes the newest. Truncating it frees its space, so a ring on a full disk heals itself.
    fn switch(&mut self) {
        self.current = 1 - self.current;
        self.seq += 1;
        self.length = 0;
        let _retried_at_the_next_flush = self.begin_segment();
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        self.segments.truncate(self.current, 0)?;
        let header = format!("hoist-spool 1 {} {}\n", self.seq, self.next);
        self.segments.write(self.current, 0, header.as_bytes())?;
        self.header = header.len() as u64;
        self.length = self.header;
        Ok(())
    }

    fn records_begun(&self) -> bool {
        !self.batch.is_empty() || self.length > self.header
    }
}

/// The two files `0` and `1` of a folder, held open.
pub struct Files([File; 2]);

impl Segments for Files {
    fn write(&mut self, which: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let [zero, one] = &self.0;
        if which == 0 { zero } else { one }.write_all_at(bytes, at)
    }

    fn truncate(&mut self, which: usize, length: u64) -> io::Result<()> {
        let [zero, one] = &self.0;
        if which == 0 { zero } else { one }.set_len(length)
    }
}

/// Opens the folder's files, makes them where they are missing, and reads how far an earlier run came.
///
/// A file that has another name elsewhere is Hoist's, which reads it there: its name here is taken away. So what runs in
/// the instance finds nothing to write to, as root neither; only init holds the file.
pub fn open(folder: &Path, ring: u64) -> io::Result<Spool<Files>> {
    let file = |name| {
        let path = folder.join(name);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // What an earlier program put in its place is not written through, nor waited for.
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other(format!("{name} is not a file")));
        }
        if about.nlink() > 1 {
            std::fs::remove_file(&path)?;
        }
        Ok(file)
    };
    let files = [file("0")?, file("1")?];
    let [zero, one] = &files;
    let found = [inspect(zero, ring)?, inspect(one, ring)?];
    Ok(Spool::start(Files(files), found, ring))
}

/// Header and number of complete records; nothing where the header makes no sense, or where there is more than the whole
/// ring may hold: that was not written here.
pub fn inspect(file: impl io::Read, ring: u64) -> io::Result<Option<Found>> {
    let mut reader = BufReader::with_capacity(256 * 1024, io::Read::take(file, ring + 1));
    let mut header = Vec::new();
    // Bounded: a file of another kind may hold no newline at all.
    io::Read::take(&mut reader, 64).read_until(b'\n', &mut header)?;
    let Some((seq, first)) = parse_header(&header) else { return Ok(None) };
    let (mut records, mut bytes) = (0, header.len() as u64);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok((bytes <= ring).then_some(Found { seq, first, records }));
        }
        records += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = chunk.len();
        bytes += length as u64;
        reader.consume(length);
    }
}

fn parse_header(line: &[u8]) -> Option<(u64, u64)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (seq, first) = line.strip_prefix("hoist-spool 1 ")?.split_once(' ')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number <= NUMBER_MAX);
    Some((number(seq)?, number(first)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Memory {
        segments: [Vec<u8>; 2],
        space: Option<usize>,
    }

    impl Segments for &mut Memory {
        fn write(&mut self, which: usize, at: u64, bytes: &[u8]) -> io::Result<()> {
            let space = self.space.map_or(usize::MAX, |it| it - self.segments.iter().map(Vec::len).sum::<usize>());
            let segment = &mut self.segments[which];
            assert_eq!(segment.len() as u64, at, "no gaps, no overwriting");
            segment.extend_from_slice(&bytes[..bytes.len().min(space)]);
            if bytes.len() > space { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn truncate(&mut self, which: usize, length: u64) -> io::Result<()> {
            self.segments[which].truncate(length as usize);
            Ok(())
        }
    }

    impl Memory {
        fn found(&self) -> [Option<Found>; 2] {
            [0, 1].map(|which| inspect(self.segments[which].as_slice(), 1_000).unwrap())
        }

        fn text(&self, which: usize) -> &str {
            std::str::from_utf8(&self.segments[which]).unwrap()
        }
    }

    fn say(memory: &mut Memory, ring: u64, lines: &[&str]) {
        let found = memory.found();
        let mut spool = Spool::start(memory, found, ring);
        spool.set_time(7);
        for line in lines {
            spool.record(b'o', line.as_bytes());
            spool.flush();
        }
    }

    #[test]
    fn records_and_restarts() {
        let mut memory = Memory::default();
        say(&mut memory, 1_000, &["one", "two"]);
        assert_eq!(memory.text(0), "hoist-spool 1 0 0\n7 o one\n7 o two\n");
        say(&mut memory, 1_000, &["three"]);
        assert_eq!(memory.text(1), "hoist-spool 1 1 2\n7 o three\n");
        say(&mut memory, 1_000, &[]);
        assert_eq!(memory.text(0), "hoist-spool 1 2 3\n");
    }

    #[test]
    fn a_torn_tail_is_not_counted_and_rubbish_is_no_segment() {
        let mut memory = Memory::default();
        memory.segments[0] = b"hoist-spool 1 4 10\n7 o one\n7 o tw".to_vec();
        memory.segments[1] = vec![0; 500];
        say(&mut memory, 1_000, &["next"]);
        assert_eq!(memory.text(1), "hoist-spool 1 5 11\n7 o next\n");
    }

    #[test]
    fn more_than_a_ring_is_no_segment() {
        let mut bytes = b"hoist-spool 1 4 10\n".to_vec();
        bytes.resize(1_000, b'\n');
        assert!(inspect(bytes.as_slice(), 1_000).unwrap().is_some());
        bytes.push(b'\n');
        assert_eq!(inspect(bytes.as_slice(), 1_000).unwrap(), None);
        // A file without end is not read to its end.
        let endless = io::Read::chain(b"hoist-spool 1 4 10\n".as_slice(), io::repeat(0));
        assert_eq!(inspect(endless, 1_000).unwrap(), None);
    }

    #[test]
    fn what_hoist_keeps_elsewhere_has_no_name_here() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, here) = (dir.path().join("kept"), dir.path().join("here"));
        std::fs::create_dir(&here).unwrap();
        std::fs::write(&kept, "").unwrap();
        std::fs::hard_link(&kept, here.join("0")).unwrap();
        let mut spool = open(&here, 1_000).unwrap();
        spool.set_time(7);
        spool.record(b'o', b"one");
        spool.flush();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "hoist-spool 1 0 0\n7 o one\n");
        assert!(!here.join("0").exists() && here.join("1").exists(), "only what is kept elsewhere loses its name");
    }

    #[test]
    fn only_files_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "x").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("0")).unwrap();
        assert!(open(dir.path(), 1_000).is_err());
        std::fs::remove_file(dir.path().join("0")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("0"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open(dir.path(), 1_000).is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "x");
    }

    #[test]
    fn the_ring_keeps_the_newest_and_counts_on() {
        let mut memory = Memory::default();
        let lines: Vec<_> = (0..100).map(|n| format!("line {n:03}")).collect();
        say(&mut memory, 400, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let mut segments = memory.found().map(Option::unwrap);
        segments.sort_by_key(|it| it.seq);
        let [older, newer] = segments;
        assert_eq!((older.seq + 1, older.first + older.records), (newer.seq, newer.first));
        assert_eq!(newer.first + newer.records, 100);
        assert!(memory.segments.iter().all(|it| it.len() <= 200));
        let both = if memory.found()[0] == Some(older) { [0, 1] } else { [1, 0] };
        let kept: String = both.iter().flat_map(|it| memory.text(*it).lines().skip(1)).collect();
        let expected: String = lines[older.first as usize..].iter().map(|it| format!("7 o {it}")).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_full_disk_drops_and_says_so_later() {
        let mut memory = Memory { space: Some(30), ..Memory::default() };
        let mut spool = Spool::start(&mut memory, [None, None], 1_000);
        spool.set_time(7);
        for line in ["one", "a longer one", "another"] {
            spool.record(b'o', line.as_bytes());
            spool.flush();
        }
        spool.segments.space = None;
        spool.record(b'e', b"back");
        spool.flush();
        assert_eq!(memory.text(0), "hoist-spool 1 0 0\n7 o one\n7 s 2 lines dropped: no space left\n7 e back\n");
    }

    #[test]
    fn without_room_for_the_header_it_is_tried_again() {
        let mut memory = Memory { space: Some(3), ..Memory::default() };
        let mut spool = Spool::start(&mut memory, [None, None], 1_000);
        spool.set_time(7);
        spool.record(b'o', b"lost");
        spool.flush();
        spool.segments.space = None;
        spool.record(b'o', b"kept");
        spool.flush();
        assert_eq!(memory.text(0), "hoist-spool 1 0 0\n7 s 1 lines dropped: no space left\n7 o kept\n");
    }
}
