//! One-off instances: what they run, for whom, until when, and how they ended. A row outlives its instance for a while.

use super::{InstanceRow, columns};
use crate::tx::{Result, Tx};
use domain::event::Event;
use domain::instance::Label;
use domain::{AppId, InstanceId, ReleaseNumber, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

/// Ended runs of an app that are remembered.
const KEPT: u32 = 100;

/// A one-off instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// The instance's id.
    pub id: InstanceId,
    /// The app.
    pub app: AppId,
    /// `run.NUMBER`; never used twice.
    pub number: u32,
    /// The release.
    pub release: ReleaseNumber,
    /// The command as it was typed.
    pub command: String,
    /// Who asked.
    pub actor: String,
    /// The fingerprint of the key that it was asked for with; empty for root.
    pub key: String,
    /// Whether it goes on without anybody.
    pub detached: bool,
    /// Bytes of memory.
    pub memory: u64,
    /// When it was asked for.
    pub begun: Timestamp,
    /// When its time is over.
    pub deadline: Timestamp,
    /// When it ended, and with which code, if that is known.
    pub ended: Option<(Timestamp, Option<i64>)>,
    /// Why, if it did not end by itself.
    pub why: String,
}

impl RunRow {
    /// `run.1`.
    pub fn label(&self) -> String {
        format!("{}.{}", domain::run::RUN, self.number)
    }
}

const COLUMNS: &str =
    "id, app_id, number, release, command, actor, detached, memory, begun, deadline, ended, code, why, key";

fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let code: Option<i64> = row.get(11)?;
    Ok(RunRow {
        id: InstanceId(row.get(0)?),
        app: columns::parsed(row, 1)?,
        number: row.get(2)?,
        release: ReleaseNumber(row.get(3)?),
        command: row.get(4)?,
        actor: row.get(5)?,
        detached: row.get(6)?,
        memory: columns::number(row, 7)?,
        begun: Timestamp(row.get(8)?),
        deadline: Timestamp(row.get(9)?),
        ended: row.get::<_, Option<i64>>(10)?.map(|at| (Timestamp(at), code)),
        why: row.get(12)?,
        key: row.get(13)?,
    })
}

impl Tx<'_> {
    /// The number of the app's next one-off instance.
    pub fn next_run(&self, app: &AppId) -> Result<u32> {
        // Beside those there may be a process type of that name in the Procfile.
        let sql = "SELECT 1 + max((SELECT coalesce(max(number), 0) FROM runs WHERE app_id = ?1),
                   (SELECT coalesce(max(ordinal), 0) FROM instances WHERE app_id = ?1 AND process = 'run'))";
        Ok(self.0.query_row(sql, [app.as_str()], |row| row.get(0))?)
    }

    /// Adds the run of an instance just allocated; forgets the oldest that ended.
    pub fn add_run(&self, run: &RunRow) -> Result<()> {
        let sql =
            "INSERT INTO runs (id, app_id, number, release, command, actor, detached, memory, begun, deadline, key)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let app = run.app.as_str();
        let memory = i64::try_from(run.memory).unwrap_or(i64::MAX);
        let RunRow { id, number, release, command, actor, detached, begun, deadline, key, .. } = run;
        self.execute(
            sql,
            params![id.0, app, number, release.0, command, actor, detached, memory, begun.0, deadline.0, key],
        )?;
        let sql = "DELETE FROM runs WHERE app_id = ?1 AND ended IS NOT NULL AND id NOT IN
                   (SELECT id FROM runs WHERE app_id = ?1 ORDER BY id DESC LIMIT ?2)";
        self.execute(sql, params![app, KEPT])?;
        Ok(())
    }

    /// One run.
    pub fn run(&self, id: InstanceId) -> Result<Option<RunRow>> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([id.0], run).optional()?)
    }

    /// Those of an app, or of all, that have not ended, or ended after this.
    pub fn runs(&self, app: Option<&AppId>, ended_after: Timestamp) -> Result<Vec<RunRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE (?1 IS NULL OR app_id = ?1) AND (ended IS NULL OR ended > ?2) ORDER BY id"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![app.map(AppId::as_str), ended_after.0], run)?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// Those whose instances have a row.
    pub fn runs_with_instances(&self) -> Result<Vec<RunRow>> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE id IN (SELECT id FROM instances WHERE desire = 'once')");
        let mut statement = self.0.prepare_cached(&sql)?;
        Ok(statement.query_map([], run)?.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// Notes that a run is to end now, and why; one that has ended keeps its end.
    pub fn end_run_soon(&self, id: InstanceId, why: &str, now: Timestamp) -> Result<()> {
        let sql = "UPDATE runs SET deadline = min(deadline, ?2), why = ?3 WHERE id = ?1 AND ended IS NULL";
        self.execute(sql, params![id.0, now.0, why])?;
        Ok(())
    }

    /// Notes how a run ended; returns its row the first time, `None` if that was noted before.
    pub fn end_run(&self, id: InstanceId, code: Option<i64>, why: &str, now: Timestamp) -> Result<Option<RunRow>> {
        let sql = "UPDATE runs SET ended = ?2, code = ?3, why = CASE why WHEN '' THEN ?4 ELSE why END
                   WHERE id = ?1 AND ended IS NULL";
        let changed = self.execute(sql, params![id.0, now.0, code, why])?;
        let Some(run) = self.run(id)?.filter(|_| changed > 0) else { return Ok(None) };
        let event = Event::RunEnded {
            instance: Label { process: domain::run::RUN.parse()?, ordinal: run.number },
            release: run.release,
            code,
            ran_ms: now.millis_since(run.begun),
            why: run.why.clone(),
            by: run.actor.clone(),
        };
        self.happened(Some(&run.app), &event, now)?;
        Ok(Some(run))
    }

    /// The instances of an app that a session may be opened in, by name.
    pub fn enterable(&self, app: &AppId) -> Result<Vec<InstanceRow>> {
        let current = self.the_app(app)?.current_set;
        let mut rows = self.instances(Some(app))?;
        rows.retain(|row| match row.desire {
            domain::reconcile::Desire::Up => Some(row.set) == current,
            domain::reconcile::Desire::Once => true,
            domain::reconcile::Desire::Booting | domain::reconcile::Desire::Retiring => false,
        });
        Ok(rows)
    }
}
