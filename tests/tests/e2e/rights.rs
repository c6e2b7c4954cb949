//! A right that ends: what somebody made or holds ends with it, or is named with the command that ends it.

use crate::dockerfile::{docker, image_of};
use e2e::{App, Running, User, World, program, wait_for};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// A static app of ana's that bob may change; pushed.
fn shared(world: &World) -> (App<'_>, User) {
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    let bob = world.user("bob");
    app.run("access:add", &["bob"]).ok();
    (app, bob)
}

/// A deploy key of an app that somebody adds; its holder.
fn planted(world: &World, by: &User, app: &str, name: &str) -> User {
    let holder = User::new(name, world.folder(name), world.ssh);
    by.ssh_with(&["deploy-keys:add", app, name], holder.public_key().as_bytes()).ok();
    holder
}

/// Holds every build of this server up until the file it gives is there.
fn held_builds(world: &World) -> PathBuf {
    let (file, gate) = (world.data().join("hooks/pre-build"), world.folder("gate").join("open"));
    std::fs::write(&file, format!("#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.1; done\n", gate.display())).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    gate
}

#[test]
fn a_deploy_key_ends_with_the_right_of_who_added_it() {
    let world = World::new();
    let (app, bob) = shared(&world);
    let (ana, boss) = (app.user.clone(), world.admin("boss"));
    let [ci, spare] = ["ci", "spare"].map(|name| planted(&world, &bob, "blog", name));
    let (own, high) = (planted(&world, &ana, "blog", "own"), planted(&world, &boss, "blog", "high"));
    ana.ssh(&["deploy-keys:remove", "blog", "spare"]).ok();
    let their_push = world.app_of(ci.clone(), "blog", "tests/apps/static");
    their_push.commit_change("one", "1");
    their_push.git(&["push", "--force", "hoist", "HEAD:main"]).ok();
    ana.ssh(&["access:remove", "blog", "bob"]).ok().says("Ended: deploy key ci of blog").says("ps:restart blog");
    their_push.commit_change("two", "2");
    their_push.push().fails();
    for gone in [&ci, &spare] {
        gone.ssh(&["whoami"]).exits(255);
    }
    own.ssh(&["whoami"]).ok();
    // An administrator's goes with the role, their own app's stay.
    boss.ssh(&["apps:create", "mine"]).ok();
    let mine = planted(&world, &boss, "mine", "mine-ci");
    world.admin("other").ssh(&["users:set", "boss", "--developer"]).ok().says("Ended: deploy key high of blog");
    high.ssh(&["whoami"]).exits(255);
    mine.ssh(&["whoami"]).ok();
    // A user's go with the user; whom they made is named.
    ana.ssh(&["access:add", "blog", "bob"]).ok();
    let (again, kept) = (planted(&world, &bob, "blog", "again"), planted(&world, &bob, "blog", "kept"));
    ana.ssh(&["access:remove", "blog", "bob", "--keep-deploy-keys"])
        .ok()
        .says("Yours now: deploy key again of blog")
        .says("deploy-keys:remove blog kept");
    ana.ssh(&["deploy-keys:list", "blog"]).ok().hides("bob");
    for key in [&again, &kept] {
        key.ssh(&["whoami"]).ok();
    }
    world
        .hoist(&["users:remove", "ana"])
        .ok()
        .says("Ended: deploy key again of blog")
        .says("Belongs to root now: blog");
    for key in [&again, &kept, &own] {
        key.ssh(&["whoami"]).exits(255);
    }
    world.hoist(&["deploy-keys:list", "blog"]).ok().says("No deploy keys");
}

