//! From a line to its handler and back: parse, find the app, authorize, write the audit row, run the handler, note how it
//! ended, show what it answers.
//!
//! Invariant: a handler takes an `Authorized<Request>`, which only `domain::access` makes; so a forgotten check does not
//! compile. Every verb is an arm of one total match.

use crate::context::{Ask, Commands};
use crate::render::{self, refuse};
use crate::reply::Reply;
use crate::{
    apps, base, builds, config, doctor, domains, enter, events, git, kept, keys, logs, maintenance, people, plans,
    processes, quota, registry, releases, run, secrets, welcome,
};
use domain::Timestamp;
use domain::access::{self, Asked, Principal, Rules, authorize, may_see};
use domain::refusal::Code;
use ssh::SessionEnv;
use store::AuditRow;
use system::clock::now;
use system::fault::{Error, Result};
use system::io::Io;
use tracing::Instrument;
use tracing::field::{self, Empty};
use verbs::{Format, Request, Said, Verb, audit_line};

impl Commands {
    /// Runs a line as SSH brought it.
    pub async fn run_line(&self, who: Principal, line: &str, env: SessionEnv, io: Io) -> u8 {
        match verbs::said(line) {
            Ok(said) => self.run_said(who, said, env, io).await,
            Err(no) => refuse(&io, &no.into(), Format::Text).await,
        }
    }

    /// Runs a command that is split into words already.
    pub async fn run_words(&self, who: Principal, words: &[String], env: SessionEnv, io: Io) -> u8 {
        self.run_said(who, verbs::said_words(words), env, io).await
    }

    /// What was meant: the other meaning of the words where the first names no app that `who` may see.
    async fn meant(&self, who: &Principal, said: Said) -> Result<Vec<String>> {
        let Said { words, instead: Some(instead) } = said else { return Ok(said.words) };
        if let Ok(Request { app: Some(name), .. }) = verbs::parse(&words) {
            match self.lookup(&name).await? {
                Asked::App(app) | Asked::Renamed { app, .. } if may_see(who, &app) => return Ok(words),
                Asked::App(_) | Asked::Renamed { .. } | Asked::Unknown(_) | Asked::NoApp => {}
            }
        }
        Ok(instead)
    }

    /// In a span that says whose command it is; which one and of which app is known once it is parsed.
    async fn run_said(&self, who: Principal, said: Said, env: SessionEnv, io: Io) -> u8 {
        let by = domain::access::actor(&who);
        let span = tracing::info_span!("command", who = by, origin = %env.origin(), verb = Empty, app = Empty);
        self.run_within(who, said, env, io).instrument(span).await
    }

    async fn run_within(&self, who: Principal, said: Said, env: SessionEnv, mut io: Io) -> u8 {
        let words = &match self.meant(&who, said).await {
            Ok(words) => words,
            Err(err) => return refuse(&io, &err, Format::Text).await,
        };
        if words.is_empty() {
            return match welcome::greet(self, &who).await {
                Ok(reply) => {
                    render::show(&reply, Format::Text, &io).await;
                    reply.exit
                }
                Err(err) => refuse(&io, &err, Format::Text).await,
            };
        }
        let format = format_of(words);
        // Held until it ends.
        let _place = match self.place(&who).await {
            Ok(place) => place,
            Err(no) => return refuse(&io, &no, format).await,
        };
        if !kept::wanted(words, format) {
            return match self.run(who, words, env, &mut io).await {
                Ok(reply) => {
                    render::show(&reply, format, &io).await;
                    reply.exit
                }
                Err(err) => refuse(&io, &err, format).await,
            };
        }
        let (done, kept) = kept::keep(&mut io, async |io| self.run(who, words, env, io).await).await;
        match done {
            Ok(reply) => {
                let exit = reply.exit;
                io.line(render::changed(kept, words, reply).to_string()).await;
                exit
            }
            Err(err) => render::refuse_change(kept, words, &err, &io).await,
        }
    }

