//! Hints: Docker's event stream, kept open until nobody listens any more.

use super::Docker;
use crate::{CALL_MAX, EngineError, Hint};
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Hints waiting for a slow reader; more are dropped, for the reader looks at everything now and then anyway.
const HINTS_MAX: usize = 256;
/// Waits between two tries to reach Docker.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long a fresh stream is given before everything is looked at.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// A stream that says nothing for so long is asked for anew, in case Docker hangs or lost it.
const SILENCE_MAX: Duration = Duration::from_secs(300);

impl Docker {
    pub(super) async fn hint_stream(&self, key: &str, value: &str) -> Result<mpsc::Receiver<Hint>, EngineError> {
        let (sender, receiver) = mpsc::channel(HINTS_MAX);
        let label = format!("{key}={value}");
        // A client of its own: it outlives this value, and a dead Docker now is no reason to have no hints later.
        let follower = Follower { docker: Docker::new(&self.socket, self.tasks.clone()), label, sender };
        self.tasks.spawn("engine hints", |stop| follower.run(stop));
        Ok(receiver)
    }
}

struct Follower {
    docker: Docker,
    label: String,
    sender: mpsc::Sender<Hint>,
}

impl Follower {
    async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.sender.closed() => {}
            () = self.follow_for_ever() => {}
        }
    }

    async fn follow_for_ever(&self) {
        let mut wait = RETRY_FIRST;
        loop {
            if self.follow_once().await {
                wait = RETRY_FIRST;
            }
            let jitter = 0.5 + rand::random::<f64>() / 2.0;
            tokio::time::sleep(wait.mul_f64(jitter)).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// One stream, to its end. Returns whether Docker answered.
    async fn follow_once(&self) -> bool {
        let Ok(Ok(client)) = tokio::time::timeout(CALL_MAX, self.docker.client()).await else { return false };
        let mut stream = Box::pin(client.events(Some(self.options())));
        // What happened while no stream was open is unknown: look at everything. The stream is polled first, so that its
        // request is on the way before the list is made.
        let (mut look, look_at) = (true, Instant::now() + LOOK_AFTER);
        let mut answered = false;
        loop {
            let until = if look { look_at } else { Instant::now() + SILENCE_MAX };
            match tokio::time::timeout_at(until, stream.next()).await {
                Ok(Some(Ok(event))) => {
                    answered = true;
                    self.send(event);
                }
                Ok(Some(Err(err))) => {
                    tracing::debug!(cause = %err, "the stream of events broke");
                    *self.docker.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
                    return answered;
                }
                Ok(None) => return answered,
                Err(_) if look => {
                    look = false;
                    answered = self.hint_all().await;
                    if !answered {
                        return false;
                    }
                }
                Err(_) => return answered,
            }
        }
    }

    fn options(&self) -> EventsOptions {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let filters = HashMap::from([
            ("type".to_owned(), words(&["container"])),
            ("event".to_owned(), words(&["start", "die", "oom", "destroy"])),
            ("label".to_owned(), vec![self.label.clone()]),
        ]);
        EventsOptionsBuilder::default().filters(&filters).build()
    }

    fn send(&self, event: EventMessage) {
        let name = event.actor.and_then(|actor| actor.attributes).and_then(|mut all| all.remove("name"));
        if let Some(name) = name {
            let _ = self.sender.try_send(Hint { name });
        }
    }

    async fn hint_all(&self) -> bool {
        let filters = HashMap::from([("label".to_owned(), vec![self.label.clone()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self
            .docker
            .call("list", "instances", |docker| async move { docker.list_containers(Some(options)).await })
            .await;
        let Ok(found) = found else { return false };
        for name in found.into_iter().filter_map(|one| one.names).flatten() {
            let name = Path::new(&name).file_name().map(|last| last.to_string_lossy().into_owned());
            let _ = self.sender.try_send(Hint { name: name.unwrap_or_default() });
        }
        true
    }
}
