//! Places of which there is a number, in all and for each owner, given back by being dropped. Decided by `domain::places`.

use crate::fault::{Error, Result};
use domain::places::{Bound, Claimant, Full, Kind, Owner, admit, busy};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Places of one kind. Clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    bound: Bound,
    held: Mutex<BTreeMap<Owner, usize>>,
    freed: Notify,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Places,
    owner: Owner,
}

impl Places {
    /// All free.
    pub fn new(kind: Kind, bound: Bound) -> Places {
        Places(Arc::new(Inner { kind, bound, held: Mutex::default(), freed: Notify::new() }))
    }

    /// A place now, or why there is none.
    pub fn try_take(&self, who: &Claimant) -> Result<Place, Full> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        admit(self.0.kind, &held, self.0.bound, who)?;
        *held.entry(who.owner.clone()).or_default() += 1;
        Ok(Place { places: self.clone(), owner: who.owner.clone() })
    }

    /// A place, waited for; then the refusal that says it is busy.
    pub async fn take(&self, who: &Claimant, patience: Duration) -> Result<Place> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            // Listens before it looks: a place that is freed in between is heard.
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            let full = match self.try_take(who) {
                Ok(place) => return Ok(place),
                Err(full) => full,
            };
            if tokio::time::timeout_at(until, freed).await.is_err() {
                return Err(self.busy(full, who));
            }
        }
    }

    /// The refusal in words.
    pub fn busy(&self, full: Full, who: &Claimant) -> Error {
        busy(self.0.kind, self.0.bound, full, who).into()
    }

    /// How many somebody holds.
    pub fn held(&self, owner: &Owner) -> usize {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).get(owner).copied().unwrap_or(0)
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = held.get_mut(&self.owner) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                held.remove(&self.owner);
            }
        }
        drop(held);
        self.places.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::UserId;

    #[tokio::test]
    async fn a_place_is_waited_for_and_given_back() {
        let places = Places::new(Kind::Pushes, Bound { all: 3, each: 1, kept: 0 });
        let who = |id| Claimant { owner: Owner::User(id), admin: false, holder: None };
        let mine = places.take(&who(UserId(1)), Duration::ZERO).await.unwrap();
        let no = places.take(&who(UserId(1)), Duration::from_millis(1)).await.unwrap_err();
        assert!(no.lines()[0].contains("1 pushes are open for you"), "{no}");
        let other = places.try_take(&who(UserId(2))).unwrap();
        let one = who(UserId(1));
        let mut wait = std::pin::pin!(places.take(&one, Duration::from_secs(60)));
        assert!(futures_util::poll!(&mut wait).is_pending());
        drop(mine);
        let got = wait.await.unwrap();
        assert_eq!(places.taken(), 2);
        drop((got, other));
        assert_eq!(places.taken(), 0);
    }
}
