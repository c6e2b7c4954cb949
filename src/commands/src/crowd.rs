//! Many people at once: whom a thing counts for, places among the commands that run, and which addresses were here before.

use crate::context::Commands;
use domain::access::Principal;
use domain::places::Claimant;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use store::AuditFilter;
use system::fault::Result;
use system::places::Place;

/// How long a command waits for its place.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);
/// How long a push waits to be let in.
pub(super) const PUSH_PATIENCE: Duration = Duration::from_secs(30);
/// Audit rows that are read for addresses, the newest.
const ROWS_MAX: u32 = 5_000;

impl Commands {
    /// Whom something that `who` does counts for.
    pub async fn claimant(&self, who: &Principal) -> Claimant {
        let (who, fallback) = (who.clone(), who);
        let read = self.p.store.read(move |tx| {
            let (user, owner) = match &who {
                Principal::Local => (None, None),
                Principal::User { id, .. } => (Some(*id), None),
                Principal::DeployKey { app, .. } => {
                    let owner = tx.app(app)?.and_then(|app| app.owner);
                    (owner, owner)
                }
            };
            let holder = user.map(|id| tx.quota_holder(id)).transpose()?.flatten();
            Ok(Claimant::of(&who, owner).with(holder))
        });
        // A place is taken in any case, by the defaults.
        read.await.unwrap_or_else(|_| Claimant::of(fallback, None))
    }

    /// A place among the commands that run. Root on the host needs none.
    pub(super) async fn place(&self, who: &Principal) -> Result<Option<Place>> {
        match who {
            Principal::Local => Ok(None),
            Principal::User { .. } | Principal::DeployKey { .. } => {
                self.running.take(&self.claimant(who).await, COMMAND_PATIENCE).await.map(Some)
            }
        }
    }

    /// Addresses from which somebody with a key of today gave a command of late, and whether an administrator did: a server
    /// that has just started knows them too.
    pub async fn seen_before(&self) -> Vec<(IpAddr, bool)> {
        let filter = AuditFilter { max: ROWS_MAX, ..AuditFilter::default() };
        let read = self.p.store.read(move |tx| {
            let (mut keys, mut met) = (BTreeMap::new(), BTreeMap::new());
            for (_, row) in tx.audit(&filter)? {
                let Ok(peer) = row.origin.parse::<SocketAddr>() else { continue };
                let admin = match keys.get(&row.key) {
                    Some(known) => *known,
                    None => {
                        let known = tx.principal_by_key(&row.key)?.map(|who| who.is_admin());
                        keys.insert(row.key.clone(), known);
                        known
                    }
                };
                if let Some(admin) = admin {
                    *met.entry(peer.ip()).or_insert(false) |= admin;
                }
            }
            Ok(met.into_iter().collect())
        });
        read.await.unwrap_or_else(|err| {
            tracing::warn!("no address is known yet: {}", err.chain());
            Vec::new()
        })
    }
}
