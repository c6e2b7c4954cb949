//! What a Dockerfile's build may use. The engine's builder runs all steps of all builds in one control group of its own and
//! obeys no limits given with a build, so the limits are written to that group, and one build runs at a time on the host.
//!
//! Invariant: with the lock goes the right to write; whoever lets go of it takes the limits away again, for other people's
//! builds run in the same group, and opens the network. But not before the last process of the build is gone: one that is
//! ended for what it does would do it without limits. After a crash the next one who takes the lock writes them anew.

use crate::deploy::Job;
use crate::engine::Engine;
use crate::fault::{Act, Error, Result};
use crate::net::{BridgeGuard, HOST_FOLDER};
use crate::platform::Parts;
use crate::settings::Settings;
use crate::tasks::Tasks;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Processes and threads of a build.
pub const PROCESSES: u64 = 1_024;
const LOCK: &str = "dockerfile.lock";
const RETRY: Duration = Duration::from_millis(100);
/// How long the last processes of a build that was ended may take.
const END_MAX: Duration = Duration::from_secs(8);
const GROUPS: &str = "/sys/fs/cgroup";
/// Of the builder's group, below each hierarchy or in the only one.
const GROUP: &str = "docker/buildkit";
const PERIOD: u64 = 100_000;

/// The lock, and the limits in force while it is held.
#[derive(Debug)]
pub struct Held {
    tasks: Tasks,
    lock: Option<File>,
    group: Option<Group>,
    bridge: Option<BridgeGuard>,
    killed_before: u64,
    refused_before: u64,
}

/// The builder's control group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Group {
    /// One folder per kind of limit.
    First(PathBuf),
    /// One folder.
    Second(PathBuf),
}

/// Whether no build runs on this host; then nothing is limited any more.
pub fn leftover() -> bool {
    let Ok(lock) = File::options().write(true).open(Path::new(HOST_FOLDER).join(LOCK)) else { return false };
    let free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if free && let Some(group) = Group::find(Path::new(GROUPS)) {
        group.free();
    }
    free
}

impl Held {
    /// Waits for its turn on this host and sets the limits.
    pub async fn acquire(p: &Parts, job: &Job) -> Result<Held> {
        let folder = Path::new(HOST_FOLDER);
        fs::create_dir_all(folder).act(|| format!("cannot make {HOST_FOLDER}"))?;
        let path = folder.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.act(|| format!("cannot open {}", path.display()))?;
        let mut said = false;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if !said {
                job.detail("Waiting: another Dockerfile is being built on this server");
                said = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        let group = Group::find(Path::new(GROUPS));
        let unlimited = match &group {
            Some(group) => group.limit(&p.settings).err().map(|err| err.to_string()),
            None => Some("the engine's builder has no control group that can be written".to_owned()),
        };
        if let Some(why) = unlimited {
            tracing::warn!("a Dockerfile's build runs without limits: {why}");
            job.warn("This build's memory and processes are not limited: the engine gives no way to do so");
        }
        let count = |what: fn(&Group) -> u64| group.as_ref().map_or(0, what);
        let (killed_before, refused_before) = (count(Group::killed), count(Group::refused));
        Ok(Held { tasks: p.tasks.clone(), lock: Some(lock), group, bridge: None, killed_before, refused_before })
    }

    /// Takes over the closed network.
    pub fn close(&mut self, bridge: BridgeGuard) {
        self.bridge = Some(bridge);
    }

    /// Keeps it closed; ends only when it cannot be kept.
    pub async fn keep_closed(&self, engine: &dyn Engine) -> Error {
        match &self.bridge {
            Some(bridge) => bridge.keep(engine).await,
            None => std::future::pending().await,
        }
    }

    /// Whether the kernel ended something of this build for its memory.
    pub fn out_of_memory(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.killed() > self.killed_before)
    }

    /// How often a process could not be started because there were too many.
    pub fn forks_refused(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.refused().saturating_sub(self.refused_before))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (lock, group) = (self.lock.take(), self.group.take());
        self.tasks.spawn("lift a build's limits", |_| async move {
            let end = tokio::time::Instant::now() + END_MAX;
            while group.as_ref().is_some_and(Group::busy) && tokio::time::Instant::now() < end {
                tokio::time::sleep(RETRY).await;
            }
            // Also where it was being closed when the build ended.
            if let Err(err) = crate::net::open_default_bridge().await {
                tracing::warn!("the default bridge stays closed to the unknown: {}", err.lines().join("; "));
            }
            if let Some(group) = group {
                group.free();
            }
            drop(lock);
        });
    }
}

impl Group {
    /// The group, made if the builder has not run yet.
    fn find(root: &Path) -> Option<Group> {
        if root.join("memory/docker").is_dir() {
            for kind in ["memory", "cpu", "pids"] {
                fs::create_dir_all(root.join(kind).join(GROUP)).ok()?;
            }
            return Some(Group::First(root.to_path_buf()));
        }
        let only = root.join(GROUP);
        if root.join("cgroup.controllers").is_file() && root.join("docker").is_dir() {
            fs::create_dir_all(&only).ok()?;
            return only.join("memory.max").is_file().then_some(Group::Second(only));
        }
        None
    }

