//! The programs that anything here starts, and the Debian package that brings each: `scripts/programs`, the one list.
//!
//! Scripts read the same file. Absent: looking whether a program is there, which is its caller's.

use crate::Refusal;
use crate::refusal::Code;
use serde::Serialize;

const LIST: &str = include_str!("../../../scripts/programs");

/// Who starts a program: the innermost use, as each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// The server, which does not do without.
    Serve,
    /// The server, which does without.
    Doctor,
    /// The scripts that set up, or Docker Engine.
    Setup,
    /// The compiler of Hoist.
    Build,
    /// The tests.
    Tests,
    /// The benchmarks.
    Bench,
}

impl Use {
    fn read(word: &str) -> Option<Use> {
        Some(match word {
            "serve" => Use::Serve,
            "doctor" => Use::Doctor,
            "setup" => Use::Setup,
            "build" => Use::Build,
            "tests" => Use::Tests,
            "bench" => Use::Bench,
            _ => return None,
        })
    }
}

/// A program of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its name, or a file's path.
    pub name: &'static str,
    /// The package, or several with `|` between them, of which a release of Debian has one; `-`: none brings it.
    pub package: &'static str,
    /// Who starts it.
    #[serde(rename = "use")]
    pub used: Use,
}

impl Program {
    /// What to type where it is missing.
    pub fn install(&self) -> String {
        match self.package.split_once('|') {
            Some((one, other)) => format!("apt-get install {one} (or: {other})"),
            None if self.package == "-" => format!("install {}", self.name),
            None => format!("apt-get install {}", self.package),
        }
    }

    /// What somebody is told who needed it.
    pub fn missing(&self) -> Refusal {
        Refusal::new(Code::ProgramMissing, format!("{} is not installed on the server", self.name))
            .next(format!("an administrator: {}, then doctor; then try again", self.install()))
    }
}

/// The whole list, in its order.
pub fn listed() -> impl Iterator<Item = Program> {
    LIST.lines().filter(|line| !line.starts_with('#')).flat_map(|line| {
        let mut words = line.split_whitespace();
        let (package, used) = (words.next().unwrap_or("-"), words.next().and_then(Use::read));
        words.filter_map(move |name| Some(Program { name, package, used: used? }))
    })
}

/// A program by its name.
pub fn find(name: &str) -> Option<Program> {
    listed().find(|program| program.name == name)
}

/// What the server itself starts.
pub fn of_server() -> Vec<Program> {
    listed().filter(|program| program.used <= Use::Doctor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_line_is_understood_and_each_program_is_there_once() {
        let lines = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines.clone() {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(words.len() > 2 && Use::read(words[1]).is_some(), "{line:?} is not PACKAGE USE PROGRAM…");
        }
        let words: usize = lines.map(|line| line.split_whitespace().count() - 2).sum();
        let names: BTreeSet<&str> = listed().map(|program| program.name).collect();
        assert_eq!((listed().count(), names.len()), (words, words), "a program is on two lines");
    }

    #[test]
    fn what_the_server_starts_and_who_brings_it() {
        let names: Vec<&str> = of_server().iter().map(|program| program.name).collect();
        assert_eq!(names, ["git", "nft", "rm", "ip", "nsenter", "unshare", "timedatectl"]);
        assert_eq!(find("nft").unwrap().install(), "apt-get install nftables");
        assert!(find("docker").unwrap().install().starts_with("apt-get install docker-cli (or: docker."));
        assert_eq!(find("cargo").unwrap().install(), "install cargo");
        assert!(find("no-such-program").is_none() && find("serve").is_none());
        let lines = find("git").unwrap().missing().lines();
        let next = "next: an administrator: apt-get install git, then doctor; then try again";
        assert_eq!(lines, ["git is not installed on the server", next]);
    }
}
