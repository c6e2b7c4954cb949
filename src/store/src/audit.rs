//! Audit rows: every command, who, with which key, from where, how it ended. Never a secret.
//!
//! Invariant (triggers of the schema): a row is added, completed once, and removed only by retention: when it is too old, or
//! of whoever has most where there are too many.

use super::columns;
use crate::tx::{Result, Tx};
use domain::audit::{self, Keep, Rows};
use domain::flood::Count;
use domain::ids::AuditId;
use domain::{AppId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use std::collections::BTreeMap;

/// One command, or one that was typed again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// Who: the user's name, or `root`.
    pub actor: String,
    /// The key's fingerprint; empty for root.
    pub key: String,
    /// The key's name.
    pub key_name: String,
    /// The client's address, or `local`.
    pub origin: String,
    /// The app's name at that time.
    pub app: Option<String>,
    /// The command's name.
    pub verb: String,
    /// The command with secrets left out.
    pub line: String,
    /// How it ended; `None` while it runs or if the server died.
    pub exit_code: Option<u8>,
    /// For how many commands from `at` on it stands; 0 while that is not known, `None`: for one.
    pub repeats: Option<u64>,
    /// When the last of them ended.
    pub last_at: Option<Timestamp>,
}

/// Which rows are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of one app, or of all.
    pub app: Option<AppId>,
    /// Of one actor.
    pub actor: Option<String>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Older than the row of this id: the next page.
    pub before: Option<AuditId>,
    /// At most so many, the newest.
    pub max: u32,
}

const COLUMNS: &str = "at, actor, key, key_name, origin, app_name, verb, line, exit_code, repeats, last_at";
/// Rows of older servers may hold a line as long as it was typed.
const SHOWN: &str = "at, actor, key, key_name, origin, app_name, verb, iif(length(line) > 1000, substr(line, 1, 500) || '…', line), exit_code, repeats, last_at, id";

fn row_of(r: &Row<'_>) -> rusqlite::Result<(AuditId, AuditRow)> {
    let row = AuditRow {
        at: Timestamp(r.get(0)?),
        actor: r.get(1)?,
        key: r.get(2)?,
        key_name: r.get(3)?,
        origin: r.get(4)?,
        app: r.get(5)?,
        verb: r.get(6)?,
        line: r.get(7)?,
        exit_code: r.get(8)?,
        repeats: r.get::<_, Option<i64>>(9)?.map(|n| n.try_into().unwrap_or(0)),
        last_at: r.get::<_, Option<i64>>(10)?.map(Timestamp),
    };
    Ok((columns::id(r, 11)?, row))
}

impl Tx<'_> {
    /// Writes a row; its id. It counts on the share of the user whose key it is, or who added the deploy key.
    pub fn add_audit(&self, row: &AuditRow, app: Option<&AppId>) -> Result<AuditId> {
        let sql = format!(
            "INSERT INTO audit ({COLUMNS}, app_id, person) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
             coalesce((SELECT user_id FROM keys WHERE fingerprint = ?3), (SELECT adder FROM deploy_keys WHERE fingerprint = ?3), 0))"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let app = app.map(AppId::as_str);
        let AuditRow { at, actor, key, key_name, origin, app: name, verb, line, exit_code, repeats, last_at } = row;
        let repeats = repeats.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let last_at = last_at.map(|at| at.0);
        statement
            .execute(params![at.0, actor, key, key_name, origin, name, verb, line, exit_code, repeats, last_at, app])?;
        Ok(AuditId(self.0.last_insert_rowid()))
    }

    /// Notes how the command ended, and the app that it made.
    pub fn end_audit(&self, id: AuditId, exit_code: u8, made: Option<&AppId>) -> Result<()> {
        let sql = "UPDATE audit SET exit_code = ?2, app_id = coalesce(app_id, ?3) WHERE id = ?1";
        self.0.prepare_cached(sql)?.execute(params![id.0, exit_code, made.map(AppId::as_str)])?;
        Ok(())
    }

    /// Completes a row that stands for several commands.
    pub fn end_counting(&self, id: AuditId, count: &Count) -> Result<()> {
        let sql = "UPDATE audit SET exit_code = ?2, repeats = ?3, last_at = ?4 WHERE id = ?1 AND repeats = 0";
        let times = i64::try_from(count.times).unwrap_or(i64::MAX);
        // None was counted: what it stood for has a row of its own after all, and it is closed like one that succeeded.
        let code = count.code.unwrap_or(0);
        self.0.prepare_cached(sql)?.execute(params![id.0, code, times, count.last.0])?;
        Ok(())
    }

    /// The newest rows that match, newest first, with their ids.
    pub fn audit(&self, filter: &AuditFilter) -> Result<Vec<(AuditId, AuditRow)>> {
        // Of one app by its index: most of the table may be of others.
        let which = if filter.app.is_some() { "app_id = ?1" } else { "?1 IS NULL" };
        let sql = format!(
            "SELECT {SHOWN} FROM audit WHERE {which} AND (?2 IS NULL OR actor = ?2)
             AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let since = filter.since.map(|t| t.0);
        let app = filter.app.as_ref().map(AppId::as_str);
        let rows =
            statement.query_map(params![app, filter.actor, since, filter.before.map(|id| id.0), filter.max], row_of)?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// Removes a batch of what need not be kept; how many rows went.
    pub fn trim_audit(&self, keep: Keep, now: Timestamp) -> Result<usize> {
        let ends: (Option<i64>, Option<i64>) =
            self.0.query_row("SELECT min(id), max(id) FROM audit", [], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let (Some(oldest), Some(newest)) = ends else { return Ok(0) };
        let young = "SELECT id FROM audit WHERE at >= ?1 ORDER BY id LIMIT 1";
        let first_young =
            self.0.query_row(young, [audit::oldest_kept(keep, now).0], |row| columns::id(row, 0)).optional()?;
        if let Some(floor) = audit::floor(Rows { oldest: AuditId(oldest), newest: AuditId(newest), first_young }) {
            self.set_meta("audit-floor", &floor.to_string())?;
            return Ok(self.execute("DELETE FROM audit WHERE id < ?1", [floor.0])?);
        }
        // Ids only grow, so there cannot be more rows than this; counting them takes a while.
        if newest - oldest < i64::try_from(keep.rows).unwrap_or(i64::MAX) {
            return Ok(0);
        }
        let mut statement = self.0.prepare_cached("SELECT person, count(*) FROM audit GROUP BY person")?;
        let counts = statement
            .query_map([], |r| Ok((r.get(0)?, r.get::<_, i64>(1)?.try_into().unwrap_or(0))))?
            .collect::<rusqlite::Result<BTreeMap<i64, u64>>>()?;
        let mut gone = 0;
        for (person, rows) in audit::surplus(keep, &counts) {
            let sql = "SELECT id FROM audit WHERE person = ?1 ORDER BY id LIMIT 1 OFFSET ?2";
            let floor: i64 =
                self.0.query_row(sql, [person, rows], |r| r.get(0)).optional()?.unwrap_or(newest.saturating_add(1));
            let sql = "INSERT INTO audit_floors VALUES (?1, ?2) ON CONFLICT (person) DO UPDATE SET floor = ?2";
            self.execute(sql, [person, floor])?;
            gone += self.execute("DELETE FROM audit WHERE person = ?1 AND id < ?2", [person, floor])?;
        }
        Ok(gone)
    }
}
