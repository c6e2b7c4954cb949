//! Every value that is sealed, in whatever table: sealed at the first start with a key, sealed anew by a rotation.
//!
//! Order of a rotation, each step may be the last before a crash and is done again at the next start: the new key goes into
//! the file beside the old; rows are sealed with it, in several transactions; what is left of old rows in free pages and in
//! the write-ahead log is wiped; the old key leaves the file.

use super::cipher::{Cipher, Key, config_place, deploy_place, mark, registry_place};
use super::keyfile;
use crate::tx::{Result, Tx};
use domain::config::ConfigVars;
use domain::ids::{ConfigVersion, DeployId};
use domain::{AppId, Secret};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::cell::Cell;
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use system::fault::Fault;

/// The ids of the keys that rows were sealed with; there from the first start with a key on.
const KEYS: &str = "secret-keys";
/// What was in rows may still lie about in the file.
const WIPE: &str = "secret-wipe";
/// Rows sealed anew in one transaction.
const BATCH: u32 = 50;

impl Tx<'_> {
    /// Seals every value of a set for its place.
    pub(super) fn seal_all(&self, vars: &ConfigVars, place: impl Fn(&str) -> String) -> Result<ConfigVars> {
        let seal = |(name, value): (&domain::VarName, &Secret<String>)| {
            Ok((name.clone(), Secret::new(self.1.seal(&place(name.as_str()), value.reveal())?)))
        };
        vars.iter().map(seal).collect()
    }

    /// Opens every value of a set.
    pub(super) fn open_all(&self, sealed: &ConfigVars, place: impl Fn(&str) -> String) -> Result<ConfigVars> {
        let open = |(name, value): (&domain::VarName, &Secret<String>)| {
            Ok((name.clone(), Secret::new(self.1.open(&place(name.as_str()), value.reveal())?)))
        };
        sealed.iter().map(open).collect()
    }

    /// Seals what lies in clear (`old`: none), or what this key sealed; at most a batch of each table. How many rows.
    fn seal_rows(&self, old: Option<&Key>) -> Result<usize> {
        let found = old.map(mark).unwrap_or_default();
        let limit = if old.is_some() { BATCH } else { u32::MAX };
        let open = |place: &str, value: &str| match old {
            Some(_) => self.1.open(place, value),
            None => Ok(value.to_owned()),
        };
        let again = |vars: &ConfigVars, place: &dyn Fn(&str) -> String| -> Result<ConfigVars> {
            let one = |(name, value): (&domain::VarName, &Secret<String>)| {
                let place = place(name.as_str());
                Ok((name.clone(), Secret::new(self.1.seal(&place, &open(&place, value.reveal())?)?)))
            };
            vars.iter().map(one).collect()
        };
        let mut done = 0;
        let sql = "SELECT app_id, version, vars FROM configs WHERE ?1 = '' OR instr(vars, ?1) > 0 LIMIT ?2";
        let rows = self
            .0
            .prepare(sql)?
            .query_map(params![found, limit], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(String, i64, String)>>>()?;
        for (app, version, vars) in rows {
            let id: AppId = app.parse()?;
            let vars: ConfigVars = serde_json::from_str(&vars)?;
            let vars = serde_json::to_string(&again(&vars, &|name| config_place(&id, ConfigVersion(version), name))?)?;
            let sql = "UPDATE configs SET vars = ?3 WHERE app_id = ?1 AND version = ?2";
            done += self.0.execute(sql, params![app, version, vars])?;
        }
        let sql = "SELECT id, ask FROM deploys WHERE ?1 = '' OR instr(ask, ?1) > 0 LIMIT ?2";
        let rows = self
            .0
            .prepare(sql)?
            .query_map(params![found, limit], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
        for (id, ask) in rows {
            let mut ask: crate::deploys::Ask = serde_json::from_str(&ask)?;
            if ask.config.set.is_empty() {
                continue;
            }
            ask.config.set = again(&ask.config.set, &|name| deploy_place(DeployId(id), name))?;
            let ask = serde_json::to_string(&ask)?;
            done += self.0.execute("UPDATE deploys SET ask = ?2 WHERE id = ?1", params![id, ask])?;
        }
        let sql = "SELECT host, password FROM registries WHERE ?1 = '' OR instr(password, ?1) > 0 LIMIT ?2";
        let rows = self
            .0
            .prepare(sql)?
            .query_map(params![found, limit], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
        for (host, password) in rows {
            let place = registry_place(&host);
            let password = self.1.seal(&place, &open(&place, &password)?)?;
            let sql = "UPDATE registries SET password = ?2 WHERE host = ?1";
            done += self.0.execute(sql, params![host, password])?;
        }
        Ok(done)
    }
}

/// The ids of the keys that a database's rows were sealed with, read without writing; none before the first start with a key.
pub(super) fn keys_in(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let there = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'meta'";
    if conn.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(Vec::new());
    }
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let text: Option<String> = conn.query_row(sql, [KEYS], |row| row.get(0)).optional()?;
    Ok(text.into_iter().flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>()).collect())
}

