//! The command surface: one table of verbs; words, parser, help, documentation and audit lines derive from it.
//!
//! Invariant: whatever is typed becomes a [`Request`] or a [`Refusal`] that says what to type instead; never a panic.
//! Absent: handlers (the server's `commands/`), and any shell.

#[cfg(test)]
mod docs_tests;
mod help;
mod parse;
mod request;
mod said;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod words;

pub use help::{help_for, help_overview, markdown};
pub use parse::{find, parse};
pub use request::{Format, Parsed, Request, audit_line};
pub use said::{Said, said, said_words};
pub use spec::{AppArg, Arg, Audit, Flag, Group, Shape, Spec, Stdin, Takes};
pub use table::TABLE;
pub use words::{LINE_MAX, WORDS_MAX, quote, quote_all, words};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is described by its row of the table")]
pub enum Verb {
    AppsCreate,
    AppsList,
    AppsInfo,
    AppsSet,
    AppsRename,
    AppsDestroy,
    Open,
    DomainsAdd,
    DomainsRemove,
    DomainsList,
    DomainsClear,
    DomainsBase,
    DomainsSetBase,
    Maintenance,
    MaintenanceOn,
    MaintenanceOff,
    Config,
    ConfigSet,
    ConfigGet,
    ConfigUnset,
    ConfigImport,
    ConfigExport,
    Ps,
    PsScale,
    PsRestart,
    PsStop,
    PsStart,
    PsRebuild,
    Run,
    Enter,
    PsExec,
    Logs,
    Releases,
    Rollback,
    Builds,
    BuildsOutput,
    BuildsWait,
    BuildsCancel,
    /// `builds:plan`
    BuildsPlan,
    /// `builds:eject`
    BuildsEject,
    KeysAdd,
    KeysList,
    KeysRemove,
    DeployKeysAdd,
    DeployKeysList,
    DeployKeysRemove,
    UsersAdd,
    UsersList,
    UsersSet,
    UsersRemove,
    AccessAdd,
    AccessList,
    AccessRemove,
    Quota,
    QuotaSet,
    QuotaUnset,
    Whoami,
    Events,
    RegistryLogin,
    RegistryAllow,
    RegistryLogout,
    RegistryList,
    /// `secrets:rotate`.
    SecretsRotate,
    Doctor,
    Help,
    Version,
    Shutdown,
    GitReceivePack,
    GitUploadPack,
    GitLfsTransfer,
    GitLfsAuthenticate,
}

impl Verb {
    /// Its row of the table.
    pub fn spec(self) -> &'static Spec {
        table::spec(self)
    }

    /// Its name: `config:set`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}
