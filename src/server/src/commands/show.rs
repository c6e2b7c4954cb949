//! What reading commands print: a table for people, or JSON, from the same rows.

use crate::io::Io;
use domain::command::Format;
use domain::text;
use serde_json::Value;

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
                for line in text::table(self.columns, &self.rows) {
                    io.line(line).await;
                }
            }
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
