//! What a one-off instance runs: the words that somebody typed, as a program with its arguments. Pure.

use crate::dockerfile::Launch;
use crate::names::ProcessType;
use crate::procfile::ProcessTable;
use crate::words::{quote, quote_all};

/// The process type of one-off instances: `run.1`.
pub const RUN: &str = "run";
/// The shell of our images, which commands of a Procfile run through as well.
const SHELL: [&str; 2] = ["/bin/bash", "-c"];
/// The one that most other images have.
const PLAIN_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What helps where an image has none.
pub const NO_SHELL: &str = "next: the image has no shell; name a program and its arguments: -- PROGRAM ARGUMENT";

/// Whether it was a shell that could not be started, for want of it.
pub fn no_shell(why: &str) -> bool {
    let cannot = |shell: &str| why.starts_with(&format!("cannot start {shell}:"));
    [SHELL, PLAIN_SHELL].iter().any(|[shell, _]| cannot(shell)) && why.contains("does not exist")
}

/// How a one-off instance ended: `with exit code 3 after 2 s (stopped by ana)`.
pub fn how_ended(code: Option<i64>, ran_millis: u64, why: &str) -> String {
    let code = code.map_or_else(|| "without an exit code".to_owned(), |code| format!("with exit code {code}"));
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    format!("{code} after {}{why}", crate::time::human_millis(ran_millis))
}

/// A command as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What `ps` and events show.
    pub shown: String,
}

/// One word is a process type of the release, or a line for the shell; several are a program and its arguments.
/// In the image of a Dockerfile a process type starts as its release starts it, ENTRYPOINT and all; other words run without
/// the image's ENTRYPOINT, which may be a program that knows nothing of them.
pub fn meant(words: &[String], table: &ProcessTable, image: Option<&Launch>) -> Meant {
    let shell = if image.is_some() { PLAIN_SHELL } else { SHELL };
    let through_shell = |line: &str| shell.iter().map(|w| (*w).to_owned()).chain([line.to_owned()]).collect();
    match words {
        [one] => {
            let command = one.parse::<ProcessType>().ok().and_then(|name| table.get(&name));
            match command {
                Some(command) => {
                    let argv = image.map_or_else(|| through_shell(command), |image| image.argv(one, command));
                    Meant { argv, shown: format!("{one}: {command}") }
                }
                None if one.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_./".contains(c)) => {
                    Meant { argv: through_shell(one), shown: one.clone() }
                }
                // Without anything for a shell in it, the program itself hears signals.
                None => Meant { argv: vec![one.clone()], shown: quote(one) },
            }
        }
        many => Meant { argv: many.to_vec(), shown: quote_all(many.iter().map(String::as_str)) },
    }
}

/// The words of `enter` and `ps:exec`, the first of which may name an instance: that one, and the command. `known` are the
/// instances and process types that run; what looks like an instance (`web.1`) is meant as one in any case.
pub fn placed<'a>(place: Option<&'a str>, command: &[String], known: &[String]) -> (Option<&'a str>, Vec<String>) {
    match place {
        Some(word) if !command.is_empty() && !is_label(word) && !known.iter().any(|k| k == word) => {
            let whole = match command {
                [line] if line.contains(char::is_whitespace) => vec![format!("{} {line}", quote(word))],
                words => [word.to_owned()].into_iter().chain(words.iter().cloned()).collect(),
            };
            (None, whole)
        }
        place => (place, command.to_vec()),
    }
}

/// Whether a word looks like an instance: `web.1`.
pub fn is_label(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Programs that talk with whoever sits at a terminal when they are started without arguments.
const TALKERS: [&str; 20] = [
    "bash",
    "sh",
    "zsh",
    "dash",
    "ash",
    "fish",
    "node",
    "python",
    "python3",
    "irb",
    "iex",
    "psql",
    "mysql",
    "redis-cli",
    "sqlite3",
    "top",
    "htop",
    "vi",
    "vim",
    "nano",
];

/// Whether a command (none is a shell) is of no use to a person without a terminal.
pub fn wants_terminal(argv: &[String]) -> bool {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    match argv {
        [] => true,
        [program, rest @ ..] => {
            let program = name(program);
            let console = || ["rails", "manage.py", "artisan"].contains(&program.as_str());
            if console() {
                return rest
                    .first()
                    .is_some_and(|word| ["c", "console", "shell", "dbshell", "tinker"].contains(&word.as_str()));
            }
            TALKERS.contains(&program.as_str())
                && rest.iter().all(|word| ["-i", "-l", "--login"].contains(&word.as_str()))
        }
    }
}

/// What somebody is told who has none; `ssh` is how this server is reached, `typed` the command.
pub fn no_terminal(ssh: &str, typed: &str) -> String {
    let ssh = ssh.strip_prefix("ssh ").unwrap_or(ssh);
    format!("No terminal came along: no prompt will show. With one: ssh -t {ssh} {typed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_a_terminal() {
        let wants = |line: &str| wants_terminal(&crate::words::words(line).unwrap());
        for yes in ["", "bash", "/bin/sh", "bash -l", "node", "rails console", "bin/rails c", "psql"] {
            assert!(wants(yes), "{yes}");
        }
        for no in ["bash -c ls", "node a.js", "ls", "rails db:migrate", "bin/rails", "psql -c x"] {
            assert!(!wants(no), "{no}");
        }
        assert_eq!(
            no_terminal("ssh -p 2222 hoist@h", "run blog bash"),
            "No terminal came along: no prompt will show. With one: ssh -t -p 2222 hoist@h run blog bash"
        );
    }

    #[test]
    fn the_first_word_may_name_an_instance() {
        let check = |place: Option<&str>, command: &[&str], want: (Option<&str>, &[&str])| {
            let command: Vec<String> = command.iter().map(|w| (*w).to_owned()).collect();
            let known = ["web".to_owned(), "web.1".to_owned()];
            let (place, words) = placed(place, &command, &known);
            assert_eq!((place, words.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), want);
        };
        check(Some("web.1"), &["ls"], (Some("web.1"), &["ls"]));
        check(Some("web"), &["ls"], (Some("web"), &["ls"]));
        check(Some("web.9"), &["ls"], (Some("web.9"), &["ls"]));
        check(Some("ls"), &["-l"], (None, &["ls", "-l"]));
        check(Some("cat"), &["f | wc -l"], (None, &["cat f | wc -l"]));
        check(Some("nope"), &[], (Some("nope"), &[]));
        check(None, &["ls"], (None, &["ls"]));
    }

    #[test]
    fn words_and_what_they_mean() {
        let table: ProcessTable = [("worker".parse().unwrap(), "node w.js | cat".to_owned())].into();
        let check = |words: &[&str], argv: &[&str], shown: &str| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            let got = meant(&words, &table, None);
            assert_eq!((got.argv, got.shown.as_str()), (argv.iter().map(|w| (*w).to_owned()).collect(), shown));
        };
        check(&["worker"], &["/bin/bash", "-c", "node w.js | cat"], "worker: node w.js | cat");
        check(&["bash"], &["bash"], "bash");
        check(&["./bin/x-y_z"], &["./bin/x-y_z"], "./bin/x-y_z");
        check(&["echo $A | wc"], &["/bin/bash", "-c", "echo $A | wc"], "echo $A | wc");
        check(&["A=1"], &["/bin/bash", "-c", "A=1"], "A=1");
        check(&["worker", "x"], &["worker", "x"], "worker x");
        check(&["echo", "$A b"], &["echo", "$A b"], "echo '$A b'");
        check(&[""], &[""], "''");
    }
}
