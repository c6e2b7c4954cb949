//! What a plan is made from: a commit's files, the app's settings, pins and config, as they are now.

use super::Builder;
use super::dockerfile::{self, Given};
use super::sources::Sources;
use crate::Parts;
use buildpacks::{Pins, Plan, Settings, Stack};
use domain::config::{ConfigVars, resolve};
use domain::{AppId, Commit};
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
        let Asked { sources, settings, pins, .. } = super::locks::with_kept(p, asked).await?;
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
