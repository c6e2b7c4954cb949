//! Requests that are served: keep-alive, streaming, retry, other targets.

use std::sync::atomic::Ordering;

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::*;

#[tokio::test]
async fn keep_alive_and_pipelining_in_order() {
    let (router, app) = (Router::start().await, App::echo("one").await);
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    for n in 0..5 {
        raw.send(format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\nX-Request-Id: abcdefghij-0123456789\r\n\r\n")).await;
        let (head, body) = raw.response().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("close"), "{head}");
        assert!(body.starts_with(&format!("one\nGET /{n} HTTP/1.1\r\nHost: a.test\r\n")), "{body}");
        assert!(body.contains("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"), "{body}");
        assert!(body.contains(&format!("X-Forwarded-Port: {}\r\n", router.addr.port())), "{body}");
        assert!(body.contains("X-Request-Id: abcdefghij-0123456789\r\n"), "{body}");
        assert!(body.contains("Via: 1.1 hoist\r\n"), "{body}");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 1, "the connection to the target is kept");
    let post = "POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    raw.send(format!("{post}GET /q HTTP/1.1\r\nHost: a.test\r\n\r\n{chunked}HEAD /h HTTP/1.1\r\nHost: a.test\r\n\r\n"))
        .await;
    for want in ["POST /p", "GET /q", "POST /c"] {
        let (_, body) = raw.response().await;
        assert!(body.starts_with(&format!("one\n{want} ")), "{body}");
    }
    assert!(raw.until("\r\n\r\n").await.contains("Content-Length: "));
    let lines = router.lines("app-1", 9).await;
    let end = " instance=web.1 connect=0ms service=";
    assert!(lines[1].starts_with("at=info method=GET path=\"/1\" host=a.test request_id=abcdefghij-0123456789 "));
    assert!(lines[1].contains(end) && lines[1].contains("protocol=http1.1 tls=false"), "{}", lines[1]);
    router.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn first_byte_of_a_stream_at_once_and_the_rest_as_it_comes() {
    let (go, mut gone) = tokio::sync::mpsc::channel::<()>(1);
    let app = App::new(move |stream, _| {
        let go = go.clone();
        async move {
            let mut raw = Raw { stream, buf: vec![] };
            read_request(&mut raw).await.unwrap();
            raw.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
            let _ = raw.rest().await;
            drop(go);
        }
    })
    .await;
    let router = Router::start().await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    raw.until("data: 1\n\n").await;
    assert_eq!(router.client.loads(vec!["t1".into()], PATIENCE).await.unwrap().0[0].in_flight, 1);
    // The client leaves: the target must notice without having sent anything.
    drop(raw);
    app.kill();
    let _ = gone.recv().await;
    let idle = router.client.wait_idle(vec!["t1".into()], PATIENCE).await.unwrap();
    assert_eq!(idle[0].in_flight, 0);
}

#[tokio::test]
async fn a_body_streams_up_while_it_is_sent() {
    let (app, router) = (upper().await, Router::start().await);
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    raw.send("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n").await;
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    raw.send("ab").await;
    raw.until("\r\n\r\nAB").await;
    raw.send("cdef").await;
    raw.until("CDEF").await;
}

/// Answers 100, then a response of six bytes that is the request's body in upper case, piece by piece.
async fn upper() -> App {
    App::new(|stream, _| async move {
        let mut raw = Raw { stream, buf: vec![] };
        let head = raw.until("\r\n\r\n").await;
        assert!(head.contains("Expect: 100-continue\r\n"), "{head}");
        raw.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let mut seen = 0;
        while seen < 6 {
            if raw.buf.is_empty()
                && tokio::io::AsyncReadExt::read_buf(&mut raw.stream, &mut raw.buf).await.unwrap() == 0
            {
                return;
            }
            if seen == 0 {
                raw.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
            }
            seen += raw.buf.len();
            let piece = raw.buf.to_ascii_uppercase();
            raw.buf.clear();
            raw.send(piece).await;
        }
    })
    .await
}

#[tokio::test]
async fn old_clients_get_plain_bodies() {
    let app =
        App::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n")
            .await;
    let router = Router::start().await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let old = router.once("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    assert!(old.ends_with("\r\nConnection: close\r\n\r\nabcde") && !old.contains("chunked"), "{old}");
    let new = router.get("a.test", "/").await;
    assert!(new.ends_with("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "{new}");
}

#[tokio::test]
async fn a_kept_connection_that_the_target_closed_is_tried_again() {
    // The first connection serves one request and dies at the second; others live.
    let app = App::new(|stream, n| async move {
        let mut raw = Raw { stream, buf: vec![] };
        let mut served = 0;
        while read_request(&mut raw).await.is_some() {
            if n == 0 && served == 1 {
                return;
            }
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            served += 1;
        }
    })
    .await;
    let router = Router::start().await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    for _ in 0..3 {
        raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
        assert_eq!(raw.response().await.1, "ok");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 2);
    // A POST never goes on a connection that served before.
    raw.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(raw.response().await.1, "ok");
    assert_eq!(app.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_target_that_refuses_is_passed_over() {
    let (router, app) = (Router::start().await, App::echo("live").await);
    let dead = router::table::Target { addr: dead_addr(), ..app.target("dead") };
    router.install(vec![serve("a.test", vec![dead.clone(), app.target("live")]), serve("b.test", vec![dead])]).await;
    for _ in 0..6 {
        assert!(router.get("a.test", "/").await.contains("live\n"));
    }
    let refused = router.get("b.test", "/").await;
    assert_eq!((status(&refused), fields(&refused)["x-hoist-reason"].as_str()), (503, "H21"));
}

#[tokio::test]
async fn broken_answers_become_pages_or_cuts() {
    let router = Router::start().await;
    for (answer, want) in [
        ("", "H13"),
        ("HTTP/1.1 200", "H13"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\r\n\r\nx", "H17"),
        ("nonsense\r\n\r\n", "H17"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "H17"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "H17"),
    ] {
        let app = App::answering(answer).await;
        router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
        let page = router.get("a.test", "/").await;
        assert_eq!(fields(&page).get("x-hoist-reason").map(String::as_str), Some(want), "{answer:?}: {page}");
    }
    let app = App::answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    router.install(vec![serve("a.test", vec![app.target("t2")])]).await;
    assert!(!router.get("a.test", "/").await.contains("HTTP/1.1 503"));
    let lines = router.lines("app-1", 7).await;
    assert!(lines[6].starts_with("at=error code=H18 desc=\"Server request interrupted\" "), "{}", lines[6]);
    assert_eq!(router.client.loads(vec!["t2".into()], PATIENCE).await.unwrap().0[0].failed, 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_waiting_is_a_499() {
    let app = App::new(|stream, _| async move { drop(Raw { stream, buf: vec![] }.rest().await) }).await;
    let router = Router::start().await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    raw.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    wait_for("the target", || app.connections.load(Ordering::SeqCst) == 1).await;
    drop(raw);
    let line = router.lines("app-1", 1).await.remove(0);
    assert!(line.starts_with("at=error code=H27 ") && line.contains(" status=499 "), "{line}");
}

#[tokio::test]
async fn a_large_body_both_ways_is_not_changed() {
    let app = App::new(|mut stream: TcpStream, _| async move {
        let mut raw_head = vec![0; 65536];
        let mut seen = vec![];
        while seen.len() < 4 << 20 {
            let n = tokio::io::AsyncReadExt::read(&mut stream, &mut raw_head).await.unwrap();
            assert!(n > 0);
            seen.extend_from_slice(&raw_head[..n]);
            if let Some(at) = seen.windows(4).position(|w| w == b"\r\n\r\n")
                && seen.starts_with(b"PUT")
            {
                seen.drain(..at + 4);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4194304\r\n\r\n").await.unwrap();
            }
        }
        stream.write_all(&seen).await.unwrap();
    })
    .await;
    let router = Router::start().await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let body: Vec<u8> = (0..4u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut raw = router.connect().await;
    raw.send("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4194304\r\n\r\n").await;
    raw.send(&body).await;
    raw.until("\r\n\r\n").await;
    while raw.buf.len() < body.len() {
        assert!(tokio::io::AsyncReadExt::read_buf(&mut raw.stream, &mut raw.buf).await.unwrap() > 0);
    }
    assert!(raw.buf == body);
}

#[tokio::test]
async fn a_cut_response_without_length_does_not_look_complete() {
    let app = App::answering_open("HTTP/1.1 200 OK\r\n\r\npart").await;
    let router = Router::with(|c| c.limits.idle_window = std::time::Duration::from_millis(100)).await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    raw.until("part").await;
    let end = tokio::io::AsyncReadExt::read_buf(&mut raw.stream, &mut raw.buf).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
