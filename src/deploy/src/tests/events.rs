//! What happened is told: in the store as it is true, in the app's log once.

use crate::testing::{Blow, Fuse, Life, World};
use domain::deploy::{Deploy, Kind};
use domain::event::{Crash, Event};
use domain::ids::{BuildId, DeployId};
use domain::refusal::Code;
use domain::{AppId, Commit, Refusal, ReleaseNumber};
use log_format::Filter;
use std::time::Duration;
use store::EventFilter;

fn commit(n: u8) -> Commit {
    format!("{n:040x}").parse().unwrap()
}

/// Everything that happened to an app, in order.
pub async fn events(life: &Life, app: &AppId) -> Vec<Event> {
    let filter = EventFilter { app: Some(app.clone()), max: 1_000, ..EventFilter::default() };
    let mut rows = life.platform.store.read(move |tx| tx.events(&filter)).await.unwrap();
    rows.reverse();
    rows.into_iter().map(|row| row.event).collect()
}

/// Hoist's own lines of an app's log, in order.
pub async fn lines(life: &Life, app: &AppId) -> Vec<String> {
    let filter = Filter { sources: vec!["hoist".parse().unwrap()], ..Filter::default() };
    let mut batches = life.platform.logs.read(app, logs::Ask { filter, last: None, follow: false }).await.unwrap();
    let mut lines = Vec::new();
    while let Some(batch) = batches.recv().await {
        lines.extend(batch.into_iter().map(|record| record.text));
    }
    lines
}

/// What the log must say of them.
pub fn as_lines(events: &[Event]) -> Vec<String> {
    let lines: Vec<String> = events.iter().filter_map(Event::line).collect();
    lines.iter().flat_map(|line| line.split('\n')).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_push_is_told_from_its_build_to_its_end() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    life.push(&app, &commit(1)).await.unwrap().end().await;
    assert!(life.rests().await);
    life.outside.set_build_fails(Some(Refusal::new(Code::BuildFailed, "npm ci failed")));
    life.push(&app, &commit(2)).await.unwrap().end().await;
    assert!(life.rests().await);
    let release = ReleaseNumber(1);
    let by = || "ana".to_owned();
    let seen = events(&life, &app).await;
    let language = match &seen[2] {
        Event::BuildSucceeded { language, .. } => language.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        seen,
        [
            Event::AppCreated { name: "blog".parse().unwrap() },
            Event::Scaled { formation: [("worker".parse().unwrap(), 1)].into() },
            Event::BuildSucceeded { build: BuildId(1), commit: commit(1), language },
            Event::ReleaseCut { release, deploy: DeployId(1), description: "Deploy 00000000".to_owned(), by: by() },
            Event::SettingsChanged { names: vec!["deploy-branch".to_owned()] },
            Event::DeployLive { deploy: DeployId(1), job: Kind::Push, release, routed: true, by: by() },
            Event::BuildFailed { build: BuildId(2), commit: commit(2), why: "npm ci failed".to_owned() },
            Event::DeployFailed {
                deploy: DeployId(2),
                job: Kind::Push,
                release: None,
                code: Code::BuildFailed,
                why: "npm ci failed".to_owned(),
                by: by()
            },
        ]
    );
    assert!(life.platform.log_lines.catch_up().await.unwrap());
    assert_eq!(lines(&life, &app).await, ["Release v1 is live (push by ana)", "push by ana failed: npm ci failed"]);
}

#[tokio::test]
async fn a_crash_is_told_with_its_cause_and_what_becomes_of_it() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    life.push(&app, &commit(1)).await.unwrap().end().await;
    assert!(life.rests().await);
    life.outside.set_must_serve(false);
    let before = events(&life, &app).await.len();
    let web = life.outside.targets().remove(0);
    life.outside.engine.exit(&web, 137, true);
    life.platform.wake.notify_one();
    until(&life, &app, before + 2).await;
    life.outside.engine.forget(&web);
    life.platform.wake.notify_one();
    until(&life, &app, before + 4).await;
    let (instance, release) = (|| "web.1".parse().unwrap(), ReleaseNumber(1));
    let cause = Crash::OutOfMemory { limit: life.platform.settings.app_memory };
    assert_eq!(
        events(&life, &app).await[before..],
        [
            Event::InstanceCrashed { instance: instance(), release, cause, crashes: 1, again_ms: 0 },
            Event::InstanceUp { instance: instance(), release },
            Event::InstanceGone { instance: instance(), release },
            Event::InstanceUp { instance: instance(), release },
        ]
    );
    assert!(life.platform.log_lines.catch_up().await.unwrap());
    assert_eq!(lines(&life, &app).await, as_lines(&events(&life, &app).await));
}

