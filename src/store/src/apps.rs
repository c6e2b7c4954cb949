//! Apps, who they are shared with, their config versions and formations.

use super::{User, columns};
use crate::cipher::config_place;
use crate::tx::{Result, Tx};
use domain::access::AppRef;
use domain::app_settings::AppSettings;
use domain::config::{ConfigVars, Hidden};
use domain::event::Event;
use domain::formation::Formation;
use domain::ids::{ConfigVersion, SetId, UserId};
use domain::refusal::Code;
use domain::{AppId, AppName, Refusal, ReleaseNumber, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use system::fault::Fault;

/// An app's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Immutable id.
    pub id: AppId,
    /// Today's name.
    pub name: AppName,
    /// Owner's user id; `None` where root made it or the owner was removed.
    pub owner: Option<UserId>,
    /// When it was made.
    pub created: Timestamp,
    /// What `apps:set` has set.
    pub settings: AppSettings,
    /// Part of its images' names, told to nobody: whoever could name one could build on it.
    pub image_key: String,
    /// Which of the installation's networks is its own; none before it first runs.
    pub network: Option<u16>,
    /// `ps:stop`.
    pub stopped: bool,
    /// The config version in force.
    pub config_version: ConfigVersion,
    /// The release that serves.
    pub current_release: Option<ReleaseNumber>,
    /// The set of instances (named by the deploy that started it) that serves.
    pub current_set: Option<SetId>,
}

const COLUMNS: &str = "id, name, owner, created, settings, image_key, (SELECT number FROM networks WHERE app_id = apps.id), stopped, config_version, current_release, current_set";

fn app(row: &Row<'_>) -> rusqlite::Result<App> {
    Ok(App {
        id: columns::parsed(row, 0)?,
        name: columns::parsed(row, 1)?,
        owner: columns::maybe_id(row, 2)?,
        created: Timestamp(row.get(3)?),
        settings: columns::json(row, 4)?,
        image_key: row.get(5)?,
        network: row.get(6)?,
        stopped: row.get(7)?,
        config_version: columns::id(row, 8)?,
        current_release: row.get::<_, Option<u32>>(9)?.map(ReleaseNumber),
        current_set: columns::maybe_id(row, 10)?,
    })
}

