//! What a row of the command table says: one [`Spec`] per verb. Parser, help, documentation and audit derive from it.

use crate::verb::Verb;
use domain::access::Need;

/// One verb, declared once.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The verb.
    pub verb: Verb,
    /// Its name: `config:set`.
    pub name: &'static str,
    /// Other platforms' words for it; ours is printed.
    pub aliases: &'static [&'static str],
    /// How it names an app.
    pub app: AppArg,
    /// The arguments after the app: required ones first, a repeated one last.
    pub args: &'static [Arg],
    /// Its own options; `--app`, `--format` and `--help` are added where they apply.
    pub flags: &'static [Flag],
    /// What it needs.
    pub need: Need,
    /// Whether a deploy key may use it, for its own app.
    pub deploy_key: bool,
    /// What its audit row stores.
    pub audit: Audit,
    /// Whether it answers with data: then it takes `--format text|json`.
    pub reads: bool,
    /// Whether git speaks its protocol over the command's streams.
    pub git: bool,
    /// When it reads standard input.
    pub stdin: Stdin,
    /// Whether it ends or takes away something: then it is never a guess at what was meant.
    pub takes_away: bool,
    /// One line.
    pub summary: &'static str,
    /// A paragraph, or nothing where the summary says it all.
    pub help: &'static str,
    /// A table for its help that another module has: what is typed, and what it is.
    pub more: fn() -> Vec<(String, String)>,
    /// Commands that work as written, given the app.
    pub examples: &'static [&'static str],
    /// Its section in help.
    pub group: Group,
}

/// How a verb names an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppArg {
    /// It is not about an app.
    None,
    /// First argument, or `-a APP`.
    Required,
    /// First argument or `-a APP`, or no app at all.
    Optional,
    /// git's path: optional `/`, the app's name, optional `.git`; exactly one word.
    GitPath,
}

/// A positional argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// Name in usage lines, in capitals; also the key for [`super::Parsed`].
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// Whether more may follow.
    pub repeated: bool,
    /// How it is written.
    pub shape: Shape,
    /// One line.
    pub help: &'static str,
}

/// How an argument is written, as far as the parser looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Any word.
    Word,
    /// `NAME=VALUE`, where the audit row keeps the value.
    Pair,
    /// `NAME=VALUE`, where the value is secret.
    SecretPair,
    /// A command of the user's own: from its first word on nothing is an option.
    Command,
}

/// An option.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// `tail` for `--tail`; also the key for [`super::Parsed`].
    pub long: &'static str,
    /// `t` for `-t`.
    pub short: Option<char>,
    /// What it takes.
    pub takes: Takes,
    /// One line.
    pub help: &'static str,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    /// A value, shown by this name.
    Value(&'static str),
    /// The app's name again; without it the verb is refused.
    Confirmation,
    /// `NAME=VALUE` with a secret value, any number of times; in [`super::Parsed`] an argument by the option's name.
    SecretPairs,
}

/// What the audit row of a verb stores. The app and the principal are columns of their own, always stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// No row: it tells only about the asker or the program.
    None,
    /// The verb's name.
    Verb,
    /// The verb and its arguments and options; values of [`Shape::SecretPair`] are left out.
    Args,
}

/// When a verb reads standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// Never.
    Never,
    /// Always.
    Always,
    /// If this option is given.
    WithFlag(&'static str),
}

/// Sections of help, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Apps.
    Apps,
    /// Domains and the web.
    Web,
    /// Config vars.
    Config,
    /// Processes and logs.
    Processes,
    /// Releases and builds.
    Releases,
    /// Keys, users, sharing.
    People,
    /// The server itself.
    Server,
    /// What git calls.
    Git,
}

impl Group {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Group::Apps => "Apps",
            Group::Web => "Domains and the web",
            Group::Config => "Config vars",
            Group::Processes => "Processes and logs",
            Group::Releases => "Releases and builds",
            Group::People => "Keys, users, sharing",
            Group::Server => "Server",
            Group::Git => "Called by git",
        }
    }
}

