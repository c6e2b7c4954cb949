//! A world of one app: a data folder, our side in this process, a client's folder, and git between them.

use crate::lfs::{Gate, Held};
use crate::repos::git_program;
use crate::serve::Limits;
use crate::{
    HookFrames, JudgeAsk, Judged, LineSender, PushTicket, ReceiveAsk, Receiver, RefOutcome, RefReply, Repos,
    ReposConfig, serve_hook,
};
use async_trait::async_trait;
use domain::ids::DeployId;
use domain::places::Claimant;
use domain::push::{self, BranchName, Policy};
use domain::refusal::Code;
use domain::{AppId, Commit};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use system::fault::Result;
use system::io::{CHUNKS_MAX, Chunk, Io};
use system::proc::{self, Done, Program};
use system::tasks::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// What the receiver of this world does with an accepted push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Pins, moves the branch, says ok.
    Deploy,
    /// Says that the build failed.
    Fail,
    /// Says one line, then waits for `World::go_on` or the pusher's leaving.
    Wait,
    /// Says very many lines.
    Flood,
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub repos: Repos,
    pub app: AppId,
    pub desk: Arc<Desk>,
}

/// The receiver: domain's decisions, and a job that is no job.
pub struct Desk {
    repos: Repos,
    app: AppId,
    pub mode: Mutex<Mode>,
    pub branch: Mutex<Option<BranchName>>,
    pub go_on: Notify,
    pub left: Notify,
    pub asked: Mutex<Vec<ReceiveAsk>>,
    pub codes: Mutex<Vec<i32>>,
    /// What git said outside its protocol.
    pub stderr: Mutex<Vec<u8>>,
    pub ended: Notify,
    /// What git-lfs asked for.
    pub lfs_lines: Mutex<Vec<String>>,
    /// Bytes that git-lfs may still bring.
    pub room: AtomicI64,
    next_push: AtomicI64,
}

impl Desk {
    async fn decide(&self, ask: &JudgeAsk) -> Result<()> {
        push::parse_options(&ask.options)?;
        let policy = Policy { deploy_branch: self.branch.lock().unwrap().clone(), app: "blog".into() };
        let verdict = push::judge(&ask.updates, &policy)?;
        let quarantine = ask.quarantine.as_deref().map(|q| self.repos.quarantine(&self.app, q)).transpose()?;
        let facts = self.repos.inspect(&self.app, &verdict.commit, quarantine).await?;
        push::judge_tree(&facts)?;
        Ok(())
    }

    async fn job(&self, ticket: &str, ask: &ReceiveAsk, say: &LineSender, gone: &CancellationToken) -> Result<bool> {
        let command = &ask.commands[0];
        let branch: BranchName = command.name.strip_prefix("refs/heads/").unwrap().parse()?;
        let new: Commit = command.new.parse()?;
        let seen: Option<Commit> = command.old.parse().ok().filter(|_| !command.old.starts_with("00000000"));
        let push = self.next_push.fetch_add(1, Ordering::SeqCst);
        self.repos.pin(&self.app, DeployId(push), &new).await?;
        let mode = *self.mode.lock().unwrap();
        say.line(domain::text::head("Building")).await;
        match mode {
            Mode::Deploy => {}
            Mode::Fail => {
                return Err(domain::Refusal::new(Code::BuildFailed, "the build failed: npm ci, exit 1").into());
            }
            Mode::Flood => {
                for i in 0..200_000 {
                    say.line(format!("       line {i}")).await;
                }
            }
            Mode::Wait => tokio::select! {
                () = self.go_on.notified() => {}
                () = gone.cancelled() => {
                    self.left.notify_one();
                    return Err(domain::Refusal::new(Code::Cancelled, "the pusher left").into());
                }
            },
        }
        let now = self.repos.branch_tip(&self.app, &branch).await?;
        let descends = match &now {
            Some(now) => self.repos.is_descendant(&self.app, &new, now).await?,
            None => true,
        };
        push::may_advance(&branch, seen.as_ref(), now.as_ref(), descends)?;
        let fall_through = !ask.shallow.is_empty();
        if fall_through && self.repos.shallow_stale(ticket) {
            return Err(domain::Refusal::new(Code::Overtaken, "another shallow push came first; push again").into());
        }
        if !fall_through {
            self.repos.update_ref(&self.app, &branch, now.as_ref(), &new).await?;
        }
        self.repos.set_head(&self.app, &branch).await?;
        *self.branch.lock().unwrap() = Some(branch);
        say.line(domain::text::detail("http://blog.localhost is live")).await;
        Ok(fall_through)
    }
}

