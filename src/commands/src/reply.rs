//! What a command answers, as data: a record, lists, a text, what was changed. Handlers return it, and whoever carries commands
//! renders it ([`crate::render`]): text for people, JSON for programs. While a command is under way it says its progress in
//! [`Line`]s.

use domain::text;
use serde::Serialize;
use serde_json::{Map, Value};
use system::io::Io;

/// What a command answers once it is over.
#[derive(Debug, Default)]
pub struct Reply {
    /// Its exit code: 0, or what went wrong though nothing was refused.
    pub exit: u8,
    /// What it shows.
    pub shown: Shown,
    /// What it changed, in fields for programs.
    pub done: Map<String, Value>,
    /// What it says to people, after what it shows.
    pub lines: Vec<Line>,
}

/// What a command shows.
#[derive(Debug, Default)]
pub enum Shown {
    /// Its lines say it all; or it was shown as it came.
    #[default]
    Nothing,
    /// One thing, as `name: value` lines and as an object.
    Record { rows: Vec<(&'static str, String)>, json: Value },
    /// One list, or several under each other; for programs one array of all.
    Lists(Vec<List>),
    /// Text as it is, with its line ends, and what programs get in its place.
    Text { text: String, json: Value },
}

/// A list: the same rows as cells and as JSON objects.
#[derive(Debug, Default)]
pub struct List {
    /// Headings.
    pub columns: &'static [&'static str],
    /// Cells as text, in order of the columns.
    pub rows: Vec<Vec<String>>,
    /// The rows as JSON objects.
    pub json: Vec<Value>,
    /// Said in place of an empty table; nothing is shown then where it is empty, too.
    pub empty: String,
}

/// A line of what a command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A heading.
    Head(String),
    /// A line as it is.
    Plain(String),
    /// A detail below a heading.
    Detail(String),
    /// What went wrong, or might: on standard error.
    Warning(String),
    /// A remark that is no part of what was asked for: on standard error.
    Note(String),
}

impl Line {
    /// Whether it goes to standard error.
    pub fn is_aside(&self) -> bool {
        matches!(self, Line::Warning(_) | Line::Note(_))
    }

    /// As people read it.
    pub fn text(&self) -> String {
        match self {
            Line::Head(line) => text::head(line),
            Line::Plain(line) | Line::Note(line) => line.clone(),
            Line::Detail(line) => text::detail(line),
            Line::Warning(line) => text::warning(line),
        }
    }

    /// Says it now, as progress of what is under way.
    pub async fn say(&self, io: &Io) {
        match self.is_aside() {
            true => io.note(self.text()).await,
            false => io.line(self.text()).await,
        }
    }
}

impl Reply {
    /// Nothing to show: what a command says of what it did is added to it.
    pub fn new() -> Reply {
        Reply::default()
    }

    /// The end of what was shown as it came.
    pub fn exit(exit: u8) -> Reply {
        Reply { exit, ..Reply::default() }
    }

    /// One line.
    pub fn said(line: impl Into<String>) -> Reply {
        let mut reply = Reply::new();
        reply.line(line);
        reply
    }

    /// One thing.
    pub fn record(rows: Vec<(&'static str, String)>, json: Value) -> Reply {
        Reply { shown: Shown::Record { rows, json }, ..Reply::default() }
    }

    /// One list.
    pub fn list(list: List) -> Reply {
        Reply { shown: Shown::Lists(vec![list]), ..Reply::default() }
    }

    /// Several lists.
    pub fn lists(lists: Vec<List>) -> Reply {
        Reply { shown: Shown::Lists(lists), ..Reply::default() }
    }

    /// Text for people as it is, JSON for programs.
    pub fn text(text: impl Into<String>, json: Value) -> Reply {
        Reply { shown: Shown::Text { text: text.into(), json }, ..Reply::default() }
    }

    /// Lines for people, JSON for programs.
    pub fn page<L: AsRef<str>>(lines: impl IntoIterator<Item = L>, json: Value) -> Reply {
        let mut text = String::new();
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
        }
        Reply::text(text, json)
    }

    /// Notes what was done, for programs. Noted again, the later counts.
    pub fn did(&mut self, field: &str, value: impl Serialize) {
        if let Ok(value) = serde_json::to_value(value) {
            self.done.insert(field.to_owned(), value);
        }
    }

    /// Adds a heading.
    pub fn head(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Head(line.into()));
    }

    /// Adds a line.
    pub fn line(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Plain(line.into()));
    }

    /// Adds a detail.
    pub fn detail(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Detail(line.into()));
    }

    /// Adds a warning.
    pub fn warn(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Warning(line.into()));
    }

    /// Adds a remark.
    pub fn note(&mut self, line: impl Into<String>) {
        self.lines.push(Line::Note(line.into()));
    }

    /// Adds what another one says and did.
    pub fn extend(&mut self, other: Reply) {
        self.lines.extend(other.lines);
        self.done.extend(other.done);
        self.exit = self.exit.max(other.exit);
    }
}