/// At a start: seals what an older Hoist left in clear, goes on with a rotation, wipes.
pub(super) fn settle(conn: &mut Connection, path: &Path, cipher: Cipher) -> Result<Cipher> {
    if keys_in(conn)?.is_empty() {
        write(conn, &cipher, |tx| {
            let sealed = tx.seal_rows(None)?;
            tx.set_meta(KEYS, cipher.first.id())?;
            if sealed > 0 {
                tracing::info!("{sealed} rows with secret values were in clear and are sealed now");
                tx.set_meta(WIPE, "due")?;
            }
            Ok(())
        })?;
    }
    if !cipher.older.is_empty() {
        tracing::info!("a rotation of the key of secret values goes on");
        seal_anew(conn, &cipher)?;
    }
    let due = write(conn, &cipher, |tx| tx.meta(WIPE))?.is_some();
    if due || !cipher.older.is_empty() {
        wipe(conn, &cipher)?;
    }
    if cipher.older.is_empty() {
        return Ok(cipher);
    }
    let cipher = Cipher::of(cipher.first);
    keyfile::write(&keyfile::beside(path), &cipher)?;
    Ok(cipher)
}

/// Replaces the key. `shared`: the keys of all transactions. The old and the new key's id, and how many rows were sealed anew.
pub(super) fn rotate(conn: &mut Connection, path: &Path, shared: &RwLock<Cipher>) -> Result<(String, String, usize)> {
    let old = shared.read().unwrap_or_else(PoisonError::into_inner).clone();
    let older = old.keys().cloned().collect();
    let cipher = Cipher { first: Key::random()?, older };
    let file = keyfile::beside(path);
    keyfile::write(&file, &cipher)?;
    *shared.write().unwrap_or_else(PoisonError::into_inner) = cipher.clone();
    let rows = seal_anew(conn, &cipher)?;
    wipe(conn, &cipher)?;
    let only = Cipher::of(cipher.first);
    keyfile::write(&file, &only)?;
    let new = only.first.id().to_owned();
    *shared.write().unwrap_or_else(PoisonError::into_inner) = only;
    Ok((old.first.id().to_owned(), new, rows))
}

/// Removes all sealed values and puts the key file, if there is one, aside.
pub(super) fn forget(conn: &mut Connection, path: &Path) -> Result<usize> {
    let rows = conn.execute("UPDATE configs SET vars = '{}' WHERE vars <> '{}'", [])?
        + conn.execute(
            "UPDATE deploys SET ask = json_set(ask, '$.config.set', json('{}')) WHERE instr(ask, '\"s1.') > 0",
            [],
        )?
        + conn.execute("DELETE FROM registries", [])?;
    conn.execute("UPDATE configs SET hidden = '{}'", [])?;
    conn.execute("DELETE FROM meta WHERE key IN (?1, ?2)", [KEYS, WIPE])?;
    conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
    let file = keyfile::beside(path);
    if file.exists() {
        std::fs::rename(&file, file.with_extension("key.forgotten"))
            .map_err(|err| Fault::new(format!("cannot move {}", file.display()), err))?;
    }
    Ok(rows)
}

/// Seals all rows with the first key; afterwards they need no other.
fn seal_anew(conn: &mut Connection, cipher: &Cipher) -> Result<usize> {
    let all: Vec<&str> = cipher.keys().map(Key::id).collect();
    write(conn, cipher, |tx| {
        tx.set_meta(WIPE, "due")?;
        tx.set_meta(KEYS, &all.join(","))
    })?;
    let mut rows = 0;
    for old in &cipher.older {
        loop {
            match write(conn, cipher, |tx| tx.seal_rows(Some(old)))? {
                0 => break,
                done => rows += done,
            }
        }
    }
    write(conn, cipher, |tx| tx.set_meta(KEYS, cipher.first.id()))?;
    Ok(rows)
}

/// Writes the whole file anew and empties the write-ahead log: nothing that was in a row before is left in either.
fn wipe(conn: &mut Connection, cipher: &Cipher) -> Result<()> {
    conn.execute_batch("VACUUM")?;
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(Fault::plain("cannot empty the database's log: somebody reads it; try again").transient().into());
    }
    write(conn, cipher, |tx| Ok(tx.0.execute("DELETE FROM meta WHERE key = ?1", [WIPE]).map(drop)?))
}

fn write<T>(conn: &mut Connection, cipher: &Cipher, work: impl FnOnce(&Tx) -> Result<T>) -> Result<T> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&Tx(&tx, cipher, &Cell::new(false)))?;
    tx.commit()?;
    Ok(done)
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
