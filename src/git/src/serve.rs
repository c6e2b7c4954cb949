//! `git receive-pack` and `git upload-pack` for one client: three pumps with back-pressure, limits, and an end.
//!
//! Invariants: the process group ends with the call, whatever ended it; a pack moves only while it has one of the places for
//! packs. Absent: who may do this; it was asked before.

use super::head::{At, Head};
use super::repos::{Entered, GIT_MEMORY, PushTicket, Repos, WHOLE_MEMORY};
use super::sideband::Sideband;
use crate::lfs::Moving;
use bytes::{Bytes, BytesMut};
use domain::places::Claimant;
use domain::push::{Fall, fell};
use domain::refusal::Code;
use domain::{AppId, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use system::fault::{Error, Result};
use system::io::{Chunk, Io};
use system::places::{Place, Places};
use system::proc::{self, Pipes, Program, Running};
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
/// How long a pack waits for its place; git on the other side shows nothing meanwhile.
const PLACE_MAX: Duration = Duration::from_secs(60);
/// A pack that has begun keeps coming: who holds a place and sends next to nothing keeps others out.
const PACE_AFTER: Duration = Duration::from_secs(60);
const PACE_BYTES_A_SECOND: u64 = 2_000;
/// The exit code of a program that the kernel ended.
const KILLED: i32 = 128 + 9;
/// The exit code of a pack that found no place.
const BUSY: i32 = 1;
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
    Refused(Box<Error>),
}

/// One pack's way: when it needs a place, which it has, and what is said on its way back.
struct Carriage<'a> {
    places: &'a Places,
    who: &'a Claimant,
    /// Fired when the pack is here: its place is free for another.
    received: CancellationToken,
    place: Mutex<Option<Place>>,
    /// Of a push: what comes before its pack.
    head: Option<Head>,
    sideband: Sideband,
    /// What git-lfs sends meanwhile, which git waits for without a word.
    beside: Arc<Moving>,
}

impl<'a> Carriage<'a> {
    fn new(
        what: &'static str,
        places: &'a Places,
        who: &'a Claimant,
        received: CancellationToken,
        beside: Arc<Moving>,
    ) -> Carriage<'a> {
        let (head, memory) = match what {
            "push" => (Some(Head::default()), GIT_MEMORY),
            _ => (None, WHOLE_MEMORY),
        };
        let (place, sideband) = (Mutex::new(None), Sideband::new(what, memory));
        Carriage { places, who, received, place, head, sideband, beside }
    }
}

impl Repos {
    /// Receives a push; hooks call back under the ticket. Returns git's exit code. Do not drop the future: cancel
    /// `io.hangup`, so that git can clean up.
    pub async fn receive_pack(
        &self,
        app: &AppId,
        push: (&PushTicket, &Claimant),
        git_protocol: Option<&str>,
        io: &mut Io,
    ) -> Result<i32> {
        self.receive_within(app, push, git_protocol, io, &Limits::default()).await
    }