#[test]
fn an_app_is_given_to_somebody_else() {
    let world = World::new();
    let (app, bob) = shared(&world);
    let (ana, eve, boss) = (app.user.clone(), world.user("eve"), world.admin("boss"));
    let ci = planted(&world, &ana, "blog", "ci");
    bob.ssh(&["apps:transfer", "blog", "bob"]).exits(1).says("only the owner of blog");
    eve.ssh(&["apps:transfer", "blog", "eve"]).exits(1).says("there is no app blog");
    ci.ssh(&["apps:transfer", "blog", "eve"]).exits(1).says("a deploy key may not do this");
    let mut follows = Running::start(ana.ssh_command(&["logs", "blog", "-t"]));
    ana.ssh(&["apps:transfer", "blog", "eve"]).ok().says("blog belongs to eve now").says("deploy-keys:remove blog ci");
    wait_for("what ana follows to end", SOON, || follows.is_over());
    assert_eq!(app.get("/").status, 200, "it serves on");
    ana.ssh(&["apps:info", "blog"]).exits(1).says("there is no app blog");
    app.commit_change("one", "1");
    app.push().fails();
    // What was let in stays, and the new owner decides over it.
    let their_push = world.app_of(ci.clone(), "blog", "tests/apps/static");
    their_push.commit_change("two", "2");
    their_push.git(&["push", "--force", "hoist", "HEAD:main"]).ok();
    bob.ssh(&["apps:info", "blog"]).ok().says("owner:         eve");
    eve.ssh(&["deploy-keys:remove", "blog", "ci"]).ok();
    boss.ssh(&["apps:transfer", "blog", "bob", "--keep-access"]).ok().says("eve may still change it");
    eve.ssh(&["apps:transfer", "blog", "eve"]).exits(1).says("only the owner of blog");
    bob.ssh(&["events", "blog", "--type", "app-transferred"]).ok().says("eve owns it now, as ana did");
}

#[test]
fn queued_builds_and_what_runs_end_with_the_right() {
    let world = World::new();
    let (app, bob) = shared(&world);
    let (ana, boss) = (app.user.clone(), world.admin("boss"));
    bob.ssh(&["run", "--detach", "blog", "--", "sleep", "1000"]).ok().says("run.1");
    ana.ssh(&["run", "--detach", "blog", "--", "sleep", "1000"]).ok().says("run.2");
    let mut sessions: Vec<Running> = [
        vec!["run", "blog", "--", "sleep", "1000"],
        vec!["ps:exec", "blog", "web.1", "--", "sleep", "1000"],
        vec!["logs", "blog", "-t"],
    ]
    .iter()
    .map(|words| Running::start(bob.ssh_command(words)))
    .collect();
    wait_for("bob's third program", SOON, || ana.ssh(&["ps", "blog"]).out.contains("run.3"));
    wait_for("bob inside", SOON, || ana.ssh(&["logs", "blog", "-s", "hoist"]).out.contains("bob entered web.1"));
    let gate = held_builds(&world);
    let theirs = world.app_of(bob.clone(), "blog", "tests/apps/static");
    theirs.commit_change("index.html", "planted");
    theirs.git(&["push", "--force", "-o", "detach", "hoist", "HEAD:main"]).ok();
    theirs.commit_change("index.html", "planted later");
    theirs.git(&["push", "--force", "-o", "detach", "hoist", "HEAD:main"]).ok();
    let removed = ana.ssh(&["access:remove", "blog", "bob"]).ok();
    removed.says("Ended: build 2 of blog").says("Ended: build 3 of blog").says("Ended: run.1 of blog").hides("run.2");
    wait_for("the end of bob's sessions", SOON, || sessions.iter_mut().all(Running::is_over));
    wait_for("the end of bob's programs", SOON, || world.containers("run").len() == 1);
    std::fs::write(&gate, "").unwrap();
    ana.ssh(&["builds:wait", "blog", "3"]).exits(1).says("bob may not change blog any more");
    ana.ssh(&["builds", "blog"]).ok().says("cancelled").says("bob may not change blog");
    ana.ssh(&["releases", "blog"]).ok().hides("v2");
    app.get("/").ok();
    // The same for a key, whoever's it was: what it was used to ask for goes with it.
    std::fs::remove_file(&gate).unwrap();
    let laptop = User::new("laptop", world.folder("laptop"), world.ssh);
    world.hoist_with(&["keys:add", "ana"], laptop.public_key().as_bytes()).ok();
    let stolen = world.app_of(laptop, "blog", "tests/apps/static");
    stolen.commit_change("index.html", "stolen");
    stolen.git(&["push", "--force", "-o", "detach", "hoist", "HEAD:main"]).ok();
    let listed = ana.ssh(&["keys:list"]).ok().out;
    let line = listed.lines().find(|line| line.contains("laptop")).unwrap();
    let key = line.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap();
    ana.ssh(&["keys:remove", key]).ok().says("Ended: build 4 of blog");
    // A job that a killed server left behind goes no further than its right.
    let ci = planted(&world, &ana, "blog", "ci");
    let by_key = world.app_of(ci, "blog", "tests/apps/static");
    by_key.commit_change("index.html", "by key");
    by_key.git(&["push", "--force", "-o", "detach", "hoist", "HEAD:main"]).ok();
    boss.ssh(&["deploy-keys:remove", "blog", "ci"]).ok().says("Ended: build 5 of blog");
    world.kill9_serve();
    world.restart_serve();
    std::fs::write(&gate, "").unwrap();
    ana.ssh(&["builds:wait", "blog", "5"]).exits(1);
    ana.ssh(&["releases", "blog"]).ok().hides("v2");
    ana.ssh(&["ps:stop", "blog", "run.2"]).ok();
}

