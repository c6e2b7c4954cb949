//! What ends with somebody's right: found, and ended where it is a row, in the transaction that ends the right.

use super::User;
use crate::tx::{Result, Tx};
use domain::access::{AppRef, KeyRef, Principal, may_see};
use domain::deploy::can_cancel;
use domain::ids::{DeployId, UserId};
use domain::leaving::{Ended, right_lost};
use domain::{AppId, Timestamp};

/// What ended, and the jobs to be told so.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    /// For whoever ended the right.
    pub ended: Ended,
    /// Jobs in flight, and why they end.
    pub jobs: Vec<(DeployId, domain::Refusal)>,
}

/// Deploy keys of somebody who leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// They end.
    End,
    /// Whoever ends the right answers for them.
    HandOver,
}

impl Tx<'_> {
    /// Ends what a user added to apps that they may not see as `after` (`None`: nothing at all), and finds what others hold
    /// by their word. `by` answers for what stays.
    pub fn leave(
        &self,
        user: &User,
        after: Option<&User>,
        keys: Keys,
        by: &Principal,
        now: Timestamp,
    ) -> Result<Ended> {
        let mut ended = Ended::default();
        let after = after.map(User::principal);
        let lost = |app: &AppRef| after.as_ref().is_none_or(|who| !may_see(who, app));
        for (app, key) in self.deploy_keys_by(user.id)? {
            let Some(app) = self.ref_of(&app)?.filter(lost) else { continue };
            match keys {
                Keys::End => {
                    self.remove_deploy_key(&app.id, &key.fingerprint, now)?;
                    ended.deploy_keys.push((app.name, key.name));
                }
                Keys::HandOver => {
                    self.hand_deploy_key(&app.id, &key.fingerprint, by)?;
                    ended.handed_keys.push((app.name, key.name));
                }
            }
        }
        for (app, with) in self.shares_by(user.id)? {
            let Some(app) = self.ref_of(&app)?.filter(lost) else { continue };
            self.hand_share(&app.id, with, by.user_id())?;
            if let Some(with) = self.user_by_id(with)?.filter(|with| with.id != user.id) {
                ended.shares.push((app.name, with.name));
            }
        }
        Ok(ended)
    }

    /// The apps of a user.
    pub fn owned_by(&self, user: UserId) -> Result<Vec<domain::AppName>> {
        Ok(self.apps()?.into_iter().filter(|app| app.owner == Some(user)).map(|app| app.name).collect())
    }

    /// Ends the work whose askers' keys may not change its app any more: one-off instances now, jobs by who carries them.
    pub fn end_lost_work(&self, now: Timestamp) -> Result<Lost> {
        let mut lost = Lost::default();
        for row in self.open_deploys()?.into_iter().filter(|row| can_cancel(&row.state)) {
            if let Some(app) = self.app_lost_by(&row.ask.key, &row.app)? {
                lost.ended.builds.push((app.name.clone(), self.build_of(row.id)?.map(|build| build.id)));
                lost.jobs.push((row.id, right_lost(&row.actor, &app.name)));
            }
        }
        for run in self.runs(None, now)?.into_iter().filter(|run| run.ended.is_none()) {
            if let Some(app) = self.app_lost_by(&run.key, &run.app)? {
                self.end_run_soon(run.id, &right_lost(&run.actor, &app.name).what, now)?;
                lost.ended.runs.push((app.name, run.label()));
            }
        }
        Ok(lost)
    }

    /// The app, if whoever has this key may not change it; root has none.
    pub fn app_lost_by(&self, key: &str, app: &AppId) -> Result<Option<AppRef>> {
        if key.is_empty() {
            return Ok(None);
        }
        let Some(app) = self.ref_of(app)? else { return Ok(None) };
        let holder = self.principal_by_key(key)?;
        Ok(holder.is_none_or(|who| !may_see(&who, &app)).then_some(app))
    }

    fn ref_of(&self, app: &AppId) -> Result<Option<AppRef>> {
        self.app(app)?.map(|app| self.app_ref(&app)).transpose()
    }
}

impl User {
    /// A user as access looks at one, whichever key they use.
    pub fn principal(&self) -> Principal {
        let key = KeyRef { fingerprint: String::new(), name: String::new() };
        Principal::User { id: self.id, name: self.name.clone(), role: self.role, key }
    }
}
