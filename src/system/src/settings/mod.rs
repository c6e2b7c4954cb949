//! The configuration: flags over `HOIST_*` variables over a TOML file, read in one pass, all mistakes reported at once. What
//! there is to set is `table.rs`.

mod grammar;
mod table;

pub use table::{KEYS, Settings};

use domain::audit::Keep;
use domain::quota::{Limits, What};
use grammar::Grammar;
pub use grammar::RouterMode;
use log_format::budget::Budget;
use std::collections::BTreeMap;

/// A row of the table, for those who show it: its name as a flag and in the file; `HOIST_` and upper case as a variable.
#[derive(Debug, Clone)]
pub struct Key {
    /// `base-domain`.
    pub name: &'static str,
    /// What it takes, in a word.
    pub value: &'static str,
    /// What it takes, as it is told to those who set something else.
    pub takes: String,
    /// What a bare number of it counts, such as `MB`.
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// How docs/operations.md goes on after it.
    pub more: &'static str,
    /// Its default as text; empty: none.
    pub default: &'static str,
    /// What it is without one, in words.
    pub unless: &'static str,
    /// A value that it takes.
    pub example: &'static str,
}

/// Mistakes: where the value came from and why it is wrong.
pub type Mistakes = Vec<String>;

/// The raw values, and where each came from.
#[derive(Debug, Default)]
pub struct Raw {
    values: BTreeMap<&'static str, (String, String)>,
}

impl Raw {
    /// Merges the three sources; unknown keys of the file are mistakes.
    pub fn merge(
        flags: &BTreeMap<String, String>,
        variable: impl Fn(&str) -> Option<String>,
        file: Option<(&str, &str)>,
    ) -> (Raw, Mistakes) {
        let mut mistakes = Vec::new();
        let mut raw = Raw::default();
        if let Some((path, text)) = file {
            match text.parse::<toml::Table>() {
                Ok(table) => raw.take_file(path, table, &mut mistakes),
                Err(err) => mistakes.push(format!("{path}: {}", err.message())),
            }
        }
        for key in KEYS.iter() {
            let name = variable_of(key.name);
            if let Some(value) = variable(&name) {
                raw.values.insert(key.name, (value, name));
            }
            if let Some(value) = flags.get(key.name) {
                raw.values.insert(key.name, (value.clone(), format!("--{}", key.name)));
            }
        }
        (raw, mistakes)
    }

    fn take_file(&mut self, path: &str, table: toml::Table, mistakes: &mut Mistakes) {
        for (name, value) in table {
            let known = KEYS.iter().find(|k| k.name == name || k.name.replace('-', "_") == name);
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(yes) => if yes { "yes" } else { "no" }.to_owned(),
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    mistakes.push(format!("{path}: {name} must be text, a number or true/false"));
                    continue;
                }
            };
            match known {
                Some(key) => {
                    self.values.insert(key.name, (text, format!("{path}: {}", key.name)));
                }
                None => mistakes.push(format!("{path}: there is no setting {name}{}", nearest("", &name))),
            }
        }
    }

    /// The value that was given, or the default; what is wrong with it is a mistake.
    fn parsed<G: Grammar>(
        &self,
        name: &'static str,
        (usual, needed): (&str, &str),
        grammar: &G,
        mistakes: &mut Mistakes,
    ) -> Option<G::Value> {
        let (value, place) = match self.values.get(name) {
            Some((value, place)) => (value.as_str(), place.as_str()),
            None if !usual.is_empty() => (usual, "default"),
            None if needed.is_empty() => return None,
            None => {
                mistakes.push(format!("--{name} {} is missing (or {})", grammar.word(), variable_of(name)));
                return None;
            }
        };
        let read = grammar.read(value);
        read.map_err(|why| mistakes.push(format!("{place}=\"{value}\" is not valid: {why}"))).ok()
    }
}

