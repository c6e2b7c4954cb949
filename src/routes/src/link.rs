//! What others need of the routers.

use crate::Routes;
use async_trait::async_trait;
use domain::AppId;
use std::time::Duration;

/// The way to the routers: they are told what the store has, and asked what they serve.
#[async_trait]
pub trait RouterLink: Send + Sync + std::fmt::Debug {
    /// Says that routes changed and waits until they are served; false if they are not by `deadline`.
    async fn publish(&self, deadline: Duration) -> bool;
    /// The same, where only routes of one app changed.
    async fn publish_app(&self, app: &AppId, deadline: Duration) -> bool;
    /// Requests in flight, served and failed of these targets, summed; `None` without a router.
    async fn loads(&self, targets: &[String]) -> Option<(u64, u64, u64)>;
    /// Tells clients of these targets to come back on new connections and waits until none is being answered; false if
    /// some still are at `deadline`, or there is no router to ask.
    async fn wait_idle(&self, targets: &[String], deadline: Duration) -> bool;
}

#[async_trait]
impl RouterLink for Routes {
    async fn publish(&self, deadline: Duration) -> bool {
        Routes::publish(self, deadline).await
    }
    async fn publish_app(&self, app: &AppId, deadline: Duration) -> bool {
        Routes::publish_app(self, app, deadline).await
    }
    async fn loads(&self, targets: &[String]) -> Option<(u64, u64, u64)> {
        Routes::loads(self, targets).await
    }
    async fn wait_idle(&self, targets: &[String], deadline: Duration) -> bool {
        Routes::wait_idle(self, targets, deadline).await
    }
}
