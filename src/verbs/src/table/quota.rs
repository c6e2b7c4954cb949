//! Rows about how much each user may have.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::UserName;
use domain::access::Need;

arguments! {
    /// What `quota` takes.
    Quota {
        maybe user: UserName = optional("USER", "The user; you by default, another one if you are an administrator");
        switch all = switch("all", None, "Of all users, for administrators");
    }
}

pub(super) const QUOTA: Spec = Spec {
    verb: Verb::Quota,
    name: "quota",
    aliases: &["quotas", "quota:list"],
    args: Quota::ARGS,
    flags: Quota::FLAGS,
    need: Need::Anyone,
    audit: Audit::Verb,
    reads: true,
    summary: "Show how much you have of what you may have: apps, memory, disk, sessions and so on",
    help: "An app, and all that it uses, is counted for its owner, whoever pushes to it. Instances count with the most memory and \
           processors that each may use, while they run or start; one-off instances count too. Disk is repositories, build \
           caches and logs. Sessions, commands and pushes are those that are open, with those of your apps' deploy keys. \
           More builds than the limit wait for their turn; more of anything else is refused. By default \
           administrators have no limits but those of sessions, commands and pushes.",
    examples: &["quota", "quota ada", "quota --all"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `quota:set` takes.
    QuotaSet {
        one user: UserName = required("USER", "The user");
        pairs limits = some(
            "WHAT=N",
            Shape::Pair,
            "apps=20, memory=8g, processors=4, disk=10g, builds=2, sessions=50, …, or =unlimited",
        );
    }
}

pub(super) const QUOTA_SET: Spec = Spec {
    verb: Verb::QuotaSet,
    name: "quota:set",
    aliases: &["quota:update"],
    args: QuotaSet::ARGS,
    need: Need::Admin,
    summary: "Set how much a user may have, in place of the server's defaults",
    help: "What is more than that already goes on as it is; more is refused. The defaults are settings of the server: \
           user-apps, user-instances, user-memory, user-cpu, user-disk, user-builds, sessions-per-user, \
           commands-per-user, pushes-per-user.",
    examples: &["quota:set ada apps=40", "quota:set ada memory=16g disk=unlimited"],
    group: Group::People,
    ..BASE
};

arguments! {
    /// What `quota:unset` takes.
    QuotaUnset {
        one user: UserName = required("USER", "The user");
        many what: String = any_number("WHAT", "What of: apps, memory and so on; all by default");
    }
}

pub(super) const QUOTA_UNSET: Spec = Spec {
    verb: Verb::QuotaUnset,
    name: "quota:unset",
    aliases: &["quota:reset", "quota:remove"],
    takes_away: true,
    args: QuotaUnset::ARGS,
    need: Need::Admin,
    summary: "Give a user the server's defaults again",
    examples: &["quota:unset ada", "quota:unset ada apps disk"],
    group: Group::People,
    ..BASE
};
