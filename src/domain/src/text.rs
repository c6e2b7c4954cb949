//! Text for people: tables, output grammar, and the stripping of what could harm another user's terminal.

use std::fmt::Display;

/// Heroku's section head: `-----> Building`.
pub fn head(text: &str) -> String {
    format!("{HEAD}{text}")
}

/// A detail line under a head, indented seven spaces.
pub fn detail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("       {text}") }
}

/// What a heading begins with.
pub const HEAD: &str = "-----> ";

/// What a warning begins with.
pub const WARNING: &str = " !     ";

/// A line that says what went wrong: ` !     text`.
pub fn warning(text: &str) -> String {
    format!("{WARNING}{text}")
}

/// Drops control characters (escape sequences reach other people's terminals otherwise); tabs stay, colour goes too.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
            c => out.push(c),
        }
    }
    out
}

fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next_if(|c| matches!(c, '[' | ']' | 'P' | '^' | '_')) {
        Some('[') => {
            for c in chars.by_ref() {
                if matches!(c, '\u{40}'..='\u{7e}') {
                    break;
                }
            }
        }
        Some(_) => {
            for c in chars.by_ref() {
                if matches!(c, '\u{7}' | '\u{9c}' | '\\') {
                    break;
                }
            }
        }
        None => {
            chars.next();
        }
    }
}

/// What a table or a paragraph keeps to where nothing says how wide the reader's terminal is.
pub const WIDTH: usize = 80;

/// Columns aligned by two spaces; the last column is not padded. Rows may have fewer cells than the header. What is wider than
/// `width` is wrapped by rule: the widest columns give way, at blanks only, and what does not fit goes on below. A word that
/// is wider than its column stays whole.
pub fn table(header: &[&str], rows: &[Vec<String>], width: usize) -> Vec<String> {
    Columns::default().page(header, rows, width)
}

/// The columns of a table that comes in pages: the first has the header, and columns get wider, never narrower.
#[derive(Debug, Default)]
pub struct Columns {
    /// The widest cell of each.
    cells: Vec<usize>,
    /// The widest word of each: it does not get narrower than that.
    words: Vec<usize>,
}

/// Between two columns.
const GAP: usize = 2;
/// A column so wide or less does not give way: a time, a name or a state is read as a whole.
const WHOLE: usize = 24;

impl Columns {
    /// The lines of the next page.
    pub fn page(&mut self, header: &[&str], rows: &[Vec<String>], width: usize) -> Vec<String> {
        let head: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
        let first = self.cells.is_empty();
        self.cells.resize(header.len(), 0);
        self.words.resize(header.len(), 0);
        for row in rows.iter().chain([&head]) {
            let known = self.cells.iter_mut().zip(&mut self.words);
            for (cell, (widest, word)) in row.iter().zip(known) {
                *widest = (*widest).max(chars(cell));
                *word = (*word).max(cell.split(' ').map(chars).max().unwrap_or(0));
            }
        }
        let widths = self.fitted(width);
        first.then_some(&head).into_iter().chain(rows).flat_map(|row| table_lines(row, &widths)).collect()
    }

    /// Widths that fit, as far as words let them.
    fn fitted(&self, width: usize) -> Vec<usize> {
        let mut widths = self.cells.clone();
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > width {
            let gives = widths.iter_mut().zip(&self.words).filter(|(now, word)| **now > WHOLE.max(**word));
            match gives.max_by_key(|(now, _)| **now) {
                Some((widest, _)) => *widest -= 1,
                None => break,
            }
        }
        widths
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A row: one line, or several where a cell is wider than its column.
fn table_lines(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let line = |n: usize| {
        let mut line = String::new();
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let text = cell.get(n).map_or("", String::as_str);
            line.push_str(text);
            if at + 1 < cells.len() {
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(chars(text)) + GAP));
            }
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// A text in lines of at most `width` characters, broken at blanks. A longer word has a line of its own; blanks inside of what
/// fits stay as they are.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    if chars(text) <= width {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if chars(line) + 1 + chars(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The words of `known` nearest to a misspelt `word`, best first, at most three, each within a third of its length.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .filter(|(d, k)| *d <= (k.len().max(word.len()) / 3).clamp(1, 4))
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, k)| k).collect()
}

/// Levenshtein's distance over bytes, on inputs cut to 64 bytes.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<u8> = a.bytes().take(64).collect();
    let b: Vec<u8> = b.bytes().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            left = (diagonal + usize::from(x != y)).min(left + 1).min(above.saturating_add(1));
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A number with what it counts: `1 file`, `3 files`; for words whose plural takes an s.
pub fn counted<N: Display + PartialEq + From<u8>>(n: N, one: &str) -> String {
    let s = if n == N::from(1) { "" } else { "s" };
    format!("{n} {one}{s}")
}

/// A byte count for people: `512 B`, `8.3 MB` (powers of 1,000).
pub fn human_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_are_stripped() {
        for (dirty, clean) in [
            ("plain\ttext", "plain\ttext"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("a\rb\u{8}c\0", "abc"),
            ("\u{202e}rtl", "rtl"),
            ("\u{1b}", ""),
        ] {
            assert_eq!(plain(dirty), clean, "{dirty:?}");
        }
    }

    #[test]
    fn what_is_too_wide_wraps_at_blanks() {
        let rows = [
            vec!["web.1".to_owned(), "node server.js --port 8080 --verbose".to_owned(), "ann".to_owned()],
            vec!["worker.1".to_owned(), "python".to_owned()],
        ];
        assert_eq!(
            table(&["INSTANCE", "COMMAND", "BY"], &rows, 40),
            [
                "INSTANCE  COMMAND                    BY",
                "web.1     node server.js --port      ann",
                "          8080 --verbose",
                "worker.1  python"
            ]
        );
        // Words stay whole, whatever the width; so nothing is lost and nothing loops.
        for width in [0, 1, 9, 20] {
            let all = table(&["A", "B"], &[vec!["x".repeat(30), "a b".to_owned()]], width).join("\n");
            assert!(all.contains(&"x".repeat(30)) && all.contains('a') && all.contains('b'), "{all}");
        }
        assert_eq!(wrap("a  b", 9), ["a  b"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 0), [""]);
    }

    #[test]
    fn pages_keep_their_columns() {
        let mut columns = Columns::default();
        let first = columns.page(&["A", "B"], &[vec!["long".to_owned(), "x".to_owned()]], WIDTH);
        let second = columns.page(&["A", "B"], &[vec!["s".to_owned(), "y".to_owned()]], WIDTH);
        assert_eq!((first, second), (vec!["A     B".to_owned(), "long  x".to_owned()], vec!["s     y".to_owned()]));
    }

    #[test]
    fn tables_align() {
        let rows = vec![vec!["blog".into(), "v12".into()], vec!["a-longer-one".into(), "v1".into()]];
        assert_eq!(
            table(&["app", "release"], &rows, WIDTH),
            ["app           release", "blog          v12", "a-longer-one  v1"]
        );
    }

    #[test]
    fn near_words() {
        let known = ["apps:create", "apps:list", "config:set", "logs"];
        assert_eq!(did_you_mean("config:sett", known), ["config:set"]);
        assert_eq!(did_you_mean("log", known), ["logs"]);
        assert!(did_you_mean("zzzzzz", known).is_empty());
        assert_eq!(human_bytes(8_345_000), "8.3 MB");
        assert_eq!((counted(1_usize, "file"), counted(0_u64, "file")), ("1 file".to_owned(), "0 files".to_owned()));
    }
}
