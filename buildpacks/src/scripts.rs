//! Scripts that were made on Windows: not marked as executable, or with lines that end with CR LF. Both are known from the
//! commit, and each fails at its start with words that name neither.
//! Invariant: only what is sure to fail is a refusal; what a command or a build may mend itself is none.
//! Absent: reading files; what a script starts in its turn.

use crate::refusal::{Code, Refusal, quote};

/// Shells, which read a script whatever its mode.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];
/// Words that stand before the program of a command.
const BEFORE: [&str; 7] = ["exec", "env", "nice", "time", "tini", "dumb-init", "--"];
/// Programs that mend such a script before it is started.
const MENDERS: [&str; 5] = ["chmod", "dos2unix", "sed", "tr", "install"];

/// A script that a command starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// As the command names it.
    pub word: String,
    /// Whether the kernel starts it; otherwise a shell reads it.
    pub direct: bool,
}

/// What is wrong with a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its mode in git is 100644.
    Mode,
    /// The line that names its interpreter ends with CR LF.
    Interpreter,
    /// Its lines end with CR LF, and a shell reads them.
    Lines,
}

/// The script that a command of a process type begins with, if it names one by a path.
pub fn started(command: &str) -> Option<Script> {
    if command.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| MENDERS.contains(&word)) {
        return None;
    }
    let words = command.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect::<Vec<_>>();
    script(&words)
}

/// The same for the words of an image's ENTRYPOINT and CMD.
pub fn started_by(words: &[String]) -> Option<Script> {
    match words {
        // The form without brackets: the shell gets one text.
        [shell, flag, text] if is_shell(shell) && flag == "-c" => started(text),
        words => script(&words.iter().map(String::as_str).collect::<Vec<_>>()),
    }
}

fn script(words: &[&str]) -> Option<Script> {
    let passed = |word: &&&str| {
        let variable = word.split_once('=').is_some_and(|(name, _)| !name.contains(['/', '.']));
        variable || BEFORE.contains(&name_of(word))
    };
    let mut words = words.iter().skip_while(passed);
    let first = words.next()?;
    let end = |word: &&str| word.trim_end_matches([';', '&']).to_owned();
    if is_shell(first) {
        let word = words.next().filter(|word| !word.starts_with('-'))?;
        return Some(Script { word: end(word), direct: false });
    }
    first.contains('/').then(|| Script { word: end(first), direct: true })
}

fn name_of<'a>(word: &&'a str) -> &'a str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_shell(word: &str) -> bool {
    SHELLS.contains(&name_of(&word))
}

/// What is wrong with a script of this mode and with this beginning; nothing, mostly.
pub fn troubles(script: &Script, executable: bool, begin: &[u8]) -> Vec<Trouble> {
    let first = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let names = first.starts_with(b"#!");
    // Without such a line a shell reads it after all; a program is no text.
    let read = !script.direct || (!names && !begin.contains(&0));
    let mode = (script.direct && !executable).then_some(Trouble::Mode);
    let lines = if script.direct && names {
        first.ends_with(b"\r").then_some(Trouble::Interpreter)
    } else {
        (read && begin.windows(2).any(|pair| pair == b"\r\n")).then_some(Trouble::Lines)
    };
    mode.into_iter().chain(lines).collect()
}

/// What is said of all of them together.
pub fn refusal_of(troubles: &[Trouble], path: &str, who: &str) -> Option<Refusal> {
    let mut all = troubles.iter().map(|trouble| refusal(*trouble, path, who));
    let first = all.next()?;
    Some(all.fold(first, |no, more| more.next.into_iter().fold(no.because(&more.what), Refusal::or)))
}

/// Whether what was printed is the end of the script's own start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sure {
    /// It ended with a status that only a failed start has.
    Yes,
    /// It may be about anything that a step did.
    No,
}

/// What shells, the kernel and an instance's init print of a script that is not executable, or whose lines end with CR LF.
pub fn said(lines: &[&str], who: &str, sure: Sure) -> Option<Refusal> {
    let is_script = |word: &str| {
        let own = !["/usr/", "/bin/", "/sbin/", "/opt/", "/proc/", "/dev/"].iter().any(|root| word.starts_with(root));
        word.starts_with("./") || word.ends_with(".sh") || (sure == Sure::Yes && own && word.contains('/'))
    };
    lines.iter().rev().find_map(|line| {
        let line = line.trim_end();
        if let Some(before) = line.strip_suffix(": Permission denied") {
            let path = before.rsplit([' ', ':']).find(|word| !word.is_empty())?;
            return is_script(path).then(|| refusal(Trouble::Mode, in_repository(path), who));
        }
        // bash names the script first; env and the kernel only the program that is not there.
        let interpreter = line.contains("^M: bad interpreter") || line.contains("\\r\u{2019}: No such file");
        let interpreter = interpreter || line.contains("\\r': No such file") || line.contains("\\r: No such file");
        let shell = line.contains("$'\\r': command not found") || line.contains("\\r: not found");
        let unclear = line.contains(": cannot execute: required file not found")
            || line.contains(": it, or the interpreter it names, does not exist");
        let named = line.split([' ', ':']).find(|word| is_script(word)).map(in_repository);
        match (interpreter, shell, named.filter(|_| unclear && sure == Sure::Yes)) {
            (true, _, _) => Some(refusal(Trouble::Interpreter, named.unwrap_or("a script"), who)),
            (false, true, _) => Some(refusal(Trouble::Lines, named.unwrap_or("a script"), who)),
            (false, false, Some(path)) => Some(not_there(path, who)),
            (false, false, None) => None,
        }
    })
}

