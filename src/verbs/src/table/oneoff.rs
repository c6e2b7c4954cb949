//! Rows about one-off instances and what is run inside an instance.

use crate::arguments::{Arguments, arguments};
use crate::spec::*;
use crate::verb::Verb;
use domain::access::Need;

const COMMAND: Arg = Arg {
    name: "CMD",
    required: true,
    repeated: true,
    shape: Shape::Command,
    help: "A program and its arguments; a line for the image's shell where it is one word with blanks, or came over ssh with | && \
           ; > $NAME and the like outside of quotes; or a process type of the Procfile, for its command",
};

const WHERE: Arg = optional("TYPE.N", "The instance; web.1 without it");

arguments! {
    /// What `run` takes.
    Run {
        many command: String = COMMAND;
        env env = Flag {
            long: "env",
            short: Some('e'),
            takes: Takes::SecretPairs,
            help: "A variable for this run only; repeat it",
        };
        value memory: String = valued("memory", Some('s'), "MB", "Memory, where it is not that of an instance");
        value timeout: String = valued(
            "timeout",
            None,
            "SECONDS",
            "Ends it after this time; at most, and by default, the server's run-timeout",
        );
        switch detach = switch("detach", Some('d'), "Do not wait: it goes on by itself, its output goes to the log");
        switch no_tty = switch("no-tty", Some('T'), "No terminal inside, though ssh -t asked for one");
    }
}

pub(super) const RUN: Spec = Spec {
    verb: Verb::Run,
    name: "run",
    aliases: &["run:detached"],
    app: AppArg::Required,
    args: Run::ARGS,
    flags: Run::FLAGS,
    need: Need::Manage,
    stdin: Stdin::Always,
    summary: "Run a command in a one-off instance of the current release",
    help: "It has the release's image, config vars, limits and network, takes no requests, and is ps's run.N. With ssh -t it has a \
           terminal; without, its three streams are yours, so files can be piped in and out; the exit code is the \
           command's. Closing the connection ends it (SIGHUP and SIGTERM, after 10 s SIGKILL). What it writes to you is \
           stored nowhere; the command line is, in the app's log, ps and events: put no secrets on it, use --env. With \
           --detach the output is in logs --source run. A line for the shell goes in quotes, as with ssh anywhere: ssh HOST run \
           blog 'env | sort'. The app may also come as -a APP.",
    examples: &[
        "run blog -- node --version",
        "run blog 'env | sort'",
        "run blog --env DEBUG=1 --detach -- node job.js",
        "run -a blog bash",
    ],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `enter` takes.
    Enter {
        maybe instance: String = WHERE;
        many command: String = Arg { required: false, help: "What to run; a shell without it", ..COMMAND };
    }
}

pub(super) const ENTER: Spec = Spec {
    verb: Verb::Enter,
    name: "enter",
    app: AppArg::Required,
    args: Enter::ARGS,
    need: Need::Manage,
    stdin: Stdin::Always,
    summary: "Open a shell in a running instance, or run a command there",
    help: "As the app's user, with its environment, and no more rights than the app. Use ssh -t for a terminal. Who, when, \
           from where, the command line and its exit code are in events; what is typed is not. apps:set APP enter=off \
           switches it off for an app, only an administrator switches it on again.",
    examples: &["enter blog", "enter blog worker.1 -- ps aux"],
    group: Group::Processes,
    ..BASE
};

arguments! {
    /// What `ps:exec` takes.
    PsExec {
        maybe instance: String = WHERE;
        many command: String = COMMAND;
    }
}

pub(super) const EXEC: Spec = Spec {
    verb: Verb::PsExec,
    name: "ps:exec",
    aliases: &["exec"],
    app: AppArg::Required,
    args: PsExec::ARGS,
    need: Need::Manage,
    stdin: Stdin::Always,
    summary: "Run one command in a running instance, without a terminal",
    help: "Its standard output, errors and input are apart, its exit code is yours; else as enter. A line for the \
           shell goes in quotes, see run.",
    examples: &["ps:exec blog -- cat /proc/1/status", "ps:exec blog web.1 -- 'ls | wc -l'"],
    group: Group::Processes,
    ..BASE
};
