//! Places for builds at work on this host, shared between people: round robin by the owner of the app, then first come
//! (`domain::fair`). What waits says how many go first.

use crate::Parts;
use domain::fair::{Fair, Wait};
use domain::ids::UserId;
use domain::quota::{self, Limit, What};
use domain::refusal::Code;
use domain::{AppId, Refusal};
use jobs::Job;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use system::fault::Result;
use tokio::sync::watch;

/// Builds that wait; one more is refused.
const WAITING_MAX: usize = 1_000;

/// Whose builds share turns: a user, or whoever owns what no user does.
pub type Person = Option<UserId>;

/// The places. Clones share them.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fair: Mutex<Fair<Person>>,
    /// Changes when somebody came, got a place or left.
    news: watch::Sender<u64>,
}

/// A place, or a wait for one, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    slots: Slots,
    ticket: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.slots.fair().leave(self.ticket);
        self.slots.settle();
    }
}

impl Slots {
    /// So many places, one at least.
    pub fn new(places: usize) -> Slots {
        Slots(Arc::new(Inner { fair: Mutex::new(Fair::new(places)), news: watch::Sender::new(0) }))
    }

    /// A place for a build of this app, at its owner's turn and within the owner's quota; tells the job for what it waits.
    pub async fn acquire(&self, p: &Parts, app: &AppId, job: &Job) -> Result<Permit> {
        let (id, defaults) = (app.clone(), p.settings.quotas());
        let (person, most) = p
            .store
            .read(move |tx| {
                let owner = tx.app(&id)?.and_then(|app| app.owner);
                let holder = owner.map(|owner| tx.quota_holder(owner)).transpose()?.flatten();
                let most = holder.and_then(|who| quota::limit(What::Builds, &who.own, who.role, &defaults).0);
                Ok((owner, most))
            })
            .await?;
        self.wait(person, most, |wait| job.detail(said(wait))).await
    }

    /// The same by person; `say` hears why it waits, each time that changes.
    pub async fn wait(&self, person: Person, most: Limit, mut say: impl FnMut(Wait)) -> Result<Permit> {
        let mut news = self.0.news.subscribe();
        // From here on its drop leaves the queue.
        let place = Permit { slots: self.clone(), ticket: self.enter(person, most)? };
        self.settle();
        let mut last = None;
        loop {
            let wait = self.fair().wait(place.ticket);
            match wait {
                None => return Ok(place),
                Some(wait) if last != Some(wait) => {
                    say(wait);
                    last = Some(wait);
                }
                Some(_) => {}
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many builds of a person are at work.
    pub fn working(&self, person: Person) -> u64 {
        self.fair().working(&person)
    }

    fn enter(&self, person: Person, most: Limit) -> Result<u64, Refusal> {
        let mut fair = self.fair();
        if fair.waits() >= WAITING_MAX {
            return Err(Refusal::new(Code::TooManyBuilds, format!("{WAITING_MAX} builds wait already"))
                .next("push again when some have ended"));
        }
        Ok(fair.enter(person, most))
    }

    /// Gives places away as long as there are any.
    fn settle(&self) {
        {
            let mut fair = self.fair();
            while fair.admit().is_some() {}
        }
        self.0.news.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn fair(&self) -> MutexGuard<'_, Fair<Person>> {
        self.0.fair.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn said(wait: Wait) -> String {
    match wait {
        Wait::Behind(0) => "Waiting for a place to build: this one is next".to_owned(),
        Wait::Behind(1) => "Waiting for a place to build: 1 build goes first".to_owned(),
        Wait::Behind(n) => format!("Waiting for a place to build: {n} builds go first"),
        Wait::OwnLimit(1) => {
            "Waiting: the owner of this app has a build at work and may have 1 at a time (quota)".to_owned()
        }
        Wait::OwnLimit(n) => {
            format!(
                "Waiting: the owner of this app has {} at work, as many as the quota allows at a time",
                domain::text::counted(n, "build")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;

    #[tokio::test]
    async fn people_alternate_and_hear_how_many_go_first() {
        let slots = Slots::new(1);
        let (ana, bob) = (Some(UserId(1)), Some(UserId(2)));
        let first = slots.wait(ana, None, |_| panic!("there is a place")).await.unwrap();
        let (mut heard, mut bobs_heard) = (Vec::new(), Vec::new());
        let mut second = Box::pin(slots.wait(ana, None, |wait| heard.push(wait)));
        assert!(poll!(&mut second).is_pending());
        let mut bobs = Box::pin(slots.wait(bob, None, |wait| bobs_heard.push(wait)));
        assert!(poll!(&mut bobs).is_pending() && poll!(&mut second).is_pending());
        drop(first);
        let bobs_place = bobs.await.unwrap();
        assert!(poll!(&mut second).is_pending());
        assert_eq!((slots.working(ana), slots.working(bob)), (0, 1));
        drop(bobs_place);
        let place = second.await.unwrap();
        assert_eq!(heard, [Wait::Behind(0), Wait::Behind(1), Wait::Behind(0)]);
        assert_eq!(bobs_heard, [Wait::Behind(0)]);
        drop(place);
        assert_eq!(slots.fair().waits(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_waiting_is_in_nobodys_way() {
        let slots = Slots::new(1);
        let place = slots.wait(Some(UserId(1)), None, |_| ()).await.unwrap();
        let mut gone = Box::pin(slots.wait(Some(UserId(2)), None, |_| ()));
        assert!(poll!(&mut gone).is_pending());
        let mut next = Box::pin(slots.wait(Some(UserId(3)), None, |_| ()));
        assert!(poll!(&mut next).is_pending());
        drop(gone);
        drop(place);
        drop(next.await.unwrap());
        assert_eq!(slots.fair().waits(), 0);
        assert_eq!(slots.working(Some(UserId(2))), 0);
    }

    #[tokio::test]
    async fn a_limit_of_ones_own_leaves_places_to_others() {
        let slots = Slots::new(2);
        let mut heard = Vec::new();
        let mine = slots.wait(Some(UserId(1)), Some(1), |_| ()).await.unwrap();
        let mut more = Box::pin(slots.wait(Some(UserId(1)), Some(1), |wait| heard.push(wait)));
        assert!(poll!(&mut more).is_pending());
        let other = slots.wait(Some(UserId(2)), Some(1), |_| panic!("there is a place")).await.unwrap();
        drop(mine);
        drop(more.await.unwrap());
        assert_eq!(heard, [Wait::OwnLimit(1)]);
        drop(other);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let slots = Slots::new(1);
        let _place = slots.wait(None, None, |_| ()).await.unwrap();
        for _ in 0..WAITING_MAX {
            slots.enter(Some(UserId(1)), None).unwrap();
        }
        assert_eq!(slots.enter(Some(UserId(2)), None).unwrap_err().code, Code::TooManyBuilds);
    }
}
