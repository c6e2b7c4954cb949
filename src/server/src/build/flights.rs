//! Layers that any app may be given, while they are made: one at a time each, and whoever waited takes what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// What is being made, by where it is kept.
#[derive(Debug, Default)]
pub struct Flights(Mutex<BTreeMap<PathBuf, Arc<Turn<()>>>>);

/// The right to make a layer, until it is dropped.
#[derive(Debug)]
pub struct Flight(#[expect(dead_code, reason = "its drop is what it is for")] OwnedMutexGuard<()>);

impl Flights {
    /// The right to make what is kept at `path`. Where somebody else is at it, `waiting` is called and the wait is for their
    /// end; the flag says so, as there is perhaps nothing left to make.
    pub async fn enter(&self, path: &Path, waiting: impl FnOnce()) -> (Flight, bool) {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(path.to_path_buf()).or_default())
        };
        match Arc::clone(&turn).try_lock_owned() {
            Ok(guard) => (Flight(guard), false),
            Err(_) => {
                waiting();
                (Flight(turn.lock_owned().await), true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_each() {
        let (flights, mut said) = (Flights::default(), 0);
        let (first, waited) = flights.enter(Path::new("/a"), || said += 1).await;
        assert!(!waited);
        let (_other, waited) = flights.enter(Path::new("/b"), || said += 1).await;
        assert!(!waited);
        let mut second = Box::pin(flights.enter(Path::new("/a"), || said += 1));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        let (_second, waited) = second.await;
        assert!(waited);
        assert_eq!(said, 1);
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten() {
        let flights = Flights::default();
        drop(flights.enter(Path::new("/a"), || ()).await);
        let (_b, waited) = flights.enter(Path::new("/b"), || ()).await;
        assert!(!waited);
        assert_eq!(flights.0.lock().unwrap().len(), 1);
    }
}
