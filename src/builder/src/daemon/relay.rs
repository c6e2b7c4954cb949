//! Registries of one's own that stand where builds may not go: on this host, or in a private network. For those that an
//! administrator has logged in to, the builder finds the same address and port in its own namespace; what arrives there
//! goes on to the real one.
//!
//! Invariant: nothing else is let through: a listener per registry, gone with its login. Absent: names, TLS: bytes pass.

use domain::addresses::closed_to_builds;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use system::fault::{Act, Result};
use system::proc::{Limits, Program, run};
use system::tasks::{Tasks, apart};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Connections through one relay at a time.
const CONNECTIONS_MAX: usize = 64;
/// Registries that stand so at a time.
const RELAYS_MAX: usize = 32;
const RESOLVE_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HTTPS: u16 = 443;

/// The listeners in one namespace.
#[derive(Debug)]
pub(super) struct Relays {
    namespace: PathBuf,
    tasks: Tasks,
    open: BTreeMap<SocketAddrV4, CancellationToken>,
}

impl Relays {
    /// None yet.
    pub fn new(namespace: PathBuf, tasks: &Tasks) -> Relays {
        Relays { namespace, tasks: tasks.clone(), open: BTreeMap::new() }
    }

    /// Those of these registries that need one, and no others.
    pub async fn keep(&mut self, registries: &[String]) -> Result<()> {
        let mut wanted = BTreeSet::new();
        for host in registries.iter().take(RELAYS_MAX) {
            wanted.extend(addresses(host).await.into_iter().filter(|address| needs_one(*address)));
        }
        self.open.retain(|address, stop| {
            let stays = wanted.contains(address);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for address in wanted {
            if let std::collections::btree_map::Entry::Vacant(place) = self.open.entry(address) {
                let listener = listen(&self.namespace, address).await?;
                let stop = CancellationToken::new();
                place.insert(stop.clone());
                let tasks = self.tasks.clone();
                self.tasks.spawn("registry relay", move |end| async move {
                    tokio::select! {
                        () = accept(listener, address, tasks, stop.clone()) => {}
                        () = stop.cancelled() => {}
                        () = end.cancelled() => {}
                    }
                });
            }
        }
        Ok(())
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.open.values().for_each(CancellationToken::cancel);
    }
}

/// The IPv4 addresses of `HOST` or `HOST:PORT`.
async fn addresses(host: &str) -> Vec<SocketAddrV4> {
    let named = match host.rsplit_once(':') {
        Some((name, port)) => port.parse().ok().map(|port: u16| (name.to_owned(), port)),
        None => Some((host.to_owned(), HTTPS)),
    };
    let Some((name, port)) = named else { return Vec::new() };
    match timeout(RESOLVE_MAX, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => found
            .filter_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            })
            .collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Whether a build would not get there by itself: a closed range, or an address of this host.
fn needs_one(address: SocketAddrV4) -> bool {
    closed_to_builds(*address.ip()) || is_ours(*address.ip())
}

/// Connecting a datagram socket asks the route table, and sends nothing.
fn is_ours(address: std::net::Ipv4Addr) -> bool {
    let ask = || {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((address, HTTPS)).ok()?;
        Some(socket.local_addr().ok()?.ip() == IpAddr::V4(address))
    };
    ask().unwrap_or(false)
}

async fn listen(namespace: &Path, address: SocketAddrV4) -> Result<tokio::net::TcpListener> {
    if !address.ip().is_loopback() {
        let name = namespace.file_name().unwrap_or_default();
        let add = Program::new("ip", Path::new("/")).arg("-n").arg(name);
        let add = add.args(["addr", "replace", &format!("{}/32", address.ip()), "dev", "lo"]);
        run(&add, b"", Limits::seconds(5)).await?.success(format!("cannot take in the registry at {address}"))?;
    }
    let (file, act) = (namespace.to_owned(), format!("cannot listen for the registry at {address}"));
    let bound = apart("listen for a registry", move || {
        let namespace = std::fs::File::open(&file).act(|| format!("cannot open {}", file.display()))?;
        // Of this thread alone, which ends with this.
        let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        entered.act(|| format!("cannot enter {}", file.display()))?;
        let listener = TcpListener::bind(address).act(|| format!("cannot listen on {address}"))?;
        listener.set_nonblocking(true).act(|| format!("cannot listen on {address}"))?;
        Ok(listener)
    });
    Ok(tokio::net::TcpListener::from_std(bound.await?).act(|| act)?)
}

async fn accept(listener: tokio::net::TcpListener, to: SocketAddrV4, tasks: Tasks, closed: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((mut near, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // The builder keeps connections for its next pull: they end with the right to have them.
        let closed = closed.clone();
        tasks.spawn("registry relay connection", move |stop| async move {
            let talk = async {
                if let Ok(Ok(mut far)) = timeout(CONNECT_MAX, TcpStream::connect(to)).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            };
            tokio::select! { () = talk => {}, () = closed.cancelled() => {}, () = stop.cancelled() => {} }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_needs_one() {
        let of = async |host: &str| addresses(host).await.into_iter().any(needs_one);
        for inside in ["127.0.0.1:5000", "10.1.2.3", "192.168.7.7:5000", "172.20.0.9:443"] {
            assert!(of(inside).await, "{inside}");
        }
        for outside in ["203.0.113.9", "198.51.100.7:5000"] {
            assert!(!of(outside).await, "{outside}");
        }
        assert!(addresses("127.0.0.1:x").await.is_empty());
    }
}
