//! Times and counts, lowered so that a test can see them.

use std::{sync::atomic::Ordering, time::Duration};

use router::{HeadLimits, Limits, table::Action};

use crate::harness::*;

const SHORT: Duration = Duration::from_millis(200);

async fn silent() -> App {
    App::new(|stream, _| async move { drop(Raw { stream, buf: vec![] }.rest().await) }).await
}

fn reason(answer: &str) -> String {
    fields(answer).get("x-hoist-reason").cloned().unwrap_or_default()
}

#[tokio::test]
async fn slow_heads_bodies_and_answers_are_cut() {
    // The body's window well before the answer's: with both due at once either cause would be right.
    let first_byte = SHORT * 5;
    let short = Limits { header_read: SHORT, body_window: SHORT, first_byte, client_idle: SHORT, ..Limits::default() };
    let router = Router::with_limits(Limits { idle_window: SHORT, ..short }).await;
    let (quiet, echo) = (silent().await, App::echo("echo").await);
    let stuck = App::answering_open("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await;
    router
        .install(vec![
            serve("quiet.test", vec![quiet.target("q")]),
            serve("echo.test", vec![echo.target("e")]),
            serve("stuck.test", vec![stuck.target("s")]),
        ])
        .await;
    assert_eq!(router.once("").await, "", "a connection that never says anything");
    assert_eq!(status(&router.once("GET / HTTP/1.1\r\nHost: quie").await), 408);
    let answer = router.once("POST / HTTP/1.1\r\nHost: quiet.test\r\nContent-Length: 9\r\n\r\nabc").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (408, "H28"));
    let answer = router.get("quiet.test", "/").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (503, "H12"));
    let idle = router.once("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n").await;
    assert!(
        idle.starts_with("HTTP/1.1 200") && !idle.contains("HTTP/1.1 503"),
        "kept, then closed without a word: {idle}"
    );
    router.get("stuck.test", "/").await;
    let lines = router.lines("app-1", 4).await;
    for (line, want) in lines.iter().zip(["code=H28", "code=H12", "at=info", "code=H15"]) {
        assert!(line.contains(want), "{line}");
    }
}

#[tokio::test]
async fn a_body_that_drips_is_cut_by_its_average() {
    let limits = Limits { body_grace: SHORT, body_rate: 1000, ..Limits::default() };
    let router = Router::with_limits(limits).await;
    let app = silent().await;
    router.install(vec![serve("a.test", vec![app.target("t")])]).await;
    let mut raw = router.connect().await;
    raw.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\n").await;
    let mut drip = tokio::time::interval(Duration::from_millis(10));
    let answer = loop {
        drip.tick().await;
        let mut seen = [0; 4096];
        match raw.stream.try_read(&mut seen) {
            Ok(n) => break String::from_utf8_lossy(&seen[..n]).into_owned(),
            Err(_) => raw.send("x").await,
        }
    };
    assert_eq!(status(&answer), 408);
}

#[tokio::test]
async fn more_than_a_route_may_have_is_h11_and_no_target_is_h14() {
    let router = Router::with(|c| {
        c.workers = 1;
        c.limits.per_target = 2;
    })
    .await;
    let app = silent().await;
    router.install(vec![serve("a.test", vec![app.target("t")]), serve("none.test", vec![])]).await;
    let mut busy = vec![router.connect().await, router.connect().await];
    for raw in &mut busy {
        raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    }
    wait_for("two requests", || app.connections.load(Ordering::SeqCst) == 2).await;
    assert_eq!(reason(&router.get("a.test", "/").await), "H11");
    assert_eq!(reason(&router.get("none.test", "/").await), "H14");
}

#[tokio::test]
async fn what_is_at_work_is_not_replaced_and_one_more_is_turned_away() {
    let router = Router::with(|c| {
        c.workers = 1;
        c.limits.connections = 2;
    })
    .await;
    let app = silent().await;
    router.install(vec![serve("quiet.test", vec![app.target("q")])]).await;
    let (mut one, mut two) = (router.connect().await, router.connect().await);
    for raw in [&mut one, &mut two] {
        raw.send("GET / HTTP/1.1\r\nHost: quiet.test\r\n\r\n").await;
    }
    wait_for("two requests", || app.connections.load(Ordering::SeqCst) == 2).await;
    assert_eq!(reason(&router.connect().await.rest().await), "H22");
    drop(one);
    let mut answer = String::new();
    for _ in 0..1000 {
        answer = router.get("a.test", "/").await;
        if status(&answer) == 404 {
            break;
        }
    }
    assert_eq!(status(&answer), 404);
}

