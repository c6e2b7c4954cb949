//! The base domain in force: what an administrator set, else the configuration's.

use std::sync::{Arc, PoisonError, RwLock};
use store::Store;
use system::fault::Result;

/// The base domain. Clones share it; the store has it first, so that a restart finds the same.
#[derive(Debug, Clone)]
pub struct BaseDomain {
    now: Arc<RwLock<Arc<str>>>,
    configured: Arc<str>,
    /// Held by the one who changes it, from the store to here.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl BaseDomain {
    /// The one of the store, else the configured one.
    pub async fn load(store: &Store, configured: &str) -> Result<BaseDomain> {
        let set = store.read(|tx| tx.base_domain()).await?;
        let now = Arc::from(set.as_deref().unwrap_or(configured));
        Ok(BaseDomain { now: Arc::new(RwLock::new(now)), configured: Arc::from(configured), changing: Arc::default() })
    }

    /// The one in force.
    pub fn get(&self) -> Arc<str> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one that the configuration names.
    pub fn configured(&self) -> &str {
        &self.configured
    }

    /// Runs `work`, which writes `base` to the store, and takes it over once that is done.
    pub async fn change<T>(&self, base: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let _one = self.changing.lock().await;
        let done = work.await?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::from(base);
        Ok(done)
    }
}
