//! Whose a key is, and the keys that may push to one app.

use super::columns;
use super::users::User;
use crate::tx::{Result, Tx};
use domain::access::{KeyRef, Principal, actor};
use domain::event::Event;
use domain::ids::UserId;
use domain::refusal::Code;
use domain::{AppId, Refusal, Timestamp};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

/// A public key to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// What its owner calls it.
    pub name: String,
    /// `ssh-ed25519 AAAA…`.
    pub public: String,
}

/// A key that may push to one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeployKey {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Its name, unique in the app.
    pub name: String,
    /// Who added it.
    pub added_by: String,
    /// The user who added it, with whose right to the app it ends; `None`: root.
    pub adder: Option<UserId>,
    /// When.
    pub created: Timestamp,
}

const COLUMNS: &str = "fingerprint, name, added_by, created, adder";

fn deploy_key(r: &Row<'_>) -> rusqlite::Result<DeployKey> {
    Ok(DeployKey {
        fingerprint: r.get(0)?,
        name: r.get(1)?,
        added_by: r.get(2)?,
        created: Timestamp(r.get(3)?),
        adder: columns::maybe_id(r, 4)?,
    })
}

impl Tx<'_> {
    /// Who acts with a key; `None` if nobody has it.
    pub fn principal_by_key(&self, fingerprint: &str) -> Result<Option<Principal>> {
        let key = |name: String| KeyRef { fingerprint: fingerprint.to_owned(), name };
        let sql =
            "SELECT u.id, u.name, u.role, k.name FROM keys k JOIN users u ON u.id = k.user_id WHERE k.fingerprint = ?1";
        let user = |r: &Row<'_>| {
            let (name, role) = (columns::parsed(r, 1)?, columns::word(r, 2)?);
            Ok(Principal::User { id: columns::id(r, 0)?, name, role, key: key(r.get(3)?) })
        };
        if let Some(who) = self.0.prepare_cached(sql)?.query_row([fingerprint], user).optional()? {
            return Ok(Some(who));
        }
        let sql =
            "SELECT a.id, a.name, d.name FROM deploy_keys d JOIN apps a ON a.id = d.app_id WHERE d.fingerprint = ?1";
        let found: Option<(String, String, String)> = self
            .0
            .prepare_cached(sql)?
            .query_row([fingerprint], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
            .optional()?;
        let Some((app, app_name, key_name)) = found else { return Ok(None) };
        Ok(Some(Principal::DeployKey { app: app.parse()?, app_name: app_name.parse()?, key: key(key_name) }))
    }

    /// The text of a key that somebody has: what sshd is told.
    pub fn public_key(&self, fingerprint: &str) -> Result<Option<String>> {
        let sql = "SELECT public FROM keys WHERE fingerprint = ?1 UNION ALL SELECT public FROM deploy_keys WHERE fingerprint = ?1";
        Ok(self.0.query_row(sql, [fingerprint], |row| row.get(0)).optional()?)
    }

    /// Refuses a key that somebody has; `user` is told where it is their own.
    pub(super) fn key_is_new(&self, fingerprint: &str, user: Option<&User>) -> Result<()> {
        let whose = match self.principal_by_key(fingerprint)? {
            None => return Ok(()),
            Some(Principal::User { name, .. }) if user.is_some_and(|u| u.name == name) => "theirs already",
            Some(Principal::User { .. } | Principal::Local) => "in use by another user",
            Some(Principal::DeployKey { .. }) => "in use as a deploy key",
        };
        let no = Refusal::new(Code::KeyKnown, format!("the key {fingerprint} is {whose}"));
        Err(no.next("keys:list").next("make another one: ssh-keygen -t ed25519 -f new_key").into())
    }

    /// Adds a key; one that is known already is refused, whoever has it. `by`: the user who asks, if not root.
    pub fn add_key(&self, user: &User, key: &NewKey, by: Option<UserId>, now: Timestamp) -> Result<()> {
        self.key_is_new(&key.fingerprint, Some(user))?;
        let sql =
            "INSERT INTO keys (fingerprint, user_id, name, public, created, added_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.execute(sql, params![key.fingerprint, user.id.0, key.name, key.public, now.0, by.map(|id| id.0)])?;
        let (name, fingerprint) = (key.name.clone(), key.fingerprint.clone());
        self.happened(None, &Event::KeyAdded { user: user.name.clone(), name, fingerprint }, now)
    }

    /// Adds a deploy key; its name must be free in the app.
    pub fn add_deploy_key(&self, app: &AppId, key: &NewKey, by: &Principal, now: Timestamp) -> Result<()> {
        self.key_is_new(&key.fingerprint, None)?;
        if self.deploy_keys(app)?.iter().any(|k| k.name == key.name) {
            return Err(Refusal::new(Code::NameTaken, format!("there is a deploy key {} already", key.name))
                .next("deploy-keys:add APP ANOTHER-NAME < key.pub")
                .into());
        }
        let sql = "INSERT INTO deploy_keys (fingerprint, app_id, name, public, added_by, created, adder) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.execute(
            sql,
            params![key.fingerprint, app.as_str(), key.name, key.public, actor(by), now.0, by.user_id().map(|id| id.0)],
        )?;
        let (name, fingerprint) = (key.name.clone(), key.fingerprint.clone());
        self.happened(Some(app), &Event::DeployKeyAdded { name, fingerprint, by: actor(by) }, now)
    }

    /// Makes somebody else answer for a deploy key: it ends with their right from now on.
    pub fn hand_deploy_key(&self, app: &AppId, fingerprint: &str, to: &Principal) -> Result<()> {
        let sql = "UPDATE deploy_keys SET added_by = ?3, adder = ?4 WHERE app_id = ?1 AND fingerprint = ?2";
        self.execute(sql, params![app.as_str(), fingerprint, actor(to), to.user_id().map(|id| id.0)])?;
        Ok(())
    }

    /// The deploy keys that a user added, of whatever app.
    pub fn deploy_keys_by(&self, user: UserId) -> Result<Vec<(AppId, DeployKey)>> {
        let sql = format!("SELECT {COLUMNS}, app_id FROM deploy_keys WHERE adder = ?1 ORDER BY app_id, created, name");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement
            .query_map([user.0], |r| Ok((r.get::<_, String>(5)?, deploy_key(r)?)))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter().map(|(app, key)| Ok((app.parse()?, key))).collect()
    }

    /// An app's deploy keys in order of age.
    pub fn deploy_keys(&self, app: &AppId) -> Result<Vec<DeployKey>> {
        let sql = format!("SELECT {COLUMNS} FROM deploy_keys WHERE app_id = ?1 ORDER BY created, name");
        let mut statement = self.0.prepare_cached(&sql)?;
        let rows = statement.query_map([app.as_str()], deploy_key)?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// Removes a deploy key.
    pub fn remove_deploy_key(&self, app: &AppId, fingerprint: &str, now: Timestamp) -> Result<()> {
        let sql = "DELETE FROM deploy_keys WHERE app_id = ?1 AND fingerprint = ?2 RETURNING name";
        let name = self.0.prepare_cached(sql)?.query_row([app.as_str(), fingerprint], |row| row.get(0)).optional()?;
        let Some(name) = name else { return Ok(()) };
        self.happened(Some(app), &Event::DeployKeyRemoved { name, fingerprint: fingerprint.to_owned() }, now)
    }
}