/// Cookies and policies of real apps, and of those who write their own HTTP.
#[tokio::test]
async fn answers_with_large_heads_and_bare_lf_come_through() {
    let router = Router::start().await;
    let long = format!("Content-Security-Policy: {}\r\n", "x".repeat(200_000));
    let many: String = (0..990).map(|n| format!("Set-Cookie: c{n}=1\r\n")).collect();
    let too_long = format!("A: {}\r\n", "x".repeat(300_000));
    let too_many = "A: b\r\n".repeat(1001);
    let with = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let bare = |text: &str| text.replace('\r', "");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n";
    for (answer, want) in [
        (with(&long), 200),
        (with(&many), 200),
        (with(&too_long), 502),
        (with(&too_many), 502),
        (bare(&with("A: b\r\n")), 200),
        (bare(&with(&many)), 200),
        (bare(chunked), 200),
        (chunked.replace("o\r\n", "o\n"), 200),
        (with("A: b\r\n").replace("A: b\r\n", "A: b\rc\r\n"), 502),
        (with("A: b\n c\n"), 502),
    ] {
        let app = App::answering(&answer).await;
        router.install(vec![serve("a.test", vec![app.target("t")])]).await;
        let got = router.get("a.test", "/").await;
        assert_eq!(status(&got), want, "{} -> {}", &answer[..answer.len().min(99)], &got[..got.len().min(99)]);
        if want == 200 {
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            let fields = head.lines().count();
            assert!(body == "ok" || body == "1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "{body:?}");
            assert_eq!(got.matches('\n').count(), got.matches("\r\n").count(), "only CRLF leaves: {got:?}");
            assert!(!answer.contains("c989") || fields > 990, "{fields} lines");
        }
    }
}

#[tokio::test]
async fn limits_of_heads_are_settings() {
    let small = HeadLimits { first_line: 100, field_line: 200, fields: 5, head: 400 };
    let limits = Limits { request_head: small, response_head: small, ..Limits::default() };
    let router = Router::with_limits(limits).await;
    let app =
        App::answering("HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nContent-Length: 0\r\n\r\n").await;
    router.install(vec![serve("a.test", vec![app.target("t")])]).await;
    assert_eq!(reason(&router.get("a.test", "/").await), "H17");
    let get = |extra: String| format!("GET / HTTP/1.1\r\nHost: b.test\r\n{extra}Connection: close\r\n\r\n");
    for (extra, want) in [(3, 404), (4, 431)] {
        assert_eq!(status(&router.once(&get("A: b\r\n".repeat(extra))).await), want);
    }
    assert_eq!(status(&router.once(&get(format!("A: {}\r\n", "x".repeat(199)))).await), 431);
    assert_eq!(status(&router.get("b.test", &format!("/{}", "x".repeat(90))).await), 414);
}

/// Copied from a zone file, or written by a program that asks for the name in full.
#[tokio::test]
async fn a_name_said_in_full_is_the_same_host() {
    let router = Router::start().await;
    let app = App::echo("echo").await;
    router.install(vec![serve("a.test", vec![app.target("t")]), serve("*.b.test", vec![app.target("t")])]).await;
    for (host, seen) in
        [("a.test.", "a.test"), ("A.TEST.:80", "A.TEST:80"), ("x.b.test.", "x.b.test"), ("a.test", "a.test")]
    {
        let got = router.get(host, "/").await;
        assert!(status(&got) == 200 && got.contains(&format!("Host: {seen}\r\n")), "{host}: {got}");
    }
    assert_eq!(status(&router.get("a.test..", "/").await), 400);
    assert_eq!(status(&router.get("c.test.", "/").await), 404);
}

#[tokio::test]
async fn held_requests_wait_wake_and_go_on() {
    let mut router = Router::start().await;
    let app = App::echo("awake").await;
    let hold = |max_wait| route("a.test", "/", Action::Hold { max_wait });
    router.install(vec![hold(SHORT)]).await;
    assert_eq!(reason(&router.get("a.test", "/").await), "H20");
    router.install(vec![hold(PATIENCE)]).await;
    while router.events.try_recv().is_ok() {}
    let (mut stays, mut leaves) = (router.connect().await, router.connect().await);
    for raw in [&mut stays, &mut leaves] {
        raw.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    }
    let held = async |want: u64| while router.client.loads(vec![], PATIENCE).await.unwrap().1 != want {};
    held(2).await;
    drop(leaves);
    held(1).await;
    let event = tokio::time::timeout(PATIENCE, router.events.recv()).await.unwrap().unwrap();
    let router::proto::Event::Wake { route, .. } = event;
    assert_eq!(route.host.to_string(), "a.test");
    router.install(vec![serve("a.test", vec![app.target("t")])]).await;
    assert!(stays.response().await.1.starts_with("awake\nGET /x "));
}

#[tokio::test]
async fn pages_come_as_ordered() {
    let router = Router::start().await;
    let page = Action::Page {
        status: 503,
        code: "H80".into(),
        desc: "Maintenance mode".into(),
        retry_after: None,
        html: None,
    };
    router.install(vec![route("a.test", "/", page)]).await;
    let mut raw = router.connect().await;
    for (method, accept) in [("GET", "text/html"), ("HEAD", "*/*"), ("GET", "application/json")] {
        raw.send(format!("{method} / HTTP/1.1\r\nHost: a.test\r\nAccept: {accept}\r\n\r\n")).await;
        if method == "HEAD" {
            raw.until("\r\n\r\n").await;
            continue;
        }
        let (head, body) = raw.response().await;
        assert!(head.contains("X-Hoist-Reason: H80\r\n") && head.contains("Connection: keep-alive"), "{head}");
        assert!(body.contains("Maintenance mode"), "{body}");
    }
    let lines = router.lines("app-1", 3).await;
    assert!(lines[0].starts_with("at=info code=H80 desc=\"Maintenance mode\" "), "{}", lines[0]);
}