/// A path of an instance as it is in the repository, as far as that can be known.
fn in_repository(path: &str) -> &str {
    path.trim_start_matches("/app/").trim_start_matches("./")
}

/// One that the kernel does not find, or whose interpreter it does not find: the words are the same for both.
fn not_there(path: &str, who: &str) -> Refusal {
    let no = refusal(Trouble::Interpreter, path, who);
    Refusal {
        what: format!("{} cannot be started: it, or the program that its first line names, is not there", quote(path)),
        why:
            "where the file is there, that line ends with CR LF, as on Windows, or names a program that the image lacks"
                .to_owned(),
        ..no
    }
}

/// What is said of it: `path` is the file's path in the repository, `who` what starts it (`web in the Procfile`).
pub fn refusal(trouble: Trouble, path: &str, who: &str) -> Refusal {
    let shown = quote(path);
    // Where in the repository a file of an image comes from, git finds.
    let file = match path.rsplit_once('/').filter(|_| path.starts_with('/')) {
        Some((_, name)) => format!("$(git ls-files {})", shell_word(&format!(":(glob)**/{name}"))),
        None => shell_word(path),
    };
    match trouble {
        Trouble::Mode => Refusal::new(
            Code::NotExecutable,
            format!("{shown} cannot be started: it is not marked as executable"),
            format!("{} starts it, and its mode in git is 100644, as git on Windows commits a script", quote(who)),
            &format!("git update-index --chmod=+x {file} && git commit -m 'Executable', push again"),
        )
        .or(format!("on Linux and macOS also: chmod +x {file}")),
        Trouble::Interpreter | Trouble::Lines => {
            let why = match trouble {
                Trouble::Interpreter => {
                    "its first line ends with CR LF, and Linux takes the CR for a part of the interpreter's name"
                }
                Trouble::Mode | Trouble::Lines => {
                    "its lines end with CR LF, and a shell takes the CR for a part of each line"
                }
            };
            let pattern = match path.rsplit_once('.') {
                Some((_, "sh")) => "*.sh".to_owned(),
                Some(_) | None if path.starts_with('/') => path.rsplit('/').next().unwrap_or(path).to_owned(),
                Some(_) | None => format!("/{path}"),
            };
            let attribute = shell_word(&format!("{pattern} text eol=lf"));
            Refusal::new(
                Code::WindowsLineEnds,
                format!("{shown} has the line ends of Windows"),
                format!("{} starts it; {why}", quote(who)),
                &format!(
                    "echo {attribute} >>.gitattributes && git add .gitattributes && git add --renormalize . && git commit -m 'Line ends of Linux', push again"
                ),
            )
        }
    }
}