    async fn run(&self, who: Principal, words: &[String], env: SessionEnv, io: &mut Io) -> Result<Reply> {
        let done = self.run_named(who.clone(), words, env.clone(), io).await;
        let is_push = words.first().is_some_and(|word| word == "git-receive-pack" || word == "git-lfs-transfer");
        match done {
            // Another first push made the app a moment ago: this one is a push to an app that is there.
            Err(Error::Refused(no)) if is_push && no.code == Code::NameTaken => {
                self.run_named(who, words, env, io).await
            }
            done => done,
        }
    }

    /// Refusals say what to type for the app at hand, and whom to ask.
    async fn run_named(&self, who: Principal, words: &[String], env: SessionEnv, io: &mut Io) -> Result<Reply> {
        let no = match self.run_once(who.clone(), words, env, io).await {
            Err(Error::Refused(no)) => no,
            done => return done,
        };
        let no = match verbs::parse(words) {
            Ok(request) => request.in_full(no),
            Err(_) => no,
        };
        let admin = self.p.store.read(|tx| Ok(tx.users()?.into_iter().find(|user| user.role == access::Role::Admin)));
        // What cannot be read now leaves the refusal as it is.
        let admin = admin.await.ok().flatten().map(|admin| admin.name);
        Err(access::ask_by_name(no, &who, admin.as_ref()).into())
    }

