//! Where an instance's init finds the files of its spool: under second names, in a folder that is mounted there.
//!
//! `SPOOL/0` and `SPOOL/1` are ours and only read here; `SPOOL/in` is what the instance sees. Init opens the two files there
//! while it is root and takes their names away, so nothing that runs inside reaches them, as root of its image neither.
//! Invariant: the names are put back only while nothing runs inside: before a start.

use log_format::spool::FILES;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use system::trash::Trash;

const WRITERS: &str = "in";

/// The folder that a writer sees.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join(WRITERS)
}

/// Puts the spool's files into the writer's folder, which is empty besides.
pub(super) fn offer(dir: &Path, trash: &Trash) -> io::Result<()> {
    let inside = folder(dir);
    // Whatever the last life of the instance left there, and however much.
    trash.take(&inside)?;
    DirBuilder::new().mode(0o700).create(&inside)?;
    make_files(dir, trash)?;
    for name in FILES {
        std::fs::hard_link(dir.join(name), inside.join(name))?;
    }
    Ok(())
}

/// Makes the spool's files where they are not; what stands in their place and is no file goes.
pub(super) fn make_files(dir: &Path, trash: &Trash) -> io::Result<()> {
    for name in FILES {
        let path = dir.join(name);
        match path.symlink_metadata() {
            Ok(about) if about.is_file() => continue,
            Ok(_) => trash.take(&path)?,
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) => return Err(err),
        }
        File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    }
    Ok(())
}
