//! What can happen to an app or the server: one type, which the store writes in the transaction that makes it true and which
//! log lines, `events` and whoever is told later are made from.
//!
//! Invariant: an event holds names, numbers and reasons, never the value of a config var or a key's private part. Events are
//! kept as JSON for a year: a field may be added if an older row can do without it, none may change its meaning.
//! Absent: who asked with which command from where, which is the audit's.

use crate::access::Role;
use crate::deploy::Kind;
use crate::formation::Formation;
use crate::hostname::Hostname;
use crate::ids::{BuildId, ConfigVersion, DeployId};
use crate::instance::Label;
use crate::names::{AppName, Commit, ProcessType, ReleaseNumber, UserName, VarName};
use crate::refusal::{Code, Refusal};
use crate::text::{human_bytes, plain};
use crate::{room, run, time};
use serde::{Deserialize, Serialize};

/// The kind, in lists of kinds, of commands: rows of the audit, which are no events.
pub const COMMAND: &str = "command";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "fields are named as docs/events.md and JSON have them; the table below says what each kind is"
)]
pub enum Event {
    AppCreated {
        name: AppName,
    },
    AppRenamed {
        from: AppName,
        to: AppName,
    },
    AppTransferred {
        /// Root, where there is none.
        from: Option<UserName>,
        to: UserName,
    },
    AppDestroyed {
        name: AppName,
    },
    AppStopped,
    SettingsChanged {
        names: Vec<String>,
    },
    BuildSucceeded {
        build: BuildId,
        commit: Commit,
        language: String,
    },
    BuildFailed {
        build: BuildId,
        commit: Commit,
        why: String,
    },
    BuildCancelled {
        build: BuildId,
        commit: Commit,
        why: String,
    },
    ReleaseCut {
        release: ReleaseNumber,
        deploy: DeployId,
        description: String,
        by: String,
    },
    ConfigChanged {
        version: ConfigVersion,
        set: Vec<VarName>,
        unset: Vec<VarName>,
    },
    DeployLive {
        deploy: DeployId,
        #[serde(with = "kind_word")]
        job: Kind,
        release: ReleaseNumber,
        /// False: the routers had not confirmed by then.
        routed: bool,
        by: String,
    },
    DeployFailed {
        deploy: DeployId,
        #[serde(with = "kind_word")]
        job: Kind,
        /// The release that came to nothing, where one was cut.
        release: Option<ReleaseNumber>,
        code: Code,
        why: String,
        by: String,
    },
    InstanceUp {
        instance: Label,
        release: ReleaseNumber,
    },
    InstanceNotUp {
        instance: Label,
        release: ReleaseNumber,
        why: String,
    },
    InstanceCrashed {
        instance: Label,
        release: ReleaseNumber,
        cause: Crash,
        /// Crashes in a row, this one too.
        crashes: u32,
        /// In how long it is started again.
        again_ms: u64,
    },
    InstanceGone {
        instance: Label,
        release: ReleaseNumber,
    },
    InstanceCutOff {
        instance: Label,
        release: ReleaseNumber,
    },
    InstanceFull {
        instance: Label,
        release: ReleaseNumber,
        limit: u64,
    },
    RunEnded {
        instance: Label,
        release: ReleaseNumber,
        code: Option<i64>,
        ran_ms: u64,
        /// Empty where it ended by itself.
        why: String,
        by: String,
    },
    Scaled {
        formation: Formation,
    },
    DomainAdded {
        host: Hostname,
        process: ProcessType,
    },
    DomainRemoved {
        host: Hostname,
    },
    AccessGiven {
        user: UserName,
    },
    AccessTaken {
        user: UserName,
    },
    DeployKeyAdded {
        name: String,
        fingerprint: String,
        by: String,
    },
    DeployKeyRemoved {
        name: String,
        fingerprint: String,
    },
    MaintenanceOn {
        own_page: bool,
    },
    MaintenanceOff,
    UserAdded {
        user: UserName,
        role: Role,
    },
    UserRemoved {
        user: UserName,
    },
    RoleChanged {
        user: UserName,
        role: Role,
    },
    KeyAdded {
        user: UserName,
        name: String,
        fingerprint: String,
    },
    KeyRemoved {
        user: UserName,
        fingerprint: String,
    },
    RouterUnreachable {
        why: String,
    },
    RouterBack,
    DiskLow {
        disk: String,
        free: u64,
        all: u64,
        least: u64,
    },
    DiskEased {
        disk: String,
        free: u64,
        all: u64,
    },
}