/// The variable of a setting: `HOIST_BASE_DOMAIN` of `base-domain`.
fn variable_of(name: &str) -> String {
    format!("HOIST_{}", name.replace('-', "_").to_uppercase())
}

/// What was meant by a name that is none, with what stands before it where it was found; empty: nothing is near.
pub fn nearest(before: &str, name: &str) -> String {
    let meant = domain::text::did_you_mean(&name.replace('_', "-"), KEYS.iter().map(|key| key.name));
    meant.first().map(|meant| format!("; did you mean {before}{meant}?")).unwrap_or_default()
}

/// What several settings are together.
impl Settings {
    /// What the router takes of whom.
    pub fn visitors(&self) -> Visitors {
        Visitors {
            trusted: self.trusted_proxies.clone(),
            connections: self.http_connections,
            per_source: self.http_per_source,
            requests: self.http_requests_per_source,
            request_line: self.http_request_line,
            request_head: self.http_request_head,
            answer_head: self.http_answer_head,
            fields: self.http_header_fields,
        }
    }

    /// What one user may have, unless an administrator gives them more or less.
    pub fn quotas(&self) -> Limits {
        Limits::from([
            (What::Apps, self.user_apps),
            (What::Instances, self.user_instances),
            (What::Memory, self.user_memory),
            (What::Processors, self.user_cpu),
            (What::Disk, self.user_disk),
            (What::Builds, self.user_builds),
            (What::Sessions, Some(self.sessions_per_user)),
            (What::Commands, Some(self.commands_per_user)),
            (What::Pushes, Some(self.pushes_per_user)),
        ])
    }

    /// Which audit rows are kept.
    pub fn audit_keep(&self) -> Keep {
        Keep { days: u32::try_from(self.audit_days).unwrap_or(u32::MAX), rows: self.audit_rows }
    }

    /// What logs may use on the disk.
    pub fn logs(&self) -> Budget {
        Budget { app: self.logs_app, total: self.logs_total }
    }
}

/// What the router takes of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitors {
    /// The proxies in front of it.
    pub trusted: Vec<router::Network>,
    /// Client connections.
    pub connections: u64,
    /// The same of one source.
    pub per_source: u64,
    /// Requests of one source at once.
    pub requests: u64,
    /// Bytes of a request's first line, or of a header line.
    pub request_line: u64,
    /// Bytes of a request's head.
    pub request_head: u64,
    /// Bytes of the head of an app's answer.
    pub answer_head: u64,
    /// Header fields of either.
    pub fields: u64,
}

impl Visitors {
    /// How large a request's head may be.
    pub fn of_request(&self) -> router::HeadLimits {
        let line = size(self.request_line);
        let (fields, head) = (size(self.fields), size(self.request_head));
        router::HeadLimits { first_line: line, field_line: line, fields, head }
    }

    /// The same of an app's answer, of which one line may take all.
    pub fn of_answer(&self) -> router::HeadLimits {
        let head = size(self.answer_head);
        router::HeadLimits { field_line: head, fields: size(self.fields), head, ..router::HeadLimits::RESPONSE }
    }

    /// The flags of a router that is to have these.
    pub fn flags(&self) -> Vec<String> {
        let numbers = [
            ("http-request-line", self.request_line),
            ("http-request-head", self.request_head),
            ("http-answer-head", self.answer_head),
            ("http-header-fields", self.fields),
            ("http-connections", self.connections),
            ("http-per-source", self.per_source),
            ("http-requests-per-source", self.requests),
        ];
        let mut flags: Vec<String> = numbers.iter().map(|(name, n)| format!("--{name}={n}")).collect();
        if !self.trusted.is_empty() {
            let networks: Vec<String> = self.trusted.iter().map(ToString::to_string).collect();
            flags.push(format!("--trusted-proxies={}", networks.join(",")));
        }
        flags
    }
}

/// The name of a user of this host that is not root.
///
/// # Errors
/// What it should be, in words.
pub fn host_user(value: &str) -> Result<String, String> {
    grammar::shared_user().read(value)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