impl Tx<'_> {
    /// Makes an app; the name must be free.
    pub fn add_app(&self, id: &AppId, name: &AppName, owner: Option<UserId>, now: Timestamp) -> Result<App> {
        if self.app_by_name(name)?.is_some() {
            let no = Refusal::new(Code::NameTaken, format!("the name {name} is taken")).next("choose another name");
            return Err(no.into());
        }
        self.forget_old_name(name)?;
        let sql = "INSERT INTO apps (id, name, owner, created, subnet, image_key)
                   VALUES (?1, ?2, ?3, ?4, (SELECT coalesce(max(subnet), 0) + 1 FROM apps), lower(hex(randomblob(8))))";
        self.execute(sql, params![id.as_str(), name.as_str(), owner.map(|id| id.0), now.0])?;
        self.happened(Some(id), &Event::AppCreated { name: name.clone() }, now)?;
        self.app(id)?.ok_or_else(|| Fault::plain("an app just made is not there").into())
    }

    /// An app by id.
    pub fn app(&self, id: &AppId) -> Result<Option<App>> {
        let sql = format!("SELECT {COLUMNS} FROM apps WHERE id = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([id.as_str()], app).optional()?)
    }

    /// An app by id that must be there; one destroyed meanwhile is a refusal.
    pub fn the_app(&self, id: &AppId) -> Result<App> {
        self.app(id)?
            .ok_or_else(|| Refusal::new(Code::AppGone, "the app was destroyed meanwhile").next("apps:list").into())
    }

    /// An app by name.
    pub fn app_by_name(&self, name: &AppName) -> Result<Option<App>> {
        let sql = format!("SELECT {COLUMNS} FROM apps WHERE name = ?1");
        Ok(self.0.prepare_cached(&sql)?.query_row([name.as_str()], app).optional()?)
    }

    /// All apps in order of name.
    pub fn apps(&self) -> Result<Vec<App>> {
        let sql = format!("SELECT {COLUMNS} FROM apps ORDER BY name");
        Ok(self.0.prepare_cached(&sql)?.query_map([], app)?.collect::<rusqlite::Result<_>>()?)
    }

    /// An app as access looks at it.
    pub fn app_ref(&self, app: &App) -> Result<AppRef> {
        let shared_with = self.shared_with(app.id.as_str())?;
        Ok(AppRef { id: app.id.clone(), name: app.name.clone(), owner: app.owner, shared_with })
    }

    pub(crate) fn shared_with(&self, app: &str) -> Result<Vec<UserId>> {
        let mut statement = self.0.prepare_cached("SELECT user_id FROM shares WHERE app_id = ?1 ORDER BY user_id")?;
        Ok(statement.query_map([app], |row| columns::id(row, 0))?.collect::<rusqlite::Result<Vec<UserId>>>()?)
    }

    /// What access is to know of a name, by the same two queries whether an app has it or none.
    pub fn app_ref_by_name(&self, name: &AppName) -> Result<Option<AppRef>> {
        let app = self.app_by_name(name)?;
        let id = app.as_ref().map_or("", |app| app.id.as_str());
        let shared_with = self.shared_with(id)?;
        Ok(app.map(|app| AppRef { id: app.id, name: app.name, owner: app.owner, shared_with }))
    }

    /// Shares an app with a user; true if it was not.
    pub fn share(&self, app: &AppId, user: &User, by: Option<UserId>, now: Timestamp) -> Result<bool> {
        let sql = "INSERT OR IGNORE INTO shares (app_id, user_id, given_by) VALUES (?1, ?2, ?3)";
        let changed = self.execute(sql, params![app.as_str(), user.id.0, by.map(|id| id.0)])? > 0;
        if changed {
            self.happened(Some(app), &Event::AccessGiven { user: user.name.clone() }, now)?;
        }
        Ok(changed)
    }

    /// Ends that; true if it was shared.
    pub fn unshare(&self, app: &AppId, user: &User, now: Timestamp) -> Result<bool> {
        let sql = "DELETE FROM shares WHERE app_id = ?1 AND user_id = ?2";
        let changed = self.execute(sql, params![app.as_str(), user.id.0])? > 0;
        if changed {
            self.happened(Some(app), &Event::AccessTaken { user: user.name.clone() }, now)?;
        }
        Ok(changed)
    }

    /// With whom an app is shared, and by whom; `None`: by root, by one who is gone, or before that was noted.
    pub fn shares(&self, app: &AppId) -> Result<Vec<(String, Option<String>)>> {
        let sql = "SELECT u.name, b.name FROM shares s JOIN users u ON u.id = s.user_id LEFT JOIN users b ON b.id = s.given_by
                   WHERE s.app_id = ?1 ORDER BY u.name";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([app.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What a user shared: the apps, and with whom.
    pub fn shares_by(&self, user: UserId) -> Result<Vec<(AppId, UserId)>> {
        let sql = "SELECT app_id, user_id FROM shares WHERE given_by = ?1 ORDER BY app_id, user_id";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement
            .query_map([user.0], |row| Ok((row.get::<_, String>(0)?, columns::id(row, 1)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter().map(|(app, with)| Ok((app.parse()?, with))).collect()
    }

    /// Gives an app to another owner, who needs no share of it then.
    pub fn transfer_app(&self, app: &App, to: &User, now: Timestamp) -> Result<()> {
        if app.owner == Some(to.id) {
            return Ok(());
        }
        let from = app.owner.map(|id| self.user_by_id(id)).transpose()?.flatten().map(|user| user.name);
        self.execute("DELETE FROM shares WHERE app_id = ?1 AND user_id = ?2", params![app.id.as_str(), to.id.0])?;
        self.execute("UPDATE apps SET owner = ?2 WHERE id = ?1", params![app.id.as_str(), to.id.0])?;
        self.happened(Some(&app.id), &Event::AppTransferred { from, to: to.name.clone() }, now)
    }

    /// Makes somebody else answer for a share.
    pub fn hand_share(&self, app: &AppId, user: UserId, to: Option<UserId>) -> Result<()> {
        let sql = "UPDATE shares SET given_by = ?3 WHERE app_id = ?1 AND user_id = ?2";
        self.execute(sql, params![app.as_str(), user.0, to.map(|id| id.0)])?;
        Ok(())
    }

    /// Removes an app and all rows that hang on it.
    pub fn remove_app(&self, id: &AppId, now: Timestamp) -> Result<()> {
        if let Some(app) = self.app(id)? {
            self.free_domains(&app, now)?;
            self.happened(Some(id), &Event::AppDestroyed { name: app.name }, now)?;
        }
        self.free_network(id, now)?;
        // Releases refer to builds without a cascade of their own, so they go first.
        self.execute("DELETE FROM releases WHERE app_id = ?1", [id.as_str()])?;
        self.execute("DELETE FROM apps WHERE id = ?1", [id.as_str()])?;
        Ok(())
    }

    /// Writes what an app has set.
    pub fn set_settings(&self, id: &AppId, settings: &AppSettings, now: Timestamp) -> Result<()> {
        let (old, new) = (self.the_app(id)?.settings.shown().collect(), settings.shown().collect());
        let names = changed(&old, &new);
        if !names.is_empty() {
            let names = names.into_iter().map(str::to_owned).collect();
            self.happened(Some(id), &Event::SettingsChanged { names }, now)?;
        }
        let text = serde_json::to_string(settings)?;
        self.execute("UPDATE apps SET settings = ?2 WHERE id = ?1", params![id.as_str(), text])?;
        Ok(())
    }

    /// Sets `ps:stop`'s mark; the commit of a release takes it away.
    pub fn stop(&self, id: &AppId, now: Timestamp) -> Result<()> {
        if self.execute("UPDATE apps SET stopped = 1 WHERE id = ?1 AND stopped = 0", [id.as_str()])? > 0 {
            self.happened(Some(id), &Event::AppStopped, now)?;
        }
        Ok(())
    }

    /// The pinned versions that the last successful plan chose.
    pub fn pins(&self, id: &AppId) -> Result<BTreeMap<String, String>> {
        let text: String = self.0.query_row("SELECT pins FROM apps WHERE id = ?1", [id.as_str()], |row| row.get(0))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Writes the pinned versions.
    pub fn set_pins(&self, id: &AppId, pins: &BTreeMap<String, String>) -> Result<()> {
        let text = serde_json::to_string(pins)?;
        self.execute("UPDATE apps SET pins = ?2 WHERE id = ?1", params![id.as_str(), text])?;
        Ok(())
    }

    /// The config vars of one version; version 0 is empty.
    pub fn config(&self, id: &AppId, version: ConfigVersion) -> Result<ConfigVars> {
        let sql = "SELECT vars FROM configs WHERE app_id = ?1 AND version = ?2";
        let text: Option<String> =
            self.0.query_row(sql, params![id.as_str(), version.0], |row| row.get(0)).optional()?;
        let sealed: ConfigVars = text.map(|t| serde_json::from_str(&t)).transpose()?.unwrap_or_default();
        self.open_all(&sealed, |name| config_place(id, version, name))
    }

    /// Which of them are never shown again, and since when they have their values.
    pub fn hidden(&self, id: &AppId, version: ConfigVersion) -> Result<Hidden> {
        let sql = "SELECT hidden FROM configs WHERE app_id = ?1 AND version = ?2";
        let text: Option<String> =
            self.0.query_row(sql, params![id.as_str(), version.0], |row| row.get(0)).optional()?;
        Ok(text.map(|t| serde_json::from_str(&t)).transpose()?.unwrap_or_default())
    }

    /// Writes a new config version (not yet in force) and returns its number.
    pub fn add_config(&self, id: &AppId, vars: &ConfigVars, hidden: &Hidden, now: Timestamp) -> Result<ConfigVersion> {
        let sql = "SELECT coalesce(max(version), 0) + 1 FROM configs WHERE app_id = ?1";
        let version: ConfigVersion = self.0.query_row(sql, [id.as_str()], |row| columns::id(row, 0))?;
        let sealed = self.seal_all(vars, |name| config_place(id, version, name))?;
        let (sealed, hidden) = (serde_json::to_string(&sealed)?, serde_json::to_string(hidden)?);
        let sql = "INSERT INTO configs (app_id, version, vars, hidden, created) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, params![id.as_str(), version.0, sealed, hidden, now.0])?;
        Ok(version)
    }

    /// Puts a config version in force.
    pub fn set_config_version(&self, id: &AppId, version: ConfigVersion, now: Timestamp) -> Result<()> {
        let before = self.the_app(id)?.config_version;
        let (old, new) = (self.config(id, before)?, self.config(id, version)?);
        let (unset, set) = changed(&old, &new).into_iter().partition::<Vec<_>, _>(|name| !new.contains_key(name));
        if !(set.is_empty() && unset.is_empty()) {
            self.happened(Some(id), &Event::ConfigChanged { version, set, unset }, now)?;
        }
        self.execute("UPDATE apps SET config_version = ?2 WHERE id = ?1", params![id.as_str(), version.0])?;
        Ok(())
    }

    /// The formation that was set.
    pub fn formation(&self, id: &AppId) -> Result<Formation> {
        let mut statement = self.0.prepare_cached("SELECT process, quantity FROM formations WHERE app_id = ?1")?;
        let rows = statement
            .query_map([id.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(String, u32)>>>()?;
        rows.into_iter().map(|(process, n)| Ok((process.parse()?, n))).collect()
    }

    /// Writes the formation.
    pub fn set_formation(&self, id: &AppId, formation: &Formation, now: Timestamp) -> Result<()> {
        if self.formation(id)? != *formation {
            self.happened(Some(id), &Event::Scaled { formation: formation.clone() }, now)?;
        }
        self.execute("DELETE FROM formations WHERE app_id = ?1", [id.as_str()])?;
        for (process, quantity) in formation {
            let sql = "INSERT INTO formations (app_id, process, quantity) VALUES (?1, ?2, ?3)";
            self.execute(sql, params![id.as_str(), process.as_str(), quantity])?;
        }
        Ok(())
    }
}

/// Names whose values differ, or that only one of both has.
fn changed<K: Ord + Clone, V: PartialEq>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Vec<K> {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    names.into_iter().filter(|name| old.get(name) != new.get(name)).cloned().collect()
}
