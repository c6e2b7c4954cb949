//! Rows about keys, users, sharing and the server itself.

use crate::access::Need;
use crate::command::Verb;
use crate::command::spec::*;

pub(super) const KEYS_ADD: Spec = Spec {
    verb: Verb::KeysAdd,
    name: "keys:add",
    aliases: &["ssh-keys:add"],
    args: &[optional("USER", "The user the key is for; you by default, another one if you are an administrator")],
    need: Need::Anyone,
    stdin: Stdin::Always,
    summary: "Add a public key, read from standard input",
    examples: &["keys:add < ~/.ssh/id_ed25519.pub", "keys:add ada < ada.pub"],
    group: Group::People,
    ..BASE
};

pub(super) const KEYS_LIST: Spec = Spec {
    verb: Verb::KeysList,
    name: "keys:list",
    aliases: &["keys", "ssh-keys:list"],
    args: &[optional("USER", "The user; you by default")],
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "List keys: fingerprint, name, when added",
    examples: &["keys:list"],
    group: Group::People,
    ..BASE
};

pub(super) const KEYS_REMOVE: Spec = Spec {
    verb: Verb::KeysRemove,
    name: "keys:remove",
    aliases: &["keys:rm", "keys:delete", "ssh-keys:remove"],
    args: &[
        required("FINGERPRINT", "The key, as keys:list shows it"),
        optional("USER", "The user whose key it is; you by default"),
    ],
    need: Need::Anyone,
    summary: "Remove a key; sessions opened with it end",
    examples: &["keys:remove SHA256:uNiVztksCsDhcc0u9e8BrTXtmm5Lnk4vWXoLoAvFc7w"],
    group: Group::People,
    ..BASE
};

pub(super) const USERS_ADD: Spec = Spec {
    verb: Verb::UsersAdd,
    name: "users:add",
    aliases: &["users:create"],
    args: &[required("NAME", "The new user's name")],
    flags: &[switch("admin", None, "Make the user an administrator")],
    need: Need::Admin,
    stdin: Stdin::Always,
    summary: "Make a user with the public key read from standard input",
    examples: &["users:add ada < ada.pub", "users:add root2 --admin < key.pub"],
    group: Group::People,
    ..BASE
};

pub(super) const USERS_LIST: Spec = Spec {
    verb: Verb::UsersList,
    name: "users:list",
    aliases: &["users"],
    need: Need::Admin,
    audit: Audit::Verb,
    reads: true,
    summary: "List users, their roles and how many keys they have",
    examples: &["users:list"],
    group: Group::People,
    ..BASE
};

pub(super) const USERS_REMOVE: Spec = Spec {
    verb: Verb::UsersRemove,
    name: "users:remove",
    aliases: &["users:rm", "users:delete"],
    args: &[required("NAME", "The user")],
    need: Need::Admin,
    summary: "Remove a user and their keys; their apps stay, with root as owner",
    examples: &["users:remove ada"],
    group: Group::People,
    ..BASE
};

pub(super) const ACCESS_ADD: Spec = Spec {
    verb: Verb::AccessAdd,
    name: "access:add",
    aliases: &["sharing:add", "acl:add"],
    app: AppArg::Required,
    args: &[required("USER", "The user to share the app with")],
    need: Need::Manage,
    summary: "Share an app with a user, who may then see and change it",
    examples: &["access:add blog ada"],
    group: Group::People,
    ..BASE
};

pub(super) const ACCESS_LIST: Spec = Spec {
    verb: Verb::AccessList,
    name: "access:list",
    aliases: &["access", "sharing", "acl:list"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "List who may see and change an app",
    examples: &["access:list blog"],
    group: Group::People,
    ..BASE
};

pub(super) const ACCESS_REMOVE: Spec = Spec {
    verb: Verb::AccessRemove,
    name: "access:remove",
    aliases: &["sharing:remove", "acl:remove", "access:rm"],
    app: AppArg::Required,
    args: &[required("USER", "The user")],
    need: Need::Manage,
    summary: "Stop sharing an app with a user",
    examples: &["access:remove blog ada"],
    group: Group::People,
    ..BASE
};

pub(super) const WHOAMI: Spec = Spec {
    verb: Verb::Whoami,
    name: "whoami",
    aliases: &["auth:whoami"],
    need: Need::Anyone,
    audit: Audit::None,
    reads: true,
    summary: "Show who you are here: user, role, key",
    examples: &["whoami"],
    group: Group::People,
    ..BASE
};

pub(super) const EVENTS: Spec = Spec {
    verb: Verb::Events,
    name: "events",
    aliases: &["audit", "activity"],
    app: AppArg::Optional,
    flags: &[valued("num", Some('n'), "N", "How many of the last events (50)")],
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "Show who did what on an app; on all, for administrators",
    examples: &["events blog", "events -n 20"],
    group: Group::Server,
    ..BASE
};

pub(super) const DOCTOR: Spec = Spec {
    verb: Verb::Doctor,
    name: "doctor",
    aliases: &["diagnose", "report"],
    need: Need::Admin,
    audit: Audit::Verb,
    reads: true,
    summary: "Check the server and say what to do about what is wrong",
    examples: &["doctor"],
    group: Group::Server,
    ..BASE
};

pub(super) const HELP: Spec = Spec {
    verb: Verb::Help,
    name: "help",
    aliases: &["--help", "-h"],
    args: &[optional("COMMAND", "The command to explain")],
    need: Need::Anyone,
    audit: Audit::None,
    summary: "List the commands, or explain one",
    examples: &["help", "help config:set"],
    group: Group::Server,
    ..BASE
};

pub(super) const VERSION: Spec = Spec {
    verb: Verb::Version,
    name: "version",
    aliases: &["--version"],
    need: Need::Anyone,
    audit: Audit::None,
    reads: true,
    summary: "Show the versions of Hoist and its engine",
    examples: &["version"],
    group: Group::Server,
    ..BASE
};

pub(super) const SHUTDOWN: Spec = Spec {
    verb: Verb::Shutdown,
    name: "shutdown",
    flags: &[switch("apps", None, "Stop all apps as well")],
    need: Need::Admin,
    summary: "End the server and its router",
    help: "Ending the server alone (SIGTERM) leaves the router serving; this ends both. Apps keep running, unreachable, \
           unless --apps stops them too.",
    examples: &["shutdown --apps"],
    group: Group::Server,
    ..BASE
};
