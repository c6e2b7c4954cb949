//! What administrators gave to single users, and what a user's apps use.

use super::{User, Word, columns};
use crate::tx::{Result, Tx};
use domain::ids::UserId;
use domain::quota::{Holder, Limit, Limits, What, largest_sets};
use domain::{AppId, Refusal, Timestamp};
use rusqlite::params;
use std::collections::BTreeMap;
use system::fault::Fault;

/// A limit that an administrator set for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Of what.
    pub what: What,
    /// How much.
    pub limit: Limit,
    /// Who set it.
    pub by: String,
}

/// One-off instances that run: how many, and their memory together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnceLoad {
    /// How many.
    pub count: u64,
    /// Bytes of memory.
    pub memory: u64,
}

impl Word for What {
    const ALL: &'static [What] = &What::ALL;

    fn word(self) -> &'static str {
        What::word(self)
    }
}

impl Tx<'_> {
    /// What was set for a user.
    pub fn quotas(&self, user: UserId) -> Result<Vec<Quota>> {
        let mut statement = self.0.prepare_cached("SELECT what, most, set_by FROM quotas WHERE user_id = ?1")?;
        let rows = statement
            .query_map([user.0], |row| {
                let limit = row.get::<_, Option<i64>>(1)?.map(|_| columns::number(row, 1)).transpose()?;
                Ok(Quota { what: columns::word(row, 0)?, limit, by: row.get(2)? })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }

    /// Sets limits of a user.
    pub fn set_quotas(&self, user: &User, limits: &Limits, by: &str, now: Timestamp) -> Result<()> {
        for (what, limit) in limits {
            let most = limit.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
            let sql = "INSERT INTO quotas (user_id, what, most, set_by, at) VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT (user_id, what) DO UPDATE SET most = ?3, set_by = ?4, at = ?5";
            self.execute(sql, params![user.id.0, what.word(), most, by, now.0])?;
        }
        Ok(())
    }

    /// Forgets a limit of a user; true if there was one.
    pub fn unset_quota(&self, user: &User, what: What) -> Result<bool> {
        let sql = "DELETE FROM quotas WHERE user_id = ?1 AND what = ?2";
        Ok(self.execute(sql, params![user.id.0, what.word()])? > 0)
    }

    /// A user as quotas look at them; `None` if there is none of that id.
    pub fn quota_holder(&self, user: UserId) -> Result<Option<Holder>> {
        let Some(user) = self.user_by_id(user)? else { return Ok(None) };
        let own = self.quotas(user.id)?.into_iter().map(|quota| (quota.what, quota.limit)).collect();
        Ok(Some(Holder { name: user.name, role: user.role, own }))
    }

    /// The apps that a user owns.
    pub fn apps_owned(&self, user: UserId) -> Result<Vec<AppId>> {
        let mut statement = self.0.prepare_cached("SELECT id FROM apps WHERE owner = ?1 ORDER BY id")?;
        let ids = statement.query_map([user.0], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        ids.into_iter()
            .map(|id| id.parse().map_err(|no: Refusal| Fault::new("an app has a bad id", no).into()))
            .collect()
    }

    /// How many instances each app of a user is counted with. Those that retire, and release commands, are not.
    pub fn instances_owned(&self, user: UserId) -> Result<BTreeMap<AppId, u64>> {
        let sql = "SELECT app_id, count(*) FROM instances WHERE app_id IN (SELECT id FROM apps WHERE owner = ?1)
                   AND desire IN ('booting', 'up') AND process <> 'release' GROUP BY app_id, set_id";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement
            .query_map([user.0], |row| Ok((columns::parsed(row, 0)?, columns::number(row, 1)?)))?
            .collect::<rusqlite::Result<Vec<(AppId, u64)>>>()?;
        let sets = rows.into_iter();
        Ok(largest_sets(sets))
    }

    /// The one-off instances of a user's apps.
    pub fn once_owned(&self, user: UserId) -> Result<OnceLoad> {
        let sql = "SELECT count(*), coalesce(sum(memory), 0) FROM runs WHERE ended IS NULL
                   AND app_id IN (SELECT id FROM apps WHERE owner = ?1)";
        let (count, memory): (u32, i64) = self.0.query_row(sql, [user.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(OnceLoad { count: count.into(), memory: u64::try_from(memory).unwrap_or(0) })
    }
}
