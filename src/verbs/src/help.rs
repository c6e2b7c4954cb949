//! Help and documentation, written by the table.

use super::spec::{AppArg, Audit, Spec, Takes};
use crate::table::TABLE;
use crate::verb::Verb;
use domain::text;

/// Words of a list that are wider have the line to themselves.
const LEFT_MAX: usize = 28;

/// All verbs by section, one line each.
pub fn help_overview() -> Vec<String> {
    let mut lines = vec!["Deploy: git push hoist main     Everything else: ssh HOST COMMAND".to_owned()];
    let width = TABLE.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let mut group = None;
    for spec in TABLE.iter().filter(|s| !s.git) {
        if group != Some(spec.group) {
            group = Some(spec.group);
            lines.push(String::new());
            lines.push(spec.group.title().to_owned());
        }
        lines.extend(row(spec.name, width, spec.summary));
    }
    lines.push(String::new());
    lines.push("More on one: help COMMAND. Commands take --format json, for refusals too.".to_owned());
    lines
}

/// One verb in full.
pub fn help_for(verb: Verb) -> Vec<String> {
    let spec = verb.spec();
    let mut lines = hanging("usage: ", &spec.usage());
    lines.push(String::new());
    lines.extend(text::wrap(spec.summary, text::WIDTH));
    if !spec.help.is_empty() {
        lines.extend(text::wrap(spec.help, text::WIDTH));
    }
    let rows = rows(spec);
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    if !rows.is_empty() {
        lines.push(String::new());
    }
    lines.extend(rows.iter().flat_map(|(left, right)| row(left, width, right)));
    let more = (spec.more)();
    let width = more.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    if !more.is_empty() {
        lines.push(String::new());
    }
    lines.extend(more.iter().flat_map(|(left, right)| row(left, width, right)));
    lines.push(String::new());
    lines.push("examples:".to_owned());
    lines.extend(spec.examples.iter().map(|e| format!("  {e}")));
    if !spec.aliases.is_empty() {
        lines.push(String::new());
        lines.extend(hanging("also: ", &spec.aliases.join(", ")));
    }
    lines
}

/// A word and what it is, in lines that fit: a long explanation goes on below itself, or below a word that is too wide.
fn row(left: &str, width: usize, right: &str) -> Vec<String> {
    let width = width.min(LEFT_MAX);
    let room = text::WIDTH.saturating_sub(width + 4);
    let (mut lines, first) = match left.chars().count() > width {
        true => (vec![format!("  {left}")], String::new()),
        false => (Vec::new(), left.to_owned()),
    };
    let mut heads = std::iter::once(first).chain(std::iter::repeat(String::new()));
    let parts = text::wrap(right, room).into_iter();
    lines.extend(parts.filter_map(|part| Some(format!("  {:width$}  {part}", heads.next()?))));
    lines
}

/// A line that goes on below, indented by its head.
fn hanging(head: &str, line: &str) -> Vec<String> {
    let parts = text::wrap(line, text::WIDTH.saturating_sub(head.len())).into_iter().enumerate();
    parts
        .map(|(at, part)| if at == 0 { format!("{head}{part}") } else { format!("{:1$}{part}", "", head.len()) })
        .collect()
}

/// `docs/commands.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Commands\n\nGenerated from the command table; do not edit. Type them as `ssh -p PORT HOST COMMAND`, or on the \
         server as `hoist --data DIR COMMAND`.\n\nThe app is the first argument or `-a APP`. Options may stand anywhere; `--` \
         ends them. Commands take `--format json`, but for `run`, `enter` and `ps:exec`. Those that read print what they read. Those that \
         change something print one object once they are over: `command`, `app`, `exit`, `done` (what was done, in fields), `said` \
         and `warned` (their lines; of more than 1,000 the last). Refused, they write an object on standard error: `code`, \
         `what`, `why`, `next`, and of a fault of the server its id as `fault`, beside those fields; the exit status \
         is the same.\n",
    );
    let mut group = None;
    for spec in TABLE {
        if group != Some(spec.group) {
            group = Some(spec.group);
            out.push_str(&format!("\n## {}\n", spec.group.title()));
        }
        out.push_str(&format!("\n### `{}`\n\n{}.", spec.name, spec.summary));
        if !spec.help.is_empty() {
            out.push_str(&format!(" {}", spec.help));
        }
        out.push_str(&format!("\n\n```\n{}\n```\n", spec.usage()));
        let rows = rows(spec);
        if !rows.is_empty() {
            out.push('\n');
        }
        for (left, right) in rows {
            out.push_str(&format!("- `{left}`: {right}\n"));
        }
        let more = (spec.more)();
        if !more.is_empty() {
            out.push('\n');
        }
        for (left, right) in more {
            out.push_str(&format!("- `{left}`: {right}\n"));
        }
        let examples: Vec<String> = spec.examples.iter().map(|e| format!("`{e}`")).collect();
        out.push_str(&format!("\nFor example {}.", examples.join(", ")));
        if !spec.aliases.is_empty() {
            let aliases: Vec<String> = spec.aliases.iter().map(|a| format!("`{a}`")).collect();
            out.push_str(&format!(" Also typed as {}.", aliases.join(", ")));
        }
        if spec.deploy_key {
            out.push_str(" Open to deploy keys.");
        }
        out.push_str(match spec.audit {
            Audit::None => " Leaves no audit row.\n",
            Audit::Verb | Audit::Args => "\n",
        });
    }
    out
}

/// Arguments and options with what they mean.
fn rows(spec: &Spec) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    match spec.app {
        AppArg::None => {}
        AppArg::Required | AppArg::Optional => rows.push(("APP, -a APP".to_owned(), "The app".to_owned())),
        AppArg::GitPath => {
            rows.push(("APP".to_owned(), "The app, with or without a leading / and a trailing .git".to_owned()));
        }
    }
    rows.extend(spec.args.iter().map(|arg| (arg.name.to_owned(), arg.help.to_owned())));
    for flag in spec.flags {
        let short = flag.short.map(|c| format!("-{c}, ")).unwrap_or_default();
        let value = match flag.takes {
            Takes::Nothing => String::new(),
            Takes::Value(value) => format!(" {value}"),
            Takes::Confirmation => " APP".to_owned(),
            Takes::SecretPairs => " NAME=VALUE".to_owned(),
        };
        rows.push((format!("{short}--{}{value}", flag.long), flag.help.to_owned()));
    }
    if spec.takes_format() {
        rows.push(("--format text|json".to_owned(), "How to answer; --json for short".to_owned()));
    }
    rows
}
