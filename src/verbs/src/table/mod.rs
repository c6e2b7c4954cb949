//! The command table in the order of help: one row per verb.

mod apps;
mod config;
mod domains;
mod oneoff;
mod people;
mod quota;
mod registry;
mod run;

use crate::spec::Spec;
use crate::verb::{Verb, every_verb};

/// What each verb takes, by the verb's name.
pub mod args {
    pub use super::apps::{AppsDestroy, AppsSet, AppsTransfer};
    pub use super::config::{Config, ConfigExport, ConfigGet, ConfigImport, ConfigSet, ConfigUnset};
    pub use super::domains::{AppsRename, DomainsAdd, DomainsClear, DomainsRemove, DomainsSetBase, MaintenanceOn};
    pub use super::oneoff::{Enter, PsExec, Run};
    pub use super::people::{
        AccessAdd, AccessRemove, DeployKeysAdd, DeployKeysRemove, Events, Help, KeysAdd, KeysList, KeysRemove,
        Shutdown, UsersAdd, UsersRemove, UsersSet,
    };
    pub use super::quota::{Quota, QuotaSet, QuotaUnset};
    pub use super::registry::{RegistryAllow, RegistryLogin, RegistryLogout};
    pub use super::run::{
        Builds, BuildsCancel, BuildsEject, BuildsOutput, BuildsPlan, BuildsWait, GitLfsAuthenticate, GitLfsTransfer,
        Logs, PsRestart, PsScale, PsStart, PsStop, Releases, Rollback,
    };
}

macro_rules! rows {
    ($($verb:ident => $module:ident::$row:ident,)*) => {
        /// Every verb, in the order of help.
        pub static TABLE: &[&Spec] = &[$(&$module::$row,)*];

        impl Verb {
            /// Its row of the table.
            pub fn spec(self) -> &'static Spec {
                match self {
                    $(Verb::$verb => &$module::$row,)*
                }
            }
        }
    };
}
every_verb!(rows);

impl Verb {
    /// Its name: `config:set`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}
