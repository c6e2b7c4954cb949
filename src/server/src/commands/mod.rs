//! The commands: parse, find the app, authorize, write the audit row, run the handler, note how it ended.
//!
//! Invariant: a handler takes an `Authorized<Request>`, which only `domain::access` makes; so a forgotten check does not
//! compile. Every verb is an arm of one total match.

mod apps;
mod config;
mod doctor;
mod follow;
mod git;
mod logs;
mod people;
mod processes;
mod registry;
mod releases;
mod show;
mod system;

use crate::clock::now;
use crate::deploy::Deploys;
use crate::fault::{Error, Result};
use crate::io::Io;
use crate::platform::Platform;
use crate::ssh::SessionEnv;
use crate::store::AuditRow;
use domain::access::{self, Asked, Authorized, Principal, authorize};
use domain::command::{self, Request, Verb, audit_line};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Runs commands. Clones share everything.
#[derive(Debug, Clone)]
pub struct Commands(Arc<Inner>);

/// What commands share.
#[derive(Debug)]
pub struct Inner {
    p: Platform,
    deploys: Deploys,
    /// Pushes whose connection is open, by ticket.
    pushes: Mutex<HashMap<String, git::Push>>,
    /// Tells the main loop to end the server.
    end: Arc<Notify>,
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
    pub fn new(p: Platform, deploys: Deploys, end: Arc<Notify>) -> Commands {
        Commands(Arc::new(Inner { p, deploys, pushes: Mutex::default(), end }))
    }

    /// The platform.
    pub fn platform(&self) -> &Platform {
        &self.p
    }

    /// Runs a line as SSH brought it.
    pub async fn run_line(&self, who: Principal, line: &str, env: SessionEnv, io: Io) -> u8 {
        match command::words(line) {
            Ok(words) => self.run_words(who, &words, env, io).await,
            Err(no) => refuse(&io, &no.into()).await,
        }
    }

    /// Runs a command that is split into words already.
    pub async fn run_words(&self, who: Principal, words: &[String], env: SessionEnv, mut io: Io) -> u8 {
        if words.is_empty() {
            return system::greet(self, &who, &io).await;
        }
        match self.run(who, words, env, &mut io).await {
            Ok(code) => code,
            Err(err) => refuse(&io, &err).await,
        }
    }

