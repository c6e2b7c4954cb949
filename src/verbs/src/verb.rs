//! The verbs, in the order of help: each with the row of the table that describes it. This is the only list of them.

/// Calls a macro with every verb and its row.
macro_rules! every_verb {
    ($with:ident) => {
        $with! {
            AppsCreate => apps::CREATE,
            AppsList => apps::LIST,
            AppsInfo => apps::INFO,
            AppsSet => apps::SET,
            AppsRename => domains::RENAME,
            AppsTransfer => apps::TRANSFER,
            AppsDestroy => apps::DESTROY,
            Open => apps::OPEN,
            DomainsAdd => domains::ADD,
            DomainsRemove => domains::REMOVE,
            DomainsList => domains::LIST,
            DomainsClear => domains::CLEAR,
            DomainsBase => domains::BASE_SHOW,
            DomainsSetBase => domains::SET_BASE,
            Maintenance => domains::MAINTENANCE,
            MaintenanceOn => domains::MAINTENANCE_ON,
            MaintenanceOff => domains::MAINTENANCE_OFF,
            Config => config::ALL,
            ConfigSet => config::SET,
            ConfigGet => config::GET,
            ConfigUnset => config::UNSET,
            ConfigImport => config::IMPORT,
            ConfigExport => config::EXPORT,
            Ps => run::PS,
            PsScale => run::PS_SCALE,
            PsRestart => run::PS_RESTART,
            PsStop => run::PS_STOP,
            PsStart => run::PS_START,
            PsRebuild => run::PS_REBUILD,
            Run => oneoff::RUN,
            Enter => oneoff::ENTER,
            PsExec => oneoff::EXEC,
            Logs => run::LOGS,
            Releases => run::RELEASES,
            Rollback => run::ROLLBACK,
            Builds => run::BUILDS,
            BuildsOutput => run::BUILDS_OUTPUT,
            BuildsWait => run::BUILDS_WAIT,
            BuildsCancel => run::BUILDS_CANCEL,
            BuildsPlan => run::BUILDS_PLAN,
            BuildsEject => run::BUILDS_EJECT,
            BuildsLock => run::BUILDS_LOCK,
            KeysAdd => people::KEYS_ADD,
            KeysList => people::KEYS_LIST,
            KeysRemove => people::KEYS_REMOVE,
            DeployKeysAdd => people::DEPLOY_KEYS_ADD,
            DeployKeysList => people::DEPLOY_KEYS_LIST,
            DeployKeysRemove => people::DEPLOY_KEYS_REMOVE,
            UsersAdd => people::USERS_ADD,
            UsersList => people::USERS_LIST,
            UsersSet => people::USERS_SET,
            UsersRemove => people::USERS_REMOVE,
            AccessAdd => people::ACCESS_ADD,
            AccessList => people::ACCESS_LIST,
            AccessRemove => people::ACCESS_REMOVE,
            Quota => quota::QUOTA,
            QuotaSet => quota::QUOTA_SET,
            QuotaUnset => quota::QUOTA_UNSET,
            Whoami => people::WHOAMI,
            Events => people::EVENTS,
            RegistryLogin => registry::LOGIN,
            RegistryAllow => registry::ALLOW,
            RegistryLogout => registry::LOGOUT,
            RegistryList => registry::LIST,
            SecretsRotate => registry::ROTATE,
            Doctor => people::DOCTOR,
            Help => people::HELP,
            Version => people::VERSION,
            Shutdown => people::SHUTDOWN,
            GitReceivePack => run::RECEIVE_PACK,
            GitUploadPack => run::UPLOAD_PACK,
            GitLfsTransfer => run::LFS_TRANSFER,
            GitLfsAuthenticate => run::LFS_AUTHENTICATE,
        }
    };
}
pub(crate) use every_verb;

macro_rules! declare {
    ($($verb:ident => $module:ident::$row:ident,)*) => {
        /// What can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is described by its row of the table")]
        pub enum Verb {
            $($verb,)*
        }
    };
}
every_verb!(declare);
