//! Where and how a call to the outside goes wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Moment;
use tokio_util::sync::CancellationToken;

/// One call: what it does, and the how manieth of these it is since the fuse was armed.
pub type Point = (String, u32);

/// What happens at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The process is killed before it takes effect.
    DieBefore,
    /// The process is killed when it has taken effect.
    DieAfter,
    /// It fails without effect.
    Fail,
    /// It takes effect and says that it failed.
    AnswerLost,
    /// The engine has just lost an instance that serves.
    Forget,
    /// The answer is that of an earlier call.
    Stale,
}

/// Watches the calls of one life of the process. Once it has blown as a death, no call returns any more.
#[derive(Default)]
pub struct Fuse {
    inner: Mutex<Inner>,
    dead: CancellationToken,
}

#[derive(Default)]
struct Inner {
    counts: Option<BTreeMap<String, u32>>,
    seen: Vec<Point>,
    at: Option<(Point, Blow)>,
    blown: bool,
    after_commit: Option<Blow>,
}

impl fmt::Debug for Fuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fuse").field("at", &self.inner().at).finish_non_exhaustive()
    }
}

impl Fuse {
    /// One that never blows, until it is armed.
    pub fn new() -> Arc<Fuse> {
        Arc::default()
    }

    /// Counts calls from now on; one may go wrong.
    pub fn arm(&self, at: Option<(Point, Blow)>) {
        let mut inner = self.inner();
        inner.counts = Some(BTreeMap::new());
        inner.at = at;
    }

    /// Every call since it was armed.
    pub fn seen(&self) -> Vec<Point> {
        self.inner().seen.clone()
    }

    /// Whether the call of the point came.
    pub fn has_blown(&self) -> bool {
        self.inner().blown
    }

    /// Fires when the process is dead.
    pub fn dead(&self) -> &CancellationToken {
        &self.dead
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; what happens at it.
    pub fn next(&self, what: &str) -> Option<Blow> {
        let mut inner = self.inner();
        let counts = inner.counts.as_mut()?;
        let count = counts.entry(what.to_owned()).or_default();
        *count += 1;
        let point = (what.to_owned(), *count);
        let blow = inner.at.as_ref().filter(|(at, _)| *at == point).map(|(_, blow)| *blow);
        inner.blown |= blow.is_some();
        inner.seen.push(point);
        blow
    }

    /// Nothing returns to a process that is dead.
    pub async fn alive(&self) {
        if self.dead.is_cancelled() {
            std::future::pending().await
        }
    }

    async fn die(&self) {
        self.dead.cancel();
        std::future::pending().await
    }

    /// One call through it.
    pub async fn call<T, E>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, E>>,
        fail: impl FnOnce() -> E,
    ) -> Result<T, E> {
        self.alive().await;
        match self.next(what) {
            None | Some(Blow::Forget | Blow::Stale) => {
                let done = work.await;
                self.alive().await;
                done
            }
            Some(Blow::DieBefore) => {
                self.die().await;
                Err(fail())
            }
            Some(Blow::DieAfter) => {
                let _ = work.await;
                self.die().await;
                Err(fail())
            }
            Some(Blow::Fail) => Err(fail()),
            Some(Blow::AnswerLost) => {
                let _ = work.await;
                Err(fail())
            }
        }
    }

    /// What the store asks at each moment of a transaction.
    pub fn judge(&self, moment: Moment, writes: bool) -> bool {
        if self.dead.is_cancelled() {
            return false;
        }
        if !writes {
            return true;
        }
        let blow = match moment {
            Moment::Begin => return true,
            Moment::BeforeCommit => self.next("store.write"),
            Moment::AfterCommit => self.inner().after_commit.take(),
        };
        match (moment, blow) {
            (_, None) => true,
            (Moment::BeforeCommit, Some(Blow::DieAfter | Blow::AnswerLost)) => {
                self.inner().after_commit = blow;
                true
            }
            (_, Some(Blow::DieBefore | Blow::DieAfter)) => {
                self.dead.cancel();
                false
            }
            (_, Some(Blow::Fail | Blow::AnswerLost)) => false,
            (_, Some(Blow::Forget | Blow::Stale)) => true,
        }
    }
}
