//! The files of a repository: made, configured, and cleared of what dead processes left. Blocking.
//!
//! Invariant: a config that differs from ours is replaced whole. Absent: git; nothing here starts a program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use system::fault::{Act, Fault, Result};

/// The shims, as they lie in the source tree.
const HOOKS: [(&str, &str); 2] = [
    ("pre-receive", include_str!("../../../hooks/pre-receive")),
    ("proc-receive", include_str!("../../../hooks/proc-receive")),
];
/// A quarantine older than this belongs to nobody: receiving takes an hour at most.
pub(super) const QUARANTINE_AGE_MAX: Duration = Duration::from_secs(2 * 3600);
/// A lock older than this belongs to nobody: git holds them for moments. A power failure leaves them.
const LOCK_AGE_MAX: Duration = Duration::from_secs(600);

pub(super) fn write_hooks(folder: &Path) -> Result<(), Fault> {
    fs::create_dir_all(folder).act(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in HOOKS {
        write_whole(&folder.join(name), text, 0o755)?;
    }
    Ok(())
}

pub(super) fn ensure(path: &Path, hooks: &Path) -> Result<(), Fault> {
    let want = config_text(hooks)?;
    let config = path.join("config");
    if path.join("HEAD").exists() && fs::read_to_string(&config).is_ok_and(|have| have == want) {
        return sweep(path, QUARANTINE_AGE_MAX);
    }
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(path.join(folder)).act(|| format!("cannot make {}", path.join(folder).display()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .act(|| format!("cannot protect {}", path.display()))?;
    write_whole(&config, &want, 0o600)?;
    if !path.join("HEAD").exists() {
        write_whole(&path.join("HEAD"), "ref: refs/heads/main\n", 0o600)?;
    }
    Ok(())
}

/// Everything a repository is told, in one place. Checks that old but harmless history fails (dates, padded modes) are
/// off: a pusher can do nothing about commits of ten years ago. The numbers for memory make git thrifty; what holds it are the
/// walls of `repos`.
fn config_text(hooks: &Path) -> Result<String, Fault> {
    let hooks = hooks.to_str().filter(|h| !h.contains(['\n', '"', '\\'])).ok_or_else(|| {
        Fault::plain(format!("the path {} has characters that git's config cannot hold", hooks.display()))
    })?;
    let harmless = [
        "badDate",
        "badDateOverflow",
        "badEmail",
        "badName",
        "badTimezone",
        "emptyName",
        "missingEmail",
        "missingNameBeforeEmail",
        "missingSpaceBeforeDate",
        "missingSpaceBeforeEmail",
        "multipleAuthors",
        "zeroPaddedDate",
        "zeroPaddedFilemode",
    ];
    let fsck: String = harmless.iter().map(|check| format!("\t{check} = ignore\n")).collect();
    Ok(format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n\thooksPath = \"{hooks}\"\n\
         \tlogAllRefUpdates = false\n\tfsync = committed,reference\n\tbigFileThreshold = 8m\n\
         \tdeltaBaseCacheLimit = 8m\n\tpackedGitWindowSize = 1m\n\tpackedGitLimit = 16m\n\
         \tfilesRefLockTimeout = 5000\n\tpackedRefsTimeout = 5000\n\
         [receive]\n\tprocReceiveRefs = refs/heads\n\tadvertisePushOptions = true\n\tshallowUpdate = true\n\
         \tfsckObjects = true\n\tmaxInputSize = 2g\n\tunpackLimit = 1\n\thideRefs = refs/hoist\n\
         \tdenyDeletes = true\n\tautogc = false\n\tupdateServerInfo = false\n\
         [receive \"fsck\"]\n{fsck}\
         [transfer]\n\thideRefs = refs/hoist\n\tfsckObjects = true\n\
         [uploadpack]\n\tallowFilter = false\n\
         [pack]\n\tthreads = 1\n\twindowMemory = 8m\n\tdeltaCacheSize = 8m\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    ))
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, text: &str, mode: u32) -> Result<(), Fault> {
    system::whole::write(path, text.as_bytes(), mode).act(|| format!("cannot write {}", path.display()))
}

pub(super) fn is_quarantine(folder: &str) -> bool {
    folder.starts_with("tmp_objdir-") || folder.starts_with("incoming-")
}

/// Removes quarantines of at least an age, and locks and temporary files that are old in any case.
pub(super) fn sweep(path: &Path, older_than: Duration) -> Result<(), Fault> {
    for (file, name) in list(&path.join("objects"))? {
        if is_quarantine(&name) && age(&file) >= older_than {
            fs::remove_dir_all(&file).act(|| format!("cannot remove {}", file.display()))?;
        }
    }
    for (file, name) in list(path)? {
        if (name.ends_with(".lock") || name.starts_with("shallow_")) && age(&file) >= LOCK_AGE_MAX {
            fs::remove_file(&file).act(|| format!("cannot remove {}", file.display()))?;
        }
    }
    let mut folders = vec![path.join("refs")];
    while let Some(folder) = folders.pop() {
        for (file, name) in list(&folder)? {
            if file.is_dir() {
                folders.push(file);
            } else if name.ends_with(".lock") && age(&file) >= LOCK_AGE_MAX {
                fs::remove_file(&file).act(|| format!("cannot remove {}", file.display()))?;
            }
        }
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<(PathBuf, String)>, Fault> {
    let entries = fs::read_dir(folder).act(|| format!("cannot list {}", folder.display()))?;
    Ok(entries.flatten().map(|e| (e.path(), e.file_name().to_string_lossy().into_owned())).collect())
}

/// How long ago something changed; what has gone meanwhile is new.
fn age(path: &Path) -> Duration {
    let changed = fs::symlink_metadata(path).and_then(|m| m.modified()).ok();
    changed.and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_made_once_mended_and_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.git");
        ensure(&path, Path::new("/data/hooks")).unwrap();
        let config = fs::read_to_string(path.join("config")).unwrap();
        assert!(config.contains("hooksPath = \"/data/hooks\"") && git2::Repository::open_bare(&path).is_ok());
        fs::write(path.join("HEAD"), "ref: refs/heads/master\n").unwrap();
        fs::write(path.join("config"), "[core]\n\thooksPath = /evil\n").unwrap();
        ensure(&path, Path::new("/data/hooks")).unwrap();
        assert_eq!(fs::read_to_string(path.join("config")).unwrap(), config);
        assert_eq!(fs::read_to_string(path.join("HEAD")).unwrap(), "ref: refs/heads/master\n");
        assert!(ensure(&path, Path::new("/da\"ta")).is_err());

        let old = SystemTime::now() - 2 * QUARANTINE_AGE_MAX;
        let names = ["shallow.lock", "refs/heads/main.lock", "packed-refs.lock", "shallow_abc"];
        for (at, when) in [(old, "old"), (SystemTime::now(), "new")] {
            for name in names {
                fs::File::create(path.join(name)).unwrap().set_modified(at).unwrap();
            }
            let quarantine = path.join(format!("objects/tmp_objdir-incoming-{when}"));
            fs::create_dir(&quarantine).unwrap();
            fs::File::open(&quarantine).unwrap().set_modified(at).unwrap();
            ensure(&path, Path::new("/data/hooks")).unwrap();
            assert_eq!((quarantine.exists(), path.join(names[1]).exists()), (when == "new", when == "new"));
            assert!(names.iter().all(|n| path.join(n).exists() == (when == "new")));
        }
        sweep(&path, Duration::ZERO).unwrap();
        assert!(!path.join("objects/tmp_objdir-incoming-new").exists() && path.join("shallow.lock").exists());
    }
}
