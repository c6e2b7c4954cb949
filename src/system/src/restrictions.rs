//! Walls around a program of somebody else's that reads what strangers send: memory for each of its processes, a group with
//! a total for all of them where the kernel lets one be made, and the first place in line when the host runs out.
//!
//! The walls are put up by this binary (`hoist limited …`) on itself, before it becomes the program: no moment without them,
//! and children inherit them. Absent: any choice of numbers.

use crate::fault::{Act, Error, Fault, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// The word by which the binary puts up walls.
pub const VERB: &str = "limited";
/// Where the kernel's groups are.
const GROUPS: &str = "/sys/fs/cgroup";
/// Of -1000 to 1000: ended before any app and before the server.
const FIRST_TO_GO: &str = "600";
/// Where there is no group.
const NO_GROUP: &str = "-";
/// `env` and shells say so when a program cannot be started.
const NOT_STARTED: u8 = 126;

/// A quarter of this machine's memory in bytes, 256 MB at least and 2,048 MB at most.
pub fn share_of_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    (total.unwrap_or(0) * 1024 / 4).clamp(256_000_000, 2_048_000_000)
}

/// What a program is run within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walls {
    /// This binary.
    pub bin: PathBuf,
    /// Bytes of memory that each process may write to, files that are only read aside.
    pub memory: u64,
    /// The group that all belong to.
    pub group: Option<Group>,
}

impl Walls {
    /// The words before the program's own: `hoist limited MEMORY GROUP`.
    pub fn words(&self) -> [String; 3] {
        let group = self.group.as_ref().map_or_else(|| NO_GROUP.to_owned(), |g| g.0.to_string_lossy().into_owned());
        [VERB.to_owned(), self.memory.to_string(), group]
    }

    /// The same with another number of bytes.
    #[must_use]
    pub fn with_memory(&self, memory: u64) -> Walls {
        Walls { memory, ..self.clone() }
    }
}

/// A control group of the kernel with a total of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(PathBuf);

impl Group {
    /// Makes a group of this name with a total, by whichever of the kernel's two ways; `None` where it cannot be made: in a
    /// container, say. Blocking.
    pub fn make(name: &str, total: u64) -> Option<Group> {
        Group::make_below(Path::new(GROUPS), name, total)
    }

    fn make_below(root: &Path, name: &str, total: u64) -> Option<Group> {
        let first = root.join("memory");
        let second = root.join("cgroup.controllers").is_file();
        let (folder, file, swap) = if second {
            (root.join(name), "memory.max", ("memory.swap.max", "0".to_owned()))
        } else if first.is_dir() {
            (first.join(name), "memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", total.to_string()))
        } else {
            return None;
        };
        let made = match fs::create_dir(&folder) {
            Err(err) if err.kind() != std::io::ErrorKind::AlreadyExists => return None,
            made => made.is_ok(),
        };
        if second && !folder.join(file).is_file() {
            // The kind of limit is not handed down to groups of the first level: not ours to change.
            if made {
                let _ = fs::remove_dir(&folder);
            }
            return None;
        }
        // Memory with swap can never be below memory: away first, then down.
        if !second {
            let _ = fs::write(folder.join(swap.0), "-1");
        }
        fs::write(folder.join(file), total.to_string()).ok()?;
        let _ = fs::write(folder.join(swap.0), swap.1);
        Some(Group(folder))
    }

    /// Removes the group if nothing is in it. Blocking.
    pub fn remove(&self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// `hoist limited MEMORY GROUP PROGRAM WORDS…`: puts up the walls and becomes the program. Comes back only with an exit
/// code, when that failed.
pub fn main(words: &[String]) -> u8 {
    let why = match become_within(words) {
        Ok(never) => match never {},
        Err(Error::Fault(fault)) => fault.chain(),
        Err(no) => no.lines().join("; "),
    };
    eprintln!("hoist {VERB}: {why}");
    NOT_STARTED
}

fn become_within(words: &[String]) -> Result<std::convert::Infallible> {
    use std::os::unix::process::CommandExt;
    let [memory, group, program, rest @ ..] = words else {
        return Err(Fault::plain("usage: hoist limited BYTES GROUP PROGRAM WORDS").into());
    };
    let memory: u64 = memory.parse().act(|| format!("cannot read {memory} as bytes"))?;
    let both = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit) };
    // What a process may write to is what nobody else can take back from it; maps of files that it only reads are the cache's.
    setrlimit(Resource::Data, both(memory)).act(|| "cannot limit the memory")?;
    // What a program of somebody else's held when it fell is nobody's to keep.
    setrlimit(Resource::Core, both(0)).act(|| "cannot limit the core")?;
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    if group != NO_GROUP {
        // Gone with a restart of the host's groups: the limit of each process still holds.
        let _ = fs::write(Path::new(group).join("cgroup.procs"), "0");
    }
    #[allow(clippy::disallowed_methods, reason = "nothing is spawned: this process goes on as the program")]
    let err = std::process::Command::new(program).args(rest).exec();
    Err(Fault::new(format!("cannot start {program}"), err).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_either_kind_gets_its_total_and_none_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second, none) = (dir.path().join("1"), dir.path().join("2"), dir.path().join("3"));
        fs::create_dir_all(first.join("memory")).unwrap();
        fs::create_dir_all(&none).unwrap();
        let group = Group::make_below(&first, "hoist-x", 1_000).unwrap();
        assert_eq!(group.0, first.join("memory/hoist-x"));
        assert_eq!(fs::read_to_string(group.0.join("memory.limit_in_bytes")).unwrap(), "1000");
        assert_eq!(Group::make_below(&first, "hoist-x", 2_000), Some(group));

        fs::create_dir_all(second.join("hoist-x")).unwrap();
        fs::write(second.join("cgroup.controllers"), "memory").unwrap();
        assert_eq!(Group::make_below(&second, "hoist-y", 1_000), None, "memory is not handed down");
        fs::write(second.join("hoist-x/memory.max"), "max").unwrap();
        let group = Group::make_below(&second, "hoist-x", 1_000).unwrap();
        assert_eq!(fs::read_to_string(group.0.join("memory.max")).unwrap(), "1000");
        assert_eq!(Group::make_below(&none, "hoist-x", 1_000), None);
    }
}
