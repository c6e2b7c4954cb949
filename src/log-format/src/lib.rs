//! One log record: its line in the store, its looks for people and programs, and the filter over it.
//!
//! Invariant: decoding takes any bytes and never panics; a record is one line whatever its text holds.
//! Absent: files, the clock. The spool that instances write is [`spool`].

pub mod budget;
mod filter;
pub mod merge;
pub mod segment;
pub mod spool;

pub use filter::{Filter, Grep, when};
pub use spool::{SpoolKey, SpoolRecord, SpoolStream};

use domain::refusal::Code;
use domain::{Refusal, Timestamp, text};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, fmt::Write as _, str::FromStr};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The app's own processes.
    App,
    /// The router, one line per request.
    Router,
    /// A build.
    Build,
    /// A release command.
    Release,
    /// A one-off process.
    Run,
    /// Hoist itself: state changes, counters, exits.
    #[serde(rename = "hoist")]
    Platform,
}

impl Source {
    /// Every source, in the order help shows them.
    pub const ALL: [Source; 6] =
        [Source::App, Source::Router, Source::Build, Source::Release, Source::Run, Source::Platform];

    /// The word in front of a line.
    pub fn word(self) -> &'static str {
        match self {
            Source::App => "app",
            Source::Router => "router",
            Source::Build => "build",
            Source::Release => "release",
            Source::Run => "run",
            Source::Platform => "hoist",
        }
    }
}

impl FromStr for Source {
    type Err = Refusal;
    fn from_str(word: &str) -> Result<Source, Refusal> {
        Source::ALL.into_iter().find(|s| s.word() == word).ok_or_else(|| {
            let words: Vec<&str> = Source::ALL.iter().map(|s| s.word()).collect();
            Refusal::new(Code::BadSource, format!("\"{}\" is not a source of log lines", text::plain(word)))
                .why(format!("sources: {}", words.join(", ")))
        })
    }
}

/// Which stream a line came out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Said about the process, not by it.
    System,
}

/// One line of an app's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number in the app's log, from 0 without a gap; 0 too as long as it is not stored.
    #[serde(default)]
    pub id: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Who speaks.
    pub source: Source,
    /// The process type, `web`; empty where there is none.
    pub process: String,
    /// The instance, `web.1`; empty where there is none.
    pub instance: String,
    /// The release that ran; 0 where there is none.
    pub release: u32,
    /// Which stream.
    pub stream: Stream,
    /// Whether the line goes on in the next record of its stream: it was too long for one.
    pub continued: bool,
    /// The line, without its newline.
    pub text: String,
}

/// A [`Record`] that borrows: what readers and writers of many lines use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// As [`Record::time`].
    pub time: Timestamp,
    /// As [`Record::source`].
    pub source: Source,
    /// As [`Record::process`].
    pub process: &'a str,
    /// As [`Record::instance`].
    pub instance: &'a str,
    /// As [`Record::release`].
    pub release: u32,
    /// As [`Record::stream`].
    pub stream: Stream,
    /// As [`Record::continued`].
    pub continued: bool,
    /// As [`Record::text`].
    pub text: Cow<'a, str>,
}

impl Record {
    /// A line of Hoist's own about an app as a whole.
    pub fn platform(time: Timestamp, text: impl Into<String>) -> Record {
        Record {
            id: 0,
            time,
            source: Source::Platform,
            process: String::new(),
            instance: String::new(),
            release: 0,
            stream: Stream::System,
            continued: false,
            text: text.into(),
        }
    }

    /// The same, borrowed.
    pub fn view(&self) -> View<'_> {
        View {
            time: self.time,
            source: self.source,
            process: &self.process,
            instance: &self.instance,
            release: self.release,
            stream: self.stream,
            continued: self.continued,
            text: Cow::Borrowed(&self.text),
        }
    }

    /// The line of the store, without its newline.
    pub fn encode(&self) -> String {
        let mut line = String::new();
        self.view().encode(&mut line);
        line
    }

    /// Reads a line of the store; bytes that are not UTF-8 become U+FFFD. `None`: not a record.
    pub fn decode(line: &[u8]) -> Option<Record> {
        View::decode(&String::from_utf8_lossy(line)).map(|v| v.to_record())
    }

    /// Heroku's form, `2024-04-26T16:58:32.943253+00:00 app[web.1]: text`, in front of the text in colour where that is
    /// wanted. Control bytes of the text never reach a terminal; a line that goes on in the next record ends with `…`.
    pub fn render(&self, colour: bool) -> String {
        let label = self.source.word();
        let mut line = format!("{} {label}", self.time.rfc3339());
        if !self.instance.is_empty() && self.instance != label {
            let _ = write!(line, "[{}]", self.instance);
        }
        line.push(':');
        if colour {
            line = format!("\u{1b}[{}m{line}\u{1b}[0m", self.colour());
        }
        line.push(' ');
        line.push_str(&text::plain(&self.text));
        if self.continued {
            line.push('…');
        }
        line
    }

    /// One of the terminal's colours: the same for the same instance, grey for what is not the app's own. Never red, which
    /// says that something is wrong.
    fn colour(&self) -> u32 {
        match self.source {
            Source::Router | Source::Platform | Source::Build => 90,
            Source::App | Source::Release | Source::Run => {
                32 + self.instance.bytes().fold(1, |sum, b| (sum * 31 + u32::from(b)) % 5)
            }
        }
    }

    /// One JSON object on one line; every control character in it is escaped.
    pub fn json(&self) -> String {
        let value = serde_json::json!({
            "id": self.id, "time": self.time.rfc3339(), "source": self.source, "process": self.process, "instance": self.instance,
            "release": self.release, "stream": self.stream, "continued": self.continued, "text": self.text,
        });
        let mut out = String::new();
        for c in value.to_string().chars() {
            if matches!(c, '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            } else {
                out.push(c);
            }
        }
        out
    }
}

