//! Server and client together, over a real socket.

use super::client::{Streams, run_with};
use super::*;
use async_trait::async_trait;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use system::frames;
use system::io::{Chunk, Io};
use system::tasks::Tasks;

struct Toy {
    reports: mpsc::Sender<&'static str>,
}

#[async_trait]
impl LocalShell for Toy {
    async fn run(&self, argv: Vec<String>, mut io: Io) -> u8 {
        match argv.first().map(String::as_str) {
            Some("apps:list") => {
                io.line(format!("{argv:?} tty={}", io.tty)).await;
                io.note("a note").await;
                let all = io.read_all(10).await.unwrap();
                all.len() as u8
            }
            Some("keys:add") => {
                while let Some(bytes) = io.stdin.recv().await {
                    let _ = io.out.send(Chunk::Out(bytes)).await;
                }
                3
            }
            Some("git-receive-pack") => {
                let _ = self.reports.send("started");
                io.hangup.cancelled().await;
                let _ = self.reports.send("hung up");
                1
            }
            _ => panic!("as asked"),
        }
    }
}

#[async_trait]
impl Gatekeeper for Toy {
    async fn authorized_line(&self, fingerprint: &str, program: &str) -> Option<String> {
        (fingerprint == "SHA256:known").then(|| format!("restrict,command=\"{program}\" ssh-ed25519 AAAA"))
    }
    async fn redeem(&self, _ticket: &str) -> Option<domain::access::Principal> {
        None
    }
    async fn session(&self, _: domain::access::Principal, _: &str, _: ssh::SessionEnv, _: Io) -> u8 {
        1
    }
    async fn revoked(&self, _who: &domain::access::Principal) {}
}

#[async_trait]
impl HookHandler for Toy {
    async fn hook(&self, hello: serde_json::Value, mut io: HookIo) {
        io.send(hello.to_string()).await;
        while let Some(frame) = io.recv().await {
            if frame == b"wait".as_slice() {
                let _ = self.reports.send("waiting");
                io.closed().cancelled().await;
                let _ = self.reports.send("closed");
                return;
            }
            if frame == b"end".as_slice() {
                return;
            }
            io.send([b"got ", frame.as_ref()].concat()).await;
        }
    }
}

struct World {
    folder: tempfile::TempDir,
    reports: mpsc::Receiver<&'static str>,
    tasks: Tasks,
    runtime: tokio::runtime::Runtime,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (report, reports) = mpsc::channel();
    let tasks = Tasks::new();
    runtime.block_on(async {
        let toy = Arc::new(Toy { reports: report });
        Server::bind(folder.path()).await.unwrap().serve(toy, &tasks);
    });
    World { folder, reports, tasks, runtime }
}

fn run(world: &World, argv: &[&str], stdin: Vec<u8>) -> (u8, Vec<u8>, String) {
    let argv: Vec<String> = argv.iter().map(|w| (*w).to_owned()).collect();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let streams = Streams {
        stdin: Box::new(std::io::Cursor::new(stdin)),
        stdout: &mut stdout,
        stderr: &mut stderr,
        tty: false,
        typed: false,
    };
    let code = run_with(world.folder.path(), &argv, streams);
    (code, stdout, String::from_utf8(stderr).unwrap())
}

#[test]
fn commands_run_with_their_streams() {
    let world = world();
    let (code, out, err) = run(&world, &["apps:list", "a b", "'"], b"not asked for".to_vec());
    assert_eq!((code, err.as_str()), (0, "a note\n"));
    assert_eq!(String::from_utf8(out).unwrap(), "[\"apps:list\", \"a b\", \"'\"] tty=false\n");
    let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (code, out, _) = run(&world, &["keys:add"], sent.clone());
    assert!(code == 3 && out == sent);
    assert_eq!(run(&world, &["nonsense"], Vec::new()).0, 70);
    assert_eq!(run(&world, &["keys:add"], Vec::new()).0, 3);
}

