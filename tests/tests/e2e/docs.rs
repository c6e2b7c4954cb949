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
    let page = std::fs::read_to_string(repository().join("docs/quickstart.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() > 5, "the page has lost its tests");
    let world = World::new();
    let mut reader = Reader::new(&world, &world.admin("me"));
    for block in blocks {
        reader.follows("docs/quickstart.md", &block);
    }
}

#[test]
fn large_files() {
    let page = std::fs::read_to_string(repository().join("docs/git-lfs.md")).unwrap();
    let blocks = blocks(&page);
    assert!(!blocks.is_empty(), "the page has lost its tests");
    let world = World::new();
    let mut reader = Reader::new(&world, &world.admin("me"));
    for block in blocks {
        reader.follows("docs/git-lfs.md", &block);
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
