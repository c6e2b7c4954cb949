//! Audit rows: every command, who, from which key, how it ended. Never a secret.

use super::Tx;
use crate::fault::Result;
use domain::{AppId, Timestamp};
use rusqlite::params;
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
    /// The app's name at that time.
    pub app: Option<String>,
    /// The command's name.
    pub verb: String,
    /// The command with secrets left out.
    pub line: String,
    /// How it ended; `None` while it runs or if the server died.
    pub exit_code: Option<u8>,
}

impl Tx<'_> {
    /// Writes the row before the command runs; its id.
    pub fn add_audit(&self, row: &AuditRow, app: Option<&AppId>) -> Result<i64> {
        let sql = "INSERT INTO audit (at, actor, key, app_id, app_name, verb, line, exit_code) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let app = app.map(AppId::as_str);
        self.0.execute(sql, params![row.at.0, row.actor, row.key, app, row.app, row.verb, row.line, row.exit_code])?;
        Ok(self.0.last_insert_rowid())
    }

    /// Notes how the command ended.
    pub fn end_audit(&self, id: i64, exit_code: u8) -> Result<()> {
        self.0.execute("UPDATE audit SET exit_code = ?2 WHERE id = ?1", params![id, exit_code])?;
        Ok(())
    }

    /// The newest rows, newest first; of one app, or of all.
    pub fn audit(&self, app: Option<&AppId>, max: u32) -> Result<Vec<AuditRow>> {
        let sql = "SELECT at, actor, key, app_name, verb, line, exit_code FROM audit
                   WHERE ?1 IS NULL OR app_id = ?1 ORDER BY id DESC LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params![app.map(AppId::as_str), max], |r| {
            Ok(AuditRow {
                at: Timestamp(r.get(0)?),
                actor: r.get(1)?,
                key: r.get(2)?,
                app: r.get(3)?,
                verb: r.get(4)?,
                line: r.get(5)?,
                exit_code: r.get(6)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
    }
}
