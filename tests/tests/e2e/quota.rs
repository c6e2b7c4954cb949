//! Everybody's share: how much one person may have, whose build is next, networks for more apps than one share holds.

use domain::addresses::NETWORKS_PER_SHARE;
use domain::{AppId, Timestamp};
use e2e::{App, Running, User, World, engine, wait_for};
use std::time::{Duration, Instant};
use store::{Store, path_in};

const SOON: Duration = Duration::from_secs(60);
/// As many apps as there are networks for in one share.
const FULL: u16 = NETWORKS_PER_SHARE - 1;

/// An administrator types what a refusal proposed.
#[track_caller]
fn as_proposed(world: &World, refusal: &e2e::Output) {
    let said = refusal.all();
    let proposed = said
        .lines()
        .find_map(|line| line.split_once(": ask ")?.1.split_once(" for: ").map(|(_, words)| words))
        .unwrap_or_else(|| panic!("no proposal: {said}"));
    let words: Vec<&str> = proposed.split_whitespace().collect();
    world.hoist(&words).ok();
}

fn destroy(user: &User, app: &str) {
    user.ssh(&["apps:destroy", app, "--confirm", app]).ok();
}

/// What a user has of something, of how much, and whose limit that is.
fn quota(world: &World, user: &str, what: &str) -> (u64, Option<u64>, String) {
    let rows = world.hoist(&["quota", user, "--format", "json"]).ok().json();
    let row = rows.as_array().unwrap().iter().find(|row| row["what"] == what).unwrap().clone();
    (row["used"].as_u64().unwrap(), row["limit"].as_u64(), row["from"].as_str().unwrap().to_owned())
}

#[test]
fn the_limit_of_apps_is_ones_own_and_ends_when_one_is_destroyed() {
    let world = World::with(&[("user-apps", "2")]);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    for name in ["one", "two"] {
        ana.ssh(&["apps:create", name]).ok();
    }
    let no = ana.ssh(&["apps:create", "three"]).exits(1);
    no.clone().says("ana uses 2 of 2 apps, this needs 3").says("apps:destroy").says("quota:set ana apps=3");
    let third = world.app_of(ana.clone(), "three", "tests/apps/static");
    third.push().fails().says("ana uses 2 of 2 apps, this needs 3").says("quota:set ana apps=3");
    ana.ssh(&["apps:list"]).ok().hides("three");

    bob.ssh(&["apps:create", "bobs"]).ok();
    destroy(&ana, "one");
    third.push().ok();
    as_proposed(&world, &no);
    ana.ssh(&["apps:create", "four"]).ok();
    ana.ssh(&["apps:create", "five"]).exits(1);
    assert_eq!(quota(&world, "ana", "apps"), (3, Some(3), "set".into()));
    assert_eq!(quota(&world, "bob", "apps"), (1, Some(2), "default".into()));

    // Less than there is stops nothing.
    world.hoist(&["quota:set", "ana", "apps=1"]).ok().says("nothing is stopped");
    third.push().ok();
    ana.ssh(&["apps:create", "five"]).exits(1).says("ana uses 3 of 1 apps, this needs 4");
    world.hoist(&["quota:unset", "ana"]).ok().says("ana may have apps: 2 again");
    let eve = world.admin("eve");
    for name in ["e1", "e2", "e3"] {
        eve.ssh(&["apps:create", name]).ok();
    }
    eve.ssh(&["quota"]).ok().says("default for administrators").says("unlimited");

    // Who may look at whose, and set it.
    bob.ssh(&["quota"]).ok().says("default (user-apps)").hides("ana");
    bob.ssh(&["quota", "bob"]).ok();
    for words in
        [["quota", "ana"].as_slice(), &["quota", "--all"], &["quota:set", "bob", "apps=9"], &["quota:unset", "ana"]]
    {
        bob.ssh(words).exits(1).says("only administrators");
    }
    eve.ssh(&["quota", "--all"]).ok().says("ana").says("bob").says("eve");
    eve.ssh(&["quota:set", "bob", "cpu=two"]).exits(1).says("processors=4");
    eve.ssh(&["quota:set", "bob", "friends=2"]).exits(1).says("apps, instances, memory");
    eve.ssh(&["quota:set", "nobody", "apps=2"]).exits(1).says("users:list");
}

