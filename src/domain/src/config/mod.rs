//! Config vars: the change that a command asks for, applied to the vars there are, with limits.
//!
//! Invariant: no refusal and no description holds a value. Absent: when a change counts, which the server decides.

mod dotenv;
mod file;
mod gathered;
mod references;
mod shell;
#[cfg(test)]
mod tests;
mod vars;

pub use file::{FILE_MAX, FileFormat, detect, parse, render};
pub use references::{METADATA, resolve};
pub use vars::{ConfigVars, Hidden, TOTAL_MAX, VALUE_MAX, VARS_MAX};

use crate::names::VarName;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Names that a description lists before it only counts.
const NAMES_SHOWN: usize = 10;

/// What `config:set`, `config:unset` and `config:import` ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ConfigChange {
    /// Set to these values.
    pub set: BTreeMap<VarName, Secret<String>>,
    /// Removed.
    pub unset: BTreeSet<VarName>,
    /// Whether all that is not set goes.
    #[serde(default)]
    pub replace: bool,
    /// What stays nevertheless.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keep: BTreeSet<VarName>,
    /// Whether what is set is never shown again.
    #[serde(default)]
    pub secret: bool,
}

/// Reads one `NAME=VALUE` word.
pub fn assignment(word: &str) -> Result<(VarName, Secret<String>), Refusal> {
    let (name, value) = word.split_once('=').ok_or_else(|| {
        let shown: String = word.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Refusal::new(Code::BadAssignment, format!("\"{shown}\" is not NAME=VALUE"))
            .why("a value with spaces needs quotes for both shells")
            .next("ssh … config:set APP \"NAME='a value'\"")
            .next("ssh … config:set APP --stdin NAME < FILE")
    })?;
    let name: VarName = name.parse()?;
    Ok((name, Secret::new(value.to_owned())))
}

impl ConfigChange {
    /// The vars after this change, or why it cannot be.
    pub fn apply(&self, old: &ConfigVars) -> Result<ConfigVars, Refusal> {
        let mut new = old.clone();
        new.retain(|name, _| !self.replace || self.keep.contains(name));
        for name in &self.unset {
            new.remove(name);
        }
        for (name, value) in &self.set {
            check_one(name, value.reveal())?;
            new.insert(name.clone(), value.clone());
        }
        let total: usize = new.iter().map(|(n, v)| n.as_str().len() + v.reveal().len()).sum();
        if total > TOTAL_MAX || new.len() > VARS_MAX {
            return Err(Refusal::new(
                Code::ConfigTooLarge,
                format!("{} config vars with {total} bytes are too many", new.len()),
            )
            .why(format!("at most {VARS_MAX} vars and {TOTAL_MAX} bytes in all"))
            .next("keep large data in a file of the app or a database"));
        }
        references::check(&new)?;
        Ok(new)
    }

    /// Which of the vars after this change are never shown again. One that is stays so with a new value; only unset it is not.
    pub fn hidden(&self, before: &Hidden, old: &ConfigVars, new: &ConfigVars, now: Timestamp) -> Hidden {
        let since = |name: &VarName| {
            let known = before.get(name).copied();
            let made = self.secret && self.set.contains_key(name);
            match known {
                Some(since) if old.get(name) == new.get(name) => Some(since),
                Some(_) => Some(now),
                None => made.then_some(now),
            }
        };
        new.keys().filter_map(|name| Some((name.clone(), since(name)?))).collect()
    }

    /// `Set config vars A, B`, `Unset config var C`; names only, for release descriptions.
    pub fn describe(&self) -> String {
        let (set, unset) = (listed(self.set.keys()), listed(self.unset.iter()));
        match (self.replace, self.set.is_empty(), self.unset.is_empty()) {
            (true, false, _) => format!("Replace all config vars by {set}"),
            (true, true, _) => "Remove all config vars".to_owned(),
            (false, false, true) => format!("Set {} {set}", vars(self.set.len())),
            (false, true, false) => format!("Unset {} {unset}", vars(self.unset.len())),
            (false, false, false) => {
                format!("Set {} {set}, unset {unset}", vars(self.set.len()))
            }
            (false, true, true) => "Start with the current config vars".to_owned(),
        }
    }

    /// What is allowed and rarely meant.
    pub fn warnings(&self) -> Vec<String> {
        let risky = |name: &&VarName| matches!(name.as_str(), "PATH" | "HOME" | "LD_PRELOAD" | "LD_LIBRARY_PATH");
        let warn = |name: &VarName| format!("{name} replaces the image's own: the app may not find its programs");
        self.set.keys().filter(risky).map(warn).collect()
    }
}

/// What differs between two sets of vars: names only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Only in the new ones.
    pub added: Vec<VarName>,
    /// In both, with different values.
    pub changed: Vec<VarName>,
    /// Only in the old ones.
    pub removed: Vec<VarName>,
    /// In both, shown so far and never again.
    pub hidden: Vec<VarName>,
}

impl Diff {
    /// From the old to the new.
    pub fn of(old: &ConfigVars, new: &ConfigVars) -> Diff {
        let names = |of: &ConfigVars, keep: &dyn Fn(&VarName, &Secret<String>) -> bool| {
            of.iter().filter(|(n, v)| keep(n, v)).map(|(n, _)| n.clone()).collect()
        };
        Diff {
            added: names(new, &|n, _| !old.contains_key(n)),
            changed: names(new, &|n, v| old.get(n).is_some_and(|o| o != v)),
            removed: names(old, &|n, _| !new.contains_key(n)),
            hidden: Vec::new(),
        }
    }

    /// The same with those of both that are not shown any more.
    #[must_use]
    pub fn with_hidden(mut self, old: &Hidden, new: &Hidden) -> Diff {
        let fresh = |name: &&VarName| !old.contains_key(*name) && !self.added.contains(name);
        self.hidden = new.keys().filter(fresh).cloned().collect();
        self
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        [&self.added, &self.changed, &self.removed, &self.hidden].iter().all(|names| names.is_empty())
    }

    /// `added: A, B`, `changed: C`, `removed: D`; a line each, where there is something.
    pub fn lines(&self) -> Vec<String> {
        let all = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        all.into_iter()
            .chain([("not shown any more", &self.hidden)])
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| format!("{word}: {}", listed(names.iter())))
            .collect()
    }
}

/// `A, B, C and 12 more`.
fn vars(count: usize) -> &'static str {
    if count == 1 { "config var" } else { "config vars" }
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a VarName>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown: Vec<&str> = names.take(NAMES_SHOWN).map(VarName::as_str).collect();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn check_one(name: &VarName, value: &str) -> Result<(), Refusal> {
    let ours = name.as_str() == "PORT" || name.as_str().starts_with("HOIST_");
    if ours {
        return Err(Refusal::new(Code::ReservedVar, format!("{name} is set by the platform"))
            .next("leave it out: the app is given one; or choose another name"));
    }
    if value.len() > VALUE_MAX {
        return Err(Refusal::new(Code::ValueTooLong, format!("the value of {name} has {} bytes", value.len()))
            .why(format!("a value has at most {VALUE_MAX} bytes"))
            .next("put it into a file of the app or a database"));
    }
    if value.contains('\0') {
        return Err(Refusal::new(Code::ValueHasNul, format!("the value of {name} has a NUL byte"))
            .why("no process can have such a variable")
            .next("encode it, with base64 for example"));
    }
    Ok(())
}
