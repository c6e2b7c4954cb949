//! One SSH port for two: a real sshd hands the logins of one user over; everything else of it stays as it is.

use e2e::{HostSshd, User, World, program, wait_for};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

fn shared() -> (HostSshd, World) {
    let mut sshd = HostSshd::new();
    let settings = sshd.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let world = World::with(&settings);
    sshd.start(&world);
    (sshd, world)
}

#[test]
fn pushes_and_commands_come_in_by_the_hosts_sshd() {
    let (sshd, world) = shared();
    let ana = world.user("ana").at(&sshd.user, sshd.address);
    ana.ssh(&[]).ok().says("Hello ana").says(&format!("{}@localhost:my-app", sshd.user));
    ana.ssh(&["whoami"]).ok().says("developer").says("127.0.0.1:");
    ana.ssh(&["no-such-verb"]).exits(1).says("there is no command");
    ana.ssh(&["apps:create", "it's"]).exits(1).says("is not an app's name");
    let app = world.app_of(ana.clone(), "blog", "tests/apps/hello");
    app.push().ok().says("http://blog.localhost");
    assert!(app.get("/").ok().contains("Hello from Hoist"));
    ana.ssh_with(&["config:set", "blog", "--stdin", "KEY"], b"from a file").ok();
    assert_eq!(ana.ssh(&["config:get", "blog", "KEY"]).ok().out, "from a file\n");
    let clone = world.folder("clone");
    ana.git(&clone, &["-c", "protocol.version=2", "clone", "-q", &ana.remote("blog"), "here"]).ok();
    assert_eq!(
        std::fs::read(clone.join("here/server.js")).unwrap(),
        std::fs::read(app.dir.join("server.js")).unwrap(),
        "a clone of another commit"
    );
    let events = ana.ssh(&["events", "blog", "--format", "json"]).ok().json();
    assert!(events[0]["origin"].as_str().unwrap().starts_with("127.0.0.1:"), "{}", events[0]);
    // A terminal of sshd's own: its line ends.
    let mut tty = program("ssh");
    tty.args(ana.options()).args(["-tt", "-p", &sshd.address.port().to_string()]);
    tty.arg(format!("{}@127.0.0.1", sshd.user)).arg("whoami");
    assert!(e2e::run(tty, b"", Duration::from_secs(30)).ok().out.contains("name: ana\r\n"));
}

