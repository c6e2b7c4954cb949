//! Audit rows: every command, who, with which key, from where, how it ended. Never a secret.
//!
//! Invariant (triggers of the schema): a row is added, completed once, and removed only by retention.

use super::Tx;
use crate::fault::Result;
use domain::audit::{self, Keep, Rows};
use domain::{AppId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

/// One command.
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
    /// At most so many, the newest.
    pub max: u32,
}

const COLUMNS: &str = "at, actor, key, key_name, origin, app_name, verb, line, exit_code";

fn row_of(r: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        at: Timestamp(r.get(0)?),
        actor: r.get(1)?,
        key: r.get(2)?,
        key_name: r.get(3)?,
        origin: r.get(4)?,
        app: r.get(5)?,
        verb: r.get(6)?,
        line: r.get(7)?,
        exit_code: r.get(8)?,
    })
}

impl Tx<'_> {
    /// Writes a row; its id.
    pub fn add_audit(&self, row: &AuditRow, app: Option<&AppId>) -> Result<i64> {
        let sql = format!("INSERT INTO audit ({COLUMNS}, app_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
        let mut statement = self.0.prepare_cached(&sql)?;
        let app = app.map(AppId::as_str);
        let AuditRow { at, actor, key, key_name, origin, app: name, verb, line, exit_code } = row;
        statement.execute(params![at.0, actor, key, key_name, origin, name, verb, line, exit_code, app])?;
        Ok(self.0.last_insert_rowid())
    }

    /// Notes how the command ended, and the app that it made.
    pub fn end_audit(&self, id: i64, exit_code: u8, made: Option<&AppId>) -> Result<()> {
        let sql = "UPDATE audit SET exit_code = ?2, app_id = coalesce(app_id, ?3) WHERE id = ?1";
        self.0.prepare_cached(sql)?.execute(params![id, exit_code, made.map(AppId::as_str)])?;
        Ok(())
    }

    /// The newest rows that match, newest first.
    pub fn audit(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE (?1 IS NULL OR app_id = ?1) AND (?2 IS NULL OR actor = ?2)
             AND (?3 IS NULL OR at >= ?3) ORDER BY id DESC LIMIT ?4"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        let since = filter.since.map(|t| t.0);
        let rows = statement
            .query_map(params![filter.app.as_ref().map(AppId::as_str), filter.actor, since, filter.max], row_of)?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// Removes a batch of what need not be kept; how many rows went.
    pub fn trim_audit(&self, keep: Keep, now: Timestamp) -> Result<usize> {
        let ends: (Option<i64>, Option<i64>) =
            self.0.query_row("SELECT min(id), max(id) FROM audit", [], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let (Some(oldest), Some(newest)) = ends else { return Ok(0) };
        let young = "SELECT id FROM audit WHERE at >= ?1 ORDER BY id LIMIT 1";
        let first_young = self.0.query_row(young, [audit::oldest_kept(keep, now).0], |row| row.get(0)).optional()?;
        let Some(floor) = audit::floor(keep, Rows { oldest, newest, first_young }) else { return Ok(0) };
        self.set_meta("audit-floor", &floor.to_string())?;
        Ok(self.0.execute("DELETE FROM audit WHERE id < ?1", [floor])?)
    }
}