macro_rules! kinds {
    ($($variant:ident = $word:literal, $about:literal;)+) => {
        /// Every kind of event and when it happens, in the order of help.
        pub const KINDS: &[(&str, &str)] = &[$(($word, $about),)+];

        impl Event {
            /// Its kind, as JSON and `--type` have it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Event::$variant { .. } => $word,)+
                }
            }
        }
    };
}

kinds! {
    AppCreated = "app-created", "an app was made";
    AppRenamed = "app-renamed", "an app has another name";
    AppTransferred = "app-transferred", "an app has another owner";
    AppDestroyed = "app-destroyed", "an app is gone with all of it";
    AppStopped = "app-stopped", "ps:stop, or the beginning of the app's end";
    SettingsChanged = "settings-changed", "apps:set";
    BuildSucceeded = "build-succeeded", "an image is there";
    BuildFailed = "build-failed", "no image could be made";
    BuildCancelled = "build-cancelled", "a build was ended before its time";
    ReleaseCut = "release-cut", "a release has its number, its image and its config vars; nothing of it runs yet";
    ConfigChanged = "config-changed", "other config vars are in force; names only";
    DeployLive = "deploy-live", "a push, rebuild, rollback, config change or restart is over and serves";
    DeployFailed = "deploy-failed", "one came to nothing; what served before serves on";
    InstanceUp = "instance-up", "an instance serves again after a crash, or first after ps:scale";
    InstanceNotUp = "instance-not-up", "one did not come up in time and is tried again";
    InstanceCrashed = "instance-crashed", "one ended by itself, for want of memory, or because it filled its disk";
    InstanceGone = "instance-gone", "one was removed behind Hoist's back and is made again";
    InstanceCutOff = "instance-cut-off", "one was cut off its network and is made again";
    InstanceFull = "instance-full", "one that was starting, stopping or one-off filled its disk and was ended";
    RunEnded = "run-ended", "a one-off instance is over";
    Scaled = "scaled", "the formation is another";
    DomainAdded = "domain-added", "the app answers at one more name";
    DomainRemoved = "domain-removed", "it answers at a name no longer";
    AccessGiven = "access-given", "somebody may see and change the app";
    AccessTaken = "access-taken", "somebody may not any more";
    DeployKeyAdded = "deploy-key-added", "a deploy key may push";
    DeployKeyRemoved = "deploy-key-removed", "a deploy key may not any more";
    MaintenanceOn = "maintenance-on", "visitors get the maintenance page";
    MaintenanceOff = "maintenance-off", "visitors get the app again";
    UserAdded = "user-added", "server: there is another user";
    UserRemoved = "user-removed", "server: a user is gone";
    RoleChanged = "role-changed", "server: a user is an administrator, or none any more";
    KeyAdded = "key-added", "server: a user has another key";
    KeyRemoved = "key-removed", "server: a user's key is gone";
    RouterUnreachable = "router-unreachable", "server: the router is gone or does not answer";
    RouterBack = "router-back", "server: it is there again";
    DiskLow = "disk-low", "server: too little room to begin a build";
    DiskEased = "disk-eased", "server: there is room again";
}

/// Why an instance that should run does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Crash {
    /// It ended by itself, with this code where it is known.
    Exited {
        /// The code.
        code: Option<i64>,
    },
    /// It wanted more memory than it may have.
    OutOfMemory {
        /// Bytes that it may have.
        limit: u64,
    },
    /// It wrote more than it may; what it wrote is gone.
    DiskFull {
        /// Bytes that it may write.
        limit: u64,
    },
}

impl Crash {
    fn words(self) -> String {
        match self {
            Crash::Exited { .. } => String::new(),
            Crash::OutOfMemory { limit } => format!(" (R15: out of memory, its limit is {})", human_bytes(limit)),
            Crash::DiskFull { limit } => format!(" ({}; what it wrote is gone)", room::over(limit)),
        }
    }
}

