//! What continuous integration needs: a push that returns, waiting for its end, lines for programs.

use e2e::{App, Output, World};
use std::time::Duration;

/// The last line that the server said in a push.
fn last_remote(said: &Output) -> String {
    let lines: Vec<&str> = said.err.lines().filter_map(|l| l.strip_prefix("remote: ")).collect();
    lines.iter().rev().map(|l| l.trim_end()).find(|l| !l.is_empty()).unwrap_or_default().to_owned()
}

fn report(said: &Output) -> serde_json::Value {
    let line = last_remote(said);
    serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line:?} in {said}"))
}

fn slow<'w>(world: &'w World, name: &str) -> App<'w> {
    let app = world.app(name, "tests/apps/echo");
    app.user.ssh(&["apps:create", name]).ok();
    app.run("config:set", &["RELEASE_MS=3000"]).ok();
    app
}

#[test]
fn a_detached_push_is_waited_for_by_its_build() {
    let world = World::new();
    let app = slow(&world, "ci");
    app.run("builds:wait", &[]).exits(1).says("no builds yet");
    let queued = app.git(&["push", "-o", "detach", "-o", "json", "hoist", "main"]).ok().says("builds:wait ci 1");
    let said = report(&queued);
    assert_eq!((&said["status"], &said["build"], &said["app"]), (&"running".into(), &1.into(), &"ci".into()));
    app.run("builds:wait", &["1", "--timeout", "1"]).exits(124).says("hoist: running app=ci build=1");
    let done = app.run("builds:wait", &["1"]).ok();
    let line = done.out.trim_end();
    assert!(line.starts_with("hoist: live app=ci build=1 release=v1 commit=") && !line.contains('\n'), "{done}");
    assert!(line.contains(&format!("commit={} url=http://ci.localhost", app.head())), "{done}");
    assert!(done.err.contains("Build 1 of "), "nothing shows that it is waited for: {done}");
    assert_eq!(app.run("builds:wait", &["--format", "json"]).ok().json()["release"], "v1");
    app.run("builds:wait", &["99"]).exits(1).says("builds ci");
    app.run("builds:wait", &["x"]).exits(1).says("a number");
    app.run("builds:wait", &["--timeout", "0"]).exits(1).says("--timeout");
}

#[test]
fn waiting_and_cancelled_and_failed_builds_say_so() {
    let world = World::new();
    let app = slow(&world, "ci");
    let detach = |n: &str| {
        app.commit_change("note", n);
        app.git(&["push", "-o", "detach", "hoist", "HEAD:main"]).ok()
    };
    detach("1").says("build 1");
    detach("2").says("build 2");
    app.run("builds", &[]).ok().says("waiting");
    app.run("builds:cancel", &["2"]).ok();
    app.run("builds:wait", &["2", "--format", "json"]).exits(1).says("\"status\":\"cancelled\"");
    app.run("builds:wait", &["1"]).ok();
    app.run("builds", &[]).ok().says("cancelled").hides("waiting");
    app.commit_change("package.json", "{\"scripts\": {\"start\": \"node server.js\", \"build\": \"exit 7\"}}");
    detach("3").says("build 3");
    let failed = app.run("builds:wait", &["3"]).exits(1);
    assert!(
        failed.out.starts_with("hoist: failed app=ci build=3") && failed.out.contains("code=build-failed"),
        "{failed}"
    );
}

#[test]
fn a_job_that_a_killed_server_left_is_waited_for() {
    let world = World::new();
    let app = slow(&world, "ci");
    app.run("config:set", &["RELEASE_MS=5000"]).ok();
    let before = world.last_job();
    app.git(&["push", "-o", "detach", "hoist", "main"]).ok();
    world.wait_job(before, |job| job.contains("release command of v1"));
    world.kill9_serve();
    world.restart_serve();
    app.run("builds:wait", &["1"]).ok().says("release=v1");
    app.run("builds:output", &["1"]).ok().says("Resumed after a restart").says("Live: v1");
}

#[test]
fn output_is_followed_with_the_time_of_each_line() {
    let world = World::new();
    let app = slow(&world, "ci");
    app.git(&["push", "-o", "detach", "hoist", "main"]).ok();
    let so_far = app.run("builds:output", &[]).ok();
    assert!(so_far.err.contains("builds:output ci 1 -t"), "{so_far}");
    let all = app.run("builds:output", &["1", "-t", "--timestamps"]).ok().says("Live: v1");
    for line in all.out.lines() {
        assert!(line.as_bytes().get(23..25) == Some(b"Z ") && line.starts_with("20"), "{line:?}");
    }
    app.run("builds:output", &["1"]).ok().says("\n-----> Live: v1");
    let json = app.run("builds:output", &["1", "--format", "json"]).ok().json();
    assert!(json["lines"][0].as_str().unwrap().starts_with("-----> "), "{json}");
    app.commit_change("note", "2");
    let push = app.git(&["push", "-o", "timestamps", "-o", "json", "hoist", "main"]).ok();
    assert_eq!(report(&push)["release"], "v2");
    let stamped = push.err.lines().filter(|l| l.starts_with("remote: 20") && l.contains("Z ")).count();
    assert!(stamped > 4, "{push}");
}

#[test]
fn every_end_has_a_report_and_nothing_has_colour() {
    let world = World::new();
    let app = world.app("ci", "tests/apps/echo");
    let push = |to: &str| app.git(&["push", "-o", "json", "hoist", to]);
    let live = push("main").ok();
    let said = report(&live);
    assert_eq!(
        (&said["status"], &said["release"], &said["commit"]),
        (&"live".into(), &"v1".into(), &app.head().into())
    );
    assert!(
        said["url"].as_str().unwrap().starts_with("http://ci.localhost") && said["seconds"].as_f64().unwrap() > 0.0
    );
    app.commit_change("note", "1");
    let branch = push("HEAD:refs/heads/topic").fails();
    assert_eq!(
        (&report(&branch)["status"], &report(&branch)["code"]),
        (&"refused".into(), &"not-the-deploy-branch".into())
    );
    app.replace("server.js", "const crypto", "process.exit(9); const crypto");
    let crash = push("main").fails();
    assert_eq!((&report(&crash)["status"], &report(&crash)["code"]), (&"failed".into(), &"boot-crash".into()));
    for said in [&live, &branch, &crash, &app.run("builds:output", &[]).ok(), &app.run("ps", &[]).ok()] {
        assert!(!said.all().contains('\u{1b}') && !said.out.contains('\r'), "{said}");
    }
    app.git(&["push", "-o", "jsn", "hoist", "main"]).fails().says("git push -o json hoist main");
}

#[test]
fn a_shallow_checkout_pushes_a_detached_head() {
    let world = World::new();
    let app = world.app("ci", "tests/apps/echo");
    app.commit_change("note", "1");
    let clone = app.shallow_clone("ci");
    clone.git(&["checkout", "-q", "--detach"]).ok();
    clone.git(&["push", "-o", "json", "hoist", "HEAD:refs/heads/main"]).ok().says("\"status\":\"live\"");
    clone.git(&["push", "hoist"]).fails();
    e2e::wait_for("the page", Duration::from_secs(10), || app.answers_with("v1"));
}
