//! Becomes the user for good. Before it, init is root with two capabilities; after it, nobody special, and so is all
//! that it starts.

use std::fs;
use std::io;

use nix::sys::prctl;
use nix::unistd::{self, Gid, Uid};

use crate::users::User;

/// Drops everything and checks it. An error means that nothing may be started.
pub fn drop_to(user: &User) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<_> = user.groups.iter().copied().map(Gid::from_raw).collect();
    unistd::setgroups(&groups).map_err(|err| format!("cannot set the groups: {err}"))?;
    unistd::setresgid(gid, gid, gid).map_err(|err| format!("cannot become group {gid}: {err}"))?;
    unistd::setresuid(uid, uid, uid).map_err(|err| format!("cannot become user {uid}: {err}"))?;
    prctl::set_no_new_privs().map_err(|err| format!("cannot give up new privileges: {err}"))?;
    // After the change of user, which resets it. The app has our user id: without this it could open our descriptors
    // under /proc, or stop us.
    prctl::set_dumpable(false).map_err(|err| format!("cannot hide from the debugger: {err}"))?;
    verify(uid, gid)
}

fn verify(uid: Uid, gid: Gid) -> Result<(), String> {
    let uids = unistd::getresuid().map_err(|err| format!("cannot read the user id: {err}"))?;
    let gids = unistd::getresgid().map_err(|err| format!("cannot read the group id: {err}"))?;
    if [uids.real, uids.effective, uids.saved] != [uid; 3] || [gids.real, gids.effective, gids.saved] != [gid; 3] {
        return Err(format!("still not user {uid} and group {gid} after the change"));
    }
    if uid.is_root() {
        // An image that runs as root keeps what the engine gave it: a short list, chosen there.
        return Ok(());
    }
    if unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err("could become root again after the change".into());
    }
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|err: io::Error| format!("cannot read the capabilities: {err}"))?;
    match left_over(&status) {
        None => Ok(()),
        Some(line) => Err(format!("capabilities are left after the change: {line}")),
    }
}

/// The first set in `/proc/self/status` that is not empty; a set that is not there counts as not empty. The bounding set
/// may hold bits: with no_new_privs nothing can be drawn from it.
fn left_over(status: &str) -> Option<String> {
    ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].into_iter().find_map(|set| {
        let bits = status.lines().find_map(|line| line.strip_prefix(set)).unwrap_or("unknown").trim();
        (u64::from_str_radix(bits, 16) != Ok(0)).then(|| format!("{set} {bits}"))
    })
}

#[cfg(test)]
mod tests {
    use super::left_over;

    #[test]
    fn capabilities() {
        let none = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
            CapBnd:\t00000000000000c0\nCapAmb:\t0000000000000000\n";
        assert_eq!(left_over(none), None);
        let some = none.replace("CapEff:\t0000000000000000", "CapEff:\t00000000000000c0");
        assert_eq!(left_over(&some).as_deref(), Some("CapEff: 00000000000000c0"));
        assert_eq!(left_over("").as_deref(), Some("CapInh: unknown"));
    }
}
