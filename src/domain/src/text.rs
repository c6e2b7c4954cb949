//! Text for people: tables, output grammar, and the stripping of what could harm another user's terminal.

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

/// Columns aligned by two spaces; the last column is not padded. Rows may have fewer cells than the header.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    table_page(header, rows, &mut Vec::new())
}

/// The same for a table that comes in pages: the first has the header, and columns stay as wide as they were.
pub fn table_page(header: &[&str], rows: &[Vec<String>], widths: &mut Vec<usize>) -> Vec<String> {
    let head: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let first = widths.is_empty();
    if first {
        widths.extend(header.iter().map(|h| h.chars().count()));
    }
    for row in rows {
        for (cell, width) in row.iter().zip(widths.iter_mut()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    first.then_some(&head).into_iter().chain(rows).map(|row| table_line(row, widths)).collect()
}

fn table_line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (i, cell) in row.iter().enumerate() {
        line.push_str(cell);
        if i + 1 < row.len() {
            let pad = widths.get(i).copied().unwrap_or(0).saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
    }
    line
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
    fn tables_align() {
        let rows = vec![vec!["blog".into(), "v12".into()], vec!["a-longer-one".into(), "v1".into()]];
        assert_eq!(
            table(&["app", "release"], &rows),
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
    }
}
