//! What was asked: a verb, its app, its arguments; and what of it may be stored.

use super::spec::{Arg, Audit, Flag, Shape, Stdin, Takes};
use crate::arguments::{Arguments, Word};
use crate::verb::Verb;
use domain::access::{Need, Principal};
use domain::config::ConfigVars;
use domain::names::{AppName, VarName};
use domain::refusal::Code;
use domain::refusal::Refusal;
use domain::secret::Secret;
use domain::words;
use std::collections::BTreeMap;
use std::fmt;

/// A command, understood but not yet allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The verb.
    pub verb: Verb,
    /// The app it names.
    pub app: Option<AppName>,
    /// Arguments and options.
    pub args: Parsed,
    /// How a reading verb answers.
    pub format: Format,
}

/// How a reading verb answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Arguments by their names in the table; options by their long names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    pub(super) args: BTreeMap<&'static str, Vec<String>>,
    pub(super) flags: BTreeMap<&'static str, Option<String>>,
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

impl Request {
    /// What its verb takes, read.
    ///
    /// # Errors
    /// A word that is none of its type's.
    pub fn arguments<A: Arguments>(&self) -> Result<A, Refusal> {
        A::read(&self.args)
    }

    /// What this request needs: the verb's need, and an administrator where it touches somebody else's keys or
    /// quota.
    pub fn need(&self, principal: &Principal) -> Need {
        let own = match principal {
            Principal::Local | Principal::DeployKey { .. } => None,
            Principal::User { name, .. } => Some(name.as_str()),
        };
        let about_one = matches!(self.verb, Verb::KeysAdd | Verb::KeysList | Verb::KeysRemove | Verb::Quota);
        if self.verb == Verb::DomainsList && self.app.is_none() {
            // Without an app it lists everybody's.
            return Need::Admin;
        }
        if self.verb == Verb::Quota && self.args.given("all") {
            return Need::Admin;
        }
        match self.args.raw("USER").first() {
            Some(user) if about_one && Some(user.as_str()) != own => Need::Admin,
            Some(_) | None => self.verb.spec().need,
        }
    }

    /// Whether its audit row must be on disk before it runs. What only looks, at nothing that is secret, need not wait.
    pub fn audited_before(&self, principal: &Principal) -> bool {
        let spec = self.verb.spec();
        !spec.reads || !matches!(self.need(principal), Need::Anyone | Need::Read)
    }

    /// Whether it only shows something; `ps:scale` does without quantities.
    pub fn only_reads(&self) -> bool {
        self.verb.spec().reads && (self.verb != Verb::PsScale || self.args.raw("TYPE=N").is_empty())
    }

    /// Whether it reads standard input.
    pub fn reads_stdin(&self) -> bool {
        match self.verb.spec().stdin {
            Stdin::Never => false,
            Stdin::Always => true,
            Stdin::WithFlag(flag) => self.args.given(flag),
        }
    }
}

impl fmt::Debug for Request {
    /// The request without secret values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(self))
    }
}

impl fmt::Debug for Parsed {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.args.keys()).entries(self.flags.keys()).finish()
    }
}

/// What the audit row stores; `None` where the verb leaves no row. Values of config vars are never in it, and of a long line
/// only the beginning.
pub fn audit_line(request: &Request) -> Option<String> {
    match request.verb.spec().audit {
        Audit::None => None,
        Audit::Verb => Some(request.verb.name().to_owned()),
        Audit::Args => Some(domain::audit::cut(line(request))),
    }
}

/// The request as a line to type, secret values replaced by an ellipsis.
fn line(request: &Request) -> String {
    let spec = request.verb.spec();
    let mut out = vec![spec.name.to_owned()];
    out.extend(request.app.as_ref().map(ToString::to_string));
    let (command, args): (Vec<&Arg>, Vec<&Arg>) = spec.args.iter().partition(|arg| arg.shape == Shape::Command);
    for arg in args {
        for word in request.args.raw(arg.name) {
            out.push(match (arg.shape, word.split_once('=')) {
                (Shape::SecretPair, Some((name, _))) => format!("{}=…", words::quote(name)),
                (Shape::SecretPair, None) => "…".to_owned(),
                (Shape::Word | Shape::Pair | Shape::Command, _) => words::quote(word),
            });
        }
    }
    for (flag, value) in &request.args.flags {
        out.push(format!("--{flag}"));
        out.extend(value.as_deref().map(words::quote));
    }
    for flag in spec.flags.iter().filter(|flag| flag.takes == Takes::SecretPairs) {
        for pair in request.args.raw(flag.long) {
            let name = pair.split('=').next().unwrap_or_default();
            out.push(format!("--{} {}=…", flag.long, words::quote(name)));
        }
    }
    for word in command.iter().flat_map(|arg| request.args.raw(arg.name).iter().enumerate()) {
        if word.0 == 0 {
            out.push("--".to_owned());
        }
        out.push(words::quote(word.1));
    }
    out.join(" ")
}
