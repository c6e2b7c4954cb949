//! Runs a program to its end with a deadline, and keeps what it said.

use crate::programs::program;
use crate::wait::try_for;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// A push may install packages.
const END_MAX: Duration = Duration::from_secs(300);

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
pub fn run(command: Command, stdin: &[u8], deadline: Duration) -> Output {
    let mut running = Running::start_with(command, stdin);
    running.end_within(deadline)
}

/// A program that runs in a process group of its own. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    streams: Option<(JoinHandle<()>, JoinHandle<String>, JoinHandle<String>)>,
}

impl Running {
    /// Starts it without input, to be interrupted as in a terminal: whoever runs the tests in the background of a shell
    /// has SIGINT ignored, and programs inherit that.
    #[track_caller]
    pub fn start(command: Command) -> Running {
        let mut env = program("env");
        env.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => env.env(name, value),
                None => env.env_remove(name),
            };
        }
        Running::start_with(env, b"")
    }

    #[track_caller]
    fn start_with(mut command: Command, stdin: &[u8]) -> Running {
        let what = format!("{command:?}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = piped.spawn().unwrap_or_else(|err| panic!("cannot run {what}: {err}"));
        let (input, bytes) = (child.stdin.take(), stdin.to_vec());
        // A program that does not read its input closes the pipe: no failure.
        let writing = std::thread::spawn(move || drop(input.map(|mut to| to.write_all(&bytes))));
        let streams = Some((writing, collect(child.stdout.take()), collect(child.stderr.take())));
        Running { what, child, streams }
    }

    /// What Ctrl-C in a terminal does: SIGINT to the whole group.
    pub fn interrupt(&self) {
        let _ = program("kill").args(["-2", "--", &format!("-{}", self.child.id())]).status();
    }

    /// Whether it is over.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Output {
        self.end_within(END_MAX)
    }

    #[track_caller]
    fn end_within(&mut self, deadline: Duration) -> Output {
        let ended = try_for(deadline, || self.is_over());
        if !ended {
            kill_group(self.child.id());
        }
        let status = self.child.wait().unwrap();
        let code = status
            .code()
            .unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default());
        let (writing, out, err) = self.streams.take().unwrap();
        let _ = writing.join();
        let output = Output { what: self.what.clone(), code, out: out.join().unwrap(), err: err.join().unwrap() };
        assert!(ended, "not ended within {deadline:?}: {output}");
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.streams.is_some() && !self.is_over() {
            kill_group(self.child.id());
            let _ = self.child.wait();
        }
    }
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
    let _ = program("kill").args(["-9", "--", &format!("-{leader}")]).status();
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
        let mut cat = program("cat");
        cat.arg("-");
        assert_eq!(run(cat, b"hello", Duration::from_secs(10)).ok().out, "hello");
        run(program("false"), b"", Duration::from_secs(10)).exits(1);
        let endless = || {
            let mut sleep = program("sleep");
            sleep.arg("600");
            run(sleep, b"", Duration::from_millis(100))
        };
        assert!(std::panic::catch_unwind(endless).is_err());
    }

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain", "", "two words", "it's", "$(id) `id` \\ \"q\" *", "a\nb", "ünï"] {
            let mut shell = program("sh");
            shell.args(["-c", &format!("printf %s {}", quoted(word))]);
            assert_eq!(run(shell, b"", Duration::from_secs(10)).ok().out, word);
        }
    }
}
