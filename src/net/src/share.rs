//! Claims the installation's share of the address pool, under a lock that all installations on this host take.
//!
//! Two files: one for the host under `/run` (gone after a reboot) that says whose each share is, and one in the data
//! folder by which an installation knows its own again, and by which others see that a claim is still somebody's.

use domain::addresses::{Route, Subnet, obstacle, shares_to_try};
use domain::refusal::Code;
use domain::{InstallId, Refusal};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use system::fault::{Act, Fault, Result};

/// Where installations on one host agree, unless a test says otherwise.
pub const HOST_FOLDER: &str = "/run/hoist";
const LOCK: &str = "addresses.lock";
const CLAIMS: &str = "addresses.json";
/// In the data folder.
const OWN: &str = "addresses.json";
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Who claims, and from what.
#[derive(Debug, Clone, Copy)]
pub struct Claimer<'a> {
    /// [`HOST_FOLDER`].
    pub host: &'a Path,
    /// The installation's data folder.
    pub data: &'a Path,
    /// Its id.
    pub install: &'a InstallId,
    /// The pool.
    pub pool: Subnet,
    /// The host's routes.
    pub routes: &'a [Route],
    /// Addresses that must stay reachable: the name servers.
    pub keep_clear: &'a [IpAddr],
}

/// What was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The shares, in the order in which their networks are numbered.
    pub shares: Vec<Subnet>,
    /// Shares that it had and could not have again: networks in them must get new numbers.
    pub lost: Vec<Subnet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    install: InstallId,
    data: PathBuf,
}

/// The shares of the installation whose data folder this is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Own {
    install: InstallId,
    shares: Vec<Subnet>,
}

/// Claims as many shares as it had, `least` at least: those it had, where nobody else has them now, and free ones. A share
/// keeps its place, by which its networks are numbered. Blocks.
pub fn claim(claimer: &Claimer<'_>, least: usize) -> Result<Claim> {
    claim_with(claimer, &[], least)
}

/// Claims one share more than it has. Instances run in those: they stay as they are, whatever stands in their way by now.
/// Blocks.
pub fn claim_another(claimer: &Claimer<'_>, have: &[Subnet]) -> Result<Claim> {
    claim_with(claimer, have, have.len() + 1)
}

fn claim_with(claimer: &Claimer<'_>, keep: &[Subnet], least: usize) -> Result<Claim> {
    let _lock = lock(claimer.host)?;
    let mut claims = live_claims(claimer.host)?;
    let had = read::<Own>(&claimer.data.join(OWN))?.filter(|own| own.install == *claimer.install);
    let had = if keep.is_empty() { had.map(|own| own.shares).unwrap_or_default() } else { keep.to_vec() };
    claims.retain(|_, holder| holder.data != claimer.data);
    let mut obstacles = Vec::new();
    let mut free = |share: &Subnet| {
        let held = claims.iter().find(|(theirs, _)| theirs.overlaps(*share));
        let held = held.map(|(_, holder)| format!("installation {} in {}", holder.install, holder.data.display()));
        match held.or_else(|| obstacle(*share, claimer.install, claimer.routes, claimer.keep_clear)) {
            Some(obstacle) => {
                obstacles.push(obstacle);
                false
            }
            None => true,
        }
    };
    let wanted = shares_to_try(claimer.pool, claimer.install);
    let mut stays = |share: &Subnet| keep.contains(share) || wanted.contains(share) && free(share);
    let mut places: Vec<Option<Subnet>> = had.iter().map(|share| Some(*share).filter(&mut stays)).collect();
    places.resize(had.len().max(least), None);
    let fresh: Vec<Subnet> = wanted.into_iter().filter(|share| !had.contains(share)).collect();
    let mut fresh = fresh.into_iter().filter(free);
    for place in places.iter_mut().filter(|place| place.is_none()) {
        *place = fresh.next();
    }
    let shares = without_holes(places);
    if shares.len() < least.max(1) {
        obstacles.dedup();
        obstacles.truncate(3);
        return Err(Refusal::new(
            Code::NoAddresses,
            format!("no free range is left in the address pool {}", claimer.pool),
        )
        .why(format!("taken by {}", obstacles.join(", ")))
        .next("set another pool of private addresses")
        .into());
    }
    for share in &shares {
        let holder = Holder { install: claimer.install.clone(), data: claimer.data.to_owned() };
        claims.insert(*share, holder);
    }
    // Own first: a claim whose data folder does not know of it counts as stale.
    write(&claimer.data.join(OWN), &Own { install: claimer.install.clone(), shares: shares.clone() })?;
    write(&claimer.host.join(CLAIMS), &claims)?;
    let lost = had.into_iter().enumerate().filter(|(place, share)| shares.get(*place) != Some(share));
    Ok(Claim { lost: lost.map(|(_, share)| share).collect(), shares })
}

