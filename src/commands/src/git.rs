//! `git-receive-pack` and `git-upload-pack`, what the hooks of a push ask, and what git-lfs calls.
//!
//! A push runs git-lfs while git itself waits, connected; then the app is there. `git lfs push` alone comes before any push,
//! and makes the app as a push would: it goes again where no push follows.

use crate::apps;
use crate::context::{Ask, Commands, Push};
use crate::follow::hung_up;
use crate::{Server, usage};
use async_trait::async_trait;
use domain::access::{Principal, actor};
use domain::deploy::{Deploy, Kind};
use domain::ids::{ConfigVersion, DeployId, UserId};
use domain::push::{Policy, PushOptions, Verdict, judge, judge_tree, parse_options};
use domain::refusal::Code;
use domain::report::{Report, Status};
use domain::{AppId, Refusal, text};
use git::lfs::{Gate, Held};
use git::{JudgeAsk, Judged, LineSender, PushTicket, ReceiveAsk, Receiver, RefOutcome, RefReply};
use jobs::Heard;
use ssh::SessionEnv;
use std::sync::PoisonError;
use std::time::Duration;
use store::{App, Ask as JobAsk, AuditFilter};
use system::fault::{Error, Fault, Result};
use system::io::Io;
use tokio_util::sync::CancellationToken;
use verbs::{Request, find};

/// An app that git-lfs made and nobody used goes after this time.
const UNUSED_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often such apps are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Audit rows that are looked at of one.
const ROWS: u32 = 1_000;

pub async fn receive_pack(c: &Commands, ask: Ask, env: SessionEnv, io: &mut Io) -> Result<u8> {
    let claimant = c.claimant(ask.principal()).await;
    // Before anything is made for it.
    let _place = c.p.repos.pushes().take(&claimant, crate::crowd::PUSH_PATIENCE).await?;
    // Before a pack comes in, and before an app is made for it.
    may_begin(c, &ask).await?;
    let (app, made) = match ask.app() {
        Some(app) => (app.id.clone(), false),
        None => {
            let name = ask.what().app.clone().ok_or_else(|| Fault::plain("a push without an app"))?;
            (apps::make(c, ask.principal(), &name).await?.id, true)
        }
    };
    let ticket = PushTicket::random();
    let name = ask.what().app.as_ref().map(ToString::to_string).unwrap_or_default();
    let push = Push { app: app.clone(), name, who: ask.principal().clone(), accepted: false };
    c.pushes.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket.as_str().to_owned(), push);
    let done = c.p.repos.receive_pack(&app, (&ticket, &claimant), env.git_protocol.as_deref(), io).await;
    let (push, alone) = {
        let mut pushes = c.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        let push = pushes.remove(ticket.as_str());
        let alone = !pushes.values().any(|p| p.app == app);
        (push, alone)
    };
    if made && alone && push.is_some_and(|p| !p.accepted) && is_unused(c, &app).await? {
        // A push that was refused, or only looked, leaves no app behind; but somebody else may use it by now.
        apps::unmake(c, &app).await?;
    }
    Ok(u8::try_from(done?).unwrap_or(u8::MAX))
}

async fn is_unused(c: &Commands, app: &AppId) -> Result<bool> {
    let id = app.clone();
    let used = c
        .p
        .store
        .read(move |tx| {
            Ok(!tx.builds(&id, 1)?.is_empty() || tx.app(&id)?.is_none_or(|app| app.config_version > ConfigVersion(0)))
        })
        .await?;
    Ok(!used && !c.deploys.is_busy(app))
}

pub async fn upload_pack(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let app = ask.the_app()?.id.clone();
    let claimant = c.claimant(ask.principal()).await;
    Ok(u8::try_from(c.p.repos.upload_pack(&app, &claimant, io).await?).unwrap_or(u8::MAX))
}

impl Commands {
    fn push_of(&self, ticket: &str) -> Result<Push> {
        let pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        pushes.get(ticket).cloned().ok_or_else(|| Fault::plain("a hook names a push that is not running").into())
    }

    async fn verdict(&self, app: &AppId, ask: &JudgeAsk) -> Result<(App, Verdict, (PushOptions, Vec<String>))> {
        let id = app.clone();
        let row = self.p.store.read(move |tx| tx.the_app(&id)).await?;
        let policy = Policy {
            deploy_branch: row.settings.deploy_branch.as_deref().map(str::parse).transpose()?,
            app: row.name.to_string(),
        };
        let options = parse_options(&ask.options)?;
        let verdict = judge(&ask.updates, &policy)?;
        Ok((row, verdict, options))
    }

    async fn judge_push(&self, ticket: &str, ask: &JudgeAsk) -> Result<()> {
        let push = self.push_of(ticket)?;
        let (_, verdict, _) = self.verdict(&push.app, ask).await?;
        let quarantine = match &ask.quarantine {
            Some(path) => Some(self.p.repos.quarantine(&push.app, path)?),
            None => None,
        };
        let commit = self.p.repos.peel(&push.app, &verdict.commit, quarantine.clone()).await?;
        let facts = self.p.repos.inspect(&push.app, &commit, quarantine).await?;
        judge_tree(&facts)?;
        if let Some(push) = self.pushes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(ticket) {
            push.accepted = true;
        }
        Ok(())
    }

