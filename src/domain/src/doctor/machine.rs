//! Findings about the machine: disks, folders, clock, and what waits.

use super::finding::Finding;
use crate::programs::{Program, Use};
use crate::text::human_bytes;

/// A file system that we fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `data` or `docker`.
    pub what: String,
    /// The folder.
    pub path: String,
    /// Free and all bytes; `None`: it cannot be read.
    pub bytes: Option<(u64, u64)>,
    /// Free and all inodes; none at all where the file system does not count them.
    pub inodes: (u64, u64),
}

/// A folder that only its owner may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The folder.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner's name.
    pub owner: String,
    /// Who should be its owner.
    pub wanted: String,
}

/// The clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Unix time.
    pub now: i64,
    /// Seconds by which it was moved since the server's start.
    pub stepped: i64,
    /// The kernel says that it is kept right by the network; `None`: nobody here can be asked.
    pub kept: Option<bool>,
}

/// A deploy that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// Seconds since its last step.
    pub idle: u64,
}

/// Below this, builds begin to fail.
const FREE_BAD: u64 = 2_000_000_000;
const FREE_WARN: u64 = 5_000_000_000;
/// Below one in so many, it is time.
const SHARE_WARN: u64 = 20;
const INODES_BAD: u64 = 10_000;
/// 2025-01-01: this program did not exist before.
const BORN: i64 = 1_735_689_600;
/// A clock that is kept right moves by less.
const STEP_MAX: i64 = 2;

/// One line for all that are there, one for each that is missing.
pub(super) fn programs(seen: &[(Program, bool)]) -> Vec<Finding> {
    let there: Vec<&str> = seen.iter().filter(|(_, there)| *there).map(|(one, _)| one.name).collect();
    let missing = seen.iter().filter(|(_, there)| !there).map(|(one, _)| match one.used {
        Use::Doctor => Finding::warn("programs", format!("{} is missing: one check is less", one.name), one.install()),
        Use::Serve | Use::Setup | Use::Build | Use::Tests | Use::Bench => {
            Finding::bad("programs", format!("{} is missing: the server needs it", one.name), one.install())
        }
    });
    [Finding::ok("programs", there.join(", "))].into_iter().chain(missing).collect()
}

pub(super) fn disk(seen: &Disk) -> Finding {
    let fix = || match seen.what.as_str() {
        "docker" => "docker system df; docker image prune (never -a: that removes images to roll back to)".to_owned(),
        _ => format!("du -xh --max-depth=2 {} | sort -h; with the server ended, cache/ and blobs/ may go", seen.path),
    };
    let Some((free, all)) = seen.bytes else {
        return Finding::warn("disk", format!("{}: cannot be read", seen.path), format!("df {}", seen.path));
    };
    let (free_inodes, inodes) = seen.inodes;
    let what = format!("{} ({}): {} of {} free", seen.path, seen.what, human_bytes(free), human_bytes(all));
    if inodes > 0 && free_inodes < INODES_BAD {
        return Finding::bad("disk", format!("{what}, {free_inodes} inodes free: no room for files"), fix());
    }
    if free < FREE_BAD {
        return Finding::bad("disk", what, fix());
    }
    if inodes > 0 && free_inodes < inodes / SHARE_WARN {
        return Finding::warn("disk", format!("{what}, {free_inodes} of {inodes} inodes free"), fix());
    }
    if free < FREE_WARN || free < all / SHARE_WARN {
        return Finding::warn("disk", what, fix());
    }
    Finding::ok("disk", what)
}

pub(super) fn folder(seen: &Folder) -> Finding {
    let what = format!("{} of {}, mode {:o}", seen.path, seen.owner, seen.mode);
    if seen.mode & 0o077 != 0 {
        return Finding::bad("folder", format!("{what}: others get in"), format!("chmod 700 {}", seen.path));
    }
    if seen.owner != seen.wanted {
        return Finding::bad(
            "folder",
            format!("{what}: it should be of {}", seen.wanted),
            format!("chown -R {} {}", seen.wanted, seen.path),
        );
    }
    Finding::ok("folder", what)
}

pub(super) fn clock(seen: &Clock) -> Finding {
    let fix = "apt-get install systemd-timesyncd (or chrony), then timedatectl set-ntp true";
    if seen.now < BORN {
        return Finding::bad("clock", "it is years behind", fix);
    }
    if seen.stepped.abs() > STEP_MAX {
        return Finding::warn("clock", format!("it was moved by {} s since the server's start", seen.stepped), fix);
    }
    match seen.kept {
        Some(true) => Finding::ok("clock", "kept right by the network"),
        Some(false) => Finding::warn("clock", "nothing keeps it right", fix),
        None => Finding::ok("clock", "steady since the server's start; whether it is right cannot be seen from here"),
    }
}

pub(super) fn queue(waiting: &[Waiting], step_max: u64) -> Finding {
    match waiting.iter().max_by_key(|deploy| deploy.idle) {
        None => Finding::ok("queue", "no deploy waits"),
        Some(longest) if longest.idle <= step_max => {
            Finding::ok("queue", format!("{} under way or waiting", waiting.len()))
        }
        Some(longest) => Finding::bad(
            "queue",
            format!("deploy {} made no step for {} min", longest.id, longest.idle / 60),
            "systemctl restart hoist (by hand: end hoist serve and start it again): it goes on where it was",
        ),
    }
}
