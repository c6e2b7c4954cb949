//! What was asked: a verb, its app, its arguments; and what of it may be stored.

use super::spec::{Arg, Audit, Shape, Stdin, Takes};
use crate::arguments::Arguments;
use crate::parsed::Parsed;
use crate::verb::Verb;
use domain::access::{Need, Principal};
use domain::names::AppName;
use domain::refusal::Refusal;
use domain::words;
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

impl Request {
    /// What its verb takes, read.
    ///
    /// # Errors
    /// A word that is none of its type's.
    pub fn arguments<A: Arguments>(&self) -> Result<A, Refusal> {
        A::read(&self.args)
    }

    /// A refusal of it with steps that can be typed: an option alone becomes the whole command, and APP is the app.
    pub fn in_full(&self, mut no: Refusal) -> Refusal {
        let spec = self.verb.spec();
        let app = self.app.as_ref().map(|app| format!(" {app}")).unwrap_or_default();
        let end = match (spec.takes_command(), self.reads_stdin()) {
            (true, _) => " -- COMMAND",
            (false, true) => " < FILE",
            (false, false) => "",
        };
        for step in no.next.iter_mut().filter(|step| step.starts_with("--")) {
            *step = format!("{}{app} {step}{end}", spec.name);
        }
        match &self.app {
            Some(app) => no.for_app(app.as_str()),
            None => no,
        }
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
        if self.fetches_lfs() {
            return Need::Read;
        }
        match self.args.raw("USER").first() {
            Some(user) if about_one && Some(user.as_str()) != own => Need::Admin,
            Some(_) | None => self.verb.spec().need,
        }
    }

    /// Whether a deploy key may ask this of its own app.
    pub fn deploy_key(&self) -> bool {
        self.verb.spec().deploy_key && !self.fetches_lfs()
    }

    /// Whether git-lfs brings files, as `git-receive-pack` does.
    pub fn uploads_lfs(&self) -> bool {
        matches!(self.verb, Verb::GitLfsTransfer | Verb::GitLfsAuthenticate) && !self.fetches_lfs()
    }

    /// Whether git-lfs wants to fetch, as `git-upload-pack` does.
    fn fetches_lfs(&self) -> bool {
        matches!(self.verb, Verb::GitLfsTransfer | Verb::GitLfsAuthenticate)
            && self.args.raw("OPERATION").first().is_some_and(|word| word == "download")
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