async fn until(life: &Life, app: &AppId, count: usize) {
    let filter = EventFilter { app: Some(app.clone()), max: 1_000, ..EventFilter::default() };
    let late = tokio::time::Instant::now() + Duration::from_secs(10);
    let look = move |tx: &store::Tx<'_>| Ok((tx.events(&filter)?.len() >= count).then_some(()));
    assert!(life.platform.store.wait_for(late, look).await.unwrap().is_some(), "{:?}", events(life, app).await);
    assert!(life.rests().await);
}

#[tokio::test]
async fn names_of_config_vars_are_told_and_never_values() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let app = life.app("blog").await;
    let id = app.clone();
    let write = life.platform.store.write(move |tx| {
        let var = |name: &str, value: &str| (name.parse().unwrap(), domain::Secret::new(value.to_owned()));
        let now = system::clock::now();
        for vars in [
            vec![var("A", "canary"), var("B", "canary")],
            vec![var("A", "canary"), var("B", "canary")],
            vec![var("B", "canary2")],
        ] {
            let version = tx.add_config(&id, &vars.into_iter().collect(), &Default::default(), now)?;
            tx.set_config_version(&id, version, now)?;
        }
        Ok(())
    });
    write.await.unwrap();
    let seen: Vec<Event> = events(&life, &app).await.split_off(2);
    let text = serde_json::to_string(&seen).unwrap();
    assert_eq!(
        text,
        r#"[{"kind":"config-changed","version":1,"set":["A","B"],"unset":[]},{"kind":"config-changed","version":3,"set":["B"],"unset":["A"]}]"#
    );
}

/// The process is killed at every transaction of the reader of log lines, before and after it; and the next one goes on.
#[test]
fn killed_between_a_line_and_the_cursor_each_line_is_there_once() {
    for blow in [Blow::DieBefore, Blow::DieAfter, Blow::Fail, Blow::AnswerLost] {
        let world = World::new();
        let run = |fuse: std::sync::Arc<Fuse>, n: u8, app: Option<AppId>| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let done = runtime.block_on(async {
                let life = world.start(fuse.clone()).await;
                let app = match app {
                    Some(app) => app,
                    None => life.app("blog").await,
                };
                let end = life.push(&app, &commit(n)).await.unwrap().end().await;
                assert!(matches!(end, Deploy::Live { .. }), "{end:?}");
                assert!(life.rests().await);
                let (before, dies) = (events(&life, &app).await, matches!(blow, Blow::DieBefore | Blow::DieAfter));
                fuse.arm(Some((("store.write".to_owned(), 1), blow)));
                let dead = fuse.dead();
                tokio::select! {
                    biased;
                    () = dead.cancelled() => {}
                    told = life.platform.log_lines.catch_up() => assert!(told.is_err() || n > 1 && !dies, "{told:?}"),
                }
                assert!(fuse.has_blown());
                // The line is there in any case: what went wrong came after it.
                assert_eq!(lines(&life, &app).await, as_lines(&before));
                app
            });
            runtime.shutdown_timeout(Duration::from_millis(100));
            done
        };
        let app = run(Fuse::new(), 1, None);
        let app = run(Fuse::new(), 2, Some(app));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let life = world.start(Fuse::new()).await;
            for _ in 0..2 {
                assert!(life.platform.log_lines.catch_up().await.unwrap());
            }
            let want = ["Release v1 is live (push by ana)", "Release v2 is live (push by ana)"];
            assert_eq!(lines(&life, &app).await, want, "{blow:?}");
        });
    }
}

#[tokio::test]
async fn lines_come_by_themselves_and_none_for_an_app_that_is_gone() {
    let world = World::new();
    let life = world.start(Fuse::new()).await;
    let (app, gone) = (life.app("blog").await, life.app("gone").await);
    let (first, second) = (app.clone(), gone.clone());
    let rename = move |tx: &store::Tx<'_>| {
        let now = system::clock::now();
        for id in [&first, &second] {
            let app = tx.the_app(id)?;
            tx.rename_app(&app, &format!("{}-2", app.name).parse()?, now)?;
        }
        tx.remove_app(&second, now)
    };
    life.platform.store.write(rename).await.unwrap();
    life.platform.log_lines.start(&life.platform.tasks);
    life.platform.log_lines.caught_up(Duration::from_secs(10)).await;
    assert_eq!(lines(&life, &app).await, ["Renamed from blog to blog-2"]);
    assert!(!life.platform.layout.logs().join("apps").join(gone.as_str()).exists());
    let last = events(&life, &gone).await.pop();
    assert_eq!(last, Some(Event::AppDestroyed { name: "gone-2".parse().unwrap() }));
}
