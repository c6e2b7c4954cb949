//! What every new installation would fetch and make anew: the runtimes that no app owns, and the facts about them.
//!
//! Made once per test run and per server binary, then hard-linked into each new data folder. A changed binary makes it
//! anew, so that no layer of an older Hoist is tested.

use crate::proc::run;
use crate::programs::program;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Folders of DATA that hold nothing of any app: files of which some are replaced as a whole, none is written to.
const PARTS: [&str; 3] = ["cache/layers/host", "cache/facts", "blobs/sha256"];
/// A folder of unpacked runtimes, only ever read: thousands of files, so that worlds get a symbolic link to each runtime.
const KEPT: &str = "cache/kept/host";
const DEADLINE: Duration = Duration::from_secs(60);

static MAKING: Mutex<()> = Mutex::new(());

/// Puts the seed into a data folder that does not exist yet. `fill` makes the seed, with [`take`] from an installation
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
    link(&PARTS, &seed, data);
    std::fs::create_dir_all(data.join(KEPT)).unwrap();
    for runtime in std::fs::read_dir(seed.join(KEPT)).unwrap().flatten() {
        std::os::unix::fs::symlink(runtime.path(), data.join(KEPT).join(runtime.file_name())).unwrap();
    }
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

/// Makes a seed from an installation that has built something and builds nothing now.
pub fn take(data: &Path, seed: &Path) {
    link(&PARTS, data, seed);
    link(&[KEPT], data, seed);
}

fn link(parts: &[&str], from: &Path, to: &Path) {
    for part in parts.iter().filter(|p| from.join(p).exists()) {
        let (from, to) = (from.join(part), to.join(part));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut cp = program("cp");
        cp.arg("-al").arg(&from).arg(&to);
        run(cp, b"", DEADLINE).ok();
    }
}
