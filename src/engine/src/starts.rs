//! Starts that are finished even if the one who asked has gone: a cancelled job must not leave behind an instance that
//! the engine was just making, and who removes it must know when there is something to remove.

use super::{Engine, EngineError, InstanceSpec};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use system::tasks::Tasks;
use tokio::sync::{Notify, oneshot};

/// The starts under way. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Starts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Mutex<BTreeSet<String>>,
    ended: Notify,
}

/// Takes a name out when the start is over, however it ends.
struct UnderWay(Starts, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.names().remove(&self.1);
        self.0.0.ended.notify_waiters();
    }
}

impl Starts {
    /// `Engine::ensure_started`, which goes on when this future is dropped.
    pub async fn ensure(&self, engine: &Arc<dyn Engine>, tasks: &Tasks, spec: InstanceSpec) -> Result<(), EngineError> {
        self.names().insert(spec.name.clone());
        let under_way = UnderWay(self.clone(), spec.name.clone());
        let (engine, (tell, told)) = (Arc::clone(engine), oneshot::channel());
        tasks.spawn("start an instance", move |_| async move {
            let done = engine.ensure_started(&spec).await;
            drop(under_way);
            let _ = tell.send(done);
        });
        told.await.unwrap_or(Err(EngineError::NotAnswering))
    }

    /// Waits until no start of an instance whose name begins so is under way; a start has the engine's deadline.
    pub async fn settled(&self, prefix: &str) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !self.names().iter().any(|name| name.starts_with(prefix)) {
                return;
            }
            ended.await;
        }
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn settled_waits_for_names_that_begin_so() {
        let starts = Starts::default();
        starts.names().insert("hoist-a-b1-app".to_owned());
        let under_way = UnderWay(starts.clone(), "hoist-a-b1-app".to_owned());
        starts.settled("hoist-a-b2-").await;
        let wait = starts.settled("hoist-a-b1-");
        tokio::pin!(wait);
        assert!(futures_util::poll!(&mut wait).is_pending());
        drop(under_way);
        wait.await;
    }
}
