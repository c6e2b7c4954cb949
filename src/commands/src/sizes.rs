//! How large apps were when they were measured last, and what is on its way to them.
//!
//! Absent: measuring ([`crate::usage`]).

use domain::{AppId, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was measured last. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Mutex<BTreeMap<AppId, Measured>>>, Arc<Mutex<BTreeMap<AppId, u64>>>);

/// Room for bytes that are on their way to an app. It counts until this is dropped; from then on the bytes do.
#[derive(Debug)]
pub struct Reserved {
    usage: Usage,
    app: AppId,
    bytes: u64,
}

/// One app's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) bytes: u64,
    pub(crate) at: Timestamp,
}

/// The size of several apps together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Bytes of those that were measured.
    pub bytes: u64,
    /// When the one measured longest ago was.
    pub since: Option<Timestamp>,
    /// How many were not measured yet.
    pub unknown: usize,
}

impl Usage {
    /// Of these apps.
    pub fn of(&self, apps: &[AppId]) -> Sum {
        let (known, coming) = (self.known(), self.coming());
        let mut sum = Sum::default();
        for app in apps {
            sum.bytes = sum.bytes.saturating_add(coming.get(app).copied().unwrap_or(0));
            match known.get(app) {
                Some(one) => {
                    sum.bytes = sum.bytes.saturating_add(one.bytes);
                    sum.since = Some(sum.since.map_or(one.at, |since| since.min(one.at)));
                }
                None => sum.unknown += 1,
            }
        }
        sum
    }

    /// Makes room for bytes that come to an app.
    pub fn reserve(&self, app: &AppId, bytes: u64) -> Reserved {
        let mut coming = self.coming();
        let all = coming.entry(app.clone()).or_default();
        *all = all.saturating_add(bytes);
        Reserved { usage: self.clone(), app: app.clone(), bytes }
    }

    /// Bytes that are on their way to all apps.
    pub fn reserved(&self) -> u64 {
        self.coming().values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    pub(crate) fn coming(&self) -> MutexGuard<'_, BTreeMap<AppId, u64>> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, BTreeMap<AppId, Measured>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, app: AppId, bytes: u64, at: Timestamp) {
        self.known().insert(app, Measured { bytes, at });
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(measured) = self.usage.known().get_mut(&self.app) {
            measured.bytes = measured.bytes.saturating_add(self.bytes);
        }
        let mut coming = self.usage.coming();
        let left = coming.get(&self.app).map_or(0, |all| all.saturating_sub(self.bytes));
        if left == 0 {
            coming.remove(&self.app)
        } else {
            coming.insert(self.app.clone(), left)
        };
    }
}
