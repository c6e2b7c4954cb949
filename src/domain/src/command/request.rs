//! What was asked: a verb, its app, its arguments; and what of it may be stored.

use super::spec::{Arg, Audit, Shape, Stdin, Takes};
use super::{Verb, words};
use crate::access::{Need, Principal};
use crate::names::{AppName, VarName};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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

impl Parsed {
    /// A required argument, as text.
    pub fn one(&self, name: &str) -> Result<&str, Refusal> {
        self.maybe(name).ok_or_else(|| Refusal::new(Code::ArgumentMissing, format!("{name} is missing")))
    }

    /// An optional argument, as text.
    pub fn maybe(&self, name: &str) -> Option<&str> {
        self.many(name).first().map(String::as_str)
    }

    /// A repeated argument; empty if there was none.
    pub fn many(&self, name: &str) -> &[String] {
        self.args.get(name).map_or(&[], Vec::as_slice)
    }

    /// A required argument of a type with a grammar.
    pub fn typed<T: FromStr<Err = Refusal>>(&self, name: &str) -> Result<T, Refusal> {
        self.one(name)?.parse()
    }

    /// An optional argument of a type with a grammar.
    pub fn maybe_typed<T: FromStr<Err = Refusal>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.maybe(name).map(str::parse).transpose()
    }

    /// A repeated `NAME=VALUE` argument as config vars; the last of several of one name counts.
    pub fn vars(&self, name: &str) -> Result<BTreeMap<VarName, Secret<String>>, Refusal> {
        let split = |pair: &String| -> Result<(VarName, Secret<String>), Refusal> {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((key.parse()?, Secret::new(value.to_owned())))
        };
        self.many(name).iter().map(split).collect()
    }

    /// A repeated `KEY=VALUE` argument as text.
    pub fn pairs(&self, name: &str) -> Vec<(&str, &str)> {
        self.many(name).iter().map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
    }

    /// Whether a switch was given.
    pub fn flag(&self, long: &str) -> bool {
        self.flags.contains_key(long)
    }

    /// An option's value.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.flags.get(long)?.as_deref()
    }

    /// An option's value as a number from 1 to `most`.
    pub fn number(&self, long: &str, default: u32, most: u32) -> Result<u32, Refusal> {
        let Some(text) = self.value(long) else { return Ok(default) };
        text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
            Refusal::new(Code::BadNumber, format!("--{long} takes a number from 1 to {most}"))
                .next(format!("--{long} {default}"))
        })
    }
}

impl Request {
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
        if self.verb == Verb::Quota && self.args.flag("all") {
            return Need::Admin;
        }
        if self.fetches_lfs() {
            return Need::Read;
        }
        match self.args.maybe("USER") {
            Some(user) if about_one && Some(user) != own => Need::Admin,
            Some(_) | None => self.verb.spec().need,
        }
    }

    /// Whether a deploy key may ask this of its own app.
    pub fn deploy_key(&self) -> bool {
        self.verb.spec().deploy_key && !self.fetches_lfs()
    }

    /// Whether git-lfs wants to fetch, as `git-upload-pack` does.
    fn fetches_lfs(&self) -> bool {
        matches!(self.verb, Verb::GitLfsTransfer | Verb::GitLfsAuthenticate)
            && self.args.maybe("OPERATION") == Some("download")
    }

    /// Whether its audit row must be on disk before it runs. What only looks, at nothing that is secret, need not wait.
    pub fn audited_before(&self, principal: &Principal) -> bool {
        let spec = self.verb.spec();
        !spec.reads || !matches!(self.need(principal), Need::Anyone | Need::Read)
    }

    /// Whether it only shows something; `ps:scale` does without quantities.
    pub fn only_reads(&self) -> bool {
        self.verb.spec().reads && (self.verb != Verb::PsScale || self.args.many("TYPE=N").is_empty())
    }

    /// Whether it reads standard input.
    pub fn reads_stdin(&self) -> bool {
        match self.verb.spec().stdin {
            Stdin::Never => false,
            Stdin::Always => true,
            Stdin::WithFlag(flag) => self.args.flag(flag),
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
        Audit::Args => Some(crate::audit::cut(line(request))),
    }
}

/// The request as a line to type, secret values replaced by an ellipsis.
fn line(request: &Request) -> String {
    let spec = request.verb.spec();
    let mut out = vec![spec.name.to_owned()];
    out.extend(request.app.as_ref().map(ToString::to_string));
    let (command, args): (Vec<&Arg>, Vec<&Arg>) = spec.args.iter().partition(|arg| arg.shape == Shape::Command);
    for arg in args {
        for word in request.args.many(arg.name) {
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
        for pair in request.args.many(flag.long) {
            let name = pair.split('=').next().unwrap_or_default();
            out.push(format!("--{} {}=…", flag.long, words::quote(name)));
        }
    }
    for word in command.iter().flat_map(|arg| request.args.many(arg.name).iter().enumerate()) {
        if word.0 == 0 {
            out.push("--".to_owned());
        }
        out.push(words::quote(word.1));
    }
    out.join(" ")
}