#[test]
fn what_others_hold_by_somebodys_word_is_named_with_its_end() {
    let world = World::new();
    let [ana, bob, eve] = ["ana", "bob", "eve"].map(|name| world.user(name));
    let boss = world.admin("boss");
    ana.ssh(&["apps:create", "blog"]).ok();
    ana.ssh(&["access:add", "blog", "bob"]).ok();
    bob.ssh(&["access:add", "blog", "eve"]).ok();
    let list = ana.ssh(&["access:list", "blog"]).ok().out;
    assert!(list.lines().any(|line| line.starts_with("eve") && line.ends_with("bob")), "{list}");
    let socket = world.folder("mux").join("s").to_str().unwrap().to_owned();
    let mut mux = program("ssh");
    mux.args(["-M", "-N", "-S", &socket]).args(bob.options()).args(["-o", "ControlMaster=yes"]);
    mux.args(["-o", &format!("ControlPath={socket}"), "-p", &world.ssh.port().to_string(), "hoist@127.0.0.1"]);
    let mut mux = Running::start(mux);
    wait_for("the open connection", SOON, || std::path::Path::new(&socket).exists());
    let over_it = |words: &[&str]| {
        let mut ssh = program("ssh");
        ssh.args(["-S", &socket, "hoist@127.0.0.1"]).args(words);
        e2e::run(ssh, b"", SOON)
    };
    over_it(&["apps:info", "blog"]).ok();
    let said = ana.ssh(&["access:remove", "blog", "bob"]).ok().says("blog is shared with eve, by bob");
    said.says("access:remove blog eve");
    over_it(&["apps:info", "blog"]).exits(1).says("there is no app blog");
    assert!(!mux.is_over(), "the connection itself is bob's still");
    eve.ssh(&["apps:info", "blog"]).ok();
    ana.ssh(&["access:remove", "blog", "eve"]).ok();
    eve.ssh(&["apps:info", "blog"]).exits(1);
    ana.ssh(&["access:remove", "blog", "eve"]).ok().says("was not shared");
    ana.ssh(&["access:remove", "blog", "boss"]).ok().says("boss may still change it, as an administrator");
    // Users and keys that an administrator made for others.
    let second = User::new("second", world.folder("second"), world.ssh);
    boss.ssh(&["users:add", "mallory"]).ok();
    boss.ssh_with(&["keys:add", "eve"], second.public_key().as_bytes()).ok();
    world.admin("other");
    let said = world.hoist(&["users:remove", "boss"]).ok();
    said.says("the user mallory, made by boss; to end it: users:remove mallory").says("keys:remove SHA256:");
    world.hoist(&["keys:list", "eve"]).ok().says("second");
}

