//! `kill -9` of each process, under load: what runs goes on, what was begun is finished.

use e2e::{World, try_for, wait_for};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn killing_the_control_process_loses_no_request_and_no_deploy() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    app.replace("server.js", "slow\\n", "resumed\\n");
    let ((), report) = world.load(&app.host(), 100, || {
        let (user, dir) = (app.user.clone(), app.dir.clone());
        let push = std::thread::spawn(move || user.git(&dir, &["push", "hoist", "main"]));
        wait_for("a build that runs", SOON, || app.run("builds", &[]).ok().out.lines().count() > 2);
        world.kill9_serve();
        push.join().unwrap().fails();
        assert!(!try_for(Duration::from_secs(1), || app.get("/").status != 200), "the app stopped answering");
        world.restart_serve();
        // The job belongs to the server: it goes on, or says that it failed and can be pushed again.
        let done = || app.get("/slow?ms=1").body.trim() == "resumed";
        if !try_for(SOON, done) {
            app.push().ok();
            assert!(done());
        }
    });
    report.none_lost();
    app.git(&["fetch", "hoist"]).ok();
    app.push().ok();
}

#[test]
fn a_restart_of_the_control_process_is_not_noticed() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let before = world.containers("web");
    let ((), report) = world.load(&app.host(), 100, || {
        world.restart_serve();
        world.kill9_serve();
        world.restart_serve();
    });
    report.none_lost();
    assert_eq!(world.containers("web"), before, "instances were replaced");
    app.commit_change("note", "after");
    app.push().ok();
}

#[test]
fn a_killed_router_comes_back_with_its_routes() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    world.kill9_router();
    let mut client = e2e::Client::new(world.http, false);
    wait_for("the router", Duration::from_secs(10), || {
        client.get(&app.host(), "/", Duration::from_secs(5)).is_ok_and(|r| r.status == 200)
    });
    assert_eq!(world.running("router"), 1);
}

#[test]
fn a_killed_instance_is_back_within_ten_seconds() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    app.get("/log?n=5").ok();
    let before = world.containers("web");
    world.kill_container(&before[0]);
    wait_for("another instance", Duration::from_secs(10), || {
        app.get("/").status == 200 && world.containers("web") != before
    });
    app.run("logs", &["-n", "200"]).ok().says("5");
}

#[test]
fn closing_a_push_cancels_it_and_leaves_nothing() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.user.ssh(&["apps:create", "blog"]).ok();
    app.run("config:set", &["RELEASE_MS=120000"]).ok();
    let mut git = app.user.git_command(&app.dir, &["push", "hoist", "main"]);
    let mut push = git.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    wait_for("the release command", SOON, || world.has_containers("release"));
    let group = format!("-{}", push.id());
    assert!(Command::new("kill").args(["-2", "--", &group]).status().unwrap().success());
    push.wait().unwrap();
    wait_for("the end of the release command", Duration::from_secs(5), || !world.has_containers("release"));
    app.run("builds", &[]).ok().says("cancel");
    assert!(app.get("/").status >= 500);
}
