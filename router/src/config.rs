//! What a router is started with. Plain data; the defaults are Heroku's figures where Heroku has one.

use std::{path::PathBuf, time::Duration};

use crate::{gate::HeadLimits, source::Network};

/// Everything [`crate::run`] needs besides the listeners.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// The data folder: `routes/` and `run/router.sock` are below it.
    pub data: PathBuf,
    /// The folder of the spools.
    pub logs: PathBuf,
    /// Threads that serve; 0 is one per core, at most 4.
    pub workers: usize,
    /// The machine's boot id; `None` reads it from the kernel.
    pub boot_id: Option<String>,
    /// Whether this router writes the table to disk. During a self-upgrade only one of two does.
    pub active: bool,
    /// The spool for requests that belong to no route; `None` keeps no lines of them.
    pub own_log: Option<String>,
    /// Bytes of a spool's two files together.
    pub spool_bytes: u64,
    /// Proxies in front of this one: what they say about a client counts, and limits per source do not hold for them.
    pub trusted: Vec<Network>,
    /// Gets a line, now and then, about connections that were closed or refused. Called on the main thread.
    pub report: Option<fn(&str)>,
    /// Times and sizes.
    pub limits: Limits,
}

/// Times, sizes and counts that nothing exceeds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The head of a request.
    pub request_head: HeadLimits,
    /// The head of an app's answer.
    pub response_head: HeadLimits,
    /// From the first byte of a request head to its last; also for the first byte of a connection.
    pub header_read: Duration,
    /// A kept client connection without a request.
    pub client_idle: Duration,
    /// One silent window while a body is read.
    pub body_window: Duration,
    /// After so much waiting for a body its average counts.
    pub body_grace: Duration,
    /// Bytes per second that a body must reach on average.
    pub body_rate: u64,
    /// The first byte of a response (H12).
    pub first_byte: Duration,
    /// A response that stops, or a client that stops reading (H15, H28).
    pub idle_window: Duration,
    /// An upgraded connection without a byte either way.
    pub tunnel_idle: Duration,
    /// One connection attempt to a target.
    pub connect: Duration,
    /// All connection attempts of a request together (H19).
    pub connect_total: Duration,
    /// Connection attempts of a request.
    pub connect_tries: usize,
    /// An idle connection to a target is used again only below this age.
    pub pool_idle: Duration,
    /// Idle connections kept per target and worker.
    pub pool_size: usize,
    /// A target that refused is left alone so long, if there is another.
    pub avoid: Duration,
    /// Requests at once per target of a route, in each worker (H11).
    pub per_target: u32,
    /// Requests that may wait on one held route, in each worker (H11).
    pub held: u32,
    /// Client connections of the whole process; beyond, those that wait are closed, and if none does it is H22.
    pub connections: usize,
    /// The same of one source: an IPv4 address, an IPv6 /56. An IPv6 /48 may have four times as many.
    pub per_source: usize,
    /// Requests and tunnels of one source at once.
    pub per_source_requests: usize,
    /// What was closed or refused is said no more often than this.
    pub report_every: Duration,
    /// How long `Serve` routes of another boot hold a request (H20).
    pub boot_hold: Duration,
    /// While draining, an idle client connection stays open so long for one more request.
    pub drain_idle: Duration,
    /// How long a termination signal waits for requests in flight.
    pub grace: Duration,
}

impl RouterConfig {
    /// The defaults over two folders.
    pub fn new(data: impl Into<PathBuf>, logs: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            logs: logs.into(),
            workers: 0,
            boot_id: None,
            active: true,
            own_log: None,
            spool_bytes: 16 << 20,
            trusted: vec![],
            report: None,
            limits: Limits::default(),
        }
    }

    /// Where the control process connects to.
    pub fn socket(&self) -> PathBuf {
        self.data.join("run").join("router.sock")
    }

    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            n => n.min(64),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            request_head: HeadLimits::REQUEST,
            response_head: HeadLimits::RESPONSE,
            header_read: s(10),
            client_idle: s(60),
            body_window: s(10),
            body_grace: s(20),
            body_rate: 240,
            first_byte: s(30),
            idle_window: s(55),
            tunnel_idle: s(3600),
            connect: s(5),
            connect_total: s(75),
            connect_tries: 11,
            pool_idle: Duration::from_millis(1500),
            pool_size: 256,
            avoid: s(5),
            per_target: 200,
            held: 1000,
            connections: 10_000,
            per_source: 2_000,
            per_source_requests: 1_000,
            report_every: s(10),
            boot_hold: s(60),
            drain_idle: s(5),
            grace: s(30),
        }
    }
}

/// Why a router does not start or ends early.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// A file or socket.
    #[error("cannot {act} {path}")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        #[source]
        err: std::io::Error,
    },
    /// The route table on disk is not readable, and neither is its predecessor. Its bytes are left alone.
    #[error("the route table {path} is damaged: {why}; move it away to start with an empty table")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A thread or runtime could not be started, or ended by itself.
    #[error("router thread {name} failed")]
    Thread {
        /// Which one.
        name: String,
    },
}

impl RouterError {
    pub(crate) fn io(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |err| Self::Io { act, path, err }
    }
}
