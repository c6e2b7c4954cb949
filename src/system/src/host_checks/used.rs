//! Counts what lies below a folder that somebody else fills: by open folders, never through a link, and no longer than asked.

use domain::room::{FILE_LEAST, Used};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, statat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Folders within folders that are counted; each level holds an open file. What is deeper counts as too much.
const DEPTH_MAX: usize = 200;
/// Entries between two looks at the time.
const LOOK_EVERY: u32 = 512;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Bytes below a folder, never through a link; stops counting beyond `enough`. What cannot be looked into counts as more.
pub fn bytes_below(folder: &Path, enough: u64) -> u64 {
    let mut count = Count { total: 0, enough, least: 0, until: None, late: false };
    match count.folder(folder) {
        Ok(()) => count.total,
        // Away by now, or not there yet.
        Err(Errno::NOENT) => 0,
        Err(_) => enough.saturating_add(1),
    }
}

/// What these files and folders hold together; counting ends beyond `enough`, and at a time.
pub fn used(places: &[PathBuf], enough: u64, until: Instant) -> Used {
    let mut count = Count { total: 0, enough, least: FILE_LEAST, until: Some(until), late: false };
    for place in places {
        if count.late || count.total > enough {
            break;
        }
        // What is gone by now, or not to be read, is somebody else's to find out.
        if count.place(place) == Err(Errno::NAMETOOLONG) {
            count.total = enough.saturating_add(1);
        }
    }
    Used { bytes: count.total, more: count.late || count.total > enough }
}

struct Count {
    total: u64,
    enough: u64,
    /// What an entry counts at least.
    least: u64,
    until: Option<Instant>,
    late: bool,
}

impl Count {
    fn place(&mut self, place: &Path) -> Result<(), Errno> {
        let about = statat(rustix::fs::CWD, place, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => self.folder(place),
            _ => {
                self.add(about.st_blocks);
                Ok(())
            }
        }
    }

    fn add(&mut self, blocks: i64) {
        let bytes = u64::try_from(blocks).unwrap_or(0).saturating_mul(512);
        self.total = self.total.saturating_add(bytes.max(self.least));
    }

    /// By open folders, as a path may be longer than any call takes.
    fn folder(&mut self, folder: &Path) -> Result<(), Errno> {
        let open = |folder: OwnedFd| Ok::<_, Errno>((Dir::read_from(&folder)?, folder));
        let mut levels = vec![open(rustix::fs::open(folder, FOLDER, Mode::empty())?)?];
        let mut seen = 0_u32;
        while let Some((entries, here)) = levels.last_mut() {
            let entry = match entries.next() {
                // Its end, or the folder is gone by now.
                None | Some(Err(Errno::NOENT)) => {
                    levels.pop();
                    continue;
                }
                Some(entry) => entry?,
            };
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let about = match statat(&here, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(about) => about,
                Err(Errno::NOENT) => continue,
                Err(err) => return Err(err),
            };
            self.add(about.st_blocks);
            seen = seen.wrapping_add(1);
            self.late |= seen.is_multiple_of(LOOK_EVERY) && self.until.is_some_and(|until| Instant::now() >= until);
            if self.total > self.enough || self.late {
                break;
            }
            if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
                match rustix::fs::openat(&here, entry.file_name(), FOLDER, Mode::empty()) {
                    Ok(_) if levels.len() >= DEPTH_MAX => return Err(Errno::NAMETOOLONG),
                    Ok(below) => levels.push(open(below)?),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(err) => return Err(err),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn many_files_many_places_and_little_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::create_dir(&one).unwrap();
        for n in 0..1_000 {
            std::fs::write(one.join(n.to_string()), "").unwrap();
        }
        std::fs::write(&two, vec![1; 1 << 20]).unwrap();
        // Longer than it is: only what lies on the disk counts.
        std::fs::File::options().write(true).open(&two).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let places = [one.clone(), two, dir.path().join("link"), dir.path().join("none")];
        let later = Instant::now() + Duration::from_secs(600);
        let all = used(&places, 1 << 30, later);
        assert!((5_100_000..5_300_000).contains(&all.bytes) && !all.more, "{all:?}");
        let enough = used(&places, 1_000_000, later);
        assert!(enough.more && (1_000_000..1_010_000).contains(&enough.bytes), "{enough:?}");
        let late = used(&places[..1], 1 << 30, Instant::now());
        assert_eq!(late, Used { bytes: 512 * FILE_LEAST, more: true });
        let mut at = rustix::fs::open(&one, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..=DEPTH_MAX {
            rustix::fs::mkdirat(&at, "y", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "y", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        assert!(used(&places[..1], 1 << 30, later).more);
        crate::proc::remove_tree(&one).unwrap();
    }

    #[test]
    fn bytes_are_counted_at_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(bytes_below(&dir.path().join("none"), 1 << 30), 0);
        std::os::unix::fs::symlink("/usr", dir.path().join("usr")).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/file"), vec![1; 1 << 20]).unwrap();
        let seen = bytes_below(dir.path(), 1 << 30);
        assert!((1 << 20..2 << 20).contains(&seen), "{seen}");
        // A path longer than any call takes.
        let name = "x".repeat(250);
        let mut at = rustix::fs::open(dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..30 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let deep = rustix::fs::openat(&at, "deep", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
        std::io::Write::write_all(&mut std::fs::File::from(deep), &vec![1; 3 << 20]).unwrap();
        assert!(bytes_below(dir.path(), 1 << 30) >= 4 << 20);
        assert!(bytes_below(dir.path(), 1000) > 1000);
        // Deeper than can be looked at is more than allowed.
        for _ in 0..DEPTH_MAX {
            rustix::fs::mkdirat(&at, "y", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "y", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        assert_eq!(bytes_below(dir.path(), 1 << 30), (1 << 30) + 1);
    }
}
