//! One run of `hoist serve`: started, its words read, killed.

use crate::programs::program;
use crate::wait::try_for;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct Serve {
    child: Child,
    /// Where SSH answers.
    pub ssh: SocketAddr,
    /// Where the router answers.
    pub http: SocketAddr,
}

impl Serve {
    /// Starts the server and waits until it is ready. What it says is added to `log`.
    pub fn start(binary: &Path, data: &Path, ports: (u16, u16), flags: &[String], log: &Path) -> Serve {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = program(binary);
        command.args(["serve", "--base-domain", "localhost", "--data"]).arg(data);
        command.args(["--ssh", &format!("127.0.0.1:{}", ports.0), "--http", &format!("127.0.0.1:{}", ports.1)]);
        command.args(flags);
        command.env("HOIST_STACKS", std::env::var_os("HOIST_STACKS").unwrap_or_else(|| "/var/lib/hoist/stacks".into()));
        let bundle = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
        if std::env::var_os("HOIST_CA_BUNDLE").is_none() && bundle.exists() {
            command.env("HOIST_CA_BUNDLE", bundle);
        }
        // A test that wants it says so: the registries are not asked by every server of every test.
        command.env("HOIST_FETCH_AHEAD", "none");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file.try_clone().unwrap());
        let mut child = command.spawn().unwrap_or_else(|err| panic!("cannot start {}: {err}", binary.display()));
        let words = words_of(child.stdout.take().unwrap(), file);
        let said =
            |word: &str| words.lock().unwrap().iter().any(|line| line == word || line.starts_with(&format!("{word} ")));
        let mut ended = None;
        let ready = try_for(READY_WITHIN, || {
            ended = child.try_wait().unwrap();
            said("ready") || ended.is_some()
        });
        if !ready || ended.is_some() {
            let _ = child.kill();
            let _ = child.wait();
            end_all(data);
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("hoist serve is not ready within {READY_WITHIN:?} ({ended:?}); its log:\n{log}");
        }
        let words = words.lock().unwrap();
        let address = |name: &str| -> SocketAddr {
            let line = words.iter().find_map(|l| l.strip_prefix(name));
            line.and_then(|a| a.trim().parse().ok()).unwrap_or_else(|| panic!("no line `{name} ADDR` in {words:?}"))
        };
        Serve { ssh: address("ssh"), http: address("http"), child }
    }

    /// SIGKILL.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for its end.
    pub fn terminate(&mut self) {
        // Its number may be another's once it was waited for.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = program("kill").args(["-15", &self.child.id().to_string()]).status();
            self.wait_end();
        }
    }

    /// Waits for its end; kills it after a while.
    pub fn wait_end(&mut self) {
        let child = &mut self.child;
        if !try_for(ENDS_WITHIN, || child.try_wait().is_ok_and(|s| s.is_some())) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            if !std::thread::panicking() {
                panic!("hoist serve did not end within {ENDS_WITHIN:?}");
            }
        }
    }
}

/// Collects what the server prints; a router that it started may hold the pipe for longer than it lives.
fn words_of(out: ChildStdout, mut log: std::fs::File) -> Arc<Mutex<Vec<String>>> {
    let words = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&words);
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = writeln!(log, "{line}");
            into.lock().unwrap().push(line);
        }
    });
    words
}

/// SIGKILL to whatever of one data folder still runs.
pub fn end_all(data: &Path) {
    for verb in ["serve", "router", "builder"] {
        for pid in processes(data, verb) {
            let _ = program("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// The processes of `hoist VERB` for one data folder, from /proc: those and no others.
pub fn processes(data: &Path, verb: &str) -> Vec<u32> {
    let data = data.to_string_lossy();
    let ours = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        words.iter().any(|w| w == verb) && words.iter().any(|w| w.contains(&*data))
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).filter(ours).collect()
}