    async fn deploy_push(
        &self,
        ticket: &str,
        ask: ReceiveAsk,
        say: &LineSender,
        gone: &CancellationToken,
    ) -> Result<RefOutcome> {
        let push = self.push_of(ticket)?;
        let shallow = !ask.shallow.is_empty();
        let judged = JudgeAsk { updates: ask.commands, options: ask.options, shallow: ask.shallow, quarantine: None };
        let (app, mut verdict, (options, foreign)) = self.verdict(&push.app, &judged).await?;
        let commit = self.p.repos.peel(&app.id, &verdict.commit, None).await?;
        if shallow && commit != verdict.commit {
            // Git moves the branch itself there, and only to a commit.
            return Err(Refusal::new(Code::TagPush, "a shallow clone cannot push a tag to a branch")
                .next(format!("git push hoist 'TAG^{{commit}}:{}'", verdict.branch))
                .into());
        }
        verdict.commit = commit;
        if !foreign.is_empty() {
            let names = foreign.join(", ");
            say.line(text::warning(&format!("Push options of other servers are passed over: {names}"))).await;
        }
        if shallow && options.detach {
            return Err(Refusal::new(Code::ShallowDetach, "a shallow clone cannot be pushed with -o detach")
                .next("git fetch --unshallow, then push again")
                .next("git push hoist main, without -o detach")
                .into());
        }
        if self.p.repos.shallow_stale(ticket) {
            return Err(Refusal::new(Code::ShallowStale, "another shallow push changed the repository meanwhile")
                .next("push again")
                .into());
        }
        // Only where the branch does not exist yet does git itself have to move it (probes: shallow first push).
        let job = JobAsk {
            commit: Some(verdict.commit.clone()),
            branch: Some(verdict.branch.to_string()),
            old: verdict.seen.clone(),
            git_moves_branch: shallow,
            ..JobAsk::by(&push.who)
        };
        let job = self.deploys.submit(&app.id, Kind::Push, job, &actor(&push.who)).await?;
        if options.detach {
            self.say_detached(&app, &verdict, options, job.id(), say).await?;
            return Ok(RefOutcome::Done { fall_through: false });
        }
        let mut listener = job.listen();
        let mut cancelled = false;
        loop {
            tokio::select! {
                heard = listener.hear() => match heard {
                    Heard::Line(line) => say.line(if options.timestamps { line.stamped() } else { line.text }).await,
                    Heard::End(state) => {
                        if options.json {
                            say.line(self.report(job.id()).await?.json()).await;
                        }
                        return Ok(match state {
                            Deploy::Live { .. } => RefOutcome::Done { fall_through: shallow },
                            Deploy::Failed { why, .. } => RefOutcome::refused(&why.what),
                            _ => RefOutcome::Refused { reason: "the server is stopping; the job goes on when it starts".to_owned() },
                        });
                    }
                },
                () = gone.cancelled(), if !cancelled => {
                    cancelled = true;
                    job.cancel(hung_up());
                }
            }
        }
    }
}

impl Commands {
    async fn say_detached(
        &self,
        app: &App,
        verdict: &Verdict,
        options: PushOptions,
        deploy: DeployId,
        say: &LineSender,
    ) -> Result<()> {
        let report = self.report(deploy).await?;
        let build = report.build.map(|b| b.to_string()).unwrap_or_default();
        say.line(text::head(&format!("Queued {} as build {build}", verdict.commit.short()))).await;
        for line in [
            format!("builds:wait {} {build}       waits for its end", app.name),
            format!("builds:output {} {build} -t  shows it", app.name),
            format!("{} moves when it is live", verdict.branch),
        ] {
            say.line(text::detail(&line)).await;
        }
        if options.json {
            say.line(report.json()).await;
        }
        Ok(())
    }

    /// What a push that was refused at once says: for people, and for programs that asked for it.
    fn refused(&self, push: &str, options: &[String], err: &Error) -> Vec<String> {
        let mut lines = shown(err);
        if options.iter().any(|o| o == "json") {
            let name = self.push_of(push).map(|p| p.name).unwrap_or_default();
            let (code, reason) = match err {
                Error::Refused(no) => (no.code, no.what.clone()),
                Error::Fault(fault) => (Code::Fault, fault.to_string()),
            };
            let report =
                Report { code: Some(code), reason: Some(one_line(&reason)), ..Report::new(Status::Refused, name) };
            lines.push(report.json());
        }
        lines
    }
}

fn one_line(text: &str) -> String {
    text::plain(&text.replace('\n', " "))
}

fn shown(err: &Error) -> Vec<String> {
    err.log();
    let mut lines: Vec<String> = err.lines().iter().map(|l| text::warning(&text::plain(l))).collect();
    // The reason is the last line that the pusher reads.
    if lines.len() > 1 {
        lines.rotate_left(1);
    }
    lines
}

