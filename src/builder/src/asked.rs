//! What a plan is made from: a commit's files, the app's settings, pins and config, as they are now.

use super::dockerfile::{self, Given};
use super::locks::{self, LockFile, Place};
use super::sources::Sources;
use super::{Builder, Work};
use crate::Parts;
use buildpacks::{Base, Facts, Known, Pins, Plan, Settings, Stack, Unlocked};
use domain::config::{ConfigVars, resolve};
use domain::{AppId, Commit};
use jobs::{BuildAsk, Job};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::App;
use system::fault::{Fault, Result};
use system::tasks::blocking;

/// A commit's plan with the versions that are known, made without building or asking anybody.
#[derive(Debug)]
pub struct Planned {
    /// The commit.
    pub commit: Commit,
    /// The stack.
    pub stack: Stack,
    /// The plan.
    pub plan: Plan,
    /// What `web` runs; none where there is no such process type.
    pub command: Option<String>,
    /// The lock file that a build made for it, as the commit has none.
    pub lock: Option<String>,
}

/// How a commit is built.
#[derive(Debug)]
pub enum How {
    /// By a plan of ours.
    Plan(Box<Planned>),
    /// By its own Dockerfile.
    Dockerfile(Box<Given>),
}

impl Builder {
    /// How a commit would be built now.
    pub async fn planned(&self, app: &AppId, commit: &Commit) -> Result<How> {
        let p = &self.p;
        let asked = Asked::read(p, app, commit).await?;
        if dockerfile::wanted(&asked.app, &asked.sources) {
            return Ok(How::Dockerfile(Box::new(dockerfile::given(p, asked.app, commit).await?)));
        }
        let Asked { sources, settings, pins, .. } = with_kept(p, asked).await?;
        let questions = buildpacks::ask(&sources.tree, &settings, &pins).map_err(super::refusal)?;
        let facts = super::facts::known(p, &questions).await?;
        let plan = buildpacks::plan(&sources.tree, &settings, &pins, &facts).map_err(super::refusal)?;
        let processes = super::processes(&sources, &plan)?;
        let command = processes.iter().find(|(name, _)| name.as_str() == "web").map(|(_, command)| command.clone());
        let lock = sources.made_lock().map(str::to_owned);
        Ok(How::Plan(Box::new(Planned { commit: commit.clone(), stack: settings.stack, plan, command, lock })))
    }
}

/// All that the plan of a commit depends on, but for facts.
pub(super) struct Asked {
    pub app: App,
    pub sources: Arc<Sources>,
    pub settings: Settings,
    pub pins: Pins,
    pub config: ConfigVars,
}

impl Asked {
    pub async fn read(p: &Parts, app: &AppId, commit: &Commit) -> Result<Asked> {
        let id = app.clone();
        let (row, pins, config) = p
            .store
            .read(move |tx| {
                let app = tx.the_app(&id)?;
                let config = tx.config(&id, app.config_version)?;
                Ok((app, tx.pins(&id)?, config))
            })
            .await?;
        let hash = commit.to_string();
        let (id, commit, repos, root) = (app.clone(), commit.clone(), p.repos.clone(), row.settings.root.clone());
        let sources = blocking("read the commit", move || Sources::read(&repos, &id, &commit, root.as_deref())).await?;
        let stack = match row.settings.stack.as_deref() {
            None => Stack::default(),
            Some(name) => Stack::parse(name).ok_or_else(|| Fault::plain(format!("an app has the stack {name}")))?,
        };
        // What belongs to a release or an instance is not known yet; vars that refer to it are not there in a build.
        let known = [
            ("HOIST_APP_ID", row.id.to_string()),
            ("HOIST_APP_NAME", row.name.to_string()),
            ("HOIST_BUILD_COMMIT", hash),
            ("HOIST_DOMAIN", p.sites.domain(&row.name)),
            ("HOIST_URL", p.sites.url(&row.name)),
        ];
        let config = resolve(&config, &known.map(|(name, value)| (name.to_owned(), value)).into());
        let config_names = config.keys().map(ToString::to_string).collect();
        let buildpack = row.settings.buildpack.clone();
        let settings = Settings { buildpack, stack, config: config_names, ..Settings::default() };
        Ok(Asked { app: row, sources: Arc::new(sources), settings, pins, config })
    }
}

