//! Whether an instance serves, as seen from outside of it.

use async_trait::async_trait;
use domain::listeners::{Connection, Seen};
use engine::{Engine, Observed, Status};
use std::fmt::Debug;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// How long a connection may be in none of the kernel's lists.
const UNSEEN_MAX: Duration = Duration::from_millis(200);
/// How long the kernel may take to let a connection through before it counts as kept back until it brings data.
const KEPT_BACK_MAX: Duration = Duration::from_millis(100);
/// What a connection brings then: an empty line, which servers pass over before a request.
const EMPTY_LINE: &[u8] = b"\r\n";

/// Whether an instance served in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// A process took a connection.
    Yes,
    /// Its port was never open.
    NotOpened,
    /// Its port was open, and nobody took a connection.
    NotTaken,
}

/// Looks at instances.
#[async_trait]
pub trait Probe: Send + Sync + Debug {
    /// Waits until a process of the instance takes a connection, at most `limit`. Never returns for one that has ended.
    async fn serves(&self, engine: &dyn Engine, name: &str, target: SocketAddr, limit: Duration) -> Serves;
    /// What it listens on instead.
    async fn seen(&self, engine: &dyn Engine, name: &str, port: u16) -> Seen;
}

/// Connects, and reads the kernel's lists of connections in the instance's network namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connects;

#[async_trait]
impl Probe for Connects {
    /// That the kernel accepts a connection is not enough: a server with workers opens its port before they start, and they
    /// may all die then.
    async fn serves(&self, engine: &dyn Engine, name: &str, target: SocketAddr, limit: Duration) -> Serves {
        let end = Instant::now() + limit;
        let mut opened = false;
        while let Some(stream) = port_opens(target, end).await {
            opened = true;
            let pid = match engine.inspect(name).await {
                Ok(Some(Observed { status: Status::Running { pid }, .. })) => pid,
                // How it ended is about to be heard.
                Ok(Some(Observed { status: Status::Exited { .. }, .. })) => std::future::pending().await,
                Ok(Some(Observed { status: Status::Created, .. }) | None) => {
                    sleep(pause(Instant::now())).await;
                    continue;
                }
                // Docker is away: what is known then comes from the port alone.
                Err(_) => return Serves::Yes,
            };
            if is_taken(&stream, pid, target.port(), end).await {
                return Serves::Yes;
            }
        }
        if opened { Serves::NotTaken } else { Serves::NotOpened }
    }

    async fn seen(&self, engine: &dyn Engine, name: &str, port: u16) -> Seen {
        match engine.inspect(name).await {
            Ok(Some(Observed { status: Status::Running { pid }, .. })) => {
                engine::listeners(pid).map_or(Seen::Unknown, |all| Seen::of(&all, port))
            }
            Ok(_) | Err(_) => Seen::Unknown,
        }
    }
}

/// Whether a process takes this connection; no if it is reset first, or until `end`.
async fn is_taken(stream: &TcpStream, pid: u32, port: u16, end: Instant) -> bool {
    let Ok(from) = stream.local_addr() else { return true };
    let (begun, mut seen, mut brought) = (Instant::now(), Instant::now(), false);
    while Instant::now() < end {
        match engine::taken(pid, from, port) {
            Ok(Connection::Taken) => return true,
            Ok(Connection::Waiting) => seen = Instant::now(),
            Ok(Connection::KeptBack) => {
                seen = Instant::now();
                // With data a server that defers gets it at once, as it gets a request.
                if !brought && begun.elapsed() >= KEPT_BACK_MAX {
                    brought = stream.try_write(EMPTY_LINE).is_ok();
                }
            }
            Ok(Connection::Unseen) | Err(_) => match stream.try_read(&mut [0]) {
                // Taken and closed again, or taken with a greeting, since the last look.
                Ok(_) => return true,
                Err(err) if err.kind() != ErrorKind::WouldBlock => return false,
                Err(_) if seen.elapsed() >= UNSEEN_MAX => return true,
                Err(_) => {}
            },
        }
        sleep(pause(begun)).await;
    }
    false
}

async fn port_opens(target: SocketAddr, end: Instant) -> Option<TcpStream> {
    let begun = Instant::now();
    while Instant::now() < end {
        let try_for = end.duration_since(Instant::now()).min(Duration::from_secs(1));
        if let Ok(Ok(stream)) = tokio::time::timeout(try_for, TcpStream::connect(target)).await {
            return Some(stream);
        }
        sleep(pause(begun)).await;
    }
    None
}

/// Short looks first, as most are up at once.
fn pause(begun: Instant) -> Duration {
    Duration::from_millis(if begun.elapsed() < Duration::from_secs(2) { 5 } else { 50 })
}