/// A word as a shell takes it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn scripts_that_commands_start() {
        let shown = |command: &str| match started(command) {
            Some(Script { word, direct: true }) => format!("runs {word}"),
            Some(Script { word, .. }) => format!("reads {word}"),
            None => "none".to_owned(),
        };
        for (command, want) in [
            ("./start.sh", "runs ./start.sh"),
            ("exec ./start.sh --port $PORT", "runs ./start.sh"),
            ("A=1 B=./x bin/run; true", "runs bin/run"),
            ("/app/start.sh && x", "runs /app/start.sh"),
            ("bash start.sh", "reads start.sh"),
            ("exec /bin/sh ./start.sh x", "reads ./start.sh"),
            ("\"./my start.sh\"", "runs ./my"),
            ("bash -lc ./start.sh", "none"),
            ("chmod +x start.sh && ./start.sh", "none"),
            ("./start.sh || dos2unix start.sh", "none"),
            ("node server.js", "none"),
            ("gunicorn app:app", "none"),
            ("", "none"),
        ] {
            assert_eq!(shown(command), want, "{command}");
        }
        let words = |words: &[&str]| started_by(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let runs = |word: &str| Some(Script { word: word.to_owned(), direct: true });
        assert_eq!(words(&["/entrypoint.sh", "x"]), runs("/entrypoint.sh"));
        assert_eq!(words(&["/sbin/tini", "--", "./run"]), runs("./run"));
        assert_eq!(words(&["/bin/sh", "-c", "./start.sh"]), runs("./start.sh"));
        assert_eq!(words(&["sh", "start.sh"]), Some(Script { word: "start.sh".to_owned(), direct: false }));
        assert_eq!(words(&[]), None);
    }

    #[test]
    fn what_is_wrong_with_them() {
        let of = |direct, executable, text: &[u8]| troubles(&Script { word: String::new(), direct }, executable, text);
        assert_eq!(of(true, false, b"#!/bin/sh\n"), [Trouble::Mode]);
        assert_eq!(of(true, false, b"#!/bin/sh\r\n"), [Trouble::Mode, Trouble::Interpreter]);
        assert_eq!(of(true, true, b"#!/bin/sh\r\nexec x\r\n"), [Trouble::Interpreter]);
        assert_eq!(of(true, true, b"exec x\r\n"), [Trouble::Lines]);
        assert_eq!(of(false, false, b"#!/bin/sh\r\nexec x\r\n"), [Trouble::Lines]);
        for (direct, executable, fine) in [
            (true, true, &b"#!/bin/sh\nexec x\n"[..]),
            (true, true, b"#!/usr/bin/env python3\nprint()\r\n"),
            (true, true, b"\x7fELF\0\0\r\n"),
            (false, false, b"exec x\n"),
            (true, true, b""),
        ] {
            assert_eq!(of(direct, executable, fine), []);
        }
    }

    #[test]
    fn what_was_printed_of_a_start() {
        let of = |line: &str, sure| {
            said(&[line], "web", sure).map_or_else(|| "nothing".to_owned(), |no| no.next.join(" | "))
        };
        let mode = |file: &str| {
            format!(
                "git update-index --chmod=+x {file} && git commit -m 'Executable', push again | on Linux and macOS also: chmod +x {file}"
            )
        };
        assert_eq!(of("/bin/bash: line 1: ./start.sh: Permission denied", Sure::No), mode("start.sh"));
        assert_eq!(of("/bin/bash: line 1: bin/run: Permission denied", Sure::Yes), mode("bin/run"));
        assert_eq!(of("/bin/bash: line 1: /app/bin/run: Permission denied", Sure::Yes), mode("bin/run"));
        let image = mode("$(git ls-files ':(glob)**/entry')");
        assert_eq!(of("cannot start /srv/docker/entry: Permission denied", Sure::Yes), image);
        assert_eq!(of("/bin/bash: line 1: bin/run: Permission denied", Sure::No), "nothing");
        assert_eq!(of("sh: 1: cannot open /dev/x: Permission denied", Sure::Yes), "nothing");
        let ends = "/bin/bash: line 1: ./start.sh: cannot execute: required file not found";
        assert!(of(ends, Sure::Yes).starts_with("echo '*.sh text eol=lf' >>.gitattributes"));
        assert_eq!(of(ends, Sure::No), "nothing");
        let init = "cannot start ./web: it, or the interpreter it names, does not exist";
        assert!(of(init, Sure::Yes).starts_with("echo '/web text eol=lf' >>.gitattributes"));
        assert_eq!(of("Error: listen EACCES: permission denied 0.0.0.0:80", Sure::Yes), "nothing");
    }

    #[test]
    fn what_is_said() {
        let check = |trouble, path: &str, expect: Expect| {
            expect.assert_eq(&refusal(trouble, path, "web in the Procfile").to_string());
        };
        check(
            Trouble::Mode,
            "start.sh",
            expect![[r#"
                start.sh cannot be started: it is not marked as executable
                web in the Procfile starts it, and its mode in git is 100644, as git on Windows commits a script
                -> git update-index --chmod=+x start.sh && git commit -m 'Executable', push again
                -> on Linux and macOS also: chmod +x start.sh"#]],
        );
        check(
            Trouble::Mode,
            "my web/it's.sh",
            expect![[r#"
                my web/it's.sh cannot be started: it is not marked as executable
                web in the Procfile starts it, and its mode in git is 100644, as git on Windows commits a script
                -> git update-index --chmod=+x 'my web/it'\''s.sh' && git commit -m 'Executable', push again
                -> on Linux and macOS also: chmod +x 'my web/it'\''s.sh'"#]],
        );
        check(
            Trouble::Interpreter,
            "bin/run",
            expect![[r#"
            bin/run has the line ends of Windows
            web in the Procfile starts it; its first line ends with CR LF, and Linux takes the CR for a part of the interpreter's name
            -> echo '/bin/run text eol=lf' >>.gitattributes && git add .gitattributes && git add --renormalize . && git commit -m 'Line ends of Linux', push again"#]],
        );
        let both = refusal_of(&[Trouble::Mode, Trouble::Interpreter], "start.sh", "release").unwrap();
        expect![[r#"
            start.sh cannot be started: it is not marked as executable
            release starts it, and its mode in git is 100644, as git on Windows commits a script; start.sh has the line ends of Windows
            -> git update-index --chmod=+x start.sh && git commit -m 'Executable', push again
            -> on Linux and macOS also: chmod +x start.sh
            -> echo '*.sh text eol=lf' >>.gitattributes && git add .gitattributes && git add --renormalize . && git commit -m 'Line ends of Linux', push again"#]].assert_eq(&both.to_string());
        check(
            Trouble::Lines,
            "start.sh",
            expect![[r#"
            start.sh has the line ends of Windows
            web in the Procfile starts it; its lines end with CR LF, and a shell takes the CR for a part of each line
            -> echo '*.sh text eol=lf' >>.gitattributes && git add .gitattributes && git add --renormalize . && git commit -m 'Line ends of Linux', push again"#]],
        );
    }
}
