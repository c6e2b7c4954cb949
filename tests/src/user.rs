//! One person: a key, the real ssh client, the real git.

use crate::proc::{Output, quoted, run};
use crate::programs::program;
use crate::terminal::Terminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A push may install packages.
const DEADLINE: Duration = Duration::from_secs(300);

/// A user of the server.
#[derive(Debug, Clone)]
pub struct User {
    /// The name the server knows.
    pub name: String,
    /// The private key's file.
    pub key: PathBuf,
    /// A folder that is this user's home.
    pub home: PathBuf,
    /// Where SSH answers.
    pub address: SocketAddr,
    /// The login name. The server ignores it; a host's sshd that shares its port does not.
    pub login: String,
}

impl User {
    /// Makes a key pair in `home`; the server does not know it yet.
    pub fn new(name: &str, home: PathBuf, address: SocketAddr) -> User {
        User::with_key(name, home, address, &["-t", "ed25519"])
    }

    /// The same with a key of another kind, as `ssh-keygen` takes it: `["-t", "rsa", "-b", "2048"]`.
    pub fn with_key(name: &str, home: PathBuf, address: SocketAddr, kind: &[&str]) -> User {
        std::fs::create_dir_all(&home).unwrap();
        let key = home.join("key");
        let mut keygen = program("ssh-keygen");
        keygen.args(["-q", "-N", "", "-C", name]).args(kind).arg("-f").arg(&key);
        run(keygen, b"", DEADLINE).ok();
        User { name: name.to_owned(), key, home, address, login: "hoist".to_owned() }
    }

    /// The same person by another way in.
    pub fn at(&self, login: &str, address: SocketAddr) -> User {
        User { login: login.to_owned(), address, ..self.clone() }
    }

    /// The public key's line.
    pub fn public_key(&self) -> String {
        std::fs::read_to_string(self.key.with_extension("pub")).unwrap()
    }

    /// Runs a command over SSH; each word arrives as it is.
    #[track_caller]
    pub fn ssh(&self, words: &[&str]) -> Output {
        self.ssh_with(words, b"")
    }

    /// The same with standard input.
    #[track_caller]
    pub fn ssh_with(&self, words: &[&str], stdin: &[u8]) -> Output {
        run(self.ssh_command(words), stdin, DEADLINE)
    }

    /// The same, not yet run.
    pub fn ssh_command(&self, words: &[&str]) -> Command {
        let line: Vec<String> = words.iter().map(|w| quoted(w)).collect();
        let mut ssh = program("ssh");
        ssh.args(self.options()).args(["-p", &self.address.port().to_string(), "-l", &self.login]);
        ssh.arg(self.address.ip().to_string()).arg("--").arg(line.join(" "));
        ssh
    }

    /// `ssh -tt` at a terminal of 24 rows and 80 columns.
    #[track_caller]
    pub fn terminal(&self, words: &[&str]) -> Terminal {
        let plain = self.ssh_command(words);
        let mut ssh = program(plain.get_program());
        ssh.arg("-tt").args(plain.get_args());
        Terminal::open(ssh, 24, 80)
    }

    /// Runs git in a folder as this user.
    #[track_caller]
    pub fn git(&self, dir: &Path, args: &[&str]) -> Output {
        run(self.git_command(dir, args), b"", DEADLINE)
    }

    /// The same, not yet run.
    pub fn git_command(&self, dir: &Path, args: &[&str]) -> Command {
        let ssh: Vec<String> = self.options().iter().map(|w| quoted(w)).collect();
        let mut git = program("git");
        git.arg("-C").arg(dir).args(args);
        // Nothing of whoever runs the tests: no configuration, no agent, no repository around.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "SSH_AUTH_SOCK"] {
            git.env_remove(name);
        }
        git.env("HOME", &self.home).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", format!("ssh {}", ssh.join(" ")));
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), &self.name).env(format!("GIT_{who}_EMAIL"), "test@localhost");
        }
        git
    }

    /// The remote of an app.
    pub fn remote(&self, app: &str) -> String {
        format!("ssh://{}@{}/{app}", self.login, self.address)
    }

    /// What every ssh of this person is called with.
    pub fn options(&self) -> Vec<String> {
        let known_hosts = self.home.join("known_hosts");
        let mut options =
            vec!["-F".to_owned(), "/dev/null".to_owned(), "-i".to_owned(), self.key.display().to_string()];
        for option in [
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ControlMaster=no",
            "ControlPath=none",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
            "StrictHostKeyChecking=accept-new",
            &format!("UserKnownHostsFile={}", known_hosts.display()),
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }
}