#[async_trait]
impl Gate for Desk {
    async fn may(&self, bytes: u64) -> Result<()> {
        if i64::try_from(bytes).unwrap() <= self.room.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(domain::Refusal::new(Code::QuotaDisk, "there is no room for it").next("quota").into())
    }
    async fn take(&self, bytes: u64) -> Result<Held> {
        self.may(bytes).await?;
        self.room.fetch_sub(i64::try_from(bytes).unwrap(), Ordering::SeqCst);
        Ok(Box::new(()))
    }
}

#[async_trait]
impl Receiver for Desk {
    async fn judge(&self, push: &str, ask: JudgeAsk) -> Judged {
        assert_eq!(self.repos.app_of(push).as_ref(), Some(&self.app));
        match self.decide(&ask).await {
            Ok(()) => Judged { lines: vec![], accept: true },
            Err(no) => Judged { lines: no.lines().iter().map(|l| domain::text::warning(l)).collect(), accept: false },
        }
    }

    async fn receive(&self, push: &str, ask: ReceiveAsk, say: LineSender, gone: CancellationToken) -> Vec<RefReply> {
        self.asked.lock().unwrap().push(ask.clone());
        let outcome = match self.job(push, &ask, &say, &gone).await {
            Ok(fall_through) => RefOutcome::Done { fall_through },
            Err(no) => RefOutcome::Refused { reason: no.lines()[0].clone() },
        };
        vec![RefReply { name: ask.commands[0].name.clone(), outcome }]
    }
}

impl World {
    pub async fn new() -> World {
        World::with_limits(Limits::default()).await
    }

