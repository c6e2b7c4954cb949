//! The installation's network in one value: which network an app has, which address an instance gets, which rules hold.

use super::{Claimer, Firewall, HOST_FOLDER, Policy, claim, resolvers, routes};
use crate::engine::NetworkSpec;
use crate::fault::{Fault, Result};
use crate::store::{Addresses, App};
use domain::addresses::{self, BUILDS, Subnet};
use domain::{InstallId, Refusal, Timestamp};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

/// The label that carries the installation's id.
const INSTALL_LABEL: &str = "hoist.install";

/// Networks and firewall of this installation. Clones share it.
#[derive(Debug, Clone)]
pub struct Net(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) install: InstallId,
    shares: Vec<Subnet>,
    firewall: Firewall,
}

impl Net {
    /// Claims the installation's share of the pool. Blocks; makes no rule yet.
    pub fn claim(install: &InstallId, data: &Path, pool: Subnet) -> Result<Net> {
        let (routes, resolvers) = (routes()?, resolvers()?);
        let claimer =
            Claimer { host: Path::new(HOST_FOLDER), data, install, pool, routes: &routes, keep_clear: &resolvers };
        let claimed = claim(&claimer, 1)?;
        for lost in &claimed.lost {
            tracing::warn!("the address range {lost} of this installation now belongs to another; instances move");
        }
        let policy = Policy {
            install: install.clone(),
            pool,
            shares: claimed.shares.clone(),
            resolvers,
            builds_may_reach: Vec::new(),
        };
        Ok(Net(Arc::new(Inner { install: install.clone(), shares: claimed.shares, firewall: Firewall::new(&policy) })))
    }

    /// The network of an app.
    pub fn app_network(&self, app: &App) -> NetworkSpec {
        self.spec(format!("hoist-{}-{}", self.0.install, app.id), app.subnet, true)
    }

    /// The network of builds.
    pub fn build_network(&self) -> NetworkSpec {
        self.spec(format!("hoist-{}-builds", self.0.install), u32::from(BUILDS), false)
    }

    /// An address for a new instance of the app with this network number.
    pub fn choose_address(&self, subnet: u32, have: &Addresses, now: Timestamp) -> Result<Ipv4Addr> {
        let network = self.subnet(subnet).ok_or_else(|| Fault::plain("the app's network number is out of range"))?;
        addresses::pick_address(network, &have.used, &have.freed, now).ok_or_else(|| {
            Refusal::new("no-address", "the app has no address left for another instance")
                .next("ps:scale to fewer")
                .into()
        })
    }

    /// Makes sure that the firewall is as it should be.
    pub async fn ensure_firewall(&self) -> Result<()> {
        self.0.firewall.ensure().await?;
        Ok(())
    }

    /// Whether the firewall is as it should be.
    pub async fn firewall_holds(&self) -> bool {
        self.0.firewall.verify().await.unwrap_or(false)
    }

    /// Removes the firewall, when nothing of ours runs any more.
    pub async fn remove_firewall(&self) -> Result<()> {
        self.0.firewall.remove().await
    }

    pub(super) fn subnet(&self, number: u32) -> Option<Subnet> {
        addresses::network(&self.0.shares, u16::try_from(number).ok()?)
    }

    fn spec(&self, name: String, number: u32, members_talk: bool) -> NetworkSpec {
        // A number out of range gives an impossible subnet, which the engine refuses with its name.
        let subnet = self.subnet(number).unwrap_or(Subnet::of(Ipv4Addr::UNSPECIFIED, 32));
        let bridge = addresses::bridge_name(&self.0.install, u16::try_from(number).unwrap_or(u16::MAX));
        NetworkSpec {
            name,
            bridge,
            subnet: (subnet.network(), subnet.prefix()),
            gateway: subnet.gateway(),
            members_talk,
            labels: BTreeMap::from([(INSTALL_LABEL.to_owned(), self.0.install.to_string())]),
        }
    }
}
