//! Many connections of one source: it makes its own room, and nobody else loses anything.

use std::{net::IpAddr, sync::atomic::Ordering, time::Duration};

use router::{Limits, RouterConfig};
use tokio::net::TcpSocket;

use crate::harness::*;

/// A connection from one of this machine's own addresses.
async fn from(router: &Router, source: &str) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source.parse::<IpAddr>().unwrap(), 0).into()).unwrap();
    Raw { stream: socket.connect(router.addr).await.unwrap(), buf: vec![] }
}

fn reason(answer: &str) -> String {
    fields(answer).get("x-hoist-reason").cloned().unwrap_or_default()
}

/// Of these connections, how many the router has closed.
fn closed(all: &[Raw]) -> usize {
    let over = |raw: &&Raw| match raw.stream.try_read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(err) => err.kind() != std::io::ErrorKind::WouldBlock,
    };
    all.iter().filter(over).count()
}

fn small(config: &mut RouterConfig) {
    // Longer than this test: nobody is closed for being idle.
    let idle = Duration::from_secs(600);
    let limits = Limits { connections: 500, header_read: idle, client_idle: idle, ..Limits::default() };
    config.limits = Limits { per_source: 10_000, ..limits };
}

#[tokio::test]
async fn a_thousand_idle_of_one_source_do_not_shut_out_a_visitor_nor_cut_what_is_at_work() {
    let router = Router::with(small).await;
    let (echo, quiet) = (
        App::echo("echo").await,
        App::new(|s, _| async move { drop(Raw { stream: s, buf: vec![] }.rest().await) }).await,
    );
    let tunnel = App::new(|stream, _| async move {
        let mut raw = Raw { stream, buf: vec![] };
        raw.until("\r\n\r\n").await;
        raw.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        while raw.until("\n").await != "end\n" {
            raw.send("pong\n").await;
        }
    })
    .await;
    let stream = App::new(|stream, _| async move {
        let mut raw = Raw { stream, buf: vec![] };
        raw.until("\r\n\r\n").await;
        raw.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
        let _ = raw.rest().await;
    })
    .await;
    router
        .install(vec![
            serve("echo.test", vec![echo.target("e")]),
            serve("quiet.test", vec![quiet.target("q")]),
            serve("tunnel.test", vec![tunnel.target("t")]),
            serve("stream.test", vec![stream.target("s")]),
        ])
        .await;
    // A third one has a websocket, a stream, a request in flight, and one kept connection.
    let mut socket = from(&router, "127.0.0.3").await;
    socket.send("GET / HTTP/1.1\r\nHost: tunnel.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    socket.until("\r\n\r\n").await;
    let mut events = from(&router, "127.0.0.3").await;
    events.send("GET / HTTP/1.1\r\nHost: stream.test\r\n\r\n").await;
    events.until("data: 1\n\n").await;
    let mut posting = from(&router, "127.0.0.3").await;
    posting.send("POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 4\r\n\r\nab").await;
    let mut kept = from(&router, "127.0.0.3").await;
    kept.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n").await;
    kept.response().await;

    let mut crowd = vec![];
    for n in 0..1000 {
        let mut raw = from(&router, "127.0.0.2").await;
        if n % 3 == 0 {
            raw.send("GET / HTTP/1.1\r\nHost: echo").await;
        }
        crowd.push(raw);
        if n % 50 == 0 {
            // A visitor from elsewhere is answered at once, on a connection of its own.
            assert_eq!(status(&router.get("echo.test", "/").await), 200, "after {n}");
        }
    }
    wait_for("the crowd to make room", || closed(&crowd) >= 490).await;
    assert!(closed(&crowd[900..]) < 100, "the newest stay longest");
    // What the third one has goes on.
    socket.send("ping\n").await;
    socket.until("pong\n").await;
    posting.send("cd").await;
    assert!(posting.response().await.1.ends_with("abcd"));
    assert_eq!(closed(&[events]), 0);
    kept.send("GET /again HTTP/1.1\r\nHost: echo.test\r\n\r\n").await;
    assert!(kept.response().await.1.starts_with("echo\nGET /again "));
}

#[tokio::test]
async fn a_source_at_its_limit_replaces_its_own_oldest_and_at_work_it_is_turned_away() {
    let router = Router::with(|c| {
        small(c);
        c.limits.per_source = 8;
        c.workers = 1;
    })
    .await;
    let quiet = App::new(|s, _| async move { drop(Raw { stream: s, buf: vec![] }.rest().await) }).await;
    router.install(vec![serve("quiet.test", vec![quiet.target("q")])]).await;
    let mut neighbour = from(&router, "127.0.0.3").await;
    neighbour.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n").await;
    neighbour.response().await;
    let mut crowd = vec![];
    for _ in 0..20 {
        crowd.push(from(&router, "127.0.0.2").await);
    }
    wait_for("its oldest to go", || closed(&crowd) == 12).await;
    assert_eq!(closed(&crowd[..12]), 12);
    // All of them at work: now one more is refused, sooner or later, with the reason.
    let mut answers = vec![];
    for raw in &mut crowd[12..] {
        raw.send("GET / HTTP/1.1\r\nHost: quiet.test\r\n\r\n").await;
    }
    wait_for("eight at work", || quiet.connections.load(Ordering::SeqCst) == 8).await;
    answers.push(from(&router, "127.0.0.2").await.rest().await);
    assert_eq!((status(&answers[0]), reason(&answers[0]).as_str()), (503, "H22"));
    assert_eq!(closed(&[neighbour]), 0);
    assert_eq!(reason(&router.get("nobody.test", "/").await), "no-such-host");
}

#[tokio::test]
async fn requests_of_one_source_are_counted_and_a_trusted_proxy_speaks_for_many() {
    let router = Router::with(|c| {
        c.workers = 1;
        c.limits.per_source_requests = 3;
        c.trusted = vec!["127.0.0.9".parse().unwrap()];
    })
    .await;
    let quiet = App::new(|s, _| async move { drop(Raw { stream: s, buf: vec![] }.rest().await) }).await;
    router.install(vec![serve("quiet.test", vec![quiet.target("q")])]).await;
    let mut busy = vec![];
    let mut begin = async |source: &str, claim: &str| {
        let mut raw = from(&router, source).await;
        raw.send(format!("GET / HTTP/1.1\r\nHost: quiet.test\r\nX-Forwarded-For: {claim}\r\n\r\n")).await;
        busy.push(raw);
    };
    // What a stranger claims about itself changes nothing.
    for claim in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        begin("127.0.0.2", claim).await;
        begin("127.0.0.9", claim).await;
    }
    for _ in 0..2 {
        begin("127.0.0.9", "203.0.113.1").await;
    }
    wait_for("eight requests", || quiet.connections.load(Ordering::SeqCst) == 8).await;
    for (source, claim) in [("127.0.0.2", "203.0.113.4"), ("127.0.0.9", "203.0.113.1")] {
        let mut raw = from(&router, source).await;
        raw.send(format!(
            "GET / HTTP/1.1\r\nHost: quiet.test\r\nX-Forwarded-For: {claim}\r\nConnection: close\r\n\r\n"
        ))
        .await;
        let answer = raw.rest().await;
        assert_eq!((status(&answer), reason(&answer).as_str()), (429, "too-many-at-once"), "{source} for {claim}");
    }
    // One that ends makes room for the next of the same client.
    drop(busy.remove(0));
    let line = router.lines("app-1", 3).await;
    assert!(line.iter().any(|l| l.contains("code=too-many-at-once") && l.contains("status=429")), "{line:?}");
    let mut raw = from(&router, "127.0.0.2").await;
    raw.send("GET / HTTP/1.1\r\nHost: quiet.test\r\n\r\n").await;
    wait_for("its place", || quiet.connections.load(Ordering::SeqCst) == 9).await;
}

