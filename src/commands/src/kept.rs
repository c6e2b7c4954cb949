//! The lines of a command that changes something, kept for who asked for `--format json`: they become `said` and `warned` of
//! the one object that it answers once it is over (see [`crate::render`]).
//!
//! Commands that read have JSON of their own; those that hand bytes through (`run`, `enter`, git) have no such form.

use crate::reply::Line;
use domain::text;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use system::fault::Result;
use system::io::{Chunk, Io};
use tokio::sync::mpsc;
use verbs::Format;

/// Lines that are kept of each kind: the last ones. The whole output of a deploy is in `builds:output`.
const LINES_MAX: usize = 1_000;
/// Bytes of a line; one that is longer is two. With [`LINES_MAX`] what one command keeps in memory.
const LINE_MAX: usize = 8 << 10;
/// Pieces under way between a command and what keeps its lines.
const PIECES: usize = 64;

/// Whether words ask for such an object.
pub fn wanted(words: &[String], format: Format) -> bool {
    let Some(spec) = words.first().and_then(|word| verbs::find(word)) else { return false };
    let only_reads = verbs::parse(words).map_or(spec.reads, |request| request.only_reads());
    format == Format::Json && !only_reads && spec.answers_json()
}

/// The last lines of a stream.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    /// The line that has not ended.
    open: Vec<u8>,
    dropped: u64,
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.open.len() > LINE_MAX {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        let line = text::plain(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        // Marks and indents are for people.
        let line = [text::WARNING, text::HEAD].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(&line);
        let line = line.trim().to_owned();
        if line.is_empty() {
            return;
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    fn end(mut self) -> (Vec<String>, u64) {
        self.end_line();
        (self.lines.into(), self.dropped)
    }
}

/// What a command said, kept.
#[derive(Debug, Default)]
pub struct Kept {
    said: Tail,
    warned: Tail,
}

impl Kept {
    fn add(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Out(bytes) | Chunk::Raw(bytes) => self.said.add(bytes),
            Chunk::Err(bytes) => self.warned.add(bytes),
        }
    }

    /// Keeps a line of the reply.
    pub fn line(&mut self, line: &Line) {
        let (Line::Head(text) | Line::Plain(text) | Line::Detail(text) | Line::Warning(text) | Line::Note(text)) = line;
        let tail = if line.is_aside() { &mut self.warned } else { &mut self.said };
        tail.add(format!("{text}\n").as_bytes());
    }

    /// `command`, `app`, `exit`, `done`, `said`, `warned`; `dropped` where lines were too many.
    pub fn object(self, words: &[String], exit: u8, done: Map<String, Value>) -> Value {
        let ((said, first), (warned, second)) = (self.said.end(), self.warned.end());
        let verb = words.first().and_then(|word| verbs::find(word)).map_or("", |spec| spec.name);
        let app = verbs::parse(words).ok().and_then(|request| request.app);
        let mut object =
            json!({"command": verb, "app": app, "exit": exit, "done": done, "said": said, "warned": warned});
        if let (true, Some(fields)) = (first + second > 0, object.as_object_mut()) {
            fields.insert("dropped".to_owned(), (first + second).into());
        }
        object
    }
}

/// Runs a command with its lines kept; `io` writes to the client again afterwards.
pub async fn keep<T>(io: &mut Io, run: impl AsyncFnOnce(&mut Io) -> Result<T>) -> (Result<T>, Kept) {
    let (out, mut pieces) = mpsc::channel(PIECES);
    let client = std::mem::replace(&mut io.out, out);
    let mut kept = Kept::default();
    let done = {
        let mut work = std::pin::pin!(run(io));
        loop {
            tokio::select! {
                biased;
                Some(piece) = pieces.recv() => kept.add(&piece),
                done = &mut work => break done,
            }
        }
    };
    // Somebody may still hold the other end.
    while let Ok(piece) = pieces.try_recv() {
        kept.add(&piece);
    }
    io.out = client;
    (done, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_plain_and_bounded() {
        let mut kept = Kept::default();
        for piece in ["Set. It co", "unts\n\nfrom \u{1b}[31mnow", " on\r\n", "no end"] {
            kept.add(&Chunk::Out(piece.into()));
        }
        kept.add(&Chunk::Err(format!("{}\n", text::warning("look out")).into()));
        let object = kept.object(&domain::words::words("apps:set blog port=1").unwrap(), 0, Map::new());
        assert_eq!(
            object,
            json!({"command": "apps:set", "app": "blog", "exit": 0, "done": {}, "said": ["Set. It counts", "from now on", "no end"],
                   "warned": ["look out"]})
        );
        let mut long = Kept::default();
        (0..LINES_MAX + 7).for_each(|n| long.add(&Chunk::Out(format!("{n}\n").into())));
        let object = long.object(&[], 0, Map::new());
        assert_eq!((&object["dropped"], &object["said"][0]), (&json!(7), &json!("7")));
    }

    #[test]
    fn who_answers_so() {
        let asks = |line: &str| {
            let words = domain::words::words(line).unwrap();
            wanted(&words, Format::Json)
        };
        assert!(asks("apps:set blog port=1 --json") && asks("rollback blog --format json") && asks("keys:add"));
        assert!(!asks("apps:list --json") && !asks("run blog ls --json") && !asks("git-receive-pack blog"));
        assert!(!asks("nonsense --json"));
    }
}
