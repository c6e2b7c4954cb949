//! What reading commands print: a table for people, or JSON, from the same rows.

use domain::text;
use serde_json::Value;
use system::io::Io;
use verbs::Format;

/// A list: its columns, its rows, and the same as JSON.
pub struct List<'a> {
    /// Headings.
    pub columns: &'a [&'a str],
    /// Cells as text, in order of the columns.
    pub rows: Vec<Vec<String>>,
    /// The same rows as JSON objects.
    pub json: Vec<Value>,
    /// Said instead of an empty table.
    pub empty: String,
}

impl List<'_> {
    /// Prints it.
    pub async fn print(self, format: Format, io: &Io) {
        match format {
            Format::Json => json(io, &Value::Array(self.json)).await,
            Format::Text if self.rows.is_empty() => io.note(self.empty).await,
            Format::Text => {
                for line in text::table(self.columns, &self.rows, text::WIDTH) {
                    io.line(line).await;
                }
            }
        }
    }
}

/// A list that is printed page by page, while the next is read.
pub struct Pages<'a> {
    columns: &'a [&'a str],
    empty: &'a str,
    format: Format,
    table: text::Columns,
    any: bool,
}

impl<'a> Pages<'a> {
    /// A list with these columns; `empty` is said if no page comes.
    pub fn new(columns: &'a [&'a str], empty: &'a str, format: Format) -> Pages<'a> {
        Pages { columns, empty, format, table: text::Columns::default(), any: false }
    }

    /// Prints a page: the same rows as cells and as JSON.
    pub async fn print(&mut self, rows: &[Vec<String>], json: &[Value], io: &Io) {
        match self.format {
            Format::Json => {
                let mut page = String::new();
                for value in json {
                    page.push(if self.any { ',' } else { '[' });
                    self.any = true;
                    page.push_str(&value.to_string());
                }
                io.text(page).await;
            }
            Format::Text if rows.is_empty() => {}
            Format::Text => {
                self.any = true;
                let mut page = self.table.page(self.columns, rows, text::WIDTH).join("\n");
                page.push('\n');
                io.text(page).await;
            }
        }
    }

    /// Ends the list.
    pub async fn end(self, io: &Io) {
        match (self.format, self.any) {
            (Format::Json, true) => io.line("]").await,
            (Format::Json, false) => io.line("[]").await,
            (Format::Text, false) => io.note(self.empty).await,
            (Format::Text, true) => {}
        }
    }
}

/// Prints pairs as `name: value` lines, or as one JSON object.
pub async fn pairs(format: Format, io: &Io, pairs: Vec<(&str, String)>, object: Value) {
    match format {
        Format::Json => json(io, &object).await,
        Format::Text => {
            let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
            for (name, value) in pairs {
                io.line(format!("{:width$} {}", format!("{name}:"), text::plain(&value))).await;
            }
        }
    }
}

/// Prints JSON on one line.
pub async fn json(io: &Io, value: &Value) {
    io.line(value.to_string()).await;
}

/// The beginning of a command line, for a cell of a table.
pub fn quote_short(command: &str) -> String {
    let plain = domain::text::plain(command);
    if plain.chars().count() > 60 { plain.chars().take(59).chain(['…']).collect() } else { plain }
}