impl Spec {
    /// `config:set APP NAME=VALUE… [--stdin NAME]`.
    pub fn usage(&self) -> String {
        let mut line = self.name.to_owned();
        match self.app {
            AppArg::None => {}
            AppArg::Required | AppArg::GitPath => line.push_str(" APP"),
            AppArg::Optional => line.push_str(" [APP]"),
        }
        let (mut args, mut command): (Vec<&Arg>, Vec<&Arg>) = (self.args.iter().collect(), Vec::new());
        if self.takes_command() {
            // After the options, for they may not follow it.
            command.extend(args.pop());
        }
        for arg in args {
            let dots = if arg.repeated { "…" } else { "" };
            let name = arg.name;
            line.push_str(&if arg.required { format!(" {name}{dots}") } else { format!(" [{name}{dots}]") });
        }
        for flag in self.flags {
            line.push_str(&match flag.takes {
                Takes::Nothing => format!(" [--{}]", flag.long),
                Takes::Value(value) => format!(" [--{} {value}]", flag.long),
                Takes::Confirmation => format!(" --{} APP", flag.long),
                Takes::SecretPairs => format!(" [--{} NAME=VALUE]…", flag.long),
            });
        }
        if self.reads {
            line.push_str(" [--format json]");
        }
        for arg in command {
            line.push_str(&if arg.required {
                format!(" -- {}…", arg.name)
            } else {
                format!(" [-- {}…]", arg.name)
            });
        }
        line
    }

    /// Whether it answers `--format json`: with JSON of its own if it reads, else with what it did. What hands bytes through
    /// does not.
    pub fn answers_json(&self) -> bool {
        self.reads || !(self.git || self.takes_command())
    }

    /// Whether `--format` says how it answers; a verb may have an option of that name with a meaning of its own.
    pub fn takes_format(&self) -> bool {
        self.answers_json() && self.flag("format").is_none()
    }

    /// Whether its arguments hold values that nobody should see.
    pub fn has_secrets(&self) -> bool {
        self.args.iter().any(|arg| arg.shape == Shape::SecretPair)
    }

    /// Whether its last argument is a command of the user's own.
    pub fn takes_command(&self) -> bool {
        self.args.last().is_some_and(|arg| arg.shape == Shape::Command)
    }

    /// The option of that long name.
    pub fn flag(&self, long: &str) -> Option<&'static Flag> {
        self.flags.iter().find(|f| f.long == long)
    }
}

/// A row to start from: `Spec { verb, name, …, ..BASE }`.
pub(super) const BASE: Spec = Spec {
    verb: Verb::Help,
    name: "",
    aliases: &[],
    app: AppArg::None,
    args: &[],
    flags: &[],
    need: Need::Admin,
    deploy_key: false,
    audit: Audit::Args,
    reads: false,
    git: false,
    stdin: Stdin::Never,
    takes_away: false,
    summary: "",
    help: "",
    more: Vec::new,
    examples: &[],
    group: Group::Server,
};

pub(super) const fn required(name: &'static str, help: &'static str) -> Arg {
    Arg { name, required: true, repeated: false, shape: Shape::Word, help }
}

pub(super) const fn optional(name: &'static str, help: &'static str) -> Arg {
    Arg { name, required: false, repeated: false, shape: Shape::Word, help }
}

pub(super) const fn any_number(name: &'static str, help: &'static str) -> Arg {
    Arg { name, required: false, repeated: true, shape: Shape::Word, help }
}

pub(super) const fn some(name: &'static str, shape: Shape, help: &'static str) -> Arg {
    Arg { name, required: true, repeated: true, shape, help }
}

pub(super) const fn switch(long: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag { long, short, takes: Takes::Nothing, help }
}

pub(super) const fn valued(long: &'static str, short: Option<char>, value: &'static str, help: &'static str) -> Flag {
    Flag { long, short, takes: Takes::Value(value), help }
}
