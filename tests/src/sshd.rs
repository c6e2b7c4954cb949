//! The host's own sshd, on a port and with a configuration of its own, and the user whose logins it hands over.

use crate::proc::{Output, run};
use crate::programs::program;
use crate::wait::wait_for;
use crate::world::{World, repository};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

/// An sshd that is started and ended by its test; its user and files go with it.
#[derive(Debug)]
pub struct HostSshd {
    /// The user of the host whose logins are handed over.
    pub user: String,
    /// Where it listens.
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl HostSshd {
    /// Makes the user and the configuration; nothing runs yet.
    pub fn new() -> HostSshd {
        // sshd runs no program below a folder that others may write to, such as the one for temporary files.
        let folder = tempfile::Builder::new().prefix("ht-sshd").tempdir_in("/var/lib").unwrap();
        let (user, address) = loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let user = format!("ht{}", port.port());
            if !command("id", &[&user]).status().unwrap().success() {
                break (user, port);
            }
        };
        std::fs::create_dir(folder.path().join("sshd_config.d")).unwrap();
        let sshd = HostSshd { user, address, folder, child: None };
        sshd.call("useradd", &["--system", "--no-create-home", "-d", "/", "-s", "/bin/sh", "-p", "*", &sshd.user]).ok();
        let key = sshd.path("host_key");
        sshd.call("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]).ok();
        sshd.configure(&format!("Include {}/*.conf\n", sshd.path("sshd_config.d")));
        sshd
    }

    /// Writes the main configuration with these lines first.
    pub fn configure(&self, first: &str) {
        let (address, port) = (self.address.ip(), self.address.port());
        let text = format!(
            "{first}ListenAddress {address}\nPort {port}\nHostKey {}\nPidFile {}\nUsePAM no\nAcceptEnv LANG\n\
             Subsystem sftp internal-sftp\nLoginGraceTime 20\n",
            self.path("host_key"),
            self.path("pid")
        );
        std::fs::write(self.path("sshd_config"), text).unwrap();
    }

    /// The settings of a server that takes the sessions.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("ssh-share", self.user.clone()), ("ssh-share-socket", self.path("ssh.sock"))]
    }

    /// `scripts/share-port-22 WORD …` on this sshd.
    #[track_caller]
    pub fn script(&self, words: &[&str]) -> Output {
        let mut script = program(repository().join("scripts/share-port-22"));
        script.args(words).args(["--user", &self.user, "--config", &self.path("sshd_config"), "--no-reload"]);
        run(script, b"", DEADLINE)
    }

    /// Shares the port with a server and starts.
    #[track_caller]
    pub fn start(&mut self, world: &World) {
        let program = self.path("hoist");
        std::fs::copy(world.binary(), &program).unwrap();
        self.script(&["enable", "--data", world.data().to_str().unwrap(), "--program", &program]).ok();
        self.run();
    }

    /// Lets a key log in to a shell, as on any host.
    pub fn admit(&self, public: &str) {
        let keys = self.path("authorized_keys");
        std::fs::write(&keys, public).unwrap();
        self.configure(&format!("AuthorizedKeysFile {keys}\n"));
    }

    /// Starts as it is configured.
    #[track_caller]
    pub fn run(&mut self) {
        std::fs::create_dir_all("/run/sshd").unwrap();
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut sshd = command("sshd", &["-D", "-e", "-f", &self.path("sshd_config")]);
        self.child = Some(sshd.stderr(log).spawn().unwrap());
        wait_for("sshd", DEADLINE, || TcpStream::connect(self.address).is_ok());
    }

    /// A file of this sshd.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A program run as the shared user, as a process of it on the host would.
    #[track_caller]
    pub fn as_user(&self, words: &[&str]) -> Output {
        let mut env = program("setpriv");
        env.args(["--reuid", &self.user, "--regid", &self.user, "--clear-groups"]).args(words);
        run(env, b"", DEADLINE)
    }

    #[track_caller]
    fn call(&self, program: &str, words: &[&str]) -> Output {
        run(command(program, words), b"", DEADLINE)
    }
}

impl Default for HostSshd {
    fn default() -> HostSshd {
        HostSshd::new()
    }
}

impl Drop for HostSshd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- sshd's log\n{}",
                std::fs::read_to_string(PathBuf::from(self.path("log"))).unwrap_or_default()
            );
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = command("userdel", &["-f", &self.user]).status();
    }
}

fn command(name: &str, words: &[&str]) -> Command {
    let mut command = program(name);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
