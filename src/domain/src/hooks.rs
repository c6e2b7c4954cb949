//! The operator's hooks: where each belongs, what it is told, which files are safe to run, how much of its output is shown.
//!
//! Absent: config vars, in any form. Starting programs is the server's.

use crate::deploy::Effect;
use crate::ids::{BuildId, DeployId};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::report::Status;
use crate::text::plain;
use serde::Serialize;
use std::collections::VecDeque;

/// The version of [`Document`]; raised when a field changes its meaning or goes.
pub const DOCUMENT_VERSION: u32 = 1;
/// Lines of one hook that are shown.
const LINES_MAX: usize = 500;
/// Bytes of one line.
pub const LINE_MAX: usize = 2_000;
/// Lines kept of the end: of what is not shown, and for the cause.
const TAIL: usize = 10;

/// A hook's name; `None` for steps that are no hooks.
pub fn name(effect: Effect) -> Option<&'static str> {
    match effect {
        Effect::PreBuild => Some("pre-build"),
        Effect::PreRelease => Some("pre-release"),
        Effect::PostDeploy => Some("post-deploy"),
        Effect::OnFailure => Some("on-failure"),
        Effect::Build
        | Effect::Cut
        | Effect::Prepare
        | Effect::Boot
        | Effect::Commit
        | Effect::Route
        | Effect::MoveBranch
        | Effect::Retire
        | Effect::Discard => None,
    }
}

/// What a hook reads on standard input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// [`DOCUMENT_VERSION`].
    pub version: u32,
    /// Which hook is called.
    pub hook: String,
    /// How the job stands.
    pub status: Status,
    /// `push`, `rebuild`, `config`, `rollback`.
    pub kind: String,
    /// The job's number: the same in all hooks of one job, also when one is called again after a crash.
    pub deploy: DeployId,
    /// The app.
    pub app: AppPart,
    /// Who asked.
    pub actor: String,
    /// The fingerprint of the key; `null` for root.
    pub key: Option<String>,
    /// The commit that runs or is to run.
    pub commit: Option<String>,
    /// The branch that was pushed.
    pub branch: Option<String>,
    /// The app's bare repository on this server; the commit is in it.
    pub repository: String,
    /// What was built, or is taken again.
    pub build: Option<BuildPart>,
    /// The release, once it has its number.
    pub release: Option<String>,
    /// The release that serves while this one is made.
    pub serving: Option<String>,
    /// Why it came to nothing.
    pub failure: Option<FailurePart>,
}

/// See [`Document`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppPart {
    /// Its immutable id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it answers.
    pub urls: Vec<String>,
}

/// See [`Document`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildPart {
    /// Its number.
    pub id: BuildId,
    /// What was found.
    pub language: String,
    /// The image's name in the engine.
    pub image: Option<String>,
    /// The image's digest.
    pub digest: Option<String>,
}

/// See [`Document`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailurePart {
    /// The stable code.
    pub code: Code,
    /// The sentence.
    pub reason: String,
}

/// What is known of a file before it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is a file (a link to one counts).
    pub is_file: bool,
    /// Its owner.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// Why a file is not run, or nothing. The folder that it lies in is asked about too: who may write there may replace it.
pub fn vet(file: Facts, folder: Facts) -> Result<(), String> {
    if !file.is_file {
        return Err("it is not a file".to_owned());
    }
    if file.owner != 0 || folder.owner != 0 {
        let of = if file.owner == 0 { "its folder" } else { "it" };
        return Err(format!("{of} belongs to user {}, not to root", file.owner.max(folder.owner)));
    }
    if file.mode & 0o022 != 0 {
        return Err(format!("others than root may write to it (mode {:o})", file.mode & 0o7777));
    }
    if folder.mode & 0o022 != 0 {
        return Err(format!("others than root may write to its folder (mode {:o})", folder.mode & 0o7777));
    }
    if file.mode & 0o111 == 0 {
        return Err(format!("it is not executable (mode {:o})", file.mode & 0o7777));
    }
    Ok(())
}

/// What is shown of a hook's output: its beginning, and its end where there was too much.
#[derive(Debug, Default)]
pub struct Screen {
    shown: usize,
    skipped: usize,
    tail: VecDeque<String>,
}

impl Screen {
    /// Takes a line; the text to show now, if any.
    pub fn take(&mut self, line: &str) -> Option<String> {
        let line: String = plain(line).chars().take(LINE_MAX).collect();
        self.tail.push_back(line.clone());
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
        if self.shown < LINES_MAX {
            self.shown += 1;
            return Some(line);
        }
        self.skipped += 1;
        None
    }

