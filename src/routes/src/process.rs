//! The router as a process of its own: found by its socket, or started in a session of its own.
//!
//! Invariant: it outlives us; nothing here ever waits for it to end or kills it. We hold a copy of its listening socket
//! while we run, so that connections wait in line, and are not refused, between a router that died and the next.

use router::RouterClient;
use router::client::{ClientError, Events};
use router::proto::Hello;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use system::fault::{Act, Fault, Result};
use system::layout::Layout;
use system::settings::{RouterMode, Settings};
use tokio::time::{Instant, sleep};

/// One attempt to connect.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How to find or start the router.
#[derive(Debug)]
pub struct RouterLaunch {
    layout: Layout,
    /// Where it is to listen; port 0 is kept once known, so that a router that died comes back at its address.
    http: SocketAddr,
    mode: RouterMode,
    user: Option<String>,
    flags: Vec<String>,
    program: PathBuf,
    /// The socket of the router that we started.
    listener: Mutex<Option<TcpListener>>,
}

impl RouterLaunch {
    /// The router that the settings describe, of this program.
    pub fn new(settings: &Settings, layout: Layout, program: PathBuf) -> RouterLaunch {
        let (http, mode, user) = (settings.http, settings.router, settings.router_user.clone());
        let flags = settings.visitors().flags();
        RouterLaunch { layout, http, mode, user, flags, program, listener: Mutex::default() }
    }

    /// Who starts the router.
    pub fn mode(&self) -> RouterMode {
        self.mode
    }

    /// Connects to the living router, else starts one, if that is ours to do, and connects.
    pub async fn find_or_start(&self, deadline: Duration) -> Result<(RouterClient, Hello, Events)> {
        let end = Instant::now() + deadline;
        match self.connect().await {
            Ok(found) => Ok(found),
            Err(why) => match self.mode {
                RouterMode::Spawn => self.start_and_connect(end).await,
                RouterMode::External => self.await_other(end, why).await,
            },
        }
    }

    async fn start_and_connect(&self, end: Instant) -> Result<(RouterClient, Hello, Events)> {
        let mut child = self.start()?;
        loop {
            if let Ok(found) = self.connect().await {
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

    async fn await_other(&self, end: Instant, mut why: ClientError) -> Result<(RouterClient, Hello, Events)> {
        while Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
            match self.connect().await {
                Ok(found) => return Ok(found),
                Err(err) => why = err,
            }
        }
        let socket = self.layout.router_socket();
        let act = format!(
            "the router does not answer at {}, and starting it is not ours (router = external)",
            socket.display()
        );
        Err(Fault::new(act, why).transient().into())
    }

    async fn connect(&self) -> Result<(RouterClient, Hello, Events), ClientError> {
        let found = RouterClient::connect(&self.layout.router_socket(), CONNECT_MAX).await?;
        self.remember(&found.1);
        Ok(found)
    }

    fn start(&self) -> Result<tokio::process::Child> {
        let log = self.layout.router_log();
        let act = || format!("cannot write {}", log.display());
        let out = File::options().create(true).append(true).open(&log).act(act)?;
        let err = out.try_clone().act(act)?;
        let listener = OwnedFd::from(self.listener()?);
        #[allow(clippy::disallowed_methods, reason = "the router outlives us: it has no deadline and is never killed")]
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("router").arg("--data").arg(self.layout.data());
        command.arg("--router-dir").arg(self.layout.router());
        command.arg("--http").arg(self.address().to_string());
        command.args(&self.flags);
        if let Some(user) = &self.user {
            command.arg("--router-user").arg(user);
        }
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
        command.stdin(Stdio::from(listener)).stdout(Stdio::from(out)).stderr(Stdio::from(err));
        Ok(command.spawn().act(|| "cannot start the router")?)
    }

    /// A copy of the socket, bound at the first start.
    fn listener(&self) -> Result<TcpListener> {
        let mut held = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let act = || format!("cannot pass the socket of {}", self.http);
        if let Some(listener) = held.as_ref() {
            return Ok(listener.try_clone().act(act)?);
        }
        let listener = self.bind()?;
        let copy = listener.try_clone().act(act)?;
        *held = Some(listener);
        Ok(copy)
    }

    /// The address asked for; with port 0, the one that the last router of this data folder had, if it is free.
    fn bind(&self) -> Result<TcpListener> {
        let last = std::fs::read_to_string(self.note()).ok().and_then(|t| t.trim().parse::<SocketAddr>().ok());
        let again = last.filter(|last| self.http.port() == 0 && last.ip() == self.http.ip());
        if let Some(listener) = again.and_then(|last| TcpListener::bind(last).ok()) {
            return Ok(listener);
        }
        Ok(TcpListener::bind(self.http).act(|| format!("cannot listen on {}", self.http))?)
    }

    /// Where the socket that we hold is bound; for those who read the list of processes.
    fn address(&self) -> SocketAddr {
        let held = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().and_then(|l| l.local_addr().ok()).unwrap_or(self.http)
    }

    fn note(&self) -> PathBuf {
        self.layout.run().join("router.addr")
    }

    fn remember(&self, hello: &Hello) {
        if let Some(address) = hello.listeners.first() {
            let _ = std::fs::write(self.note(), address.to_string());
        }
    }
}
