//! What everything that runs for an app has in common, whoever starts it: names, labels, the port, and where things of ours lie
//! inside.

use crate::names::{InstallId, InstanceId};

/// The port that an instance which is served gets in `PORT`.
pub const PORT: u16 = 5000;
/// The label that carries the installation's id.
pub const INSTALL_LABEL: &str = "hoist.install";
/// The label of what was made as an instance or a build. An app's image has the installation's label, so that a container which
/// somebody makes of it by hand has that too; this one it has not.
pub const KIND_LABEL: &str = "hoist.kind";
/// The user that instances of our own images run as.
pub const APP_USER: &str = "1000:1000";
/// Where the init lies inside.
pub const INIT_AT: &str = "/.hoist/init";
/// Where the spool lies inside.
pub const SPOOL_AT: &str = "/.hoist/spool";
/// Where the socket for sessions lies inside.
pub const IO_AT: &str = "/.hoist/io";

/// An instance's name in the engine.
pub fn instance_name(install: &InstallId, id: InstanceId) -> String {
    format!("hoist-{install}-{id}")
}
