//! The commands: parse, find the app, authorize, write the audit row, run the handler, note how it ended.
//!
//! Invariant: a handler takes an `Authorized<Request>`, which only `domain::access` makes; so a forgotten check does not
//! compile. Every verb is an arm of one total match.

mod apps;
mod audit;
mod base;
mod builds;
mod config;
mod crowd;
mod doctor;
mod domains;
mod enter;
mod events;
mod follow;
mod git;
mod keys;
mod leaving;
mod logs;
mod maintenance;
mod people;
mod plans;
mod processes;
mod quota;
mod registry;
mod releases;
mod reply;
mod run;
pub mod seams;
mod secrets;
mod server;
mod shell;
mod show;
#[cfg(test)]
mod tests;
pub mod usage;
mod welcome;

pub use self::git::end_unused;
use deploy::Deploys;
use domain::access::{self, Asked, Authorized, Principal, Rules, authorize, may_see};
use domain::command::{self, Format, Request, Said, Verb, audit_line};
use domain::refusal::Code;
use domain::share::Tickets;
use domain::{AppId, Timestamp};
use serde_json::Value;
pub use server::Server;
use ssh::SessionEnv;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::AuditRow;
use system::clock::now;
use system::fault::{Error, Result};
use system::io::Io;
use system::places::Places;
use tokio::sync::{Notify, watch};

/// Runs commands. Clones share everything.
#[derive(Debug, Clone)]
pub struct Commands(Arc<Inner>);

/// What commands share.
#[derive(Debug)]
pub struct Inner {
    p: Server,
    deploys: Deploys,
    /// Pushes whose connection is open, by ticket.
    pushes: Mutex<HashMap<String, git::Push>>,
    /// Tells the main loop to end the server.
    end: Arc<Notify>,
    /// Where audit rows go.
    audit: audit::AuditLog,
    /// Changes when somebody may have lost a right.
    rights: watch::Sender<u64>,
    /// What sshd was given for logins that it has yet to hand over.
    tickets: Mutex<Tickets>,
    /// Commands that run.
    running: Places,
}

impl std::ops::Deref for Commands {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

type Ask = Authorized<Request>;

impl Commands {
    /// Commands over a platform; `end` is notified when the server is to end.
    pub fn new(p: Server, deploys: Deploys, end: Arc<Notify>) -> Commands {
        let audit = audit::AuditLog::start(p.store.clone(), &p.tasks);
        Commands(Arc::new(Inner {
            running: crowd::running(&p.settings),
            p,
            deploys,
            pushes: Mutex::default(),
            end,
            audit,
            rights: watch::Sender::new(0),
            tickets: Mutex::default(),
        }))
    }

