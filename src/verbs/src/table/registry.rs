//! Rows about image registries, and about the key of secret values.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::access::Need;

arguments! {
    /// What `registry:login` takes.
    RegistryLogin {
        one host: String = required("HOST", "The registry's host, with its port if it has one");
        maybe user: String = optional(
            "USER",
            "The user name there; without one the registry is only let through, for one that asks for none",
        );
    }
}

pub(super) const LOGIN: Spec = Spec {
    verb: Verb::RegistryLogin,
    name: "registry:login",
    aliases: &["registry:set"],
    args: RegistryLogin::ARGS,
    need: Need::Admin,
    stdin: Stdin::Always,
    summary: "Let Dockerfile builds pull from a private registry; the password is read from standard input",
    help: "Holds for every app of this server: an image that was pulled once can be used by all of them anyway. The \
           password is given to that host alone, when a Dockerfile names an image there. A registry on this server or in \
           a private network, which builds do not reach otherwise, is reached from then on: its address and port, \
           nothing else there.",
    examples: &["registry:login registry.example.com ci < password.txt"],
    group: Group::Server,
    ..BASE
};

arguments! {
    /// What `registry:allow` takes.
    RegistryAllow {
        one host: String = required("HOST", "The registry's host, with its port if it has one");
    }
}

pub(super) const ALLOW: Spec = Spec {
    verb: Verb::RegistryAllow,
    name: "registry:allow",
    args: RegistryAllow::ARGS,
    need: Need::Admin,
    summary: "Let Dockerfile builds reach a registry that asks for no password, on this server or in a private network",
    help: "Builds reach the internet, but neither this server nor private networks: a registry there is let through by \
           its address and port, for every app, and nothing else with it. registry:logout takes it back.",
    examples: &["registry:allow 127.0.0.1:5000"],
    group: Group::Server,
    ..BASE
};

arguments! {
    /// What `registry:logout` takes.
    RegistryLogout {
        one host: String = required("HOST", "The registry's host, as registry:list shows it");
    }
}

pub(super) const LOGOUT: Spec = Spec {
    verb: Verb::RegistryLogout,
    name: "registry:logout",
    aliases: &["registry:remove"],
    takes_away: true,
    args: RegistryLogout::ARGS,
    need: Need::Admin,
    summary: "Forget the login to a registry",
    examples: &["registry:logout registry.example.com"],
    group: Group::Server,
    ..BASE
};

pub(super) const LIST: Spec = Spec {
    verb: Verb::RegistryList,
    name: "registry:list",
    aliases: &["registry", "registries"],
    need: Need::Admin,
    audit: Audit::Verb,
    reads: true,
    summary: "List the registries that this server is logged in to",
    examples: &["registry:list"],
    group: Group::Server,
    ..BASE
};

pub(super) const ROTATE: Spec = Spec {
    verb: Verb::SecretsRotate,
    name: "secrets:rotate",
    aliases: &["secrets:rekey"],
    need: Need::Admin,
    summary: "Seal all secret values in the database with a new key",
    help: "Config vars and passwords of registries are sealed with the key in secret.key. This makes a new one, seals every \
           value anew, writes the database file as a whole so that nothing of before is left in it, and forgets the old key. \
           If the server dies meanwhile its next start goes on with it. Backups of before need the old secret.key.",
    examples: &["secrets:rotate"],
    group: Group::Server,
    ..BASE
};