impl<'a> View<'a> {
    /// Appends the line of the store: time, source, process, instance, release, stream, text; tabs between, no newline.
    pub fn encode(&self, line: &mut String) {
        let stream = match (self.stream, self.continued) {
            (Stream::Out, false) => 'o',
            (Stream::Out, true) => 'O',
            (Stream::Err, false) => 'e',
            (Stream::Err, true) => 'E',
            (Stream::System, false) => 's',
            (Stream::System, true) => 'S',
        };
        let _ = write!(line, "{}\t{}\t", self.time.0, self.source.word());
        push_clean(line, self.process, &['\t', '\n']);
        line.push('\t');
        push_clean(line, self.instance, &['\t', '\n']);
        let _ = write!(line, "\t{}\t{stream}\t", self.release);
        push_clean(line, &self.text, &['\n']);
    }

    /// Reads a line of the store. `None`: not a record.
    pub fn decode(line: &'a str) -> Option<View<'a>> {
        let mut fields = line.splitn(7, '\t');
        let time = Timestamp(fields.next()?.parse().ok()?);
        let source = fields.next()?;
        let source = Source::ALL.into_iter().find(|s| s.word() == source)?;
        let (process, instance) = (fields.next()?, fields.next()?);
        let release = fields.next()?.parse().ok()?;
        let (stream, continued) = match fields.next()? {
            "o" => (Stream::Out, false),
            "O" => (Stream::Out, true),
            "e" => (Stream::Err, false),
            "E" => (Stream::Err, true),
            "s" => (Stream::System, false),
            "S" => (Stream::System, true),
            _ => return None,
        };
        let text = Cow::Borrowed(fields.next()?);
        Some(View { time, source, process, instance, release, stream, continued, text })
    }

    /// The same, owned.
    pub fn to_record(&self) -> Record {
        Record {
            id: 0,
            time: self.time,
            source: self.source,
            process: self.process.to_owned(),
            instance: self.instance.to_owned(),
            release: self.release,
            stream: self.stream,
            continued: self.continued,
            text: self.text.clone().into_owned(),
        }
    }
}

/// A record is one line: what would break it becomes a space.
fn push_clean(line: &mut String, field: &str, bad: &[char]) {
    if field.contains(bad) {
        line.extend(field.chars().map(|c| if bad.contains(&c) { ' ' } else { c }));
    } else {
        line.push_str(field);
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record {
            id: 0,
            time: Timestamp(1_714_150_712_943_253),
            source: Source::App,
            process: "web".into(),
            instance: "web.1".into(),
            release: 12,
            stream: Stream::Err,
            continued: true,
            text: text.into(),
        }
    }

    #[test]
    fn a_record_is_one_line_and_comes_back() {
        for text in ["", "hello", "\ttabs\tinside\t", "ünïcode \u{1b}[31m", " lead and trail ", "@F\tx", "1\tapp\t"] {
            for source in Source::ALL {
                let record = Record { source, ..record(text) };
                assert_eq!(Record::decode(record.encode().as_bytes()), Some(record));
            }
        }
        assert_eq!(record("a\nb").encode().lines().count(), 1);
        let odd = Record { process: "a\tb".into(), ..record("x") };
        assert_eq!(Record::decode(odd.encode().as_bytes()).unwrap().process, "a b");
    }

    #[test]
    fn decoding_takes_anything() {
        for junk in ["", "\t", "@F\tk", "1\tapp\tweb", "x\tapp\tweb\tweb.1\t1\to\tt", "1\tapp\tw\tw\t1\tq\tt"] {
            assert_eq!(Record::decode(junk.as_bytes()), None, "{junk:?}");
        }
        let line = record("whole text").encode().into_bytes();
        for cut in 0..line.len() {
            let _ = Record::decode(&line[..cut]);
        }
        assert_eq!(Record::decode(b"1\tapp\tw\tw.1\t1\to\t\xff\xfe").unwrap().text, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn looks() {
        let r = record("\u{1b}[31mred\u{1b}[0m\u{7}");
        assert_eq!(r.render(false), "2024-04-26T16:58:32.943253+00:00 app[web.1]: red…");
        let whole = Record { continued: false, ..r };
        let coloured = whole.render(true);
        assert!(coloured.starts_with("\u{1b}[3") && coloured.ends_with("app[web.1]:\u{1b}[0m red"), "{coloured:?}");
        assert_eq!(text::plain(&coloured), whole.render(false));
        let r = whole;
        let platform = Record::platform(r.time, "State changed");
        assert_eq!(platform.render(false), "2024-04-26T16:58:32.943253+00:00 hoist: State changed");
        let json = record("a\u{9b}\"\u{1b}").json();
        assert!(json.contains("\"source\":\"app\"") && json.contains("\"stream\":\"err\""), "{json}");
        assert!(!json.chars().any(char::is_control), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["text"], "a\u{9b}\"\u{1b}");
        assert!(platform.json().contains("\"source\":\"hoist\""));
    }
}
