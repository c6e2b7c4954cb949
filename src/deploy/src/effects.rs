//! The effects of a deploy, each idempotent: run again after a crash, it finds what is there and goes on.

use super::ending::{failure_lines, took};
use super::{boot, consent, oneoff};
use crate::Platform;
use domain::config::{ConfigVars, Diff};
use domain::deploy::{Deploy, Effect, Kind, Outcome};
use domain::ids::{BuildId, ConfigVersion};
use domain::push::{BranchName, may_advance};
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::{Commit, Refusal, ReleaseNumber, formation};
use jobs::Job;
use jobs::{BuildAsk, Waited};
use std::time::Duration;
use store::{Build, BuildStatus, DeployRow, Release, ReleaseStatus};
use system::clock::now;
use system::fault::{Fault, Result};
use tracing::Instrument;

/// How long a switch waits for the routers before the deploy is called live with routes pending.
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// How long the switch waits for what the targets served before it.
const LOADS_MAX: Duration = Duration::from_secs(1);
/// How long the end of a deploy waits for old requests, only to report them.
const REPORT_MAX: Duration = Duration::from_secs(2);

/// Runs the effects of one deploy.
#[derive(Debug)]
pub(super) struct Effects {
    p: Platform,
    job: Job,
    resumed: bool,
    /// Targets around the switch and what they had served and lost before it.
    switch: Option<(Vec<String>, u64, u64)>,
}

impl Effects {
    pub fn new(p: Platform, job: Job, resumed: bool) -> Effects {
        Effects { p, job, resumed, switch: None }
    }

    /// At the job's turn: whether it still makes sense.
    pub async fn may_begin(&self, row: &DeployRow) -> Result<Option<Refusal>> {
        let app = row.app.clone();
        let app = self.p.store.read(move |tx| tx.the_app(&app)).await?;
        match row.kind {
            Kind::Push => {
                let (branch, commit) = push_of(row)?;
                let tip = self.p.repos.branch_tip(&row.app, &branch).await?;
                let contains = match &tip {
                    Some(tip) => self.p.repos.is_descendant(&row.app, &commit, tip).await?,
                    None => true,
                };
                Ok(may_advance(&branch, row.ask.old.as_ref(), tip.as_ref(), contains).err())
            }
            Kind::Rebuild | Kind::Config | Kind::Rollback | Kind::Restart if app.current_release.is_none() => Ok(Some(
                Refusal::new(Code::NotDeployed, format!("{} has no release yet", app.name)).next("git push hoist main"),
            )),
            Kind::Rollback => self.image_to_roll_back_to(row).await,
            Kind::Rebuild | Kind::Config | Kind::Restart => Ok(None),
        }
    }

    /// Images of old releases are removed after a while: said before a release is cut that cannot start.
    async fn image_to_roll_back_to(&self, row: &DeployRow) -> Result<Option<Refusal>> {
        let (id, to) = (row.app.clone(), row.ask.rollback_to);
        let found = self.p.store.read(move |tx| {
            let app = tx.the_app(&id)?;
            let to = match (to, app.current_release) {
                (Some(number), _) => tx.release(&id, number)?,
                (None, Some(current)) => tx.release_before(&id, current)?,
                (None, None) => None,
            };
            let build = to.as_ref().map(|r| tx.build(r.build)).transpose()?.flatten();
            Ok(to.zip(build).map(|(release, build)| (app, release, build)))
        });
        let Some((app, release, build)) = found.await? else { return Ok(None) };
        let there = match &build.image {
            Some(image) => self.p.engine.has_image(image).await?,
            None => false,
        };
        let branch = app.settings.deploy_branch.as_deref().unwrap_or("main");
        if there {
            let what = domain::text::plain(&release.description);
            let vars = if row.ask.keep_config { "today's config vars" } else { "the config vars it had" };
            self.job.detail(format!("Back to {} ({what}), with {vars}", release.number));
            if !row.ask.keep_config {
                self.say_config_of(&app, &release).await?;
            }
        }
        Ok((!there).then(|| {
            Refusal::new(Code::ImageGone, format!("the image of {} is not here any more", release.number))
                .why(format!("the newest {} releases keep theirs", domain::images::KEEP_RELEASES))
                .next(format!("git push --force hoist {}:{branch}  (builds its commit again)", build.commit.short()))
        }))
    }

