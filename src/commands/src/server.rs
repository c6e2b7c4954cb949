//! All that commands reach: what deploys work with, and what only commands do.

use crate::seams::{Dockerfiles, Planner, Repositories, Routers};
use crate::sizes::Usage;
use deploy::Platform;
use std::sync::Arc;
use system::places::Places;

/// A running control process. Clones share it.
#[derive(Debug, Clone)]
pub struct Server {
    /// What deploys and the reconciler work with.
    pub platform: Platform,
    /// Repositories.
    pub repos: Arc<dyn Repositories>,
    /// The routers.
    pub routes: Arc<dyn Routers>,
    /// How commits are built.
    pub builder: Arc<dyn Planner>,
    /// What builds Dockerfiles.
    pub image_builder: Arc<dyn Dockerfiles>,
    /// What apps keep on the disk.
    pub usage: Usage,
    /// Places for SSH sessions.
    pub sessions: Places,
}

impl std::ops::Deref for Server {
    type Target = Platform;
    fn deref(&self) -> &Platform {
        &self.platform
    }
}
