//! Builds: one row per image made or tried, that releases refer to.

use super::{Word, columns};
use crate::tx::{Result, Tx};
use domain::dockerfile::Launch;
use domain::event::Event;
use domain::ids::{BuildId, DeployId};
use domain::instance::PORT;
use domain::procfile::ProcessTable;
use domain::{AppId, Commit, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildStatus {
    /// Its job waits for its turn.
    Waiting,
    /// At work, or its job will resume it.
    Running,
    /// The image is there.
    Succeeded,
    /// It failed; `why` says so.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// A build's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Row id, shown as the build's number.
    pub id: BuildId,
    /// The app.
    pub app: AppId,
    /// What was built.
    pub commit: Commit,
    /// Where it stands.
    pub status: BuildStatus,
    /// What the plan found.
    pub language: String,
    /// The image's name in the engine.
    pub image: Option<String>,
    /// The manifest's digest.
    pub digest: Option<String>,
    /// How its processes start, where they do not run on our stack.
    pub launch: Option<Launch>,
    /// Process types and commands.
    pub processes: ProcessTable,
    /// Why it failed.
    pub why: Option<String>,
    /// Who asked for it.
    pub actor: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl Build {
    /// The port that an instance of this build which is served opens.
    pub fn port(&self) -> u16 {
        self.launch.as_ref().map_or(PORT, |launch| launch.port)
    }
}

const COLUMNS: &str =
    "id, app_id, commit_id, status, language, image, digest, processes, why, actor, started, ended, launch";

fn build(row: &Row<'_>) -> rusqlite::Result<Build> {
    Ok(Build {
        id: columns::id(row, 0)?,
        app: columns::parsed(row, 1)?,
        commit: columns::parsed(row, 2)?,
        status: columns::word(row, 3)?,
        language: row.get(4)?,
        image: row.get(5)?,
        digest: row.get(6)?,
        processes: columns::json(row, 7)?,
        why: row.get(8)?,
        actor: row.get(9)?,
        started: Timestamp(row.get(10)?),
        ended: row.get::<_, Option<i64>>(11)?.map(Timestamp),
        launch: row.get::<_, Option<String>>(12)?.map(|_| columns::json(row, 12)).transpose()?,
    })
}

impl Word for BuildStatus {
    const ALL: &'static [BuildStatus] = &[
        BuildStatus::Waiting,
        BuildStatus::Running,
        BuildStatus::Succeeded,
        BuildStatus::Failed,
        BuildStatus::Cancelled,
    ];

    fn word(self) -> &'static str {
        match self {
            BuildStatus::Waiting => "waiting",
            BuildStatus::Running => "running",
            BuildStatus::Succeeded => "succeeded",
            BuildStatus::Failed => "failed",
            BuildStatus::Cancelled => "cancelled",
        }
    }
}

