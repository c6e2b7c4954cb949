//! Which app has which of the installation's networks. A number is taken when an app first runs and is free again when the
//! app is destroyed.

use crate::tx::{Result, Tx};
use domain::{AppId, Timestamp};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};
use system::fault::Fault;

/// Numbers of networks that apps have, and when those that none has any more were freed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// In use.
    pub used: BTreeSet<u16>,
    /// Freed at.
    pub freed: BTreeMap<u16, Timestamp>,
}

impl Tx<'_> {
    /// All numbers that are or were an app's.
    pub fn networks(&self) -> Result<Networks> {
        let mut statement = self.0.prepare_cached("SELECT number, app_id IS NULL, coalesce(freed, 0) FROM networks")?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(u16, bool, i64)>>>()?;
        let mut networks = Networks::default();
        for (number, free, at) in rows {
            if free {
                networks.freed.insert(number, Timestamp(at));
            } else {
                networks.used.insert(number);
            }
        }
        Ok(networks)
    }

    /// Gives a number that is free to an app, which lets go of the one it had.
    pub fn take_network(&self, app: &AppId, number: u16, now: Timestamp) -> Result<()> {
        self.free_network(app, now)?;
        let sql = "INSERT INTO networks (number, app_id) VALUES (?1, ?2)
                   ON CONFLICT (number) DO UPDATE SET app_id = ?2, freed = NULL WHERE app_id IS NULL";
        match self.execute(sql, params![number, app.as_str()])? {
            1 => Ok(()),
            _ => Err(Fault::plain(format!("network {number} is another app's")).into()),
        }
    }

    /// Frees the number of an app, if it has one.
    pub(crate) fn free_network(&self, app: &AppId, now: Timestamp) -> Result<()> {
        let sql = "UPDATE networks SET app_id = NULL, freed = ?2 WHERE app_id = ?1";
        self.execute(sql, params![app.as_str(), now.0])?;
        Ok(())
    }
}
