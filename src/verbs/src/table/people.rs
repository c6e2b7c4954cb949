//! Rows about keys, users, sharing and the server itself.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::UserName;
use domain::access::Need;

const KEEP: Flag = switch(
    "keep-deploy-keys",
    None,
    "Deploy keys that they added stay, and you answer for them: for keys of CI whose private half they cannot have",
);

arguments! {
    /// What `keys:add` takes.
    KeysAdd {
        maybe user: UserName = optional("USER", "The user the key is for; you by default, another one if you are an administrator");
    }
}

pub(super) const KEYS_ADD: Spec = Spec {
    verb: Verb::KeysAdd,
    name: "keys:add",
    aliases: &["ssh-keys:add"],
    args: KeysAdd::ARGS,
    need: Need::Anyone,
    stdin: Stdin::Always,
    summary: "Add public keys, read from standard input",
    help: "One key a line, all of them or none: Ed25519, ECDSA, or RSA of 2048 bits and more.",
    examples: &["keys:add < ~/.ssh/id_ed25519.pub", "keys:add ada < ada.pub"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `keys:list` takes.
    KeysList {
        maybe user: UserName = optional("USER", "The user; you by default");
    }
}

pub(super) const KEYS_LIST: Spec = Spec {
    verb: Verb::KeysList,
    name: "keys:list",
    aliases: &["keys", "ssh-keys:list"],
    args: KeysList::ARGS,
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "List keys: fingerprint, name, when added",
    examples: &["keys:list"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `keys:remove` takes.
    KeysRemove {
        one key: String = required("FINGERPRINT", "The key, as keys:list shows it, or the beginning of it");
        maybe user: UserName = optional("USER", "The user whose key it is; you by default");
    }
}

pub(super) const KEYS_REMOVE: Spec = Spec {
    verb: Verb::KeysRemove,
    name: "keys:remove",
    aliases: &["keys:rm", "keys:delete", "ssh-keys:remove"],
    takes_away: true,
    args: KeysRemove::ARGS,
    need: Need::Anyone,
    summary: "Remove a key; connections opened with it end at once, and builds and one-off instances asked for with it",
    help: "Your last key stays, and so does the last key of the last administrator.",
    examples: &["keys:remove SHA256:uNiVztksCsDhcc0u9e8BrTXtmm5Lnk4vWXoLoAvFc7w"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `deploy-keys:add` takes.
    DeployKeysAdd {
        maybe name: String = optional("NAME", "What to call it; by default the comment in the key");
    }
}

pub(super) const DEPLOY_KEYS_ADD: Spec = Spec {
    verb: Verb::DeployKeysAdd,
    name: "deploy-keys:add",
    aliases: &["deploy-key:add"],
    app: AppArg::Required,
    args: DeployKeysAdd::ARGS,
    need: Need::Manage,
    stdin: Stdin::Always,
    summary: "Let a key push to one app and do nothing else, for CI; read from standard input",
    help: "The key may push to the app, follow its builds (builds, builds:output, builds:wait) and ask open, whoami, help and version. \
           No other app exists for it and it makes none. It ends when whoever added it may not change the app any more.",
    examples: &["deploy-keys:add blog ci < deploy_key.pub"],
    group: Group::People,
    ..BASE
};

pub(super) const DEPLOY_KEYS_LIST: Spec = Spec {
    verb: Verb::DeployKeysList,
    name: "deploy-keys:list",
    aliases: &["deploy-keys", "deploy-key:list"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "List an app's deploy keys: fingerprint, name, who added it and when",
    examples: &["deploy-keys:list blog"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `deploy-keys:remove` takes.
    DeployKeysRemove {
        one key: String = required("KEY", "The key's name or fingerprint, as deploy-keys:list shows it");
    }
}

pub(super) const DEPLOY_KEYS_REMOVE: Spec = Spec {
    verb: Verb::DeployKeysRemove,
    name: "deploy-keys:remove",
    aliases: &["deploy-keys:rm", "deploy-key:remove"],
    takes_away: true,
    app: AppArg::Required,
    args: DeployKeysRemove::ARGS,
    need: Need::Manage,
    summary: "Remove a deploy key; connections opened with it end at once, and builds asked for with it",
    examples: &["deploy-keys:remove blog ci"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `users:add` takes.
    UsersAdd {
        one name: UserName = required("NAME", "The new user's name");
        switch admin = switch("admin", None, "Make the user an administrator");
    }
}

pub(super) const USERS_ADD: Spec = Spec {
    verb: Verb::UsersAdd,
    name: "users:add",
    aliases: &["users:create"],
    args: UsersAdd::ARGS,
    flags: UsersAdd::FLAGS,
    need: Need::Admin,
    stdin: Stdin::Always,
    summary: "Make a user with the public keys read from standard input",
    help: "One key a line; without any the user is there but cannot log in until keys:add. What it prints can be sent to the \
           new user: how to reach the server, and the first steps.",
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

arguments! {
    /// What `users:set` takes.
    UsersSet {
        one name: UserName = required("NAME", "The user");
        switch admin = switch("admin", None, "Make the user an administrator");
        switch developer = switch("developer", None, "Make the user a developer");
        switch keep_deploy_keys = KEEP;
    }
}

pub(super) const USERS_SET: Spec = Spec {
    verb: Verb::UsersSet,
    name: "users:set",
    aliases: &["users:role", "users:update"],
    args: UsersSet::ARGS,
    flags: UsersSet::FLAGS,
    need: Need::Admin,
    summary: "Make a user an administrator or a developer",
    help: "The last administrator with a key stays one. Who becomes a developer loses apps of others from sight, and what they \
           added there ends as with access:remove. Users that they made and keys that they added for others are listed.",
    examples: &["users:set ada --admin", "users:set ada --developer"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `users:remove` takes.
    UsersRemove {
        one name: UserName = required("NAME", "The user");
        switch keep_deploy_keys = KEEP;
    }
}

pub(super) const USERS_REMOVE: Spec = Spec {
    verb: Verb::UsersRemove,
    name: "users:remove",
    aliases: &["users:rm", "users:delete"],
    takes_away: true,
    args: UsersRemove::ARGS,
    flags: UsersRemove::FLAGS,
    need: Need::Admin,
    summary: "Remove a user and their keys; their apps stay and belong to root, until apps:transfer",
    help: "What they have open ends at once, and so do deploy keys that they added, their builds that are not live yet and \
           their one-off instances. Whom they shared apps with, users that they made and keys that they added for others \
           are listed, each with the command that ends it.",
    examples: &["users:remove ada"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `access:add` takes.
    AccessAdd {
        one user: UserName = required("USER", "The user to share the app with");
    }
}

pub(super) const ACCESS_ADD: Spec = Spec {
    verb: Verb::AccessAdd,
    name: "access:add",
    aliases: &["sharing:add", "acl:add"],
    app: AppArg::Required,
    args: AccessAdd::ARGS,
    need: Need::Manage,
    summary: "Share an app with a user, who may then see and change it, but not rename, transfer or destroy it",
    help: "They may do all else that its owner may: push, read and set config vars (not those set with --secret, which their \
           code reads all the same), run commands in it, add domains, add deploy keys, and share it with others. For a \
           machine that shall only push there is deploy-keys:add.",
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

arguments! {
    /// What `access:remove` takes.
    AccessRemove {
        one user: UserName = required("USER", "The user");
        switch keep_deploy_keys = KEEP;
    }
}

pub(super) const ACCESS_REMOVE: Spec = Spec {
    verb: Verb::AccessRemove,
    name: "access:remove",
    aliases: &["sharing:remove", "acl:remove", "access:rm"],
    takes_away: true,
    app: AppArg::Required,
    args: AccessRemove::ARGS,
    flags: AccessRemove::FLAGS,
    need: Need::Manage,
    summary: "Stop sharing an app with a user",
    help: "Sessions of theirs about the app end at once, and so do deploy keys that they added to it, their builds that are \
           not live yet and their one-off instances. Whom they shared it with is listed, with the command that ends it.",
    examples: &["access:remove blog ada"],
    group: Group::People,
    ..BASE
};

pub(super) const WHOAMI: Spec = Spec {
    verb: Verb::Whoami,
    name: "whoami",
    aliases: &["auth:whoami"],
    need: Need::Anyone,
    deploy_key: true,
    audit: Audit::None,
    reads: true,
    summary: "Show who you are here: user, role, key, and what you may do",
    examples: &["whoami"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `events` takes.
    Events {
        number num: 50, 10_000_000 => valued("num", Some('n'), "N", "How many of the last events (50)");
        value since: String = valued("since", None, "TIME", "Only newer ones: 90s, 15m, 2h, 3d, or 2026-11-21 14:30 (UTC)");
        value user: String = valued("user", Some('u'), "NAME", "Only what this user did; root for the server's own");
        value kinds: String = valued("type", None, "KIND,…", "Only these kinds: `command`, or kinds of events as below");
    }
}

pub(super) const EVENTS: Spec = Spec {
    verb: Verb::Events,
    name: "events",
    aliases: &["audit", "activity"],
    app: AppArg::Optional,
    flags: Events::FLAGS,
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "Show what happened to an app, and who did what from where; to all and the server, for administrators",
    help: "The newest first: commands as they were typed, each with the key, the address and how it ended, and what \
           happened by them or by itself, such as a crash. The row of a command is written before a change is made and \
           completed when it has ended. Reading commands leave theirs shortly after they end. What is refused or only \
           read again within a minute is counted in one row. Values of config vars are never in it.",
    more: event_rows,
    examples: &[
        "events blog",
        "events -n 20",
        "events blog --since 2h --user ada",
        "events blog --type instance-crashed,deploy-failed",
    ],
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

arguments! {
    /// What `help` takes.
    Help {
        maybe command: String = optional("COMMAND", "The command to explain");
    }
}

pub(super) const HELP: Spec = Spec {
    verb: Verb::Help,
    name: "help",
    aliases: &["--help", "-h"],
    args: Help::ARGS,
    need: Need::Anyone,
    deploy_key: true,
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
    deploy_key: true,
    audit: Audit::None,
    reads: true,
    summary: "Show the versions of Hoist and its engine",
    examples: &["version"],
    group: Group::Server,
    ..BASE
};

arguments! {
    /// What `shutdown` takes.
    Shutdown {
        switch apps = switch("apps", None, "Stop all apps as well");
    }
}

pub(super) const SHUTDOWN: Spec = Spec {
    verb: Verb::Shutdown,
    name: "shutdown",
    takes_away: true,
    flags: Shutdown::FLAGS,
    need: Need::Admin,
    summary: "End the server and its router",
    help: "Ending the server alone (SIGTERM) leaves the router serving; this ends both. Apps keep running, unreachable, \
           unless --apps stops them too.",
    examples: &["shutdown --apps"],
    group: Group::Server,
    ..BASE
};

/// Kinds for `events --type`.
fn event_rows() -> Vec<(String, String)> {
    domain::event::KINDS.iter().map(|(kind, about)| ((*kind).to_owned(), (*about).to_owned())).collect()
}
