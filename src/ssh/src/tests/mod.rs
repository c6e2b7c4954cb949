//! The server against the real OpenSSH client: a toy shell, a world of keys, and what tests ask of them.

mod algorithms;
mod git;
mod hostile;
mod usual;

use super::*;
use bytes::Bytes;
use domain::access::Role;
use domain::ids::UserId;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Instant;
use system::io::Chunk;

/// Makes a key pair with the real tool.
pub(super) fn keygen(path: &Path, kind: &str, bits: &str) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(done.success());
}

/// What the toy shell reports.
#[derive(Debug, PartialEq, Eq)]
enum Report {
    Started,
    HungUp,
    Deaf,
}

struct Toy {
    known: Vec<String>,
    reports: std_mpsc::Sender<Report>,
    running: AtomicUsize,
    most: AtomicUsize,
    /// Says that the key of a connection was removed.
    removed: tokio::sync::Notify,
}

impl Toy {
    async fn hang(&self, io: &mut Io) -> u8 {
        let _ = self.reports.send(Report::Started);
        tokio::select! {
            () = io.hangup.cancelled() => { let _ = self.reports.send(Report::HungUp); }
            () = io.out.closed() => {
                // A hangup is fired before output ends.
                let report = if io.hangup.is_cancelled() { Report::HungUp } else { Report::Deaf };
                let _ = self.reports.send(report);
            }
        }
        9
    }
}

#[async_trait]
impl Shell for Toy {
    async fn identify(&self, key: &PublicKeyText, fingerprint: &str) -> Option<Principal> {
        assert!(fingerprint.starts_with("SHA256:"));
        self.known.iter().any(|k| k == key).then(|| Principal::User {
            id: UserId(1),
            name: "ada".parse().unwrap(),
            role: Role::Developer,
            key: domain::access::KeyRef { fingerprint: fingerprint.to_owned(), name: String::new() },
        })
    }

    async fn run(&self, _who: Principal, line: &str, env: SessionEnv, mut io: Io) -> u8 {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" => io.line("hello").await,
            "exit" => return rest.parse().unwrap(),
            "echo" => io.line(rest).await,
            "both" => {
                io.line("to stdout").await;
                io.note("to stderr").await;
            }
            "env" => io.line(format!("{:?}", env.git_protocol)).await,
            "cat" => {
                while let Some(bytes) = io.stdin.recv().await {
                    let _ = io.out.send(Chunk::Out(bytes)).await;
                }
            }
            "flood" => {
                let chunk = Bytes::from(vec![b'x'; 32 * 1024]);
                for _ in 0..rest.parse::<usize>().unwrap() / chunk.len() {
                    if io.out.send(Chunk::Out(chunk.clone())).await.is_err() {
                        return 1;
                    }
                }
            }
            "hang" => return self.hang(&mut io).await,
            "meet" => {
                let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                let _ = io.stdin.recv().await;
                self.running.fetch_sub(1, Ordering::SeqCst);
            }
            "git-receive-pack" if rest == "'/hang'" => return self.hang(&mut io).await,
            "git-receive-pack" | "git-upload-pack" => {
                return git::serve(verb.trim_start_matches("git-"), rest.trim_matches('\''), io).await;
            }
            "panic" => panic!("as asked"),
            _ => return 127,
        }
        0
    }

    async fn claimant(&self, who: &Principal) -> Claimant {
        Claimant::of(who, None)
    }

    async fn revoked(&self, _who: &Principal) {
        self.removed.notified().await;
    }

    fn stranger(&self, fingerprint: &str) -> String {
        format!("this key is not known here: {fingerprint}")
    }
}

struct World {
    folder: tempfile::TempDir,
    addr: SocketAddr,
    reports: std_mpsc::Receiver<Report>,
    toy: Arc<Toy>,
    tasks: Tasks,
    runtime: tokio::runtime::Runtime,
}

fn world(limits: Limits) -> World {
    let folder = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    for (name, kind, bits) in [("key", "ed25519", "256"), ("rsa", "rsa", "2048"), ("ecdsa", "ecdsa", "256")] {
        keygen(&folder.path().join(name), kind, bits);
        let text = std::fs::read_to_string(folder.path().join(format!("{name}.pub"))).unwrap();
        known.push(keys::parse_public(&text).unwrap().text());
    }
    keygen(&folder.path().join("other"), "ed25519", "256");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (report, reports) = std_mpsc::channel();
    let tasks = Tasks::new();
    let (toy, addr) = serve(&runtime, (known, report), (&folder.path().join("host_key"), limits), &tasks);
    World { folder, addr, reports, toy, tasks, runtime }
}

/// A server whose shell knows these keys.
fn serve(
    runtime: &tokio::runtime::Runtime,
    (known, reports): (Vec<String>, std_mpsc::Sender<Report>),
    (host_key, limits): (&Path, Limits),
    tasks: &Tasks,
) -> (Arc<Toy>, SocketAddr) {
    let (running, most, removed) = (AtomicUsize::new(0), AtomicUsize::new(0), tokio::sync::Notify::new());
    let toy = Arc::new(Toy { known, reports, running, most, removed });
    let config = SshConfig { addr: "127.0.0.1:0".parse().unwrap(), host_key_path: host_key.to_owned(), limits };
    let addr = runtime.block_on(async {
        let server = Server::bind(config).await.unwrap();
        let addr = server.addr();
        server.serve(toy.clone(), Vec::new(), tasks);
        addr
    });
    (toy, addr)
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ssh_with(&self, key: &str, options: &[&str], line: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", self.path("known").display()));
        ssh.arg("-i").arg(self.path(key)).args(["-p", &self.addr.port().to_string()]).args(options);
        ssh.arg("anyname@127.0.0.1");
        if !line.is_empty() {
            ssh.arg(line);
        }
        ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ssh
    }

    fn ssh(&self, line: &str) -> Output {
        self.ssh_with("key", &["-o", "BatchMode=yes"], line).output().unwrap()
    }

    fn report(&self) -> Report {
        self.reports.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn raw(&self) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// Bytes that differ everywhere.
fn noise(len: usize) -> Vec<u8> {
    let mut seed: u32 = 7;
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(len)
    .collect()
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn pid(child: &std::process::Child) -> rustix::process::Pid {
    rustix::process::Pid::from_child(child)
}

fn wait_for(state: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !state() {
        assert!(Instant::now() < deadline, "not reached in 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