    async fn run_once(&self, who: Principal, words: &[String], env: SessionEnv, io: &mut Io) -> Result<Reply> {
        let request = verbs::parse(words)?;
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
        let span = tracing::Span::current();
        span.record("verb", verb.spec().name);
        let app = match &asked {
            Asked::App(app) => Some(app.id.clone()),
            Asked::NoApp | Asked::Unknown(_) | Asked::Renamed { .. } => None,
        };
        if let Some(app) = &app {
            span.record("app", field::display(app));
        }
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
        let code = done.as_ref().map_or_else(Error::exit_code, |reply| reply.exit);
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
    async fn dispatch_while_allowed(&self, ask: Ask, env: SessionEnv, io: &mut Io) -> Result<Reply> {
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
        let reply = work.await?;
        Ok(Reply { exit: reply.exit.max(1), ..reply })
    }

    async fn dispatch(&self, ask: Ask, env: SessionEnv, io: &mut Io) -> Result<Reply> {
        match ask.what().verb {
            Verb::AppsCreate => apps::create(self, ask).await,
            Verb::AppsList => apps::list(self, ask).await,
            Verb::AppsInfo => apps::info(self, ask).await,
            Verb::AppsSet => apps::set(self, ask).await,
            Verb::AppsDestroy => apps::destroy(self, ask, io).await,
            Verb::AppsRename => domains::rename(self, ask).await,
            Verb::AppsTransfer => apps::transfer(self, ask).await,
            Verb::Open => maintenance::open(self, ask).await,
            Verb::DomainsAdd => domains::add(self, ask).await,
            Verb::DomainsRemove => domains::remove(self, ask).await,
            Verb::DomainsList => domains::list(self, ask).await,
            Verb::DomainsClear => domains::clear(self, ask).await,
            Verb::DomainsBase => base::show(self).await,
            Verb::DomainsSetBase => base::set(self, ask).await,
            Verb::Maintenance => maintenance::show(self, ask).await,
            Verb::MaintenanceOn => maintenance::on(self, ask, io).await,
            Verb::MaintenanceOff => maintenance::off(self, ask).await,
            Verb::Config => config::all(self, ask).await,
            Verb::ConfigSet => config::set(self, ask, io).await,
            Verb::ConfigGet => config::get(self, ask).await,
            Verb::ConfigUnset => config::unset(self, ask, io).await,
            Verb::ConfigImport => config::import(self, ask, io).await,
            Verb::ConfigExport => config::export(self, ask).await,
            Verb::Ps => processes::ps(self, ask).await,
            Verb::PsScale => processes::scale(self, ask, io).await,
            Verb::PsRestart => processes::restart(self, ask, io).await,
            Verb::PsStop => processes::stop(self, ask, io).await,
            Verb::PsStart => processes::start(self, ask, io).await,
            Verb::PsRebuild => processes::rebuild(self, ask, io).await,
            Verb::Run => run::run(self, ask, io).await.map(Reply::exit),
            Verb::Enter => enter::enter(self, ask, io).await.map(Reply::exit),
            Verb::PsExec => enter::exec(self, ask, io).await.map(Reply::exit),
            Verb::Logs => logs::logs(self, ask, io).await.map(Reply::exit),
            Verb::Releases => releases::list(self, ask).await,
            Verb::Rollback => releases::rollback(self, ask, io).await,
            Verb::KeysAdd => keys::add(self, ask, io).await,
            Verb::KeysList => keys::list(self, ask).await,
            Verb::KeysRemove => keys::remove(self, ask).await,
            Verb::DeployKeysAdd => keys::deploy_add(self, ask, io).await,
            Verb::DeployKeysList => keys::deploy_list(self, ask).await,
            Verb::DeployKeysRemove => keys::deploy_remove(self, ask).await,
            Verb::Builds => builds::list(self, ask).await,
            Verb::BuildsOutput => builds::output(self, ask, io).await,
            Verb::BuildsWait => builds::wait(self, ask, io).await,
            Verb::BuildsCancel => builds::cancel(self, ask).await,
            Verb::BuildsPlan => plans::plan(self, ask).await,
            Verb::BuildsEject => plans::eject(self, ask).await,
            Verb::BuildsLock => plans::lock(self, ask).await,
            Verb::UsersAdd => people::users_add(self, ask, io).await,
            Verb::UsersList => people::users_list(self).await,
            Verb::UsersSet => people::users_set(self, ask).await,
            Verb::UsersRemove => people::users_remove(self, ask).await,
            Verb::AccessAdd => people::access_add(self, ask).await,
            Verb::AccessRemove => people::access_remove(self, ask).await,
            Verb::AccessList => people::access_list(self, ask).await,
            Verb::Quota => quota::show(self, ask).await,
            Verb::QuotaSet => quota::set(self, ask).await,
            Verb::QuotaUnset => quota::unset(self, ask).await,
            Verb::Whoami => people::whoami(self, ask, env).await,
            Verb::RegistryLogin => registry::login(self, ask, io).await,
            Verb::RegistryAllow => registry::allow(self, ask).await,
            Verb::RegistryLogout => registry::logout(self, ask).await,
            Verb::RegistryList => registry::list(self).await,
            Verb::SecretsRotate => secrets::rotate(self, io).await,
            Verb::Events => events::events(self, ask, io).await.map(Reply::exit),
            Verb::Doctor => doctor::doctor(self).await,
            Verb::Help => welcome::help(&ask),
            Verb::Version => welcome::version(self).await,
            Verb::Shutdown => welcome::shutdown(self, ask, io).await,
            Verb::GitReceivePack => git::receive_pack(self, ask, env, io).await.map(Reply::exit),
            Verb::GitUploadPack => git::upload_pack(self, ask, io).await.map(Reply::exit),
            Verb::GitLfsTransfer => git::lfs_transfer(self, ask, io).await.map(Reply::exit),
            Verb::GitLfsAuthenticate => git::lfs_authenticate(self, ask).await.map(Reply::exit),
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
    match verbs::parse(words) {
        Ok(request) => request.format,
        // Some have an option of that name with a meaning of its own, or a command after which such words are its own.
        Err(_) if words.first().and_then(|word| verbs::find(word)).is_none_or(verbs::Spec::takes_format) => {
            let typed = || words.iter().take_while(|word| *word != "--");
            let apart = typed().zip(typed().skip(1)).any(|(name, value)| name == "--format" && value == "json");
            let json = apart || typed().any(|word| word == "--json" || word == "--format=json");
            if json { Format::Json } else { Format::Text }
        }
        Err(_) => Format::Text,
    }
}
