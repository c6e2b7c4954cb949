//! What dies or is taken away comes back by itself: instances, networks, the firewall.

use e2e::{World, engine, wait_for};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_killed_instance_is_back_with_its_last_lines() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    app.get("/log?n=5").ok();
    for _ in 0..2 {
        let before = world.pids("web");
        world.kill_container(&world.containers("web")[0]);
        wait_for("another process", Duration::from_secs(15), || app.answers_with("v1") && world.pids("web") != before);
    }
    app.run("logs", &["-n", "200"]).ok().says("line 5").says("changed from up to crashed");
    app.run("ps", &[]).ok().says("up");
    let told = app.run("events", &["--type", "instance-crashed", "--format", "json"]).ok().json();
    assert_eq!(told.as_array().unwrap().len(), 2, "{told}");
    assert_eq!((&told[0]["instance"], &told[0]["cause"]["why"]), (&"web.1".into(), &"exited".into()), "{told}");
}

#[test]
fn an_app_that_ends_by_itself_is_started_again() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let before = world.pids("web");
    app.get("/exit?code=3").ok();
    wait_for("another process", WITHIN, || app.answers_with("v1") && world.pids("web") != before);
}

#[test]
fn a_container_that_somebody_removed_comes_back() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let before = world.containers("web");
    world.remove_container(&before[0]);
    wait_for("another container", WITHIN, || app.answers_with("v1") && world.containers("web") != before);
}

/// It has the labels of the app's image, and is nobody's stray.
#[test]
fn a_container_made_by_hand_of_an_apps_image_is_left_alone() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let theirs = engine::run_by_hand(&engine::images(world.install())[0], &["sleep", "600"]);
    let before = world.containers("web");
    world.remove_container(&before[0]);
    wait_for("another container", WITHIN, || app.answers_with("v1") && world.containers("web") != before);
    assert!(engine::runs(&theirs), "the reconciler looked and left it");
    engine::remove(&theirs);
}

#[test]
fn a_network_that_somebody_removed_comes_back() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let network = engine::networks(world.install());
    engine::remove_network(&network[0]);
    wait_for("the network", Duration::from_secs(12), || engine::networks(world.install()) == network);
    wait_for("the app", WITHIN, || app.answers_with("v1"));
}

#[test]
fn a_firewall_that_somebody_removed_comes_back() {
    let world = World::new();
    engine::remove_firewall(world.install());
    wait_for("the firewall", Duration::from_secs(12), || engine::firewall(world.install()).is_some());
    world.hoist(&["doctor"]).ok().says("firewall");
}

#[test]
fn destroying_an_app_leaves_nothing() {
    let world = World::new();
    let (app, other) = (world.app("blog", "tests/apps/echo"), world.app("other", "tests/apps/static"));
    other.push().ok();
    let before = (world.left_in_engine(), world.paths());
    app.push().ok();
    app.run("ps:scale", &["web=2", "worker=1"]).ok();
    let id = app.run("apps:info", &["--format", "json"]).ok().json()["id"].as_str().unwrap().to_owned();
    app.run("apps:destroy", &["--confirm", "other"]).fails();
    app.run("apps:destroy", &["--confirm", "blog"]).ok();
    assert_eq!(world.left_in_engine(), before.0);
    let new: Vec<_> = world.paths().into_iter().filter(|p| !before.1.contains(p) && p.contains(&id)).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(engine::images(world.install()).iter().all(|i| !i.contains(&id)));
    assert_eq!(app.get("/").status, 404);
    app.push().ok();
    assert!(app.answers_with("v1"));
}
