//! Deploys: the jobs, their state after each step, and the steps' intents and outcomes.

use super::columns;
use crate::cipher::deploy_place;
use crate::tx::{Result, Tx};
use domain::access::Principal;
use domain::config::ConfigChange;
use domain::deploy::{Deploy, Effect, Kind, Outcome, is_over};
use domain::event::Event;
use domain::ids::{BuildId, DeployId};
use domain::{AppId, Commit, ReleaseNumber, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use system::fault::Fault;

/// What a job was asked to do; read when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Ask {
    /// The commit to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The branch that moves, and the old id that the client saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The branch's id that the pusher's client saw; `None`: the branch did not exist for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Commit>,
    /// The change of config vars.
    #[serde(default)]
    pub config: ConfigChange,
    /// The release to roll back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<ReleaseNumber>,
    /// A rollback with the config vars of today.
    #[serde(default)]
    pub keep_config: bool,
    /// Rebuild from nothing: caches are not read.
    #[serde(default)]
    pub clear_cache: bool,
    /// What this job is known by to the one who asks for it, before it has a number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// git itself moves the branch when the hook answers (a shallow push to an empty repository).
    #[serde(default)]
    pub git_moves_branch: bool,
    /// The fingerprint of the key of the one who asks; empty for root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

impl Ask {
    /// What somebody asks for, so far only who it is.
    pub fn by(who: &Principal) -> Ask {
        let key = who.key().map(|key| key.fingerprint.clone()).unwrap_or_default();
        Ask { key, ..Ask::default() }
    }
}

/// A job to queue.
#[derive(Debug, Clone)]
pub struct NewDeploy {
    /// The app.
    pub app: AppId,
    /// What kind of job.
    pub kind: Kind,
    /// What is asked.
    pub ask: Ask,
    /// Who asks.
    pub actor: String,
    /// The control process that will work on it.
    pub owner: String,
}

/// A deploy's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployRow {
    /// Row id; also the id of the set of instances it starts.
    pub id: DeployId,
    /// The app.
    pub app: AppId,
    /// What kind of job.
    pub kind: Kind,
    /// What was asked.
    pub ask: Ask,
    /// Where it stands.
    pub state: Deploy,
    /// Who asked.
    pub actor: String,
    /// When.
    pub created: Timestamp,
    /// When it was over.
    pub ended: Option<Timestamp>,
    /// The control process that works on it.
    pub owner: String,
    /// Raised at each takeover; a write with an older fence is refused.
    pub fence: i64,
}

/// One step of a deploy, for `deploys`-like listings and the "took" lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// The effect.
    pub effect: Effect,
    /// When it was begun.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

const COLUMNS: &str = "id, app_id, kind, ask, state, actor, created, ended, owner, fence";

fn deploy(row: &Row<'_>) -> rusqlite::Result<DeployRow> {
    Ok(DeployRow {
        id: columns::id(row, 0)?,
        app: columns::parsed(row, 1)?,
        kind: columns::json(row, 2)?,
        ask: columns::json(row, 3)?,
        state: columns::json(row, 4)?,
        actor: row.get(5)?,
        created: Timestamp(row.get(6)?),
        ended: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        owner: row.get(8)?,
        fence: row.get(9)?,
    })
}

