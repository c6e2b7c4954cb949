//! Control groups of the builder: one for itself, and one for the steps of each app's builds.
//!
//! Invariant: everything is below one folder of this installation; nobody else's groups are read or written.

use domain::{AppId, InstallId};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel shows them.
pub const GROUPS: &str = "/sys/fs/cgroup";
/// The controllers that are used.
const KINDS: [&str; 3] = ["memory", "cpu", "pids"];
const PERIOD: u64 = 100_000;
/// The group of the builder itself.
const ITSELF: &str = "itself";
/// Where BuildKit makes a step's group.
const STEPS: &str = "buildkit";

/// What a group may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, files in memory included.
    pub memory: u64,
    /// Thousandths of a processor; 0: no limit.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// The groups of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    version: Version,
    root: PathBuf,
    name: String,
}

/// How the kernel arranges them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// One tree per controller.
    First,
    /// One tree.
    Second,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    groups: Groups,
    /// From the root of the tree: `/hoist-h7k2q-builder/a1b2c3d4`.
    pub path: String,
}

impl Groups {
    /// Those below `root`; nothing where this kernel, or whoever we run in, offers none.
    pub fn find(root: &Path, install: &InstallId) -> Option<Groups> {
        let version = if KINDS.iter().all(|kind| root.join(kind).is_dir()) {
            Version::First
        } else if root.join("cgroup.controllers").is_file() {
            Version::Second
        } else {
            return None;
        };
        Some(Groups { version, root: root.to_owned(), name: format!("/{}", name(install)) })
    }

    /// The builder's own.
    pub fn itself(&self) -> Group {
        Group { groups: self.clone(), path: format!("{}/{ITSELF}", self.name) }
    }

    /// That of an app's builds.
    pub fn of(&self, app: &AppId) -> Group {
        Group { groups: self.clone(), path: format!("{}/{app}", self.name) }
    }

    /// Removes those of this installation that nobody is in.
    pub fn remove(&self) {
        for tree in self.all_trees() {
            remove_below(&tree.join(self.name.trim_start_matches('/')), 4);
        }
    }

    /// Also those of controllers that nothing is limited by: what runs steps makes a group in each.
    fn all_trees(&self) -> Vec<PathBuf> {
        match self.version {
            Version::First => {
                fs::read_dir(&self.root).into_iter().flatten().flatten().map(|tree| tree.path()).collect()
            }
            Version::Second => vec![self.root.clone()],
        }
    }

    fn trees(&self) -> Vec<PathBuf> {
        match self.version {
            Version::First => KINDS.iter().map(|kind| self.root.join(kind)).collect(),
            Version::Second => vec![self.root.clone()],
        }
    }
}

impl Group {
    /// Makes it, with these limits.
    pub fn limit(&self, limits: Limits) -> io::Result<()> {
        for folder in self.folders() {
            fs::create_dir_all(folder)?;
        }
        let quota = limits.cpu_millis.saturating_mul(PERIOD) / 1_000;
        match self.groups.version {
            Version::First => {
                // Memory with swap can never be below memory: away first, then down.
                let _ = self.write("memory", "memory.memsw.limit_in_bytes", "-1");
                self.write("memory", "memory.limit_in_bytes", &limits.memory.to_string())?;
                // Without accounting of swap there is no such file.
                let _ = self.write("memory", "memory.memsw.limit_in_bytes", &limits.memory.to_string());
                self.write("pids", "pids.max", &limits.processes.to_string())?;
                // What has no limit of its own gives way to what serves.
                self.write("cpu", "cpu.shares", "256")?;
                let quota = i64::try_from(quota).ok().filter(|quota| *quota > 0).unwrap_or(-1);
                self.write("cpu", "cpu.cfs_quota_us", &quota.to_string())
            }
            Version::Second => {
                self.hand_down()?;
                self.write("", "memory.max", &limits.memory.to_string())?;
                let _ = self.write("", "memory.swap.max", "0");
                self.write("", "pids.max", &limits.processes.to_string())?;
                self.write("", "cpu.weight", "25")?;
                match quota {
                    0 => self.write("", "cpu.max", "max"),
                    quota => self.write("", "cpu.max", &format!("{quota} {PERIOD}")),
                }
            }
        }
    }

