//! `./install.sh` below a folder of its own (HOIST_ROOT): what it checks first, what it leaves, and that the commands it
//! prints start an installation that serves.

use domain::programs::Use;
use e2e::{Client, Output, User, binary, engine, only_listed, processes, program, repository, run, wait_for};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);
const DOMAIN: &str = "apps.example";

/// A folder that stands for a machine; dropped, what runs of it ends.
struct Machine {
    root: tempfile::TempDir,
    user: User,
    ssh: u16,
    http: u16,
}

impl Machine {
    fn new() -> Machine {
        // Short: the path of a unix socket below it holds 107 bytes.
        let root = tempfile::Builder::new().prefix("hi").tempdir().unwrap();
        // What the tests start is on this machine; on a server is what the scripts of the installation say.
        only_listed(&root.path().join("programs"), Use::Setup);
        let (ssh, http) = (free_port(), free_port());
        let user = User::new("me", root.path().join("home"), SocketAddr::from(([127, 0, 0, 1], ssh)));
        Machine { root, user, ssh, http }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join("m").join(path)
    }

    fn data(&self) -> PathBuf {
        self.path("var/lib/hoist/data")
    }

    fn install_sh(&self, words: &[&str]) -> Output {
        let mut install = program(repository().join("install.sh"));
        install.args(words).env("HOIST_ROOT", self.root.path().join("m")).env_remove("SUDO_USER");
        install.env("PATH", self.root.path().join("programs"));
        install.env("ROOT_HOME", self.root.path().join("nobody"));
        install.env("HOIST_STACKS", std::env::var_os("HOIST_STACKS").unwrap_or_else(|| "/var/lib/hoist/stacks".into()));
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        if std::env::var_os("HOIST_CA_BUNDLE").is_none() && Path::new(bundle).exists() {
            install.env("HOIST_CA_BUNDLE", bundle);
        }
        run(install, b"", WITHIN)
    }

    fn install_with(&self, binary: &Path, more: &[&str]) -> Output {
        let key = self.user.key.with_extension("pub");
        let (ssh, http) = (self.ssh.to_string(), self.http.to_string());
        let mut words = vec!["--binary", binary.to_str().unwrap(), "--key", key.to_str().unwrap()];
        words.extend(["--ssh-port", &ssh, "--http-port", &http, "--domain", DOMAIN]);
        words.extend(more);
        self.install_sh(&words)
    }

    /// Types the lines that the installer says start it.
    fn start_as_told(&self, said: &str) {
        let commands: Vec<&str> = said.lines().map(str::trim).filter(|l| l.starts_with("setsid ")).collect();
        assert_eq!(commands.len(), 2, "two commands start it: {said}");
        let mut bash = program("bash");
        bash.args(["-c", &commands.join("\n")]);
        run(bash, b"", WITHIN).ok();
        wait_for("the server", WITHIN, || self.user.ssh(&["version"]).code == 0);
    }

    fn get(&self, app: &str) -> Option<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.http));
        let got = Client::new(address, false).get(&format!("{app}.{DOMAIN}"), "/", Duration::from_secs(5)).ok()?;
        Some(got.body)
    }

    fn pid(&self, verb: &str) -> u32 {
        let pids = processes(&self.path("etc/hoist"), verb);
        assert_eq!(pids.len(), 1, "{verb}: {pids:?}");
        pids[0]
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for verb in ["serve", "router"] {
            for pid in processes(&self.path("etc/hoist"), verb) {
                let _ = program("kill").args(["-9", &pid.to_string()]).status();
            }
        }
        if let Some(install) = installation(&self.data()) {
            engine::clear(&install);
            engine::remove_images(&install);
        }
    }
}

fn installation(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data.join("addresses.json")).ok()?;
    Some(serde_json::from_str::<serde_json::Value>(&text).ok()?["install"].as_str()?.to_owned())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn push(machine: &Machine) -> Output {
    let dir = machine.root.path().join("app");
    if !dir.exists() {
        let mut copy = program("cp");
        copy.arg("-r").arg(repository().join("tests/apps/hello")).arg(&dir);
        run(copy, b"", WITHIN).ok();
        machine.user.git(&dir, &["init", "-q", "-b", "main"]).ok();
        machine.user.git(&dir, &["add", "-A"]).ok();
        machine.user.git(&dir, &["commit", "-q", "-m", "first"]).ok();
    }
    machine.user.git(&dir, &["push", &machine.user.remote("blog"), "main"])
}

