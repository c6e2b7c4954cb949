//! What everything that runs for an app has in common, whoever starts it: names, labels, the port, and where things of ours lie
//! inside.

use crate::names::{InstallId, InstanceId, ProcessType};
use crate::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

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

/// What people call an instance: `web.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label {
    /// Its process type.
    pub process: ProcessType,
    /// 1, 2, … within the type.
    pub ordinal: u32,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process, self.ordinal)
    }
}

impl FromStr for Label {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Label, Refusal> {
        let parts = text.rsplit_once('.').and_then(|(process, n)| Some((process, n.parse().ok()?)));
        let Some((process, ordinal)) = parts else {
            return Err(Refusal::new(Code::NoSuchInstance, "an instance is called like web.1"));
        };
        Ok(Label { process: process.parse()?, ordinal })
    }
}

impl TryFrom<String> for Label {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Label, Refusal> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.to_string()
    }
}