impl Event {
    /// What the app's log says of it: a line, or two with a newline between; `None` where the log says nothing.
    pub fn line(&self) -> Option<String> {
        match self {
            Event::InstanceCrashed { cause: Crash::DiskFull { .. }, .. } | Event::InstanceFull { .. } => {
                Some(format!("{}\n{}", self.text(), room::OVER_NEXT))
            }
            Event::AppRenamed { .. }
            | Event::DeployLive { .. }
            | Event::DeployFailed { .. }
            | Event::InstanceUp { .. }
            | Event::InstanceNotUp { .. }
            | Event::InstanceCrashed { cause: Crash::Exited { .. } | Crash::OutOfMemory { .. }, .. }
            | Event::InstanceGone { .. }
            | Event::InstanceCutOff { .. }
            | Event::RunEnded { .. } => Some(self.text()),
            Event::AppCreated { .. }
            | Event::AppTransferred { .. }
            | Event::AppDestroyed { .. }
            | Event::AppStopped
            | Event::SettingsChanged { .. }
            | Event::BuildSucceeded { .. }
            | Event::BuildFailed { .. }
            | Event::BuildCancelled { .. }
            | Event::ReleaseCut { .. }
            | Event::ConfigChanged { .. }
            | Event::Scaled { .. }
            | Event::DomainAdded { .. }
            | Event::DomainRemoved { .. }
            | Event::AccessGiven { .. }
            | Event::AccessTaken { .. }
            | Event::DeployKeyAdded { .. }
            | Event::DeployKeyRemoved { .. }
            | Event::MaintenanceOn { .. }
            | Event::MaintenanceOff
            | Event::UserAdded { .. }
            | Event::UserRemoved { .. }
            | Event::RoleChanged { .. }
            | Event::KeyAdded { .. }
            | Event::KeyRemoved { .. }
            | Event::RouterUnreachable { .. }
            | Event::RouterBack
            | Event::DiskLow { .. }
            | Event::DiskEased { .. } => None,
        }
    }

    /// It in a sentence, for people.
    pub fn text(&self) -> String {
        match self {
            Event::AppCreated { name } => format!("Created {name}"),
            Event::AppRenamed { from, to } => format!("Renamed from {from} to {to}"),
            Event::AppTransferred { from: Some(from), to } => format!("{to} owns it now, as {from} did before"),
            Event::AppTransferred { from: None, to } => format!("{to} owns it now, as root did before"),
            Event::AppDestroyed { name } => format!("Destroyed {name}"),
            Event::AppStopped => "Stopped".to_owned(),
            Event::SettingsChanged { names } => format!("Settings changed: {}", names.join(", ")),
            Event::BuildSucceeded { build, commit, .. } => format!("Build {build} of {} succeeded", commit.short()),
            Event::BuildFailed { build, commit, why } => {
                format!("Build {build} of {} failed: {}", commit.short(), plain(why))
            }
            Event::BuildCancelled { build, commit, why } => {
                format!("Build {build} of {} was cancelled: {}", commit.short(), plain(why))
            }
            Event::ReleaseCut { release, description, .. } => format!("Release {release}: {}", plain(description)),
            Event::ConfigChanged { set, unset, .. } => config_words(set, unset),
            Event::DeployLive { job, release, by, .. } => format!("Release {release} is live ({} by {by})", job.word()),
            Event::DeployFailed { job, why, by, .. } => format!("{} by {by} failed: {}", job.word(), plain(why)),
            Event::InstanceUp { instance, .. } => format!("State of {instance} changed from starting to up"),
            Event::InstanceNotUp { instance, why, .. } => format!("{instance}: {why}"),
            Event::InstanceCrashed { instance, cause, again_ms, .. } => crash_words(instance, *cause, *again_ms),
            Event::InstanceGone { instance, .. } => format!("{instance} is gone; making it again"),
            Event::InstanceCutOff { instance, .. } => format!("{instance} was cut off its network; making it again"),
            Event::InstanceFull { instance, limit, .. } => format!("{instance} was ended ({})", room::over(*limit)),
            Event::RunEnded { instance, code, ran_ms, why, by, .. } => {
                format!("{instance} of {by} ended {}", run::how_ended(*code, *ran_ms, why))
            }
            Event::Scaled { formation } => {
                let list: Vec<String> = formation.iter().map(|(process, n)| format!("{process}={n}")).collect();
                format!("Scaled to {}", list.join(" "))
            }
            Event::DomainAdded { host, process } => format!("{host} is served by {process}"),
            Event::DomainRemoved { host } => format!("{host} was removed"),
            Event::MaintenanceOn { own_page: true } => "Maintenance is on, with a page of the app's own".to_owned(),
            Event::MaintenanceOn { own_page: false } => "Maintenance is on".to_owned(),
            Event::MaintenanceOff => "Maintenance is off".to_owned(),
            Event::AccessGiven { user } => format!("{user} has access"),
            Event::AccessTaken { user } => format!("{user} has no access any more"),
            Event::DeployKeyAdded { name, fingerprint, .. } => {
                format!("Deploy key {} ({fingerprint}) added", plain(name))
            }
            Event::DeployKeyRemoved { name, fingerprint } => {
                format!("Deploy key {} ({fingerprint}) removed", plain(name))
            }
            Event::UserAdded { user, role } => format!("{user} is a user, {}", role_words(*role)),
            Event::UserRemoved { user } => format!("{user} is no user any more"),
            Event::RoleChanged { user, role } => format!("{user} is {} now", role_words(*role)),
            Event::KeyAdded { user, fingerprint, .. } => format!("{user} has the key {fingerprint}"),
            Event::KeyRemoved { user, fingerprint } => format!("{user} has the key {fingerprint} no more"),
            Event::RouterUnreachable { why } => format!("The router is not reachable: {}", plain(why)),
            Event::RouterBack => "The router is there again".to_owned(),
            Event::DiskLow { disk, free, all, least } => {
                let (free, all, least) = (human_bytes(*free), human_bytes(*all), human_bytes(*least));
                format!("{free} of {all} are free on {}, less than {least}", disk_words(disk))
            }
            Event::DiskEased { disk, free, all } => {
                format!("{} of {} are free on {} again", human_bytes(*free), human_bytes(*all), disk_words(disk))
            }
        }
    }
}

