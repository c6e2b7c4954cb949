//! Changing routes under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use router::{client::ClientError, proto::Change, table::Route};
use tokio::time::Instant;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_lose_nothing() {
    let router = Arc::new(Router::start().await);
    let mut app = App::echo("app").await;
    router.install(vec![serve("a.test", vec![app.target("t0")])]).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (router, stop, served) = (router.clone(), stop.clone(), served.clone());
        clients.spawn(async move {
            let mut raw = router.connect().await;
            while !stop.load(Ordering::Relaxed) {
                let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
                raw.send(if n % 4 == 0 { post } else { "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" }).await;
                let (head, _) = raw.response().await;
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                if head.contains("Connection: close") {
                    raw = router.connect().await;
                }
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for n in 1..=200u64 {
        let next = App::echo("app").await;
        let base = router.generation.load(Ordering::SeqCst);
        let upsert = vec![serve("a.test", vec![next.target(&format!("t{n}"))])];
        let change = Change { generation: base + 1, base, upsert, remove: vec![] };
        assert_eq!(router.client.change(change, PATIENCE).await.unwrap(), base + 1);
        router.generation.store(base + 1, Ordering::SeqCst);
        let old = vec![format!("t{}", n - 1)];
        if n % 20 == 0 {
            router.client.drain(old.clone(), PATIENCE).await.unwrap();
        }
        assert_eq!(router.client.wait_idle(old, PATIENCE).await.unwrap()[0].in_flight, 0);
        app.kill();
        app = next;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(end) = clients.join_next().await {
        end.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 200, "{served:?}");
    let all: Vec<String> = (0..=200).map(|n| format!("t{n}")).collect();
    let (loads, _) = router.client.loads(all, PATIENCE).await.unwrap();
    assert_eq!(loads.iter().map(|l| l.failed).sum::<u64>(), 0);
    assert_eq!(loads.iter().map(|l| l.served).sum::<u64>(), served.load(Ordering::Relaxed) as u64);
}

#[tokio::test]
async fn a_drained_target_sends_its_clients_to_a_new_connection() {
    let (router, app) = (Router::start().await, App::echo("app").await);
    router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let mut raw = router.connect().await;
    let get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    raw.send(get).await;
    assert!(!raw.response().await.0.contains("Connection: close"));
    router.install(vec![serve("a.test", vec![app.target("t2")])]).await;
    router.client.drain(vec!["t1".into()], PATIENCE).await.unwrap();
    raw.send(get).await;
    assert!(raw.response().await.0.contains("Connection: close"));
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn a_change_names_the_table_that_it_changes() {
    let (router, app) = (Router::start().await, App::echo("app").await);
    let generation = router.install(vec![serve("a.test", vec![app.target("t1")])]).await;
    let change =
        |generation, base| Change { generation, base, upsert: vec![], remove: vec![serve("a.test", vec![]).key()] };
    for (next, base) in [(generation + 2, generation + 1), (generation, generation)] {
        let refused = router.client.change(change(next, base), PATIENCE).await;
        assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    }
    assert_eq!(status(&router.get("a.test", "/").await), 200);
    router.client.change(change(generation + 1, generation), PATIENCE).await.unwrap();
    assert_eq!(status(&router.get("a.test", "/").await), 404);
    let bad = Route { log: Some("../x".into()), ..serve("a.test", vec![]) };
    let bad = Change { generation: generation + 2, base: generation + 1, upsert: vec![bad], remove: vec![] };
    assert!(matches!(router.client.change(bad, PATIENCE).await, Err(ClientError::Refused(_))));
}

#[tokio::test]
async fn ten_thousand_hosts_change_as_quickly_as_ten() {
    let app = App::echo("app").await;
    let mut medians = vec![];
    for hosts in [10, 10_000] {
        let router = Router::start().await;
        let routes = (0..hosts).map(|n| serve(&format!("h{n}.test"), vec![app.target("t")])).collect();
        router.install(routes).await;
        let mut times = vec![];
        for n in 0..21 {
            let base = router.generation.load(Ordering::SeqCst);
            let upsert = vec![serve("h3.test", vec![app.target(&format!("t{n}"))])];
            let since = Instant::now();
            router
                .client
                .change(Change { generation: base + 1, base, upsert, remove: vec![] }, PATIENCE)
                .await
                .unwrap();
            times.push(since.elapsed());
            router.generation.store(base + 1, Ordering::SeqCst);
        }
        assert_eq!(status(&router.get(&format!("h{}.test", hosts - 1), "/").await), 200);
        times.sort();
        medians.push(times[10]);
    }
    println!("median change with 10 and 10,000 hosts, synced: {medians:?}");
    assert!(medians[1] < medians[0] * 5 + Duration::from_millis(5), "{medians:?}");
}
