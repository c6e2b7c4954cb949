//! The one owner of everything that is spawned: named, counted, cancelled, waited for.

use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// Spawns and ends tasks. Clones share one tracker and one stop signal.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An owner without tasks.
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Starts a task, whose lines in the log say what those of its starter say. It gets the stop signal and must end soon after
    /// it fires.
    pub fn spawn<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = task(self.stop.child_token());
        #[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
        self.tracker.spawn(
            async move {
                work.await;
                tracing::trace!(task = name, "ended");
            }
            .instrument(Span::current()),
        );
    }

    /// The signal every task sees.
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks all tasks to end and waits for them, at most `grace`. Returns how many were still running.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(grace, self.tracker.wait()).await;
        self.tracker.len()
    }
}

/// Runs blocking work (files, git, tar) on the pool, and hands panics on as a fault.
pub async fn blocking<T: Send + 'static>(
    act: &'static str,
    work: impl FnOnce() -> crate::fault::Result<T> + Send + 'static,
) -> crate::fault::Result<T> {
    let span = Span::current();
    #[allow(clippy::disallowed_methods, reason = "the one place that hands work to the blocking pool")]
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(done) => done,
        Err(err) => Err(crate::fault::Fault::new(act, err).into()),
    }
}

/// Runs blocking work on a thread of its own, for work that changes what the thread is: nobody else gets it afterwards.
pub async fn apart<T: Send + 'static>(
    act: &'static str,
    work: impl FnOnce() -> crate::fault::Result<T> + Send + 'static,
) -> crate::fault::Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    let span = Span::current();
    let thread = std::thread::Builder::new().name(act.to_owned()).spawn(move || {
        // Whoever asked may have given up.
        let _ = done.send(span.in_scope(work));
    });
    thread.map_err(|err| crate::fault::Fault::new(act, err))?;
    result.await.map_err(|err| crate::fault::Fault::new(act, err))?
}
