//! Instances: what should run, where, and how it has fared.

use super::{Word, columns};
use crate::tx::{Result, Tx};
use domain::backoff;
use domain::event::{Crash, Event};
use domain::ids::SetId;
use domain::instance::Label;
use domain::reconcile::Desire;
use domain::{AppId, InstanceId, ProcessType, ReleaseNumber, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// An instance's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its id; names in the engine are made from it.
    pub id: InstanceId,
    /// The app.
    pub app: AppId,
    /// The release it runs.
    pub release: ReleaseNumber,
    /// Its process type.
    pub process: ProcessType,
    /// 1, 2, … within its type and set.
    pub ordinal: u32,
    /// The deploy that started its set.
    pub set: SetId,
    /// Its address.
    pub address: Ipv4Addr,
    /// What is wanted.
    pub desire: Desire,
    /// Whether it may take requests.
    pub ready: bool,
    /// Crashes in a row.
    pub crashes: u32,
    /// When it last ended; cleared when it runs again.
    pub ended: Option<Timestamp>,
    /// When it was last started.
    pub started: Timestamp,
    /// Whether it got `PORT`, must open it, and may take requests.
    pub served: bool,
}

impl InstanceRow {
    /// `web.1`.
    pub fn label(&self) -> String {
        self.name().to_string()
    }

    /// The same, as events have it.
    pub fn name(&self) -> Label {
        Label { process: self.process.clone(), ordinal: self.ordinal }
    }
}

/// Addresses of one app that are in use, and when those that are not were freed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// In use.
    pub used: BTreeSet<Ipv4Addr>,
    /// Freed at.
    pub freed: BTreeMap<Ipv4Addr, Timestamp>,
}

/// An instance to allocate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    /// The release.
    pub release: ReleaseNumber,
    /// Process type.
    pub process: ProcessType,
    /// Number within its type.
    pub ordinal: u32,
    /// The set.
    pub set: SetId,
    /// What is wanted of it at first.
    pub desire: Desire,
    /// Whether it gets `PORT`.
    pub served: bool,
}

const COLUMNS: &str =
    "id, app_id, release, process, ordinal, set_id, address, desire, ready, crashes, ended, started, served";

impl Word for Desire {
    const ALL: &'static [Desire] = &[Desire::Booting, Desire::Up, Desire::Retiring, Desire::Once];

    fn word(self) -> &'static str {
        match self {
            Desire::Booting => "booting",
            Desire::Up => "up",
            Desire::Retiring => "retiring",
            Desire::Once => "once",
        }
    }
}

fn instance(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    Ok(InstanceRow {
        id: InstanceId(row.get(0)?),
        app: columns::parsed(row, 1)?,
        release: ReleaseNumber(row.get(2)?),
        process: columns::parsed(row, 3)?,
        ordinal: row.get(4)?,
        set: columns::id(row, 5)?,
        address: columns::parsed(row, 6)?,
        desire: columns::word(row, 7)?,
        ready: row.get(8)?,
        crashes: row.get(9)?,
        ended: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        started: Timestamp(row.get(11)?),
        served: row.get(12)?,
    })
}

