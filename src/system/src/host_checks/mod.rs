//! Looks at the machine for `doctor`, and at disks. Nothing is decided here, nothing is changed, and every look has a deadline.

mod names;
mod ports;
mod used;

pub use names::names;
pub use ports::holders;
pub use used::{bytes_below, used};

use crate::proc::{self, Limits, Program};
use crate::rights;
use domain::doctor::{Disk, Folder};
use domain::programs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// A file system's room.
pub fn disk(what: &str, path: &Path) -> Disk {
    let seen = rustix::fs::statvfs(path).ok();
    Disk {
        what: what.to_owned(),
        path: path.display().to_string(),
        bytes: seen.as_ref().map(|s| (s.f_bavail * s.f_frsize, s.f_blocks * s.f_frsize)),
        inodes: seen.as_ref().map_or((0, 0), |s| (s.f_favail, s.f_files)),
    }
}

/// Who may enter a folder; `None` where there is none.
pub fn folder(path: &Path, wanted: String) -> Option<Folder> {
    let meta = path.metadata().ok()?;
    let (mode, owner) = (meta.permissions().mode() & 0o777, rights::name_of(meta.uid()));
    Some(Folder { path: path.display().to_string(), mode, owner, wanted })
}

/// The user that a process runs as. By its status: `/proc/PID` itself belongs to root once a process has given rights up.
pub fn user_of(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    Some(rights::name_of(line.split_whitespace().nth(1)?.parse().ok()?))
}

/// Whether bridges call the firewall; `None` where the kernel has no such setting.
pub fn bridges_call() -> Option<bool> {
    let text = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").ok()?;
    Some(text.trim() == "1")
}

/// The programs that the server starts, and whether each is installed.
pub fn programs() -> Vec<(programs::Program, bool)> {
    programs::of_server().into_iter().map(|one| (one, proc::is_installed(one.name))).collect()
}

/// Whether the kernel says that its clock is kept right; `None` where nobody can be asked.
pub async fn clock_kept() -> Option<bool> {
    let ask = Program::new("timedatectl", Path::new("/")).args(["show", "--property=NTPSynchronized", "--value"]);
    let done = proc::run(&ask, b"", Limits::seconds(3)).await.ok().filter(|done| done.code == 0)?;
    match done.text().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}
