//! `git receive-pack` and `git upload-pack` for one client: three pumps with back-pressure, limits, and an end.
//!
//! Invariant: the process group ends with the call, whatever ended it. Absent: who may do this; it was asked before.

use super::repos::{Entered, PushTicket, Repos};
use crate::fault::Result;
use crate::io::{Chunk, Io};
use crate::proc::{self, Pipes, Program, Running};
use bytes::BytesMut;
use domain::AppId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Until a pack is here, or a clone has ended.
const TRANSFER_MAX: Duration = Duration::from_secs(3600);
/// Without a byte in either direction. Git itself sends a sign of life every five seconds while a job runs.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Git removes its quarantine at SIGTERM; after this it is killed.
const END_GRACE: Duration = Duration::from_secs(2);
/// Bytes read at once.
const CHUNK: usize = 32 * 1024;
/// What the client gets where there is no exit code of git: the connection was ended.
const ENDED: i32 = 130;

/// When to stop waiting.
pub(super) struct Limits {
    pub transfer: Duration,
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { transfer: TRANSFER_MAX, idle: IDLE_MAX }
    }
}

enum End {
    Exit(Result<i32>),
    Gone,
    Limit(&'static str),
}

impl Repos {
    /// Receives a push; hooks call back under the ticket. Returns git's exit code. Do not drop the future: cancel
    /// `io.hangup`, so that git can clean up.
    pub async fn receive_pack(
        &self,
        app: &AppId,
        ticket: &PushTicket,
        git_protocol: Option<&str>,
        io: &mut Io,
    ) -> Result<i32> {
        self.receive_within(app, ticket, git_protocol, io, &Limits::default()).await
    }

    pub(super) async fn receive_within(
        &self,
        app: &AppId,
        ticket: &PushTicket,
        git_protocol: Option<&str>,
        io: &mut Io,
        limits: &Limits,
    ) -> Result<i32> {
        self.ensure(app).await?;
        let program = self
            .git(&self.path(app))
            .env("HOIST_BIN", &self.config().bin)
            .env("HOIST_SOCK", &self.config().socket)
            .env("HOIST_PUSH", ticket.as_str())
            .arg("receive-pack")
            .arg(self.path(app));
        let entered = self.enter(ticket, app);
        let mut running = proc::start(&with_protocol(program, git_protocol))?;
        let mut pipes = running.pipes();
        let end = pump(&mut running, &mut pipes, io, limits, &entered.live.received).await;
        if matches!(end, End::Limit(_)) {
            entered.live.silent.cancel();
        }
        let code = self.close_push(&entered, running, pipes, end, io).await;
        drop(entered);
        self.settle(app).await;
        code
    }

    async fn close_push(
        &self,
        entered: &Entered,
        mut running: Running,
        mut pipes: Pipes,
        end: End,
        io: &Io,
    ) -> Result<i32> {
        if let End::Exit(code) = end {
            return code;
        }
        if !entered.live.received.is_cancelled() {
            // Before the pack is here, the end of its input makes git clean up by itself; a signal, or a broken pipe
            // while it complains, may find it between two files.
            let (_, stdout, stderr) = (pipes.0.take(), pipes.1.take(), pipes.2.take());
            let rest = async { tokio::join!(discard(stdout), discard(stderr), running.wait()) };
            let _ = tokio::time::timeout(END_GRACE, rest).await;
        }
        let code = close(running, end, io).await?;
        self.sweep(&entered.live.app).await;
        Ok(code)
    }

