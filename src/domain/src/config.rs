//! Config vars: the change that a command asks for, applied to the vars there are, with limits.

use crate::names::VarName;
use crate::refusal::Refusal;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All config vars of an app, in order of name.
pub type ConfigVars = BTreeMap<VarName, Secret<String>>;

/// Bytes of one value. The kernel takes at most 128 KiB for one variable of a process's environment.
pub const VALUE_MAX: usize = 64 * 1024;
/// Bytes of all names and values together.
pub const TOTAL_MAX: usize = 512 * 1024;
/// Number of config vars.
pub const VARS_MAX: usize = 1_000;

/// What `config:set` and `config:unset` ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ConfigChange {
    /// Set to these values.
    pub set: BTreeMap<VarName, Secret<String>>,
    /// Removed.
    pub unset: BTreeSet<VarName>,
}

/// Reads one `NAME=VALUE` word.
pub fn assignment(word: &str) -> Result<(VarName, Secret<String>), Refusal> {
    let (name, value) = word.split_once('=').ok_or_else(|| {
        let shown: String = word.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Refusal::new("bad-assignment", format!("\"{shown}\" is not NAME=VALUE"))
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
                "config-too-large",
                format!("{} config vars with {total} bytes are too many", new.len()),
            )
            .why(format!("at most {VARS_MAX} vars and {TOTAL_MAX} bytes in all"))
            .next("keep large data in a file of the app or a database"));
        }
        Ok(new)
    }

    /// `Set A, B config vars`, `Unset C config vars`; names only, for release descriptions.
    pub fn describe(&self) -> String {
        let list = |names: Vec<&str>| names.join(", ");
        let set = list(self.set.keys().map(VarName::as_str).collect());
        let unset = list(self.unset.iter().map(VarName::as_str).collect());
        match (set.is_empty(), unset.is_empty()) {
            (false, true) => format!("Set {set} config vars"),
            (true, false) => format!("Unset {unset} config vars"),
            (false, false) => format!("Set {set}, unset {unset} config vars"),
            (true, true) => "Start with the current config vars".to_owned(),
        }
    }
}

fn check_one(name: &VarName, value: &str) -> Result<(), Refusal> {
    let ours = name.as_str() == "PORT" || name.as_str().starts_with("HOIST_");
    if ours {
        return Err(Refusal::new("reserved-var", format!("{name} is set by the platform")).next("choose another name"));
    }
    if value.len() > VALUE_MAX {
        return Err(Refusal::new("value-too-long", format!("the value of {name} has {} bytes", value.len()))
            .why(format!("a value has at most {VALUE_MAX} bytes")));
    }
    if value.contains('\0') {
        return Err(Refusal::new("value-has-nul", format!("the value of {name} has a NUL byte"))
            .why("no process can have such a variable")
            .next("encode it, with base64 for example"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let mut change = ConfigChange::default();
        let (name, value) = assignment("A=b = c\n\"d\"").unwrap();
        change.set.insert(name, value);
        let vars = change.apply(&ConfigVars::new()).unwrap();
        assert_eq!(vars.values().next().unwrap().reveal(), "b = c\n\"d\"");
        assert_eq!(change.describe(), "Set A config vars");
        let gone = ConfigChange { unset: ["A".parse().unwrap()].into(), ..ConfigChange::default() };
        assert!(gone.apply(&vars).unwrap().is_empty());
        assert_eq!(format!("{vars:?}"), "{VarName(\"A\"): <secret>}");
    }

    #[test]
    fn refusals() {
        for (word, code) in [
            ("A", "bad-assignment"),
            ("1A=x", "bad-var-name"),
            ("=x", "bad-var-name"),
            ("PORT=1", "reserved-var"),
            ("HOIST_X=1", "reserved-var"),
            ("A=a\0b", "value-has-nul"),
        ] {
            let got = assignment(word).and_then(|(name, value)| {
                ConfigChange { set: [(name, value)].into(), ..ConfigChange::default() }.apply(&ConfigVars::new())
            });
            assert_eq!(got.unwrap_err().code, code, "{word:?}");
        }
        let long = format!("A={}", "x".repeat(VALUE_MAX + 1));
        let (name, value) = assignment(&long).unwrap();
        let change = ConfigChange { set: [(name, value)].into(), ..ConfigChange::default() };
        assert_eq!(change.apply(&ConfigVars::new()).unwrap_err().code, "value-too-long");
    }
}
