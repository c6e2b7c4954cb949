//! The usual mistakes of a newcomer, each as a real push or command: the cause and what to type, on one screen.

use e2e::{App, Output, User, World, program};
use std::path::PathBuf;
use std::time::Duration;

/// Lines that somebody reads without scrolling.
const SCREEN: usize = 40;

/// What was said names the cause and the next step, in few and plain lines, and the reason comes last.
#[track_caller]
fn helps(said: Output, cause: &str, next: &str) -> Output {
    let said = said.fails().says(cause).says(next).says("next:");
    let lines = said.all().lines().count();
    assert!(lines <= SCREEN, "{lines} lines: {said}");
    said.hides("(fault ").hides("Error {").hides("Some(")
}

fn package(app: &App<'_>, json: &str) {
    app.git(&["rm", "-q", "-r", "."]).ok();
    app.commit_change("package.json", json);
}

#[test]
fn the_wrong_branch() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    app.git(&["checkout", "-q", "-b", "develop"]).ok();
    helps(app.git(&["push", "hoist", "develop"]), "develop is not the branch", "git push hoist develop:main");
    helps(app.git(&["push", "hoist", "develop", "develop:topic"]), "one deploys", "git push hoist develop:main");
    app.user.ssh(&["apps:list"]).ok().hides("blog");
    app.git(&["push", "hoist", "develop:main"]).ok();
    helps(app.git(&["push", "hoist", "develop"]), "a push to main deploys", "apps:set blog deploy-branch=develop");
}

#[test]
fn nothing_to_start() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    package(&app, "{\"name\": \"blog\"}");
    helps(app.push(), "start", "Procfile");
    app.commit_change("Procfile", "worker: node x.js\n");
    app.commit_change("x.js", "setInterval(() => {}, 1000);");
    app.push().ok().says("Nothing runs yet: ps:scale blog worker=1");
    app.commit_change("Procfile", "web node x.js\n");
    helps(app.push(), "Procfile", "web: ");
}

/// As on Heroku: what the Procfile does not say is the language's. And what serves is not lost by a misspelt name.
#[test]
fn a_procfile_without_web() {
    let world = World::new();
    let app = world.app("half", "tests/apps/echo");
    app.commit_change("Procfile", "release: node -e 1\n");
    app.push().ok().says("the Procfile has no web").says("web.1 is up");
    app.get("/").ok();
    app.git(&["rm", "-q", "server.js"]).ok();
    app.replace("package.json", "\"start\"", "\"begin\"");
    app.commit_change("other.js", "setInterval(() => {}, 1000);");
    app.commit_change("Procfile", "wub: node other.js\n");
    app.push().fails().says("requests go to web").says("name it web, not wub").says("ps:scale half web=0");
    app.get("/").ok();
    app.run("ps:scale", &["web=0"]).ok();
    app.push().ok().says("Nothing answers at http://half.");
}

#[test]
fn another_port_or_only_localhost() {
    let world = World::with(&[("boot-timeout", "7")]);
    let app = world.app("blog", "tests/apps/echo");
    app.replace("server.js", "listen(PORT", "listen(8080");
    helps(app.push(), "8080", "variable PORT");
    let app = world.app("blog", "tests/apps/localhost");
    helps(app.git(&["push", "-f", "hoist", "main"]), "127.0.0.1:3000", "0.0.0.0");
}

#[test]
fn a_lock_file_that_does_not_fit() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    let with = |version: &str| {
        format!(
            "{{\"name\": \"blog\", \"scripts\": {{\"start\": \"node x.js\"}}, \"dependencies\": {{\"ms\": \"{version}\"}}}}"
        )
    };
    package(&app, &with("2.1.3"));
    let lock = "{\"name\": \"blog\", \"lockfileVersion\": 3, \"requires\": true, \"packages\": {\"\": {\"name\": \"blog\", \"dependencies\": {\"ms\": \"2.1.2\"}},
        \"node_modules/ms\": {\"version\": \"2.1.2\", \"integrity\": \"sha512-sGkPx+VjMtmA6MX27oA4FBFELFCZZ4S4XqeGOXCv68tT+jb3vk/RyaKWP0PTKyWtmLSM0b+adUTEvbs1PEaH2w==\"}}}";
    app.commit_change("package-lock.json", lock);
    helps(app.push(), "Invalid: lock file's ms@2.1.2 does not satisfy ms@2.1.3", "npm install")
        .hides("--ignore-scripts");
}

#[test]
fn a_missing_config_var() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/crash");
    helps(app.push(), "DATABASE_URL is not set", "config:set blog");
}

