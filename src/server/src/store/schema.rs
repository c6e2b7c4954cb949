//! The tables, as migrations in order. A migration is never edited once it has shipped; a new one is added.

use crate::fault::Fault;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// One step each; `user_version` counts those that ran.
const MIGRATIONS: [&str; 2] = [FIRST, DOCKERFILES];

const DOCKERFILES: &str = "
ALTER TABLE apps ADD COLUMN build_settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE builds ADD COLUMN launch TEXT;
CREATE TABLE registries (host TEXT PRIMARY KEY, username TEXT NOT NULL, password TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
";

const FIRST: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE TABLE keys (fingerprint TEXT PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  name TEXT NOT NULL, public TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE TABLE apps (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner INTEGER REFERENCES users(id) ON DELETE SET NULL,
  created INTEGER NOT NULL, deploy_branch TEXT, buildpack TEXT, subnet INTEGER NOT NULL UNIQUE, stopped INTEGER NOT NULL DEFAULT 0,
  config_version INTEGER NOT NULL DEFAULT 0, current_release INTEGER, current_set INTEGER, pins TEXT NOT NULL DEFAULT '{}') STRICT;
CREATE TABLE shares (app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, PRIMARY KEY (app_id, user_id)) STRICT;
CREATE TABLE configs (app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE, version INTEGER NOT NULL,
  vars TEXT NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (app_id, version)) STRICT;
CREATE TABLE formations (app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE, process TEXT NOT NULL,
  quantity INTEGER NOT NULL, PRIMARY KEY (app_id, process)) STRICT;
CREATE TABLE builds (id INTEGER PRIMARY KEY AUTOINCREMENT, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
  commit_id TEXT NOT NULL, status TEXT NOT NULL, language TEXT NOT NULL DEFAULT '', image TEXT, digest TEXT,
  processes TEXT NOT NULL DEFAULT '{}', why TEXT, actor TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER, deploy_id INTEGER NOT NULL UNIQUE) STRICT;
CREATE TABLE releases (app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE, number INTEGER NOT NULL,
  build_id INTEGER NOT NULL REFERENCES builds(id), config_version INTEGER NOT NULL, description TEXT NOT NULL,
  status TEXT NOT NULL, actor TEXT NOT NULL, created INTEGER NOT NULL, deploy_id INTEGER NOT NULL UNIQUE, PRIMARY KEY (app_id, number)) STRICT;
CREATE TABLE deploys (id INTEGER PRIMARY KEY AUTOINCREMENT, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
  kind TEXT NOT NULL, ask TEXT NOT NULL, state TEXT NOT NULL, over INTEGER NOT NULL DEFAULT 0, actor TEXT NOT NULL,
  created INTEGER NOT NULL, ended INTEGER, owner TEXT NOT NULL, fence INTEGER NOT NULL) STRICT;
CREATE INDEX deploys_open ON deploys (over, id);
CREATE TABLE deploy_steps (deploy_id INTEGER NOT NULL REFERENCES deploys(id) ON DELETE CASCADE, seq INTEGER NOT NULL,
  effect TEXT NOT NULL, begun INTEGER NOT NULL, ended INTEGER, outcome TEXT, PRIMARY KEY (deploy_id, seq)) STRICT;
CREATE TABLE instances (id INTEGER PRIMARY KEY AUTOINCREMENT, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
  release INTEGER NOT NULL, process TEXT NOT NULL, ordinal INTEGER NOT NULL, set_id INTEGER NOT NULL, address TEXT NOT NULL UNIQUE,
  desire TEXT NOT NULL, ready INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, ended INTEGER,
  created INTEGER NOT NULL, started INTEGER NOT NULL) STRICT;
CREATE INDEX instances_app ON instances (app_id, set_id);
CREATE TABLE freed_addresses (address TEXT PRIMARY KEY, app_id TEXT NOT NULL, freed INTEGER NOT NULL) STRICT;
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, key TEXT NOT NULL,
  app_id TEXT, app_name TEXT, verb TEXT NOT NULL, line TEXT NOT NULL, exit_code INTEGER) STRICT;
CREATE INDEX audit_app ON audit (app_id, id);
";

/// Brings the database to the newest version.
pub fn migrate(conn: &mut Connection, path: &Path) -> Result<(), Fault> {
    let fail = |err: rusqlite::Error| Fault::new(format!("cannot migrate {}", path.display()), err);
    let version: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?;
    let version = version as usize;
    if version > MIGRATIONS.len() {
        return Err(Fault::plain(format!(
            "{} was written by a newer Hoist (version {version}, this one knows {}); it was left as it is. Start the newer Hoist",
            path.display(),
            MIGRATIONS.len()
        )));
    }
    for (n, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        tx.execute_batch(sql).map_err(fail)?;
        tx.pragma_update(None, "user_version", n as u32 + 1).map_err(fail)?;
        tx.commit().map_err(fail)?;
    }
    Ok(())
}
