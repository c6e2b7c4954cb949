//! The router as a process: signals, a hard kill, memory at rest.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use router::{RouterClient, proto::Snapshot};

use crate::harness::*;

const DIR: &str = "ROUTER_TEST_DIR";

/// Not a test: what the tests below start as a process of its own.
#[test]
#[ignore = "no test: the tests below run it, as their other process"]
fn child() {
    let dir = std::path::PathBuf::from(std::env::var(DIR).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    router::run(config(&dir), vec![listener], |ready| println!("\nready {}", ready.listeners[0])).unwrap();
}

struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["process::child", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|l| l.unwrap().strip_prefix("ready ").map(str::to_string)).unwrap();
        // The rest is read so that the child never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr: ready.parse().unwrap() }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    async fn get(&self) -> String {
        let mut raw = Raw { stream: tokio::net::TcpStream::connect(self.addr).await.unwrap(), buf: vec![] };
        raw.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        raw.rest().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn killed_hard_it_serves_again_and_sigterm_ends_it() {
    let (dir, app) = (tempfile::tempdir().unwrap(), App::echo("app").await);
    let first = Process::start(dir.path());
    let (client, hello, _events) = RouterClient::connect(&config(dir.path()).socket(), PATIENCE).await.unwrap();
    assert_eq!(hello.pid, first.child.id());
    let routes = vec![serve("a.test", vec![app.target("t1")])];
    client.install(Snapshot { generation: 7, routes }, PATIENCE).await.unwrap();
    first.signal("-KILL");
    drop(first);
    let mut second = Process::start(dir.path());
    assert_eq!(status(&second.get().await), 200);
    second.signal("-HUP");
    assert_eq!(status(&second.get().await), 200, "a hangup means nothing");
    second.signal("-TERM");
    wait_for("the process to end", || second.child.try_wait().unwrap().is_some()).await;
    assert!(second.child.wait().unwrap().success());
    assert!(!config(dir.path()).socket().exists());
}

#[tokio::test]
async fn a_second_signal_ends_it_now() {
    let app = App::new(|stream, _| async move { drop(Raw { stream, buf: vec![] }.rest().await) }).await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path());
    let (client, _, _events) = RouterClient::connect(&config(dir.path()).socket(), PATIENCE).await.unwrap();
    let routes = vec![serve("a.test", vec![app.target("t1")])];
    client.install(Snapshot { generation: 1, routes }, PATIENCE).await.unwrap();
    let mut raw = Raw { stream: tokio::net::TcpStream::connect(process.addr).await.unwrap(), buf: vec![] };
    raw.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    while client.loads(vec!["t1".into()], PATIENCE).await.unwrap().0[0].in_flight == 0 {}
    process.signal("-TERM");
    let addr = process.addr;
    wait_for("the listener to close", || std::net::TcpStream::connect(addr).is_err()).await;
    assert!(process.child.try_wait().unwrap().is_none(), "a request is in flight");
    process.signal("-TERM");
    wait_for("the process to end", || process.child.try_wait().unwrap().is_some()).await;
}

#[tokio::test]
async fn out_of_files_it_closes_what_waits_and_neither_spins_nor_ends() {
    let app = App::new(|stream, _| async move { drop(Raw { stream, buf: vec![] }.rest().await) }).await;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    let pid = process.child.id();
    let (client, _, _events) = RouterClient::connect(&config(dir.path()).socket(), PATIENCE).await.unwrap();
    let routes = vec![serve("quiet.test", vec![app.target("t1")])];
    client.install(Snapshot { generation: 1, routes }, PATIENCE).await.unwrap();
    let files = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let limit = files() + 20;
    let set = format!("--nofile={limit}:{limit}");
    assert!(Command::new("prlimit").args(["--pid", &pid.to_string(), &set]).status().unwrap().success());
    let connect = async || Raw { stream: tokio::net::TcpStream::connect(process.addr).await.unwrap(), buf: vec![] };
    // Many that wait: a visitor is served, for some of them are closed.
    let mut idle = vec![];
    for _ in 0..60 {
        idle.push(connect().await);
    }
    assert_eq!(status(&process.get().await), 404);
    drop(idle);
    // All at work: nothing can be closed, and nothing is done in vain.
    let mut busy = vec![];
    for _ in 0..40 {
        let mut raw = connect().await;
        raw.send("GET / HTTP/1.1\r\nHost: quiet.test\r\n\r\n").await;
        busy.push(raw);
    }
    wait_for("no file to be left", || files() >= limit).await;
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(ticks() - before < 30, "{} hundredths of a second of work in one second", ticks() - before);
    drop(busy);
    assert_eq!(status(&process.get().await), 404, "it goes on");
}
