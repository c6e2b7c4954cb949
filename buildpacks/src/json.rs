//! JSON files of an app, read as forgivingly as npm reads them and refused with the line of the mistake.
//! Invariant: bounded: nesting deeper than serde_json's limit is a refusal. A leading byte order mark is skipped, as npm does.
//! Absent: JSON5, comments.

use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use serde_json::{Map, Value};

/// The object in this file; none if there is no such file.
pub(crate) fn object(tree: &Tree, path: &str) -> Result<Option<Map<String, Value>>, Refusal> {
    let content = match tree.find(path) {
        Found::Nothing => return Ok(None),
        Found::File(content) => content,
        Found::NotAFile => {
            let next = format!("commit {path} as a plain file in the app's own folder");
            let why = "a symbolic link or a submodule has this name, and links are not followed";
            return Err(Refusal::new(Code::NotAFile, format!("{path} is not a file"), why, &next));
        }
        Found::Unread => {
            let next = format!("make {path} smaller than 1 MiB");
            return Err(Refusal::new(Code::FileTooLarge, format!("{path} is too large"), "it is not read", &next));
        }
    };
    match parse(content) {
        Ok(object) => Ok(Some(object)),
        Err(why) => {
            let next = format!("correct {path}, commit and push; `npx jsonlint {path}` finds mistakes");
            Err(Refusal::new(Code::BadJson, format!("{path} is not valid JSON"), why, &next))
        }
    }
}

fn parse(content: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(content).map_err(|err| {
        let good = content.get(..err.valid_up_to()).unwrap_or_default();
        format!("line {}: not UTF-8 text; save the file as UTF-8", line_of(good))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.lines().position(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")) {
        return Err(format!("line {}: a merge conflict was committed", at.saturating_add(1)));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it must be an object, {…}".to_owned()),
        Err(err) => Err(format!("line {}: {}", err.line(), quote(reason(&err.to_string())))),
    }
}

/// Without the position, which is said first.
fn reason(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(reason, _)| reason)
}

fn line_of(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
}

/// The text under this name, if it is a text.
pub(crate) fn text<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str)
}

/// The texts by name under this name; whatever else is there is left out.
pub(crate) fn texts(object: &Map<String, Value>, name: &str) -> std::collections::BTreeMap<String, String> {
    let inner = object.get(name).and_then(Value::as_object).into_iter().flatten();
    inner.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