#[test]
fn no_output_names_an_image_in_full() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    let docked = world.app("dock", "tests/apps/static");
    docked.commit_change("Dockerfile", "FROM hoist/stack-run\nCMD [\"sleep\", \"1000\"]\n");
    docked.commit_change("Procfile", "worker: sleep 1000\n");
    let mut said = docked.push().all();
    let names = [image_of(&world, "b1"), image_of(&world, "b2")];
    // The engine loses one: what it then says of it goes through many hands.
    docker(&["rmi", "-f", &names[0]]);
    for container in world.containers("web") {
        world.remove_container(&container);
    }
    said += &app.run("ps:restart", &[]).fails().all();
    said += &app.run("run", &["true"]).fails().all();
    for app in [&app, &docked] {
        for words in [["builds"], ["builds:output"], ["releases"], ["apps:info"], ["ps"], ["events"]] {
            said += &app.run(words[0], &["--format", "json"]).all();
            said += &app.run(words[0], &[]).all();
        }
        said += &app.run("logs", &["-n", "1000"]).all();
    }
    for words in [["doctor"], ["events"], ["apps:list"]] {
        said += &world.hoist(&[words[0], "--format", "json"]).all();
    }
    said += &std::fs::read_to_string(world.data().with_file_name("serve.log")).unwrap();
    for path in world.paths().iter().filter(|path| path.contains("/logs/") && path.ends_with(".log")) {
        said += &std::fs::read_to_string(path).unwrap_or_default();
    }
    assert!(said.contains("image"), "{said}");
    for name in names {
        let key = name.rsplit_once('-').unwrap().1;
        assert_eq!(key.len(), 16, "{name}");
        let found: Vec<&str> = said.lines().filter(|line| line.contains(key)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// What a process may have used at most, in kB.
fn peak(world: &World) -> u64 {
    let pid = e2e::processes(&world.data(), "serve")[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_refused_commands_is_counted_and_cut() {
    let world = World::new();
    let (ana, eve) = (world.user("ana"), world.user("eve"));
    ana.ssh(&["apps:create", "blog"]).ok();
    eve.ssh(&["apps:create", "evil"]).ok();
    let size = || -> u64 {
        ["hoist.db", "hoist.db-wal"].iter().map(|f| world.data().join(f).metadata().map_or(0, |m| m.len())).sum()
    };
    let before = size();
    let socket = world.folder("mux").join("s").to_str().unwrap().to_owned();
    let mut mux = program("ssh");
    mux.args(["-M", "-N", "-S", &socket]).args(eve.options()).args(["-o", "ControlMaster=yes"]);
    mux.args(["-o", &format!("ControlPath={socket}"), "-p", &world.ssh.port().to_string(), "hoist@127.0.0.1"]);
    let _mux = Running::start(mux);
    wait_for("the open connection", SOON, || std::path::Path::new(&socket).exists());
    let over_it = |words: &[&str]| {
        let mut ssh = program("ssh");
        ssh.args(["-S", &socket, "hoist@127.0.0.1"]).args(words);
        e2e::run(ssh, b"", SOON)
    };
    let long = "x".repeat(120_000);
    for n in 0..150 {
        // The same again, and others each time; none of them can run: there is no release.
        over_it(&["run", "evil", "--", &long]).exits(1);
        over_it(&["run", "evil", "--", &format!("{n}{long}")]).exits(1);
    }
    over_it(&["apps:set", "evil", &format!("no-such-setting={long}")]).exits(1);
    over_it(&["rollback", "evil", &long]).exits(1).says("too long");
    // Of 36 MB that were typed; the database's log alone may have 4 MB before it is emptied.
    assert!(size() - before < 6_000_000, "{} bytes", size() - before);
    let all = eve.ssh(&["events", "evil", "--type", "command", "--format", "json", "-n", "100000"]).ok();
    let rows = all.json();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() < 260, "{} rows", rows.len());
    assert!(rows.iter().all(|row| row["line"].as_str().unwrap().len() < 600));
    let same = |row: &&serde_json::Value| row["line"].as_str().unwrap().starts_with("run evil -- xxx");
    let times: u64 = rows.iter().filter(same).map(|row| row["repeats"].as_u64().unwrap()).sum();
    assert_eq!((rows.iter().filter(same).count() < 20, times), (true, 150));
    eve.ssh(&["events", "evil", "-n", "1000"]).ok().says(" times until 20").says("(120");
    // A change of hers is not lost in it, and what ana did is where it was.
    over_it(&["apps:set", "evil", "deploy-branch=main"]).ok();
    eve.ssh(&["events", "evil", "-n", "5"]).ok().says("apps:set evil deploy-branch=main");
    ana.ssh(&["events", "blog"]).ok().says("apps:create blog");
    assert!(peak(&world) < 150_000, "{} kB", peak(&world));
}
