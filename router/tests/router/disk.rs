//! The router's own table: restarts without a control process, other boots, torn journals.

use std::{sync::atomic::Ordering, time::Duration};

use router::{RouterConfig, RouterError, client::ClientError, proto::Change};

use crate::harness::*;

fn quick(dir: &std::path::Path) -> RouterConfig {
    let mut config = config(dir);
    config.limits.drain_idle = Duration::ZERO;
    config
}

async fn change(router: &Router, upsert: router::table::Route) -> Result<u64, ClientError> {
    let base = router.generation.load(Ordering::SeqCst);
    let change = Change { generation: base + 1, base, upsert: vec![upsert], remove: vec![] };
    router.generation.store(base + 1, Ordering::SeqCst);
    router.client.change(change, PATIENCE).await
}

#[tokio::test]
async fn serves_after_a_restart_without_control() {
    let (dir, app) = (tempfile::tempdir().unwrap(), App::echo("app").await);
    let router = Router::from(quick(dir.path()), dir.path()).await.unwrap();
    assert_eq!((router.hello.generation, router.hello.held), (0, true));
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    change(&router, serve("b.test", vec![app.target("t1")])).await.unwrap();
    router.stop(PATIENCE).await.unwrap();
    let router = Router::from(quick(dir.path()), dir.path()).await.unwrap();
    assert_eq!((router.hello.generation, router.hello.held, router.hello.active), (2, false, true));
    for host in ["a.test", "b.test"] {
        assert_eq!(status(&router.get(host, "/").await), 200);
    }
    // A second process on the same folder shows what a kill -9 would leave: the files as they are now.
    let copy = tempfile::tempdir().unwrap();
    copy_routes(dir.path(), copy.path());
    let journal = copy.path().join("data/routes/journal");
    change(&router, serve("c.test", vec![app.target("t1")])).await.unwrap();
    let whole = std::fs::read(dir.path().join("data/routes/journal")).unwrap();
    std::fs::write(&journal, &whole[..whole.len() - 3]).unwrap();
    let torn = Router::from(quick(copy.path()), copy.path()).await.unwrap();
    assert_eq!(torn.hello.generation, 2);
    assert_eq!(status(&torn.get("b.test", "/").await), 200);
    assert_eq!(status(&torn.get("c.test", "/").await), 404);
    change(&torn, serve("d.test", vec![app.target("t1")])).await.unwrap();
}

fn copy_routes(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to.join("data/routes")).unwrap();
    for file in std::fs::read_dir(from.join("data/routes")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("data/routes").join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn another_boot_holds_until_a_snapshot() {
    let (dir, app) = (tempfile::tempdir().unwrap(), App::echo("app").await);
    let router = Router::from(quick(dir.path()), dir.path()).await.unwrap();
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    router.stop(PATIENCE).await.unwrap();
    let next = || RouterConfig { boot_id: Some("boot-2".into()), ..quick(dir.path()) };
    let router = Router::from(next(), dir.path()).await.unwrap();
    assert_eq!((router.hello.generation, router.hello.held), (1, true));
    let mut raw = router.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    while router.client.loads(vec![], PATIENCE).await.unwrap().1 == 0 {}
    assert!(matches!(change(&router, serve("b.test", vec![])).await, Err(ClientError::Refused(_))));
    assert_eq!(app.connections.load(Ordering::SeqCst), 0, "nothing reaches an address of another boot");
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    assert!(raw.response().await.1.starts_with("app\n"));
    drop(raw);
    router.stop(PATIENCE).await.unwrap();
    assert!(!Router::from(next(), dir.path()).await.unwrap().hello.held);
}

#[tokio::test]
async fn a_damaged_table_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let routes = dir.path().join("data/routes");
    std::fs::create_dir_all(&routes).unwrap();
    std::fs::write(routes.join("snapshot"), "junk").unwrap();
    let err = Router::from(quick(dir.path()), dir.path()).await.err().unwrap();
    assert!(matches!(&err, RouterError::Damaged { path, .. } if path.ends_with("snapshot")), "{err}");
    assert_eq!(std::fs::read(routes.join("snapshot")).unwrap(), b"junk");
}

#[tokio::test]
async fn an_inactive_router_writes_nothing_until_it_is_active() {
    let (dir, app) = (tempfile::tempdir().unwrap(), App::echo("app").await);
    let config = RouterConfig { active: false, ..quick(dir.path()) };
    let router = Router::from(config, dir.path()).await.unwrap();
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    assert_eq!(status(&router.get("a.test", "/").await), 200);
    let snapshot = dir.path().join("data/routes/snapshot");
    assert!(!snapshot.exists());
    router.client.role(true, PATIENCE).await.unwrap();
    assert!(snapshot.exists());
    change(&router, serve("b.test", vec![])).await.unwrap();
    router.stop(PATIENCE).await.unwrap();
    assert_eq!(Router::from(quick(dir.path()), dir.path()).await.unwrap().hello.generation, 2);
}

#[tokio::test]
async fn ending_waits_for_requests_in_flight() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let app = App::new(move |stream, _| {
        let mut wait = wait.clone();
        async move {
            let mut raw = Raw { stream, buf: vec![] };
            read_request(&mut raw).await;
            wait.wait_for(|go| *go).await.unwrap();
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await;
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let router = Router::from(quick(dir.path()), dir.path()).await.unwrap();
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    while router.client.loads(vec!["t1".into()], PATIENCE).await.unwrap().0[0].in_flight == 0 {}
    router.client.shutdown(PATIENCE, PATIENCE).await.unwrap();
    let addr = router.addr;
    wait_for("the listener to close", || std::net::TcpStream::connect(addr).is_err()).await;
    go.send(true).unwrap();
    let (head, body) = raw.response().await;
    assert!(head.contains("Connection: close\r\n") && body == "late", "{head}");
    wait_for("the access line", || dir.path().join("logs/app-1/0").exists()).await;
}
