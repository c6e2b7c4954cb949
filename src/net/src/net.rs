//! The installation's network in one value: which network an app has, which address an instance gets, which rules hold.
//!
//! A share of the pool is claimed at the start and another one when the networks of those it has are used up. The rules name
//! all networks that there can be, so that they change with a share and not with an app.

use super::{Claim, Claimer, Firewall, HOST_FOLDER, Policy, claim, claim_another, resolvers, routes};
use domain::addresses::{self, BUILDS, Route, Subnet};
use domain::refusal::Code;
use domain::{AppId, InstallId, Refusal, Timestamp};
use engine::NetworkSpec;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use store::{Addresses, App, Networks};
use system::fault::{Fault, Result};
use system::tasks::blocking;

/// The label that carries the installation's id.
const INSTALL_LABEL: &str = "hoist.install";

/// Networks and firewall of this installation. Clones share it.
#[derive(Debug, Clone)]
pub struct Net(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    host: PathBuf,
    data: PathBuf,
    pub(super) install: InstallId,
    pool: Subnet,
    /// Whether the firewall is made; not in tests of others.
    has_rules: bool,
    /// Ports of the host that apps may reach.
    host_services: Vec<u16>,
    /// Changes when another share is claimed.
    held: Mutex<Arc<Held>>,
    /// One at a time changes the shares or puts the firewall right: rules of before must not come after those of now.
    turn: tokio::sync::Mutex<()>,
}

/// The shares, and the rules for them.
#[derive(Debug)]
struct Held {
    shares: Vec<Subnet>,
    firewall: Firewall,
}

/// What stands in the way on this host, read when a share is claimed.
struct Surroundings {
    routes: Vec<Route>,
    resolvers: Vec<IpAddr>,
}

impl Surroundings {
    fn read() -> Result<Surroundings> {
        Ok(Surroundings { routes: routes()?, resolvers: resolvers()? })
    }
}

impl Net {
    /// Claims the installation's shares of the pool. Blocks; makes no rule yet. Apps reach the ports `host_services`.
    pub fn claim(install: &InstallId, data: &Path, pool: Subnet, host_services: Vec<u16>) -> Result<Net> {
        Net::claim_on(Path::new(HOST_FOLDER), install, data, pool, Some(host_services))
    }

    /// Among installations that agree in a folder of a test. It makes no rule on this host.
    #[cfg(any(test, feature = "testing"))]
    #[allow(clippy::unwrap_used, reason = "tests")]
    pub fn claim_for_tests(host: &Path, data: &Path, pool: Subnet) -> Net {
        Net::claim_on(host, &"test".parse().unwrap(), data, pool, None).unwrap()
    }

    /// Without `host_services` there is no firewall.
    fn claim_on(
        host: &Path,
        install: &InstallId,
        data: &Path,
        pool: Subnet,
        host_services: Option<Vec<u16>>,
    ) -> Result<Net> {
        let around = Surroundings::read()?;
        let claimer = Claimer { host, data, install, pool, routes: &around.routes, keep_clear: &around.resolvers };
        let claimed = claim(&claimer, 1)?;
        warn_lost(&claimed);
        let has_rules = host_services.is_some();
        let host_services = host_services.unwrap_or_default();
        let held = Held::new(install, pool, claimed.shares, around.resolvers, &host_services);
        Ok(Net(Arc::new(Inner {
            host: host.to_path_buf(),
            data: data.to_path_buf(),
            install: install.clone(),
            pool,
            has_rules,
            host_services,
            held: Mutex::new(Arc::new(held)),
            turn: tokio::sync::Mutex::default(),
        })))
    }