    /// Serves a fetch or clone. Returns git's exit code.
    pub async fn upload_pack(&self, app: &AppId, io: &mut Io) -> Result<i32> {
        self.ensure(app).await?;
        // Protocol 2 is not offered: there, who knows an id may fetch it whether or not a visible ref reaches it, and
        // refs/hoist keeps commits of refused deploys. Partial clones need that, so they are not offered either
        // (allowFilter is off): the client then makes a whole clone.
        let program = self.git(&self.path(app)).args(["upload-pack", "--strict"]).arg(self.path(app));
        let mut running = proc::start(&program)?;
        let mut pipes = running.pipes();
        let end = pump(&mut running, &mut pipes, io, &Limits::default(), &CancellationToken::new()).await;
        close(running, end, io).await
    }
}

/// The client's wish, if it is one git knows; anything else could be an option or worse.
fn with_protocol(program: Program, wish: Option<&str>) -> Program {
    match wish {
        Some(known @ ("version=0" | "version=1" | "version=2")) => program.env("GIT_PROTOCOL", known),
        Some(_) | None => program,
    }
}

/// Ends what is left. Returns git's exit code, or that it was ended.
async fn close(mut running: Running, end: End, io: &Io) -> Result<i32> {
    match end {
        End::Exit(code) => return code,
        End::Gone => {}
        End::Limit(why) => {
            // The client may be the reason; it gets the line if it still reads.
            let _ = io.out.try_send(Chunk::Err(format!("{}\n", domain::text::warning(why)).into()));
        }
    }
    running.end(END_GRACE).await;
    Ok(ENDED)
}

async fn pump(
    running: &mut Running,
    (stdin, stdout, stderr): &mut Pipes,
    io: &mut Io,
    limits: &Limits,
    received: &CancellationToken,
) -> End {
    let activity = Activity::new();
    let Io { stdin: from, out: to, hangup, .. } = io;
    let feed = async {
        let Some(pipe) = stdin.as_mut() else { return };
        while let Some(bytes) = from.recv().await {
            activity.mark();
            if pipe.write_all(&bytes).await.is_err() {
                return; // git has ended or closed its input; its exit code says how
            }
            activity.mark();
        }
        drop(stdin.take());
    };
    let work = async {
        // A failed send means that nobody reads; the rest of the output would block git for ever.
        let out = carry(stdout, to, Chunk::Out, &activity);
        let err = carry(stderr, to, Chunk::Err, &activity);
        let pumps = async { tokio::try_join!(out, err) };
        let (pumps, code) = tokio::join!(pumps_or_gone(pumps), running.wait());
        if pumps { End::Exit(code) } else { End::Gone }
    };
    let fed_work = async {
        tokio::pin!(work, feed);
        tokio::select! {
            end = &mut work => end,
            () = &mut feed => work.await,
        }
    };
    tokio::select! {
        end = fed_work => end,
        () = hangup.cancelled() => End::Gone,
        () = to.closed() => End::Gone,
        () = activity.idle(limits.idle) => End::Limit("nothing moved on the connection for too long; it was closed"),
        () = overdue(limits.transfer, received) => End::Limit("the transfer took longer than an hour; it was ended"),
    }
}

async fn pumps_or_gone<T>(pumps: impl Future<Output = Result<T, Gone>>) -> bool {
    pumps.await.is_ok()
}

/// The reader has gone.
struct Gone;

async fn carry(
    pipe: &mut Option<impl AsyncRead + Unpin>,
    to: &mpsc::Sender<Chunk>,
    chunk: fn(bytes::Bytes) -> Chunk,
    activity: &Activity,
) -> Result<(), Gone> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut buf = BytesMut::new();
    loop {
        buf.reserve(CHUNK);
        match pipe.read_buf(&mut buf).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        to.send(chunk(buf.split().freeze())).await.map_err(|_| Gone)?;
        activity.mark();
    }
}

/// Reads to the end for a program that would fail otherwise.
async fn discard(pipe: Option<impl AsyncRead + Unpin>) {
    if let Some(mut pipe) = pipe {
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
}

async fn overdue(transfer: Duration, received: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(transfer) => {}
        () = received.cancelled() => std::future::pending().await,
    }
}

/// When a byte last moved.
struct Activity {
    start: Instant,
    last: AtomicU64,
}

impl Activity {
    fn new() -> Activity {
        Activity { start: Instant::now(), last: AtomicU64::new(0) }
    }
    fn mark(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
    async fn idle(&self, max: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let quiet = self.start.elapsed().saturating_sub(last);
            match max.checked_sub(quiet).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}
