//! A team on one server: keys of every kind, roles, deploy keys, what is written down about it all.

use e2e::{Running, User, World, program, wait_for};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

/// A person with a key of another kind, known to the server as `user`.
fn with_key(world: &World, user: &str, kind: &[&str]) -> User {
    let name = kind.join("").replace('-', "");
    let holder = User::with_key(&name, world.folder(&name), world.ssh, kind);
    world.hoist_with(&["keys:add", user], holder.public_key().as_bytes()).ok();
    holder
}

fn fingerprint(of: &User) -> String {
    let mut keygen = program("ssh-keygen");
    keygen.arg("-lf").arg(of.key.with_extension("pub"));
    e2e::run(keygen, b"", SOON).ok().out.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn keys_of_every_kind_log_in_and_small_or_old_ones_do_not() {
    let world = World::new();
    world.user("ana");
    for kind in [["-t", "ed25519"].as_slice(), &["-t", "ecdsa", "-b", "384"], &["-t", "rsa", "-b", "2048"]] {
        with_key(&world, "ana", kind).ssh(&["whoami"]).ok().says("name: ana");
    }
    let rsa = User::with_key("rsa", world.folder("rsa"), world.ssh, &["-t", "rsa", "-b", "3072"]);
    world.hoist_with(&["keys:add", "ana"], rsa.public_key().as_bytes()).ok();
    let sign = |algorithm: &str| {
        let mut ssh = rsa.ssh_command(&["whoami"]);
        let words: Vec<std::ffi::OsString> = ssh.get_args().map(Into::into).collect();
        ssh = program("ssh");
        ssh.arg("-o").arg(format!("PubkeyAcceptedAlgorithms={algorithm}")).args(words);
        e2e::run(ssh, b"", Duration::from_secs(30))
    };
    sign("rsa-sha2-256").ok();
    sign("rsa-sha2-512").ok();
    sign("ssh-rsa").exits(255);
    let small = User::with_key("small", world.folder("small"), world.ssh, &["-t", "rsa", "-b", "1024"]);
    world.hoist_with(&["keys:add", "ana"], small.public_key().as_bytes()).exits(1).says("2048").says("ssh-keygen");
    assert_eq!(world.hoist(&["keys:list", "ana"]).ok().out.matches("SHA256:").count(), 5);
}

#[test]
fn several_keys_come_at_once_all_or_none() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|name| User::new(name, world.folder(name), world.ssh));
    let both = format!("# of GitHub\n{}\n{}", one.public_key(), two.public_key());
    world.hoist_with(&["users:add", "ana"], format!("{both}nonsense\n").as_bytes()).exits(1).says("line 5");
    one.ssh(&["whoami"]).exits(255);
    world.hoist_with(&["users:add", "ana"], both.as_bytes()).ok();
    for user in [&one, &two] {
        user.ssh(&["whoami"]).ok().says("name: ana").says(&fingerprint(user)).says(&user.name);
    }
    let bob = world.user("bob");
    bob.ssh_with(&["keys:add"], one.public_key().as_bytes()).exits(1).says("in use by another user");
}

#[test]
fn a_removed_key_or_user_ends_what_it_opened_within_a_second() {
    let world = World::new();
    let (boss, ana) = (world.admin("boss"), world.user("ana"));
    ana.ssh(&["apps:create", "blog"]).ok();
    let laptop = with_key(&world, "ana", &["-t", "ed25519"]);
    // An idle connection, and one that follows a log.
    let socket = world.folder("mux").join("s").to_str().unwrap().to_owned();
    let mut idle = program("ssh");
    idle.args(["-M", "-N", "-S", &socket]).args(laptop.options()).args(["-o", "ControlMaster=yes"]);
    idle.args(["-o", &format!("ControlPath={socket}"), "-p", &world.ssh.port().to_string(), "hoist@127.0.0.1"]);
    let mut idle = Running::start(idle);
    wait_for("the idle connection", Duration::from_secs(10), || std::path::Path::new(&socket).exists());
    let mut logs = Running::start(laptop.ssh_command(&["logs", "blog", "-t"]));
    let mut mine = Running::start(ana.ssh_command(&["logs", "blog", "-t"]));
    let shown = |user: &User| user.ssh(&["events", "blog", "-n", "1"]).code;
    assert_eq!(shown(&laptop), 0);
    let wanted = fingerprint(&laptop);
    ana.ssh(&["keys:remove", wanted.strip_prefix("SHA256:").unwrap().get(..12).unwrap()]).ok().says(&wanted);
    wait_for("the end of both", SOON, || idle.is_over() && logs.is_over());
    assert!(!mine.is_over(), "another key's session ended too");
    boss.ssh(&["users:remove", "ana"]).ok();
    wait_for("the end of the user's last session", SOON, || mine.is_over());
    ana.ssh(&["whoami"]).exits(255);
    boss.ssh(&["apps:info", "blog"]).ok();
}

