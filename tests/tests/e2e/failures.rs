//! What goes wrong in a push: the cause is said, and the old release goes on serving.

use e2e::{App, Output, World, repository};

/// Pushes a good app, then one file of a bad one over it; the good one must still answer.
fn good_then_bad(app: &App<'_>, fixture: &str) -> Output {
    app.push().ok();
    app.git(&["rm", "-q", "--ignore-unmatch", "Procfile"]).ok();
    let bad = std::fs::read_to_string(repository().join(fixture).join("server.js")).unwrap();
    app.commit_change("server.js", &bad);
    let said = app.push().fails();
    assert!(app.get("/").ok().contains("v1"), "the old release does not serve");
    app.run("ps", &[]).ok().says("v1");
    said
}

#[test]
fn a_crash_at_boot_shows_its_last_lines() {
    let world = World::new();
    let said = good_then_bad(&world.app("blog", "tests/apps/echo"), "tests/apps/crash");
    said.says("DATABASE_URL is not set").says(" !     ");
}

#[test]
fn an_app_on_localhost_is_told_where_to_listen() {
    let world = World::with(&[("boot-timeout", "7")]);
    let said = good_then_bad(&world.app("blog", "tests/apps/echo"), "tests/apps/localhost");
    said.says("127.0.0.1:3000").says("0.0.0.0").says("PORT");
}

#[test]
fn an_app_that_opens_no_port_is_told_so() {
    let world = World::with(&[("boot-timeout", "7")]);
    let said = good_then_bad(&world.app("blog", "tests/apps/echo"), "tests/apps/noport");
    said.says("PORT").says("within 7 s");
}

#[test]
fn a_failed_build_keeps_the_old_release_and_can_be_tried_again() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/hello");
    app.push().ok();
    app.replace("package.json", "\"start\":", "\"build\": \"echo no such thing >&2; exit 3\", \"start\":");
    app.push().fails().says("no such thing").says(" !     ");
    assert!(app.get("/").ok().contains("release v1"));
    app.push().fails().says("no such thing");
    app.replace("package.json", "exit 3", "exit 0");
    app.push().ok();
    assert!(app.get("/").ok().contains("release v2"));
    app.run("builds", &[]).ok().says("failed");
}

#[test]
fn a_failed_release_command_moves_no_traffic() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    app.run("config:set", &["RELEASE_FAIL=7"]).fails().says("as it was told to").says("7");
    assert!(app.get("/").ok().contains("v1"));
    app.run("config:get", &["RELEASE_FAIL"]).fails();
}

#[test]
fn a_first_push_that_fails_leaves_an_app_that_answers_with_a_page() {
    let world = World::new();
    let app = world.app("first", "tests/apps/crash");
    app.push().fails().says("DATABASE_URL is not set");
    assert!(app.get("/").status >= 500);
    app.run("apps:destroy", &[]).fails().says("--confirm first");
    app.run("apps:destroy", &["--confirm", "first"]).ok();
    app.user.ssh(&["apps:list"]).ok().hides("first");
}
