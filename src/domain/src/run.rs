//! What a one-off instance runs: the words that somebody typed, as a program with its arguments. Pure.

use crate::command::{quote, quote_all};
use crate::dockerfile::Launch;
use crate::names::ProcessType;
use crate::procfile::ProcessTable;

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

#[cfg(test)]
mod tests {
    use super::*;

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
