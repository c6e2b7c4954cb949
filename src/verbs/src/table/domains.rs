//! Rows about host names, the base domain, renaming and maintenance.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::AppName;
use domain::Hostname;
use domain::ProcessType;
use domain::access::Need;

const PROCESS: Flag = valued("process", Some('p'), "TYPE", "The process type that answers; web if it is left out");

arguments! {
    /// What `apps:rename` takes.
    AppsRename {
        one new: AppName = required("NEW", "The new name");
    }
}

pub(super) const RENAME: Spec = Spec {
    verb: Verb::AppsRename,
    name: "apps:rename",
    aliases: &["rename"],
    app: AppArg::Required,
    args: AppsRename::ARGS,
    need: Need::Own,
    summary: "Give an app another name; nothing that runs is touched",
    help: "Its default host name and its git remote change at once. Releases, logs, config vars and own domains stay. The \
           old name sends those who may see the app on to the new one, and is nobody else's until the app is destroyed or \
           somebody who may change it makes another app of that name.",
    examples: &["apps:rename blog news"],
    group: Group::Apps,
    ..BASE
};

arguments! {
    /// What `domains:add` takes.
    DomainsAdd {
        many names: Hostname = some("NAME", Shape::Word, "A host name that you own, such as shop.example.com");
        value process: ProcessType = PROCESS;
    }
}

pub(super) const ADD: Spec = Spec {
    verb: Verb::DomainsAdd,
    name: "domains:add",
    aliases: &["domains:set"],
    app: AppArg::Required,
    args: DomainsAdd::ARGS,
    flags: DomainsAdd::FLAGS,
    need: Need::Manage,
    summary: "Let an app answer at host names of your own",
    help: "The app answers at once; what DNS says of the name, and the record that it needs, is printed. A name belongs to \
           one app: the first that asks for it. Names in other alphabets are taken as they are. *.example.com answers for \
           every name one label below example.com that has no entry of its own; it takes an administrator, and so does a \
           name above or below one of an app that you may not change. A process type other than web gets PORT, and \
           requests, from its next start on.",
    examples: &[
        "domains:add blog shop.example.com www.shop.example.com",
        "domains:add blog api.example.com --process api",
    ],
    group: Group::Web,
    ..BASE
};

arguments! {
    /// What `domains:remove` takes.
    DomainsRemove {
        many names: Hostname = some("NAME", Shape::Word, "A host name of the app");
    }
}

pub(super) const REMOVE: Spec = Spec {
    verb: Verb::DomainsRemove,
    name: "domains:remove",
    aliases: &["domains:rm", "domains:delete"],
    takes_away: true,
    app: AppArg::Required,
    args: DomainsRemove::ARGS,
    need: Need::Manage,
    summary: "Take host names from an app",
    help: "A name that was let go of stays reserved for the app's owner for a week, as DNS may still lead here.",
    examples: &["domains:remove blog shop.example.com"],
    group: Group::Web,
    ..BASE
};

pub(super) const LIST: Spec = Spec {
    verb: Verb::DomainsList,
    name: "domains:list",
    aliases: &["domains", "domains:report"],
    app: AppArg::Optional,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "List the host names of an app, the default one first; without an app everybody's (administrators)",
    examples: &["domains:list blog", "domains:list blog --format json"],
    group: Group::Web,
    ..BASE
};

arguments! {
    /// What `domains:clear` takes.
    DomainsClear {
        value process: ProcessType = valued("process", Some('p'), "TYPE", "Only the names of this process type");
    }
}

pub(super) const CLEAR: Spec = Spec {
    verb: Verb::DomainsClear,
    name: "domains:clear",
    aliases: &[],
    takes_away: true,
    app: AppArg::Required,
    flags: DomainsClear::FLAGS,
    need: Need::Manage,
    summary: "Take all own host names from an app; the default one stays",
    examples: &["domains:clear blog", "domains:clear blog --process api"],
    group: Group::Web,
    ..BASE
};

pub(super) const BASE_SHOW: Spec = Spec {
    verb: Verb::DomainsBase,
    name: "domains:base",
    aliases: &["domains:global"],
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "Show the base domain, where it was set, and what DNS says of it",
    examples: &["domains:base"],
    group: Group::Web,
    ..BASE
};

arguments! {
    /// What `domains:set-base` takes.
    DomainsSetBase {
        one base: String = required("BASE", "The new base domain: apps answer at APP.BASE");
    }
}

pub(super) const SET_BASE: Spec = Spec {
    verb: Verb::DomainsSetBase,
    name: "domains:set-base",
    aliases: &["domains:set-global"],
    args: DomainsSetBase::ARGS,
    summary: "Change the base domain of the server",
    help: "It is kept in the database and wins over the setting base-domain. Every default name, and every URL and remote \
           that is printed, changes at once; the old base domain does not answer any more. Own domains stay. DNS needs \
           records for BASE and *.BASE.",
    examples: &["domains:set-base apps.example.com"],
    group: Group::Web,
    ..BASE
};

pub(super) const MAINTENANCE: Spec = Spec {
    verb: Verb::Maintenance,
    name: "maintenance",
    aliases: &["maintenance:report"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Say whether an app is in maintenance",
    examples: &["maintenance blog"],
    group: Group::Web,
    ..BASE
};

arguments! {
    /// What `maintenance:on` takes.
    MaintenanceOn {
        switch page = switch("page", None, "Take the page, HTML of at most 64 KiB, from standard input in place of ours");
    }
}

pub(super) const MAINTENANCE_ON: Spec = Spec {
    verb: Verb::MaintenanceOn,
    name: "maintenance:on",
    aliases: &["maintenance:enable"],
    app: AppArg::Required,
    flags: MaintenanceOn::FLAGS,
    need: Need::Manage,
    stdin: Stdin::WithFlag("page"),
    summary: "Answer visitors with a maintenance page (503, H80, Retry-After)",
    help: "Instances keep running, requests in flight are answered, and pushes deploy as ever. On stays on, whatever is \
           restarted, until maintenance:off.",
    examples: &["maintenance:on blog", "maintenance:on blog --page < page.html"],
    group: Group::Web,
    ..BASE
};

pub(super) const MAINTENANCE_OFF: Spec = Spec {
    verb: Verb::MaintenanceOff,
    name: "maintenance:off",
    aliases: &["maintenance:disable"],
    app: AppArg::Required,
    need: Need::Manage,
    summary: "End maintenance: the app answers again",
    examples: &["maintenance:off blog"],
    group: Group::Web,
    ..BASE
};
