//! What deploys do when nothing goes wrong, and when an app does.

use crate::testing::{Fuse, World};
use domain::deploy::Deploy;
use domain::refusal::Code;
use domain::{Commit, Refusal};
use std::time::Duration;

fn commit(n: u8) -> Commit {
    format!("{n:040x}").parse().unwrap()
}

#[tokio::test]
async fn a_push_goes_live_and_the_next_takes_its_place() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    for n in 1..=2 {
        let end = life.push(&app, &commit(n)).await.unwrap().end().await;
        assert!(matches!(end, Deploy::Live { release, acknowledged: true } if release.0 == u32::from(n)), "{end:?}");
        assert!(life.rests().await);
        assert_eq!(life.there().await.len(), 2);
        assert_eq!(life.outside.git().tips.values().next(), Some(&commit(n)));
    }
    assert_eq!(life.outside.wrong(), Vec::<String>::new());
}

#[tokio::test]
async fn what_fails_before_the_commit_point_leaves_the_old_release_serving() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    life.push(&app, &commit(1)).await.unwrap().end().await;
    assert!(life.rests().await);
    let serving = life.outside.targets();
    life.outside.set_build_fails(Some(Refusal::new(Code::BuildFailed, "npm ci failed")));
    let end = life.push(&app, &commit(2)).await.unwrap().end().await;
    assert!(matches!(&end, Deploy::Failed { release: None, why } if why.code == Code::BuildFailed), "{end:?}");
    life.outside.set_build_fails(None);
    life.outside.set_deaf(Some("v2"));
    let end = life.push(&app, &commit(3)).await.unwrap().end().await;
    assert!(matches!(&end, Deploy::Failed { release: Some(_), why } if why.code == Code::BootTimeout), "{end:?}");
    assert!(life.rests().await);
    assert_eq!((life.outside.targets(), life.outside.wrong()), (serving, Vec::new()));
    assert!(life.outside.git().pins.is_empty());
}

/// The store has it ready before the router hears of it: only then is all at rest.
#[tokio::test]
async fn at_rest_is_what_the_router_knows_of() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    life.push(&app, &commit(1)).await.unwrap().end().await;
    assert!(life.rests().await);
    world.outside.set_router_takes(Duration::from_millis(50));
    world.outside.forget_one();
    life.platform.wake.notify_one();
    wait_until(|| world.outside.targets().is_empty()).await;
    assert!(life.rests().await);
    assert_eq!(world.outside.targets().len(), 1, "{:?}", world.outside.routes());
}

async fn wait_until(is: impl Fn() -> bool) {
    let all = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
}
