//! All that commands reach: what deploys work with, and what only commands do.

use crate::usage::Usage;
use builder::Builder;
use builder::daemon::ImageBuilder;
use deploy::Platform;
use git::Repos;
use routes::Routes;
use std::sync::Arc;
use system::places::Places;

/// A running control process. Clones share it.
#[derive(Debug, Clone)]
pub struct Server {
    /// What deploys and the reconciler work with.
    pub platform: Platform,
    /// Repositories.
    pub repos: Repos,
    /// The routers.
    pub routes: Routes,
    /// Images.
    pub builder: Arc<Builder>,
    /// What builds Dockerfiles.
    pub image_builder: Arc<ImageBuilder>,
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