#[test]
fn the_socket_is_private_replaced_when_stale_and_kept_when_alive() {
    let world = world();
    let data = world.folder.path();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data.join("run")), mode(&socket_path(data))), (0o700, 0o600));
    let again = world.runtime.block_on(Server::bind(data)).unwrap_err();
    assert!(again.to_string().contains("running"), "{again}");
    assert_eq!(world.runtime.block_on(world.tasks.shutdown(Duration::from_secs(5))), 0);
    let (code, _, err) = run(&world, &["apps:list"], Vec::new());
    let dir = data.display();
    assert_eq!((code, err), (69, format!("the server is not running on {dir}; start it: hoist serve --data {dir}\n")));
    // A server that was killed leaves its socket's file.
    drop(std::os::unix::net::UnixListener::bind(socket_path(data)).unwrap());
    assert_eq!(run(&world, &["apps:list"], Vec::new()).0, 69);
    drop(world.runtime.block_on(Server::bind(data)).unwrap());
    assert!(!socket_path(data).exists());
}

#[test]
fn a_client_that_ends_hangs_up() {
    let world = world();
    for stdin in [true, false] {
        let mut stream = UnixStream::connect(socket_path(world.folder.path())).unwrap();
        let hello = Hello::Command { argv: vec!["git-receive-pack".into()], tty: false, stdin };
        frames::write(&mut stream, frames::Tag::Hello, serde_json::to_string(&hello).unwrap().as_bytes()).unwrap();
        assert_eq!(world.reports.recv_timeout(Duration::from_secs(60)), Ok("started"));
        if stdin {
            // The first piece is asked for; it is sent, and nobody takes it.
            assert_eq!(frames::read(&mut stream).unwrap().unwrap().0, frames::Tag::Want);
            frames::write(&mut stream, frames::Tag::Stdin, b"x").unwrap();
        }
        let begun = Instant::now();
        drop(stream);
        assert_eq!(world.reports.recv_timeout(Duration::from_secs(60)), Ok("hung up"));
        assert!(begun.elapsed() < Duration::from_secs(8));
    }
}

#[test]
fn hooks_talk_both_ways() {
    let world = world();
    let data = world.folder.path();
    let mut hook = HookClient::connect(data, serde_json::json!({"name": "pre-receive"})).unwrap();
    let hello: serde_json::Value = serde_json::from_slice(&hook.recv().unwrap().unwrap()).unwrap();
    assert_eq!(hello, serde_json::json!({"kind": "hook", "name": "pre-receive"}));
    let mut sender = hook.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for n in 0..500 {
            sender.send(n.to_string().as_bytes()).unwrap();
        }
        sender.send(b"end").unwrap();
    });
    for n in 0..500 {
        assert_eq!(hook.recv().unwrap().unwrap(), format!("got {n}").as_bytes());
    }
    assert!(hook.recv().unwrap().is_none());
    thread.join().unwrap();
    let mut hook = HookClient::connect(data, serde_json::json!({})).unwrap();
    hook.send(b"wait").unwrap();
    assert_eq!(world.reports.recv_timeout(Duration::from_secs(60)), Ok("waiting"));
    drop(hook);
    assert_eq!(world.reports.recv_timeout(Duration::from_secs(60)), Ok("closed"));
}

#[test]
fn rubbish_is_cut() {
    let world = world();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 2, b'H', b'{', b'}'], &[0, 0, 0, 1, b'o', 1]] {
        let mut stream = UnixStream::connect(socket_path(world.folder.path())).unwrap();
        std::io::Write::write_all(&mut stream, bytes).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut sink = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut sink);
        assert!(sink.is_empty());
    }
    assert_eq!(run(&world, &["apps:list"], Vec::new()).0, 0);
}

/// A push waits as long as its deploy takes, and there may be many.
#[test]
fn waiting_hooks_do_not_keep_the_administrator_out() {
    let world = world();
    let mut hooks = Vec::new();
    for _ in 0..300 {
        let mut hook = HookClient::connect(world.folder.path(), serde_json::json!({"push": "x"})).unwrap();
        assert!(hook.recv().unwrap().is_some());
        hook.send(b"wait").unwrap();
        assert_eq!(world.reports.recv_timeout(Duration::from_secs(60)).unwrap(), "waiting");
        hooks.push(hook);
    }
    let done = run(&world, &["apps:list"], Vec::new());
    assert!(String::from_utf8_lossy(&done.1).contains("apps:list"), "{done:?}");
}
