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
fn dependencies_are_installed_once_and_a_build_script_runs_each_time() {
    let world = World::new();
    let app = world.app("deps", "tests/apps/echo");
    let package = r#"{"name": "deps", "version": "1.0.0", "dependencies": {"ms": "2.1.3"},
        "scripts": {"build": "node -p \"'built ' + require('ms')('2 days')\""}}"#;
    let lock = r#"{"name": "deps", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
        "": {"name": "deps", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}},
        "node_modules/ms": {"version": "2.1.3",
          "integrity": "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="}}}"#;
    app.commit_change("package-lock.json", lock);
    app.commit_change("package.json", package);
    app.replace("server.js", "const crypto", "console.log(require('ms')(1000));\nconst crypto");
    app.push().ok().says("added 1 package").says("built 172800000");
    app.commit_change("note", "another line");
    app.push().ok().hides("added 1 package").says("built 172800000");
    assert!(app.answers_with("v2"));
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

/// The tag is an object of its own; what it is of is deployed, and the branch stands there. The line that the refusal of a pushed
/// tag proposes is typed.
#[test]
fn an_annotated_tag_deploys_the_commit_that_it_is_of() {
    let world = World::new();
    let app = world.app("tagged", "tests/apps/echo");
    app.push().ok();
    app.commit_change("note", "x");
    let commit = app.head();
    app.git(&["tag", "-a", "v9", "-m", "nine"]).ok();
    app.git(&["tag", "-a", "again", "-m", "a tag of a tag", "v9"]).ok();
    assert_ne!(app.git(&["rev-parse", "v9"]).ok().out.trim(), commit);
    let line = "git push hoist v9:refs/heads/main";
    app.git(&["push", "hoist", "v9"]).fails().says(line);
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    app.git(&words).ok().says("v2");
    app.run("releases", &[]).ok().says(&commit[..8]);
    app.git(&["config", "push.pushOption", "ci.skip"]).ok();
    let said = app.git(&["push", "--force", "hoist", "again:refs/heads/main"]).ok();
    said.says("Push options of other servers are passed over: ci.skip");
    let tip = app.git(&["ls-remote", "hoist", "refs/heads/main"]).ok().out;
    assert!(tip.starts_with(&commit), "{tip}");
}

#[test]
fn an_overtaken_push_is_told_what_to_do() {
    let world = World::new();
    let (one, two) = (world.app("shared", "tests/apps/echo"), world.app("shared", "tests/apps/echo"));
    one.push().ok();
    two.commit_change("other", "history");
    two.push().fails().says("fetch");
    assert!(one.get("/").ok().contains("v1"));
}

#[test]
fn of_several_pushes_at_once_the_second_waits_and_the_latest_wins() {
    let world = World::new();
    let app = world.app("many", "tests/apps/echo");
    app.user.ssh(&["apps:create", "many"]).ok();
    app.run("config:set", &["RELEASE_MS=4000"]).ok();
    app.push().ok();
    let mut pushes = Vec::new();
    for n in 1..=3 {
        app.commit_change("note", &n.to_string());
        let before = world.last_job();
        pushes.push(app.spawn(&["push", "hoist", &format!("{}:main", app.head())]));
        let word = if n == 1 { "release command" } else { "Waiting: " };
        world.wait_job(before, |job| job.contains(word));
    }
    let said: Vec<_> = pushes.into_iter().map(e2e::Running::end).collect();
    let [first, second, third] = &said[..] else { panic!("three pushes") };
    first.clone().ok().says("v2");
    second.clone().fails().says("Waiting").says("a later push took this one's place");
    third.clone().ok().says("Waiting").says("v3");
    app.get("/").ok();
    app.user.git(&app.dir, &["ls-remote", "hoist", "main"]).ok().says(&app.head());
}

#[test]
fn a_detached_push_returns_at_once_and_goes_live() {
    let world = World::new();
    let app = world.app("later", "tests/apps/echo");
    app.user.ssh(&["apps:create", "later"]).ok();
    app.run("config:set", &["RELEASE_MS=3000"]).ok();
    app.git(&["push", "-o", "detach", "hoist", "main"]).ok().says("Queued").says("builds:output");
    assert!(!app.answers_with("v1"), "it did not return at once");
    wait_for("the release", Duration::from_secs(60), || app.answers_with("v1"));
    wait_for("the branch", Duration::from_secs(10), || {
        app.git(&["ls-remote", "hoist", "main"]).ok().out.contains(&app.head())
    });
    app.run("builds:output", &[]).ok().says("Live: v1");
    app.git(&["push", "-o", "nonsense", "hoist", "HEAD:main"]).all();
}

#[test]
fn a_shallow_clone_can_push() {
    let world = World::new();
    let app = world.app("ci", "tests/apps/echo");
    for n in 0..3 {
        app.commit_change("note", &n.to_string());
    }
    let clone = app.shallow_clone("ci");
    clone.push().ok().says("v1");
    clone.commit_change("note", "more");
    clone.push().ok().says("v2");
    let full = app.user.git(&world.data(), &["ls-remote", &app.user.remote("ci"), "main"]).ok();
    assert!(full.out.contains(&clone.head()), "{full}");
    // The whole history descends from what was pushed shallow, or is refused with what to do; the app serves on.
    app.push().fails();
    assert!(app.answers_with("v2"));
}

#[test]
fn an_app_can_be_cloned_and_fetched_by_those_who_may_read_it() {
    let world = World::new();
    let app = world.app("open", "tests/apps/echo");
    app.push().ok();
    let to = app.dir.with_extension("clone");
    app.git(&["clone", "-q", &app.user.remote("open"), to.to_str().unwrap()]).ok();
    assert_eq!(app.user.git(&to, &["rev-parse", "HEAD"]).ok().out.trim(), app.head());
    app.git(&["ls-remote", "hoist"]).ok().hides("refs/hoist");
    world.user("bob").git(&world.data(), &["ls-remote", &app.user.remote("open")]).fails();
}

#[test]
fn creating_on_push_can_be_switched_off() {
    let world = World::with(&[("create-on-push", "no")]);
    let app = world.app("fresh", "tests/apps/static");
    app.push().fails().says("apps:create fresh");
    app.user.ssh(&["apps:list"]).ok().hides("fresh");
    app.user.ssh(&["apps:create", "fresh"]).ok();
    app.push().ok();
}

#[test]
fn an_empty_tree_a_submodule_and_hostile_names_are_refused() {
    let world = World::new();
    let app = world.app("odd", "tests/apps/echo");
    let tree = app.git(&["hash-object", "-t", "tree", "/dev/null"]).ok().out;
    let empty = app.git(&["commit-tree", tree.trim(), "-m", "empty"]).ok().out;
    app.git(&["push", "hoist", &format!("{}:refs/heads/main", empty.trim())]).fails().says("has no files");
    app.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", "a".repeat(40))]).ok();
    app.git(&["commit", "-q", "-m", "submodule"]).ok();
    app.push().fails().says("sub is a repository of its own").says("git rm --cached sub");
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