    async fn run(&self, who: Principal, words: &[String], env: SessionEnv, io: &mut Io) -> Result<u8> {
        let done = self.run_once(who.clone(), words, env.clone(), io).await;
        let is_push = words.first().is_some_and(|word| word == "git-receive-pack");
        match done {
            // Another first push made the app a moment ago: this one is a push to an app that is there.
            Err(Error::Refused(no)) if is_push && no.code == "name-taken" => self.run_once(who, words, env, io).await,
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
        let need = request.need(&who);
        let app = match &asked {
            Asked::App(app) => Some(app.id.clone()),
            Asked::NoApp | Asked::Unknown(_) => None,
        };
        let line = audit_line(&request);
        let verb = request.verb;
        let authorized = authorize(&who, need, asked, self.p.settings.create_on_push, request);
        // What somebody may not see leaves no trace in that app's own list of events.
        let audited = app.filter(|_| authorized.is_ok());
        let audit = self.begin_audit(&who, verb, line, audited, name.map(|n| n.to_string())).await?;
        let done = match authorized {
            Ok(ask) => self.dispatch(ask, env, io).await,
            Err(no) => Err(no.into()),
        };
        if let Some(id) = audit {
            let code = done.as_ref().map_or_else(Error::exit_code, |code| *code);
            self.p.store.write(move |tx| tx.end_audit(id, code)).await?;
        }
        done
    }

    async fn lookup(&self, name: &domain::AppName) -> Result<Asked> {
        let wanted = name.clone();
        let found =
            self.p.store.read(move |tx| tx.app_by_name(&wanted)?.map(|app| tx.app_ref(&app)).transpose()).await?;
        Ok(found.map_or_else(|| Asked::Unknown(name.clone()), Asked::App))
    }

    async fn begin_audit(
        &self,
        who: &Principal,
        verb: Verb,
        line: Option<String>,
        app: Option<domain::AppId>,
        name: Option<String>,
    ) -> Result<Option<i64>> {
        let Some(line) = line else { return Ok(None) };
        let key = match who {
            Principal::Local => String::new(),
            Principal::User { key, .. } => key.clone(),
        };
        let row = AuditRow {
            at: now(),
            actor: access::actor(who),
            key,
            app: name,
            verb: verb.name().to_owned(),
            line,
            exit_code: None,
        };
        Ok(Some(self.p.store.write(move |tx| tx.add_audit(&row, app.as_ref())).await?))
    }

    async fn dispatch(&self, ask: Ask, env: SessionEnv, io: &mut Io) -> Result<u8> {
        match ask.what().verb {
            Verb::AppsCreate => apps::create(self, ask, io).await,
            Verb::AppsList => apps::list(self, ask, io).await,
            Verb::AppsInfo => apps::info(self, ask, io).await,
            Verb::AppsSet => apps::set(self, ask, io).await,
            Verb::AppsDestroy => apps::destroy(self, ask, io).await,
            Verb::Open => apps::open(self, ask, io).await,
            Verb::Config => config::all(self, ask, io).await,
            Verb::ConfigSet => config::set(self, ask, io).await,
            Verb::ConfigGet => config::get(self, ask, io).await,
            Verb::ConfigUnset => config::unset(self, ask, io).await,
            Verb::Ps => processes::ps(self, ask, io).await,
            Verb::PsScale => processes::scale(self, ask, io).await,
            Verb::PsRestart => processes::restart(self, ask, io).await,
            Verb::PsStop => processes::stop(self, ask, io).await,
            Verb::PsStart => processes::start(self, ask, io).await,
            Verb::PsRebuild => processes::rebuild(self, ask, io).await,
            Verb::Logs => logs::logs(self, ask, io).await,
            Verb::Releases => releases::list(self, ask, io).await,
            Verb::Rollback => releases::rollback(self, ask, io).await,
            Verb::Builds => releases::builds(self, ask, io).await,
            Verb::BuildsOutput => releases::output(self, ask, io).await,
            Verb::BuildsCancel => releases::cancel(self, ask, io).await,
            Verb::KeysAdd => people::keys_add(self, ask, io).await,
            Verb::KeysList => people::keys_list(self, ask, io).await,
            Verb::KeysRemove => people::keys_remove(self, ask, io).await,
            Verb::UsersAdd => people::users_add(self, ask, io).await,
            Verb::UsersList => people::users_list(self, ask, io).await,
            Verb::UsersRemove => people::users_remove(self, ask, io).await,
            Verb::AccessAdd => people::access_change(self, ask, io, true).await,
            Verb::AccessRemove => people::access_change(self, ask, io, false).await,
            Verb::AccessList => people::access_list(self, ask, io).await,
            Verb::Whoami => people::whoami(self, ask, io).await,
            Verb::RegistryLogin => registry::login(self, ask, io).await,
            Verb::RegistryLogout => registry::logout(self, ask, io).await,
            Verb::RegistryList => registry::list(self, ask, io).await,
            Verb::Events => people::events(self, ask, io).await,
            Verb::Doctor => doctor::doctor(self, ask, io).await,
            Verb::Help => system::help(ask, io).await,
            Verb::Version => system::version(self, ask, io).await,
            Verb::Shutdown => system::shutdown(self, ask, io).await,
            Verb::GitReceivePack => git::receive_pack(self, ask, env, io).await,
            Verb::GitUploadPack => git::upload_pack(self, ask, io).await,
        }
    }
}

/// Shows why not, on standard error, and gives the exit code.
async fn refuse(io: &Io, err: &Error) -> u8 {
    for line in err.lines() {
        io.note(domain::text::warning(&domain::text::plain(&line))).await;
    }
    err.exit_code()
}
