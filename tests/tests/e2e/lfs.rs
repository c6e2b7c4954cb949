//! Large files of Git LFS, with the real git-lfs: what a push brings is what the app serves and what a clone has.

use e2e::{App, Output, User, World, run};
use std::path::Path;
use std::time::Duration;

/// Longer than anything that is read at once.
const LARGE: usize = 700_000;

fn large(word: &str) -> String {
    word.repeat(LARGE / word.len())
}

/// The app with git-lfs keeping `*.bin` and two such files in it.
fn with_lfs<'w>(world: &'w World, name: &str, fixture: &str) -> App<'w> {
    let app = world.app(name, fixture);
    app.git(&["lfs", "install", "--local"]).ok();
    app.git(&["lfs", "track", "*.bin"]).ok();
    app.commit_change("img/one.bin", &large("one "));
    app.commit_change("two.bin", &large("two "));
    app
}

/// git with the filters that `git lfs install` sets for a user.
fn clone(user: &User, remote: &str, to: &Path) -> Output {
    let filter = ["filter.lfs.smudge=git-lfs smudge -- %f", "filter.lfs.process=git-lfs filter-process"];
    let words = ["-c", filter[0], "-c", filter[1], "clone", "-q", remote, to.to_str().unwrap()];
    user.git(&user.home, &words)
}

fn objects(world: &World) -> usize {
    world.paths().iter().filter(|path| path.contains("/lfs/objects/") && path.len() > 64).count()
}

#[test]
fn a_first_push_brings_large_files_which_are_served_and_cloned() {
    let world = World::new();
    let app = with_lfs(&world, "site", "tests/apps/static");
    app.push().ok().says("v1").hides("locking");
    assert!(app.get("/img/one.bin").ok() == large("one "), "not what was pushed");
    let first = app.get("/two.bin");
    assert_eq!(first.header("content-length"), Some(LARGE.to_string().as_str()));
    assert_eq!(first.ok(), large("two "));

    app.commit_change("two.bin", &large("new "));
    app.push().ok().says("v2");
    assert_eq!(app.get("/two.bin").ok(), large("new "));
    assert_eq!(app.get("/img/one.bin").ok(), large("one "));
    app.run("rollback", &[]).ok();
    assert_eq!(app.get("/two.bin").ok(), large("two "));

    let to = app.dir.with_extension("clone");
    clone(&app.user, &app.user.remote("site"), &to).ok();
    assert_eq!(std::fs::read_to_string(to.join("two.bin")).unwrap(), large("new "));
    app.user.git(&to, &["lfs", "fsck"]).ok();

    // As many connections at once as git-lfs makes where ssh joins them.
    let ssh = app.user.options().join(" ").replace("-o ControlMaster=no", "").replace("-o ControlPath=none", "");
    for n in 0..20 {
        std::fs::write(app.dir.join(format!("many-{n}.bin")), large(&format!("{n} "))).unwrap();
    }
    app.commit_change("note", "many");
    let mut push = app.user.git_command(&app.dir, &["push", "hoist", "main"]);
    push.env("GIT_SSH_COMMAND", format!("ssh {ssh}"));
    run(push, b"", Duration::from_secs(120)).ok().says("v4");
    assert_eq!(app.get("/many-7.bin").ok(), large("7 "));
    assert_eq!(objects(&world), 23);

    app.user.ssh(&["apps:destroy", "site", "--confirm", "site"]).ok();
    assert_eq!(objects(&world), 0);
}

#[test]
fn a_dockerfile_gets_them_too() {
    let world = World::new();
    let app = with_lfs(&world, "boxed", "tests/apps/dockerfile");
    let check = "RUN test \"$(stat -c %s two.bin img/one.bin | tr '\\n' ' ')\" = \"700000 700000 \"\n";
    app.replace("Dockerfile", "COPY server.c .\n", &format!("COPY . .\n{check}"));
    app.push().ok().says("v1");
}

