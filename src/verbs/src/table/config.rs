//! Rows about config vars.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::VarName;
use domain::access::Need;
use domain::config::FileFormat;

const NO_RESTART: Flag = switch("no-restart", None, "Only store: the next release has it, what runs goes on as it is");

const SECRET: Flag = switch("secret", None, "Never show these values again: only that they are there, and since when");

arguments! {
    /// What `config` takes.
    Config {
        switch shell = switch("shell", Some('s'), "As NAME='value' lines that a shell reads");
    }
}

pub(super) const ALL: Spec = Spec {
    verb: Verb::Config,
    name: "config",
    aliases: &["config:show", "config:list"],
    app: AppArg::Required,
    flags: Config::FLAGS,
    need: Need::Manage,
    audit: Audit::Verb,
    reads: true,
    summary: "List an app's config vars with their values",
    help: "Of a secret one (config:set --secret) only since when it has its value; in JSON null.",
    examples: &["config blog", "config blog --shell", "config blog --format json"],
    group: Group::Config,
    ..BASE
};

arguments! {
    /// What `config:set` takes.
    ConfigSet {
        vars set = Arg {
        name: "NAME=VALUE",
        required: false,
        repeated: true,
        shape: Shape::SecretPair,
        help: "A config var and its value",
    };
        value stdin: VarName = valued("stdin", None, "NAME", "Take this var's value from standard input, less one newline at its end");
        switch secret = SECRET;
        switch no_restart = NO_RESTART;
    }
}

pub(super) const SET: Spec = Spec {
    verb: Verb::ConfigSet,
    name: "config:set",
    aliases: &["config:add", "env:set"],
    app: AppArg::Required,
    args: ConfigSet::ARGS,
    flags: ConfigSet::FLAGS,
    need: Need::Manage,
    stdin: Stdin::WithFlag("stdin"),
    summary: "Set config vars; makes a release and deploys it",
    help: "All vars of one command make one release, which runs the image that is there. If it does not become ready, the \
           old values come back and the command fails. The line is read by two shells, yours and the server's: quote values \
           with spaces for both. ${{NAME}} in a value stands for another config var or for what the platform knows, such as \
           ${{HOIST_DOMAIN}}; $${{ is that text itself. What was set with --secret stays secret with a new value, and by \
           rollback; config:unset ends it. The app has it like any other: whoever may change the app may run code that reads it.",
    examples: &[
        "config:set blog LOG_LEVEL=debug",
        "config:set blog \"GREETING='hello world'\" LIMIT=20",
        "config:set blog --stdin TLS_KEY < key.pem",
        "config:set blog --secret --stdin API_TOKEN < token.txt",
        "config:set blog 'HOME_URL=https://${{HOIST_DOMAIN}}/'",
    ],
    group: Group::Config,
    ..BASE
};

arguments! {
    /// What `config:get` takes.
    ConfigGet {
        one name: VarName = required("NAME", "The config var");
    }
}

pub(super) const GET: Spec = Spec {
    verb: Verb::ConfigGet,
    name: "config:get",
    aliases: &["env:get"],
    app: AppArg::Required,
    args: ConfigGet::ARGS,
    need: Need::Manage,
    reads: true,
    summary: "Print the value of one config var",
    examples: &["config:get blog LOG_LEVEL"],
    group: Group::Config,
    ..BASE
};

arguments! {
    /// What `config:unset` takes.
    ConfigUnset {
        many names: VarName = some("NAME", Shape::Word, "A config var");
        switch no_restart = NO_RESTART;
    }
}

pub(super) const UNSET: Spec = Spec {
    verb: Verb::ConfigUnset,
    name: "config:unset",
    aliases: &["config:remove", "config:rm", "config:delete", "env:unset"],
    takes_away: true,
    app: AppArg::Required,
    args: ConfigUnset::ARGS,
    flags: ConfigUnset::FLAGS,
    need: Need::Manage,
    summary: "Remove config vars; makes a release and deploys it",
    examples: &["config:unset blog LOG_LEVEL LIMIT"],
    group: Group::Config,
    ..BASE
};

arguments! {
    /// What `config:import` takes.
    ConfigImport {
        value format: FileFormat = valued("format", None, "dotenv|json|shell", "How the input is written; found out where it is not given");
        switch replace = switch("replace", None, "Remove the config vars that are not in the input, but for secret ones");
        switch secret = SECRET;
        switch no_restart = NO_RESTART;
    }
}

pub(super) const IMPORT: Spec = Spec {
    verb: Verb::ConfigImport,
    name: "config:import",
    aliases: &["env:import"],
    app: AppArg::Required,
    flags: ConfigImport::FLAGS,
    need: Need::Manage,
    stdin: Stdin::Always,
    summary: "Set config vars from a file on standard input; one release",
    help: "All or nothing: every mistake is listed with its line, and nothing changes if there is one. dotenv is what .env \
           files hold: comments, quotes, values of several lines. In shell lines nothing is expanded; what a shell would \
           expand is refused. ${{NAME}} is a reference, as in config:set.",
    examples: &[
        "config:import blog < .env",
        "config:import blog --replace --format json < vars.json",
        "config:import blog --no-restart < .env",
    ],
    group: Group::Config,
    ..BASE
};

arguments! {
    /// What `config:export` takes.
    ConfigExport {
        value format: FileFormat = valued("format", None, "dotenv|json|shell", "How to write them (dotenv)");
    }
}

pub(super) const EXPORT: Spec = Spec {
    verb: Verb::ConfigExport,
    name: "config:export",
    aliases: &["env:export"],
    app: AppArg::Required,
    flags: ConfigExport::FLAGS,
    need: Need::Manage,
    summary: "Print the config vars as a file that config:import reads back; secret ones are left out",
    examples: &["config:export blog", "config:export blog --format json", "config:export blog --format shell"],
    group: Group::Config,
    ..BASE
};
