//! Which Go: what go.mod asks for, what the app had before, what Go's proxy has.
//! Invariant: an app keeps the version it was given until that no longer fits what it asks for.
//! Absent: prereleases, and lines before the proxy had toolchains: those are built by a newer Go, which keeps their meaning.

use super::modfile::GoMod;
use crate::facts::{Facts, Question, Stop};
use crate::plan::{Arch, Pins};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};

/// The line of an app that asks for none, or for one before toolchains.
const DEFAULT_LINE: (u32, u32) = (1, 26);
/// The first line whose toolchains the proxy has.
const FIRST_LINE: (u32, u32) = (1, 21);
/// The oldest line that got fixes when this was written.
const OLDEST_MAINTAINED: (u32, u32) = (1, 26);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Go {
    pub(crate) version: String,
    pub(crate) decided: String,
    pub(crate) warnings: Vec<String>,
}

type Triple = (u32, u32, u32);

/// `1.24`, `1.24.5`; the flag says whether a patch was named.
fn parse(text: &str) -> Option<(Triple, bool)> {
    let mut parts = text.trim().split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next());
    let named = patch.is_some();
    (parts.next().is_none()).then_some(((major, minor, patch.unwrap_or(Some(0))?), named))
}

/// Asks Go's module proxy, which names each toolchain once for each system: `v0.0.1-go1.24.5.linux-amd64`.
fn published(arch: Arch) -> Question {
    fn read(text: &str, machine: &str) -> Option<Vec<String>> {
        let version = |word: &str| Some(word.strip_suffix(machine)?.split_once("-go")?.1.to_owned());
        Some(text.split_whitespace().filter_map(version).collect())
    }
    let argv = ["env", "GOTOOLCHAIN=local", "go", "list", "-m", "-versions", "golang.org/toolchain"];
    Question {
        id: "go".to_owned(),
        name: "Go".to_owned(),
        registry: "the Go module proxy",
        argv: argv.map(str::to_owned).to_vec(),
        read: match arch {
            Arch::X64 => |text| read(text, ".linux-amd64"),
            Arch::Arm64 => |text| read(text, ".linux-arm64"),
        },
    }
}

/// The version to build with, or what is missing to know it.
pub(crate) fn choose(gomod: &GoMod, arch: Arch, pins: &Pins, facts: &Facts) -> Result<Go, Stop> {
    let (text, place) = match (&gomod.heroku_go, &gomod.toolchain, &gomod.go) {
        (Some(text), _, _) => (Some(text.as_str()), "// +heroku goVersion"),
        (None, Some(text), _) => (Some(text.as_str()), "toolchain"),
        (None, None, Some(text)) => (Some(text.as_str()), "go"),
        (None, None, None) => (None, "go"),
    };
    let asked = match text {
        None => None,
        Some(text) => Some(parse(text).ok_or_else(|| Stop::Refuse(unclear(text, place)))?.0),
    };
    let mut said = match text {
        Some(text) => format!("{place} {} in go.mod", quote(text)),
        None => "nothing asks for a version".to_owned(),
    };
    let mut low = asked.unwrap_or((DEFAULT_LINE.0, DEFAULT_LINE.1, 0));
    if (low.0, low.1) < FIRST_LINE {
        low = (DEFAULT_LINE.0, DEFAULT_LINE.1, 0);
        said.push_str(", which a newer Go builds as it was");
    }
    let kept = |version: Triple| (version.0, version.1) == (low.0, low.1) && version >= low;
    // An app that asks for nothing keeps its line.
    let any = asked.is_none_or(|asked| (asked.0, asked.1) < FIRST_LINE);
    let pin = pins.get("go").and_then(|pin| Some((parse(pin)?.0, pin)));
    if let Some((version, pin)) = pin.filter(|(version, _)| kept(*version) || any) {
        return Ok(go(pin.clone(), version, format!("{said}, as at the last build")));
    }
    let published = facts.get(published(arch))?;
    let all: Vec<(Triple, &String)> = published.iter().filter_map(|text| Some((parse(text)?.0, text))).collect();
    match all.iter().filter(|(version, _)| kept(*version)).max() {
        Some((version, text)) => Ok(go((*text).clone(), *version, said)),
        None => Err(Stop::Refuse(absent(text.unwrap_or(""), place, &all))),
    }
}

fn go(version: String, numbers: Triple, said: String) -> Go {
    let mut warnings = Vec::new();
    if (numbers.0, numbers.1) < OLDEST_MAINTAINED {
        let (major, minor) = OLDEST_MAINTAINED;
        warnings.push(format!(
            "Go {}.{} gets no security fixes any more: `go get go@{major}.{minor} && go mod tidy`",
            numbers.0, numbers.1
        ));
    }
    Go { decided: format!("Go {version} ({said})"), version, warnings }
}

fn unclear(text: &str, place: &str) -> Refusal {
    let what = format!("{place} in go.mod does not say a Go version that can be understood");
    let next = format!("write a released version such as {}.{} there", DEFAULT_LINE.0, DEFAULT_LINE.1);
    Refusal::new(Code::GoVersionUnclear, what, format!("it says {}", quote(text)), &next)
}

fn absent(text: &str, place: &str, there: &[(Triple, &String)]) -> Refusal {
    let mut lines: Vec<(u32, u32)> = there.iter().map(|((major, minor, _), _)| (*major, *minor)).collect();
    lines.sort_unstable();
    lines.dedup();
    let newest =
        |line: &(u32, u32)| there.iter().filter(|(v, _)| (v.0, v.1) == *line).max().map(|(_, text)| text.as_str());
    let known: Vec<&str> = lines.iter().rev().take(6).filter_map(newest).collect();
    let why = match known.is_empty() {
        true => "the module proxy names no toolchain".to_owned(),
        false => format!("go.mod asks for {place} {}; there are {} and older", quote(text), known.join(", ")),
    };
    let line = known.first().copied().unwrap_or("1.26");
    Refusal::new(
        Code::GoVersionUnavailable,
        "there is no such Go",
        why,
        &format!("`go get go@{line} toolchain@none && go mod tidy`, commit and push"),
    )
}
