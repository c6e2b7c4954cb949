//! All commands over `deploy::testing::World`: a test types lines as root, administrator, developer or deploy key and holds the
//! transcript beside the one of today. What differs from run to run (times, ids) is replaced by a word.

use crate::seams::{Dockerfiles, Planner, Repositories, Routers};
use crate::usage::Usage;
use crate::{Commands, Server};
use async_trait::async_trait;
use builder::{Given, How, LockFile};
use bytes::Bytes;
use deploy::testing::{Fuse, Life, World};
use domain::access::Principal;
use domain::ids::UserId;
use domain::places::{Bound, Claimant, Kind};
use domain::push::TreeFacts;
use domain::{AppId, Commit, Hostname};
use engine::BuilderVersion;
use expect_test::Expect;
use git::lfs::Gate;
use git::{HookFrames, PushTicket, Quarantine, Receiver};
use routes::{RouterLink, RouterState};
use ssh::SessionEnv;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use system::fault::{Fault, Result};
use system::io::{Chunk, Io};
use system::places::Places;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Public keys of people and of a deploy key.
const KEYS: [(&str, &str); 4] = [
    ("ann", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPDCyYfK4syJLWS+kmoudVXcJxjOZwUS7GZwE+7I0vlk ann"),
    ("bob", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJpHGq4G9WdORdkb9fOHpDjKymp0hkkGn1lnJ0y530Kg bob"),
    ("eve", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILL/DQoF+bat5TJ91/idE0TYESC7F4TjV6XIruKBbpIu eve"),
    ("ci", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMbXyE4LmiYmy2R58FT7NfguTrCJDPy5/5xNIKijw9kT ci"),
];

fn places(kind: Kind) -> Places {
    Places::new(kind, Bound { all: 100, each: 100, kept: 10 })
}

fn absent() -> system::fault::Error {
    Fault::plain("no git in a test of commands").into()
}

/// Every commit whose number is below ten is there.
#[derive(Debug)]
struct NoGit(Places);

#[async_trait]
impl Repositories for NoGit {
    async fn version(&self) -> Result<(u32, u32)> {
        Ok((2, 47))
    }
    fn pushes(&self) -> &Places {
        &self.0
    }
    async fn has_commit(&self, _: &AppId, commit: &Commit) -> bool {
        *commit < self::commit(10)
    }
    async fn receive_pack(&self, _: &AppId, _: (&PushTicket, &Claimant), _: Option<&str>, _: &mut Io) -> Result<i32> {
        Err(absent())
    }
    async fn upload_pack(&self, _: &AppId, _: &Claimant, _: &mut Io) -> Result<i32> {
        Err(absent())
    }
    async fn lfs_transfer(&self, _: &AppId, _: bool, _: &dyn Gate, _: &mut Io) -> Result<u8> {
        Err(absent())
    }
    async fn lfs_made(&self, _: &AppId) -> Result<()> {
        Ok(())
    }
    /// An hour, whichever app it is.
    async fn lfs_made_ago(&self, _: &AppId) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }
    fn quarantine(&self, _: &AppId, _: &str) -> Result<Quarantine> {
        Err(absent())
    }
    async fn peel(&self, _: &AppId, _: &Commit, _: Option<Quarantine>) -> Result<Commit> {
        Err(absent())
    }
    async fn inspect(&self, _: &AppId, _: &Commit, _: Option<Quarantine>) -> Result<TreeFacts> {
        Err(absent())
    }
    fn shallow_stale(&self, _: &str) -> bool {
        false
    }
    async fn serve_hook(&self, _: &dyn Receiver, _: serde_json::Value, _: &mut dyn HookFrames) -> Result<()> {
        Err(absent())
    }
}

/// The world's router; names come and go as their app's routes do.
#[derive(Debug)]
struct Router(Arc<dyn RouterLink>);

#[async_trait]
impl RouterLink for Router {
    async fn publish(&self, deadline: Duration) -> bool {
        self.0.publish(deadline).await
    }
    async fn publish_app(&self, app: &AppId, deadline: Duration) -> bool {
        self.0.publish_app(app, deadline).await
    }
    async fn loads(&self, targets: &[String]) -> Option<(u64, u64, u64)> {
        self.0.loads(targets).await
    }
    async fn wait_idle(&self, targets: &[String], deadline: Duration) -> bool {
        self.0.wait_idle(targets, deadline).await
    }
}

#[async_trait]
impl Routers for Router {
    async fn publish_hosts(&self, app: &AppId, _: &[Hostname], deadline: Duration) -> bool {
        self.0.publish_app(app, deadline).await
    }
    fn pause(&self) {}
    async fn shutdown_router(&self, _: Duration) {}
    async fn state(&self) -> Option<RouterState> {
        None
    }
}

/// Every commit is a Dockerfile of one stage.
#[derive(Debug)]
struct OneDockerfile;

#[async_trait]
impl Planner for OneDockerfile {
    async fn planned(&self, _: &AppId, commit: &Commit) -> Result<How> {
        let declared = domain::dockerfile::Declared { images: vec!["debian:13".to_owned()], ..Default::default() };
        let path = "Dockerfile".to_owned();
        let given = Given { commit: commit.clone(), path, root: None, declared, settings: Default::default() };
        Ok(How::Dockerfile(Box::new(given)))
    }
    async fn lock_of(&self, _: &AppId, _: &Commit) -> Result<LockFile> {
        Ok(LockFile::Own)
    }
    fn working(&self, _: UserId) -> u64 {
        0
    }
    async fn end_ahead(&self) {}
}

#[async_trait]
impl Dockerfiles for OneDockerfile {
    async fn version(&self) -> Option<BuilderVersion> {
        None
    }
    async fn installed(&self) -> bool {
        false
    }
    fn accepts_old(&self) -> bool {
        false
    }
    async fn remove(&self) -> Result<()> {
        Ok(())
    }
}

/// The commits of tests, in order.
pub fn commit(n: u8) -> Commit {
    format!("{n:040x}").parse().unwrap()
}

/// A step that is told only where it took long enough to matter: on a busy machine, that is.
const SHORT_STEP: &str = "release command <took>, ";

/// A server with commands.
pub struct Shop {
    /// What is below the commands.
    pub life: Life,
    commands: Commands,
    _world: World,
}

impl Shop {
    /// A server without users and apps.
    pub async fn open() -> Shop {
        let world = World::new();
        let life = world.start(Fuse::new()).await;
        life.platform.log_lines.start(&life.platform.tasks);
        let server = Server {
            platform: life.platform.clone(),
            repos: Arc::new(NoGit(places(Kind::Pushes))),
            routes: Arc::new(Router(Arc::clone(&life.platform.routes))),
            builder: Arc::new(OneDockerfile),
            image_builder: Arc::new(OneDockerfile),
            usage: Usage::default(),
            sessions: places(Kind::Sessions),
        };
        let commands = Commands::new(server, life.deploys.clone(), Arc::new(Notify::new()));
        Shop { life, commands, _world: world }
    }

    /// One with the administrator ann and the developers bob and eve; bob has an app, `blog`.
    pub async fn staffed() -> Shop {
        let shop = Shop::open().await;
        for line in ["root$ users:add ann --admin < ann", "root$ users:add bob < bob", "root$ users:add eve < eve"] {
            shop.play(line).await;
        }
        shop.play("bob$ apps:create blog").await;
        shop
    }

    /// The same, and `blog` is live.
    pub async fn live() -> Shop {
        let shop = Shop::staffed().await;
        shop.play("push blog 1").await;
        shop
    }

    /// Both images of a stack are there.
    pub fn installs(&self, stack: &str) {
        for image in ["run", "build"] {
            let file = format!("{stack}-{image}.json");
            std::fs::write(self.life.platform.settings.stacks.join(file), "{}").unwrap();
        }
    }

    /// What goes by itself of apps that git-lfs made so long ago.
    pub async fn remove_unused(&self, age: Duration) {
        self.commands.remove_unused(age).await.unwrap();
    }

    /// Plays lines and holds what came beside what should.
    pub async fn check(&self, lines: &[&str], want: Expect) {
        let mut all = String::new();
        for line in lines {
            all.push_str(&self.play(line).await);
        }
        want.assert_eq(&all);
    }

    /// One line of a test: `WHO$ COMMAND`, with `< WORDS` what comes on standard input (a name for that person's key); `push APP N`; or
    /// `rest`, which waits until nothing is under way.
    pub async fn play(&self, line: &str) -> String {
        if let Some(rest) = line.strip_prefix("push ") {
            let (app, n) = rest.split_once(' ').unwrap();
            let name = app.parse().unwrap();
            let id = self.life.platform.store.read(move |tx| tx.app_by_name(&name)).await.unwrap().unwrap().id;
            self.life.push(&id, &commit(n.parse().unwrap())).await.unwrap().end().await;
            self.life.rests().await;
            return String::new();
        }
        if line == "rest" {
            self.life.rests().await;
            return String::new();
        }
        let (who, typed) = line.split_once("$ ").unwrap();
        let (command, stdin) = typed.split_once(" < ").map_or((typed, None), |(command, stdin)| (command, Some(stdin)));
        let (inputs, input) = mpsc::channel(1);
        if let Some(words) = stdin {
            let text = KEYS.iter().find(|(name, _)| *name == words).map_or(words, |(_, key)| key);
            inputs.try_send(Bytes::from(format!("{text}\n"))).unwrap();
        }
        drop(inputs);
        let (out, mut chunks) = mpsc::channel(64);
        let io = Io { stdin: input, out, hangup: CancellationToken::new(), tty: false, terminal: None };
        let (mut said, principal) = (format!("{line}\n"), self.principal(who).await);
        let run = self.commands.run_line(principal, command, SessionEnv::default(), io);
        let read = async {
            let mut said = String::new();
            while let Some(chunk) = chunks.recv().await {
                match chunk {
                    Chunk::Out(bytes) | Chunk::Raw(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
                    Chunk::Err(bytes) => {
                        let _ = write!(said, "2| {}", String::from_utf8_lossy(&bytes));
                    }
                }
            }
            said
        };
        let (code, output) = tokio::join!(run, read);
        said.push_str(&self.steady(output).await);
        if code != 0 {
            let _ = writeln!(said, "exit {code}");
        }
        said
    }

    async fn principal(&self, who: &str) -> Principal {
        let Some((_, key)) = KEYS.iter().find(|(name, _)| *name == who) else { return Principal::Local };
        let keys = ssh::keys::parse_keys(key).unwrap();
        self.commands.holder(&keys[0].fingerprint).await.expect("a key that somebody has")
    }

    /// Replaces what differs from run to run.
    async fn steady(&self, text: String) -> String {
        let apps = self.life.platform.store.read(|tx| tx.apps()).await.unwrap();
        let mut text = apps.iter().fold(text, |text, app| text.replace(app.id.as_str(), "APPID"));
        text = replaced(&text, "####-##-##T##:##:##.######+##:##", "<time>");
        text = replaced(&text, "####-##-## ##:##:##", "YYYY-MM-DD hh:mm:ss");
        text = replaced(&text, "####-##-##T##:##:##Z", "<time>");
        text = in_order(&text);
        let took = durations(&text).replace(SHORT_STEP, "");
        if took == text {
            return text;
        }
        // Columns are as wide as what is in them.
        let narrow = |line: &str| {
            let mut line = line.to_owned();
            while line.contains("   ") {
                line = line.replace("   ", "  ");
            }
            format!("{}\n", line.trim_end())
        };
        took.lines().map(narrow).collect()
    }
}

/// Instances come up in any order.
fn in_order(text: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    for run in lines.chunk_by_mut(|a, b| a.ends_with(" is up\n") && b.ends_with(" is up\n")) {
        run.sort_unstable();
    }
    lines.concat()
}

/// Replaces what looks like the pattern, in which `#` is a digit.
fn replaced(text: &str, pattern: &str, by: &str) -> String {
    let (bytes, pattern) = (text.as_bytes(), pattern.as_bytes());
    let fits = |at: &[u8]| {
        at.len() >= pattern.len()
            && at.iter().zip(pattern).all(|(b, p)| if *p == b'#' { b.is_ascii_digit() } else { b == p })
    };
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if fits(&bytes[at..]) {
            out.extend_from_slice(by.as_bytes());
            at += pattern.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

/// Replaces `12ms`, `3.4s` and numbers of JSON whose name ends in `_ms` or is `seconds`.
fn durations(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        let end = rest[at..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| at + end);
        let (number, after) = (&rest[at..end], &rest[end..]);
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
        let unit = ["ms", "s"].into_iter().find(|u| after.strip_prefix(u).is_some_and(|a| !word(a.chars().next())));
        let named = ["_ms\":", "\"seconds\":", " seconds=", "_ms_ago\":"].iter().any(|name| out.ends_with(name));
        match unit.filter(|_| !word(out.chars().last())) {
            Some(unit) => {
                out.push_str("<took>");
                rest = &after[unit.len()..];
            }
            None => {
                out.push_str(if named { "<took>" } else { number });
                rest = after;
            }
        }
    }
    out + rest
}
