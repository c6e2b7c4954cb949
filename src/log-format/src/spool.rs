//! The spool: what an instance's PID 1 and the router write, two files used as a ring.
//!
//! Each file begins with `hoist-spool 1 SEQ FIRST`, then one line per record, `MICROS STREAM TEXT`. SEQ numbers the
//! segments from 0, FIRST is the number of the segment's first record over the spool's life, so that what was overwritten
//! unread can be counted. Invariant: parsing takes any bytes; an app may be able to write them.

use super::{Source, Stream};
use domain::ids::BuildId;
use domain::refusal::Code;
use domain::{AppId, InstanceId, Refusal, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The names of a spool's two files.
pub const FILES: [&str; 2] = ["0", "1"];
/// The longest header there can be, newline included.
pub const HEADER_MAX: usize = 64;
/// More than any writer puts into one file: half of a ring of 128 MiB, and a last batch. What lies beyond is not ours.
pub const SEGMENT_MAX: u64 = 72 * 1024 * 1024;
/// More than any record has: a line of output is cut at 10,000 bytes, an access line is shorter than a request's head.
pub const RECORD_MAX: usize = 64 * 1024;
/// The longest that a record's time may be ahead of the clock, in ms: clocks are set back, but not by more.
const AHEAD_MAX: i64 = 24 * 3_600 * 1_000;

/// No spool lives to see larger numbers; what claims them is not a header.
const NUMBER_MAX: u64 = 1 << 53;

/// A spool's name, one path component: 1 to 64 characters `[a-z0-9._-]`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpoolKey(String);

impl SpoolKey {
    /// The spool of an instance.
    pub fn instance(id: InstanceId) -> SpoolKey {
        SpoolKey(id.to_string())
    }
    /// The spool that the router writes for an app.
    pub fn router(app: &AppId) -> SpoolKey {
        SpoolKey(format!("router-{app}"))
    }
    /// The spool of a build.
    pub fn build(id: BuildId) -> SpoolKey {
        SpoolKey(format!("b{id}"))
    }
    /// No spool: under this name an app's log notes up to which event it has a line.
    pub fn events() -> SpoolKey {
        SpoolKey("events".to_owned())
    }
    /// Whether the router writes it.
    pub fn is_routers(&self) -> bool {
        self.0.starts_with("router-")
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SpoolKey {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<SpoolKey, Refusal> {
        let ok = (1..=64).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
            && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if ok {
            Ok(SpoolKey(text.to_owned()))
        } else {
            Err(Refusal::new(Code::BadSpool, "not the name of a log spool"))
        }
    }
}

impl TryFrom<String> for SpoolKey {
    type Error = Refusal;
    fn try_from(text: String) -> Result<SpoolKey, Refusal> {
        text.parse()
    }
}

impl From<SpoolKey> for String {
    fn from(key: SpoolKey) -> String {
        key.0
    }
}

impl fmt::Display for SpoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The first line of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The segment's number, from 0.
    pub seq: u64,
    /// The number of its first record over the spool's life.
    pub first: u64,
}

impl Header {
    /// Reads the header at the start of `bytes`; with it comes its length. `None`: not (yet) a whole header.
    pub fn parse(bytes: &[u8]) -> Option<(Header, usize)> {
        let end = bytes.iter().take(HEADER_MAX).position(|b| *b == b'\n')?;
        let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let (seq, first) = line.strip_prefix("hoist-spool 1 ")?.split_once(' ')?;
        let header = Header { seq: digits(seq)?, first: digits(first)? };
        if header.seq.max(header.first) > NUMBER_MAX { None } else { Some((header, end + 1)) }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hoist-spool 1 {} {}", self.seq, self.first)
    }
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// What a spool's record came out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// A line of PID 1 about the process.
    System,
    /// An access line of the router.
    Router,
}

impl SpoolStream {
    /// Source and stream in the store of a record from the spool of `of`.
    pub fn stored(self, of: Source) -> (Source, Stream) {
        match self {
            SpoolStream::Out => (of, Stream::Out),
            SpoolStream::Err => (of, Stream::Err),
            // What a build's init says is of no use outside it.
            SpoolStream::System if of == Source::Build => (Source::Build, Stream::System),
            SpoolStream::System => (Source::Platform, Stream::System),
            // Only the router's own spools hold its lines, whatever others claim.
            SpoolStream::Router => (of, Stream::Out),
        }
    }
}

/// A record of a spool, borrowed from the bytes read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLine<'a> {
    /// When it was written.
    pub time: Timestamp,
    /// What it came out of.
    pub stream: SpoolStream,
    /// Whether it goes on in the next record of its stream.
    pub continued: bool,
    /// Any bytes but a newline.
    pub text: &'a [u8],
}

/// A record of a spool, owned; bytes that are not UTF-8 became U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolRecord {
    /// When it was written.
    pub time: Timestamp,
    /// What it came out of.
    pub stream: SpoolStream,
    /// Whether it goes on in the next record of its stream.
    pub continued: bool,
    /// The line.
    pub text: String,
}

