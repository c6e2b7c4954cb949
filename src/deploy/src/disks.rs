//! What instances use of the disk, as last seen (`reconcile/disk.rs` looks).

use domain::InstanceId;
use domain::room::Used;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was seen. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Disks(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// The folder that the engine fills, once it has said so.
    engine: Option<PathBuf>,
    used: BTreeMap<InstanceId, Used>,
    /// Those that passed their limit, until they are started again.
    over: BTreeMap<InstanceId, Used>,
}

impl Disks {
    /// What an instance used when it was last looked at.
    pub fn used(&self, id: InstanceId) -> Option<Used> {
        let inner = self.inner();
        inner.over.get(&id).or_else(|| inner.used.get(&id)).copied()
    }

    /// What it used when it passed its limit, and was ended for it.
    pub fn over(&self, id: InstanceId) -> Option<Used> {
        self.inner().over.get(&id).copied()
    }

    /// Notes what one uses.
    pub fn note(&self, id: InstanceId, used: Used) {
        self.inner().used.insert(id, used);
    }

    /// Notes that one passed its limit; says whether that is news.
    pub fn note_over(&self, id: InstanceId, used: Used) -> bool {
        self.inner().over.insert(id, used).is_none()
    }

    /// It begins anew.
    pub fn begin(&self, id: InstanceId) {
        let mut inner = self.inner();
        inner.used.remove(&id);
        inner.over.remove(&id);
    }

    /// Forgets all but these.
    pub fn keep(&self, ids: &BTreeSet<InstanceId>) {
        let mut inner = self.inner();
        inner.used.retain(|id, _| ids.contains(id));
        inner.over.retain(|id, _| ids.contains(id));
    }

    /// The folder that the engine fills.
    pub fn engine(&self) -> Option<PathBuf> {
        self.inner().engine.clone()
    }

    /// Notes the folder that the engine fills.
    pub fn set_engine(&self, root: PathBuf) {
        self.inner().engine = Some(root);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
