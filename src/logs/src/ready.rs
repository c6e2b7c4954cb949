//! Which apps have something to store: a round robin in which an app waits its turn, or a time it asked for.
//!
//! Invariants: an app is with one worker at a time; one that asked to wait is not woken earlier by more of its lines.

use domain::AppId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What an app wants after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until it is pushed again.
    Idle,
    /// Another turn, after the others.
    Again,
    /// Another turn, not before this has passed.
    After(Duration),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Ready {
    state: Mutex<State>,
    pushed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<AppId>,
    queued: BTreeSet<AppId>,
    later: BTreeMap<AppId, Instant>,
    busy: BTreeSet<AppId>,
    /// Pushed while busy.
    again: BTreeSet<AppId>,
}

impl Ready {
    /// The app has something to do.
    pub fn push(&self, app: &AppId) {
        let mut state = self.lock();
        if state.busy.contains(app) {
            state.again.insert(app.clone());
        } else if !state.later.contains_key(app) && state.queued.insert(app.clone()) {
            state.queue.push_back(app.clone());
            self.pushed.notify_one();
        }
    }

    /// The next app; it is this worker's until [`Ready::done`].
    pub async fn next(&self) -> AppId {
        loop {
            let wake = match self.take(Instant::now()) {
                Ok(app) => return app,
                Err(wake) => wake,
            };
            match wake {
                Some(at) => tokio::select! {
                    () = self.pushed.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => self.pushed.notified().await,
            }
        }
    }

    /// The turn is over.
    pub fn done(&self, app: &AppId, next: Next) {
        let mut state = self.lock();
        state.busy.remove(app);
        let again = state.again.remove(app);
        match next {
            Next::After(wait) => {
                state.later.insert(app.clone(), Instant::now() + wait);
            }
            Next::Idle if !again => return,
            Next::Idle | Next::Again => {
                if state.queued.insert(app.clone()) {
                    state.queue.push_back(app.clone());
                }
            }
        }
        self.pushed.notify_one();
    }

    /// An app whose turn it is, or when to look again.
    fn take(&self, now: Instant) -> Result<AppId, Option<Instant>> {
        let mut state = self.lock();
        let due: Vec<AppId> = state.later.iter().filter(|(_, at)| **at <= now).map(|(app, _)| app.clone()).collect();
        for app in due {
            state.later.remove(&app);
            if state.queued.insert(app.clone()) {
                state.queue.push_back(app);
            }
        }
        let Some(app) = state.queue.pop_front() else { return Err(state.later.values().min().copied()) };
        state.queued.remove(&app);
        state.busy.insert(app.clone());
        if !state.queue.is_empty() {
            self.pushed.notify_one();
        }
        Ok(app)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
