//! What deploys do when nothing goes wrong, and when an app does.

use crate::testing::{Fuse, Life, World};
use domain::deploy::Deploy;
use domain::refusal::Code;
use domain::{AppId, Commit, Refusal};
use std::time::Duration;

fn commit(n: u8) -> Commit {
    format!("{n:040x}").parse().unwrap()
}

/// A server with the app blog, whose first release serves.
async fn served(world: &World) -> (Life, AppId) {
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    life.push(&app, &commit(1)).await.unwrap().end().await;
    assert!(life.rests().await);
    (life, app)
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
    let (life, app) = served(&world).await;
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

/// A misspelt `web` would take the site down: it is refused before a release is cut. Scaled to 0 before, it is meant.
#[tokio::test]
async fn a_version_without_what_requests_go_to_is_refused_before_it_boots() {
    let world = World::new();
    let (life, app) = served(&world).await;
    let serving = life.outside.targets();
    life.outside.set_processes(&["wub", "worker"]);
    let end = life.push(&app, &commit(2)).await.unwrap().end().await;
    assert!(matches!(&end, Deploy::Failed { release: None, why } if why.code == Code::ProcessTypeGone), "{end:?}");
    assert!(life.rests().await);
    assert_eq!((life.outside.targets(), life.outside.wrong()), (serving, Vec::new()));
    let id = app.clone();
    let none = [("web".parse().unwrap(), 0)].into();
    life.platform.store.write(move |tx| tx.set_formation(&id, &none, system::clock::now())).await.unwrap();
    life.outside.set_must_serve(false);
    let end = life.push(&app, &commit(3)).await.unwrap().end().await;
    assert!(matches!(end, Deploy::Live { release, .. } if release.0 == 2), "{end:?}");
}

/// An app that never had `web` goes live, and is not told a URL that answers nothing.
#[tokio::test]
async fn an_app_without_web_hears_that_nothing_answers() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("bot").await;
    life.outside.set_processes(&["release"]);
    life.outside.set_must_serve(false);
    let job = life.push(&app, &commit(1)).await.unwrap();
    let mut heard = job.listen();
    let mut lines = Vec::new();
    while let jobs::Heard::Line(line) = heard.hear().await {
        lines.push(line.text.trim().to_owned());
    }
    let next = "add a line such as `web: COMMAND` to the Procfile, commit and push";
    assert!(lines.contains(&format!("Nothing runs yet: {next}")), "{lines:?}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("Nothing answers at http://bot.") && last.ends_with("no process type web"), "{lines:?}");
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