    /// Names the config vars that a rollback takes away, brings back or changes: nobody thinks of those at night.
    async fn say_config_of(&self, app: &store::App, to: &Release) -> Result<()> {
        let (id, stored, then) = (app.id.clone(), app.config_version, to.config_version);
        let current = app.current_release;
        let diff = self.p.store.read(move |tx| {
            // What runs now, and what was stored for the next release.
            let mut now = match current {
                Some(number) => tx.config(&id, tx.the_release(&id, number)?.config_version)?,
                None => ConfigVars::new(),
            };
            now.extend(tx.config(&id, stored)?);
            let diff = Diff::of(&now, &tx.config(&id, then)?);
            Ok(diff.with_hidden(&tx.hidden(&id, stored)?, &tx.hidden(&id, then)?))
        });
        let diff = diff.await?;
        for line in diff.lines() {
            self.job.warn(format!("Config vars {line}"));
        }
        if !diff.is_empty() {
            self.job.warn(format!("to keep today's: rollback {} {} --keep-config", app.name, to.number));
        }
        Ok(())
    }

    pub async fn run(&mut self, row: &DeployRow, effect: Effect) -> Result<Outcome> {
        match (effect, &row.state) {
            (Effect::PreBuild | Effect::PreRelease, _) => {
                consent::run(&self.p, &self.job, row, effect, self.resumed).await.map(|()| Outcome::Done)
            }
            (Effect::PostDeploy | Effect::OnFailure, _) => Ok(self.tell(row, effect).await),
            (Effect::Build, _) => self.build(row).await,
            (Effect::Cut, state) => self.cut(row, state).await,
            (Effect::Prepare, Deploy::Cut { release }) => {
                oneoff::release_command(&self.p, &self.job, row, *release).await.map(|()| Outcome::Done)
            }
            (Effect::Boot, Deploy::Cut { release } | Deploy::Prepared { release }) => self.boot(row, *release).await,
            // The release is committed together with the state that says so.
            (Effect::Commit, Deploy::Booted { .. }) => {
                self.note_switch(row).await;
                Ok(Outcome::Done)
            }
            (Effect::Route, _) => self.route(row).await,
            (Effect::MoveBranch, _) => self.move_branch(row).await,
            (Effect::Retire, _) => self.retire(row).await,
            (Effect::Discard, _) => self.discard(row).await,
            (Effect::Prepare | Effect::Boot | Effect::Commit, _) => {
                Err(Fault::plain("a step without its release").into())
            }
        }
    }

    /// A hook that is only told: what it makes of that changes nothing any more.
    async fn tell(&self, row: &DeployRow, effect: Effect) -> Outcome {
        if let Err(err) = consent::run(&self.p, &self.job, row, effect, self.resumed).await {
            err.log();
            self.job.warn(format!("{}; nothing changes by that", err.lines().first().cloned().unwrap_or_default()));
        }
        Outcome::Done
    }

    async fn build(&mut self, row: &DeployRow) -> Result<Outcome> {
        let commit = match &row.ask.commit {
            Some(commit) => commit.clone(),
            None => return Err(Fault::plain("a build without a commit").into()),
        };
        // It may have waited for its turn since the push came in.
        crate::room::may_begin(&self.p, "a build")?;
        let (app, deploy, actor) = (row.app.clone(), row.id, row.actor.clone());
        let (c, id) = (commit.clone(), app.clone());
        let (build, current) = self
            .p
            .store
            .write(move |tx| {
                let build = tx.begin_build(&id, deploy, &c, &actor, now())?;
                Ok((build, tx.build(build)?))
            })
            .await?;
        if current.is_some_and(|b| b.status == BuildStatus::Succeeded) {
            return Ok(Outcome::Built { build });
        }
        let ask = BuildAsk {
            app: row.app.clone(),
            build,
            deploy: row.id,
            commit,
            clear_cache: row.ask.clear_cache,
            deadline: tokio::time::Instant::now() + self.p.settings.build_timeout,
            waited: Waited::default(),
        };
        let span = tracing::info_span!("build", app = %row.app, %build);
        let made = self.p.builder.build(&ask, &self.job).instrument(span).await?;
        self.p
            .store
            .write(move |tx| {
                tx.set_pins(&made.build.app, &made.pins)?;
                let at = now();
                tx.finish_build(&Build { ended: Some(at), status: BuildStatus::Succeeded, ..made.build }, at)
            })
            .await?;
        Ok(Outcome::Built { build })
    }

