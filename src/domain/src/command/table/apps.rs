//! Rows about apps and their config vars.

use crate::access::Need;
use crate::command::Verb;
use crate::command::spec::*;

pub(super) const CREATE: Spec = Spec {
    verb: Verb::AppsCreate,
    name: "apps:create",
    aliases: &["create", "apps:new"],
    app: AppArg::Required,
    need: Need::CreateApp,
    summary: "Make an app",
    help: "Not needed before a first push, which makes the app; useful to set config vars before it.",
    examples: &["apps:create blog"],
    group: Group::Apps,
    ..BASE
};

pub(super) const LIST: Spec = Spec {
    verb: Verb::AppsList,
    name: "apps:list",
    aliases: &["apps", "list"],
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "List the apps you may see",
    examples: &["apps:list", "apps:list --format json"],
    group: Group::Apps,
    ..BASE
};

pub(super) const INFO: Spec = Spec {
    verb: Verb::AppsInfo,
    name: "apps:info",
    aliases: &["info", "apps:report", "apps:show"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Show an app: its URL, release, processes, settings, owner",
    examples: &["apps:info blog"],
    group: Group::Apps,
    ..BASE
};

pub(super) const SET: Spec = Spec {
    verb: Verb::AppsSet,
    name: "apps:set",
    aliases: &["git:set", "settings:set"],
    app: AppArg::Required,
    args: &[some("KEY=VALUE", Shape::Pair, "A setting and its value; an empty value puts the default back")],
    need: Need::Manage,
    summary: "Change settings of an app",
    help: "Settings: deploy-branch (the branch whose push deploys; by default the first of main and master that was \
           pushed), buildpack (node, static or dockerfile instead of detection). Of a Dockerfile: dockerfile (its path), \
           root (the sub-folder that is built), docker-target (the stage), build-args and build-secrets (names of config \
           vars, with commas between: given to ARG, offered to RUN --mount=type=secret,id=NAME), port (of web).",
    examples: &["apps:set blog deploy-branch=production", "apps:set blog buildpack=nodejs", "apps:set blog port=8080"],
    group: Group::Apps,
    ..BASE
};

pub(super) const DESTROY: Spec = Spec {
    verb: Verb::AppsDestroy,
    name: "apps:destroy",
    aliases: &["destroy", "apps:delete", "apps:remove"],
    app: AppArg::Required,
    flags: &[Flag { long: "confirm", short: Some('c'), takes: Takes::Confirmation, help: "The app's name again" }],
    need: Need::Manage,
    summary: "Delete an app with its repository, releases, images, config vars and logs",
    help: "There is no way back: the name must be typed twice.",
    examples: &["apps:destroy blog --confirm blog"],
    group: Group::Apps,
    ..BASE
};

pub(super) const OPEN: Spec = Spec {
    verb: Verb::Open,
    name: "open",
    aliases: &["apps:open", "url", "urls"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Print an app's URL",
    examples: &["open blog"],
    group: Group::Apps,
    ..BASE
};

pub(super) const CONFIG: Spec = Spec {
    verb: Verb::Config,
    name: "config",
    aliases: &["config:show", "config:list", "config:export"],
    app: AppArg::Required,
    flags: &[switch("shell", Some('s'), "As NAME='value' lines that a shell reads")],
    need: Need::Manage,
    audit: Audit::Verb,
    reads: true,
    summary: "List an app's config vars with their values",
    examples: &["config blog", "config blog --shell", "config blog --format json"],
    group: Group::Config,
    ..BASE
};

pub(super) const CONFIG_SET: Spec = Spec {
    verb: Verb::ConfigSet,
    name: "config:set",
    aliases: &["config:add", "env:set"],
    app: AppArg::Required,
    args: &[Arg {
        name: "NAME=VALUE",
        required: false,
        repeated: true,
        shape: Shape::SecretPair,
        help: "A config var and its value",
    }],
    flags: &[valued("stdin", None, "NAME", "Take this var's value from standard input, less one newline at its end")],
    need: Need::Manage,
    stdin: Stdin::WithFlag("stdin"),
    summary: "Set config vars; makes a release and deploys it",
    help: "All vars of one command make one release, which runs the image that is there. If it does not become ready, the \
           old values come back and the command fails. The line is read by two shells, yours and the server's: quote values \
           with spaces for both.",
    examples: &[
        "config:set blog LOG_LEVEL=debug",
        "config:set blog \"GREETING='hello world'\" LIMIT=20",
        "config:set blog --stdin TLS_KEY < key.pem",
    ],
    group: Group::Config,
    ..BASE
};

pub(super) const CONFIG_GET: Spec = Spec {
    verb: Verb::ConfigGet,
    name: "config:get",
    aliases: &["env:get"],
    app: AppArg::Required,
    args: &[required("NAME", "The config var")],
    need: Need::Manage,
    reads: true,
    summary: "Print the value of one config var",
    examples: &["config:get blog LOG_LEVEL"],
    group: Group::Config,
    ..BASE
};

pub(super) const CONFIG_UNSET: Spec = Spec {
    verb: Verb::ConfigUnset,
    name: "config:unset",
    aliases: &["config:remove", "config:rm", "config:delete", "env:unset"],
    app: AppArg::Required,
    args: &[some("NAME", Shape::Word, "A config var")],
    need: Need::Manage,
    summary: "Remove config vars; makes a release and deploys it",
    examples: &["config:unset blog LOG_LEVEL LIMIT"],
    group: Group::Config,
    ..BASE
};