    /// The tickets of logins by sshd.
    pub fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has running commands and open connections look whether they still may.
    fn rights_changed(&self) {
        self.rights.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Who acts with a key now; `None` if nobody has it.
    pub async fn holder(&self, fingerprint: &str) -> Option<Principal> {
        let wanted = fingerprint.to_owned();
        match self.p.store.read(move |tx| tx.principal_by_key(&wanted)).await {
            Ok(who) => who,
            Err(err) => {
                tracing::error!("cannot look a key up: {}", err.chain());
                None
            }
        }
    }

    /// Waits until the key of `who` is nobody's any more.
    pub async fn key_lost(&self, who: &Principal) {
        let mut changes = self.rights.subscribe();
        let Some(key) = who.key() else { return std::future::pending().await };
        while self.holder(&key.fingerprint).await.is_some() {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until `who` is no administrator any more.
    async fn role_lost(&self, who: &Principal) {
        let mut changes = self.rights.subscribe();
        let Some(key) = who.key() else { return std::future::pending().await };
        while self.holder(&key.fingerprint).await.is_some_and(|who| who.is_admin()) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits until `who` may not see the app any more; not for the app's end, which its commands notice themselves.
    async fn sight_lost(&self, who: &Principal, app: &AppId) {
        let mut changes = self.rights.subscribe();
        // Looked at before the first change as well: one may have come since the command was authorized.
        loop {
            let id = app.clone();
            let app = self.p.store.read(move |tx| tx.app(&id)?.map(|app| tx.app_ref(&app)).transpose()).await;
            if let Ok(Some(app)) = app {
                let now = match who.key() {
                    None => Some(who.clone()),
                    Some(key) => self.holder(&key.fingerprint).await,
                };
                if now.is_none_or(|who| !may_see(&who, &app)) {
                    return;
                }
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    /// What the commands reach.
    pub fn server(&self) -> &Server {
        &self.p
    }

    /// Runs a line as SSH brought it.
    pub async fn run_line(&self, who: Principal, line: &str, env: SessionEnv, io: Io) -> u8 {
        match command::said(line) {
            Ok(said) => self.run_said(who, said, env, io).await,
            Err(no) => refuse(&io, &no.into(), Format::Text).await,
        }
    }

    /// Runs a command that is split into words already.
    pub async fn run_words(&self, who: Principal, words: &[String], env: SessionEnv, io: Io) -> u8 {
        self.run_said(who, command::said_words(words), env, io).await
    }

    /// What was meant: the other meaning of the words where the first names no app that `who` may see.
    async fn meant(&self, who: &Principal, said: Said) -> Result<Vec<String>> {
        let Said { words, instead: Some(instead) } = said else { return Ok(said.words) };
        if let Ok(Request { app: Some(name), .. }) = command::parse(&words) {
            match self.lookup(&name).await? {
                Asked::App(app) | Asked::Renamed { app, .. } if may_see(who, &app) => return Ok(words),
                Asked::App(_) | Asked::Renamed { .. } | Asked::Unknown(_) | Asked::NoApp => {}
            }
        }
        Ok(instead)
    }

    async fn run_said(&self, who: Principal, said: Said, env: SessionEnv, mut io: Io) -> u8 {
        let words = &match self.meant(&who, said).await {
            Ok(words) => words,
            Err(err) => return refuse(&io, &err, Format::Text).await,
        };
        if words.is_empty() {
            return match welcome::greet(self, &who, &io).await {
                Ok(()) => 0,
                Err(err) => refuse(&io, &err, Format::Text).await,
            };
        }
        let format = format_of(words);
        // Held until it ends.
        let _place = match self.place(&who).await {
            Ok(place) => place,
            Err(no) => return refuse(&io, &no, format).await,
        };
        if !reply::wanted(words, format) {
            return match self.run(who, words, env, &mut io).await {
                Ok(code) => code,
                Err(err) => refuse(&io, &err, format).await,
            };
        }
        let (done, kept) = reply::keep(&mut io, async |io| self.run(who, words, env, io).await).await;
        match done {
            Ok(code) => {
                io.line(kept.object(words, code, io.done.take()).to_string()).await;
                code
            }
            Err(err) => {
                err.log();
                let mut object = kept.object(words, err.exit_code(), io.done.take());
                if let (Some(all), Value::Object(no)) = (object.as_object_mut(), refusal_json(&err)) {
                    all.extend(no);
                }
                io.note(object.to_string()).await;
                err.exit_code()
            }
        }
    }

    async fn run(&self, who: Principal, words: &[String], env: SessionEnv, io: &mut Io) -> Result<u8> {
        let done = self.run_once(who.clone(), words, env.clone(), io).await;
        let is_push = words.first().is_some_and(|word| word == "git-receive-pack" || word == "git-lfs-transfer");
        match done {
            // Another first push made the app a moment ago: this one is a push to an app that is there.
            Err(Error::Refused(no)) if is_push && no.code == Code::NameTaken => {
                self.run_once(who, words, env, io).await
            }
            done => done,
        }
    }

    async fn run_once(&self, who: Principal, words: &[String], env: SessionEnv, io: &mut Io) -> Result<u8> {
        let request = command::parse(words)?;
        let name = request.app.clone();
        let asked = match &name {
            None => Asked::NoApp,
            Some(name) => self.lookup(name).await?,
        };
        let rules = Rules {
            need: request.need(&who),
            deploy_key: request.deploy_key(),
            creation_on: self.p.settings.create_on_push,
        };
        let (line, verb, before) = (audit_line(&request), request.verb, request.audited_before(&who));
        let app = match &asked {
            Asked::App(app) => Some(app.id.clone()),
            Asked::NoApp | Asked::Unknown(_) | Asked::Renamed { .. } => None,
        };
        let fresh = match &asked {
            Asked::Unknown(name) => Some(name.clone()),
            Asked::NoApp | Asked::App(_) | Asked::Renamed { .. } => None,
        };
        let authorized = authorize(&who, rules, asked, request);
        // What somebody may not see leaves no trace in that app's own list of events.
        let audited = app.filter(|_| authorized.is_ok());
        let name = name.map(|n| n.to_string());
        let row = line.map(|line| audit_row(&who, &env, verb, line, name));
        let (begun, later) = match row {
            Some(row) if before => (Some(self.audit.begin(row, audited.clone()).await?), None),
            row => (None, row),
        };
        let done = match authorized {
            Ok(ask) => self.dispatch_while_allowed(ask, env, io).await,
            Err(no) => Err(no.into()),
        };
        let code = done.as_ref().map_or_else(Error::exit_code, |code| *code);
        if let Some(begun) = begun {
            // The command that made an app is the first of that app's events.
            let made = match fresh.filter(|_| code == 0) {
                Some(name) => self.p.store.read(move |tx| Ok(tx.app_by_name(&name)?.map(|app| app.id))).await?,
                None => None,
            };
            self.audit.end(begun, code, made).await?;
        }
        if let Some(row) = later {
            self.audit.whole(AuditRow { exit_code: Some(code), ..row }, audited).await?;
        }
        done
    }

    async fn lookup(&self, name: &domain::AppName) -> Result<Asked> {
        let wanted = name.clone();
        let old = name.clone();
        self.p
            .store
            .read(move |tx| {
                // Both are looked up whatever the first says, so that an answer takes as long for one as for the other.
                let (now, before) = (tx.app_ref_by_name(&wanted)?, tx.app_ref_by_old_name(&wanted)?);
                Ok(match (now, before) {
                    (Some(app), _) => Asked::App(app),
                    (None, Some(app)) => Asked::Renamed { old, app },
                    (None, None) => Asked::Unknown(old),
                })
            })
            .await
    }

    /// Runs the handler; if its asker loses the right to see the app meanwhile, or to read what administrators read, it is
    /// asked to end as by a hangup.
    async fn dispatch_while_allowed(&self, ask: Ask, env: SessionEnv, io: &mut Io) -> Result<u8> {
        let (who, hangup, out) = (ask.principal().clone(), io.hangup.clone(), io.out.clone());
        let app = ask.app().map(|app| app.id.clone());
        let spec = ask.what().verb.spec();
        let for_admins = spec.reads && (spec.need == access::Need::Admin || spec.verb == Verb::Events);
        let lost = async {
            match &app {
                Some(app) => self.sight_lost(&who, app).await,
                None if for_admins && who.is_admin() => self.role_lost(&who).await,
                None => std::future::pending().await,
            }
        };
        let mut work = std::pin::pin!(self.dispatch(ask, env, io));
        tokio::select! {
            done = &mut work => return done,
            () = lost => {}
        }
        let what =
            if app.is_some() { "you may not see this app any more" } else { "you are no administrator any more" };
        let note = format!("{}\n", domain::text::warning(what));
        let _ = out.try_send(system::io::Chunk::Err(note.into()));
        drop(out);
        hangup.cancel();
        // Not what it was asked for, whatever the handler takes a hangup for.
        Ok(work.await?.max(1))
    }

    async fn dispatch(&self, ask: Ask, env: SessionEnv, io: &mut Io) -> Result<u8> {
        match ask.what().verb {
            Verb::AppsCreate => apps::create(self, ask, io).await,
            Verb::AppsList => apps::list(self, ask, io).await,
            Verb::AppsInfo => apps::info(self, ask, io).await,
            Verb::AppsSet => apps::set(self, ask, io).await,
            Verb::AppsDestroy => apps::destroy(self, ask, io).await,
            Verb::AppsRename => domains::rename(self, ask, io).await,
            Verb::Open => maintenance::open(self, ask, io).await,
            Verb::DomainsAdd => domains::add(self, ask, io).await,
            Verb::DomainsRemove => domains::remove(self, ask, io).await,
            Verb::DomainsList => domains::list(self, ask, io).await,
            Verb::DomainsClear => domains::clear(self, ask, io).await,
            Verb::DomainsBase => base::show(self, ask, io).await,
            Verb::DomainsSetBase => base::set(self, ask, io).await,
            Verb::Maintenance => maintenance::show(self, ask, io).await,
            Verb::MaintenanceOn => maintenance::on(self, ask, io).await,
            Verb::MaintenanceOff => maintenance::off(self, ask, io).await,
            Verb::Config => config::all(self, ask, io).await,
            Verb::ConfigSet => config::set(self, ask, io).await,
            Verb::ConfigGet => config::get(self, ask, io).await,
            Verb::ConfigUnset => config::unset(self, ask, io).await,
            Verb::ConfigImport => config::import(self, ask, io).await,
            Verb::ConfigExport => config::export(self, ask, io).await,
            Verb::Ps => processes::ps(self, ask, io).await,
            Verb::PsScale => processes::scale(self, ask, io).await,
            Verb::PsRestart => processes::restart(self, ask, io).await,
            Verb::PsStop => processes::stop(self, ask, io).await,
            Verb::PsStart => processes::start(self, ask, io).await,
            Verb::PsRebuild => processes::rebuild(self, ask, io).await,
            Verb::Run => run::run(self, ask, io).await,
            Verb::Enter => enter::enter(self, ask, io).await,
            Verb::PsExec => enter::exec(self, ask, io).await,
            Verb::Logs => logs::logs(self, ask, io).await,
            Verb::Releases => releases::list(self, ask, io).await,
            Verb::Rollback => releases::rollback(self, ask, io).await,
            Verb::KeysAdd => keys::add(self, ask, io).await,
            Verb::KeysList => keys::list(self, ask, io).await,
            Verb::KeysRemove => keys::remove(self, ask, io).await,
            Verb::DeployKeysAdd => keys::deploy_add(self, ask, io).await,
            Verb::DeployKeysList => keys::deploy_list(self, ask, io).await,
            Verb::DeployKeysRemove => keys::deploy_remove(self, ask, io).await,
            Verb::Builds => builds::list(self, ask, io).await,
            Verb::BuildsOutput => builds::output(self, ask, io).await,
            Verb::BuildsWait => builds::wait(self, ask, io).await,
            Verb::BuildsCancel => builds::cancel(self, ask, io).await,
            Verb::BuildsPlan => plans::plan(self, ask, io).await,
            Verb::BuildsEject => plans::eject(self, ask, io).await,
            Verb::UsersAdd => people::users_add(self, ask, io).await,
            Verb::UsersList => people::users_list(self, ask, io).await,
            Verb::UsersSet => people::users_set(self, ask, io).await,
            Verb::UsersRemove => people::users_remove(self, ask, io).await,
            Verb::AccessAdd => people::access_add(self, ask, io).await,
            Verb::AccessRemove => people::access_remove(self, ask, io).await,
            Verb::AccessList => people::access_list(self, ask, io).await,
            Verb::Quota => quota::show(self, ask, io).await,
            Verb::QuotaSet => quota::set(self, ask, io).await,
            Verb::QuotaUnset => quota::unset(self, ask, io).await,
            Verb::Whoami => people::whoami(self, ask, env, io).await,
            Verb::RegistryLogin => registry::login(self, ask, io).await,
            Verb::RegistryAllow => registry::allow(self, ask, io).await,
            Verb::RegistryLogout => registry::logout(self, ask, io).await,
            Verb::RegistryList => registry::list(self, ask, io).await,
            Verb::SecretsRotate => secrets::rotate(self, ask, io).await,
            Verb::Events => events::events(self, ask, io).await,
            Verb::Doctor => doctor::doctor(self, ask, io).await,
            Verb::Help => welcome::help(ask, io).await,
            Verb::Version => welcome::version(self, ask, io).await,
            Verb::Shutdown => welcome::shutdown(self, ask, io).await,
            Verb::GitReceivePack => git::receive_pack(self, ask, env, io).await,
            Verb::GitUploadPack => git::upload_pack(self, ask, io).await,
            Verb::GitLfsTransfer => git::lfs_transfer(self, ask, io).await,
            Verb::GitLfsAuthenticate => git::lfs_authenticate(self, ask).await,
        }
    }
}

fn audit_row(who: &Principal, env: &SessionEnv, verb: Verb, line: String, app: Option<String>) -> AuditRow {
    let (key, key_name) = who.key().map(|k| (k.fingerprint.clone(), k.name.clone())).unwrap_or_default();
    let (at, actor, origin): (Timestamp, _, _) = (now(), access::actor(who), env.origin());
    let verb = verb.name().to_owned();
    AuditRow { at, actor, key, key_name, origin, app, verb, line, exit_code: None, repeats: None, last_at: None }
}

/// How words ask to be answered, those too that say nothing else that can be understood.
fn format_of(words: &[String]) -> Format {
    match command::parse(words) {
        Ok(request) => request.format,
        // Some have an option of that name with a meaning of its own, or a command after which such words are its own.
        Err(_) if words.first().and_then(|word| command::find(word)).is_none_or(command::Spec::takes_format) => {
            let typed = || words.iter().take_while(|word| *word != "--");
            let apart = typed().zip(typed().skip(1)).any(|(name, value)| name == "--format" && value == "json");
            let json = apart || typed().any(|word| word == "--json" || word == "--format=json");
            if json { Format::Json } else { Format::Text }
        }
        Err(_) => Format::Text,
    }
}

/// Shows why not, on standard error, and gives the exit code.
async fn refuse(io: &Io, err: &Error, format: Format) -> u8 {
    err.log();
    match format {
        Format::Text => {
            for line in err.lines() {
                io.note(domain::text::warning(&domain::text::plain(&line))).await;
            }
        }
        Format::Json => io.note(refusal_json(err).to_string()).await,
    }
    err.exit_code()
}

/// A refusal for programs. One of a fault of ours has the id under which the server's log has the cause.
fn refusal_json(err: &Error) -> serde_json::Value {
    let no = err.refusal();
    let mut object = serde_json::json!({"code": no.code, "what": no.what, "why": no.why, "next": no.next});
    if let (Some(id), Some(fields)) = (err.fault_id(), object.as_object_mut()) {
        fields.insert("fault".to_owned(), id.into());
    }
    object
}