    fn limit(&self, settings: &Settings) -> std::io::Result<()> {
        let memory = settings.build_memory;
        let quota = settings.build_cpu.saturating_mul(PERIOD) / 1_000;
        match self {
            Group::First(_) => {
                // Memory with swap can never be below memory: away first, then down.
                let _ = self.write("memory", "memory.memsw.limit_in_bytes", "-1");
                self.write("memory", "memory.limit_in_bytes", &memory.to_string())?;
                let _ = self.write("memory", "memory.memsw.limit_in_bytes", &memory.to_string());
                self.write("pids", "pids.max", &PROCESSES.to_string())?;
                // What has no limit of its own gives way to what serves.
                self.write("cpu", "cpu.shares", "256")?;
                match quota {
                    0 => Ok(()),
                    quota => self.write("cpu", "cpu.cfs_quota_us", &quota.to_string()),
                }
            }
            Group::Second(_) => {
                self.write("", "memory.max", &memory.to_string())?;
                let _ = self.write("", "memory.swap.max", "0");
                self.write("", "pids.max", &PROCESSES.to_string())?;
                self.write("", "cpu.weight", "25")?;
                match quota {
                    0 => Ok(()),
                    quota => self.write("", "cpu.max", &format!("{quota} {PERIOD}")),
                }
            }
        }
    }

    fn free(&self) {
        let all: &[(&str, &str, &str)] = match self {
            Group::First(_) => &[
                ("memory", "memory.memsw.limit_in_bytes", "-1"),
                ("memory", "memory.limit_in_bytes", "-1"),
                ("pids", "pids.max", "max"),
                ("cpu", "cpu.shares", "1024"),
                ("cpu", "cpu.cfs_quota_us", "-1"),
            ],
            Group::Second(_) => &[
                ("", "memory.max", "max"),
                ("", "memory.swap.max", "max"),
                ("", "pids.max", "max"),
                ("", "cpu.weight", "100"),
                ("", "cpu.max", "max"),
            ],
        };
        for (kind, file, value) in all {
            let _ = self.write(kind, file, value);
        }
    }

    fn path(&self, kind: &str, file: &str) -> PathBuf {
        match self {
            Group::First(root) => root.join(kind).join(GROUP).join(file),
            Group::Second(only) => only.join(file),
        }
    }

    fn write(&self, kind: &str, file: &str, value: &str) -> std::io::Result<()> {
        fs::write(self.path(kind, file), value)
    }

    fn killed(&self) -> u64 {
        match self {
            Group::First(_) => self.count("memory", "memory.oom_control", "oom_kill "),
            Group::Second(_) => self.count("", "memory.events", "oom_kill "),
        }
    }

    /// Whether a process is in it, ours or of a build that somebody else began.
    fn busy(&self) -> bool {
        let kind = if matches!(self, Group::First(_)) { "pids" } else { "" };
        let count = fs::read_to_string(self.path(kind, "pids.current")).unwrap_or_default();
        count.trim().parse::<u64>().is_ok_and(|count| count > 0)
    }

    fn refused(&self) -> u64 {
        match self {
            Group::First(_) => self.count("pids", "pids.events", "max "),
            Group::Second(_) => self.count("", "pids.events", "max "),
        }
    }

    /// A counter of the group and, where the kernel counts each apart, of those in it that are there now.
    fn count(&self, kind: &str, file: &str, key: &str) -> u64 {
        let own = self.path(kind, file);
        let folder = own.parent().map(Path::to_path_buf).unwrap_or_default();
        let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().join(file));
        let value = |path: PathBuf| {
            let text = fs::read_to_string(path).ok()?;
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        std::iter::once(own).chain(below).filter_map(value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Group::find(root.path()), None);
        fs::create_dir_all(root.path().join("docker/buildkit")).unwrap();
        fs::write(root.path().join("cgroup.controllers"), "memory pids").unwrap();
        assert_eq!(Group::find(root.path()), None, "the builder's group has no memory limit");
        fs::write(root.path().join("docker/buildkit/memory.max"), "max").unwrap();
        let second = Group::find(root.path()).unwrap();
        assert!(matches!(second, Group::Second(_)));
        fs::write(second.path("", "memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        assert_eq!(second.killed(), 2);
        fs::create_dir_all(root.path().join("memory/docker")).unwrap();
        let first = Group::find(root.path()).unwrap();
        assert!(matches!(first, Group::First(_)) && root.path().join("pids/docker/buildkit").is_dir());
        first.free();
        assert_eq!(fs::read_to_string(first.path("pids", "pids.max")).unwrap(), "max");
    }
}