impl Builder {
    /// The lock file that a commit's build made, if it lacks one.
    pub async fn lock_of(&self, app: &AppId, commit: &Commit) -> Result<LockFile> {
        let asked = Asked::read(&self.p, app, commit).await?;
        if dockerfile::wanted(&asked.app, &asked.sources) {
            return Ok(LockFile::Own);
        }
        let Some(unlocked) = buildpacks::unlocked(&asked.sources.tree, &asked.settings).map_err(super::refusal)? else {
            return Ok(LockFile::Own);
        };
        let kept = locks::read(place(&self.p, &asked, &unlocked).path).await?;
        Ok(kept.map_or(LockFile::Missing(unlocked.file), |content| LockFile::Made(unlocked.file, content)))
    }

    /// The commit as it is built: with the lock file that is kept for it, else with one that is made now.
    /// With what is said of it.
    pub(super) async fn lock(
        &self,
        ask: &BuildAsk,
        job: &Job,
        asked: Asked,
        facts: &Facts,
    ) -> Result<(Asked, Vec<String>)> {
        let Asked { app, sources, settings, pins, config } = &asked;
        let p = &self.p;
        let unlocked = buildpacks::unlocked(&sources.tree, settings).map_err(super::refusal)?;
        let Some(unlocked) = unlocked else {
            return Ok((asked, Vec::new()));
        };
        let place = place(p, &asked, &unlocked);
        let kept = match ask.clear_cache {
            true => None,
            false => locks::use_kept(place.path.clone()).await?,
        };
        let (content, new) = match kept {
            Some(content) => (content, false),
            None => {
                let before = match ask.clear_cache {
                    true => None,
                    false => locks::newest(place.clone()).await?,
                };
                job.detail(format!("There is no {}: it is made from {}", unlocked.file, unlocked.manifest));
                let known = Known { settings, pins, facts, before };
                let layers = buildpacks::locking(&sources.tree, known).map_err(super::refusal)?;
                let run = self.stack(p, settings.stack, Base::Run, job).await?;
                let work = Work {
                    p,
                    job,
                    ask,
                    plan: plan_of(layers),
                    sources: Arc::clone(sources),
                    image_key: app.image_key.clone(),
                    config: config.clone(),
                    stack: settings.stack,
                    stacks: super::stacks_id(p, &run, settings.stack).await?,
                };
                let file = unlocked.file;
                let content = self.made(&work, move |folder| locks::take(&folder.join(file), file)).await?;
                locks::keep(place, content.clone()).await?;
                (content, true)
            }
        };
        let warnings = said(p, &app.name, &unlocked, new);
        Ok((with(asked, &unlocked, content)?, warnings))
    }
}

/// The same for a plan that nothing is built by: with what is kept.
pub(super) async fn with_kept(p: &Parts, asked: Asked) -> Result<Asked> {
    let unlocked = buildpacks::unlocked(&asked.sources.tree, &asked.settings).map_err(super::refusal)?;
    let Some(unlocked) = unlocked else { return Ok(asked) };
    match locks::read(place(p, &asked, &unlocked).path).await? {
        Some(content) => with(asked, &unlocked, content),
        None => Ok(asked),
    }
}

fn with(asked: Asked, unlocked: &Unlocked, content: String) -> Result<Asked> {
    let sources = Arc::unwrap_or_clone(asked.sources).locked(unlocked, content)?;
    Ok(Asked { sources: Arc::new(sources), ..asked })
}

/// Where a commit's lock file is kept.
fn place(p: &Parts, asked: &Asked, unlocked: &Unlocked) -> Place {
    Place::of(p.layout.locks(&asked.app.id), &asked.sources, unlocked)
}

fn plan_of(layers: Vec<buildpacks::Layer>) -> Plan {
    Plan {
        language: String::new(),
        decided: Vec::new(),
        warnings: Vec::new(),
        layers,
        processes: BTreeMap::new(),
        launch_env: Vec::new(),
        pins: BTreeMap::new(),
    }
}

fn said(p: &Parts, app: &domain::AppName, unlocked: &Unlocked, new: bool) -> Vec<String> {
    let Unlocked { file, manifest, notes, .. } = unlocked;
    let what = match new {
        true => format!(
            "there is no {file}: this build chose the versions of dependencies, and they stay until {manifest} changes"
        ),
        false => format!("there is no {file}: the versions are those of the earlier build, until {manifest} changes"),
    };
    let commit = format!(
        "to have them in the repository: {} builds:lock {app} > {file} && git add {file} && git commit -m Lock",
        p.sites.ssh_command()
    );
    [what].into_iter().chain(notes.iter().cloned()).chain([commit]).collect()
}
