//! A router in a thread, targets that answer as told, and raw clients.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use router::{
    Limits, RouterClient, RouterConfig, RouterError,
    client::Events,
    proto::{Hello, Snapshot},
    table::{Action, Route, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, timeout},
};

pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Router {
    pub addr: SocketAddr,
    pub client: RouterClient,
    pub hello: Hello,
    pub events: Events,
    pub generation: AtomicU64,
    pub dir: PathBuf,
    _temp: Option<tempfile::TempDir>,
    thread: Option<JoinHandle<Result<(), RouterError>>>,
}

pub fn config(dir: &Path) -> RouterConfig {
    RouterConfig {
        workers: 2,
        boot_id: Some("boot-1".into()),
        own_log: Some("router".into()),
        ..RouterConfig::new(dir.join("data"), dir.join("logs"))
    }
}

impl Router {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        Self::with(|c| c.limits = limits).await
    }

    pub async fn with(tweak: impl FnOnce(&mut RouterConfig)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut config = config(temp.path());
        tweak(&mut config);
        let mut router = Self::from(config, temp.path()).await.unwrap();
        router._temp = Some(temp);
        router
    }

    pub async fn from(config: RouterConfig, dir: &Path) -> Result<Self, RouterError> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (ready, is_ready) = oneshot::channel();
        let socket = config.socket();
        let thread = std::thread::spawn(move || router::run(config, vec![listener], |r| drop(ready.send(r.clone()))));
        if timeout(PATIENCE, is_ready).await.unwrap().is_err() {
            return Err(thread.join().unwrap().unwrap_err());
        }
        let (client, hello, events) = RouterClient::connect(&socket, PATIENCE).await.unwrap();
        let generation = AtomicU64::new(hello.generation);
        let dir = dir.to_path_buf();
        Ok(Self { addr, client, hello, events, generation, dir, _temp: None, thread: Some(thread) })
    }

    pub async fn install(&self, routes: Vec<Route>) -> u64 {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        self.client.install(Snapshot { generation, routes }, PATIENCE).await.unwrap()
    }

    pub async fn connect(&self) -> Raw {
        Raw { stream: TcpStream::connect(self.addr).await.unwrap(), buf: vec![] }
    }

    /// One request on a connection of its own; the whole answer until the router closes.
    pub async fn once(&self, request: &str) -> String {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.rest().await
    }

    pub async fn get(&self, host: &str, path: &str) -> String {
        self.once(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    }

    /// Ends it and waits for its thread.
    pub async fn stop(mut self, grace: Duration) -> Result<(), RouterError> {
        self.client.shutdown(grace, PATIENCE).await.unwrap();
        let thread = self.thread.take().unwrap();
        wait_for("the router to end", || thread.is_finished()).await;
        thread.join().unwrap()
    }

    /// The texts of a spool's lines, once there are so many.
    pub async fn lines(&self, key: &str, count: usize) -> Vec<String> {
        let path = self.dir.join("logs").join(key).join("0");
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        wait_for("log lines", || read().lines().count() > count).await;
        // Two workers write in batches: only the stamps tell the order.
        let text = read();
        let mut lines: Vec<_> = text.lines().skip(1).map(|l| l.split_once(" r ").unwrap()).collect();
        lines.sort();
        lines.into_iter().map(|(_, text)| text.to_string()).collect()
    }
}

pub struct Raw {
    pub stream: TcpStream,
    pub buf: Vec<u8>,
}

impl Raw {
    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(text.as_ref())).await.unwrap().unwrap();
    }

    async fn more(&mut self) -> usize {
        timeout(PATIENCE, self.stream.read_buf(&mut self.buf)).await.expect("the router says nothing").unwrap_or(0)
    }

    /// Everything up to and including the mark.
    pub async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = self.buf.windows(mark.len()).position(|w| w == mark.as_bytes()) {
                let text: Vec<u8> = self.buf.drain(..at + mark.len()).collect();
                return String::from_utf8_lossy(&text).into_owned();
            }
            if self.more().await == 0 {
                panic!("closed before {mark:?}: {}", self.buf.escape_ascii());
            }
        }
    }

    pub async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buf)).into_owned()
    }

    /// One response with a Content-Length: head and body.
    pub async fn response(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap());
        while self.buf.len() < length {
            assert!(self.more().await > 0, "closed within a body after {head}");
        }
        let body: Vec<u8> = self.buf.drain(..length).collect();
        (head, String::from_utf8_lossy(&body).into_owned())
    }
}

/// A target: accepts, and does with each connection what it is told.
pub struct App {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl App {
    pub async fn new<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                all.spawn(serve(stream, count.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { addr, connections, task }
    }

    /// Answers every request with its own head and body behind a name, keep-alive.
    pub async fn echo(name: &'static str) -> Self {
        Self::new(move |stream, _| async move {
            let mut raw = Raw { stream, buf: vec![] };
            while let Some(seen) = read_request(&mut raw).await {
                let body = format!("{name}\n{seen}");
                let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                if raw.stream.write_all(reply.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Reads one head, answers with these bytes, and closes.
    pub async fn answering(bytes: &str) -> Self {
        let bytes: Arc<[u8]> = bytes.as_bytes().into();
        Self::new(move |stream, _| {
            let bytes = bytes.clone();
            async move {
                let mut raw = Raw { stream, buf: vec![] };
                if read_request(&mut raw).await.is_some() {
                    let _ = raw.stream.write_all(&bytes).await;
                }
            }
        })
        .await
    }

    /// Reads one head, answers with these bytes, and stays open.
    pub async fn answering_open(bytes: &'static str) -> Self {
        Self::new(move |stream, _| async move {
            let mut raw = Raw { stream, buf: vec![] };
            raw.until("\r\n\r\n").await;
            raw.send(bytes).await;
            raw.rest().await;
        })
        .await
    }

    pub fn target(&self, id: &str) -> Target {
        Target { id: id.into(), addr: self.addr, name: "web.1".into() }
    }

    pub fn kill(&self) {
        self.task.abort();
    }
}

/// A naive reader of one request: head, then Content-Length or chunks to their literal end.
pub async fn read_request(raw: &mut Raw) -> Option<String> {
    let find = |buf: &[u8], mark: &[u8]| buf.windows(mark.len()).position(|w| w == mark).map(|at| at + mark.len());
    let mut wanted = None;
    loop {
        if wanted.is_none()
            && let Some(end) = find(&raw.buf, b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&raw.buf[..end]).to_lowercase();
            let length: Option<usize> =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).map(|n| n.trim().parse().unwrap());
            wanted = match length {
                Some(n) => Some(end + n),
                None if head.contains("transfer-encoding: chunked") => find(&raw.buf, b"0\r\n\r\n"),
                None => Some(end),
            };
        }
        if let Some(n) = wanted.filter(|n| raw.buf.len() >= *n) {
            let text: Vec<u8> = raw.buf.drain(..n).collect();
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
        if raw.stream.read_buf(&mut raw.buf).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

pub fn route(host: &str, path: &str, action: Action) -> Route {
    Route { host: host.parse().unwrap(), path: path.parse().unwrap(), log: Some("app-1".into()), action }
}

pub fn serve(host: &str, targets: Vec<Target>) -> Route {
    route(host, "/", Action::Serve { targets })
}

pub fn dead_addr() -> SocketAddr {
    // Bound and dropped: nobody listens there now.
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits for a state, checking as often as the scheduler lets it.
pub async fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

pub fn fields(answer: &str) -> HashMap<String, String> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_string())).collect()
}