#[test]
fn who_loses_an_app_from_sight_stops_following_it() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    let (ana, bob) = (&app.user, world.user("bob"));
    app.push().ok();
    ana.ssh(&["access:add", "blog", "bob"]).ok();
    let [mut his, mut mine] = [&bob, ana].map(|user| user.terminal(&["logs", "blog", "-t"]));
    // Both follow, now that they show something.
    his.shows("web.1");
    mine.shows("web.1");
    ana.ssh(&["access:remove", "blog", "bob"]).ok();
    his.shows("you may not see this app any more");
    assert_eq!(his.end(), 1);
    app.get("/").ok();
    mine.shows("path=\"/\"");
    bob.ssh(&["whoami"]).ok();
}

#[test]
fn roles_change_and_the_last_administrator_stays() {
    let world = World::new();
    let boss = world.admin("boss");
    let own = fingerprint(&boss);
    boss.ssh(&["users:set", "boss", "--developer"]).exits(1).says("last administrator").says("next: users:set");
    world.hoist(&["users:remove", "boss"]).exits(1).says("last administrator");
    world.hoist(&["keys:remove", &own, "boss"]).exits(1).says("last administrator");
    boss.ssh(&["keys:remove", &own]).exits(1).says("last key").says("next: keys:add");
    boss.ssh(&["users:remove", "boss"]).exits(1).says("yourself");
    let ana = world.user("ana");
    ana.ssh(&["users:list"]).exits(1).says("only administrators");
    ana.ssh(&["users:set", "ana", "--admin"]).exits(1).says("only administrators");
    boss.ssh(&["users:set", "ana"]).exits(1).says("next: users:set ana --admin");
    boss.ssh(&["users:set", "ana", "--admin"]).ok().says("ana is now an administrator");
    ana.ssh(&["users:set", "boss", "--developer"]).ok();
    boss.ssh(&["users:list"]).exits(1);
    ana.ssh(&["users:set", "ana", "--developer"]).exits(1).says("last administrator");
}

#[test]
fn a_deploy_key_pushes_its_app_and_nothing_else() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/hello");
    let ana = app.user.clone();
    ana.ssh(&["apps:create", "blog"]).ok();
    ana.ssh(&["apps:create", "shop"]).ok();
    let ci = User::new("ci", world.folder("ci"), world.ssh);
    ana.ssh(&["deploy-keys:add", "blog"]).exits(1).says("no key came");
    ana.ssh_with(&["deploy-keys:add", "blog"], ana.public_key().as_bytes()).exits(1).says("in use by another user");
    ana.ssh_with(&["deploy-keys:add", "blog"], ci.public_key().as_bytes()).ok().says(&app.user.remote("blog")[6..12]);
    ana.ssh_with(&["deploy-keys:add", "shop"], ci.public_key().as_bytes()).exits(1).says("in use as a deploy key");
    ci.ssh(&[]).ok().says("a deploy key of blog").says("git push hoist main").hides("shop");
    ci.ssh(&["whoami"]).ok().says("deploy key ci").says("push to blog");
    let theirs = world.app_of(ci.clone(), "blog", "tests/apps/hello");
    theirs.push().ok().says("http://blog.localhost");
    ci.ssh(&["builds", "blog"]).ok().says("deploy key ci");
    ci.ssh(&["builds:output", "blog"]).ok().says("----->");
    ana.ssh(&["releases", "blog"]).ok().says("deploy key ci");
    for other in ["shop", "fresh"] {
        let elsewhere = world.app_of(ci.clone(), other, "tests/apps/hello");
        elsewhere.push().fails().says(&format!("there is no app {other}"));
    }
    ana.ssh(&["apps:info", "fresh"]).exits(1);
    ci.git(&world.folder("clone"), &["clone", "-q", &ci.remote("blog"), "here"]).fails().says("a deploy key may not");
    ana.ssh(&["deploy-keys:list", "blog"]).ok().says("ci").says("SHA256:").says("ana");
    let events = ana.ssh(&["events", "blog", "--user", "deploy key ci", "--format", "json"]).ok().json();
    assert!(events.as_array().unwrap().iter().any(|e| e["verb"] == "git-receive-pack" && e["exit_code"] == 0));
    ana.ssh(&["deploy-keys:remove", "blog", "nosuch"]).exits(1).says("next: deploy-keys:list blog");
    ana.ssh(&["deploy-keys:remove", "blog", "ci"]).ok();
    ci.ssh(&["whoami"]).exits(255);
    // Free again: for another app, which takes it along when it goes.
    ana.ssh_with(&["deploy-keys:add", "shop", "again"], ci.public_key().as_bytes()).ok();
    ci.ssh(&["whoami"]).ok().says("shop");
    ana.ssh(&["apps:destroy", "shop", "--confirm", "shop"]).ok();
    ci.ssh(&["whoami"]).exits(255);
}

