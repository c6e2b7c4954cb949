//! What every new installation would fetch and make anew: the runtimes that no app owns, and the facts about them.
//!
//! Made once per test run and per server binary, then hard-linked into each new data folder. A changed binary makes it
//! anew, so that no layer of an older Hoist is tested.

use crate::proc::run;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Folders of DATA that hold nothing of any app.
const PARTS: [&str; 4] = ["cache/layers/host", "cache/kept/host", "cache/facts", "blobs/sha256"];
const DEADLINE: Duration = Duration::from_secs(60);

static MAKING: Mutex<()> = Mutex::new(());

/// Puts the seed into a data folder that does not exist yet. `fill` makes the seed, with [`link`] from an installation
/// that has built something; it is called by the first who needs it, the others wait.
pub fn plant(binary: &Path, data: &Path, fill: impl FnOnce(&Path)) {
    let seed = place(binary);
    {
        let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if !seed.exists() {
            let room = tempfile::Builder::new().prefix("hs").tempdir().unwrap();
            let fresh = room.path().join("seed");
            fill(&fresh);
            // Another test binary may have been faster.
            let _ = std::fs::rename(&fresh, &seed);
            remove_older(&seed);
        }
    }
    link(&seed, data);
}

/// Beside the data folders, as a hard link stays on one file system; named by the binary's size, time and inode.
fn place(binary: &Path) -> PathBuf {
    let about = std::fs::metadata(binary).unwrap_or_else(|err| panic!("no server at {}: {err}", binary.display()));
    let name = format!("{}-{:x}-{:x}-{:x}", prefix(), about.len(), about.mtime(), about.ino());
    std::env::temp_dir().join(name)
}

/// One seed per target folder: other checkouts keep theirs.
fn prefix() -> String {
    let this = std::env::current_exe().unwrap();
    let target = std::fs::metadata(this.parent().unwrap()).unwrap();
    format!("hoist-seed-{:x}", target.ino())
}

fn remove_older(seed: &Path) {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&format!("{}-", prefix())) && entry.path() != seed {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Hard links of the parts of one data folder that no app owns.
pub fn link(from: &Path, to: &Path) {
    for part in PARTS.iter().filter(|p| from.join(p).exists()) {
        let (from, to) = (from.join(part), to.join(part));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut cp = Command::new("cp");
        cp.arg("-al").arg(&from).arg(&to);
        run(cp, b"", DEADLINE).ok();
    }
}
