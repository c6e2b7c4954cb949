//! Who may do and see what; words that nobody knows; the end.

use e2e::World;

#[test]
fn an_unknown_command_says_what_was_meant() {
    let world = World::new();
    let ana = world.user("ana");
    ana.ssh(&["app:list"]).exits(1).says("apps:list");
    ana.ssh(&["confg:set", "blog", "A=1"]).exits(1).says("config:set");
    ana.ssh(&["config:set", "blog", "A=1"]).exits(1).says("blog");
    ana.ssh(&["help"]).ok().says("apps:create");
    ana.ssh(&["help", "ps:scale"]).ok().says("web=2");
    ana.ssh(&["version"]).ok();
    assert!(ana.ssh(&["apps:list", "--format", "json"]).ok().json().is_array());
}

#[test]
fn a_second_user_sees_nothing_of_the_first() {
    let world = World::new();
    let app = world.app("secret", "tests/apps/echo");
    app.push().ok();
    let bob = world.user("bob");
    bob.ssh(&["apps:list"]).ok().hides("secret");
    for verb in ["apps:info", "config", "ps", "logs", "releases", "builds", "ps:restart", "rollback"] {
        let (theirs, nobodys) = (bob.ssh(&[verb, "secret"]), bob.ssh(&[verb, "nosuch"]));
        assert_eq!(theirs.code, 1, "{theirs}");
        assert_eq!(theirs.all().replace("secret", "NAME"), nobodys.all().replace("nosuch", "NAME"), "{verb}");
    }
    bob.ssh(&["apps:destroy", "secret", "--confirm", "secret"]).exits(1);
    bob.ssh(&["users:add", "eve"]).exits(1);
    let theirs = world.app_of(bob.clone(), "secret", "tests/apps/static");
    theirs.push().fails();
    bob.git(&world.data(), &["ls-remote", &bob.remote("secret")]).fails();
    world.admin("root").ssh(&["apps:list"]).ok().says("secret");
    assert!(app.get("/").ok().contains("v1"));
}

#[test]
fn a_key_that_nobody_knows_gets_nowhere() {
    let world = World::new();
    let stranger = e2e::User::new("eve", world.data().with_file_name("eve"), world.ssh);
    stranger.ssh(&["apps:list"]).exits(255);
    stranger.git(&world.data(), &["ls-remote", &stranger.remote("blog")]).fails();
}

#[test]
fn a_second_key_of_a_user_works_until_it_is_removed() {
    let world = World::new();
    let ana = world.user("ana");
    let laptop = e2e::User::new("laptop", world.data().with_file_name("laptop"), world.ssh);
    world.hoist_with(&["keys:add", "ana"], laptop.public_key().as_bytes()).ok();
    laptop.ssh(&["whoami"]).ok().says("ana");
    let listed = ana.ssh(&["keys:list"]).ok();
    let line = listed.out.lines().find(|l| l.contains("laptop")).unwrap();
    let fingerprint = line.split_whitespace().find(|w| w.starts_with("SHA256:")).unwrap();
    ana.ssh(&["keys:remove", fingerprint]).ok();
    laptop.ssh(&["whoami"]).exits(255);
}

#[test]
fn shutdown_ends_everything_and_the_next_start_finds_it_again() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/hello");
    app.push().ok();
    world.hoist(&["shutdown"]).ok();
    e2e::wait_for("the end of both processes", std::time::Duration::from_secs(30), || {
        world.running("serve") + world.running("router") == 0
    });
    world.restart_serve();
    e2e::wait_for("the app", std::time::Duration::from_secs(30), || app.get("/").status == 200);
}
