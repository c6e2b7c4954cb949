//! The one way by which tests start a program: by the list in `scripts/programs`, so that one that nobody installs fails on
//! the machine of whoever wrote the test.

use domain::programs::{self, Use};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the system keeps programs; those of administrators are not in everybody's PATH.
const SYSTEM: [&str; 6] = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// A program of the list, by its name or its path; or a file that is a program of ours or that a test made, by its path.
#[track_caller]
pub fn program(what: impl AsRef<OsStr>) -> Command {
    let path = Path::new(what.as_ref());
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let of_system = path.parent().is_some_and(|folder| SYSTEM.iter().any(|one| folder == Path::new(one)));
    if path.is_absolute() && !of_system {
        return Command::new(path);
    }
    let listed = programs::find(name).filter(|_| path.is_absolute() || path == Path::new(name));
    let listed = listed.unwrap_or_else(|| {
        panic!("{} is not on the list: add it to scripts/programs, by the package that brings it", path.display())
    });
    let found = if path.is_absolute() { Some(path.to_owned()).filter(|file| file.is_file()) } else { find(name) };
    let missing = || format!("{name} is missing: {}; ./tests/run installs all that the tests need", listed.install());
    Command::new(found.unwrap_or_else(|| panic!("{}", missing())))
}

/// Fills a folder with links to the list's programs up to a use: as PATH, it finds no other.
pub fn only_listed(folder: &Path, most: Use) {
    std::fs::create_dir_all(folder).unwrap();
    for one in programs::listed().filter(|one| one.used <= most && !one.name.starts_with('/')) {
        if let Some(file) = find(one.name) {
            std::os::unix::fs::symlink(file, folder.join(one.name)).unwrap();
        }
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_list_is_not_started() {
        for name in ["false", "/bin/false"] {
            assert!(program(name).status().is_ok_and(|status| !status.success()));
        }
        for name in ["no-such-program", "/usr/bin/no-such-program", "ls -l", "./ls", ""] {
            let panic = std::panic::catch_unwind(|| program(name)).unwrap_err();
            assert!(panic.downcast_ref::<String>().unwrap().contains("scripts/programs"), "{name}");
        }
        assert_eq!(program("/tmp/ours").get_program(), "/tmp/ours");
    }
}
