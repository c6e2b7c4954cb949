//! What DNS says of names, and which addresses are ours. Questions have a deadline; an answer is advice, never a gate.

use domain::Hostname;
use domain::domains::{self, Resolves};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::time::timeout;

/// The longest wait for all answers of one command.
const ASK_MAX: Duration = Duration::from_secs(3);
/// Names asked for by one command.
const NAMES_MAX: usize = 20;

/// What is known of this server's place on the network.
#[derive(Debug, Clone, Default)]
pub struct Here {
    /// Addresses at which visitors reach it, as far as it knows.
    pub addresses: Vec<IpAddr>,
}

/// Where this server is: what the base domain carries or resolves to, else the address that packets leave from.
pub async fn here(base: &str) -> Here {
    if let Some(address) = domains::base_address(base) {
        return Here { addresses: vec![address] };
    }
    let found = lookup(&format!("hoist-check.{base}")).await.unwrap_or_default();
    let mut addresses: Vec<IpAddr> = found.into_iter().filter(|a| !a.is_loopback()).collect();
    if addresses.is_empty() {
        addresses = leaving().into_iter().collect();
    }
    Here { addresses }
}

/// What DNS says of each name, of all at once.
pub async fn resolve(hosts: &[Hostname], here: &Here) -> BTreeMap<Hostname, Resolves> {
    let ask = hosts.iter().take(NAMES_MAX).map(|host| async move {
        let found = lookup(&host.sample()).await;
        (host.clone(), Resolves::of(found.as_deref(), |a| here.addresses.contains(a) || is_local(a)))
    });
    futures_util::future::join_all(ask).await.into_iter().collect()
}

/// The addresses of a name; none if it has none, `None` if nobody answered in time.
async fn lookup(name: &str) -> Option<Vec<IpAddr>> {
    // The dot keeps the resolver from trying the name below the host's own search domains.
    let answer = timeout(ASK_MAX, tokio::net::lookup_host((format!("{name}."), 80))).await.ok()?;
    let mut addresses: Vec<IpAddr> = answer.map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default();
    addresses.dedup();
    Some(addresses)
}

/// Whether an address is one of this machine's: only those can be bound.
fn is_local(address: &IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(*address, 0)).is_ok()
}

/// The address that this machine would send from; nothing is sent.
fn leaving() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|a| !a.is_unspecified() && !a.is_loopback())
}