impl Tx<'_> {
    /// The row of a deploy that waits; its id.
    pub fn queue_build(
        &self,
        app: &AppId,
        deploy: DeployId,
        commit: &Commit,
        actor: &str,
        now: Timestamp,
    ) -> Result<BuildId> {
        let sql = "INSERT INTO builds (app_id, commit_id, status, actor, started, deploy_id) VALUES (?1, ?2, 'waiting', ?3, ?4, ?5)";
        self.execute(sql, params![app.as_str(), commit.as_str(), actor, now.0, deploy.0])?;
        Ok(BuildId(self.0.last_insert_rowid()))
    }

    /// Begins the build of a deploy, or finds it begun; its id.
    pub fn begin_build(
        &self,
        app: &AppId,
        deploy: DeployId,
        commit: &Commit,
        actor: &str,
        now: Timestamp,
    ) -> Result<BuildId> {
        // A job that an older server queued has no row yet.
        if self.build_of(deploy)?.is_none() {
            self.queue_build(app, deploy, commit, actor, now)?;
        }
        let sql = "UPDATE builds SET status = 'running', started = ?2 WHERE deploy_id = ?1 AND status = 'waiting'";
        self.execute(sql, params![deploy.0, now.0])?;
        Ok(self.0.query_row("SELECT id FROM builds WHERE deploy_id = ?1", [deploy.0], |row| columns::id(row, 0))?)
    }

    /// The build of a deploy.
    pub fn build_of(&self, deploy: DeployId) -> Result<Option<Build>> {
        let sql = format!("SELECT {COLUMNS} FROM builds WHERE deploy_id = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([deploy.0], build).optional()?)
    }

    /// The newest build of an app with this digest whose image has a name.
    pub fn build_with_digest(&self, app: &AppId, digest: &str) -> Result<Option<Build>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM builds WHERE app_id = ?1 AND digest = ?2 AND image IS NOT NULL ORDER BY id DESC LIMIT 1"
        );
        Ok(self.0.prepare_cached(&sql)?.query_row(params![app.as_str(), digest], build).optional()?)
    }

    /// A build by id.
    pub fn build(&self, id: BuildId) -> Result<Option<Build>> {
        let sql = format!("SELECT {COLUMNS} FROM builds WHERE id = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([id.0], build).optional()?)
    }

    /// The newest builds of an app, newest first.
    pub fn builds(&self, app: &AppId, max: u32) -> Result<Vec<Build>> {
        let sql = format!("SELECT {COLUMNS} FROM builds WHERE app_id = ?1 ORDER BY id DESC LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![app.as_str(), max], build)?.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(rows)
    }

    /// Marks a build as succeeded with its image.
    pub fn finish_build(&self, done: &Build, now: Timestamp) -> Result<()> {
        if self.build(done.id)?.is_some_and(|before| before.status != BuildStatus::Succeeded) {
            let (commit, language) = (done.commit.clone(), done.language.clone());
            self.happened(Some(&done.app), &Event::BuildSucceeded { build: done.id, commit, language }, now)?;
        }
        let sql = "UPDATE builds SET status = ?2, language = ?3, image = ?4, digest = ?5, processes = ?6, why = ?7, ended = ?8, launch = ?9 WHERE id = ?1";
        let launch = done.launch.as_ref().map(serde_json::to_string).transpose()?;
        let processes = serde_json::to_string(&done.processes)?;
        let ended = done.ended.map(|t| t.0);
        self.execute(
            sql,
            params![
                done.id.0,
                done.status.word(),
                done.language,
                done.image,
                done.digest,
                processes,
                done.why,
                ended,
                launch
            ],
        )?;
        Ok(())
    }

    /// Notes why a build's deploy came to nothing. A build that succeeded stays so, with its image: what came after failed.
    pub fn fail_build(&self, id: BuildId, status: BuildStatus, why: &str, now: Timestamp) -> Result<()> {
        if let Some(build) = self.build(id)?.filter(|b| matches!(b.status, BuildStatus::Waiting | BuildStatus::Running))
        {
            let (build, app, commit, why) = (build.id, build.app, build.commit, why.to_owned());
            let event = match status {
                BuildStatus::Cancelled => Event::BuildCancelled { build, commit, why },
                BuildStatus::Failed | BuildStatus::Waiting | BuildStatus::Running | BuildStatus::Succeeded => {
                    Event::BuildFailed { build, commit, why }
                }
            };
            self.happened(Some(&app), &event, now)?;
        }
        let sql =
            "UPDATE builds SET why = ?3, status = CASE WHEN status IN ('waiting', 'running') THEN ?2 ELSE status END,
                   ended = coalesce(ended, ?4) WHERE id = ?1";
        self.execute(sql, params![id.0, status.word(), why, now.0])?;
        Ok(())
    }

    /// The commits of the newest `keep` releases of each app that were live, of its current one, and of running builds.
    pub fn commits_in_use(&self, keep: u32) -> Result<BTreeMap<AppId, Vec<Commit>>> {
        let sql = "SELECT DISTINCT b.app_id, b.commit_id FROM builds b WHERE b.status IN ('waiting', 'running')
            OR b.id IN (SELECT build_id FROM (SELECT build_id, row_number() OVER (PARTITION BY app_id ORDER BY number DESC) AS rank
                        FROM releases WHERE status IN ('live', 'pending')) WHERE rank <= ?1)
            OR b.id IN (SELECT r.build_id FROM releases r JOIN apps a ON a.id = r.app_id AND a.current_release = r.number)";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([keep], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut found: BTreeMap<AppId, Vec<Commit>> = BTreeMap::new();
        for row in rows {
            let (app, commit) = row?;
            found.entry(app.parse()?).or_default().push(commit.parse()?);
        }
        Ok(found)
    }

    /// The image names that releases still need: the newest `keep` releases of each app that were live, and all running builds.
    pub fn images_in_use(&self, keep: u32) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT b.image FROM builds b WHERE b.image IS NOT NULL AND (b.status = 'running'
            OR b.id IN (SELECT build_id FROM (SELECT build_id, row_number() OVER (PARTITION BY app_id ORDER BY number DESC) AS rank
                        FROM releases WHERE status IN ('live', 'pending')) WHERE rank <= ?1)
            OR b.id IN (SELECT r.build_id FROM releases r JOIN apps a ON a.id = r.app_id AND a.current_release = r.number))";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([keep], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        Ok(rows)
    }
}
