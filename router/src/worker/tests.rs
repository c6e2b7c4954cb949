//! A worker whose clients come without a socket: nothing that serves them may depend on one. Targets are on TCP.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::{JoinHandle, LocalSet, spawn_local},
    time::timeout,
};

use super::{
    Census, Order, Setup, open, serve,
    transport::{
        Entrance, Scheme, Transport,
        memory::{End, Listener, Memory},
        write,
    },
};
use crate::{
    access::Log,
    config::Limits,
    table::{Action, HostRoutes, Route, Target},
};

const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(100);
const PEER: &str = "203.0.113.9:4711";
const PROXY: &str = "198.51.100.1:4711";
const ASK: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const UPGRADE: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: p\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: p\r\n\r\n";

/// One worker, with one app behind it.
struct World {
    orders: mpsc::Sender<Order>,
    listener: Listener,
    worker: JoinHandle<std::io::Result<()>>,
    logs: tempfile::TempDir,
    log: Option<Log>,
}

/// Either side of a test, with what it has read.
struct Side<S> {
    stream: S,
    buf: Vec<u8>,
}

impl<S: Transport> Side<S> {
    async fn send(&mut self, text: &str) {
        write(&mut self.stream.split().1, text.as_bytes(), PATIENCE).await.unwrap();
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        timeout(PATIENCE, self.stream.split().0.read_buf(&mut self.buf)).await.expect("nobody writes")
    }

    async fn until(&mut self, mark: &str) -> String {
        loop {
            if let Some(at) = self.buf.windows(mark.len()).position(|w| w == mark.as_bytes()) {
                return String::from_utf8(self.buf.drain(..at + mark.len()).collect()).unwrap();
            }
            let more = self.more().await;
            assert!(matches!(more, Ok(1..)), "{more:?} before {mark:?}: {}", self.buf.escape_ascii());
        }
    }

    /// All that still comes, and how that ends.
    async fn rest(&mut self) -> (String, std::io::Result<()>) {
        let end = loop {
            match self.more().await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(err) => break Err(err),
            }
        };
        (String::from_utf8(std::mem::take(&mut self.buf)).unwrap(), end)
    }
}

impl World {
    /// `serve_one` is what the app does with a connection.
    async fn new<F: Future<Output = ()> + 'static>(
        limits: Limits,
        serve_one: impl Fn(Side<TcpStream>) -> F + 'static,
    ) -> Self {
        let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = app.local_addr().unwrap();
        spawn_local(async move {
            while let Ok((stream, _)) = app.accept().await {
                spawn_local(serve_one(Side { stream, buf: vec![] }));
            }
        });
        let logs = tempfile::tempdir().unwrap();
        let log = Log::start(logs.path().to_path_buf(), 1 << 20).unwrap();
        let (orders, inbox) = mpsc::channel(4);
        let setup = Setup {
            limits,
            orders: inbox,
            events: mpsc::channel(4).0,
            sink: log.sink(),
            own_log: Some("own".into()),
            number: (0, 1),
            trusted: Arc::from(["198.51.100.0/24".parse().unwrap()]),
            census: Arc::new(Census::new(1)),
            notes: mpsc::channel(4).0,
        };
        let listener = Listener::new(Entrance { scheme: Scheme::Https, port: 8443 });
        let door = listener.clone();
        let worker = spawn_local(serve(setup, move |worker| {
            open(worker, door);
            Ok(())
        }));
        let world = Self { orders, listener, worker, logs, log: Some(log) };
        world.route(addr).await;
        world
    }

    async fn route(&self, addr: SocketAddr) {
        let targets = vec![Target { id: "t".into(), addr, name: "web.1".into() }];
        let host: crate::table::HostPattern = "a.test".parse().unwrap();
        let action = Action::Serve { targets };
        let mut routes = HostRoutes::default();
        routes.upsert(Route { host: host.clone(), path: "/".parse().unwrap(), log: Some("app".into()), action });
        let (done, is_done) = oneshot::channel();
        let patch = Arc::new(vec![(host, Some(Arc::new(routes)))]);
        self.orders.send(Order::Patch { patch, done }).await.unwrap();
        is_done.await.unwrap();
    }

    /// A client whose connection has room for so many bytes each way.
    fn client(&self, room: usize) -> Side<Memory> {
        Side { stream: self.listener.connect(PEER, room), buf: vec![] }
    }

    /// Stops the worker, and gives back what it wrote to the app's log.
    async fn stop(&mut self) -> String {
        let _ = self.orders.send(Order::Stop { grace: PATIENCE }).await;
        timeout(PATIENCE, &mut self.worker).await.expect("the worker ends").unwrap().unwrap();
        self.log.take().unwrap().finish(PATIENCE);
        std::fs::read_to_string(self.logs.path().join("app/0")).unwrap_or_default()
    }
}

