//! One job at a time per app: tickets, the wait for one's turn, and the news of being replaced.
//!
//! The decision is `domain::queue`; here are only the lock and the wake-ups.

use domain::AppId;
use domain::queue::{Entered, Queue, Ticket};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The queues of all apps.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    apps: BTreeMap<AppId, Queue>,
    waiting: BTreeMap<u64, oneshot::Sender<News>>,
}

#[derive(Debug)]
enum News {
    YourTurn,
    Replaced,
}

/// A place in an app's queue; dropping it gives the turn, or the place, up.
#[derive(Debug)]
pub struct Place {
    id: u64,
    app: AppId,
    turns: Turns,
    news: Option<oneshot::Receiver<News>>,
}

/// A later push took the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced;

impl Turns {
    /// Enters an app's queue.
    pub fn enter(&self, app: &AppId, replaceable: bool) -> Place {
        let (tell, news) = oneshot::channel();
        let mut inner = self.lock();
        inner.last += 1;
        let id = inner.last;
        let entered = inner.apps.entry(app.clone()).or_default().enter(Ticket { id, replaceable });
        let news = match entered {
            Entered::Now => None,
            Entered::Waits { replaced } => {
                inner.waiting.insert(id, tell);
                for out in replaced {
                    if let Some(tell) = inner.waiting.remove(&out) {
                        let _ = tell.send(News::Replaced);
                    }
                }
                Some(news)
            }
        };
        Place { id, app: app.clone(), turns: self.clone(), news }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether somebody else is at work on the app now.
    pub fn waits(&self) -> bool {
        self.news.is_some()
    }

    /// Waits for the turn. May be dropped and called again.
    pub async fn turn(&mut self) -> Result<(), Replaced> {
        let Some(news) = self.news.as_mut() else { return Ok(()) };
        let told = news.await;
        self.news = None;
        match told {
            Ok(News::YourTurn) => Ok(()),
            Ok(News::Replaced) | Err(_) => Err(Replaced),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.turns.lock();
        inner.waiting.remove(&self.id);
        let Some(queue) = inner.apps.get_mut(&self.app) else { return };
        let next = queue.leave(self.id);
        if queue.is_idle() {
            inner.apps.remove(&self.app);
        }
        if let Some(tell) = next.and_then(|id| inner.waiting.remove(&id)) {
            let _ = tell.send(News::YourTurn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_pass_on_and_places_can_be_given_up() {
        let turns = Turns::default();
        let app: AppId = "aaaaaaaa".parse().unwrap();
        let mut first = turns.enter(&app, true);
        assert!(!first.waits());
        first.turn().await.unwrap();
        let mut second = turns.enter(&app, true);
        let third = turns.enter(&app, false);
        let mut fourth = turns.enter(&app, true);
        assert_eq!(second.turn().await, Err(Replaced));
        drop(third);
        assert!(fourth.waits());
        drop(first);
        fourth.turn().await.unwrap();
        drop(fourth);
        drop(second);
        assert!(turns.lock().apps.is_empty());
    }
}