#[tokio::test]
async fn the_last_places_of_a_route_are_not_for_the_one_who_has_most() {
    let router = Router::with(|c| {
        c.workers = 1;
        c.limits.per_target = 8;
    })
    .await;
    let quiet = App::new(|s, _| async move { drop(Raw { stream: s, buf: vec![] }.rest().await) }).await;
    router.install(vec![serve("quiet.test", vec![quiet.target("q")])]).await;
    let mut busy = vec![];
    for (source, count) in [("127.0.0.2", 7), ("127.0.0.3", 1)] {
        for _ in 0..count {
            let mut raw = from(&router, source).await;
            raw.send("GET / HTTP/1.1\r\nHost: quiet.test\r\n\r\n").await;
            busy.push(raw);
        }
        wait_for("them at work", || quiet.connections.load(Ordering::SeqCst) == busy.len()).await;
        let mut more = from(&router, "127.0.0.2").await;
        more.send("GET / HTTP/1.1\r\nHost: quiet.test\r\nConnection: close\r\n\r\n").await;
        assert_eq!(reason(&more.rest().await), "H11");
    }
}

static SAID: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(vec![]);

#[tokio::test]
async fn what_was_closed_is_said_with_its_source_and_not_for_each() {
    let router = Router::with(|c| {
        small(c);
        c.workers = 1;
        c.limits.connections = 20;
        c.limits.report_every = Duration::from_millis(50);
        c.report = Some(|line| SAID.lock().unwrap().push(line.to_string()));
    })
    .await;
    let mut crowd = vec![];
    for _ in 0..200 {
        crowd.push(from(&router, "127.0.0.7").await);
    }
    let sum = || {
        let said = SAID.lock().unwrap();
        let counts = said.iter().map(|line| {
            let rest = line.strip_prefix("closed ").unwrap_or_else(|| panic!("{line}"));
            assert!(line.ends_with(&format!(": 127.0.0.7/32 {}", rest.split(' ').next().unwrap())), "{line}");
            rest.split(' ').next().unwrap().parse::<usize>().unwrap()
        });
        (counts.sum::<usize>(), said.len())
    };
    wait_for("the report", || sum().0 == 180).await;
    assert!(sum().1 < 100, "{} lines", sum().1);
}
