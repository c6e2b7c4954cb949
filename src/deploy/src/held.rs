//! Which one-off instances somebody in this process holds.

use domain::InstanceId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One-off instances that somebody in this process starts or is connected to. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<BTreeSet<InstanceId>>>);

impl Held {
    /// Whether somebody holds it.
    pub fn holds(&self, id: InstanceId) -> bool {
        self.ids().contains(&id)
    }

    pub(crate) fn ids(&self) -> MutexGuard<'_, BTreeSet<InstanceId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