#[test]
fn files_that_were_not_sent_are_named_and_can_be_sent_first() {
    let world = World::new();
    let app = with_lfs(&world, "late", "tests/apps/static");
    let no = app.git(&["push", "--no-verify", "hoist", "main"]).fails();
    no.says("These Git LFS files are not on the server: img/one.bin, two.bin").says("git lfs push --all hoist");
    app.user.ssh(&["apps:list"]).ok().hides("late");
    // What was proposed: it comes before the app is there.
    app.git(&["lfs", "push", "--all", "hoist"]).ok();
    app.user.ssh(&["apps:list"]).ok().says("late");
    app.git(&["push", "--no-verify", "hoist", "main"]).ok().says("v1");
    assert_eq!(app.get("/two.bin").ok(), large("two "));
}

#[test]
fn a_refused_push_leaves_no_file_behind() {
    let world = World::new();
    let app = with_lfs(&world, "odd", "tests/apps/static");
    app.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", "a".repeat(40))]).ok();
    app.git(&["commit", "-q", "-m", "submodule"]).ok();
    app.push().fails().says("is a repository of its own");
    app.user.ssh(&["apps:list"]).ok().hides("odd");
    assert_eq!(objects(&world), 0);
}

#[test]
fn who_may_push_may_upload_and_who_may_clone_may_download() {
    let world = World::new();
    let app = with_lfs(&world, "shop", "tests/apps/static");
    app.push().ok();
    let (ci, bob) = (world.deploy_key("shop", "ci"), world.user("bob"));
    ci.ssh(&["git-lfs-transfer", "shop", "upload"]).ok().says("version=1");
    ci.ssh(&["git-lfs-transfer", "shop", "download"]).fails().says("a deploy key may not do this");
    bob.ssh(&["git-lfs-transfer", "shop", "download"]).fails().says("there is no app shop").hides("version=1");
    bob.ssh(&["git-lfs-transfer", "shop", "upload"]).fails().says("is taken").hides("version=1");
    bob.ssh(&["git-lfs-authenticate", "shop.git", "download"]).fails().says("there is no app shop");
    app.user.ssh(&["git-lfs-authenticate", "/shop", "upload"]).fails().says("3.0");
    app.user.ssh(&["git-lfs-transfer", "shop", "sideways"]).fails().says("upload or download");
    // Nobody reads an object through a connection for uploads, and nothing is understood but the protocol.
    let oid = app.git(&["lfs", "ls-files", "--long"]).ok().out.split(' ').next().unwrap().to_owned();
    let get = format!("{:04x}get-object {oid}0000", 4 + 11 + 64);
    ci.ssh_with(&["git-lfs-transfer", "shop", "upload"], get.as_bytes()).ok().says("status 403");
    app.user
        .ssh_with(&["git-lfs-transfer", "shop", "download"], b"GET / HTTP/1.1\r\n")
        .fails()
        .says("a length is not hex");

    let theirs = App::new(&world, ci, "shop", "tests/apps/static", world.folder("ci-work"));
    theirs.git(&["fetch", "-q", app.dir.to_str().unwrap(), "main"]).ok();
    theirs.git(&["reset", "-q", "--hard", "FETCH_HEAD"]).ok();
    theirs.git(&["lfs", "install", "--local"]).ok();
    theirs.commit_change("three.bin", &large("ci "));
    theirs.push().ok().says("v2");
    assert_eq!(app.get("/three.bin").ok(), large("ci "));
}

#[test]
fn they_count_to_what_their_owner_may_keep() {
    let world = World::with(&[("user-disk", "1")]);
    let app = with_lfs(&world, "big", "tests/apps/static");
    app.push().fails().says("more does not fit").says("quota:set ana disk=");
    app.user.ssh(&["apps:list"]).ok().hides("big");
    world.hoist(&["quota:set", "ana", "disk=50"]).ok();
    app.push().ok().says("v1");
}

#[test]
fn there_are_no_locks_and_the_program_says_so() {
    let world = World::new();
    let app = with_lfs(&world, "open", "tests/apps/static");
    app.git(&["push", "-u", "hoist", "main"]).ok();
    app.git(&["lfs", "lock", "two.bin"]).fails().says("Hoist has no locks");
}