#[test]
fn a_crash_at_boot() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.replace("server.js", "const crypto", "const = crypto");
    helps(app.push(), "SyntaxError", "push again").says("exited with status 1");
}

#[test]
fn a_misspelt_command_or_option() {
    let world = World::new();
    let ana = world.user("ana");
    ana.ssh(&["apps:create", "blog"]).ok();
    helps(ana.ssh(&["confg:set", "blog", "A=1"]), "there is no command", "config:set");
    helps(ana.ssh(&["log", "blgo"]), "no app", "apps:list");
    helps(ana.ssh(&["logs", "blog", "--tial"]), "--tial", "logs");
    helps(ana.ssh(&["config:set", "blog", "A=two", "words"]), "came apart at a blank", "--stdin A");
}

#[test]
fn a_name_that_is_taken_an_app_of_somebody_else_and_a_key_that_is_unknown() {
    let world = World::new();
    world.user("ana").ssh(&["apps:create", "blog"]).ok();
    let bob = world.app_of(world.user("bob"), "blog", "tests/apps/static");
    helps(bob.user.ssh(&["apps:create", "blog"]), "taken", "another name");
    helps(bob.push(), "blog", "another name");
    helps(bob.user.ssh(&["logs", "blog"]), "no app", "apps:list");
    helps(bob.user.ssh(&["ps:scale", "blgo", "web=2"]), "no app", "apps:list");
    let eve = User::new("eve", world.data().with_file_name("eve"), world.ssh);
    // What the server says before ssh gives up is shown at ssh's own level of talk, which the harness lowers.
    let mut ssh = program("ssh");
    ssh.args(["-o", "BatchMode=no", "-o", "LogLevel=INFO"]).args(eve.ssh_command(&["apps:list"]).get_args());
    let said = e2e::run(ssh, b"", Duration::from_secs(30)).fails();
    said.says("Permission denied").says("SHA256:").says("users:add");
}

#[test]
fn a_repository_without_commits_and_a_detached_head() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    app.git(&["checkout", "-q", "--detach"]).ok();
    app.git(&["push", "hoist"]).fails().says("HEAD:");
    helps(app.git(&["push", "hoist", "HEAD:refs/heads/topic"]), "topic is not the branch", "main");
    app.git(&["push", "hoist", "HEAD:main"]).fails().says("refs/heads/");
    app.git(&["push", "hoist", "HEAD:refs/heads/main"]).ok();
    app.git(&["checkout", "-q", "--orphan", "void"]).ok();
    app.git(&["push", "hoist", "void:main"]).fails().says("void");
}

/// A disk of its own for a data folder; it goes after the server that uses it.
#[derive(Default)]
struct SmallDisk(Option<PathBuf>);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let Some(at) = &self.0 else { return };
        let _ = program("umount").arg(at).status();
        let _ = std::fs::remove_dir_all(at.parent().unwrap());
    }
}

fn sh(line: &str) {
    let mut sh = program("sh");
    sh.args(["-ec", line]);
    e2e::run(sh, b"", Duration::from_secs(120)).ok();
}

#[test]
fn a_disk_that_is_full() {
    let mut small = SmallDisk::default();
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    // The server's folder moves to a small disk, as it is.
    world.hoist(&["shutdown"]).ok();
    e2e::wait_for("the end of the server", Duration::from_secs(30), || {
        world.running("serve") + world.running("router") == 0
    });
    let (data, away) = (world.data(), world.data().with_file_name("away"));
    small.0 = Some(data.clone());
    let (data, away) = (data.display(), away.display());
    sh(&format!(
        "cp -a {data} {away}; mount -t tmpfs -o size=700m,mode=700 hoist-test {data}; cp -a {away}/. {data}/; rm -r {away}"
    ));
    world.restart_serve();
    assert_eq!(app.get("/").status, 200);
    sh(&format!("cat /dev/zero > {data}/ballast 2> /dev/null || true"));
    app.commit_change("big", &format!("{:?}", (0..90_000).collect::<Vec<u32>>()));
    let push = app.push();
    let set = app.run("config:set", &["A=1"]);
    eprintln!("{}\n{}", push.err, set.all());
    app.run("logs", &[]);
    assert!(app.answers_with("v1"), "the app does not serve on");
    sh(&format!("rm {data}/ballast"));
    e2e::wait_for("a push after space was made", Duration::from_secs(60), || app.push().code == 0);
    app.run("config:set", &["A=1"]).ok();
    for said in [push, set] {
        helps(said, "no space is left on the disk", "free space");
    }
}