/// What there is to be told of a deploy in this state.
fn ended(row: &DeployRow, state: &Deploy) -> Option<Event> {
    let (deploy, job, by) = (row.id, row.kind, row.actor.clone());
    match state {
        Deploy::Live { release, acknowledged } => {
            Some(Event::DeployLive { deploy, job, release: *release, routed: *acknowledged, by })
        }
        Deploy::Failed { release, why } => {
            let (release, code, why) = (*release, why.code, why.what.clone());
            Some(Event::DeployFailed { deploy, job, release, code, why, by })
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
        | Deploy::Undone { .. } => None,
    }
}

impl Tx<'_> {
    /// Queues a job; its id.
    pub fn add_deploy(&self, new: &NewDeploy, now: Timestamp) -> Result<DeployId> {
        let sql = "INSERT INTO deploys (app_id, kind, ask, state, actor, created, owner, fence)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)";
        let kind = serde_json::to_string(&new.kind)?;
        // Its values are sealed for its id, which comes with the row.
        let mut ask = new.ask.clone();
        let values = std::mem::take(&mut ask.config.set);
        let (text, state) = (serde_json::to_string(&ask)?, serde_json::to_string(&Deploy::Received)?);
        self.execute(sql, params![new.app.as_str(), kind, text, state, new.actor, now.0, new.owner])?;
        let id = self.0.last_insert_rowid();
        if !values.is_empty() {
            ask.config.set = self.seal_all(&values, |name| deploy_place(DeployId(id), name))?;
            let sql = "UPDATE deploys SET ask = ?2 WHERE id = ?1";
            self.execute(sql, params![id, serde_json::to_string(&ask)?])?;
        }
        Ok(DeployId(id))
    }

    fn with_values(&self, mut row: DeployRow) -> Result<DeployRow> {
        row.ask.config.set = self.open_all(&row.ask.config.set, |name| deploy_place(row.id, name))?;
        Ok(row)
    }

    /// A deploy by id.
    pub fn deploy(&self, id: DeployId) -> Result<Option<DeployRow>> {
        let sql = format!("SELECT {COLUMNS} FROM deploys WHERE id = ?1");
        let row = self.0.prepare_cached(&sql)?.query_row([id.0], deploy).optional()?;
        row.map(|row| self.with_values(row)).transpose()
    }

    /// The deploy that a build belongs to.
    pub fn deploy_of_build(&self, build: BuildId) -> Result<DeployId> {
        Ok(self.0.query_row("SELECT deploy_id FROM builds WHERE id = ?1", [build.0], |row| columns::id(row, 0))?)
    }

    /// All jobs that are not over, oldest first.
    pub fn open_deploys(&self) -> Result<Vec<DeployRow>> {
        let sql = format!("SELECT {COLUMNS} FROM deploys WHERE over = 0 ORDER BY id");
        let rows = self.0.prepare_cached(&sql)?.query_map([], deploy)?.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter().map(|row| self.with_values(row)).collect()
    }

    /// The ids of the newest jobs of every app.
    pub fn newest_deploys(&self, keep: u32) -> Result<std::collections::BTreeSet<DeployId>> {
        let sql =
            "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY app_id ORDER BY id DESC) AS rank FROM deploys)
                   WHERE rank <= ?1";
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.query_map([keep], |row| columns::id(row, 0))?.collect::<rusqlite::Result<_>>()?)
    }

    /// Takes every open job of a dead control process over; writes with the old fence fail from here on.
    pub fn take_over(&self, owner: &str) -> Result<()> {
        self.execute("UPDATE deploys SET owner = ?1, fence = fence + 1 WHERE over = 0 AND owner <> ?1", [owner])?;
        Ok(())
    }

    /// Writes the intent of a step.
    pub fn begin_step(&self, row: &DeployRow, effect: Effect, now: Timestamp) -> Result<()> {
        self.check_fence(row)?;
        let sql = "INSERT INTO deploy_steps (deploy_id, seq, effect, begun)
                   VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM deploy_steps WHERE deploy_id = ?1), ?2, ?3)";
        self.execute(sql, params![row.id.0, serde_json::to_string(&effect)?, now.0])?;
        Ok(())
    }

    /// Writes a step's outcome and the state it led to.
    pub fn end_step(&self, row: &DeployRow, outcome: &Outcome, state: &Deploy, now: Timestamp) -> Result<()> {
        self.check_fence(row)?;
        let sql = "UPDATE deploy_steps SET ended = ?2, outcome = ?3 WHERE deploy_id = ?1
                   AND seq = (SELECT max(seq) FROM deploy_steps WHERE deploy_id = ?1)";
        self.execute(sql, params![row.id.0, now.0, serde_json::to_string(outcome)?])?;
        let over = is_over(state);
        // Whoever does not hear that this was written writes it again: then it is over already.
        let was_over: bool =
            self.0.prepare_cached("SELECT over FROM deploys WHERE id = ?1")?.query_row([row.id.0], |row| row.get(0))?;
        if let (false, Some(event)) = (was_over, ended(row, state)) {
            self.happened(Some(&row.app), &event, now)?;
        }
        let sql = "UPDATE deploys SET state = ?2, over = ?3, ended = CASE WHEN ?3 THEN ?4 END WHERE id = ?1";
        self.execute(sql, params![row.id.0, serde_json::to_string(state)?, over, now.0])?;
        Ok(())
    }

    fn check_fence(&self, row: &DeployRow) -> Result<()> {
        let sql = "SELECT count(*) FROM deploys WHERE id = ?1 AND owner = ?2 AND fence = ?3";
        let mine: i64 = self.0.prepare_cached(sql)?.query_row(params![row.id.0, row.owner, row.fence], |r| r.get(0))?;
        if mine == 1 { Ok(()) } else { Err(Fault::plain(format!("deploy {} was taken over", row.id)).into()) }
    }

    /// The steps of a deploy in order.
    pub fn steps(&self, id: DeployId) -> Result<Vec<StepRow>> {
        let sql = "SELECT effect, begun, ended FROM deploy_steps WHERE deploy_id = ?1 ORDER BY seq";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement
            .query_map([id.0], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get::<_, Option<i64>>(2)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter()
            .map(|(effect, begun, ended)| {
                Ok(StepRow {
                    effect: serde_json::from_str(&effect)?,
                    begun: Timestamp(begun),
                    ended: ended.map(Timestamp),
                })
            })
            .collect()
    }
}
