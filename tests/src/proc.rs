//! Runs a program to its end with a deadline, and keeps what it said.

use crate::wait::try_for;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// What was run, for messages.
    pub what: String,
    /// Its exit code; 128 and the number of the signal that ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Output {
    /// It must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Output {
        self.exits(0)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Output {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// It must have failed.
    #[track_caller]
    pub fn fails(self) -> Output {
        assert_ne!(self.code, 0, "should have failed: {self}");
        self
    }

    /// Its output, either stream, must hold this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Output {
        assert!(self.all().contains(text), "does not say {text:?}: {self}");
        self
    }

    /// Its output must not hold this text.
    #[track_caller]
    pub fn hides(self, text: &str) -> Output {
        assert!(!self.all().contains(text), "should not say {text:?}: {self}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|err| panic!("not JSON ({err}): {self}"))
    }

    /// Both streams.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exited with {}\n--- out\n{}\n--- err\n{}", self.what, self.code, self.out, self.err)
    }
}

/// Runs it with `stdin`; kills it and all that it started, and fails, after `deadline`.
#[track_caller]
pub fn run(mut command: Command, stdin: &[u8], deadline: Duration) -> Output {
    let what = format!("{command:?}");
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = piped.spawn().unwrap_or_else(|err| panic!("cannot run {what}: {err}"));
    let (input, bytes) = (child.stdin.take(), stdin.to_vec());
    // A program that does not read its input closes the pipe: no failure.
    let writing = std::thread::spawn(move || drop(input.map(|mut to| to.write_all(&bytes))));
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let mut status = None;
    let ended = try_for(deadline, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        kill_group(child.id());
        let _ = child.wait();
    }
    let _ = writing.join();
    let code =
        status.map_or(-1, |s| s.code().unwrap_or(128 + std::os::unix::process::ExitStatusExt::signal(&s).unwrap_or(0)));
    let output = Output { what, code, out: out.join().unwrap(), err: err.join().unwrap() };
    assert!(ended, "not ended within {deadline:?}: {output}");
    output
}

fn collect(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn kill_group(leader: u32) {
    let _ = Command::new("kill").args(["-9", "--", &format!("-{leader}")]).status();
}

/// A word as a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_code_input_and_deadline() {
        let mut cat = Command::new("cat");
        cat.arg("-");
        assert_eq!(run(cat, b"hello", Duration::from_secs(10)).ok().out, "hello");
        run(Command::new("false"), b"", Duration::from_secs(10)).exits(1);
        let endless = || {
            let mut sleep = Command::new("sleep");
            sleep.arg("600");
            run(sleep, b"", Duration::from_millis(100))
        };
        assert!(std::panic::catch_unwind(endless).is_err());
    }

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain", "", "two words", "it's", "$(id) `id` \\ \"q\" *", "a\nb", "ünï"] {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("printf %s {}", quoted(word))]);
            assert_eq!(run(shell, b"", Duration::from_secs(10)).ok().out, word);
        }
    }
}
