//! What is under way and must be waited for: shared layers that somebody makes, folders that somebody packs.

use domain::ids::DeployId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, Notify, OwnedMutexGuard};

/// Layers that any app may be given, while they are made, by where they are kept: one at a time each.
#[derive(Debug, Default)]
pub struct Flights(Mutex<BTreeMap<PathBuf, Arc<Turn<()>>>>);

/// The right to make a layer, until it is dropped.
#[derive(Debug)]
pub struct Flight(#[expect(dead_code, reason = "its drop is what it is for")] OwnedMutexGuard<()>);

impl Flights {
    /// The right to make what is kept at `path`. Where somebody else is at it, `waiting` is called and the wait is for their
    /// end: there is perhaps nothing left to make.
    pub async fn enter(&self, path: &Path, waiting: impl FnOnce()) -> Flight {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(path.to_path_buf()).or_default())
        };
        match Arc::clone(&turn).try_lock_owned() {
            Ok(guard) => Flight(guard),
            Err(_) => {
                waiting();
                Flight(turn.lock_owned().await)
            }
        }
    }
}

/// Folders of builds that are being laid out or packed, by the deploy's number. Neither is ended by whoever waited for it.
#[derive(Debug, Default, Clone)]
pub struct Packs(Arc<(Mutex<BTreeMap<DeployId, usize>>, Notify)>);

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub struct Packing(Packs, DeployId);

impl Packs {
    /// Begins to lay out or to pack.
    pub fn begin(&self, deploy: DeployId) -> Packing {
        *self.counts().entry(deploy).or_default() += 1;
        Packing(self.clone(), deploy)
    }

    /// Waits until nothing of the deploy is being laid out or packed.
    pub async fn settled(&self, deploy: DeployId) {
        loop {
            let over = self.0.1.notified();
            if !self.counts().contains_key(&deploy) {
                return;
            }
            over.await;
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<DeployId, usize>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        {
            let mut counts = self.0.counts();
            match counts.get_mut(&self.1) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) | None => {
                    counts.remove(&self.1);
                }
            }
        }
        self.0.0.1.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::poll;

    #[tokio::test]
    async fn one_at_a_time_each() {
        let (flights, mut said) = (Flights::default(), 0);
        let first = flights.enter(Path::new("/a"), || said += 1).await;
        let _other = flights.enter(Path::new("/b"), || said += 10).await;
        let mut second = Box::pin(flights.enter(Path::new("/a"), || said += 100));
        assert!(poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        assert_eq!(said, 100, "who waited was told, nobody else");
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten() {
        let flights = Flights::default();
        drop(flights.enter(Path::new("/a"), || ()).await);
        let _b = flights.enter(Path::new("/b"), || ()).await;
        assert_eq!(flights.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn packing_is_waited_for() {
        let packs = Packs::default();
        packs.settled(DeployId(1)).await;
        let (one, two, _other) = (packs.begin(DeployId(1)), packs.begin(DeployId(1)), packs.begin(DeployId(2)));
        let mut settled = Box::pin(packs.settled(DeployId(1)));
        assert!(poll!(&mut settled).is_pending());
        drop(one);
        assert!(poll!(&mut settled).is_pending());
        drop(two);
        settled.await;
    }
}