fn crash_words(instance: &Label, cause: Crash, again_millis: u64) -> String {
    let when = match again_millis {
        0 => "at once".to_owned(),
        wait => format!("in {}", time::human_millis(wait)),
    };
    format!("State of {instance} changed from up to crashed{}; it starts again {when}", cause.words())
}

fn role_words(role: Role) -> &'static str {
    match role {
        Role::Admin => "an administrator",
        Role::Developer => "a developer",
    }
}

fn config_words(set: &[VarName], unset: &[VarName]) -> String {
    let list = |names: &[VarName]| names.iter().map(VarName::as_str).collect::<Vec<_>>().join(", ");
    match (set, unset) {
        (set, []) => format!("Config vars set: {}", list(set)),
        ([], unset) => format!("Config vars unset: {}", list(unset)),
        (set, unset) => format!("Config vars set: {}; unset: {}", list(set), list(unset)),
    }
}

fn disk_words(disk: &str) -> &str {
    if disk == "docker" { "Docker's disk" } else { "the server's disk" }
}

/// The kinds that `--type` names: those of events, and whether commands are among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds {
    /// Of events.
    pub events: Vec<&'static str>,
    /// [`COMMAND`] was named.
    pub commands: bool,
}

/// Reads `KIND[,KIND]`, as typed for this app or for all.
pub fn kinds(typed: &str, app: Option<&AppName>) -> Result<Kinds, Refusal> {
    let mut kinds = Kinds { events: Vec::new(), commands: false };
    for word in typed.split(',').map(str::trim) {
        match KINDS.iter().find(|(kind, _)| *kind == word) {
            Some((kind, _)) => kinds.events.push(kind),
            None if word == COMMAND => kinds.commands = true,
            None => {
                let all: Vec<&str> = [COMMAND].into_iter().chain(KINDS.iter().map(|(kind, _)| *kind)).collect();
                let of = app.map(|app| format!("{app} ")).unwrap_or_default();
                let what = format!("there are no events of the type {}", crate::words::quote(&plain(word)));
                return Err(Refusal::new(Code::BadEventType, what)
                    .why(format!("types: {}", all.join(", ")))
                    .next(format!("events {of}--type deploy-failed,instance-crashed")));
            }
        }
    }
    Ok(kinds)
}

mod kind_word {
    use super::Kind;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.word())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Kind, D::Error> {
        let word = String::deserialize(from)?;
        let found = Kind::ALL.into_iter().find(|kind| kind.word() == word);
        found.ok_or_else(|| de::Error::custom(format!("{word:?} is no kind of a deploy")))
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