    pub async fn with_limits(limits: Limits) -> World {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let exe = std::env::current_exe().unwrap();
        let part = |role: &str, more: &str| {
            format!(
                "#!/bin/sh\nexec 3>&1 >/dev/null\n{more}HOIST_TEST_ROLE={role} exec {} --exact tests::role --nocapture -q\n",
                exe.display()
            )
        };
        let verb = format!("export HOIST_TEST_SOCKET={} HOIST_TEST_VERB=\"$2\"\n", at("ssh.sock").display());
        // Its other part, walls, is tested with the binary.
        let limited = "[ \"$1\" != limited ] || { shift 3; exec \"$@\" >&3 3>&-; }\n";
        for (name, text) in [("hoist", part("\"$2\"", limited)), ("ssh", part("ssh", &verb))] {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = ReposConfig {
            data: at("data"),
            bin: at("hoist"),
            socket: at("admin.sock"),
            memory: 1 << 30,
            group: None,
            pushes_each: 10,
        };
        let repos = Repos::open(config).await.unwrap();
        let app: AppId = "appid234".parse().unwrap();
        repos.ensure(&app).await.unwrap();
        let desk = Arc::new(Desk {
            repos: repos.clone(),
            app: app.clone(),
            mode: Mutex::new(Mode::Deploy),
            branch: Mutex::new(None),
            go_on: Notify::new(),
            left: Notify::new(),
            asked: Mutex::default(),
            codes: Mutex::default(),
            stderr: Mutex::default(),
            ended: Notify::new(),
            lfs_lines: Mutex::default(),
            room: AtomicI64::new(i64::MAX),
            next_push: AtomicI64::new(1),
        });
        let tasks = Tasks::new();
        let hooks = UnixListener::bind(at("admin.sock")).unwrap();
        let ssh = UnixListener::bind(at("ssh.sock")).unwrap();
        let (d, t) = (desk.clone(), tasks.clone());
        tasks.spawn("hooks", |stop| async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(hooks.accept()).await {
                let (d, t2) = (d.clone(), t.clone());
                t.spawn("hook", |_| async move { serve_one_hook(&d, &t2, stream).await });
            }
        });
        let (d, t, limits) = (desk.clone(), tasks.clone(), Arc::new(limits));
        tasks.spawn("ssh", |stop| async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(ssh.accept()).await {
                let (d, limits, t2) = (d.clone(), limits.clone(), t.clone());
                t.spawn("session", |_| async move { serve_one_client(&d, &limits, &t2, stream).await });
            }
        });
        World { dir, repos, app, desk }
    }

    /// A client's folder with one commit on `main`.
    pub async fn work(&self, name: &str) -> Work {
        let work = Work { at: self.dir.path().join(name), ssh: self.dir.path().join("ssh") };
        std::fs::create_dir(&work.at).unwrap();
        work.ok(&["init", "-q", "-b", "main"]).await;
        work.commit("app.js", "console.log(1)").await;
        work.ok(&["remote", "add", "hoist", "ssh://hoist/blog"]).await;
        work
    }

    pub fn bare(&self) -> PathBuf {
        self.repos.path(&self.app)
    }

    /// Everything named in the repository, hidden or not.
    pub async fn refs(&self) -> Vec<String> {
        let list = git_program(&self.bare()).args(["for-each-ref", "--format=%(refname)"]);
        run(&list).await.success("refs").unwrap().text().lines().map(str::to_owned).collect()
    }

    pub async fn tip(&self, branch: &str) -> Option<String> {
        let tip = self.repos.branch_tip(&self.app, &branch.parse().unwrap()).await.unwrap();
        tip.map(String::from)
    }

    /// Names in the repository that an unfinished push would leave.
    pub fn leftovers(&self) -> Vec<String> {
        let list = |p: PathBuf| std::fs::read_dir(p).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let bare = list(self.bare()).filter(|n| n.contains("lock") || n.starts_with("shallow_"));
        let objects = list(self.bare().join("objects")).filter(|n| !matches!(n.as_str(), "info" | "pack"));
        bare.chain(objects).chain(list(self.bare().join("objects/pack")).filter(|n| n.starts_with("tmp"))).collect()
    }

    pub async fn fsck(&self) {
        let done = run(&git_program(&self.bare()).args(["fsck", "--strict"])).await;
        assert_eq!((done.code, String::from_utf8_lossy(&done.stderr).as_ref()), (0, ""), "fsck");
    }

    pub fn mode(&self, mode: Mode) {
        *self.desk.mode.lock().unwrap() = mode;
    }
}

/// A client's working copy.
pub struct Work {
    pub at: PathBuf,
    pub ssh: PathBuf,
}

impl Work {
    pub fn git(&self, args: &[&str]) -> Program {
        git_program(&self.at)
            .env("GIT_SSH_COMMAND", &self.ssh)
            .env("GIT_SSH_VARIANT", "simple")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.com")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.com")
            .args(args)
    }
    /// Runs git; gives its code and everything it said, the padding of remote lines taken off.
    pub async fn run(&self, args: &[&str]) -> (i32, String) {
        let done = run(&self.git(args)).await;
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        (done.code, said.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
    }
    pub async fn ok(&self, args: &[&str]) -> String {
        let (code, said) = self.run(args).await;
        assert_eq!(code, 0, "git {args:?}: {said}");
        said
    }
    pub async fn refused(&self, args: &[&str], reason: &str) -> String {
        let (code, said) = self.run(args).await;
        assert_ne!(code, 0, "git {args:?}: {said}");
        assert!(said.contains(reason), "git {args:?}: {said}");
        said
    }
    pub async fn commit(&self, file: &str, text: &str) -> String {
        let path = self.at.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.ok(&["add", "-A"]).await;
        self.commit_index(file).await
    }
    pub async fn commit_index(&self, message: &str) -> String {
        self.ok(&["commit", "-q", "--allow-empty", "-m", message]).await;
        self.ok(&["rev-parse", "HEAD"]).await
    }
}