    async fn cut(&mut self, row: &DeployRow, state: &Deploy) -> Result<Outcome> {
        let (row, built) = (
            row.clone(),
            match state {
                Deploy::Approved { build } => *build,
                _ => None,
            },
        );
        let release = self
            .p
            .store
            .write(move |tx| {
                let app = tx.the_app(&row.app)?;
                let current = match app.current_release {
                    Some(number) => Some(tx.the_release(&app.id, number)?),
                    None => None,
                };
                if row.kind == Kind::Restart {
                    return current.map(|r| r.number).ok_or_else(|| Fault::plain("a restart without a release").into());
                }
                if let Some(found) = tx.release_of(row.id)? {
                    return Ok(found.number);
                }
                let (build, config_version, description) = contents(tx, &row, &app, current.as_ref(), built)?;
                if let Some(current) = &current {
                    let table = |build| tx.build(build).map(|build| build.map(|b| b.processes).unwrap_or_default());
                    let (before, after) = (table(current.build)?, table(build)?);
                    let (formation, with_domain) = (tx.formation(&app.id)?, tx.domain_processes(&app.id)?);
                    let pushed = row.kind != Kind::Rollback;
                    formation::keeps_served(&app.name, (&before, &after), &formation, &with_domain, pushed)?;
                }
                tx.cut_release(&Release {
                    app: app.id.clone(),
                    number: ReleaseNumber(0),
                    build,
                    config_version,
                    description,
                    status: ReleaseStatus::Pending,
                    actor: row.actor.clone(),
                    created: now(),
                    deploy: row.id,
                })
            })
            .await?;
        Ok(Outcome::Cut { release })
    }

    async fn boot(&mut self, row: &DeployRow, release: ReleaseNumber) -> Result<Outcome> {
        let rows = boot::allocate(&self.p, &row.app, release, row.id.into(), Desire::Booting).await?;
        if rows.is_empty() {
            let id = row.app.clone();
            let (app, table) = self
                .p
                .store
                .read(move |tx| {
                    let build = tx.build(tx.the_release(&id, release)?.build)?;
                    Ok((tx.the_app(&id)?.name, build.map(|build| build.processes).unwrap_or_default()))
                })
                .await?;
            let next = match table.keys().find(|name| name.as_str() != formation::RELEASE) {
                Some(name) => format!("ps:scale {app} {name}=1 starts one of {name}"),
                None => "add a line such as `web: COMMAND` to the Procfile, commit and push".to_owned(),
            };
            self.job.detail(format!("Nothing runs yet: {next}"));
            if let Some(near) = table.keys().find(|name| name.as_str().eq_ignore_ascii_case("web")) {
                self.job.warn(format!("Requests go to the process type web; the Procfile has {near}"));
            }
            return Ok(Outcome::Done);
        }
        let labels: Vec<String> = rows.iter().map(|r| r.label()).collect();
        self.job.head(format!("Starting {release}: {}", labels.join(", ")));
        boot::boot_set(&self.p, &self.job, &rows).await?;
        Ok(Outcome::Done)
    }

    async fn route(&mut self, row: &DeployRow) -> Result<Outcome> {
        let acknowledged = self.p.routes.publish_app(&row.app, ROUTE_MAX).await;
        Ok(Outcome::Routed { acknowledged })
    }