    /// Its folders, one per tree: who writes a process id into `cgroup.procs` of each is in it.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.groups.trees().iter().map(|tree| tree.join(self.path.trim_start_matches('/'))).collect()
    }

    /// How often the kernel ended something in it for its memory.
    pub fn killed(&self) -> u64 {
        match self.groups.version {
            Version::First => self.count("memory", "memory.oom_control", "oom_kill "),
            Version::Second => self.count("", "memory.events", "oom_kill "),
        }
    }

    /// How often a process could not be started because there were too many.
    pub fn refused(&self) -> u64 {
        let kind = if self.groups.version == Version::First { "pids" } else { "" };
        self.count(kind, "pids.events", "max ")
    }

    /// One process of each step that runs in it now.
    pub fn steps(&self) -> Vec<u32> {
        let kind = if self.groups.version == Version::First { "pids" } else { "" };
        let steps = fs::read_dir(self.path(kind, STEPS)).into_iter().flatten().flatten();
        let first = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path().join("cgroup.procs")).ok()?;
            text.lines().next()?.parse().ok()
        };
        steps.filter_map(first).collect()
    }

    /// Removes it, if nobody is in it.
    pub fn remove(&self) {
        for tree in self.groups.all_trees() {
            remove_below(&tree.join(self.path.trim_start_matches('/')), 3);
        }
    }

    fn path(&self, kind: &str, file: &str) -> PathBuf {
        self.groups.root.join(kind).join(self.path.trim_start_matches('/')).join(file)
    }

    fn write(&self, kind: &str, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path(kind, file), value)
    }

    /// In one tree, a folder's controllers work below it when it says so, from the root down.
    fn hand_down(&self) -> io::Result<()> {
        let mut folder = self.groups.root.clone();
        let enable = KINDS.map(|kind| format!("+{kind}")).join(" ");
        for part in self.path.split('/').filter(|part| !part.is_empty()) {
            fs::write(folder.join("cgroup.subtree_control"), &enable)?;
            folder.push(part);
        }
        Ok(())
    }

    /// A counter of the group and, where the kernel counts each apart, of those in it that are there now.
    fn count(&self, kind: &str, file: &str, key: &str) -> u64 {
        let value = |path: PathBuf| {
            let text = fs::read_to_string(path).ok()?;
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        let steps = fs::read_dir(self.path(kind, STEPS)).into_iter().flatten().flatten();
        let own = value(self.path(kind, file)).unwrap_or(0);
        steps.filter_map(|entry| value(entry.path().join(file))).sum::<u64>().max(own)
    }
}

/// The group above all others of a builder.
pub fn name(install: &InstallId) -> String {
    format!("hoist-{install}-builder")
}

/// Removes groups from the innermost up; the kernel keeps those that somebody is in.
fn remove_below(folder: &Path, depth: usize) {
    if depth > 0 {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_below(&entry.path(), depth - 1);
            }
        }
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install() -> InstallId {
        "abcd".parse().unwrap()
    }

    #[test]
    fn groups_are_found_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Groups::find(root.path(), &install()), None);
        fs::write(root.path().join("cgroup.controllers"), "memory pids").unwrap();
        assert_eq!(Groups::find(root.path(), &install()).unwrap().version, Version::Second);
        for kind in KINDS {
            fs::create_dir(root.path().join(kind)).unwrap();
        }
        assert_eq!(Groups::find(root.path(), &install()).unwrap().version, Version::First);
    }

    #[test]
    fn limits_are_written_where_the_kernel_reads_them() {
        let root = tempfile::tempdir().unwrap();
        for kind in KINDS {
            fs::create_dir(root.path().join(kind)).unwrap();
        }
        let app: AppId = "h7k2q3m4".parse().unwrap();
        let group = Groups::find(root.path(), &install()).unwrap().of(&app);
        group.limit(Limits { memory: 300, cpu_millis: 1_500, processes: 7 }).unwrap();
        let read = |kind: &str, file: &str| fs::read_to_string(group.path(kind, file)).unwrap();
        assert_eq!(group.path, "/hoist-abcd-builder/h7k2q3m4");
        assert_eq!((read("memory", "memory.limit_in_bytes"), read("pids", "pids.max")), ("300".into(), "7".into()));
        assert_eq!(read("cpu", "cpu.cfs_quota_us"), "150000");
        let step = group.path("pids", "buildkit/s1");
        fs::create_dir_all(&step).unwrap();
        fs::write(step.join("cgroup.procs"), "42\n43\n").unwrap();
        fs::write(step.join("pids.events"), "max 3\n").unwrap();
        assert_eq!((group.steps(), group.refused(), group.killed()), (vec![42], 3, 0));
    }

    #[test]
    fn one_tree_hands_its_controllers_down() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "").unwrap();
        let group = Groups::find(root.path(), &install()).unwrap().itself();
        group.limit(Limits { memory: 9, cpu_millis: 0, processes: 1 }).unwrap();
        for folder in ["", "hoist-abcd-builder"] {
            let enabled = fs::read_to_string(root.path().join(folder).join("cgroup.subtree_control")).unwrap();
            assert_eq!(enabled, "+memory +cpu +pids");
        }
        fs::write(group.path("", "memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        assert_eq!(group.killed(), 2);
    }
}
