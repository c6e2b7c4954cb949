//! Rows about processes, logs, releases and builds.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::Commit;
use domain::ReleaseNumber;
use domain::access::Need;

pub(super) const PS: Spec = Spec {
    verb: Verb::Ps,
    name: "ps",
    aliases: &["ps:list", "ps:report", "dyno", "dyno:list"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Show an app's instances: type, state, since when, release",
    examples: &["ps blog"],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `ps:scale` takes.
    PsScale {
        many formation: String = Arg {
        name: "TYPE=N",
        required: false,
        repeated: true,
        shape: Shape::Word,
        help: "How many instances of a process type: web=2, worker+1, worker-1",
    };
    }
}

pub(super) const PS_SCALE: Spec = Spec {
    verb: Verb::PsScale,
    name: "ps:scale",
    aliases: &["scale", "dyno:scale"],
    app: AppArg::Required,
    args: PsScale::ARGS,
    need: Need::Manage,
    reads: true,
    summary: "Set how many instances of each process type run; without arguments show it",
    help: "Not a release: the image and the config vars stay.",
    examples: &["ps:scale blog web=2 worker=1", "ps:scale blog worker+1", "ps:scale blog"],
    group: Group::Processes,
    ..BASE
};

const WHICH: Arg = any_number("TYPE", "Process types (web) or single instances (web.1); all without it");

arguments! {
    /// What `ps:restart` takes.
    PsRestart {
        many which: String = WHICH;
    }
}

pub(super) const PS_RESTART: Spec = Spec {
    verb: Verb::PsRestart,
    name: "ps:restart",
    aliases: &["restart", "dyno:restart"],
    app: AppArg::Required,
    args: PsRestart::ARGS,
    need: Need::Manage,
    summary: "Restart instances, new ones before the old ones end",
    examples: &["ps:restart blog", "ps:restart blog worker"],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `ps:stop` takes.
    PsStop {
        many which: String = WHICH;
    }
}

pub(super) const PS_STOP: Spec = Spec {
    verb: Verb::PsStop,
    name: "ps:stop",
    aliases: &["stop", "dyno:stop", "dyno:kill", "ps:kill"],
    takes_away: true,
    app: AppArg::Required,
    args: PsStop::ARGS,
    need: Need::Manage,
    summary: "Stop an app until ps:start, or end one-off instances",
    help: "An app is stopped as a whole; its one-off instances go on. For one process type: ps:scale blog worker=0. A one-off \
           instance is ended by its name.",
    examples: &["ps:stop blog", "ps:stop blog run.1"],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `ps:start` takes.
    PsStart {
        many which: String = WHICH;
    }
}

pub(super) const PS_START: Spec = Spec {
    verb: Verb::PsStart,
    name: "ps:start",
    aliases: &["start"],
    app: AppArg::Required,
    args: PsStart::ARGS,
    need: Need::Manage,
    summary: "Start what ps:stop stopped",
    examples: &["ps:start blog"],
    group: Group::Processes,
    ..BASE
};

pub(super) const PS_REBUILD: Spec = Spec {
    verb: Verb::PsRebuild,
    name: "ps:rebuild",
    aliases: &["rebuild"],
    app: AppArg::Required,
    need: Need::Manage,
    summary: "Build the current commit again and deploy it",
    examples: &["ps:rebuild blog"],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `logs` takes.
    Logs {
        switch tail = switch("tail", Some('t'), "Stay and show new lines as they come");
        value num: String = valued("num", Some('n'), "N", "How many of the last lines (100; all with --since or --after)");
        value ps: String = valued("ps", Some('p'), "TYPE", "Only process types (web) or instances (web.1), with commas between");
        value source: String = valued(
            "source",
            Some('s'),
            "SOURCE",
            "Only lines of app, router, build, release, run or hoist, with commas between",
        );
        value since: String = valued("since", None, "TIME", "Only lines from then on: 10m, 2h, 3d, 2026-11-21T14:00:00Z");
        value until: String = valued("until", None, "TIME", "Only lines until then");
        value grep: String = valued("grep", Some('g'), "WORD", "Only lines that hold WORD, or match /EXPRESSION/");
        value after: String = valued("after", None, "ID", "Only lines after the one with this id (--format json shows ids)");
    }
}

pub(super) const LOGS: Spec = Spec {
    verb: Verb::Logs,
    name: "logs",
    aliases: &["log", "logs:tail"],
    app: AppArg::Required,
    flags: Logs::FLAGS,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Show an app's log",
    help: "The log of an app is kept across deploys. Lines come from the app, from the router and from Hoist (deploys, exits), in the \
           order in which they were written; a build is shown by builds:output, or by --source build. Options go together, also \
           with -t (not --until). Times without a zone are UTC. To go on after a lost connection without gap or double: --after with the \
           last id seen.",
    examples: &[
        "logs blog",
        "logs blog -t",
        "logs blog -n 500 -p web",
        "logs blog --since 10m --grep timeout",
        "logs blog -t --source router --grep '/status=5[0-9][0-9]/'",
        "logs blog -t --format json --after 1200",
    ],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `releases` takes.
    Releases {
        number num: 20, 1_000 => valued("num", Some('n'), "N", "How many of the last releases (20)");
    }
}

pub(super) const RELEASES: Spec = Spec {
    verb: Verb::Releases,
    name: "releases",
    aliases: &["release", "releases:list"],
    app: AppArg::Required,
    flags: Releases::FLAGS,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "List an app's releases",
    examples: &["releases blog"],
    group: Group::Releases,
    ..BASE
};

arguments! {
    /// What `rollback` takes.
    Rollback {
        maybe release: ReleaseNumber = optional("RELEASE", "The release to go back to; by default the one before the current");
        switch keep_config = switch("keep-config", None, "With the config vars of today, not those that it had");
    }
}

pub(super) const ROLLBACK: Spec = Spec {
    verb: Verb::Rollback,
    name: "rollback",
    aliases: &["releases:rollback"],
    app: AppArg::Required,
    args: Rollback::ARGS,
    flags: Rollback::FLAGS,
    need: Need::Manage,
    summary: "Deploy an older release again, without a build",
    help: "Makes a new release with the old one's image and config vars; those that differ from today's are named. The branch in \
           git stays.",
    examples: &["rollback blog", "rollback blog v3", "rollback blog v3 --keep-config"],
    group: Group::Releases,
    ..BASE
};

arguments! {
    /// What `builds` takes.
    Builds {
        number num: 20, 1_000 => valued("num", Some('n'), "N", "How many of the last builds (20)");
    }
}

pub(super) const BUILDS: Spec = Spec {
    verb: Verb::Builds,
    name: "builds",
    aliases: &["builds:list"],
    app: AppArg::Required,
    flags: Builds::FLAGS,
    need: Need::Read,
    deploy_key: true,
    audit: Audit::Verb,
    reads: true,
    summary: "List an app's builds and what became of them",
    examples: &["builds blog"],
    group: Group::Releases,
    ..BASE
};

arguments! {
    /// What `builds:output` takes.
    BuildsOutput {
        maybe id: String = optional("ID", "The build; by default the last one");
        switch tail = switch("tail", Some('t'), "Stay until a build that runs or waits is over");
        switch timestamps = switch("timestamps", None, "With the time of each line");
    }
}

pub(super) const BUILDS_OUTPUT: Spec = Spec {
    verb: Verb::BuildsOutput,
    name: "builds:output",
    aliases: &["builds:log", "builds:logs", "builds:info"],
    app: AppArg::Required,
    args: BuildsOutput::ARGS,
    flags: BuildsOutput::FLAGS,
    need: Need::Read,
    deploy_key: true,
    audit: Audit::Verb,
    reads: true,
    summary: "Show the output of a build",
    examples: &["builds:output blog", "builds:output blog 17 -t"],
    group: Group::Releases,
    ..BASE
};

arguments! {
    /// What `builds:wait` takes.
    BuildsWait {
        maybe id: String = optional("ID", "The build; by default the last one");
        number timeout: 3_600, 86_400 => valued("timeout", None, "SECONDS", "How long to wait (3600)");
    }
}

pub(super) const BUILDS_WAIT: Spec = Spec {
    verb: Verb::BuildsWait,
    name: "builds:wait",
    app: AppArg::Required,
    args: BuildsWait::ARGS,
    flags: BuildsWait::FLAGS,
    deploy_key: true,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Wait for the end of a build and its deploy",
    help: "The exit code says how it ended: 0 live, 1 failed or cancelled, 124 not over in time. The one line on standard \
           output says the same for programs; what is waited for is on standard error.",
    examples: &["builds:wait blog 17", "builds:wait blog --timeout 600 --format json"],
    group: Group::Releases,
    ..BASE
};

arguments! {
    /// What `builds:cancel` takes.
    BuildsCancel {
        maybe id: String = optional("ID", "The build; by default the one that runs or waits");
    }
}

pub(super) const BUILDS_CANCEL: Spec = Spec {
    verb: Verb::BuildsCancel,
    name: "builds:cancel",
    takes_away: true,
    app: AppArg::Required,
    args: BuildsCancel::ARGS,
    need: Need::Manage,
    summary: "Cancel a build or deploy that is not live yet",
    examples: &["builds:cancel blog", "builds:cancel blog 17"],
    group: Group::Releases,
    ..BASE
};

const COMMIT: Arg = optional("COMMIT", "A commit that was pushed, 40 digits; by default the one that is live");

arguments! {
    /// What `builds:plan` takes.
    BuildsPlan {
        maybe commit: Commit = COMMIT;
    }
}

pub(super) const BUILDS_PLAN: Spec = Spec {
    verb: Verb::BuildsPlan,
    name: "builds:plan",
    aliases: &["plan"],
    app: AppArg::Required,
    args: BuildsPlan::ARGS,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Show how a commit is built: what was decided and why, and the steps",
    help: "Nothing is built. With the app's settings and config vars of now; names of config vars, never values.",
    examples: &["builds:plan blog", "builds:plan blog --format json"],
    group: Group::Releases,
    ..BASE
};

arguments! {
    /// What `builds:eject` takes.
    BuildsEject {
        maybe commit: Commit = COMMIT;
    }
}

pub(super) const BUILDS_EJECT: Spec = Spec {
    verb: Verb::BuildsEject,
    name: "builds:eject",
    aliases: &["eject"],
    app: AppArg::Required,
    args: BuildsEject::ARGS,
    need: Need::Read,
    audit: Audit::Verb,
    summary: "Write a commit's plan as a Dockerfile that builds the same app without Hoist",
    help: "It builds with BuildKit on a machine that has the two stack images (`docker save` on the server carries them): `ssh SERVER builds:eject blog > Dockerfile`. \
           Config vars that the build reads are build arguments, without values.",
    examples: &["builds:eject blog"],
    group: Group::Releases,
    ..BASE
};

pub(super) const BUILDS_LOCK: Spec = Spec {
    verb: Verb::BuildsLock,
    name: "builds:lock",
    aliases: &["lock"],
    app: AppArg::Required,
    need: Need::Read,
    audit: Audit::Verb,
    reads: true,
    summary: "Print the lock file that an app's last build made, where its commit has none",
    help: "A commit with dependencies and without package-lock.json, uv.lock or poetry.lock is built with one that the build \
           makes and keeps. Commit it to have it in the repository: `ssh SERVER builds:lock blog > package-lock.json`; builds then \
           install the same versions. Its name is said on standard error.",
    examples: &["builds:lock blog"],
    group: Group::Releases,
    ..BASE
};

pub(super) const RECEIVE_PACK: Spec = Spec {
    verb: Verb::GitReceivePack,
    name: "git-receive-pack",
    app: AppArg::GitPath,
    need: Need::ManageOrCreate,
    deploy_key: true,
    git: true,
    stdin: Stdin::Always,
    summary: "git push",
    examples: &["git-receive-pack '/blog.git'"],
    group: Group::Git,
    ..BASE
};

pub(super) const UPLOAD_PACK: Spec = Spec {
    verb: Verb::GitUploadPack,
    name: "git-upload-pack",
    app: AppArg::GitPath,
    need: Need::Read,
    git: true,
    stdin: Stdin::Always,
    summary: "git fetch, git clone",
    examples: &["git-upload-pack 'blog'"],
    group: Group::Git,
    ..BASE
};

const OPERATION: Arg = required("OPERATION", "upload, as git push does, or download, as git clone does");

arguments! {
    /// What `git-lfs-transfer` takes.
    GitLfsTransfer {
        one operation: String = OPERATION;
    }
}

pub(super) const LFS_TRANSFER: Spec = Spec {
    verb: Verb::GitLfsTransfer,
    name: "git-lfs-transfer",
    app: AppArg::GitPath,
    args: GitLfsTransfer::ARGS,
    need: Need::ManageOrCreate,
    deploy_key: true,
    git: true,
    stdin: Stdin::Always,
    summary: "git lfs push, git lfs fetch: the large files that commits name by pointers",
    help: "A push sends them by itself where `git lfs install` was run. Who may push may upload; who may clone may download.",
    examples: &["git-lfs-transfer /blog upload"],
    group: Group::Git,
    ..BASE
};

arguments! {
    /// What `git-lfs-authenticate` takes.
    GitLfsAuthenticate {
        one operation: String = OPERATION;
        maybe oid: String = optional("OID", "An object, of which versions of long ago tell");
    }
}

pub(super) const LFS_AUTHENTICATE: Spec = Spec {
    verb: Verb::GitLfsAuthenticate,
    name: "git-lfs-authenticate",
    app: AppArg::GitPath,
    args: GitLfsAuthenticate::ARGS,
    need: Need::ManageOrCreate,
    deploy_key: true,
    git: true,
    stdin: Stdin::Always,
    summary: "What a git-lfs before 3.0 asks, and one whose transfer was refused: answered with why",
    examples: &["git-lfs-authenticate blog.git download"],
    group: Group::Git,
    ..BASE
};
