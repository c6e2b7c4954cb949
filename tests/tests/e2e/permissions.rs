//! The permission matrix over SSH: who × what. A stranger to an app cannot tell it from one that does not exist.

use e2e::{User, World};

/// Verbs about an app, with the words after its name. None of them changes anything when it is allowed.
const VERBS: [(&str, &[&str]); 25] = [
    ("apps:info", &[]),
    ("apps:set", &["no-such-setting=1"]),
    ("apps:destroy", &["--confirm", "APP"]),
    ("open", &[]),
    ("config", &[]),
    ("config:get", &["NOTHING"]),
    ("config:set", &["bad name=1"]),
    ("config:unset", &["NOTHING"]),
    ("config:import", &[]),
    ("config:export", &[]),
    ("ps", &[]),
    ("ps:scale", &["web=1"]),
    ("ps:restart", &[]),
    ("ps:stop", &[]),
    ("ps:start", &[]),
    ("ps:rebuild", &[]),
    ("logs", &[]),
    ("releases", &[]),
    ("rollback", &["v1"]),
    ("builds", &[]),
    ("builds:output", &[]),
    ("builds:wait", &[]),
    ("builds:cancel", &[]),
    ("access:list", &[]),
    ("events", &[]),
];
/// Verbs for administrators.
const ADMIN: [&[&str]; 5] =
    [&["users:list"], &["doctor"], &["users:remove", "nobody"], &["keys:list", "ana"], &["shutdown"]];

fn answer(user: &User, verb: &str, app: &str, rest: &[&str]) -> (i32, String) {
    let rest = rest.iter().map(|w| if *w == "APP" { app } else { w });
    let said = user.ssh(&[verb, app].into_iter().chain(rest).collect::<Vec<_>>());
    (said.code, said.all().replace(app, "APP"))
}

#[test]
fn a_stranger_cannot_tell_an_app_from_none() {
    let world = World::new();
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    ana.ssh(&["apps:create", "hidden"]).ok();
    for (verb, rest) in VERBS {
        let theirs = answer(&bob, verb, "hidden", rest);
        assert_ne!(theirs.0, 0, "{verb}: {}", theirs.1);
        assert_eq!(theirs, answer(&bob, verb, "absent", rest), "{verb}");
    }
    bob.ssh(&["apps:create", "hidden"]).fails();
    ana.ssh(&["apps:info", "hidden"]).ok();
}

#[test]
fn a_member_may_what_the_owner_may_until_sharing_ends() {
    let world = World::new();
    let (ana, bob, eve) = (world.user("ana"), world.user("bob"), world.user("eve"));
    ana.ssh(&["apps:create", "blog"]).ok();
    eve.ssh(&["access:add", "blog", "eve"]).exits(1);
    ana.ssh(&["access:add", "blog", "bob"]).ok();
    for verb in ["apps:info", "config", "ps", "logs", "releases", "builds", "access:list"] {
        let (owner, member) = (answer(&ana, verb, "blog", &[]), answer(&bob, verb, "blog", &[]));
        assert_eq!(owner, member, "{verb}");
    }
    bob.ssh(&["config:set", "blog", "A=1"]).ok();
    ana.ssh(&["access:remove", "blog", "bob"]).ok();
    bob.ssh(&["config", "blog"]).exits(1).hides("A");
}

#[test]
fn only_administrators_administer() {
    let world = World::new();
    let (bob, root) = (world.user("bob"), world.admin("root2"));
    world.user("ana");
    for words in ADMIN {
        bob.ssh(words).exits(1);
    }
    bob.ssh_with(&["users:add", "eve"], bob.public_key().as_bytes()).exits(1);
    root.ssh(&["users:list"]).ok().says("ana").says("bob");
    root.ssh(&["keys:list", "ana"]).ok().says("SHA256:");
    root.ssh(&["users:remove", "ana"]).ok();
    root.ssh(&["users:list"]).ok().hides("ana");
    assert_eq!(world.running("serve"), 1);
}

#[test]
fn every_command_explains_itself_and_an_unknown_one_is_an_error() {
    let world = World::new();
    let ana = world.user("ana");
    let overview = ana.ssh(&["help"]).ok();
    let names: Vec<&str> =
        overview.out.lines().filter_map(|l| l.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let (long, short) = (ana.ssh(&[name, "--help"]).ok().out, ana.ssh(&["help", name]).ok().out);
        assert!(long.contains(name) && long == short, "{name}:\n{long}\n{short}");
    }
    ana.ssh(&["ps:scael", "blog", "web=1"]).exits(1).says("ps:scale");
    ana.ssh(&["nothing-like-it"]).exits(1).says("help");
}