/// Where nothing could be had for a place, the last share moves there.
fn without_holes(mut places: Vec<Option<Subnet>>) -> Vec<Subnet> {
    while let Some(hole) = places.iter().position(Option::is_none) {
        let last = places.pop().flatten();
        if let Some(place) = places.get_mut(hole) {
            *place = last;
        }
    }
    places.into_iter().flatten().collect()
}

/// Gives the installation's shares back, for good. Blocks.
pub fn release(host: &Path, data: &Path) -> Result<()> {
    let _lock = lock(host)?;
    let mut claims = live_claims(host)?;
    claims.retain(|_, holder| holder.data != data);
    write(&host.join(CLAIMS), &claims)?;
    match fs::remove_file(data.join(OWN)) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::new(format!("cannot remove {}", data.join(OWN).display()), err).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The claims whose installation still is where it was.
fn live_claims(host: &Path) -> Result<BTreeMap<Subnet, Holder>> {
    let mut claims: BTreeMap<Subnet, Holder> = read(&host.join(CLAIMS))?.unwrap_or_default();
    claims.retain(|share, holder| {
        let own = read::<Own>(&holder.data.join(OWN)).ok().flatten();
        own.is_some_and(|own| own.install == holder.install && own.shares.contains(share))
    });
    Ok(claims)
}

/// Taken until the file is closed, also by a process that is killed.
fn lock(host: &Path) -> Result<File> {
    fs::create_dir_all(host).act(|| format!("cannot make {}", host.display()))?;
    let path = host.join(LOCK);
    let act = || format!("cannot lock {}", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).act(act)?;
    let began = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < LOCK_WAIT_MAX => std::thread::sleep(LOCK_RETRY),
            Err(err) => return Err(Fault::new(act(), err).transient().into()),
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let act = || format!("cannot read {}", path.display());
    match fs::read(path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(Fault::new(act(), err).into()),
        // A file that does not parse is left alone: somebody's addresses are in it.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).act(act)?)),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let act = || format!("cannot write {}", path.display());
    let bytes = serde_json::to_vec(value).act(act)?;
    Ok(system::whole::write(path, &bytes, 0o644).act(act)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host {
        run: tempfile::TempDir,
        pool: Subnet,
        routes: Vec<Route>,
    }

    impl Host {
        fn new(pool: &str) -> Host {
            Host { run: tempfile::tempdir().unwrap(), pool: pool.parse().unwrap(), routes: Vec::new() }
        }
        fn claim(&self, install: &str, data: &Path, count: usize) -> Result<Claim> {
            let (install, host) = (install.parse().unwrap(), self.run.path());
            claim(
                &Claimer { host, data, install: &install, pool: self.pool, routes: &self.routes, keep_clear: &[] },
                count,
            )
        }
    }

    impl Host {
        fn another(&self, install: &str, data: &Path, have: &[Subnet]) -> Result<Claim> {
            let (install, host) = (install.parse().unwrap(), self.run.path());
            let claimer =
                Claimer { host, data, install: &install, pool: self.pool, routes: &self.routes, keep_clear: &[] };
            claim_another(&claimer, have)
        }
    }

    #[test]
    fn shares_do_not_meet() {
        let host = Host::new("10.208.0.0/16");
        let data: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let names = ["aaaa", "bbbb", "cccc", "dddd"];
        let all: Vec<Subnet> =
            names.iter().zip(&data).flat_map(|(name, data)| host.claim(name, data.path(), 1).unwrap().shares).collect();
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert_eq!(host.claim("bbbb", data[1].path(), 1).unwrap().shares, [all[1]], "its own again");
        let fifth = tempfile::tempdir().unwrap();
        assert!(host.claim("eeee", fifth.path(), 1).is_err(), "all taken");
        // The data folder is gone, belongs to another installation, or was given back.
        fs::remove_dir_all(data[2].path()).unwrap();
        assert_eq!(host.claim("eeee", fifth.path(), 1).unwrap().shares, [all[2]]);
        assert!(host.claim("ffff", fifth.path(), 1).unwrap().lost.is_empty());
        release(host.run.path(), fifth.path()).unwrap();
        assert_eq!(fs::read_dir(fifth.path()).unwrap().count(), 0);
    }

    #[test]
    fn after_a_reboot() {
        let mut host = Host::new("10.208.0.0/17");
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = host.claim("aaaa", one.path(), 1).unwrap();
        fs::remove_file(host.run.path().join(CLAIMS)).unwrap();
        assert_eq!(host.claim("aaaa", one.path(), 1).unwrap(), before, "remembered in the data folder");
        fs::remove_file(host.run.path().join(CLAIMS)).unwrap();
        host.routes = vec![Route { to: before.shares[0], interface: "tun0".to_owned() }];
        let moved = host.claim("aaaa", one.path(), 1).unwrap();
        assert_eq!(moved.lost, before.shares);
        let no = host.claim("bbbb", two.path(), 1).unwrap_err();
        assert!(no.to_string().contains("tun0") && no.to_string().contains("aaaa"), "{no}");
    }

    #[test]
    fn another_share_comes_after_those_it_had() {
        let mut host = Host::new("10.208.0.0/16");
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = host.claim("aaaa", one.path(), 1).unwrap().shares;
        let both = host.claim("aaaa", one.path(), 2).unwrap().shares;
        assert_eq!((both.len(), both[0]), (2, first[0]));
        assert_eq!(host.claim("aaaa", one.path(), 1).unwrap().shares, both, "a start claims what it had");
        let theirs = host.claim("bbbb", two.path(), 2).unwrap().shares;
        let no = host.claim("aaaa", one.path(), 3).unwrap_err();
        assert!(no.to_string().contains("no free range is left"), "{no}");
        assert_eq!(host.claim("aaaa", one.path(), 1).unwrap().shares, both, "and nothing was lost by asking");
        assert!(host.another("aaaa", one.path(), &both).is_err());

        // While instances run in them, shares stay where they are, whatever is in their way by now.
        release(host.run.path(), two.path()).unwrap();
        host.routes = vec![Route { to: both[0], interface: "tun0".to_owned() }];
        let three = host.another("aaaa", one.path(), &both).unwrap();
        assert_eq!((&three.shares[..2], three.shares.len(), three.lost.len()), (&both[..], 3, 0));
        release(host.run.path(), one.path()).unwrap();
        host.routes.clear();
        assert_eq!(host.another("aaaa", one.path(), &both[..1]).unwrap().shares, both);
        assert_eq!(host.claim("bbbb", two.path(), 2).unwrap().shares, theirs);

        // The first is lost: the second keeps its place, and its networks their numbers.
        release(host.run.path(), two.path()).unwrap();
        host.routes = vec![Route { to: both[0], interface: "tun0".to_owned() }];
        let moved = host.claim("aaaa", one.path(), 1).unwrap();
        assert_eq!((moved.shares.len(), moved.shares[1], moved.lost.as_slice()), (2, both[1], &both[..1]));
        assert!(theirs.contains(&moved.shares[0]));
        // Nothing else is free: the last takes the place of the first.
        host.routes.extend(theirs.iter().map(|to| Route { to: *to, interface: "tun0".to_owned() }));
        let moved = host.claim("aaaa", one.path(), 1).unwrap();
        assert_eq!((moved.shares, moved.lost.len()), (vec![both[1]], 2));
    }

    #[test]
    fn a_claim_that_is_damaged_is_left_alone() {
        let host = Host::new("10.208.0.0/16");
        let data = tempfile::tempdir().unwrap();
        fs::write(host.run.path().join(CLAIMS), "{").unwrap();
        let no = host.claim("aaaa", data.path(), 1).unwrap_err();
        assert!(no.to_string().contains(CLAIMS), "{no}");
        assert_eq!(fs::read(host.run.path().join(CLAIMS)).unwrap(), b"{");
    }
}