    /// What is left to show at the end.
    pub fn rest(&self) -> Vec<String> {
        let last = self.skipped.min(self.tail.len());
        let mut lines = Vec::new();
        if self.skipped > last {
            lines.push(format!("({} not shown)", crate::text::counted(self.skipped - last, "line")));
        }
        lines.extend(self.tail.iter().skip(self.tail.len() - last).cloned());
        lines
    }

    /// The last lines that say something, for the cause.
    pub fn cause(&self) -> String {
        let said: Vec<&str> = self.tail.iter().map(String::as_str).filter(|l| !l.trim().is_empty()).collect();
        said.get(said.len().saturating_sub(3)..).unwrap_or_default().join("\n")
    }
}

/// How a hook's run ended, where it did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It said no.
    Exit(i32),
    /// It was not done in time; the seconds it had.
    Slow(u64),
    /// It is not run: why.
    Unsafe(String),
    /// It could not be started: why.
    NoStart(String),
}

/// The refusal of a hook that had to agree; of the others it is the report.
pub fn refusal(hook: &str, trouble: &Trouble, cause: &str) -> Refusal {
    let administrator = "tell the administrator of this server";
    match trouble {
        Trouble::Exit(code) => {
            Refusal::new(Code::HookRefused, format!("the server's hook {hook} says no (exit status {code})"))
                .why(cause)
                .next("do what it says, or ask the administrator of this server; push again")
        }
        Trouble::Slow(seconds) => Refusal::new(
            Code::HookSlow,
            format!("the server's hook {hook} was not done after {seconds} s and was ended"),
        )
        .why(cause)
        .next(administrator),
        Trouble::Unsafe(why) => {
            Refusal::new(Code::HookUnsafe, format!("the server's hook {hook} is not run: {why}")).next(administrator)
        }
        Trouble::NoStart(why) => {
            Refusal::new(Code::HookBroken, format!("the server's hook {hook} cannot be started: {why}"))
                .next(administrator)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roots_own_files_are_run() {
        let facts = |owner, mode| Facts { is_file: true, owner, mode };
        let folder = facts(0, 0o40_700);
        for (file, folder, want) in [
            (facts(0, 0o100_755), folder, Ok(())),
            (facts(0, 0o100_500), folder, Ok(())),
            (facts(1000, 0o100_755), folder, Err("it belongs to user 1000, not to root")),
            (facts(0, 0o100_755), facts(1000, 0o755), Err("its folder belongs to user 1000, not to root")),
            (facts(0, 0o100_775), folder, Err("others than root may write to it (mode 775)")),
            (facts(0, 0o100_757), folder, Err("others than root may write to it (mode 757)")),
            (facts(0, 0o100_755), facts(0, 0o40_777), Err("others than root may write to its folder (mode 777)")),
            (facts(0, 0o100_644), folder, Err("it is not executable (mode 644)")),
            (Facts { is_file: false, ..facts(0, 0o40_755) }, folder, Err("it is not a file")),
        ] {
            assert_eq!(vet(file, folder), want.map_err(str::to_owned), "{file:?}");
        }
    }

    #[test]
    fn a_flood_shows_its_beginning_and_its_end() {
        let mut screen = Screen::default();
        let shown = (0..10_000).filter_map(|n| screen.take(&format!("line {n}\u{1b}[1m"))).count();
        assert_eq!(shown, LINES_MAX);
        let rest = screen.rest();
        assert_eq!((rest.len(), rest[0].as_str()), (TAIL + 1, "(9490 lines not shown)"));
        assert_eq!(rest.last().unwrap(), "line 9999");
        assert_eq!(screen.cause(), "line 9997\nline 9998\nline 9999");
        let mut short = Screen::default();
        short.take("one");
        short.take("");
        assert!(short.rest().is_empty());
        assert_eq!(short.cause(), "one");
    }

    #[test]
    fn troubles_are_told() {
        let said = |t| refusal("pre-build", &t, "frozen").lines().join(" | ");
        assert_eq!(
            said(Trouble::Exit(3)),
            "the server's hook pre-build says no (exit status 3) | frozen | next: do what it says, or ask the administrator of this server; push again"
        );
        assert!(said(Trouble::Slow(60)).contains("was not done after 60 s and was ended"));
        assert!(said(Trouble::Unsafe("x".into())).contains("is not run: x"));
        assert!(said(Trouble::NoStart("x".into())).contains("cannot be started: x"));
        assert_eq!(Effect::ALL.iter().filter(|e| name(**e).is_some() != e.is_hook()).count(), 0);
    }
}