impl<'a> SpoolLine<'a> {
    /// Reads one line without its newline. `None`: damaged.
    pub fn parse(line: &'a [u8]) -> Option<SpoolLine<'a>> {
        if line.len() > RECORD_MAX {
            return None;
        }
        let space = line.iter().take(20).position(|b| *b == b' ')?;
        let micros = digits(std::str::from_utf8(line.get(..space)?).ok()?)?;
        let time = Timestamp(i64::try_from(micros).ok()?);
        let (stream, continued) = match line.get(space + 1)? {
            b'o' => (SpoolStream::Out, false),
            b'O' => (SpoolStream::Out, true),
            b'e' => (SpoolStream::Err, false),
            b'E' => (SpoolStream::Err, true),
            b's' => (SpoolStream::System, false),
            b'r' => (SpoolStream::Router, false),
            _ => return None,
        };
        if space == 0 || line.get(space + 2) != Some(&b' ') {
            return None;
        }
        Some(SpoolLine { time, stream, continued, text: line.get(space + 3..)? })
    }

    /// When it was written, as far as that can be: nothing comes from the days to come.
    pub fn believed(&self, now: Timestamp) -> Timestamp {
        if self.time > now.plus_millis(AHEAD_MAX) { now } else { self.time }
    }

    /// The same, owned.
    pub fn to_record(&self) -> SpoolRecord {
        SpoolRecord {
            time: self.time,
            stream: self.stream,
            continued: self.continued,
            text: String::from_utf8_lossy(self.text).into_owned(),
        }
    }
}

impl SpoolRecord {
    /// Appends the line as a writer writes it, newline included; a newline in the text becomes a space.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let stream = match (self.stream, self.continued) {
            (SpoolStream::Out, false) => 'o',
            (SpoolStream::Out, true) => 'O',
            (SpoolStream::Err, false) => 'e',
            (SpoolStream::Err, true) => 'E',
            (SpoolStream::System, _) => 's',
            (SpoolStream::Router, _) => 'r',
        };
        out.extend_from_slice(format!("{} {stream} ", self.time.0.max(0)).as_bytes());
        out.extend(self.text.bytes().map(|b| if b == b'\n' { b' ' } else { b }));
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let header = Header { seq: 7, first: 123_456 };
        let text = format!("{header}rest");
        assert_eq!(Header::parse(text.as_bytes()), Some((header, text.len() - 4)));
        for bad in ["", "hoist-spool 1 7 12", "hoist-spool 2 7 12\n", "hoist-spool 1 -7 12\n", "hoist-spool 1 7\n"] {
            assert_eq!(Header::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(Header::parse(&[b'9'; 100]), None);
        assert_eq!(Header::parse(format!("{}", Header { seq: 0, first: u64::MAX }).as_bytes()), None);
        assert_eq!(Header::parse(b"hoist-spool 1 99999999999999999999999 1\n"), None);
    }

    #[test]
    fn lines() {
        for (text, want) in [
            ("12 o hi there", Some((12, SpoolStream::Out, false, "hi there"))),
            ("12 O part", Some((12, SpoolStream::Out, true, "part"))),
            ("12 e ", Some((12, SpoolStream::Err, false, ""))),
            ("12 s exited", Some((12, SpoolStream::System, false, "exited"))),
            ("12 r at=info", Some((12, SpoolStream::Router, false, "at=info"))),
            ("12 o", None),
            ("12 x hi", None),
            (" o hi", None),
            ("-1 o hi", None),
            ("99999999999999999999 o hi", None),
            ("", None),
            ("12 oo", None),
        ] {
            let got = SpoolLine::parse(text.as_bytes());
            let want = want.map(|(t, stream, continued, x)| (Timestamp(t), stream, continued, x.as_bytes()));
            assert_eq!(got.map(|g| (g.time, g.stream, g.continued, g.text)), want, "{text:?}");
            if let Some(line) = got {
                assert_eq!(line.believed(Timestamp(12)), line.time);
                let mut bytes = Vec::new();
                line.to_record().encode(&mut bytes);
                assert_eq!(bytes, format!("{text}\n").into_bytes());
            }
        }
    }

    #[test]
    fn what_no_writer_writes_is_not_believed() {
        let now = Timestamp(1_700_000_000_000_000);
        let time = |text: &str| SpoolLine::parse(text.as_bytes()).unwrap().believed(now);
        assert_eq!(time("9223372036854775807 o x"), now);
        assert_eq!(time("1700086400000001 o x"), now);
        assert_eq!(time("1700086400000000 o x"), Timestamp(1_700_086_400_000_000), "a clock that was set back");
        assert_eq!(time("0 o x"), Timestamp(0));
        let long = |n: usize| SpoolLine::parse(format!("12 o {}", "x".repeat(n)).as_bytes()).is_some();
        assert!(long(10_000) && !long(RECORD_MAX));
        assert_eq!(SpoolStream::Router.stored(Source::App), (Source::App, Stream::Out));
        assert_eq!(SpoolStream::Router.stored(Source::Router), (Source::Router, Stream::Out));
    }

    #[test]
    fn keys_are_path_components() {
        for bad in ["", ".", "..", "a/b", "-a", "A", "a b", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<SpoolKey>().is_err(), "{bad:?}");
        }
        assert_eq!(SpoolKey::instance(InstanceId(12)).as_str().parse::<SpoolKey>().unwrap(), SpoolKey("i12".into()));
    }
}
