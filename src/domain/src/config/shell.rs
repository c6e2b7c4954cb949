//! Lines for a POSIX shell or bash: `export NAME='value'`. Only assignments, and nothing that a shell would expand.

use super::gathered::{Assigned, Gathered};
use crate::words::words;

const BLANKS: [char; 2] = [' ', '\t'];

/// Reads a text whose lines end in `\n`. After a mistake it goes on with the next line.
pub(super) fn read(text: &str, all: &mut Gathered) {
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (this, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let content = this.trim_start_matches(BLANKS);
        let content = ["export ", "declare -x "].iter().find_map(|p| content.strip_prefix(p)).unwrap_or(content);
        let content = content.trim_start_matches(BLANKS);
        if content.trim().is_empty() || content.starts_with('#') {
            (rest, line) = (after, line + 1);
            continue;
        }
        let Some((name, tail)) = content.split_once('=') else {
            all.problem(line, "no = in this line");
            (rest, line) = (after, line + 1);
            continue;
        };
        let value = rest.get(this.len() - tail.len()..).unwrap_or_default();
        match value_of(value) {
            Ok((found, left)) => {
                all.add(Assigned { line, name: name.to_owned(), value: found });
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

/// The word that stands here without its quotes, and the text from the next line on.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let end = end_of_word(text)?;
    let (raw, behind) = text.split_at_checked(end).unwrap_or((text, ""));
    let (line, left) = behind.split_once('\n').unwrap_or((behind, ""));
    let extra = line.trim_matches(BLANKS).trim_start_matches(';').trim_matches(BLANKS);
    if !(extra.is_empty() || extra.starts_with('#')) {
        return Err("more than one word; a value with blanks needs quotes");
    }
    if raw.is_empty() {
        return Ok((String::new(), left));
    }
    match words(raw).as_deref() {
        Ok([word]) => Ok((word.clone(), left)),
        Ok(_) => Err("not one word"),
        Err(_) => Err("the quotes of this value cannot be read"),
    }
}

/// Where an unquoted blank, line break or `;` ends the word. What a shell would expand or run is refused.
fn end_of_word(text: &str) -> Result<usize, &'static str> {
    const EXPANDS: &str = "a shell would expand this $ or `, here nothing is: put the value into single quotes";
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | ';' => return Ok(at),
            '&' | '|' | '<' | '>' | '(' | ')' => return Err("a shell would not take this character without quotes"),
            '\'' => {
                chars.find(|(_, c)| *c == '\'').ok_or("a ' without its partner")?;
            }
            '"' => loop {
                match chars.next() {
                    Some((_, '"')) => break,
                    Some((_, '\\')) => drop(chars.next()),
                    Some((_, '$' | '`')) => return Err(EXPANDS),
                    Some(_) => {}
                    None => return Err("a \" without its partner"),
                }
            },
            '$' if chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                chars.next();
                loop {
                    match chars.next() {
                        Some((_, '\'')) => break,
                        Some((_, '\\')) => drop(chars.next()),
                        Some(_) => {}
                        None => return Err("a $' without its '"),
                    }
                }
            }
            '$' | '`' => return Err(EXPANDS),
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    Ok(text.len())
}
