//! The tables, as migrations in order. A migration is never edited once it has shipped; a new one is added.

use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use system::fault::Fault;

/// One step each; `user_version` counts those that ran.
pub(super) const MIGRATIONS: &[&str] = &[
    FIRST,
    TEAM,
    RUNS,
    DOMAINS,
    STACK_AND_ROOT,
    DOCKERFILES,
    QUOTAS,
    GIVEN_BY,
    AUDIT_SHARES,
    HIDDEN_VARS,
    APP_SETTINGS,
    EVENTS,
];

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

/// Deploy keys; where audit rows came from, and that they are only added to. A row is completed once, and goes only below
/// the floor that retention has set.
const TEAM: &str = "
CREATE TABLE deploy_keys (fingerprint TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
  name TEXT NOT NULL, public TEXT NOT NULL, added_by TEXT NOT NULL, created INTEGER NOT NULL, UNIQUE (app_id, name)) STRICT;
ALTER TABLE audit ADD COLUMN key_name TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN origin TEXT NOT NULL DEFAULT '';
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
WHEN NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor <> OLD.actor OR NEW.key <> OLD.key OR NEW.key_name <> OLD.key_name
  OR NEW.origin <> OLD.origin OR (OLD.app_id IS NOT NULL AND NEW.app_id IS NOT OLD.app_id) OR NEW.app_name IS NOT OLD.app_name OR NEW.verb <> OLD.verb
  OR NEW.line <> OLD.line OR OLD.exit_code IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'audit rows are only added'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
WHEN OLD.id >= coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'audit-floor'), 0)
BEGIN SELECT RAISE(ABORT, 'audit rows are only added'); END;
";

const RUNS: &str = "
CREATE TABLE runs (id INTEGER PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE, number INTEGER NOT NULL,
  release INTEGER NOT NULL, command TEXT NOT NULL, actor TEXT NOT NULL, detached INTEGER NOT NULL, memory INTEGER NOT NULL,
  begun INTEGER NOT NULL, deadline INTEGER NOT NULL, ended INTEGER, code INTEGER, why TEXT NOT NULL DEFAULT '',
  UNIQUE (app_id, number)) STRICT;
ALTER TABLE apps ADD COLUMN enter INTEGER NOT NULL DEFAULT 1;
";

/// Names of apps' own, names they had, names let go of; maintenance; whether an instance got `PORT`.
const DOMAINS: &str = "
CREATE TABLE domains (host TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
  process TEXT NOT NULL, reversed TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
CREATE INDEX domains_app ON domains (app_id, process);
CREATE INDEX domains_reversed ON domains (reversed);
CREATE TABLE freed_domains (host TEXT PRIMARY KEY, owner INTEGER, freed INTEGER NOT NULL) STRICT;
CREATE TABLE old_names (name TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps(id) ON DELETE CASCADE, since INTEGER NOT NULL) STRICT;
CREATE TABLE maintenance (app_id TEXT PRIMARY KEY REFERENCES apps(id) ON DELETE CASCADE, since INTEGER NOT NULL, page TEXT) STRICT;
ALTER TABLE instances ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
UPDATE instances SET served = 1 WHERE process = 'web';
";

/// The stack that an app is built and run on, and the folder of its repository that is the app.
const STACK_AND_ROOT: &str = "
ALTER TABLE apps ADD COLUMN stack TEXT;
ALTER TABLE apps ADD COLUMN root TEXT;
";

/// How an app's Dockerfile is built, how its image is started, what nobody can guess of its images' names; who the server is
/// at registries.
const DOCKERFILES: &str = "
ALTER TABLE apps ADD COLUMN build_settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE apps ADD COLUMN image_key TEXT NOT NULL DEFAULT '';
UPDATE apps SET image_key = lower(hex(randomblob(8)));
ALTER TABLE builds ADD COLUMN launch TEXT;
CREATE TABLE registries (host TEXT PRIMARY KEY, username TEXT NOT NULL, password TEXT NOT NULL, created INTEGER NOT NULL) STRICT;
";

/// What administrators gave to single users. Networks apart from apps: an app takes one when it first runs. `apps.subnet`,
/// which was it, means nothing any more; its rule that no two are the same cannot be taken away.
const QUOTAS: &str = "
CREATE TABLE quotas (user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE, what TEXT NOT NULL, most INTEGER,
  set_by TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (user_id, what)) STRICT;
CREATE TABLE networks (number INTEGER PRIMARY KEY, app_id TEXT UNIQUE REFERENCES apps(id) ON DELETE SET NULL, freed INTEGER) STRICT;
INSERT INTO networks (number, app_id) SELECT subnet, id FROM apps
  WHERE current_release IS NOT NULL OR id IN (SELECT app_id FROM instances);
CREATE INDEX apps_owner ON apps (owner);
";

/// Who gave a right: what somebody added or shared is found when their own right ends, and a deploy key goes with the user
/// who added it. Which key a one-off instance was asked for with, so that it ends with that key's right.
const GIVEN_BY: &str = "
ALTER TABLE deploy_keys ADD COLUMN adder INTEGER REFERENCES users(id) ON DELETE CASCADE;
UPDATE deploy_keys SET adder = (SELECT id FROM users WHERE name = added_by);
CREATE INDEX deploy_keys_adder ON deploy_keys (adder);
ALTER TABLE shares ADD COLUMN given_by INTEGER REFERENCES users(id) ON DELETE SET NULL;
ALTER TABLE keys ADD COLUMN added_by INTEGER REFERENCES users(id) ON DELETE SET NULL;
ALTER TABLE users ADD COLUMN added_by INTEGER REFERENCES users(id) ON DELETE SET NULL;
ALTER TABLE runs ADD COLUMN key TEXT NOT NULL DEFAULT '';
";

/// Whose share of the kept audit rows a row is of (the user, or the one who added the deploy key; 0: root), and rows that stand
/// for several commands. They are completed once like all others. A row may go below the floor of its time or of its person.
const AUDIT_SHARES: &str = "
DROP TRIGGER audit_is_not_changed;
DROP TRIGGER audit_is_not_removed;
ALTER TABLE audit ADD COLUMN person INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN repeats INTEGER;
ALTER TABLE audit ADD COLUMN last_at INTEGER;
UPDATE audit SET person = coalesce((SELECT id FROM users WHERE name = actor), (SELECT adder FROM deploy_keys WHERE fingerprint = key), 0);
CREATE INDEX audit_person ON audit (person, id);
CREATE TABLE audit_floors (person INTEGER PRIMARY KEY, floor INTEGER NOT NULL) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
WHEN NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor <> OLD.actor OR NEW.key <> OLD.key OR NEW.key_name <> OLD.key_name
  OR NEW.origin <> OLD.origin OR (OLD.app_id IS NOT NULL AND NEW.app_id IS NOT OLD.app_id) OR NEW.app_name IS NOT OLD.app_name OR NEW.verb <> OLD.verb
  OR NEW.line <> OLD.line OR NEW.person <> OLD.person OR OLD.exit_code IS NOT NULL OR (OLD.repeats IS NULL AND NEW.repeats IS NOT NULL)
  OR (NEW.exit_code IS NULL AND (NEW.repeats IS NOT OLD.repeats OR NEW.last_at IS NOT OLD.last_at))
BEGIN SELECT RAISE(ABORT, 'audit rows are only added'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit
WHEN OLD.id >= max(coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'audit-floor'), 0),
                   coalesce((SELECT floor FROM audit_floors WHERE person = OLD.person), 0))