    /// Claims another share, so that there is one more than `have`; nothing if there is by now. Its rules are made too.
    pub async fn grow(&self, have: usize) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        if self.shares() > have {
            return Ok(());
        }
        let (this, had) = (self.clone(), self.held());
        let claimed = blocking("claim addresses", move || {
            let around = Surroundings::read()?;
            let Inner { host, data, install, pool, .. } = this.0.as_ref();
            let claimer =
                Claimer { host, data, install, pool: *pool, routes: &around.routes, keep_clear: &around.resolvers };
            let claimed = claim_another(&claimer, &had.shares)?;
            Ok((claimed, around.resolvers))
        });
        let (claimed, resolvers) = claimed.await?;
        warn_lost(&claimed);
        tracing::info!("another range of addresses is this installation's: {} now", claimed.shares.len());
        let held = Held::new(&self.0.install, self.0.pool, claimed.shares, resolvers, &self.0.host_services);
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
        Ok(())
    }

    /// How many shares it has.
    pub fn shares(&self) -> usize {
        self.held().shares.len()
    }

    /// The pool of all installations on this host.
    pub fn pool(&self) -> Subnet {
        self.0.pool
    }

    /// Whether a network of this number lies in the shares.
    pub fn has_network(&self, number: u16) -> bool {
        number != BUILDS && self.subnet(number).is_some()
    }

    /// A number for a network that no app has. One that was freed a moment ago only if it `must` be.
    pub fn choose_network(&self, have: &Networks, now: Timestamp, must: bool) -> Option<u16> {
        let number = addresses::pick_network(&self.held().shares, &have.used, &have.freed, now)?;
        (must || addresses::rested(have.freed.get(&number).copied(), now)).then_some(number)
    }

    /// The name of an app's network.
    pub fn app_network_name(&self, app: &AppId) -> String {
        format!("hoist-{}-{app}", self.0.install)
    }

    /// The network of an app that has one.
    pub fn app_network(&self, app: &App) -> Result<NetworkSpec, Fault> {
        let number = app.network.filter(|number| self.has_network(*number));
        let spec = number.and_then(|number| self.spec(self.app_network_name(&app.id), number, true));
        spec.ok_or_else(|| no_network(&app.id))
    }

    /// The network of builds.
    pub fn build_network(&self) -> Result<NetworkSpec, Fault> {
        let spec = self.spec(format!("hoist-{}-builds", self.0.install), BUILDS, false);
        spec.ok_or_else(|| Fault::plain("this installation has no addresses"))
    }

    /// An address for a new instance of the app.
    pub fn choose_address(&self, app: &App, have: &Addresses, now: Timestamp) -> Result<Ipv4Addr> {
        let network = app.network.filter(|number| self.has_network(*number)).and_then(|number| self.subnet(number));
        let network = network.ok_or_else(|| no_network(&app.id))?;
        addresses::pick_address(network, &have.used, &have.freed, now).ok_or_else(|| {
            Refusal::new(Code::NoAddress, "the app has no address left for another instance")
                .next(format!("ps:scale {}  (shows how many run; scale to fewer)", app.name))
                .into()
        })
    }

    /// Makes sure that the firewall is as it should be.
    pub async fn ensure_firewall(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        if self.0.has_rules {
            self.held().firewall.ensure().await?;
        }
        Ok(())
    }

    /// Whether the firewall is as it should be.
    pub async fn firewall_holds(&self) -> bool {
        self.held().firewall.verify().await.unwrap_or(false)
    }

    /// Removes the firewall, when nothing of ours runs any more.
    pub async fn remove_firewall(&self) -> Result<()> {
        let _turn = self.0.turn.lock().await;
        self.held().firewall.remove().await
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.0.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn subnet(&self, number: u16) -> Option<Subnet> {
        addresses::network(&self.held().shares, number)
    }

    fn spec(&self, name: String, number: u16, members_talk: bool) -> Option<NetworkSpec> {
        let subnet = self.subnet(number)?;
        Some(NetworkSpec {
            name,
            bridge: addresses::bridge_name(&self.0.install, number),
            subnet: (subnet.network(), subnet.prefix()),
            gateway: subnet.gateway(),
            members_talk,
            labels: BTreeMap::from([(INSTALL_LABEL.to_owned(), self.0.install.to_string())]),
        })
    }
}

impl Held {
    fn new(
        install: &InstallId,
        pool: Subnet,
        shares: Vec<Subnet>,
        resolvers: Vec<IpAddr>,
        host_services: &[u16],
    ) -> Held {
        let policy = Policy {
            install: install.clone(),
            pool,
            shares: shares.clone(),
            resolvers,
            builds_may_reach: Vec::new(),
            host_services: host_services.to_vec(),
        };
        Held { shares, firewall: Firewall::new(&policy) }
    }
}

fn no_network(app: &AppId) -> Fault {
    Fault::plain(format!("the app {app} has no network yet"))
}

fn warn_lost(claimed: &Claim) {
    for lost in &claimed.lost {
        tracing::warn!("the address range {lost} of this installation now belongs to another; instances move");
    }
}