#[test]
fn what_runs_counts_to_the_owner_whoever_asks() {
    let world = World::with(&[("user-instances", "2")]);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let app = world.app_of(ana.clone(), "blog", "tests/apps/static");
    app.push().ok();
    ana.ssh(&["access:add", "blog", "bob"]).ok();
    bob.ssh(&["ps:scale", "blog", "web=2"]).ok();
    let no = bob.ssh(&["ps:scale", "blog", "web=3"]).exits(1);
    no.clone().says("ana uses 2 of 2 instances, this needs 3").says("ps:stop").says("quota:set ana instances=3");
    assert_eq!(ana.ssh(&["ps:scale", "blog", "--format", "json"]).ok().json()[0]["quantity"], 2, "nothing changed");
    ana.ssh(&["run", "blog", "--", "true"]).exits(1).says("ana uses 2 of 2 instances, this needs 3");

    // Another app has no room, whoever pushes; another owner's has.
    let second = world.app_of(ana.clone(), "second", "tests/apps/static");
    second.push().fails().says("Push rejected: ana uses 2 of 2 instances, this needs 3");
    let bobs = world.app_of(bob.clone(), "bobs", "tests/apps/static");
    bobs.push().ok();
    // As many again is no more: a deploy with its old and new instances side by side, a restart.
    app.commit_change("index.html", "two");
    app.push().ok();
    ana.ssh(&["ps:restart", "blog"]).ok();
    // What is stopped does not count, until it is to start again.
    ana.ssh(&["ps:stop", "blog"]).ok();
    second.push().ok();
    ana.ssh(&["ps:start", "blog"]).exits(1).says("ana uses 1 of 2 instances, this needs 3");
    as_proposed(&world, &no);
    ana.ssh(&["ps:start", "blog"]).ok();
    assert_eq!(quota(&world, "ana", "instances"), (3, Some(3), "set".into()));

    // Below what runs: that goes on, also through a deploy, and there may be fewer.
    world.hoist(&["quota:set", "ana", "instances=1"]).ok().says("nothing is stopped");
    app.commit_change("index.html", "three");
    app.push().ok();
    assert!(app.answers_with("three"));
    ana.ssh(&["ps:scale", "blog", "web=1"]).ok();
    ana.ssh(&["ps:scale", "blog", "web=2"]).exits(1);

    // Memory and processors, by the limits of each instance: 512 MB, and half a processor.
    world.hoist(&["quota:set", "ana", "instances=unlimited", "memory=1100m"]).ok();
    ana.ssh(&["ps:scale", "blog", "web=2"]).exits(1).says("ana uses 1.0 GB of 1.1 GB of memory").says("memory=1536m");
    ana.ssh(&["run", "blog", "--memory", "100", "--", "true"]).exits(1).says("memory=1124m");
    let cpu = quota(&world, "ana", "processors").0;
    let (whole, rest) = (cpu / 1000, cpu % 1000);
    world.hoist(&["quota:set", "ana", "memory=unlimited", &format!("processors={whole}.{rest:03}")]).ok();
    let no = ana.ssh(&["ps:scale", "blog", "web=2"]).exits(1).says("processors, this needs");
    as_proposed(&world, &no);
    ana.ssh(&["ps:scale", "blog", "web=2"]).ok();
}

#[test]
fn a_push_is_refused_before_it_begins_where_its_owner_has_filled_the_disk() {
    let world = World::with(&[("user-disk", "1")]);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let app = world.app_of(ana.clone(), "blog", "tests/apps/static");
    // What git cannot make smaller.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(3_000_000)
    .collect();
    std::fs::write(app.dir.join("noise.bin"), noise).unwrap();
    app.commit_change("index.html", "one");
    app.push().ok();
    app.commit_change("index.html", "two");
    let no = app.push().fails().says("of disk: nothing more is taken").says("repositories").hides("Writing objects");
    let fresh = world.app_of(ana.clone(), "fresh", "tests/apps/static");
    fresh.push().fails().says("of disk: nothing more is taken");
    ana.ssh(&["apps:list"]).ok().hides("fresh");
    ana.ssh(&["ps:rebuild", "blog"]).exits(1).says("of disk: nothing more is taken");
    // What serves goes on, and others are not affected.
    assert!(app.answers_with("one"));
    world.app_of(bob, "bobs", "tests/apps/static").push().ok();
    let (used, limit, _) = quota(&world, "ana", "disk");
    assert!(used > 3_000_000 && limit == Some(1_000_000), "{used} of {limit:?}");
    as_proposed(&world, &no);
    app.push().ok();
    world.hoist(&["quota:unset", "ana", "disk"]).ok();
    app.commit_change("index.html", "three");
    app.push().fails();
    destroy(&ana, "blog");
    fresh.push().ok();
}

