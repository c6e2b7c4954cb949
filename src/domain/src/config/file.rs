//! Config vars as a file: dotenv, JSON, or lines for a shell; read whole with every mistake at once, and written so that
//! reading gives the same.

use super::gathered::{Assigned, Gathered, Problem};
use super::vars::{ConfigVars, TOTAL_MAX};
use super::{dotenv, shell};
use crate::names::VarName;
use crate::refusal::Code;
use crate::refusal::Refusal;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Bytes of a file: all that may be set, each byte as the longest escape.
pub const FILE_MAX: usize = 6 * TOTAL_MAX;
/// Mistakes that are listed.
const SHOWN_MAX: usize = 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// `NAME=value`, `NAME="with \n escapes"`, `NAME='as it is'`, comments, `export ` before it.
    Dotenv,
    /// One object of texts.
    Json,
    /// `export NAME='value'` lines that a shell reads; expansions are refused.
    Shell,
}

impl FromStr for FileFormat {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<FileFormat, Refusal> {
        match text {
            "dotenv" | "env" => Ok(FileFormat::Dotenv),
            "json" => Ok(FileFormat::Json),
            "shell" | "sh" => Ok(FileFormat::Shell),
            _ => Err(Refusal::new(Code::BadFormat, "--format takes dotenv, json or shell").next("--format dotenv")),
        }
    }
}

/// Reads a file; the format is found out where none is given. Also says which it was.
pub fn parse(bytes: &[u8], format: Option<FileFormat>) -> Result<(ConfigVars, FileFormat), Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|err| {
        let line = bytes.iter().take(err.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        refusal(&[Problem { line, what: "not UTF-8 text".to_owned() }], None)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let chosen = format.unwrap_or_else(|| detect(text));
    match read(text, chosen) {
        Ok(vars) => Ok((vars, chosen)),
        Err(problems) => {
            // `config --shell` writes lines that look like dotenv and are quoted for a shell.
            if format.is_none()
                && chosen == FileFormat::Dotenv
                && let Ok(vars) = read(text, FileFormat::Shell)
            {
                return Ok((vars, FileFormat::Shell));
            }
            Err(refusal(&problems, Some(chosen)))
        }
    }
}

fn read(text: &str, format: FileFormat) -> Result<ConfigVars, Vec<Problem>> {
    let mut all = Gathered::default();
    match format {
        FileFormat::Dotenv => dotenv::read(&text.replace("\r\n", "\n"), &mut all),
        FileFormat::Shell => shell::read(&text.replace("\r\n", "\n"), &mut all),
        FileFormat::Json => json(text, &mut all),
    }
    all.done()
}

/// What a text looks like: an object is JSON; where every line says `export` it is for a shell.
pub fn detect(text: &str) -> FileFormat {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        return FileFormat::Json;
    }
    let mut lines = text.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#')).peekable();
    let exported = |line: &str| line.starts_with("export ") || line.starts_with("declare -x ");
    if lines.peek().is_some() && lines.all(exported) { FileFormat::Shell } else { FileFormat::Dotenv }
}

/// Writes vars so that [`parse`] gives them back.
pub fn render(vars: &ConfigVars, format: FileFormat) -> String {
    match format {
        FileFormat::Dotenv => vars.iter().map(|(n, v)| format!("{n}={}\n", dotenv::quoted(v.reveal()))).collect(),
        FileFormat::Shell => {
            vars.iter().map(|(n, v)| format!("export {n}={}\n", crate::words::quote(v.reveal()))).collect()
        }
        FileFormat::Json => {
            let plain: BTreeMap<&str, &str> = vars.iter().map(|(n, v)| (n.as_str(), v.reveal().as_str())).collect();
            format!("{}\n", serde_json::to_string_pretty(&plain).unwrap_or_default())
        }
    }
}

fn refusal(problems: &[Problem], format: Option<FileFormat>) -> Refusal {
    let mut lines: Vec<String> =
        problems.iter().take(SHOWN_MAX).map(|p| format!("line {}: {}", p.line, p.what)).collect();
    if problems.len() > SHOWN_MAX {
        lines.push(format!("and {} more", problems.len() - SHOWN_MAX));
    }
    let read_as = match format {
        Some(FileFormat::Dotenv) => " as dotenv",
        Some(FileFormat::Json) => " as JSON",
        Some(FileFormat::Shell) => " as shell lines",
        None => "",
    };
    let what = match problems.len() {
        1 => format!("the input cannot be read{read_as}; nothing was changed"),
        n => format!("the input cannot be read{read_as} ({n} mistakes); nothing was changed"),
    };
    Refusal::new(Code::BadConfigFile, what)
        .why(lines.join("\n"))
        .next("mend these lines and import again")
        .next("config:import APP --format dotenv < FILE  (or json, or shell)")
}

/// Members in order, doubles too, which a map of serde would hide.
struct Members(Vec<(String, serde_json::Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Members, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one object of names and texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        from.deserialize_map(Object)
    }
}

fn json(text: &str, all: &mut Gathered) {
    let members = match serde_json::from_str::<Members>(text) {
        Ok(Members(members)) => members,
        Err(err) => {
            // What serde says may quote the input.
            let what = match err.classify() {
                serde_json::error::Category::Eof => "the JSON ends too early",
                serde_json::error::Category::Data => "this is not one object of names and texts",
                serde_json::error::Category::Syntax | serde_json::error::Category::Io => "this is not JSON",
            };
            return all.problem(err.line().max(1), format!("{what} (column {})", err.column()));
        }
    };
    for (name, value) in members {
        // JSON has no lines of its own: the line of the first place where the name stands as a key.
        let line = text
            .find(&format!("\"{name}\""))
            .map_or(1, |at| text.get(..at).unwrap_or_default().matches('\n').count() + 1);
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(yes) => yes.to_string(),
            serde_json::Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            serde_json::Value::Number(_)
            | serde_json::Value::Null
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => {
                let named =
                    name.parse::<VarName>().map_or_else(|_| "a value".to_owned(), |n| format!("the value of {n}"));
                all.problem(line, format!("{named} is neither a text, a whole number nor true or false"));
                continue;
            }
        };
        all.add(Assigned { line, name, value });
    }
}
