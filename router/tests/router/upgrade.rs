//! Upgraded connections, and upgrades that are refused.

use crate::harness::*;

const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn a_tunnel_carries_both_ways_and_nothing_before_101() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let app = App::new(move |stream, _| {
        let mut wait = wait.clone();
        async move {
            let mut raw = Raw { stream, buf: vec![] };
            let head = raw.until("\r\n\r\n").await;
            assert!(head.contains("Connection: upgrade\r\nUpgrade: websocket\r\n"), "{head}");
            wait.wait_for(|go| *go).await.unwrap();
            let early = raw.stream.try_read(&mut [0; 64]);
            assert!(early.is_err() && raw.buf.is_empty(), "bytes before 101: {early:?}");
            raw.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi").await;
            raw.until("early+late").await;
            raw.send("bye").await;
        }
    })
    .await;
    let router = Router::start().await;
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    raw.send(format!("{ASK}early")).await;
    let targets = || vec!["t1".to_string()];
    while router.client.loads(targets(), PATIENCE).await.unwrap().0[0].in_flight == 0 {}
    go.send(true).unwrap();
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: websocket\r\n"), "{head}");
    raw.until("hi").await;
    assert_eq!(router.client.loads(targets(), PATIENCE).await.unwrap().0[0].tunnels, 1);
    raw.send("+late").await;
    assert_eq!(raw.rest().await, "bye");
    drop(raw);
    let load = router.client.wait_idle(targets(), PATIENCE).await.unwrap();
    assert_eq!((load[0].tunnels, load[0].served), (0, 1));
}

#[tokio::test]
async fn a_refused_upgrade_closes_and_what_followed_is_no_request() {
    let (app, router) = (App::echo("plain").await, Router::start().await);
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let answer = router.once(&format!("{ASK}GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    assert!(answer.contains("Connection: close\r\n") && !answer.contains("smuggled"), "{answer}");
}