/// An app whose build takes a while.
fn slow<'w>(world: &'w World, user: &User, name: &str) -> App<'w> {
    let app = world.app_of(user.clone(), name, "tests/apps/hello");
    app.replace("package.json", "\"start\":", "\"build\": \"sleep 3\", \"start\":");
    app
}

#[test]
fn builds_of_two_people_alternate() {
    let world = World::with(&[("user-builds", "1")]);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let many: Vec<App> = (1..=4).map(|n| slow(&world, &ana, &format!("ana{n}"))).collect();
    let bobs = slow(&world, &bob, "bobs");
    let mut pushes: Vec<Running> = many.iter().map(|app| app.spawn(&["push", "hoist", "main"])).collect();
    wait_for("all of ana's", SOON, || ana.ssh(&["apps:list"]).ok().out.matches("ana").count() >= 4);
    let busy = || quota(&world, "ana", "builds").0 == 1;
    wait_for("one of them at work", SOON, busy);
    bobs.push().ok();
    let over = pushes.iter_mut().filter_map(|push| push.is_over().then_some(())).count();
    assert!(over <= 1, "bob waited for {over} of ana's builds");
    let said: Vec<String> = pushes.into_iter().map(|push| push.end().ok().all()).collect();
    let waited = said.iter().filter(|said| said.contains("Waiting")).count();
    assert!(waited >= 3, "three had to wait, and were told: {said:#?}");
    assert!(said.iter().any(|said| said.contains("may have 1 at a time (quota)")), "{said:#?}");
}

#[test]
fn three_hundred_apps_that_never_ran_are_in_nobodys_way() {
    let world = World::new();
    let began = Instant::now();
    for n in 0..300 {
        world.hoist(&["apps:create", &format!("idle{n}")]).ok();
    }
    eprintln!("300 apps:create took {:?}", began.elapsed());
    let networks = engine::networks(world.install());
    assert!(networks.is_empty(), "apps that never ran have no network: {networks:?}");
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    assert!(app.get("/").status == 200);
}

/// Fills the networks up to `count` apps that are only rows, as if they had run; the server is stopped meanwhile.
fn fill(world: &World, count: u16) {
    world.stop_serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&path_in(&world.data())).unwrap();
        let filled = store.write(move |tx| {
            for n in 1..=count {
                let id: AppId = format!("fill{n:04}").parse()?;
                tx.add_app(&id, &format!("fill{n}").parse()?, None, Timestamp(0))?;
                tx.take_network(&id, n, Timestamp(0))?;
            }
            Ok(())
        });
        filled.await.unwrap();
    });
    world.restart_serve();
}

#[test]
fn an_app_beyond_the_first_share_runs_in_another() {
    let world = World::new();
    fill(&world, FULL);
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let bridges = engine::bridges(world.install());
    assert!(bridges.contains(&format!("hst{}74", world.install())), "{bridges:?}");
    // The rules know its bridge, as they do the others'.
    let rules = engine::firewall_rules(world.install());
    assert!(
        rules.contains(&format!("\"hst{0}74\" . \"hst{0}74\"", world.install())),
        "the app's own network is closed"
    );
    world.restart_serve();
    app.commit_change("index.html", "again");
    app.push().ok();
    assert_eq!(app.get("/").status, 200);
    assert_eq!(engine::bridges(world.install()), bridges, "the same network after a restart");
}

#[test]
fn a_full_pool_refuses_in_words_until_an_app_is_destroyed() {
    // One share, of which this installation alone takes all.
    let world = World::with(&[("pool", "10.247.64.0/18")]);
    fill(&world, FULL - 1);
    let last = world.app("last", "tests/apps/static");
    last.push().ok();
    let before = engine::bridges(world.install());
    let app = world.app("blog", "tests/apps/static");
    let no = app.push().fails().says("all networks are taken").says("10.247.64.0/18").says("apps:destroy");
    no.says("Push rejected: all networks are taken");
    app.push().fails().says("all networks are taken");
    // The number of an app that ran is free with its end, and nothing of it is in the way.
    destroy(&last.user, "last");
    app.push().ok();
    assert_eq!(app.get("/").status, 200);
    assert_eq!(engine::bridges(world.install()), before);
    destroy(&app.user, "blog");
    last.push().ok();
    world.hoist(&["apps:destroy", "fill17", "--confirm", "fill17"]).ok();
    app.push().ok();
    assert_eq!((app.get("/").status, last.get("/").status), (200, 200));
}