impl Tx<'_> {
    /// Allocates an instance at an address that the caller chose from [`Tx::addresses_of`].
    pub fn add_instance(
        &self,
        app: &AppId,
        new: &NewInstance,
        address: Ipv4Addr,
        now: Timestamp,
    ) -> Result<InstanceRow> {
        self.execute("DELETE FROM freed_addresses WHERE address = ?1", [address.to_string()])?;
        let sql = "INSERT INTO instances (app_id, release, process, ordinal, set_id, address, desire, created, started, served)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)";
        let desire = new.desire.word();
        self.execute(
            sql,
            params![
                app.as_str(),
                new.release.0,
                new.process.as_str(),
                new.ordinal,
                new.set.0,
                address.to_string(),
                desire,
                now.0,
                new.served
            ],
        )?;
        Ok(InstanceRow {
            id: InstanceId(self.0.last_insert_rowid()),
            app: app.clone(),
            release: new.release,
            process: new.process.clone(),
            ordinal: new.ordinal,
            set: new.set,
            address,
            desire: new.desire,
            ready: false,
            crashes: 0,
            ended: None,
            started: now,
            served: new.served,
        })
    }

    /// All instances, or those of one app, in order of process and number.
    pub fn instances(&self, app: Option<&AppId>) -> Result<Vec<InstanceRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM instances WHERE ?1 IS NULL OR app_id = ?1 ORDER BY app_id, process, ordinal, id"
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        Ok(statement.query_map([app.map(AppId::as_str)], instance)?.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// One instance.
    pub fn instance(&self, id: InstanceId) -> Result<Option<InstanceRow>> {
        let sql = format!("SELECT {COLUMNS} FROM instances WHERE id = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([id.0], instance).optional()?)
    }

    /// Changes what is wanted.
    pub fn set_desire(&self, id: InstanceId, desire: Desire) -> Result<()> {
        self.execute("UPDATE instances SET desire = ?2 WHERE id = ?1", params![id.0, desire.word()])?;
        Ok(())
    }

    /// Everything of the app but the set `keep` and one-off instances is retired.
    pub fn retire_others(&self, app: &AppId, keep: Option<SetId>) -> Result<usize> {
        let sql = "UPDATE instances SET desire = 'retiring' WHERE app_id = ?1 AND (?2 IS NULL OR set_id <> ?2) AND desire NOT IN ('retiring', 'once')";
        Ok(self.execute(sql, params![app.as_str(), keep.map(|id| id.0)])?)
    }

    /// The set of one deploy is retired.
    pub fn retire_set(&self, app: &AppId, set: SetId) -> Result<usize> {
        let sql = "UPDATE instances SET desire = 'retiring' WHERE app_id = ?1 AND set_id = ?2";
        Ok(self.execute(sql, params![app.as_str(), set.0])?)
    }

    /// Notes that it may take requests.
    pub fn note_up(&self, id: InstanceId, now: Timestamp) -> Result<()> {
        if self.execute("UPDATE instances SET ready = 1 WHERE id = ?1 AND ready = 0", [id.0])? > 0
            && let Some(row) = self.instance(id)?
        {
            let (instance, release) = (row.name(), row.release);
            self.happened(Some(&row.app), &Event::InstanceUp { instance, release }, now)?;
        }
        Ok(())
    }

    /// Notes that it may not take requests, and says what happened to it if that is news. Without an event it is a part of
    /// something else.
    pub fn note_down(&self, id: InstanceId, why: Option<&Event>, now: Timestamp) -> Result<()> {
        if self.execute("UPDATE instances SET ready = 0 WHERE id = ?1 AND ready = 1", [id.0])? > 0
            && let (Some(row), Some(event)) = (self.instance(id)?, why)
        {
            self.happened(Some(&row.app), event, now)?;
        }
        Ok(())
    }

    /// After a reboot nothing runs and nothing has crashed: every instance is on its way.
    pub fn forget_runs(&self) -> Result<()> {
        self.execute("UPDATE instances SET ready = 0, crashes = 0, ended = NULL WHERE desire = 'up'", [])?;
        Ok(())
    }

    /// Notes a crash: not ready, one more, at this time.
    pub fn note_crash(&self, id: InstanceId, crashes: u32, cause: Crash, now: Timestamp) -> Result<()> {
        let sql = "UPDATE instances SET ready = 0, crashes = ?2, ended = ?3 WHERE id = ?1 AND ended IS NULL";
        if self.execute(sql, params![id.0, crashes, now.0])? > 0
            && let Some(row) = self.instance(id)?
        {
            let (instance, release) = (row.name(), row.release);
            let again_ms = backoff::restart_delay_millis(crashes, 0);
            let event = Event::InstanceCrashed { instance, release, cause, crashes, again_ms };
            self.happened(Some(&row.app), &event, now)?;
        }
        Ok(())
    }

    /// Notes that it was started again.
    pub fn note_start(&self, id: InstanceId, now: Timestamp) -> Result<()> {
        self.execute("UPDATE instances SET ended = NULL, started = ?2 WHERE id = ?1", params![id.0, now.0])?;
        Ok(())
    }

    /// Removes an instance's row; its address rests from now on.
    pub fn remove_instance(&self, row: &InstanceRow, now: Timestamp) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO freed_addresses (address, app_id, freed) VALUES (?1, ?2, ?3)";
        self.execute(sql, params![row.address.to_string(), row.app.as_str(), now.0])?;
        self.execute("DELETE FROM instances WHERE id = ?1", [row.id.0])?;
        Ok(())
    }

    /// Addresses in use, and addresses freed with their times, of one app; freed ones of destroyed apps too, whose range
    /// may be this app's now.
    pub fn addresses_of(&self, app: &AppId) -> Result<Addresses> {
        let used: BTreeSet<Ipv4Addr> = self.instances(Some(app))?.into_iter().map(|i| i.address).collect();
        let sql = "SELECT address, freed FROM freed_addresses WHERE app_id = ?1 OR app_id NOT IN (SELECT id FROM apps)";
        let mut statement = self.0.prepare_cached(sql)?;
        let freed = statement
            .query_map([app.as_str()], |row| Ok((columns::parsed(row, 0)?, Timestamp(row.get(1)?))))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Addresses { used, freed })
    }
}
