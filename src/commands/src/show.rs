//! Lists too long to be held, shown page by page; and what cells show of a command line.

use crate::render::width;
use domain::text;
use serde_json::Value;
use system::io::Io;
use verbs::Format;

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
                let mut page = self.table.page(self.columns, rows, width(io)).join("\n");
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

/// The beginning of a command line, for a cell of a table.
pub fn quote_short(command: &str) -> String {
    let plain = domain::text::plain(command);
    if plain.chars().count() > 60 { plain.chars().take(59).chain(['…']).collect() } else { plain }
}
