//! Who may begin, and who may stay: the door before the key exchange, which is what an attacker would make us compute, and the
//! number of sessions once it is known whose they are. Decided by `domain::door` and `domain::places`.

use super::Limits;
use domain::door::{Door, Verdict};
use domain::places::Claimant;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use system::clock;
use system::fault::Error;
use system::places::{Place, Places};

/// The doorkeeper.
#[derive(Debug)]
pub struct Guard {
    door: Mutex<Door>,
    sessions: Places,
}

/// An admitted connection; dropping it gives its place back.
#[derive(Debug)]
pub struct Pass {
    guard: Arc<Guard>,
    address: IpAddr,
    session: Option<Place>,
}

impl Guard {
    /// A doorkeeper with nobody inside.
    pub fn new(limits: &Limits) -> Arc<Guard> {
        let sessions = limits.sessions.clone();
        Arc::new(Guard { door: Mutex::new(Door::new(limits.door)), sessions })
    }

    /// Lets a connection begin, or not.
    pub fn admit(self: &Arc<Guard>, address: IpAddr) -> Option<Pass> {
        let (now, mut door) = (clock::now(), self.door());
        match door.decide(address, now, rand::random()) {
            Verdict::Admit => {
                door.enter(address, now);
                Some(Pass { guard: self.clone(), address, session: None })
            }
            Verdict::Refuse | Verdict::Drop => None,
        }
    }

    /// Somebody logged in from there.
    pub fn met(&self, address: IpAddr, admin: bool) {
        self.door().logged_in(address, admin, clock::now());
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The client is known now: it no longer stands at the door, and has one of the sessions if there is one for it.
    pub fn authenticated(&mut self, who: &Claimant) -> Result<(), Error> {
        if self.session.is_some() {
            return Ok(());
        }
        let place = self.guard.sessions.try_take(who).map_err(|full| self.guard.sessions.busy(full, who))?;
        let mut door = self.guard.door();
        door.leave(self.address);
        door.logged_in(self.address, who.admin, clock::now());
        drop(door);
        self.session = Some(place);
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.session.is_none() {
            self.guard.door().leave(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::door;
    use domain::ids::UserId;
    use domain::places::{Bound, Kind, Owner};

    #[test]
    fn a_pass_is_counted_at_the_door_then_among_sessions() {
        let limits = Limits {
            door: door::Limits { per_source: 2, ..door::Limits::default() },
            sessions: Places::new(Kind::Sessions, Bound { all: 3, each: 1, kept: 1 }),
            ..Limits::default()
        };
        let guard = Guard::new(&limits);
        let who = |id, admin| Claimant { owner: Owner::User(id), admin, holder: None };
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let (mut a, mut b) = (guard.admit(one).unwrap(), guard.admit(one).unwrap());
        assert!(guard.admit(one).is_none(), "two from one source");
        a.authenticated(&who(UserId(1), false)).unwrap();
        let no = b.authenticated(&who(UserId(1), false)).unwrap_err();
        assert!(no.lines()[0].contains("1 connections are open for you"), "{no}");
        b.authenticated(&who(UserId(2), false)).unwrap();
        assert_eq!(guard.door().half_open(), 0);
        let (mut c, mut d) = (guard.admit(one).unwrap(), guard.admit(one).unwrap());
        assert!(c.authenticated(&who(UserId(3), false)).is_err(), "the last one is kept");
        d.authenticated(&who(UserId(4), true)).unwrap();
        drop((a, b, c, d));
        assert_eq!((guard.door().half_open(), guard.sessions.taken()), (0, 0));
    }
}
