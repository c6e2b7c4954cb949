//! The gate over raw TCP: one request in gives at most one out, and what is odd ends the connection.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::harness::*;

/// A target that counts requests as a lenient server would see them: every line that ends like a request line.
async fn counting() -> (App, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let app = App::new(move |stream, _| {
        let seen = count.clone();
        async move {
            let mut raw = Raw { stream, buf: vec![] };
            while let Some(text) = read_request(&mut raw).await {
                seen.fetch_add(text.matches(" HTTP/1.").count().max(1), Ordering::SeqCst);
                raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (app, seen)
}

#[tokio::test]
async fn the_gates_corpus_over_the_wire() {
    let (app, seen) = counting().await;
    let router = Router::start().await;
    router.install(vec![serve("a", vec![app.target("t1")]), serve("a.b", vec![app.target("t1")])]).await;
    for (request, verdict) in include!("../../src/gate/corpus.in") {
        if verdict.contains("Length(") || verdict.contains("Chunked") {
            continue; // Heads whose body this test does not send.
        }
        seen.store(0, Ordering::SeqCst);
        let close = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let request = if verdict.starts_with(char::is_numeric) { request } else { &close };
        // What follows must never be taken for a request after a refusal.
        let text =
            format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled-smuggled-smuggled\r\n\r\n");
        let answer = router.once(&text).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert_eq!(answers, 1, "{request:?}: {answer}");
        let want = verdict.split(' ').next().unwrap().parse().unwrap_or(0);
        if want > 0 {
            assert_eq!((status(&answer), seen.load(Ordering::SeqCst)), (want, 0), "{request:?}: {answer}");
            assert_eq!(fields(&answer)["connection"], "close");
        } else {
            assert!(seen.load(Ordering::SeqCst) <= 1, "{request:?}");
        }
    }
}

#[tokio::test]
async fn malformed_chunks_never_end_as_two_requests() {
    let (app, seen) = counting().await;
    let router = Router::start().await;
    router.install(vec![serve("a", vec![app.target("t1")])]).await;
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3;ext\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc",
        "3\r\nabc\r\n0\r\n\n",
        "-3\r\nabc\r\n0\r\n\r\n",
    ] {
        seen.store(0, Ordering::SeqCst);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = router.once(&format!("{head}{body}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!((status(&answer), seen.load(Ordering::SeqCst)), (400, 0), "{body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    // Trailers are dropped: they could say what only the router may.
    let body = "3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&router.once(&format!("{head}{body}")).await), 200);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn large_heads_and_unknown_hosts() {
    let router = Router::start().await;
    let get = |extra: String| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{extra}\r\n");
    for (extra, want) in [
        (format!("A: {}\r\n", "x".repeat(32_000)), 404),
        (format!("A: {}\r\n", "x".repeat(33_000)), 431),
        ("A: b\r\n".repeat(998), 404),
        ("A: b\r\n".repeat(999), 431),
        (format!("A: {}\r\n", "x".repeat(8000)).repeat(9), 431),
    ] {
        assert_eq!(status(&router.once(&get(extra)).await), want);
    }
    assert_eq!(status(&router.get("a", &format!("/{}", "x".repeat(32_000))).await), 404);
    assert_eq!(status(&router.get("a", &format!("/{}", "x".repeat(33_000))).await), 414);
    let page = router.get("nobody.test", "/").await;
    assert_eq!(fields(&page)["x-hoist-reason"], "no-such-host");
    let lines = router.lines("router", 8).await;
    assert!(lines[7].contains("code=no-such-host") && lines[7].contains("status=404"), "{}", lines[7]);
    assert!(lines[1].contains("code=H26") && lines[1].contains("status=431"), "{}", lines[1]);
}
