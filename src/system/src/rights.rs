//! Gives root's rights up for good, and hands a folder over to who goes on without them.
//!
//! `nix` and not `rustix`: users come from NSS, not from /etc/passwd alone, and setuid must hold for every thread; rustix asks
//! the kernel for one thread and knows no users. russh and our init bring nix in any case.

use crate::fault::{Act, Fault, Result};
use nix::unistd::{self, Gid, Uid, User};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

/// The router's user, where nobody says another.
pub const ROUTER_USER: &str = "hoist-router";

/// Somebody to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Somebody {
    /// Its name.
    pub name: String,
    uid: Uid,
    gid: Gid,
}

/// The user that the router becomes: the one asked for, which must exist, else [`ROUTER_USER`] if it exists. `None`:
/// it stays who it is, for that user does not exist, `root` was asked for, or we are not root.
pub fn router_user(asked: Option<&str>) -> Result<Option<Somebody>, Fault> {
    if !unistd::geteuid().is_root() {
        return Ok(None);
    }
    let name = asked.unwrap_or(ROUTER_USER);
    let found = User::from_name(name).act(|| format!("cannot look up the user {name}"))?;
    match found {
        Some(user) if user.uid.is_root() => Ok(None),
        Some(user) => Ok(Some(Somebody { name: user.name, uid: user.uid, gid: user.gid })),
        None if asked.is_none() => Ok(None),
        None => Err(Fault::plain(format!(
            "router-user is {name}, and there is no such user here; make it (useradd --system --user-group \
             --shell /usr/sbin/nologin {name}) or set router-user = \"root\""
        ))),
    }
}

/// The name of a user by number, for people; the number where it has no name.
pub fn name_of(uid: u32) -> String {
    let found = User::from_uid(Uid::from_raw(uid));
    found.ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Becomes this user: no other groups, no capabilities, and no way back by a setuid program.
pub fn become_user(who: &Somebody) -> Result<(), Fault> {
    let act = || format!("cannot become {}", who.name);
    unistd::setgroups(&[]).act(act)?;
    unistd::setgid(who.gid).act(act)?;
    unistd::setuid(who.uid).act(act)?;
    give_up_more()?;
    if unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(Fault::plain(format!("became {}, and could become root again", who.name)));
    }
    Ok(())
}

/// From here on no program that this process starts has more rights than it has.
pub fn give_up_more() -> Result<(), Fault> {
    rustix::thread::set_no_new_privs(true).act(|| "cannot give up new privileges")
}

/// Makes a folder and all in it a user's, unless it is already: then its owner may have put links into it, and nothing
/// is followed or changed.
pub fn hand_over(dir: &Path, who: &Somebody) -> Result<(), Fault> {
    let act = || format!("cannot give {} to {}", dir.display(), who.name);
    if dir.metadata().act(act)?.uid() == who.uid.as_raw() {
        return Ok(());
    }
    give_all(dir, who).act(act)
}

/// The folder itself last: until then only its old owner can write in it.
fn give_all(dir: &Path, who: &Somebody) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            give_all(&entry.path(), who)?;
        } else {
            give(&entry.path(), who)?;
        }
    }
    give(dir, who)
}

fn give(path: &Path, who: &Somebody) -> std::io::Result<()> {
    lchown(path, Some(who.uid.as_raw()), Some(who.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_handed_over_once_and_links_are_not_followed() {
        if !unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        std::fs::create_dir_all(inside.join("deep")).unwrap();
        std::fs::write(inside.join("deep/file"), b"x").unwrap();
        std::fs::write(&outside, b"x").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let who = Somebody { name: "x".to_owned(), uid: Uid::from_raw(60_001), gid: Gid::from_raw(60_001) };
        hand_over(&inside, &who).unwrap();
        let owner = |path: &Path| path.symlink_metadata().unwrap().uid();
        for path in [inside.clone(), inside.join("deep"), inside.join("deep/file"), inside.join("link")] {
            assert_eq!(owner(&path), 60_001, "{}", path.display());
        }
        assert_eq!(owner(&outside), 0);
        std::fs::write(inside.join("later"), b"x").unwrap();
        hand_over(&inside, &who).unwrap();
        assert_eq!(owner(&inside.join("later")), 0);
    }

    #[test]
    fn nobody_by_that_name_is_refused_with_what_to_do() {
        if unistd::geteuid().is_root() {
            let said = router_user(Some("nobody-has-this-name")).unwrap_err().chain();
            assert!(said.contains("useradd") && said.contains("nobody-has-this-name"), "{said}");
        }
        assert_eq!(router_user(Some("root")).unwrap(), None);
    }
}
