//! `hoist builder`: what runs first in the builder's namespaces. It joins the control group, makes a file system in which
//! nothing of the host's is but what the builder needs, and becomes the engine.
//!
//! Invariant: after [`enter`] the host's file system is not mounted any more in that namespace: a builder that is taken
//! over reaches its own root, which is read-only, and its own folder.

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};
use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use system::fault::{Act, Fault};

/// The program's verb.
pub const VERB: &str = "builder";
/// Where the builder's folder is seen inside, with its socket and configuration.
pub const INSIDE: &str = "/run/hoist";
/// Where it keeps images and results of steps.
pub const STORE: &str = "/var/lib/docker";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Becomes process 1 and collects what ends.
const INIT: &str = "/usr/bin/tini-static";
const ENGINE: &str = "/usr/sbin/dockerd";

/// What it works with, as its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The root with the engine's programs, shared and only read.
    pub root: PathBuf,
    /// The installation's folder of the builder.
    pub folder: PathBuf,
    /// Certificate authorities.
    pub bundle: Option<PathBuf>,
    /// The folders of its control group.
    pub groups: Vec<PathBuf>,
}

impl Place {
    /// The words after the verb.
    pub fn words(&self) -> Vec<PathBuf> {
        let bundle = self.bundle.clone().unwrap_or_else(|| "-".into());
        [self.root.clone(), self.folder.clone(), bundle].into_iter().chain(self.groups.clone()).collect()
    }

    /// Reads them back.
    pub fn read(words: &[String]) -> Option<Place> {
        let [root, folder, bundle, groups @ ..] = words else { return None };
        let absolute = |word: &String| Some(PathBuf::from(word)).filter(|path| path.is_absolute());
        Some(Place {
            root: absolute(root)?,
            folder: absolute(folder)?,
            bundle: if bundle == "-" { None } else { Some(absolute(bundle)?) },
            groups: groups.iter().map(absolute).collect::<Option<_>>()?,
        })
    }
}

/// Becomes the engine. Returns only when it cannot.
pub fn enter(place: &Place) -> Fault {
    match make(place) {
        Ok(()) => {}
        Err(fault) => return fault,
    }
    #[allow(clippy::disallowed_methods, reason = "nothing is spawned: this process becomes the engine")]
    let err = std::process::Command::new(INIT)
        .args(["-s", "--", ENGINE, "--config-file"])
        .arg(Path::new(INSIDE).join(super::CONFIG))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .exec();
    Fault::new(format!("cannot become {ENGINE}"), err)
}

fn make(place: &Place) -> Result<(), Fault> {
    for group in &place.groups {
        // 0: whoever writes it.
        let procs = group.join("cgroup.procs");
        fs::write(&procs, "0").act(|| format!("cannot join {}", group.display()))?;
    }
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).act(|| "cannot detach mounts")?;
    let new = place.folder.join("root");
    let at = |path: &str| new.join(path.trim_start_matches('/'));
    let cannot = |what: &Path| format!("cannot mount {}", what.display());
    mount_bind(&place.root, &new).act(|| cannot(&new))?;
    mount_remount(&new, MountFlags::BIND | MountFlags::RDONLY | MountFlags::NODEV, "").act(|| cannot(&new))?;
    let file_system = |kind: &str, path: &str, flags: MountFlags, options: &str| {
        let data = CString::new(options).act(|| "bad options")?;
        mount(kind, at(path), kind, flags, Some(data.as_c_str())).act(|| cannot(&at(path)))
    };
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    file_system("proc", "/proc", plain | MountFlags::NOEXEC, "")?;
    file_system("sysfs", "/sys", plain | MountFlags::NOEXEC, "")?;
    mount_bind_recursive(super::group::GROUPS, at(super::group::GROUPS)).act(|| cannot(&at(super::group::GROUPS)))?;
    file_system("tmpfs", "/run", plain, "mode=0755")?;
    file_system("tmpfs", "/tmp", plain, "mode=1777,size=67108864")?;
    file_system("tmpfs", "/dev", MountFlags::NOSUID | MountFlags::NOEXEC, "mode=0755,size=65536")?;
    for device in DEVICES {
        let (there, here) = (Path::new("/dev").join(device), at("/dev").join(device));
        fs::File::create(&here).act(|| cannot(&here))?;
        mount_bind(&there, &here).act(|| cannot(&here))?;
    }
    mount_bind(place.folder.join("store"), at(STORE)).act(|| cannot(&at(STORE)))?;
    fs::create_dir(at(INSIDE)).act(|| cannot(&at(INSIDE)))?;
    mount_bind(place.folder.join("run"), at(INSIDE)).act(|| cannot(&at(INSIDE)))?;
    mount_bind(place.folder.join("run/resolv.conf"), at(RESOLV_CONF)).act(|| cannot(&at(RESOLV_CONF)))?;
    if let Some(bundle) = &place.bundle {
        mount_bind(bundle, at(BUNDLE)).act(|| cannot(&at(BUNDLE)))?;
    }
    // The old root ends up on top of the new one, and is taken off.
    chdir(&new).act(|| cannot(&new))?;
    const HERE: &CStr = c".";
    pivot_root(HERE, HERE).act(|| "cannot change the root")?;
    unmount(HERE, UnmountFlags::DETACH).act(|| "cannot leave the old root")?;
    chdir("/").act(|| "cannot change the root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for bundle in [None, Some("/b".into())] {
            let place =
                Place { root: "/r".into(), folder: "/f".into(), bundle, groups: vec!["/g".into(), "/h".into()] };
            let words: Vec<String> = place.words().iter().map(|word| word.to_string_lossy().into_owned()).collect();
            assert_eq!(Place::read(&words), Some(place));
        }
        for bad in [&["/r", "/f"][..], &["r", "/f", "-"], &["/r", "/f", "-", "g"]] {
            let bad: Vec<String> = bad.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(Place::read(&bad), None);
        }
    }
}
