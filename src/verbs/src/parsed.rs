//! The words of a request, matched to the rows of its verb, and how each is read as its type.

use crate::spec::{Arg, Flag};
use domain::config::{ConfigVars, FileFormat};
use domain::refusal::Code;
use domain::{AppName, Commit, Hostname, ProcessType, Refusal, ReleaseNumber, Secret, UserName, VarName};
use std::collections::BTreeMap;
use std::fmt;

/// What one word can be read as: any type with a grammar of its own, or the text itself.
pub trait Word: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// The refusal of the type's grammar.
    fn word(text: &str) -> Result<Self, Refusal>;
}

/// Types with a grammar that arguments have.
macro_rules! grammars {
    ($($type:ty),*) => {
        $(impl Word for $type {
            fn word(text: &str) -> Result<$type, Refusal> {
                text.parse()
            }
        })*
    };
}
grammars!(AppName, Commit, FileFormat, Hostname, ProcessType, ReleaseNumber, UserName, VarName);

impl Word for String {
    fn word(text: &str) -> Result<String, Refusal> {
        Ok(text.to_owned())
    }
}

/// Arguments by their names in the table; options by their long names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    pub(crate) args: BTreeMap<&'static str, Vec<String>>,
    pub(crate) flags: BTreeMap<&'static str, Option<String>>,
}

/// One reading for each kind of field that [`crate::arguments::arguments!`] knows; what is asked for is the row itself.
impl Parsed {
    /// The words of an argument as they were typed.
    pub(crate) fn raw(&self, name: &str) -> &[String] {
        self.args.get(name).map_or(&[], Vec::as_slice)
    }

    /// An option's value as it was typed.
    pub(crate) fn raw_value(&self, long: &str) -> Option<&str> {
        self.flags.get(long)?.as_deref()
    }

    /// Whether an option is there.
    pub(crate) fn given(&self, long: &str) -> bool {
        self.flags.contains_key(long)
    }

    pub(crate) fn one<T: Word>(&self, row: Arg) -> Result<T, Refusal> {
        self.maybe(row)?.ok_or_else(|| Refusal::new(Code::ArgumentMissing, format!("{} is missing", row.name)))
    }

    pub(crate) fn maybe<T: Word>(&self, row: Arg) -> Result<Option<T>, Refusal> {
        self.raw(row.name).first().map(|text| T::word(text)).transpose()
    }

    pub(crate) fn many<T: Word>(&self, row: Arg) -> Result<Vec<T>, Refusal> {
        self.raw(row.name).iter().map(|text| T::word(text)).collect()
    }

    /// The last of several of one name counts.
    pub(crate) fn vars(&self, row: Arg) -> Result<ConfigVars, Refusal> {
        config_vars(self.raw(row.name))
    }

    pub(crate) fn env(&self, row: Flag) -> Result<ConfigVars, Refusal> {
        config_vars(self.raw(row.long))
    }

    pub(crate) fn pairs(&self, row: Arg) -> Result<Vec<(String, String)>, Refusal> {
        let split = |pair: &String| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        };
        Ok(self.raw(row.name).iter().map(split).collect())
    }

    pub(crate) fn switch(&self, row: Flag) -> Result<bool, Refusal> {
        Ok(self.given(row.long))
    }

    pub(crate) fn value<T: Word>(&self, row: Flag) -> Result<Option<T>, Refusal> {
        self.raw_value(row.long).map(T::word).transpose()
    }

    pub(crate) fn number(&self, (row, usual, most): (Flag, u32, u32)) -> Result<u32, Refusal> {
        number(row.long, self.raw_value(row.long), usual, most)
    }
}

/// An option's value as a number from 1 to `most`; `usual` if it is left out.
///
/// # Errors
/// What is no such number.
pub fn number(long: &str, typed: Option<&str>, usual: u32, most: u32) -> Result<u32, Refusal> {
    let Some(text) = typed else { return Ok(usual) };
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
        Refusal::new(Code::BadNumber, format!("--{long} takes a number from 1 to {most}"))
            .next(format!("--{long} {usual}"))
    })
}

fn config_vars(pairs: &[String]) -> Result<ConfigVars, Refusal> {
    let split = |pair: &String| -> Result<(VarName, Secret<String>), Refusal> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((key.parse()?, Secret::new(value.to_owned())))
    };
    pairs.iter().map(split).collect()
}

impl fmt::Debug for Parsed {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.args.keys()).entries(self.flags.keys()).finish()
    }
}
