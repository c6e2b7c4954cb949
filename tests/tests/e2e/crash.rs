//! `kill -9` of each process, under load: what runs goes on, what was begun is finished.

use e2e::{World, try_for, wait_for};
use std::time::Duration;

/// Lines that a push of `echo` has said when it is killed: the plan, the image, the release command's start, output and
/// end, the boot's start and end, live.
const MOMENTS: [usize; 8] = [1, 7, 8, 9, 10, 11, 12, 13];
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
    let lines = app.run("logs", &["-n", "1000"]).ok().out;
    assert_eq!(lines.matches("Release v1 is live (push by ").count(), 1, "{lines}");
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
    let kinds = "router-unreachable,router-back";
    let told = || world.hoist(&["events", "--type", kinds, "--format", "json"]).ok().json();
    let told = || told().as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    wait_for("both to be told", SOON, || told() == ["router-back", "router-unreachable"]);
}

#[test]
fn a_deploy_killed_at_any_moment_ends_whole_and_loses_no_request() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let ((), report) = world.load(&app.host(), 100, || {
        for k in MOMENTS {
            app.commit_change("note", &k.to_string());
            let killed =
                world.kill9_serve_when(|job| job.lines().count() >= k, || app.spawn(&["push", "hoist", "main"]));
            assert!(app.get("/").status == 200, "moment {k}: the app stopped answering");
            world.restart_serve();
            drop(killed);
            let settled = || {
                app.run("ps", &["--format", "json"])
                    .ok()
                    .json()
                    .as_array()
                    .is_some_and(|all| all.len() == 1 && all[0]["state"] == "up")
            };
            wait_for(&format!("moment {k}: one instance that is up"), SOON, settled);
            // Resumed and live, or (the commit was not accepted yet) to be pushed again.
            app.push().ok();
            assert!(app.get("/").status == 200);
        }
    });
    report.none_lost();
    wait_for("one container", SOON, || world.containers("web").len() == 1);
    let left = world.left_in_engine();
    assert_eq!(left.iter().filter(|l| l.starts_with("container")).count(), 1, "{left:?}");
    assert!(std::fs::read_dir(world.data().join("builds")).unwrap().next().is_none(), "a build's folder is left");
}

#[test]
fn a_change_of_config_killed_at_any_moment_is_whole_or_not_there() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    for k in [1, 2, 3, 4, 5, 6] {
        let value = k.to_string();
        let words = ["config:set", "blog", &format!("K={value}")];
        let set = || e2e::Running::start(app.user.ssh_command(&words));
        let killed = world.kill9_serve_when(|job| job.lines().count() >= k, set);
        world.restart_serve();
        drop(killed);
        wait_for(&format!("moment {k}: what is said is what runs"), SOON, || {
            let said = app.run("config:get", &["K"]).out.trim().to_owned();
            said == value && app.get("/env?name=K").body == said
        });
    }
    wait_for("one instance", SOON, || world.containers("web").len() == 1);
}

#[test]
fn a_build_can_be_cancelled_by_somebody_else() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.user.ssh(&["apps:create", "blog"]).ok();
    app.run("builds:cancel", &[]).exits(1);
    app.run("config:set", &["RELEASE_MS=600000"]).ok();
    let before = world.last_job();
    let push = app.spawn(&["push", "hoist", "main"]);
    world.wait_job(before, |said| said.contains("release command of v1"));
    world.hoist(&["builds:cancel", "blog"]).ok().says("Cancelled");
    push.end().fails().says("cancelled by");
    wait_for("the end of the release command", SOON, || world.containers("release").is_empty());
}

#[test]
fn a_killed_router_in_a_deploy_holds_up_nothing() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    for k in [2, 5, 8] {
        app.commit_change("note", &k.to_string());
        let before = world.last_job();
        let push = app.spawn(&["push", "hoist", "main"]);
        world.wait_job(before, |job| job.lines().count() >= k);
        world.kill9_router();
        push.end().ok();
    }
    wait_for("the newest release", SOON, || app.answers_with("v4"));
    wait_for("one instance", SOON, || world.containers("web").len() == 1);
    assert_eq!(world.running("router"), 1);
}

#[test]
fn ctrl_c_in_a_build_or_a_boot_leaves_nothing_and_the_old_release_serves() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let before = (world.left_in_engine(), world.containers("web"));
    let build = "\"build\": \"sleep 600\", \"start\"";
    app.replace("package.json", "\"start\"", build);
    interrupt_at(&world, &app, "sleep 600", &before.0);
    app.replace("package.json", build, "\"start\"");
    app.replace("server.js", "Number(BOOT_MS)", "600000");
    interrupt_at(&world, &app, "Starting v", &before.0);
    assert_eq!(world.containers("web"), before.1);
    assert!(app.answers_with("v1"));
    assert!(std::fs::read_dir(world.data().join("builds")).unwrap().next().is_none(), "a build's folder is left");
    app.replace("server.js", "600000", "0");
    app.push().ok();
}

fn interrupt_at(world: &World, app: &e2e::App<'_>, text: &str, left: &std::collections::BTreeSet<String>) {
    let job = world.last_job();
    let push = app.spawn(&["push", "hoist", "main"]);
    world.wait_job(job, |said| said.contains(text));
    push.interrupt();
    push.end().fails();
    let networks = |all: &std::collections::BTreeSet<String>| {
        all.iter().filter(|l| !l.contains("-builds")).cloned().collect::<Vec<_>>()
    };
    let before = networks(left);
    let clean = e2e::try_for(Duration::from_secs(2), || networks(&world.left_in_engine()) == before);
    assert!(clean, "2 s after Ctrl-C at {text:?}: {:?}, not {before:?}", networks(&world.left_in_engine()));
}

#[test]
fn closing_a_push_cancels_it_and_leaves_nothing() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.user.ssh(&["apps:create", "blog"]).ok();
    app.run("config:set", &["RELEASE_MS=120000"]).ok();
    let push = app.spawn(&["push", "hoist", "main"]);
    wait_for("the release command", SOON, || !world.containers("release").is_empty());
    push.interrupt();
    push.end().fails();
    wait_for("the end of the release command", Duration::from_secs(2), || world.containers("release").is_empty());
    wait_for("the cause", SOON, || app.run("builds", &[]).ok().out.contains("cancelled"));
    app.run("ps", &[]).ok().says("Nothing is running");
    assert!(app.get("/").status >= 500);
    app.run("config:unset", &["RELEASE_MS"]).ok();
    app.push().ok();
}
