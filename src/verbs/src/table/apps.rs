//! Rows about apps.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::UserName;
use domain::access::Need;

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

arguments! {
    /// What `apps:set` takes.
    AppsSet {
        pairs settings = some("KEY=VALUE", Shape::Pair, "A setting and its value; an empty value puts the default back");
    }
}

pub(super) const SET: Spec = Spec {
    verb: Verb::AppsSet,
    name: "apps:set",
    aliases: &["git:set", "settings:set"],
    app: AppArg::Required,
    args: AppsSet::ARGS,
    need: Need::Manage,
    summary: "Change settings of an app",
    help: "An empty value puts the default back: apps:set blog port=. These are settings of one app; those of the server, for \
           all apps, are the operator's (docs/operations.md).",
    more: domain::app_settings::help_rows,
    examples: &[
        "apps:set blog deploy-branch=production",
        "apps:set blog buildpack=nodejs",
        "apps:set blog root=packages/api",
        "apps:set blog port=8080",
        "apps:set blog build-secrets=NPM_TOKEN",
        "apps:set blog drain-time=2m",
    ],
    group: Group::Apps,
    ..BASE
};

arguments! {
    /// What `apps:transfer` takes.
    AppsTransfer {
        one user: UserName = required("USER", "The new owner");
        switch keep_access = switch("keep-access", None, "The owner until now may still see and change the app");
    }
}

pub(super) const TRANSFER: Spec = Spec {
    verb: Verb::AppsTransfer,
    name: "apps:transfer",
    aliases: &["transfer", "apps:chown"],
    app: AppArg::Required,
    args: AppsTransfer::ARGS,
    flags: AppsTransfer::FLAGS,
    need: Need::Own,
    summary: "Give an app to another user; nothing that runs is touched",
    help: "What the app uses counts to the new owner from then on, within their quota. Its deploy keys and those it is shared \
           with stay, and the new owner answers for them. The owner until now has no access any more, unless --keep-access \
           is given or they are an administrator, and builds of theirs that are not live yet end.",
    examples: &["apps:transfer blog ada", "apps:transfer blog ada --keep-access"],
    group: Group::Apps,
    ..BASE
};

arguments! {
    /// What `apps:destroy` takes.
    AppsDestroy {
        confirm = Flag { long: "confirm", short: Some('c'), takes: Takes::Confirmation, help: "The app's name again" };
    }
}

pub(super) const DESTROY: Spec = Spec {
    verb: Verb::AppsDestroy,
    name: "apps:destroy",
    aliases: &["destroy", "apps:delete", "apps:remove"],
    takes_away: true,
    app: AppArg::Required,
    flags: AppsDestroy::FLAGS,
    need: Need::Own,
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
    deploy_key: true,
    audit: Audit::Verb,
    reads: true,
    summary: "Print an app's URL",
    help: "A domain of your own for web that points to this server, if there is one, else the app's name below the base domain.",
    examples: &["open blog"],
    group: Group::Web,
    ..BASE
};