#[test]
fn installs_starts_as_told_upgrades_and_goes() {
    let machine = Machine::new();
    let said = machine.install_with(&binary(), &[]).ok().says("me (ED25519)").says("systemd is not what started");
    let said = said.says(&format!("ssh://hoist@{DOMAIN}:{}/my-app", machine.ssh));
    let said = said.says(&format!("http://my-app.{DOMAIN}:{}/", machine.http));
    machine.start_as_told(&said.out);
    machine.user.ssh(&["whoami"]).ok().says("admin");
    push(&machine).ok().says(&format!("http://blog.{DOMAIN}:{}/", machine.http));
    assert!(machine.get("blog").unwrap().contains("Hello"));

    // An upgrade: another program, the same router, the same app.
    let newer = machine.root.path().join("newer");
    std::fs::copy(binary(), &newer).unwrap();
    let mut bytes = std::fs::OpenOptions::new().append(true).open(&newer).unwrap();
    std::io::Write::write_all(&mut bytes, b"newer").unwrap();
    drop(bytes);
    let (serve, router) = (machine.pid("serve"), machine.pid("router"));
    let said = machine.install_sh(&["--binary", newer.to_str().unwrap()]).ok().says("the router serves on");
    assert!(said.all().contains("older program") && said.all().contains("is kept"), "{said}");
    assert!(machine.get("blog").unwrap().contains("Hello"));
    assert_eq!(machine.pid("router"), router);
    assert_ne!(machine.pid("serve"), serve);
    machine.user.ssh(&["apps"]).ok().says("blog");

    // A server that was killed is started for the end of its apps.
    let install = installation(&machine.data()).unwrap();
    let _ = program("kill").args(["-9", &machine.pid("serve").to_string()]).status();
    machine.install_sh(&["--uninstall"]).ok().says("The data is still in");
    assert!(engine::leftovers(&install).is_empty(), "{:?}", engine::leftovers(&install));
    assert!(machine.data().join("hoist.db").exists());
    for gone in ["usr/local/bin/hoist", "etc/hoist", "etc/systemd/system/hoist.service"] {
        assert!(!machine.path(gone).exists(), "{gone} is still there");
    }
    machine.install_sh(&["--uninstall", "--purge"]).fails().says("--yes");
    machine.install_sh(&["--uninstall", "--purge", "--yes"]).ok();
    assert!(!machine.path("var/lib/hoist").exists());
    assert!(engine::images(&install).is_empty());
    machine.install_sh(&["--uninstall"]).ok().says("not installed");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_changed() {
    let machine = Machine::new();
    let holder = TcpListener::bind(("0.0.0.0", machine.ssh)).unwrap();
    let refused = machine.install_with(&binary(), &[]).fails();
    refused.says(&format!("port {} is taken by", machine.ssh)).says("--ssh-port 2222");
    drop(holder);
    let private = machine.user.key.display().to_string();
    machine.install_with(&binary(), &["--key", &private]).fails().says("is a private key").says(".pub");
    machine.install_with(&binary(), &["--key", "/nowhere/key.pub"]).fails().says("cannot read");
    machine.install_with(&binary(), &["--domain", "a..b"]).fails().says("is no host name");
    machine.install_with(&binary(), &["--ssh-port", "99999"]).exits(64).says("1 to 65535");
    machine.install_with(&binary(), &["--colour"]).exits(64).says("there is no option --colour");
    machine.install_with(Path::new("/nowhere/hoist"), &[]).fails().says("is no program");
    machine.install_sh(&["--binary", binary().to_str().unwrap()]).fails().says("--key FILE");
    machine.install_sh(&["--purge"]).exits(64).says("--uninstall");
    assert!(!machine.root.path().join("m").exists(), "something was installed");
}

#[test]
fn root_s_own_keys_are_taken_and_said() {
    let machine = Machine::new();
    let home = machine.root.path().join("nobody/.ssh");
    std::fs::create_dir_all(&home).unwrap();
    let other = User::new("other", machine.root.path().join("other"), machine.user.address);
    let forced = format!("command=\"echo no\",no-pty {}", other.public_key());
    let text = format!("# mine\nfrom=\"10.0.0.0/8\" {}{forced}ssh-dss AAAAB3 old\nno key\n", machine.user.public_key());
    std::fs::write(home.join("authorized_keys"), text).unwrap();
    let words =
        ["--binary", binary().to_str().unwrap(), "--ssh-port", "65001", "--http-port", "65002"].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = machine.install_sh(&words).ok().says("me (ED25519)").says("forced command").says("not a key");
    assert!(!said.all().contains("other (ED25519)"), "{said}");
    let taken = std::fs::read_to_string(machine.path("etc/hoist/admin_keys")).unwrap();
    assert_eq!(taken, machine.user.public_key());
}

#[test]
fn units_are_as_systemd_wants_them() {
    let machine = Machine::new();
    machine.install_with(&binary(), &[]).ok();
    let mut verify = program("systemd-analyze");
    verify.arg("verify");
    for unit in ["hoist-router.socket", "hoist-router.service", "hoist.service"] {
        verify.arg(machine.path("etc/systemd/system").join(unit));
    }
    let said = run(verify, b"", WITHIN).ok();
    assert_eq!(said.all().trim(), "", "systemd complains");
    let socket = std::fs::read_to_string(machine.path("etc/systemd/system/hoist-router.socket")).unwrap();
    assert!(socket.contains(&format!(":{}\n", machine.http)), "{socket}");
    // Short of memory, neither tenants' apps (at 0) nor the server go first: git's programs do.
    let server = std::fs::read_to_string(machine.path("etc/systemd/system/hoist.service")).unwrap();
    let number = |name: &str| server.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    assert_eq!((number("OOMScoreAdjust="), number("OOMPolicy=")), ("-500".to_owned(), "continue".to_owned()));
    let most: u64 = number("MemoryMax=").trim_end_matches('M').parse().unwrap();
    assert!((512..=2_048).contains(&most), "{server}");
}
