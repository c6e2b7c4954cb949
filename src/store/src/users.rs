//! Users, their keys, and settings of the installation.

use super::{Word, columns};
use crate::tx::{Result, Tx};
use domain::access::Role;
use domain::event::Event;
use domain::ids::UserId;
use domain::people::Standing;
use domain::refusal::Code;
use domain::{AppId, Refusal, Timestamp, UserName};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Row id.
    pub id: UserId,
    /// Name.
    pub name: UserName,
    /// Role on the installation.
    pub role: Role,
}

/// One of a user's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// The user.
    pub user: UserName,
    /// The comment in the key file.
    pub name: String,
    /// When it was added.
    pub created: Timestamp,
    /// The user who added it; `None`: root, or one who is gone, or before this was noted.
    pub added_by: Option<String>,
}

impl Word for Role {
    const ALL: &'static [Role] = &[Role::Admin, Role::Developer];

    fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Developer => "developer",
        }
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: columns::id(row, 0)?, name: columns::parsed(row, 1)?, role: columns::word(row, 2)? })
}

impl Tx<'_> {
    /// A setting of the installation.
    pub fn meta(&self, key: &str) -> Result<Option<String>> {
        Ok(self.0.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
    }

    /// Writes a setting of the installation.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
        self.execute(sql, [key, value])?;
        Ok(())
    }

    /// Makes a user; the name must be free. `by`: the user who asks, if not root.
    pub fn add_user(&self, name: &UserName, role: Role, by: Option<UserId>, now: Timestamp) -> Result<User> {
        if self.user_by_name(name)?.is_some() {
            return Err(Refusal::new(Code::UserExists, format!("there is a user {name} already"))
                .next(format!("keys:add {name} < KEY.pub"))
                .into());
        }
        let sql = "INSERT INTO users (name, role, created, added_by) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, params![name.as_str(), role.word(), now.0, by.map(|id| id.0)])?;
        let user = User { id: UserId(self.0.last_insert_rowid()), name: name.clone(), role };
        self.happened(None, &Event::UserAdded { user: name.clone(), role }, now)?;
        Ok(user)
    }

    /// A user by name.
    pub fn user_by_name(&self, name: &UserName) -> Result<Option<User>> {
        let sql = "SELECT id, name, role FROM users WHERE name = ?1";
        Ok(self.0.query_row(sql, [name.as_str()], user).optional()?)
    }

    /// A user by name, or the refusal that names them.
    pub fn the_user(&self, name: &UserName) -> Result<User> {
        self.user_by_name(name)?
            .ok_or_else(|| Refusal::new(Code::NoSuchUser, format!("there is no user {name}")).next("users:list").into())
    }

    /// A user by row id.
    pub fn user_by_id(&self, id: UserId) -> Result<Option<User>> {
        let sql = "SELECT id, name, role FROM users WHERE id = ?1";
        Ok(self.0.query_row(sql, [id.0], user).optional()?)
    }

    /// All users in order of name.
    pub fn users(&self) -> Result<Vec<User>> {
        let mut statement = self.0.prepare_cached("SELECT id, name, role FROM users ORDER BY name")?;
        Ok(statement.query_map([], user)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The users that a user made.
    pub fn users_made_by(&self, user: UserId) -> Result<Vec<UserName>> {
        let mut statement = self.0.prepare_cached("SELECT name FROM users WHERE added_by = ?1 ORDER BY name")?;
        let users = statement.query_map([user.0], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        users.into_iter().map(|name| Ok(name.parse()?)).collect()
    }

    /// The keys that a user added for others: whose, and their fingerprints.
    pub fn keys_added_by(&self, user: UserId) -> Result<Vec<(UserName, String)>> {
        let sql = "SELECT u.name, k.fingerprint FROM keys k JOIN users u ON u.id = k.user_id
                   WHERE k.added_by = ?1 AND k.user_id <> ?1 ORDER BY u.name, k.created";
        let mut statement = self.0.prepare_cached(sql)?;
        let keys = statement
            .query_map([user.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
        keys.into_iter().map(|(name, key)| Ok((name.parse()?, key))).collect()
    }

    /// Removes a user and their keys, deploy keys that they added too; apps they own stay and belong to root.
    pub fn remove_user(&self, user: &User, now: Timestamp) -> Result<()> {
        let mut shared = self.0.prepare_cached("SELECT app_id FROM shares WHERE user_id = ?1 ORDER BY app_id")?;
        let apps =
            shared.query_map([user.id.0], |row| columns::parsed(row, 0))?.collect::<rusqlite::Result<Vec<AppId>>>()?;
        for app in apps {
            self.unshare(&app, user, now)?;
        }
        self.happened(None, &Event::UserRemoved { user: user.name.clone() }, now)?;
        self.execute("DELETE FROM users WHERE id = ?1", [user.id.0])?;
        Ok(())
    }

    /// Changes a user's role.
    pub fn set_role(&self, user: &User, role: Role, now: Timestamp) -> Result<()> {
        if user.role != role {
            self.happened(None, &Event::RoleChanged { user: user.name.clone(), role }, now)?;
        }
        self.execute("UPDATE users SET role = ?2 WHERE id = ?1", params![user.id.0, role.word()])?;
        Ok(())
    }

    /// Everybody, as the decisions about losing keys and roles look at them.
    pub fn standings(&self) -> Result<Vec<Standing>> {
        let keys = self.keys(None)?;
        let count = |name: &UserName| keys.iter().filter(|k| k.user == *name).count();
        Ok(self.users()?.into_iter().map(|u| Standing { keys: count(&u.name), name: u.name, role: u.role }).collect())
    }

    /// The keys of one user, or of all.
    pub fn keys(&self, user: Option<&User>) -> Result<Vec<Key>> {
        let sql = "SELECT k.fingerprint, k.name, k.created, b.name, u.name FROM keys k JOIN users u ON u.id = k.user_id
                   LEFT JOIN users b ON b.id = k.added_by WHERE ?1 IS NULL OR u.id = ?1 ORDER BY u.name, k.created";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query([user.map(|u| u.id.0)])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let user = row.get::<_, String>(4)?.parse()?;
            let (fingerprint, name, created) = (row.get(0)?, row.get(1)?, Timestamp(row.get(2)?));
            keys.push(Key { fingerprint, user, name, created, added_by: row.get(3)? });
        }
        Ok(keys)
    }

    /// Removes a key by fingerprint; true if there was one.
    pub fn remove_key(&self, fingerprint: &str, user: &User, now: Timestamp) -> Result<bool> {
        let sql = "DELETE FROM keys WHERE fingerprint = ?1 AND user_id = ?2";
        let removed = self.execute(sql, params![fingerprint, user.id.0])? > 0;
        if removed {
            let (user, fingerprint) = (user.name.clone(), fingerprint.to_owned());
            self.happened(None, &Event::KeyRemoved { user, fingerprint }, now)?;
        }
        Ok(removed)
    }
}