    async fn move_branch(&mut self, row: &DeployRow) -> Result<Outcome> {
        let (branch, commit) = push_of(row)?;
        // In a shallow first push git moves the branch itself when its hook answers; after a restart there is no hook.
        if !row.ask.git_moves_branch || self.resumed {
            let tip = self.p.repos.branch_tip(&row.app, &branch).await?;
            if tip.as_ref() != Some(&commit) {
                self.p.repos.update_ref(&row.app, &branch, tip.as_ref(), &commit).await?;
            }
        }
        self.p.repos.set_head(&row.app, &branch).await?;
        let (app, name) = (row.app.clone(), branch.as_str().to_owned());
        self.p
            .store
            .write(move |tx| {
                let mut settings = tx.the_app(&app)?.settings;
                if settings.deploy_branch.is_none() {
                    settings.deploy_branch = Some(name);
                    tx.set_settings(&app, &settings, now())?;
                }
                Ok(())
            })
            .await?;
        Ok(Outcome::Done)
    }

    async fn retire(&mut self, row: &DeployRow) -> Result<Outcome> {
        let (app, set) = (row.app.clone(), row.id);
        self.p.store.write(move |tx| tx.retire_others(&app, Some(set.into())).map(|_| ())).await?;
        self.p.wake.notify_one();
        Ok(Outcome::Done)
    }

    async fn discard(&mut self, row: &DeployRow) -> Result<Outcome> {
        let why = match &row.state {
            Deploy::Unwinding { why, .. } => why.clone(),
            _ => Refusal::new(Code::Fault, "failed"),
        };
        self.p.builder.discard(row.id).await?;
        let (app, deploy) = (row.app.clone(), row.id);
        self.p
            .store
            .write(move |tx| {
                tx.retire_set(&app, deploy.into())?;
                if let Some(build) = tx.build_of(deploy)? {
                    let ended = matches!(why.code, Code::Cancelled | Code::RightLost);
                    let status = if ended { BuildStatus::Cancelled } else { BuildStatus::Failed };
                    tx.fail_build(build.id, status, &why.what, now())?;
                }
                if let Some(release) = tx.release_of(deploy)? {
                    tx.fail_release(&app, release.number)?;
                }
                Ok(())
            })
            .await?;
        self.p.wake.notify_one();
        Ok(Outcome::Done)
    }

    /// The URL; or that nothing answers there, and what would.
    async fn answers(&self, app: &store::App, release: ReleaseNumber) -> String {
        let (id, url) = (app.id.clone(), self.p.sites.url(&app.name));
        let read = self.p.store.read(move |tx| {
            let table = tx.build(tx.the_release(&id, release)?.build)?.map(|b| b.processes).unwrap_or_default();
            Ok((table, tx.formation(&id)?))
        });
        let Ok((table, formation)) = read.await else { return url };
        let web = table.keys().find(|process| process.as_str() == formation::WEB);
        match web.map(|web| formation::quantity(&formation, web)) {
            Some(0) => format!("Nothing answers at {url}: web has no instances (ps:scale {} web=1)", app.name),
            None => format!("Nothing answers at {url}: there is no process type web"),
            Some(_) => url,
        }
    }

    /// What the job says at its end, and what is let go of.
    pub async fn farewell(&mut self, row: &DeployRow) {
        if row.kind == Kind::Push
            && let Err(err) = self.p.repos.unpin(&row.app, row.id).await
        {
            tracing::warn!("cannot let go of its commit: {}", err.chain());
        }
        let (app, id) = (row.app.clone(), row.id);
        let rows = self.p.store.read(move |tx| Ok((tx.app(&app)?, tx.steps(id)?))).await;
        let Ok((Some(app), steps)) = rows else { return };
        match &row.state {
            Deploy::Live { release, acknowledged } => {
                let word = if row.kind == Kind::Restart { "Restarted" } else { "Live:" };
                self.job.head(format!("{word} {release}, {}", took(&steps, row.created, now())));
                if let Some(line) = self.switch_report().await {
                    self.job.detail(line);
                }
                if !acknowledged {
                    self.job.warn(
                        "The router has not confirmed yet (routes pending); the old release serves until it does",
                    );
                }
                self.job.detail(self.answers(&app, *release).await);
            }
            Deploy::Failed { why, .. } => {
                for line in failure_lines(row.kind, why, app.current_release) {
                    self.job.say(line);
                }
            }
            Deploy::Received
            | Deploy::Permitted
            | Deploy::Built { .. }
            | Deploy::Approved { .. }
            | Deploy::Cut { .. }
            | Deploy::Prepared { .. }
            | Deploy::Booted { .. }
            | Deploy::Committed { .. }
            | Deploy::Routed { .. }
            | Deploy::Moved { .. }
            | Deploy::Retired { .. }
            | Deploy::Unwinding { .. }
            | Deploy::Undone { .. } => {}
        }
    }

