//! Scale, stop, start, restart, rollback, and an app that does not end.

use e2e::{World, wait_for};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn scaling_adds_and_removes_instances() {
    let world = World::new();
    let app = world.app("scale", "tests/apps/echo");
    app.push().ok();
    app.run("ps:scale", &["web=3", "worker=1"]).ok();
    let mut seen = BTreeSet::new();
    wait_for("three instances that answer", Duration::from_secs(30), || {
        let body = app.get("/").ok();
        seen.extend(["web.1", "web.2", "web.3"].into_iter().filter(|i| body.contains(i)));
        seen.len() == 3
    });
    app.run("ps", &[]).ok().says("worker.1").says("web.3");
    let ((), report) = world.load(&app.host(), 100, || {
        app.run("ps:scale", &["web=1", "worker=0"]).ok();
    });
    report.none_lost();
    app.run("ps", &[]).ok().hides("web.2").hides("worker.1");
    app.run("releases", &[]).ok().hides("v2");
}

#[test]
fn stop_start_and_restart() {
    let world = World::new();
    let app = world.app("ps", "tests/apps/echo");
    app.push().ok();
    app.run("ps:stop", &[]).ok();
    assert_eq!(app.get("/").status, 503);
    app.run("ps:start", &[]).ok();
    app.get("/").ok();
    let ((), report) = world.load(&app.host(), 100, || {
        app.run("ps:restart", &[]).ok();
    });
    report.none_lost();
}

#[test]
fn a_rebuild_makes_a_release_of_the_same_commit() {
    let world = World::new();
    let app = world.app("again", "tests/apps/echo");
    app.push().ok();
    let ((), report) = world.load(&app.host(), 100, || {
        app.run("ps:rebuild", &[]).ok().says("v2");
    });
    report.none_lost();
    assert!(app.answers_with("v2"));
    app.push().ok().says("up-to-date");
    app.run("ps:restart", &["web"]).ok().says("web.1 is up");
    app.run("ps:restart", &["nothing"]).exits(1).says("nothing");
}

#[test]
fn rollback_needs_no_build_and_loses_no_request() {
    let world = World::new();
    let app = world.app("roll", "tests/apps/echo");
    app.push().ok();
    app.replace("server.js", "slow\\n", "slower\\n");
    app.push().ok();
    let builds = app.run("builds", &[]).ok().out.lines().count();
    let ((), report) = world.load(&app.host(), 100, || {
        app.run("rollback", &[]).ok().says("v3").says("Back to v1 (");
    });
    report.none_lost();
    assert_eq!(app.get("/slow?ms=1").ok().trim(), "slow");
    app.run("rollback", &["v2"]).ok().says("v4").says("Back to v2 (");
    assert_eq!(app.get("/slow?ms=1").ok().trim(), "slower");
    app.run("rollback", &["v99"]).exits(1);
    assert_eq!(app.run("builds", &[]).ok().out.lines().count(), builds);
}

#[test]
fn where_nothing_runs_it_is_said_what_would_start_it() {
    let world = World::new();
    let app = world.app("idle", "tests/apps/echo");
    app.push().ok();
    app.run("ps:scale", &["web=0"]).ok();
    // Of the types of its Procfile the first, by name.
    wait_for("the end of web.1", Duration::from_secs(20), || app.run("ps", &[]).all().contains("ps:scale idle "));
    app.run("apps:set", &["stack=trixie"]).ok().says("ps:rebuild idle");
    app.run("apps:set", &["deploy-branch=main"]).ok().says("with the next push").hides("ps:rebuild");
    app.run("apps:set", &["enter=off"]).ok().says("in force now");
    app.commit_change("Procfile", "Web: node server.js\njob: node server.js\n");
    app.push().ok().says("Nothing runs yet").says("=1").says("Requests go to the process type web");
}

#[test]
fn a_stubborn_app_is_killed_after_its_grace_and_its_successor_serves_meanwhile() {
    let world = World::new();
    let app = world.app("stubborn", "tests/apps/stubborn");
    app.push().ok();
    app.run("apps:set", &["stop-grace=0"]).ok();
    app.run("apps:set", &["stop-grace=forever"]).fails().says("apps:set stubborn stop-grace=90");
    app.run("apps:set", &["stop-grace=6", "drain-time=5"]).ok().says("It is in force now");
    app.run("apps:info", &[]).ok().says("stop-grace:    6s");
    app.commit_change("note", "second");
    let (both, report) = world.load(&app.host(), 50, || {
        app.push().ok();
        world.containers("web").len()
    });
    report.none_lost();
    assert_eq!(both, 2, "the old instance held up the push");
    wait_for("one instance, before the 30 s of others", Duration::from_secs(25), || world.containers("web").len() == 1);
    app.run("logs", &["-n", "200"]).ok().says("SIGTERM: no");
}

#[test]
fn twenty_deploys_under_load_lose_nothing() {
    let world = World::new();
    let app = world.app("busy", "tests/apps/echo");
    // Without its release command, which is a second each time.
    app.commit_change("Procfile", "web: node server.js\n");
    app.push().ok();
    let ((), report) = world.load(&app.host(), 200, || {
        for n in 0..20 {
            app.commit_change("note", &n.to_string());
            app.push().ok();
        }
    });
    report.none_lost();
    eprintln!("{} requests, p50 {:?}, p99 {:?}", report.sent, report.percentile(0.5), report.percentile(0.99));
}
