//! The pages of docs/ do what they say: their ```sh test blocks are run as a reader would type them.
//!
//! Each block is a script of its own for `bash -eu`, in the folder where the one before it ended; it must succeed. The
//! host name `hoist-try` is the server of a fresh world, as user `me`, an administrator: what `./install.sh --try` leaves.
//! The lines of a ```text block right behind it must appear in its output in that order; `…` stands for any text, and
//! alone on a line for any lines.

use e2e::{Output, User, World, program, repository, run};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BLOCK_MAX: Duration = Duration::from_secs(300);

#[test]
fn quickstart() {
    reads("docs/quickstart.md", 6, &[], &[]);
}

#[test]
fn large_files() {
    reads("docs/git-lfs.md", 1, &[], &[]);
}

#[test]
fn from_heroku() {
    reads("docs/from-heroku.md", 3, &[], &[]);
}

#[test]
fn from_dokku() {
    reads("docs/from-dokku.md", 1, &[], &[]);
}

#[test]
fn uploads() {
    reads("docs/uploads.md", 2, &[], &[]);
}

/// The database is a listener at the address of Docker's bridge, and its port is open to apps by the setting.
#[test]
fn databases() {
    let mut ip = program("ip");
    ip.args(["-4", "-o", "addr", "show", "docker0"]);
    let shown = run(ip, b"", BLOCK_MAX).ok();
    let address = shown.out.split_once("inet ").and_then(|(_, rest)| rest.split_once('/')).unwrap().0.to_owned();
    let listener = std::net::TcpListener::bind((address.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    reads("docs/databases.md", 3, &[("172.17.0.1", &address), ("5432", &port)], &[("host-services", &port)]);
}

/// The page's Caddyfile, by Debian's Caddy with an authority of its own, in front of a server with the page's settings.
#[test]
fn behind_a_proxy() {
    let page = std::fs::read_to_string(repository().join("docs/behind-a-proxy.md")).unwrap();
    let file = page.split_once("```caddyfile\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let world = World::with(&[("trusted-proxies", "127.0.0.1"), ("tls-proxy", "yes")]);
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok().says("https://blog.localhost/");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (home, http, https) = (world.data().with_file_name("caddy"), free(), free());
    std::fs::create_dir(&home).unwrap();
    let file = file.replace("127.0.0.1:8080", &world.http.to_string()).replace("apps.example.com", "localhost");
    let options = format!(
        "{{\n admin off\n skip_install_trust\n local_certs\n http_port {http}\n https_port {https}\n storage file_system {}\n}}\n",
        home.display()
    );
    std::fs::write(home.join("Caddyfile"), options + &file).unwrap();
    let mut caddy = program("caddy");
    caddy.args(["run", "--config"]).arg(home.join("Caddyfile")).env("HOME", &home);
    let _caddy = e2e::Running::start(caddy);
    let visit = |scheme: &str, port: u16, path: &str| {
        let mut curl = program("curl");
        curl.args(["-sSi", "--noproxy", "*", "--max-time", "20", "--retry", "20", "--retry-delay", "1"]);
        curl.args(["--retry-all-errors", "--retry-connrefused", "--cacert"])
            .arg(home.join("pki/authorities/local/root.crt"));
        for claim in
            ["forwarded: for=6.6.6.6", "x-forwarded-for: 6.6.6.6", "x-forwarded-proto: ftp", "x-forwarded-port: 1"]
        {
            curl.args(["-H", claim]);
        }
        for claim in
            ["x-real-ip", "x_real_ip", "cf-connecting-ip", "true-client-ip", "x-original-url", "x-forwarded-host"]
        {
            curl.args(["-H", &format!("{claim}: 6.6.6.6")]);
        }
        curl.args(["--resolve", &format!("blog.localhost:{port}:127.0.0.1")]);
        curl.arg(format!("{scheme}://blog.localhost:{port}{path}"));
        run(curl, b"", BLOCK_MAX).ok().out
    };
    let seen = visit("https", https, "/");
    assert!(seen.starts_with("HTTP/2 200"), "{seen}");
    for header in
        ["\"x-forwarded-proto\": \"https\"", "\"x-forwarded-port\": \"443\"", "\"x-forwarded-for\": \"127.0.0.1\""]
    {
        assert!(seen.contains(header), "{header} in {seen}");
    }
    assert!(!seen.contains("6.6.6.6"), "a client's word came through: {seen}");
    assert!(visit("https", https, "/env?name=HOIST_URL").ends_with("https://blog.localhost/"));
    let sent_on = visit("http", http, "/x");
    assert!(sent_on.starts_with("HTTP/1.1 308") && sent_on.contains("ocation: https://blog.localhost"), "{sent_on}");
}

/// Types the blocks of a page in a world with these settings, at least so many, with words of the page replaced by this machine's.
#[track_caller]
fn reads(page: &str, least: usize, words: &[(&str, &str)], settings: &[(&str, &str)]) {
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let blocks = blocks(&words.iter().fold(text, |text, (from, to)| text.replace(from, to)));
    assert!(blocks.len() >= least, "{page} has lost its tests");
    let world = World::with(settings);
    let mut reader = Reader::new(&world, &world.admin("me"));
    for block in blocks {
        reader.follows(page, &block);
    }
}

#[test]
fn continuous_integration() {
    let page = std::fs::read_to_string(repository().join("docs/ci.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() == 4, "the page has lost its tests");
    let world = World::new();
    let mut reader = Reader::new(&world, &world.admin("me"));
    // What a runner has: a shallow checkout on no branch, and its secrets.
    let app = world.app("blog", "tests/apps/static");
    let (from, to) = (format!("file://{}", app.dir.display()), reader.at.join("checkout"));
    app.git(&["clone", "-q", "--depth", "1", &from, to.to_str().unwrap()]).ok();
    reader.variable("HOIST_HOST", world.ssh.ip().to_string());
    reader.variable("HOIST_PORT", world.ssh.port().to_string());
    for (n, block) in blocks.iter().enumerate() {
        if n == 2 {
            for (name, file) in [("HOIST_KEY", "ci"), ("HOIST_KNOWN_HOSTS", "known_hosts")] {
                reader.variable(name, std::fs::read_to_string(reader.at.join(file)).unwrap().trim_end().to_owned());
            }
        }
        if n == 3 {
            // Not shallow: a detached push takes the whole history.
            app.user.git(&to, &["fetch", "-q", "--unshallow"]).ok();
        }
        reader.follows("docs/ci.md", block);
    }
}

#[test]
fn blocks_are_found_and_compared() {
    let page = "a\n```sh test\none\n```\n```text\nx …\n…\ny\n```\n```sh\nno\n```\n\n```sh test\ntwo\n```\n\n```text\nno\n```\n";
    let found: Vec<_> = blocks(page).into_iter().map(|b| (b.line, b.script, b.says.len())).collect();
    assert_eq!(found, [(2, "one\n".to_owned(), 3), (14, "two\n".to_owned(), 0)]);
    let says = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    assert_eq!(matches(&says(&["x … z", "…", "y"]), "w\nx 1 z  \nmore\ny\n"), Ok(()));
    assert_eq!(matches(&says(&["y", "x …"]), "x 1\ny\n"), Err("x …".to_owned()));
    assert_eq!(matches(&says(&["x … z …"]), "x z\n"), Err("x … z …".to_owned()));
}

/// One block of a page that is run.
struct Block {
    line: usize,
    script: String,
    says: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut lines = page.lines().enumerate();
    // Where a ```text block counts: only on the line right behind a block that is run.
    let mut behind = None;
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        match (kind, found.last_mut()) {
            ("sh test", _) => {
                let script = body.iter().map(|line| format!("{line}\n")).collect();
                behind = Some(number + body.len() + 2);
                found.push(Block { line: number + 1, script, says: Vec::new() });
            }
            ("text", Some(block)) if behind == Some(number) => {
                block.says = body.into_iter().map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    found
}

/// The first expected line that does not come, in order.
fn matches(says: &[String], output: &str) -> Result<(), String> {
    let mut lines = output.lines().map(str::trim_end);
    for want in says.iter().filter(|want| want.trim() != "…") {
        if !lines.any(|line| matches_line(want.trim_end(), line)) {
            return Err(want.clone());
        }
    }
    Ok(())
}

fn matches_line(want: &str, line: &str) -> bool {
    let mut parts = want.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Somebody who reads the page and types along, in a folder of their own.
struct Reader {
    home: PathBuf,
    at: PathBuf,
    path: String,
    variables: Vec<(&'static str, String)>,
}

impl Reader {
    /// An `ssh` before the real one in PATH brings the settings that the page has the reader include.
    fn new(world: &World, user: &User) -> Reader {
        let home = world.data().with_file_name("reader");
        let (bin, at) = (home.join("bin"), home.join("work"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&at).unwrap();
        let config = home.join("ssh_config");
        let settings = format!(
            "Host hoist-try\n  HostName {}\n  HostKeyAlias hoist-try\n  Port {}\n  User hoist\n  IdentityFile {}\n  \
             IdentitiesOnly yes\n  BatchMode yes\n  UserKnownHostsFile {}\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n",
            world.ssh.ip(),
            world.ssh.port(),
            user.key.display(),
            home.join("known_hosts").display(),
        );
        std::fs::write(&config, settings).unwrap();
        let path = std::env::var("PATH").unwrap();
        let real = which(&path, "ssh");
        let wrapper = format!("#!/bin/sh\nexec '{}' -F '{}' \"$@\"\n", real.display(), config.display());
        let ssh = bin.join("ssh");
        std::fs::write(&ssh, wrapper).unwrap();
        std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Reader { path: format!("{}:{path}", bin.display()), home, at, variables: Vec::new() }
    }

    /// Sets a variable for the blocks that follow.
    fn variable(&mut self, name: &'static str, value: String) {
        self.variables.push((name, value));
    }

    /// Types a block and compares what is said.
    #[track_caller]
    fn follows(&mut self, page: &str, block: &Block) {
        let output = self.types(&block.script).ok();
        if let Err(missing) = matches(&block.says, &output.out) {
            panic!("{page}:{}: the output lacks {missing:?}: {output}", block.line);
        }
    }

    /// Runs a block; both streams arrive as one, in order.
    #[track_caller]
    fn types(&mut self, script: &str) -> Output {
        let place = self.home.join("place");
        let text = format!("exec 2>&1\ntrap 'pwd >{}' EXIT\n{script}", e2e::quoted(&place.display().to_string()));
        let mut bash = program("bash");
        bash.args(["-eu", "-o", "pipefail", "-c", &text]).current_dir(&self.at);
        bash.env_clear().env("PATH", &self.path).env("HOME", &self.home).env("LANG", "C.UTF-8");
        bash.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
        bash.envs(self.variables.iter().map(|(name, value)| (name, value)));
        for who in ["AUTHOR", "COMMITTER"] {
            bash.env(format!("GIT_{who}_NAME"), "me").env(format!("GIT_{who}_EMAIL"), "me@localhost");
        }
        let output = run(bash, b"", BLOCK_MAX);
        self.at = std::fs::read_to_string(&place).map_or(self.at.clone(), |at| PathBuf::from(at.trim_end()));
        output
    }
}

fn which(path: &str, program: &str) -> PathBuf {
    let found = path.split(':').map(|folder| Path::new(folder).join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not in PATH"))
}