#[async_trait]
impl Receiver for Commands {
    async fn judge(&self, push: &str, ask: JudgeAsk) -> Judged {
        let options = ask.options.clone();
        match self.judge_push(push, &ask).await {
            Ok(()) => Judged { lines: Vec::new(), accept: true },
            Err(err) => Judged { lines: self.refused(push, &options, &err), accept: false },
        }
    }

    async fn receive(&self, push: &str, ask: ReceiveAsk, say: LineSender, gone: CancellationToken) -> Vec<RefReply> {
        let names: Vec<String> = ask.commands.iter().map(|c| c.name.clone()).collect();
        let options = ask.options.clone();
        let outcome = match self.deploy_push(push, ask, &say, &gone).await {
            Ok(outcome) => outcome,
            Err(err) => {
                for line in self.refused(push, &options, &err) {
                    say.line(line).await;
                }
                let reason = err.lines().first().cloned().unwrap_or_default();
                RefOutcome::refused(&reason)
            }
        };
        names.into_iter().map(|name| RefReply { name, outcome: outcome.clone() }).collect()
    }
}

/// The room for one app's objects.
struct Room<'a> {
    p: &'a Server,
    app: AppId,
    owner: Option<UserId>,
}

#[async_trait]
impl Gate for Room<'_> {
    async fn may(&self, bytes: u64) -> Result<()> {
        let coming = self.p.usage.reserved().saturating_add(bytes);
        deploy::room::may_grow(self.p, coming, "files of Git LFS")?;
        usage::may_grow(self.p, self.owner, bytes).await
    }

    async fn take(&self, bytes: u64) -> Result<Held> {
        self.may(bytes).await?;
        Ok(Box::new(self.p.usage.reserve(&self.app, bytes)))
    }
}

pub(super) async fn lfs_transfer(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let up = is_up(ask.what());
    let (app, owner) = match ask.app() {
        Some(app) => (app.id.clone(), app.owner),
        None => {
            may_begin(c, &ask).await?;
            let name = ask.what().app.clone().ok_or_else(|| Fault::plain("git-lfs without an app"))?;
            let app = apps::make(c, ask.principal(), &name).await?;
            c.p.repos.lfs_made(&app.id).await?;
            (app.id, app.owner)
        }
    };
    c.p.repos.lfs_transfer(&app, up, &Room { p: &c.p, app: app.clone(), owner }, io).await
}

/// A git-lfs that may send nothing over ssh asks this next, and shows what is said here alone: so it hears why.
pub(super) async fn lfs_authenticate(c: &Commands, ask: Ask) -> Result<u8> {
    if is_up(ask.what()) {
        may_begin(c, &ask).await?;
    }
    Err(Refusal::new(Code::LfsClient, "this git-lfs does not send files over ssh, which it can since version 3.0")
        .why("it asked for an address of HTTPS, and there is none here")
        .next("git lfs version, and where it says less than 3.0: install a newer git-lfs, then push again")
        .into())
}

fn is_up(request: &Request) -> bool {
    request.uploads_lfs()
}

async fn may_begin(c: &Commands, ask: &Ask) -> Result<()> {
    deploy::room::may_begin(&c.p, "a push")?;
    let owner = match (ask.app(), ask.principal()) {
        (Some(app), _) => app.owner,
        (None, Principal::User { id, .. }) => Some(*id),
        (None, Principal::Local | Principal::DeployKey { .. }) => None,
    };
    usage::may_push(&c.p, owner).await
}

/// Looks for apps that git-lfs made and nobody pushed to, until the end of the server.
pub fn end_unused(c: &Commands) {
    let c = c.clone();
    let tasks = c.p.tasks.clone();
    tasks.spawn("remove apps without a push", move |stop| async move {
        while !stop.is_cancelled() {
            if let Err(err) = c.remove_unused(UNUSED_MAX).await {
                tracing::warn!("an app that only git-lfs used stays for now: {}", err.chain());
            }
            tokio::select! { () = tokio::time::sleep(LOOK_EVERY) => {}, () = stop.cancelled() => return }
        }
    });
}

impl Commands {
    /// Removes apps that git-lfs made so long ago and of which nobody did anything else.
    pub(super) async fn remove_unused(&self, age: Duration) -> Result<()> {
        for app in self.p.store.read(|tx| tx.apps()).await? {
            if self.p.repos.lfs_made_ago(&app.id).await.is_none_or(|ago| ago < age) {
                continue;
            }
            if is_unused(self, &app.id).await? && self.only_git_asked(&app.id).await? {
                tracing::info!(app = %app.name, "git-lfs made it, and no push came: it is removed");
                apps::unmake(self, &app.id).await?;
            }
        }
        Ok(())
    }

    /// Whether nobody did anything with an app but bring it objects, try a push, or look.
    async fn only_git_asked(&self, app: &AppId) -> Result<bool> {
        let filter = AuditFilter { app: Some(app.clone()), max: ROWS, ..AuditFilter::default() };
        let rows = self.p.store.read(move |tx| tx.audit(&filter)).await?;
        Ok(rows.iter().all(|(_, row)| find(&row.verb).is_some_and(|spec| spec.git || spec.reads)))
    }
}
