//! `git push` to URL: what deploys, what is refused.

use e2e::{World, wait_for};
use std::time::Duration;

#[test]
fn a_push_answers_at_its_url_and_a_changed_line_follows() {
    let world = World::new();
    let app = world.app("hello", "tests/apps/hello");
    app.push().ok().says("-----> ").says(&format!("http://hello.localhost:{}", world.http.port())).says("v1");
    assert!(app.get("/").ok().contains("release v1"));
    app.replace("server.js", "Hello from Hoist", "Hello again");
    app.push().ok().says("v2");
    assert!(app.get("/").ok().contains("Hello again"));
    let releases = app.run("releases", &[]).ok();
    assert!(releases.out.contains("v1") && releases.out.contains("v2"), "{releases}");
    let clone = world.user("ana").git(&world.data(), &["ls-remote", &app.user.remote("hello")]).ok();
    assert!(clone.out.contains(app.git(&["rev-parse", "HEAD"]).ok().out.trim()), "{clone}");
}

#[test]
fn a_static_site_is_served() {
    let world = World::new();
    let app = world.app("site", "tests/apps/static");
    app.push().ok();
    assert!(app.get("/").ok().contains("<"));
    assert_eq!(app.get("/not-there").status, 404);
}

#[test]
fn pushing_the_same_commit_again_changes_nothing() {
    let world = World::new();
    let app = world.app("same", "tests/apps/echo");
    app.push().ok();
    app.push().ok().says("up-to-date");
    app.run("releases", &[]).ok().hides("v2");
}

#[test]
fn another_branch_a_tag_and_a_deletion_are_refused_with_what_to_type() {
    let world = World::new();
    let app = world.app("branchy", "tests/apps/echo");
    app.push().ok();
    app.commit_change("note", "x");
    app.git(&["push", "hoist", "HEAD:refs/heads/feature"]).fails().says("git push hoist").says("main");
    app.git(&["tag", "v9"]).ok();
    app.git(&["push", "hoist", "v9"]).fails().says("tag");
    app.git(&["push", "hoist", ":main"]).fails();
    app.git(&["push", "hoist", "HEAD:refs/hoist/push/1"]).fails();
    assert!(app.get("/").ok().contains("v1"));
}

#[test]
fn an_overtaken_push_is_told_what_to_do() {
    let world = World::new();
    let (one, two) = (world.app("shared", "tests/apps/echo"), world.app("shared", "tests/apps/echo"));
    one.push().ok();
    two.commit_change("other", "history");
    two.push().fails();
    assert!(one.get("/").ok().contains("v1"));
}

#[test]
fn of_two_pushes_at_once_both_are_answered_and_the_later_one_serves() {
    let world = World::new();
    let app = world.app("twice", "tests/apps/echo");
    app.push().ok();
    app.commit_change("a", "1");
    let (user, dir) = (app.user.clone(), app.dir.clone());
    let first = std::thread::spawn(move || user.git(&dir, &["push", "hoist", "HEAD:main"]));
    wait_for("the first push's build", Duration::from_secs(60), || {
        app.run("builds", &[]).ok().out.lines().count() > 2 || first.is_finished()
    });
    app.commit_change("b", "2");
    let second = app.push().ok();
    first.join().unwrap().ok();
    assert!(app.get("/").ok().contains("v3"), "{second}");
}

#[test]
fn an_empty_tree_a_submodule_and_hostile_names_are_refused() {
    let world = World::new();
    let app = world.app("odd", "tests/apps/echo");
    let tree = app.git(&["hash-object", "-t", "tree", "/dev/null"]).ok().out;
    let empty = app.git(&["commit-tree", tree.trim(), "-m", "empty"]).ok().out;
    app.git(&["push", "hoist", &format!("{}:refs/heads/main", empty.trim())]).fails().says("empty");
    app.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", "a".repeat(40))]).ok();
    app.git(&["commit", "-q", "-m", "submodule"]).ok();
    app.push().fails().says("submodule");
    for name in ["../../etc", "a;id", "$(id)", "-oProxyCommand=id", "Upper", "a b", "blog.git/../x", "admin", ""] {
        let remote = format!("ssh://hoist@{}/{name}", world.ssh);
        app.git(&["push", &remote, "HEAD:main"]).fails().hides("uid=");
    }
    world.user("ana").ssh(&["apps:list"]).ok().hides("etc");
}

#[test]
fn nothing_that_matches_is_told_what_was_looked_for() {
    let world = World::new();
    let app = world.app("empty", "tests/apps/static");
    app.git(&["rm", "-q", "-r", "."]).ok();
    app.commit_change("notes.txt", "no app in here");
    app.push().fails().says("package.json").says("index.html");
}
