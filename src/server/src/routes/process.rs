//! The router as a process of its own: found by its socket, or started in a session of its own.
//!
//! Invariant: it outlives us; nothing here ever waits for it to end or kills it.

use crate::fault::{Act, Fault, Result};
use crate::layout::Layout;
use router::RouterClient;
use router::client::Events;
use router::proto::Hello;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How to find or start the router.
#[derive(Debug, Clone)]
pub struct RouterLaunch {
    /// Where everything lies.
    pub layout: Layout,
    /// Where it is to listen; port 0 is kept once known, so that a router that died comes back at its address.
    pub http: SocketAddr,
    /// This binary.
    pub program: PathBuf,
}

impl RouterLaunch {
    /// Connects to the living router, else starts one and connects.
    pub async fn find_or_start(&self, deadline: Duration) -> Result<(RouterClient, Hello, Events)> {
        let socket = self.layout.router_socket();
        if let Ok(found) = RouterClient::connect(&socket, Duration::from_secs(2)).await {
            self.remember(&found.1);
            return Ok(found);
        }
        let mut child = self.start()?;
        let end = Instant::now() + deadline;
        loop {
            if let Ok(found) = RouterClient::connect(&socket, Duration::from_secs(2)).await {
                self.remember(&found.1);
                return Ok(found);
            }
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(self.layout.router_log()).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it said nothing").to_owned();
                return Err(Fault::plain(format!("the router ended with {status}: {last}")).transient().into());
            }
            if Instant::now() > end {
                return Err(Fault::plain("the router does not answer").transient().into());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn start(&self) -> Result<tokio::process::Child> {
        let log = self.layout.router_log();
        let act = || format!("cannot write {}", log.display());
        let out = File::options().create(true).append(true).open(&log).act(act)?;
        let err = out.try_clone().act(act)?;
        #[allow(clippy::disallowed_methods, reason = "the router outlives us: it has no deadline and is never killed")]
        let child = tokio::process::Command::new(&self.program)
            .arg("router")
            .arg("--data")
            .arg(self.layout.data())
            .arg("--http")
            .arg(self.address().to_string())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .spawn()
            .act(|| "cannot start the router")?;
        Ok(child)
    }

    fn note(&self) -> PathBuf {
        self.layout.run().join("router.addr")
    }

    /// The address asked for; with port 0, the one that the last router of this data folder had.
    fn address(&self) -> SocketAddr {
        let last = std::fs::read_to_string(self.note()).ok().and_then(|t| t.trim().parse::<SocketAddr>().ok());
        match last {
            Some(last) if self.http.port() == 0 && last.ip() == self.http.ip() => {
                if std::net::TcpListener::bind(last).is_ok() { last } else { self.http }
            }
            Some(_) | None => self.http,
        }
    }

    fn remember(&self, hello: &Hello) {
        if let Some(address) = hello.listeners.first() {
            let _ = std::fs::write(self.note(), address.to_string());
        }
    }
}
