//! dotenv: `NAME=value` lines as most readers of `.env` files agree on them. Nothing is expanded.

use super::gathered::{Assigned, Gathered};

const BLANKS: [char; 2] = [' ', '\t'];

/// Reads a text whose lines end in `\n`. After a mistake it goes on with the next line.
pub(super) fn read(text: &str, all: &mut Gathered) {
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (this, after) = rest.split_once('\n').unwrap_or((rest, ""));
        match assignment(rest, this) {
            Ok(None) => (rest, line) = (after, line + 1),
            Ok(Some((name, value, left))) => {
                all.add(Assigned { line, name, value });
                let used = rest.len() - left.len();
                line += rest.get(..used).unwrap_or_default().matches('\n').count();
                rest = left;
            }
            Err(what) => {
                all.problem(line, what);
                (rest, line) = (after, line + 1);
            }
        }
    }
}

/// Name, value and what comes after its last line; nothing for an empty line or a comment.
fn assignment<'a>(rest: &'a str, this: &'a str) -> Result<Option<(String, String, &'a str)>, &'static str> {
    let content = this.trim_start_matches(BLANKS);
    let content = match content.strip_prefix("export") {
        Some(named) if named.starts_with(BLANKS) => named.trim_start_matches(BLANKS),
        Some(_) | None => content,
    };
    if content.trim().is_empty() || content.starts_with('#') {
        return Ok(None);
    }
    let (name, tail) = content.split_once('=').ok_or("no = in this line; a value of several lines needs quotes")?;
    let value = rest.get(this.len() - tail.len()..).unwrap_or_default();
    let (value, left) = value_of(value)?;
    Ok(Some((name.trim_matches(BLANKS).to_owned(), value, left)))
}

/// The value that stands here, and the text from the next line on.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let start = text.trim_start_matches(BLANKS);
    let mut chars = start.chars();
    match chars.next() {
        Some('\'') => verbatim(chars.as_str(), '\'').ok_or("a ' without its partner"),
        Some('`') => verbatim(chars.as_str(), '`').ok_or("a ` without its partner"),
        Some('"') => escaped(chars.as_str()).ok_or("a \" without its partner"),
        Some('$') if chars.as_str().starts_with('\'') => Err("$'…' is a shell's quoting: --format shell"),
        Some(_) | None => {
            let (line, left) = start.split_once('\n').unwrap_or((start, ""));
            let comment = if line.starts_with('#') { Some(0) } else { line.find(" #").or_else(|| line.find("\t#")) };
            let value = line.get(..comment.unwrap_or(line.len())).unwrap_or_default();
            return Ok((value.trim_matches(BLANKS).to_owned(), left));
        }
    }
    .and_then(|(value, behind)| {
        let (line, left) = behind.split_once('\n').unwrap_or((behind, ""));
        let extra = line.trim_matches(BLANKS);
        if extra.is_empty() || extra.starts_with('#') {
            Ok((value, left))
        } else {
            Err("text behind the closing quote")
        }
    })
}

fn verbatim(text: &str, end: char) -> Option<(String, &str)> {
    text.split_once(end).map(|(value, behind)| (value.to_owned(), behind))
}

fn escaped(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$' | '`') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
}

/// A value as [`read`] takes it back, and as most other readers do: plain, else in single quotes, else escaped.
pub(super) fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+:,./=-".contains(&b);
    if value.bytes().all(plain) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\r']) {
        return format!("'{value}'");
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' | '\\' | '$' | '`' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
