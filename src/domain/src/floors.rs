//! Versions of other people's programs below which a Dockerfile gets out of its walls, with the reason of each. Pure.
//!
//! Distributions mend old versions: where one has, its version of the package says so. A version that cannot be read is
//! below no floor: `doctor` shows it as it is.

use std::fmt;

/// A part of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Docker Engine, which brings a BuildKit that does not say its version.
    Engine,
    /// What makes images from Dockerfiles.
    BuildKit,
    /// What keeps images and starts containers.
    Containerd,
    /// What makes a container.
    Runc,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Engine => "Docker Engine",
            Part::BuildKit => "BuildKit",
            Part::Containerd => "containerd",
            Part::Runc => "runc",
        })
    }
}

/// One floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// Of what.
    pub part: Part,
    /// The first version that is good; older lines that were mended stand in `lines`.
    pub at_least: &'static str,
    /// Whether Dockerfiles are refused below it.
    pub refused: bool,
    /// What happens below it.
    pub why: &'static str,
    /// Versions of older lines from which on they are good: upstream's, and a distribution's with its last number.
    lines: &'static [&'static str],
}

/// Every floor, the gravest first. Sources: the projects' own advisories, and Debian's changelogs for its lines.
pub const FLOORS: &[Floor] = &[
    Floor {
        part: Part::Engine,
        at_least: "25.0.2",
        refused: true,
        why: "its BuildKit is older than 0.12.5: a step removes or reads files of the host (CVE-2024-23651, CVE-2024-23652)",
        lines: &["24.0.9"],
    },
    Floor {
        part: Part::BuildKit,
        at_least: "0.12.5",
        refused: true,
        why: "a step removes or reads files of the host (CVE-2024-23651, CVE-2024-23652)",
        lines: &[],
    },
    Floor {
        part: Part::Runc,
        at_least: "1.1.12",
        refused: true,
        why: "an image's working folder is the host's file system (CVE-2024-21626)",
        lines: &["1.1.5+ds1-1+deb12u1"],
    },
    Floor {
        part: Part::Runc,
        at_least: "1.4.0",
        refused: false,
        why: "a step that races its own mounts writes to files of the kernel (CVE-2025-31133)",
        lines: &["1.3.3", "1.2.8", "1.1.15+ds1-2+deb13u1"],
    },
    Floor {
        part: Part::Containerd,
        at_least: "1.6.18",
        refused: false,
        why: "a program has groups that its user has not (CVE-2023-25173)",
        lines: &["1.5.18"],
    },
];

/// The floors that this version is below.
pub fn below(part: Part, version: &str) -> impl Iterator<Item = &'static Floor> {
    let version = version.trim_start_matches('v').to_owned();
    let mended = move |floor: &&'static Floor| match numbers(&version) {
        None => true,
        Some(seen) => Some(seen) >= numbers(floor.at_least) || floor.lines.iter().any(|line| same_line(&version, line)),
    };
    FLOORS.iter().filter(move |floor| floor.part == part).filter(move |floor| !mended(floor))
}

/// The first three numbers; `None` where it does not begin with one.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut all = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u64>);
    let first = all.next()?.ok()?;
    let mut next = || all.next().and_then(Result::ok).unwrap_or(0);
    // A program that was built without its version says three noughts.
    Some([first, next(), next()]).filter(|numbers| *numbers != [0, 0, 0])
}

/// Whether a version is of the line of `from`, and not older: all the same but for the last number.
fn same_line(version: &str, from: &str) -> bool {
    let split = |text: &str| {
        let at = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        Some((text.get(..at)?.to_owned(), text.get(at..)?.parse::<u64>().ok()?))
    };
    // A rebuild of a Debian package adds `+b1`.
    let plain = version.rsplit_once("+b").map_or(version, |(front, _)| front);
    let upstream = version.split(['+', '~', '-']).next().unwrap_or(version);
    let candidates = if from.contains('+') { [plain, plain] } else { [plain, upstream] };
    candidates
        .iter()
        .any(|one| split(one).zip(split(from)).is_some_and(|(one, from)| one.0 == from.0 && one.1 >= from.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_their_floors() {
        let count = |part, version: &str| below(part, version).count();
        for (part, version, wanted) in [
            (Part::BuildKit, "v0.12.5", 0),
            (Part::BuildKit, "v0.12.4", 1),
            (Part::BuildKit, "0.8.3-3-g244e8cde", 1),
            (Part::BuildKit, "v0.13.2+abc", 0),
            (Part::BuildKit, "", 0),
            (Part::BuildKit, "v0.0.0+unknown", 0),
            (Part::Engine, "20.10.24+dfsg1", 1),
            (Part::Engine, "24.0.9", 0),
            (Part::Engine, "25.0.1", 1),
            (Part::Engine, "26.1.5+dfsg1", 0),
            (Part::Runc, "1.1.4", 2),
            (Part::Runc, "1.1.12", 1),
            (Part::Runc, "1.1.5+ds1", 2),
            (Part::Runc, "1.1.5+ds1-1+deb12u1", 1),
            (Part::Runc, "1.1.5+ds1-1+deb12u7+b2", 1),
            (Part::Runc, "1.1.15+ds1-2+b4", 1),
            (Part::Runc, "1.1.15+ds1-2+deb13u1", 0),
            (Part::Runc, "1.1.15+ds1-2+deb13u2+b1", 0),
            (Part::Runc, "1.2.8", 0),
            (Part::Runc, "1.2.7", 1),
            (Part::Runc, "1.3.6+ds1-1", 0),
            (Part::Runc, "1.4.0", 0),
            (Part::Runc, "unknown", 0),
            (Part::Containerd, "1.6.20~ds1-1+deb12u2", 0),
            (Part::Containerd, "1.4.13", 1),
            (Part::Containerd, "1.5.18", 0),
            (Part::Containerd, "1.7.24~ds1-6+deb13u1", 0),
        ] {
            assert_eq!(count(part, version), wanted, "{part} {version}");
        }
        assert!(below(Part::BuildKit, "0.8.3").all(|floor| floor.refused));
    }
}
