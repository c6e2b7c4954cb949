//! The router as a user of its own, with sockets that somebody else holds: systemd, or the server that started it.

use e2e::{Client, World, binary, processes, run, wait_for};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(20);
const USER: &str = "hoist-router";

/// A field of a process's status.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn number(option: &str) -> String {
    let mut id = e2e::program("id");
    id.args([option, USER]);
    run(id, b"", WITHIN).ok().out.trim().to_owned()
}

/// What the router must not have.
fn has_no_rights(pid: u32) {
    let (uid, gid) = (number("-u"), number("-g"));
    assert_eq!(status(pid, "Uid"), [&*uid; 4].join(" "));
    assert_eq!(status(pid, "Gid"), [&*gid; 4].join(" "));
    assert!(["", &*gid].contains(&&*status(pid, "Groups")), "{}", status(pid, "Groups"));
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    assert_eq!((status(pid, "CapEff"), status(pid, "CapPrm")), ("0".repeat(16), "0".repeat(16)));
}

#[test]
fn a_router_that_the_server_starts_becomes_its_user_and_its_death_refuses_nobody() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/hello");
    app.push().ok();
    has_no_rights(processes(&world.data(), "router")[0]);
    for _ in 0..3 {
        let before = processes(&world.data(), "router");
        world.kill9_router();
        // The server holds the socket: who comes now waits in line for the next router.
        assert_eq!(app.get("/").status, 200);
        let after = processes(&world.data(), "router");
        assert_ne!(before, after);
        has_no_rights(after[0]);
    }
    // Its user reaches no file of the server.
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.data()), 0o700);
    assert_eq!(mode(&world.data().join("router")), 0o700);
    wait_for("access lines", WITHIN, || app.run("logs", &["--source", "router"]).ok().out.contains("status=200"));
}

#[test]
fn another_user_and_none() {
    let world = World::with(&[("router-user", "root")]);
    let router = processes(&world.data(), "router")[0];
    assert_eq!((status(router, "Uid"), status(router, "NoNewPrivs")), ("0 0 0 0".to_owned(), "1".to_owned()));
    let data = world.data().with_file_name("other");
    let words = ["router", "--data", data.to_str().unwrap(), "--http", "127.0.0.1:0", "--router-user", "no-such-user"];
    e2e::hoist(&words).exits(70).says("useradd").says("no-such-user");
}

/// A socket that systemd's own tool holds, and the router that it starts at the first connection.
struct Activated {
    dir: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
    told: UnixDatagram,
}

impl Activated {
    fn start() -> Activated {
        let dir = tempfile::Builder::new().prefix("ha").tempdir().unwrap();
        let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        open(dir.path(), 0o755);
        let (program, router, told) = (dir.path().join("hoist"), dir.path().join("router"), dir.path().join("told"));
        // Where the build output lies, its user may have no way.
        std::fs::copy(binary(), &program).unwrap();
        let mut make = e2e::program("install");
        make.args(["-d", "-m", "700", "-o", USER, "-g", USER]).arg(&router);
        run(make, b"", WITHIN).ok();
        let listen = UnixDatagram::bind(&told).unwrap();
        listen.set_nonblocking(true).unwrap();
        open(&told, 0o666);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (uid, gid) = (number("-u"), number("-g"));
        let mut activate = e2e::program("systemd-socket-activate");
        activate.args([
            "-l",
            &address.to_string(),
            "--fdname=http",
            "-E",
            &format!("NOTIFY_SOCKET={}", told.display()),
        ]);
        activate.args(["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"]).arg(&program);
        // Nowhere: what the router listens on comes from outside.
        activate.args(["router", "--data", "/nowhere", "--http", "192.0.2.1:1", "--router-dir"]).arg(&router);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = activate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Activated { dir, child, address, told: listen }
    }

    fn get(&self, host: &str) -> Option<u16> {
        Client::new(self.address, false).get(host, "/", Duration::from_secs(5)).ok().map(|got| got.status)
    }

    /// What it said to the service manager.
    fn said(&self) -> String {
        let mut said = String::new();
        let mut bytes = [0; 4096];
        while let Ok(n) = self.told.recv(&mut bytes) {
            said.push_str(&format!("{}\n", String::from_utf8_lossy(&bytes[..n])));
        }
        said
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_router_started_by_a_socket_serves_while_the_server_comes_and_goes() {
    let router = Activated::start();
    // The tool starts it at the first connection, which it then answers: no route knows this name.
    wait_for("the tool's socket", WITHIN, || router.get("nobody.example") == Some(404));
    // It answers before its word to systemd has arrived.
    let (word, mut said) = (format!("MAINPID={}", router.child.id()), String::new());
    wait_for("READY=1 and its process id", WITHIN, || {
        said.push_str(&router.said());
        said.contains("READY=1") && said.contains(&word)
    });
    has_no_rights(router.child.id());

    let dir = router.dir.path().join("router");
    let world = World::with(&[("router", "external"), ("router-dir", dir.to_str().unwrap())]);
    assert_eq!(world.http, router.address);
    assert_eq!(world.running("router"), 0, "the server started one of its own");
    let app = world.app("blog", "tests/apps/hello");
    app.push().ok();
    let (_, report) = world.load("blog.localhost", 100, || world.restart_serve());
    report.none_lost();
    world.kill9_serve();
    assert_eq!(app.get("/").status, 200);
    world.restart_serve();
    wait_for("access lines", WITHIN, || app.run("logs", &["--source", "router"]).ok().out.contains("status=200"));
}

#[test]
fn a_server_whose_router_is_missing_says_so_and_goes_on_when_it_comes() {
    let place = tempfile::Builder::new().prefix("hx").tempdir().unwrap();
    let dir = place.path().join("router");
    let world = World::with(&[("router", "external"), ("router-dir", dir.to_str().unwrap())]);
    let log = || std::fs::read_to_string(world.data().with_file_name("serve.log")).unwrap();
    wait_for("a word about it", WITHIN, || log().contains("the router does not answer"));
    let mut start = e2e::program(binary());
    start.args(["router", "--data", "/nowhere", "--http", "127.0.0.1:0", "--router-dir"]).arg(&dir);
    let router = e2e::Running::start(start);
    wait_for("the router", WITHIN, || dir.join("run/router.sock").exists());
    let app = world.app("blog", "tests/apps/hello");
    app.push().ok().says("Live");
    drop(world);
    router.end();
}