    async fn note_switch(&mut self, row: &DeployRow) {
        let app = row.app.clone();
        let Ok(rows) = self.p.store.read(move |tx| tx.instances(Some(&app))).await else { return };
        let targets: Vec<String> = rows.iter().map(|i| i.id.to_string()).collect();
        // Only a report: a router that hangs must not hold up the commit.
        let loads = tokio::time::timeout(LOADS_MAX, self.p.routes.loads(&targets)).await;
        if let Ok(Some((_, served, failed))) = loads {
            self.switch = Some((targets, served, failed));
        }
    }

    async fn switch_report(&mut self) -> Option<String> {
        let (targets, served, failed) = self.switch.take()?;
        self.p.routes.wait_idle(&targets, REPORT_MAX).await;
        let (in_flight, served_now, failed_now) = self.p.routes.loads(&targets).await?;
        let (served, lost) = (served_now.saturating_sub(served), failed_now.saturating_sub(failed));
        let open = if in_flight == 0 { String::new() } else { format!(", {in_flight} still being answered") };
        Some(format!("Requests during the switch: {served} served, {lost} lost{open}"))
    }
}

/// Build, config version and description of the release that a job cuts.
fn contents(
    tx: &store::Tx<'_>,
    row: &DeployRow,
    app: &store::App,
    current: Option<&Release>,
    built: Option<BuildId>,
) -> Result<(BuildId, ConfigVersion, String)> {
    let gone = || Fault::plain("a job without the release it starts from");
    match row.kind {
        Kind::Push | Kind::Rebuild => {
            let build = built.ok_or_else(gone)?;
            let commit = tx.build(build)?.ok_or_else(gone)?.commit;
            let word = if row.kind == Kind::Push { "Deploy" } else { "Rebuild" };
            Ok((build, app.config_version, format!("{word} {}", commit.short())))
        }
        Kind::Config => {
            let current = current.ok_or_else(gone)?;
            let old = tx.config(&app.id, app.config_version)?;
            let vars = row.ask.config.apply(&old)?;
            let hidden = row.ask.config.hidden(&tx.hidden(&app.id, app.config_version)?, &old, &vars, now());
            let version = tx.add_config(&app.id, &vars, &hidden, now())?;
            Ok((current.build, version, row.ask.config.describe()))
        }
        Kind::Rollback => {
            let to = match row.ask.rollback_to {
                Some(number) => tx.the_release(&app.id, number)?,
                None => tx.release_before(&app.id, current.ok_or_else(gone)?.number)?.ok_or_else(|| {
                    Refusal::new(Code::NothingBefore, "there is no earlier release")
                        .next(format!("releases {}", app.name))
                })?,
            };
            if to.status != ReleaseStatus::Live {
                return Err(Refusal::new(Code::NeverLive, format!("{} was never live", to.number))
                    .next(format!("releases {}", app.name))
                    .into());
            }
            if row.ask.keep_config {
                return Ok((to.build, app.config_version, format!("Rollback to {}, config vars kept", to.number)));
            }
            // What is secret now is not shown again because it was not then.
            let vars = tx.config(&app.id, to.config_version)?;
            let mut hidden = tx.hidden(&app.id, to.config_version)?;
            let known = hidden.len();
            for (name, since) in tx.hidden(&app.id, app.config_version)? {
                if vars.contains_key(&name) {
                    hidden.entry(name).or_insert(since);
                }
            }
            let version = match hidden.len() == known {
                true => to.config_version,
                false => tx.add_config(&app.id, &vars, &hidden, now())?,
            };
            Ok((to.build, version, format!("Rollback to {}", to.number)))
        }
        Kind::Restart => Err(gone().into()),
    }
}

fn push_of(row: &DeployRow) -> Result<(BranchName, Commit)> {
    match (&row.ask.branch, &row.ask.commit) {
        (Some(branch), Some(commit)) => Ok((branch.parse()?, commit.clone())),
        _ => Err(Fault::plain("a push without a branch or commit").into()),
    }
}