#[test]
fn events_say_who_did_what_from_where_and_how_it_ended() {
    let world = World::new();
    let (boss, ana) = (world.admin("boss"), world.user("ana"));
    ana.ssh(&["apps:create", "blog"]).ok();
    ana.ssh(&["config:set", "blog", "TOKEN=hunter2"]).ok();
    ana.ssh(&["rollback", "blog", "v9"]).exits(1);
    ana.ssh(&["ps", "blog"]).ok();
    boss.ssh(&["access:add", "blog", "\u{1b}[31mred\u{7}"]).exits(1);
    world.hoist(&["ps", "blog"]).ok();
    ana.ssh(&["events", "blog", "--format", "json"]).ok().says("config-changed").hides("hunter2");
    let events = ana.ssh(&["events", "blog", "--type", "command", "--format", "json"]).ok();
    let said: Vec<(String, String, i64)> = events
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let text = |key: &str| e[key].as_str().unwrap().to_owned();
            assert_eq!(text("actor") == "root", text("origin") == "local", "{e}");
            assert!(
                text("actor") == "root"
                    || text("origin").starts_with("127.0.0.1:") && text("key").starts_with("SHA256:"),
                "{e}"
            );
            (text("actor"), text("verb"), e["exit_code"].as_i64().unwrap())
        })
        .collect();
    let want = |who: &str, verb: &str, code: i64| {
        assert!(said.contains(&(who.to_owned(), verb.to_owned(), code)), "no {who} {verb} {code} in {said:?}");
    };
    want("ana", "apps:create", 0);
    want("ana", "config:set", 0);
    want("ana", "rollback", 1);
    want("ana", "ps", 0);
    want("boss", "access:add", 1);
    want("root", "ps", 0);
    let shown = ana.ssh(&["events", "blog"]).ok().out;
    assert!(
        shown.contains("config:set blog TOKEN=…") && !shown.contains('\u{1b}') && !shown.contains('\u{7}'),
        "{shown}"
    );
    assert_eq!(ana.ssh(&["events", "blog", "-n", "2", "--format", "json"]).ok().json().as_array().unwrap().len(), 2);
    ana.ssh(&["events", "blog", "--user", "boss"]).ok().says("access:add").hides("rollback");
    ana.ssh(&["events", "blog", "--since", "0s"]).ok().hides("rollback");
    ana.ssh(&["events", "blog", "--since", "1h"]).ok().says("rollback");
    ana.ssh(&["events", "blog", "--since", "soon"]).exits(1).says("--since 2h");
    ana.ssh(&["events", "blog", "--type", "config-changed"]).ok().says("Config vars set: TOKEN").hides("rollback");
    ana.ssh(&["events", "blog", "--type", "config"]).exits(1).says("types: command, app-created");
    // What happens to the server is told to those who run it.
    boss.ssh(&["events", "--type", "user-added"]).ok().says("ana is a user");
    ana.ssh(&["events", "blog", "--type", "user-added,key-added"]).ok().says("No events");
    ana.ssh(&["events"]).exits(1).says("next: events APP");
    boss.ssh(&["events"]).ok().says("users:add ana");
    // What was under way when the server died has no end; what had begun is there.
    world.kill9_serve();
    world.restart_serve();
    boss.ssh(&["events", "blog"]).ok().says("apps:create blog").says("rollback");
}

#[test]
fn a_login_without_a_command_says_what_to_type() {
    let world = World::new();
    let ana = world.user("ana");
    ana.ssh(&[]).ok().says("Hello ana").says("git remote add hoist ssh://hoist@localhost:").says("git push hoist main");
    ana.ssh(&["apps:create", "blog"]).ok();
    ana.ssh(&[]).ok().says("Your apps: blog").says("logs blog -t").says("help");
}