    pub(super) async fn receive_within(
        &self,
        app: &AppId,
        (ticket, who): (&PushTicket, &Claimant),
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
        let carriage = Carriage::new("push", self.receiving(), who, entered.live.received.clone(), self.moving(app));
        let end = pump(&mut running, &mut pipes, io, limits, carriage).await;
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
            // Killed by the kernel, it has neither said why nor cleaned up.
            if matches!(code, Ok(n) if n == KILLED) {
                say_fallen("push", io).await;
                self.sweep(&entered.live.app).await;
            }
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
    pub async fn upload_pack(&self, app: &AppId, who: &Claimant, io: &mut Io) -> Result<i32> {
        self.ensure(app).await?;
        // Protocol 2 is not offered: there, who knows an id may fetch it whether or not a visible ref reaches it, and
        // refs/hoist keeps commits of refused deploys. Partial clones need that, so they are not offered either
        // (allowFilter is off): the client then makes a whole clone.
        let walls = self.walls().with_memory(WHOLE_MEMORY);
        let program = self.git(&self.path(app)).args(["upload-pack", "--strict"]).arg(self.path(app)).within(&walls);
        let mut running = proc::start(&program)?;
        let mut pipes = running.pipes();
        let carriage = Carriage::new("fetch", self.fetching(), who, CancellationToken::new(), self.moving(app));
        let end = pump(&mut running, &mut pipes, io, &Limits::default(), carriage).await;
        if matches!(&end, End::Exit(Ok(n)) if *n == KILLED) {
            say_fallen("fetch", io).await;
        }
        close(running, end, io).await
    }
}

async fn say_fallen(what: &str, io: &Io) {
    for line in fell(what, Fall::Total, 0).lines() {
        io.note(domain::text::warning(&line)).await;
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
        End::Refused(no) => {
            let lines = no.lines().iter().map(|l| format!("{}\n", domain::text::warning(l))).collect::<String>();
            let _ = io.out.try_send(Chunk::Err(lines.into()));
            running.end(END_GRACE).await;
            return Ok(BUSY);
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
    carriage: Carriage<'_>,
) -> End {
    let activity = Activity::new();
    let Io { stdin: from, out: to, hangup, .. } = io;
    let Carriage { places, who, received, place, mut head, mut sideband, beside } = carriage;
    let feed = async {
        let Some(pipe) = stdin.as_mut() else { return Ok(()) };
        let (mut pace, mut has_place) = (None, false);
        loop {
            let bytes = match &pace {
                Some(pace) => paced(from, pace).await?,
                None => from.recv().await,
            };
            let Some(bytes) = bytes else { break };
            activity.mark();
            let at = head.as_mut().map_or(At::Pack, |head| head.see(&bytes));
            match at {
                At::List => {}
                At::TooMuch => return Err(too_many_refs()),
                At::Pack if has_place => {}
                At::Pack => {
                    let got = places.take(who, PLACE_MAX).await?;
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(got);
                    activity.mark();
                    has_place = true;
                    // Who fetches has little to say, and takes the time for it.
                    pace = head.as_ref().map(|_| Pace { since: Instant::now(), bytes: 0 });
                }
            }
            if let Some(pace) = &mut pace {
                pace.bytes += bytes.len() as u64;
            }
            if pipe.write_all(&bytes).await.is_err() {
                return Ok(()); // git has ended or closed its input; its exit code says how
            }
            activity.mark();
        }
        drop(stdin.take());
        Ok(())
    };
    let give_back = async {
        received.cancelled().await;
        drop(place.lock().unwrap_or_else(PoisonError::into_inner).take());
        std::future::pending::<()>().await;
    };
    let work = async {
        // A failed send means that nobody reads; the rest of the output would block git for ever.
        let out = carry_packets(stdout, to, &mut sideband, &received, &activity);
        let err = carry(stderr, to, Chunk::Err, &activity);
        let pumps = async { tokio::try_join!(out, err) };
        let (pumps, code) = tokio::join!(pumps_or_gone(pumps), running.wait());
        if pumps { End::Exit(code) } else { End::Gone }
    };
    let fed_work = async {
        tokio::pin!(work, feed);
        tokio::select! {
            end = &mut work => end,
            fed = &mut feed => match fed {
                Ok(()) => work.await,
                Err(no) => End::Refused(Box::new(no)),
            },
        }
    };
    tokio::select! {
        end = fed_work => end,
        () = give_back => End::Gone,
        () = hangup.cancelled() => End::Gone,
        () = to.closed() => End::Gone,
        () = activity.idle(&beside, limits.idle) => End::Limit("nothing moved on the connection for too long; it was closed"),
        () = overdue(limits.transfer, &received, &beside) => End::Limit("the transfer took longer than an hour; it was ended"),
    }
}

fn too_many_refs() -> Error {
    Refusal::new(Code::TooManyRefs, "This push names more than 10,000 refs").next("git push hoist main").into()
}

/// How fast a pack comes.
struct Pace {
    since: Instant,
    bytes: u64,
}

/// The next bytes of a pack, unless it comes too slowly for the place that it holds.
async fn paced(from: &mut mpsc::Receiver<Bytes>, pace: &Pace) -> Result<Option<Bytes>> {
    // The moment at which what has come is too little.
    let enough = Duration::from_secs(pace.bytes / PACE_BYTES_A_SECOND);
    let until = pace.since + PACE_AFTER.max(enough + PACE_AFTER / 2);
    match tokio::time::timeout_at(until, from.recv()).await {
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(Refusal::new(Code::TooSlow, "The pack came with less than 2 kB a second; the push was ended")
            .why("others wait for its place; nothing was changed")
            .next("push again over a faster connection")
            .into()),
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

/// [`carry`] of git's own packets, in which its last words are made plain until the pack is here.
async fn carry_packets(
    pipe: &mut Option<impl AsyncRead + Unpin>,
    to: &mpsc::Sender<Chunk>,
    sideband: &mut Sideband,
    received: &CancellationToken,
    activity: &Activity,
) -> Result<(), Gone> {
    let Some(pipe) = pipe else { return Ok(()) };
    let mut buf = BytesMut::new();
    loop {
        buf.reserve(CHUNK);
        let ended = matches!(pipe.read_buf(&mut buf).await, Ok(0) | Err(_));
        if received.is_cancelled() {
            sideband.pass();
        }
        let mut bytes = sideband.through(buf.split().freeze());
        if ended {
            bytes = [bytes, sideband.end()].concat().into();
        }
        if !bytes.is_empty() {
            to.send(Chunk::Out(bytes)).await.map_err(|_| Gone)?;
        }
        if ended {
            return Ok(());
        }
        activity.mark();
    }
}

/// Reads to the end for a program that would fail otherwise.
async fn discard(pipe: Option<impl AsyncRead + Unpin>) {
    if let Some(mut pipe) = pipe {
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
}

/// A pack that takes too long. The time that git-lfs took before it does not count.
async fn overdue(transfer: Duration, received: &CancellationToken, beside: &Moving) {
    let begun = Instant::now();
    let too_long = async {
        loop {
            let until = begun.max(beside.last()) + transfer;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    };
    tokio::select! {
        () = too_long => {}
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
    async fn idle(&self, beside: &Moving, max: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let quiet = self.start.elapsed().saturating_sub(last).min(beside.last().elapsed());
            match max.checked_sub(quiet).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}