fn head_of(answer: &str) -> &str {
    answer.split("\r\n\r\n").next().unwrap()
}

/// Answers each request with its head as the body, and goes on.
async fn mirror(mut app: Side<TcpStream>) {
    while !app.buf.is_empty() || matches!(app.more().await, Ok(1..)) {
        let head = app.until("\r\n\r\n").await;
        let body = if head.contains("chunked") { app.until("0\r\n\r\n").await } else { String::new() };
        let text = format!("{head}{body}");
        app.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn requests_are_served_and_told_how_they_came() {
    run(async {
        let mut world = World::new(Limits::default(), mirror).await;
        // Seven bytes of room: every read and every write is in pieces.
        let mut client = world.client(7);
        let post = "POST /y HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        client.send(post).await;
        let answer = client.until("3\r\nabc\r\n0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("POST /y HTTP/1.1\r\n"), "{answer}");
        let told = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n";
        assert!(answer.contains(told), "{answer}");
        let ask = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
        client.send(ask).await;
        let (answer, end) = client.rest().await;
        assert!(head_of(&answer).contains("Connection: close") && end.is_ok(), "{end:?} after {answer}");
        assert_eq!(client.stream.ended(), Some(End::Clean));
        let lines = world.stop().await;
        assert_eq!(lines.matches(" protocol=http1.1 tls=true\n").count(), 2, "{lines}");
        assert!(lines.contains(" fwd=\"203.0.113.9\" instance=web.1 "), "{lines}");
    });
}

#[test]
fn a_proxy_may_say_otherwise_and_a_port_goes_with_its_scheme() {
    run(async {
        let mut world = World::new(Limits::default(), mirror).await;
        let mut proxy = Side { stream: world.listener.connect(PROXY, 1024), buf: vec![] };
        for (claim, told) in [
            ("", "https\r\nX-Forwarded-Port: 8443"),
            ("X-Forwarded-Proto: https\r\n", "https\r\nX-Forwarded-Port: 8443"),
            ("X-Forwarded-Proto: http\r\n", "http\r\nX-Forwarded-Port: 80"),
            ("X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\n", "http\r\nX-Forwarded-Port: 8080"),
        ] {
            proxy.send(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{claim}\r\n")).await;
            proxy.until("\r\n\r\n").await;
            let head = proxy.until("\r\n\r\n").await;
            assert!(head.contains(&format!("X-Forwarded-Proto: {told}\r\n")), "{claim:?}: {head}");
        }
        drop(proxy);
        world.stop().await;
    });
}

#[test]
fn a_body_until_the_end_ends_cleanly_and_one_that_breaks_off_does_not() {
    run(async {
        let answers = ["HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"];
        let answers = Rc::new(RefCell::new(answers.into_iter().rev().collect::<Vec<_>>()));
        let mut world = World::new(Limits::default(), move |mut app| {
            let answer = answers.borrow_mut().pop().unwrap();
            async move {
                app.until("\r\n\r\n").await;
                app.send(answer).await;
            }
        })
        .await;
        for want in [End::Clean, End::Reset] {
            let mut client = world.client(1024);
            client.send(ASK).await;
            let (answer, end) = client.rest().await;
            assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
            assert_eq!((end.is_ok(), client.stream.ended()), (want == End::Clean, Some(want)));
        }
        assert!(world.stop().await.contains("code=H18"));
    });
}

#[test]
fn a_tunnel_carries_both_ways_and_each_ends_for_itself() {
    run(async {
        let (said, heard) = oneshot::channel();
        let said = Rc::new(RefCell::new(Some(said)));
        let mut world = World::new(Limits::default(), move |mut app| {
            let said = said.borrow_mut().take().unwrap();
            async move {
                app.until("\r\n\r\n").await;
                app.send(&format!("{SWITCH}hello")).await;
                let (text, end) = app.rest().await;
                app.send("bye").await;
                said.send((text, end.is_ok())).unwrap();
            }
        })
        .await;
        let mut client = world.client(16);
        client.send(UPGRADE).await;
        assert!(client.until("\r\n\r\nhello").await.starts_with("HTTP/1.1 101 "));
        client.send("and all of this, in pieces").await;
        client.stream.split().1.shutdown().await.unwrap();
        assert_eq!(heard.await.unwrap(), ("and all of this, in pieces".to_string(), true));
        let (rest, end) = client.rest().await;
        assert_eq!((rest.as_str(), end.is_ok(), client.stream.ended()), ("bye", true, Some(End::Clean)));
        world.stop().await;
    });
}

#[test]
fn a_client_that_is_cut_off_ends_its_tunnel_and_its_request() {
    run(async {
        let (said, mut heard) = mpsc::channel(2);
        let mut world = World::new(Limits::default(), move |mut app| {
            let said = said.clone();
            async move {
                let head = app.until("\r\n\r\n").await;
                app.send(if head.contains("Upgrade: p") { SWITCH } else { "" }).await;
                app.rest().await.0.clear();
                said.send(()).await.unwrap();
            }
        })
        .await;
        let mut tunnel = world.client(1024);
        tunnel.send(UPGRADE).await;
        tunnel.until("\r\n\r\n").await;
        drop(tunnel);
        timeout(PATIENCE, heard.recv()).await.expect("the tunnel ends").unwrap();
        let mut client = world.client(1024);
        client.send(ASK).await;
        drop(client);
        timeout(PATIENCE, heard.recv()).await.expect("the request ends").unwrap();
        let lines = world.stop().await;
        assert!(lines.contains("code=H27") && lines.contains(" status=101 "), "{lines}");
    });
}

#[test]
fn peers_that_are_slow_are_cut() {
    run(async {
        let limits = Limits { header_read: SHORT, body_window: SHORT, idle_window: SHORT * 5, ..Limits::default() };
        let mut world = World::new(limits, |mut app| async move {
            app.until("\r\n\r\n").await;
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 1 << 20, "x".repeat(1 << 20));
            // It may be cut within.
            let _ = app.stream.split().1.write_all(text.as_bytes()).await;
            let _ = app.more().await;
        })
        .await;
        let mut client = world.client(1024);
        client.send("GET / HTTP/1.1\r\nHos").await;
        assert!(client.rest().await.0.starts_with("HTTP/1.1 408 "));
        // What it was sent would not fit, and it takes none of it.
        let mut client = world.client(1024);
        client.send(ASK).await;
        while client.stream.ended().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(client.stream.ended(), Some(End::Reset));
        let lines = world.stop().await;
        assert!(lines.contains("code=H28"), "{lines}");
    });
}

#[test]
fn a_drain_ends_what_is_idle_and_waits_for_what_is_not() {
    run(async {
        let limits = Limits { drain_idle: SHORT, ..Limits::default() };
        let (go, gone) = tokio::sync::watch::channel(false);
        let mut world = World::new(limits, move |mut app| {
            let mut gone = gone.clone();
            async move {
                app.until("\r\n\r\n").await;
                gone.wait_for(|go| *go).await.unwrap();
                app.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        })
        .await;
        let (mut idle, mut busy) = (world.client(1024), world.client(1024));
        idle.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
        assert!(idle.until("\r\n\r\n").await.contains("Connection: keep-alive"));
        busy.send(ASK).await;
        let stopped = spawn_local(async move { world.stop().await });
        // The page's body is what is left to read before the end.
        let _ = idle.rest().await;
        assert!(busy.stream.ended().is_none() && !stopped.is_finished());
        go.send(true).unwrap();
        let (answer, end) = busy.rest().await;
        assert!(answer.contains("Connection: close\r\n") && answer.ends_with("ok") && end.is_ok(), "{answer}");
        assert!(stopped.await.unwrap().contains(" status=200 "));
    });
}

#[test]
fn one_too_many_is_told_so_without_being_served() {
    run(async {
        let limits = Limits { connections: 1, ..Limits::default() };
        let mut world = World::new(limits, |mut app| async move { drop(app.rest().await) }).await;
        let mut busy = world.client(1024);
        busy.send(UPGRADE).await;
        let answer = loop {
            let mut more = world.client(1024);
            // Until the first one is at work it may be closed for another.
            if let Ok(Ok(1..)) = timeout(SHORT, more.stream.split().0.read_buf(&mut more.buf)).await {
                break more.rest().await.0;
            }
            assert!(busy.stream.ended().is_none());
        };
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("X-Hoist-Reason: H22\r\n"), "{answer}");
        drop(busy);
        world.stop().await;
    });
}