#[test]
fn nothing_else_comes_in() {
    let (sshd, world) = shared();
    let ana = world.user("ana").at(&sshd.user, sshd.address);
    let stranger = User::new("eve", world.folder("eve"), sshd.address).at(&sshd.user, sshd.address);
    stranger.ssh(&["whoami"]).exits(255).says("Permission denied (publickey)");
    let with = |options: &[&str], words: &[&str]| {
        let mut ssh = program("ssh");
        ssh.args(ana.options()).args(["-p", &sshd.address.port().to_string()]).args(options);
        ssh.arg(format!("{}@127.0.0.1", sshd.user)).args(words);
        e2e::run(ssh, b"", Duration::from_secs(30))
    };
    with(&[], &["sh", "-c", "id"]).exits(1).says("there is no command sh").hides("uid=");
    with(&["-s"], &["sftp"]).exits(1);
    with(&["-W", &world.ssh.to_string()], &[]).exits(255);
    with(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"], &[]).exits(255);
    with(&["-o", "SetEnv=LD_PRELOAD=/nothing BASH_ENV=/nothing"], &["whoami"]).ok();
    // Whoever runs as that user on the host has no ticket, and cannot make one.
    let (program, socket) = (sshd.path("hoist"), sshd.path("ssh.sock"));
    for ticket in ["", "0", &"0".repeat(64), "../../x"] {
        sshd.as_user(&[&program, "ssh-session", &socket, ticket]).exits(1).says("connect again");
    }
    let key = String::from_utf8(
        e2e::program("ssh-keygen").args(["-lf"]).arg(ana.key.with_extension("pub")).output().unwrap().stdout,
    );
    let key = key.unwrap().split(' ').nth(1).unwrap().to_owned();
    let data = world.data().to_str().unwrap().to_owned();
    sshd.as_user(&[&program, "--data", &data, "ssh-keys", &key]).fails().hides("ssh-session");
    // A ticket works once. root may ask for one; it stands for the key alone.
    let mut ask = e2e::program(&program);
    ask.args(["--data", &data, "ssh-keys", &key]);
    let line = e2e::run(ask, b"", Duration::from_secs(30)).ok().out;
    assert!(line.starts_with("restrict,pty,command=\"/") && line.contains("\" ssh-ed25519 AAAA"), "{line}");
    let ticket = line.split('"').nth(1).unwrap().split(' ').next_back().unwrap().to_owned();
    sshd.as_user(&[&program, "ssh-session", &socket, &ticket]).ok().says("Hello ana");
    sshd.as_user(&[&program, "ssh-session", &socket, &ticket]).exits(1).hides("ana");
}

#[test]
fn a_removed_key_and_a_gone_client_end_what_runs() {
    let (sshd, world) = shared();
    let ana = world.user("ana").at(&sshd.user, sshd.address);
    let app = world.app_of(ana.clone(), "blog", "tests/apps/hello");
    app.push().ok();
    // Ctrl-C in git, while a build says nothing and reads nothing.
    app.replace("package.json", "\"scripts\": {", "\"scripts\": {\n    \"build\": \"sleep 600\",");
    let before = world.last_job();
    let push = app.spawn(&["push", "hoist", "main"]);
    world.wait_job(before, |said| said.contains("sleep 600"));
    push.interrupt();
    wait_for("the cancelled build", Duration::from_secs(20), || {
        ana.ssh(&["builds", "blog"]).out.lines().any(|l| l.contains("cancelled"))
    });
    push.end();
    // A key that is removed while its connection follows the log.
    let laptop = User::new("laptop", world.folder("laptop"), sshd.address).at(&sshd.user, sshd.address);
    world.hoist_with(&["keys:add", "ana"], laptop.public_key().as_bytes()).ok();
    let mut logs = e2e::Running::start(laptop.ssh_command(&["logs", "blog", "-t"]));
    let listed = ana.ssh(&["keys:list", "--format", "json"]).ok().json();
    let key = listed.as_array().unwrap().iter().find(|k| k["name"] == "laptop").unwrap()["fingerprint"].clone();
    world.hoist(&["keys:remove", key.as_str().unwrap(), "ana"]).ok();
    wait_for("the end of its session", SOON, || logs.is_over());
    laptop.ssh(&["whoami"]).exits(255);
    ana.ssh(&["whoami"]).ok();
    world.stop_serve();
    ana.ssh(&["whoami"]).exits(255);
}

#[test]
fn the_script_changes_nothing_that_sshd_would_not_take() {
    let sshd = HostSshd::new();
    let program = sshd.path("hoist");
    std::fs::copy(e2e::binary(), &program).unwrap();
    let drop_in = sshd.path(&format!("sshd_config.d/50-{}.conf", sshd.user));
    let enable = |program: &str| sshd.script(&["enable", "--data", "/var/lib/none", "--program", program]);
    sshd.script(&["status"]).exits(1);
    enable("/nonexistent").exits(1).says("there is no program");
    let open = tempfile::tempdir().unwrap();
    let anybodys = open.path().join("hoist").to_str().unwrap().to_owned();
    std::fs::copy(&program, &anybodys).unwrap();
    enable(&anybodys).exits(1).says("changed by others");
    sshd.configure("");
    enable(&program).exits(1).says("add this as the first line");
    assert!(!std::path::Path::new(&drop_in).exists());
    let include = format!("Include {}/*.conf\n", sshd.path("sshd_config.d"));
    sshd.configure(&format!("{include}NoSuchKeyword yes\n"));
    enable(&program).exits(1).says("before any change of ours");
    sshd.configure(&include);
    enable(&program).ok();
    enable(&program).ok();
    sshd.script(&["status"]).ok();
    let text = std::fs::read_to_string(&drop_in).unwrap();
    assert!(text.contains(&format!("Match User {}\n", sshd.user)) && text.ends_with("Match all\n"), "{text}");
    sshd.script(&["disable"]).ok();
    assert!(!std::path::Path::new(&drop_in).exists());
    sshd.script(&["disable"]).ok().says("not enabled");
}