BEGIN SELECT RAISE(ABORT, 'audit rows are only added'); END;
";

/// Config vars that are never shown again. Their values, like all secret values, are sealed from this version on: not by these
/// lines, but at the first start with a key (`sealed::settle`).
const HIDDEN_VARS: &str = "
ALTER TABLE configs ADD COLUMN hidden TEXT NOT NULL DEFAULT '{}';
";

/// An app's settings in one place, so that another one is no column and no migration.
const APP_SETTINGS: &str = "
ALTER TABLE apps ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
UPDATE apps SET settings = json_object('deploy_branch', deploy_branch, 'buildpack', buildpack, 'stack', stack, 'root', root,
  'enter', json(CASE enter WHEN 0 THEN 'false' ELSE 'true' END), 'build', json(build_settings));
ALTER TABLE apps DROP COLUMN deploy_branch;
ALTER TABLE apps DROP COLUMN buildpack;
ALTER TABLE apps DROP COLUMN stack;
ALTER TABLE apps DROP COLUMN root;
ALTER TABLE apps DROP COLUMN enter;
ALTER TABLE apps DROP COLUMN build_settings;
";

/// What happened, in order, and how far each reader has told it. The log's reader begins with the first. A row outlives its app.
const EVENTS: &str = "
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, app_id TEXT, app_name TEXT, kind TEXT NOT NULL,
  data TEXT NOT NULL) STRICT;
CREATE INDEX events_app ON events (app_id, seq);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
CREATE TABLE event_readers (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
INSERT INTO event_readers VALUES ('log', 0);
";

/// Brings the database to the newest version.
pub fn migrate(conn: &mut Connection, path: &Path) -> Result<(), Fault> {
    migrate_to(conn, path, MIGRATIONS.len())
}

/// How many migrations there were before quotas.
#[cfg(test)]
pub fn before_quotas() -> usize {
    MIGRATIONS.iter().position(|sql| *sql == QUOTAS).unwrap_or_default()
}

/// Brings it to the version after `steps` migrations.
pub(super) fn migrate_to(conn: &mut Connection, path: &Path, steps: usize) -> Result<(), Fault> {
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
    for (n, sql) in MIGRATIONS.iter().enumerate().take(steps).skip(version) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        tx.execute_batch(sql).map_err(fail)?;
        tx.pragma_update(None, "user_version", n as u32 + 1).map_err(fail)?;
        tx.commit().map_err(fail)?;
    }
    Ok(())
}
