//! What a plan is made from: a commit's files, the app's settings, pins and config, as they are now.

use super::sources::Sources;
use crate::fault::{Fault, Result};
use crate::platform::Parts;
use crate::tasks::blocking;
use buildpacks::{Pins, Settings, Stack};
use domain::config::{ConfigVars, resolve};
use domain::{AppId, Commit};
use std::sync::Arc;

/// All that the plan of a commit depends on, but for facts.
pub(super) struct Asked {
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
        let (id, commit, repos, root) = (app.clone(), commit.clone(), p.repos.clone(), row.root.clone());
        let sources = blocking("read the commit", move || Sources::read(&repos, &id, &commit, root.as_deref())).await?;
        let stack = match row.stack.as_deref() {
            None => Stack::default(),
            Some(name) => Stack::parse(name).ok_or_else(|| Fault::plain(format!("an app has the stack {name}")))?,
        };
        // What belongs to a release or an instance is not known yet; vars that refer to it are not there in a build.
        let known = [
            ("HOIST_APP_ID", row.id.to_string()),
            ("HOIST_APP_NAME", row.name.to_string()),
            ("HOIST_BUILD_COMMIT", hash),
            ("HOIST_DOMAIN", p.domain(&row.name)),
            ("HOIST_URL", p.url(&row.name)),
        ];
        let config = resolve(&config, &known.map(|(name, value)| (name.to_owned(), value)).into());
        let config_names = config.keys().map(ToString::to_string).collect();
        let settings = Settings { buildpack: row.buildpack, stack, config: config_names, ..Settings::default() };
        Ok(Asked { sources: Arc::new(sources), settings, pins, config })
    }
}
