//! What a job asks of whoever makes images.

use crate::Job;
use async_trait::async_trait;
use buildpacks::Pins;
use domain::ids::{BuildId, DeployId};
use domain::{AppId, Commit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::Build;
use system::fault::Result;
use tokio::time::Instant;

/// What is to be built.
#[derive(Debug, Clone)]
pub struct BuildAsk {
    /// The app.
    pub app: AppId,
    /// The build's row.
    pub build: BuildId,
    /// The deploy; containers and folders are named by it.
    pub deploy: DeployId,
    /// The commit.
    pub commit: Commit,
    /// When it must be done, all its sandboxes together, without what it waits for a place.
    pub deadline: Instant,
    /// What it waited for places until now.
    pub waited: Waited,
    /// No kept layer is used.
    pub clear_cache: bool,
}

impl BuildAsk {
    /// When it must be done as things are.
    pub fn ends(&self) -> Instant {
        self.deadline + self.waited.get()
    }
}

/// Time that a build spent waiting for places.
#[derive(Debug, Clone, Default)]
pub struct Waited(Arc<AtomicU64>);

impl Waited {
    /// Adds what one of its parts waited.
    pub fn add(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // Some of a build's parts wait at the same time; each of them is only given more of it.
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// What was built.
#[derive(Debug)]
pub struct Made {
    /// The build's row, filled.
    pub build: Build,
    /// Versions to remember.
    pub pins: Pins,
}

/// Makes images.
#[async_trait]
pub trait Builds: Send + Sync + std::fmt::Debug {
    /// Builds a commit: its image is in the engine then. Says what it does to `job`. Run again after a crash, it goes on with
    /// what is there.
    async fn build(&self, ask: &BuildAsk, job: &Job) -> Result<Made>;
    /// Removes what a build that will not go on left behind.
    async fn discard(&self, deploy: DeployId) -> Result<()>;
    /// Whether something of this number is at work for no app.
    fn is_ahead(&self, number: DeployId) -> bool;
    /// Forgets the oldest of what is only kept to be faster.
    async fn prune(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_for_a_place_is_not_building() {
        let deadline = Instant::now() + Duration::from_secs(900);
        let ask = BuildAsk {
            app: "aaaaaaaa".parse().unwrap(),
            build: BuildId(1),
            deploy: DeployId(1),
            commit: "0".repeat(40).parse().unwrap(),
            deadline,
            waited: Waited::default(),
            clear_cache: false,
        };
        assert_eq!(ask.ends(), deadline);
        ask.waited.add(Duration::from_millis(1_500));
        ask.waited.add(Duration::from_secs(60));
        assert_eq!(ask.ends(), deadline + Duration::from_millis(61_500));
    }
}
