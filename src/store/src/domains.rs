//! Domains of apps, names that apps had before, and who is in maintenance.

use super::{App, columns};
use crate::tx::{Result, Tx};
use domain::access::{AppRef, Principal, may_see};
use domain::domains::{self, AppDomain, Claim, Granted, Holder, Known, Related};
use domain::event::Event;
use domain::ids::UserId;
use domain::routing::Maintenance;
use domain::{AppId, AppName, Hostname, ProcessType, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};

/// The key of `meta` that holds a base domain set by hand.
const BASE: &str = "base-domain";

/// Who claims names for which app.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Who.
    pub who: Principal,
    /// The base domain of the configuration, in force where none is set.
    pub base: String,
    /// The server's own names.
    pub reserved: Vec<String>,
    /// Now.
    pub now: Timestamp,
}

fn domain_row(row: &Row<'_>) -> rusqlite::Result<(AppId, AppDomain)> {
    let domain = AppDomain { host: columns::parsed(row, 1)?, process: columns::parsed(row, 2)? };
    Ok((columns::parsed(row, 0)?, domain))
}

const COLUMNS: &str = "app_id, host, process";

impl Tx<'_> {
    /// Gives an app a name, if it may have it. One transaction: of two who claim a name, one gets it.
    pub fn claim_domain(&self, app: &App, domain: &AppDomain, by: &Claimant) -> Result<Granted> {
        let AppDomain { host, process } = domain;
        let known = self.known_of(app, host, by)?;
        let admin = by.who.is_admin();
        // As this transaction sees it: a change of the base domain looks at all names in one of its own.
        let base = self.base_domain()?.unwrap_or_else(|| by.base.clone());
        let claim = Claim { host, process, app: &app.name, base: &base, reserved: &by.reserved, admin };
        let granted = domains::judge(&claim, &known)?;
        let sql = "INSERT INTO domains (host, app_id, process, reversed, created) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (host) DO UPDATE SET process = ?3";
        let values = params![host.as_str(), app.id.as_str(), process.as_str(), host.reversed(), by.now.0];
        self.0.prepare_cached(sql)?.execute(values)?;
        self.0.prepare_cached("DELETE FROM freed_domains WHERE host = ?1")?.execute([host.as_str()])?;
        if granted != Granted::Already {
            let event = Event::DomainAdded { host: host.clone(), process: process.clone() };
            self.happened(Some(&app.id), &event, by.now)?;
        }
        Ok(granted)
    }

    fn known_of(&self, app: &App, host: &Hostname, by: &Claimant) -> Result<Known> {
        let holder = match self.domain(host)? {
            Some((id, row)) if id == app.id => Some(Holder::Same(row.process)),
            Some((id, _)) => self.related(&id, &by.who)?.map(Holder::Other),
            None => None,
        };
        let mut ids: BTreeSet<String> = BTreeSet::new();
        let mut at =
            self.0.prepare_cached("SELECT DISTINCT app_id FROM domains WHERE reversed = ?1 AND app_id <> ?2")?;
        for name in host.suffixes() {
            let rows = at.query_map([domain::hostname::reversed(name), app.id.to_string()], |row| row.get(0))?;
            ids.extend(rows.collect::<rusqlite::Result<Vec<String>>>()?);
        }
        // Below: `com.example.` to `com.example/`, the character behind the dot.
        let (low, high) = (format!("{}.", host.reversed()), format!("{}/", host.reversed()));
        let mut below = self.0.prepare_cached(
            "SELECT DISTINCT app_id FROM domains WHERE reversed > ?1 AND reversed < ?2 AND app_id <> ?3",
        )?;
        let rows = below.query_map([low.as_str(), high.as_str(), app.id.as_str()], |row| row.get(0))?;
        ids.extend(rows.collect::<rusqlite::Result<Vec<String>>>()?);
        let mut related = Vec::new();
        for id in ids {
            related.extend(self.related(&id.parse()?, &by.who)?);
        }
        // Names above and below one that was let go of are as near to it as to one that is held.
        let mut freed = self.0.prepare_cached(
            "SELECT owner, freed FROM freed_domains WHERE host = ?1 OR substr(?1, -length(host) - 1) = '.' || host
             OR substr(host, -length(?1) - 1) = '.' || ?1",
        )?;
        let rows = freed.query_map([host.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let freed = rows.collect::<rusqlite::Result<Vec<(Option<i64>, i64)>>>()?;
        let own = |owner: Option<UserId>| matches!(&by.who, Principal::User { id, .. } if owner == Some(*id));
        let held = freed.iter().any(|(owner, at)| domains::is_held(Timestamp(*at), by.now) && !own(owner.map(UserId)));
        Ok(Known { holder, related, held, count: self.domain_count(&app.id)? })
    }

    fn related(&self, id: &AppId, who: &Principal) -> Result<Option<Related>> {
        let Some(app) = self.app(id)? else { return Ok(None) };
        let theirs = may_see(who, &self.app_ref(&app)?);
        Ok(Some(Related { app: app.name, theirs }))
    }

    /// A name's row.
    pub fn domain(&self, host: &Hostname) -> Result<Option<(AppId, AppDomain)>> {
        let sql = format!("SELECT {COLUMNS} FROM domains WHERE host = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([host.as_str()], domain_row).optional()?)
    }

    /// The names of one app, the oldest first; at most `limit`.
    pub fn domains(&self, app: &AppId, limit: usize) -> Result<Vec<AppDomain>> {
        let sql = format!("SELECT {COLUMNS} FROM domains WHERE app_id = ?1 ORDER BY created, host LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map(params![app.as_str(), limit as i64], domain_row)?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().map(|(_, domain)| domain).collect())
    }

    /// The names of all apps.
    pub fn all_domains(&self) -> Result<BTreeMap<AppId, Vec<AppDomain>>> {
        let sql = format!("SELECT {COLUMNS} FROM domains ORDER BY created, host");
        let mut all: BTreeMap<AppId, Vec<AppDomain>> = BTreeMap::new();
        for row in self.0.prepare_cached(&sql)?.query_map([], domain_row)? {
            let (app, domain) = row?;
            all.entry(app).or_default().push(domain);
        }
        Ok(all)
    }

    /// How many names an app has.
    pub fn domain_count(&self, app: &AppId) -> Result<usize> {
        let sql = "SELECT count(*) FROM domains WHERE app_id = ?1";
        let count: i64 = self.0.prepare_cached(sql)?.query_row([app.as_str()], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// The process types that a name of the app leads to.
    pub fn domain_processes(&self, app: &AppId) -> Result<BTreeSet<ProcessType>> {
        let mut statement = self.0.prepare_cached("SELECT DISTINCT process FROM domains WHERE app_id = ?1")?;
        let rows = statement.query_map([app.as_str()], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().map(|p| Ok(p.parse()?)).collect()
    }

    /// Takes names from an app; gives back those that it had. They are kept for its owner for a while.
    pub fn remove_domains(&self, app: &App, hosts: &[Hostname], now: Timestamp) -> Result<Vec<Hostname>> {
        let mut removed = Vec::new();
        for host in hosts {
            let sql = "DELETE FROM domains WHERE host = ?1 AND app_id = ?2";
            if self.0.prepare_cached(sql)?.execute([host.as_str(), app.id.as_str()])? > 0 {
                let sql = "INSERT OR REPLACE INTO freed_domains (host, owner, freed) VALUES (?1, ?2, ?3)";
                self.0.prepare_cached(sql)?.execute(params![host.as_str(), app.owner.map(|id| id.0), now.0])?;
                self.happened(Some(&app.id), &Event::DomainRemoved { host: host.clone() }, now)?;
                removed.push(host.clone());
            }
        }
        Ok(removed)
    }

    /// Notes the names of an app that is about to go, and forgets those that nobody is kept from any more.
    pub fn free_domains(&self, app: &App, now: Timestamp) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO freed_domains (host, owner, freed) SELECT host, ?2, ?3 FROM domains WHERE app_id = ?1";
        self.execute(sql, params![app.id.as_str(), app.owner.map(|id| id.0), now.0])?;
        let old = now.plus_millis(-i64::try_from(domains::HOLD_MILLIS).unwrap_or(i64::MAX));
        self.execute("DELETE FROM freed_domains WHERE freed < ?1", [old.0])?;
        Ok(())
    }

    /// The base domain that an administrator set.
    pub fn base_domain(&self) -> Result<Option<String>> {
        self.meta(BASE)
    }

    /// Sets the base domain.
    pub fn set_base_domain(&self, base: &str) -> Result<()> {
        self.set_meta(BASE, base)
    }

    /// Gives an app another name; the old one stays its own until somebody who may change the app uses it.
    pub fn rename_app(&self, app: &App, new: &AppName, now: Timestamp) -> Result<()> {
        self.execute("DELETE FROM old_names WHERE name = ?1", [new.as_str()])?;
        let sql = "INSERT OR REPLACE INTO old_names (name, app_id, since) VALUES (?1, ?2, ?3)";
        self.execute(sql, params![app.name.as_str(), app.id.as_str(), now.0])?;
        self.execute("UPDATE apps SET name = ?2 WHERE id = ?1", [app.id.as_str(), new.as_str()])?;
        if app.name != *new {
            self.happened(Some(&app.id), &Event::AppRenamed { from: app.name.clone(), to: new.clone() }, now)?;
        }
        Ok(())
    }

    /// The app that had this name before.
    pub fn app_by_old_name(&self, name: &AppName) -> Result<Option<App>> {
        let sql = "SELECT app_id FROM old_names WHERE name = ?1";
        let id: Option<String> = self.0.prepare_cached(sql)?.query_row([name.as_str()], |row| row.get(0)).optional()?;
        id.map(|id| self.app(&id.parse()?)).transpose().map(Option::flatten)
    }

    /// What access is to know of a name that an app had, by the same queries whether one had it or none.
    pub fn app_ref_by_old_name(&self, name: &AppName) -> Result<Option<AppRef>> {
        let sql = "SELECT app_id FROM old_names WHERE name = ?1";
        let id: Option<String> = self.0.prepare_cached(sql)?.query_row([name.as_str()], |row| row.get(0)).optional()?;
        let id = id.unwrap_or_default();
        let sql = "SELECT name, owner FROM apps WHERE id = ?1";
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
        let app: Option<(String, Option<i64>)> = self.0.prepare_cached(sql)?.query_row([&id], row).optional()?;
        let shared_with = self.shared_with(&id)?;
        let Some((name, owner)) = app else { return Ok(None) };
        Ok(Some(AppRef { id: id.parse()?, name: name.parse()?, owner: owner.map(UserId), shared_with }))
    }

    /// The name is an app's own again: nobody is sent on from it.
    pub fn forget_old_name(&self, name: &AppName) -> Result<()> {
        self.execute("DELETE FROM old_names WHERE name = ?1", [name.as_str()])?;
        Ok(())
    }

    /// Whether an app is in maintenance, and since when.
    pub fn maintenance(&self, app: &AppId) -> Result<Option<(Maintenance, Timestamp)>> {
        let sql = "SELECT page, since FROM maintenance WHERE app_id = ?1";
        let row = |row: &Row<'_>| Ok((Maintenance { page: row.get(0)? }, Timestamp(row.get(1)?)));
        Ok(self.0.prepare_cached(sql)?.query_row([app.as_str()], row).optional()?)
    }

    /// Switches maintenance on, with a page or ours; or off.
    pub fn set_maintenance(&self, app: &AppId, on: Option<&Maintenance>, now: Timestamp) -> Result<()> {
        let before = self.maintenance(app)?.map(|(before, _)| before);
        match on {
            Some(Maintenance { page }) => {
                let sql = "INSERT INTO maintenance (app_id, since, page) VALUES (?1, ?2, ?3) ON CONFLICT (app_id) DO UPDATE SET page = ?3";
                self.execute(sql, params![app.as_str(), now.0, page])?;
            }
            None => {
                self.execute("DELETE FROM maintenance WHERE app_id = ?1", [app.as_str()])?;
            }
        }
        match on {
            _ if before.as_ref() == on => Ok(()),
            Some(on) => self.happened(Some(app), &Event::MaintenanceOn { own_page: on.page.is_some() }, now),
            None => self.happened(Some(app), &Event::MaintenanceOff, now),
        }
    }
}