pub async fn run(program: &Program) -> Done {
    let limits = proc::Limits { deadline: Duration::from_secs(60), output_max: 64 << 20 };
    proc::run(program, b"", limits).await.unwrap()
}

/// Frames over a socket, read by a task so that a receive can be dropped half way.
struct Socket {
    frames: mpsc::Receiver<Vec<u8>>,
    write: OwnedWriteHalf,
}

#[async_trait]
impl HookFrames for Socket {
    async fn recv(&mut self) -> Option<Vec<u8>> {
        self.frames.recv().await
    }
    async fn send(&mut self, message: Vec<u8>) -> bool {
        let mut frame = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
        frame.push(b'k');
        frame.extend(message);
        self.write.write_all(&frame).await.is_ok()
    }
}

async fn read_frame(read: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let length = read.read_u32().await.ok()?;
    let tag = read.read_u8().await.ok()?;
    let mut payload = vec![0; length as usize];
    read.read_exact(&mut payload).await.ok()?;
    Some((tag, payload))
}

async fn serve_one_hook(desk: &Desk, tasks: &Tasks, stream: UnixStream) {
    let (mut read, write) = stream.into_split();
    let Some((b'H', hello)) = read_frame(&mut read).await else { return };
    let (sender, frames) = mpsc::channel(1);
    tasks.spawn("hook frames", |_| async move {
        while let Some((b'k', message)) = read_frame(&mut read).await {
            let _ = sender.send(message).await;
        }
    });
    let hello = serde_json::from_slice(&hello).unwrap();
    let _ = serve_hook(&desk.repos, desk, hello, &mut Socket { frames, write }).await;
}

/// What the SSH side does: streams in, streams out, and a hang-up when the client closes.
async fn serve_one_client(desk: &Arc<Desk>, limits: &Limits, tasks: &Tasks, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut verb = String::new();
    read.read_line(&mut verb).await.unwrap();
    let ((to_stdin, stdin), (out, mut output)) = (mpsc::channel(CHUNKS_MAX), mpsc::channel(CHUNKS_MAX));
    let hangup = CancellationToken::new();
    let (hung, receiving) = (hangup.clone(), verb.contains("receive-pack"));
    tasks.spawn("stdin", |_| async move {
        let mut to_stdin = Some(to_stdin);
        while let Ok(length) = read.read_u32().await {
            let mut chunk = vec![0; length as usize];
            match (read.read_exact(&mut chunk).await, &to_stdin) {
                (Ok(1..), Some(stdin)) => drop(stdin.send(chunk.into()).await),
                _ => to_stdin = None,
            }
        }
        hung.cancel();
    });
    let said = desk.clone();
    tasks.spawn("stdout", |_| async move {
        while let Some(chunk) = output.recv().await {
            let bytes = match chunk {
                Chunk::Out(bytes) | Chunk::Raw(bytes) => bytes,
                Chunk::Err(bytes) => {
                    said.stderr.lock().unwrap().extend(bytes);
                    continue;
                }
            };
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut io = Io { stdin, out, hangup, tty: false, terminal: None };
    let code = if verb.starts_with("git-lfs-") {
        desk.lfs_lines.lock().unwrap().push(verb.trim_end().to_owned());
        let up = verb.trim_end().ends_with("upload");
        if verb.starts_with("git-lfs-transfer") {
            desk.repos.lfs_transfer(&desk.app, up, desk.as_ref(), &mut io).await.map(i32::from)
        } else {
            Ok(1)
        }
    } else if receiving {
        let ticket = PushTicket::random();
        desk.repos.receive_within(&desk.app, (&ticket, &Claimant::local()), Some("version=1"), &mut io, limits).await
    } else {
        desk.repos.upload_pack(&desk.app, &Claimant::local(), &mut io).await
    };
    desk.codes.lock().unwrap().push(code.unwrap());
    desk.ended.notify_one();
}

/// The lines of a running git, as they come.
pub fn lines(running: &mut proc::Running) -> tokio::io::Lines<BufReader<tokio::process::ChildStderr>> {
    let (_, _, stderr) = running.pipes();
    BufReader::new(stderr.unwrap()).lines()
}

pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
