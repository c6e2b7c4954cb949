//! Releases: immutable but for their status.

use super::{Word, columns};
use crate::tx::{Result, Tx};
use domain::event::Event;
use domain::ids::{BuildId, ConfigVersion, DeployId, SetId};
use domain::refusal::Code;
use domain::{AppId, Refusal, ReleaseNumber, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use system::fault::Fault;

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStatus {
    /// Cut; its deploy is not at the commit point.
    Pending,
    /// It was, or is, the current one.
    Live,
    /// Its deploy failed before the commit point.
    Failed,
}

impl Word for ReleaseStatus {
    const ALL: &'static [ReleaseStatus] = &[ReleaseStatus::Pending, ReleaseStatus::Live, ReleaseStatus::Failed];

    fn word(self) -> &'static str {
        match self {
            ReleaseStatus::Pending => "pending",
            ReleaseStatus::Live => "live",
            ReleaseStatus::Failed => "failed",
        }
    }
}

/// A release's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The app.
    pub app: AppId,
    /// Its number.
    pub number: ReleaseNumber,
    /// The build whose image it runs.
    pub build: BuildId,
    /// The config version it runs with.
    pub config_version: ConfigVersion,
    /// `Deploy de63889`, `Set config var A`, `Rollback to v3`.
    pub description: String,
    /// Where it stands.
    pub status: ReleaseStatus,
    /// Who made it.
    pub actor: String,
    /// When.
    pub created: Timestamp,
    /// The deploy that cut it.
    pub deploy: DeployId,
}

const COLUMNS: &str = "app_id, number, build_id, config_version, description, status, actor, created, deploy_id";

fn release(row: &Row<'_>) -> rusqlite::Result<Release> {
    Ok(Release {
        app: columns::parsed(row, 0)?,
        number: ReleaseNumber(row.get(1)?),
        build: columns::id(row, 2)?,
        config_version: columns::id(row, 3)?,
        description: row.get(4)?,
        status: columns::word(row, 5)?,
        actor: row.get(6)?,
        created: Timestamp(row.get(7)?),
        deploy: columns::id(row, 8)?,
    })
}

impl Tx<'_> {
    /// Cuts the next release of an app, or finds the one that this deploy cut already.
    pub fn cut_release(&self, new: &Release) -> Result<ReleaseNumber> {
        if let Some(found) = self.release_of(new.deploy)? {
            return Ok(found.number);
        }
        let sql = "SELECT coalesce(max(number), 0) + 1 FROM releases WHERE app_id = ?1";
        let number: u32 = self.0.query_row(sql, [new.app.as_str()], |row| row.get(0))?;
        let sql = format!("INSERT INTO releases ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7, ?8)");
        let (app, created) = (new.app.as_str(), new.created.0);
        self.execute(
            &sql,
            params![app, number, new.build.0, new.config_version.0, new.description, new.actor, created, new.deploy.0],
        )?;
        let release = ReleaseNumber(number);
        let (description, by) = (new.description.clone(), new.actor.clone());
        self.happened(
            Some(&new.app),
            &Event::ReleaseCut { release, deploy: new.deploy, description, by },
            new.created,
        )?;
        Ok(release)
    }

    /// The release that a deploy cut.
    pub fn release_of(&self, deploy: DeployId) -> Result<Option<Release>> {
        let sql = format!("SELECT {COLUMNS} FROM releases WHERE deploy_id = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([deploy.0], release).optional()?)
    }

    /// A release by number.
    pub fn release(&self, app: &AppId, number: ReleaseNumber) -> Result<Option<Release>> {
        let sql = format!("SELECT {COLUMNS} FROM releases WHERE app_id = ?1 AND number = ?2");
        Ok(self.0.prepare_cached(&sql)?.query_row(params![app.as_str(), number.0], release).optional()?)
    }

    /// A release that must be there.
    pub fn the_release(&self, app: &AppId, number: ReleaseNumber) -> Result<Release> {
        self.release(app, number)?.ok_or_else(|| {
            let no = Refusal::new(Code::NoSuchRelease, format!("there is no release {number}"));
            match self.app(app) {
                Ok(Some(app)) => no.next(format!("releases {}", app.name)).into(),
                Ok(None) | Err(_) => no.into(),
            }
        })
    }

    /// The newest releases of an app, newest first.
    pub fn releases(&self, app: &AppId, max: u32) -> Result<Vec<Release>> {
        let sql = format!("SELECT {COLUMNS} FROM releases WHERE app_id = ?1 ORDER BY number DESC LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        Ok(statement.query_map(params![app.as_str(), max], release)?.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// The newest release before `number` that was live.
    pub fn release_before(&self, app: &AppId, number: ReleaseNumber) -> Result<Option<Release>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM releases WHERE app_id = ?1 AND number < ?2 AND status = 'live' ORDER BY number DESC LIMIT 1"
        );
        Ok(self.0.prepare_cached(&sql)?.query_row(params![app.as_str(), number.0], release).optional()?)
    }

    /// Marks a release as failed.
    pub fn fail_release(&self, app: &AppId, number: ReleaseNumber) -> Result<()> {
        let sql = "UPDATE releases SET status = 'failed' WHERE app_id = ?1 AND number = ?2 AND status = 'pending'";
        self.execute(sql, params![app.as_str(), number.0])?;
        Ok(())
    }

    /// The commit point: the release, its config and its set of instances become the current ones, in this transaction.
    pub fn commit_release(&self, app: &AppId, number: ReleaseNumber, set: SetId, now: Timestamp) -> Result<()> {
        self.set_config_version(app, self.the_release(app, number)?.config_version, now)?;
        self.execute(
            "UPDATE releases SET status = 'live' WHERE app_id = ?1 AND number = ?2",
            params![app.as_str(), number.0],
        )?;
        let sql = "UPDATE apps SET current_release = ?2, current_set = ?3, stopped = 0 WHERE id = ?1";
        let changed = self.execute(sql, params![app.as_str(), number.0, set.0])?;
        let sql =
            "UPDATE instances SET desire = 'up', ready = 1 WHERE app_id = ?1 AND set_id = ?2 AND desire = 'booting'";
        self.execute(sql, params![app.as_str(), set.0])?;
        if changed == 1 { Ok(()) } else { Err(Fault::plain("the app of a release is gone").into()) }
    }
}
