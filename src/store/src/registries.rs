//! Who this server is at image registries.

use crate::cipher::registry_place;
use crate::tx::{Result, Tx};
use domain::{Secret, Timestamp};
use rusqlite::params;

/// One login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// The registry's host, with its port if it has one.
    pub host: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret<String>,
    /// When it was given.
    pub created: Timestamp,
}

impl Tx<'_> {
    /// All logins in order of host.
    pub fn registries(&self) -> Result<Vec<RegistryLogin>> {
        let sql = "SELECT host, username, password, created FROM registries ORDER BY host";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            Ok(RegistryLogin {
                host: row.get(0)?,
                user: row.get(1)?,
                password: Secret::new(row.get(2)?),
                created: Timestamp(row.get(3)?),
            })
        })?;
        let open = |login: rusqlite::Result<RegistryLogin>| {
            let login = login?;
            let password = Secret::new(self.1.open(&registry_place(&login.host), login.password.reveal())?);
            Ok(RegistryLogin { password, ..login })
        };
        rows.map(open).collect()
    }

    /// Writes a login in place of one of the same host.
    pub fn set_registry(&self, login: &RegistryLogin) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO registries (host, username, password, created) VALUES (?1, ?2, ?3, ?4)";
        let password = self.1.seal(&registry_place(&login.host), login.password.reveal())?;
        self.execute(sql, params![login.host, login.user, password, login.created.0])?;
        Ok(())
    }

    /// Removes a login; whether there was one.
    pub fn remove_registry(&self, host: &str) -> Result<bool> {
        Ok(self.execute("DELETE FROM registries WHERE host = ?1", [host])? > 0)
    }
}
