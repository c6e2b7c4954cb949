//! One connection: authentication, channels, and the end; the one loop that handles its events.

use super::adapter::{Adapter, EVENTS_MAX, Event};
use super::channel::{self, Command, INPUT_MAX, Input};
use super::flow::Flow;
use super::guard::Pass;
use super::keys;
use super::wire::{Fate, Wire};
use super::{Doorway, Gone, SessionEnv};
use domain::access::Principal;
use russh::keys::{Algorithm, PublicKey};
use russh::server::Msg;
use russh::{Channel, ChannelId, ChannelWriteHalf};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use system::io::{Size, Terminal};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long russh may take to end after its transport is cut.
const CUT_MAX: Duration = Duration::from_secs(5);
/// How long a client may take to go by itself when we end the connection.
const FAREWELL_MAX: Duration = Duration::from_millis(250);
/// Longest name of a terminal's kind.
const TERM_MAX: usize = 64;
/// How long commands may take to end whose key was removed.
const REVOKED_MAX: Duration = Duration::from_millis(500);

/// Carries one connection from accept to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    pass: Pass,
    door: Arc<Doorway>,
    stop: CancellationToken,
) {
    let grace = Instant::now() + door.limits.grace;
    let fate = Fate::default();
    let flow = Arc::new(Flow::default());
    let (events_tx, events) = mpsc::channel(EVENTS_MAX);
    let _ = stream.set_nodelay(true);
    let wire = Wire::new(stream, fate.clone());
    let adapter = Adapter { events: events_tx, flow };
    let config = door.config.borrow().clone();
    let started = tokio::select! {
        () = stop.cancelled() => return,
        started = tokio::time::timeout_at(grace, russh::server::run_stream(config, wire, adapter)) => started,
    };
    let Ok(Ok(running)) = started else { return };
    let handle = running.handle();
    let (finished, ended) = mpsc::channel(door.limits.channels_max.max(1));
    let session = Session {
        door,
        peer,
        pass,
        fate: fate.clone(),
        deaf: CancellationToken::new(),
        who: None,
        stranger: None,
        full: None,
        channels: HashMap::new(),
        finished,
        revoked: Box::pin(std::future::pending()),
    };
    let (end, cut_short, full) = session.run(events, ended, grace, stop).await;
    let mut running = std::pin::pin!(running);
    if let Some(why) = end.why(full) {
        fate.leave();
        // A client whose last command has just ended goes by itself once it has the exit code: a disconnect now would
        // overtake that. One whose command still runs has no code to come, and wants to know why.
        if !cut_short && tokio::time::timeout(FAREWELL_MAX, &mut running).await.is_ok() {
            return;
        }
        let bye = handle.disconnect(russh::Disconnect::ByApplication, why, String::new());
        let _ = tokio::time::timeout(Duration::from_secs(1), bye).await;
        if tokio::time::timeout(Duration::from_secs(1), &mut running).await.is_ok() {
            return;
        }
    }
    fate.cut();
    if let Ok(Err(err)) = tokio::time::timeout(CUT_MAX, running).await {
        tracing::debug!(%peer, %err, "ssh connection");
    }
}

struct Session {
    door: Arc<Doorway>,
    peer: SocketAddr,
    pass: Pass,
    fate: Fate,
    /// Fired when nobody can receive output any more.
    deaf: CancellationToken,
    who: Option<Principal>,
    /// The first key that was offered and that nobody has.
    stranger: Option<String>,
    /// Why there is no place for this session, though its key is known.
    full: Option<String>,
    channels: HashMap<ChannelId, Open>,
    finished: mpsc::Sender<ChannelId>,
    /// Ends when the key is nobody's any more.
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client went away, or never logged in.
    Client,
    /// The server stops.
    Stop,
    /// The key was removed.
    Revoked,
    /// There are too many of them.
    Full,
}

impl End {
    /// What the client is told.
    fn why(self, full: Option<String>) -> Option<String> {
        match self {
            End::Client => None,
            End::Stop => Some("the server is stopping".to_owned()),
            End::Revoked => Some("the key of this connection was removed".to_owned()),
            End::Full => full,
        }
    }
}

/// A channel that is open.
struct Open {
    env: SessionEnv,
    terminal: Option<(Terminal, watch::Sender<Size>)>,
    stage: Stage,
}

enum Stage {
    /// Nothing runs yet.
    Waiting(ChannelWriteHalf<Msg>),
    /// A command runs.
    Running { input: mpsc::Sender<Input>, hangup: CancellationToken, deaf: CancellationToken },
}

impl Session {
    /// Why it ended, whether it was cut short, and what is said of a session too many.
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut ended: mpsc::Receiver<ChannelId>,
        grace: Instant,
        stop: CancellationToken,
    ) -> (End, bool, Option<String>) {
        let mut deadline = grace;
        let mut end = End::Client;
        while end == End::Client || self.running() > 0 {
            let stopping = end != End::Client;
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        self.handle(event, stopping).await;
                        if self.full.is_some() {
                            end = End::Full;
                            break;
                        }
                    }
                    None => break,
                },
                Some(id) = ended.recv() => drop(self.channels.remove(&id)),
                () = self.fate.ended() => break,
                () = stop.cancelled(), if !stopping => {
                    end = End::Stop;
                    deadline = Instant::now() + self.door.limits.stop_grace;
                }
                () = &mut self.revoked, if !stopping => {
                    // Whatever runs is asked to end; the command that removed the key may still say so.
                    self.channels.values().for_each(Open::hang_up);
                    end = End::Revoked;
                    deadline = Instant::now() + REVOKED_MAX;
                }
                () = tokio::time::sleep_until(deadline), if stopping || self.who.is_none() => break,
            }
        }
        let gone = self.fate.gone();
        if let (Some(who), false) = (&self.who, end != End::Client) {
            tracing::debug!(peer = %self.peer, who = domain::access::actor(who), ?gone, "ssh session over");
        }
        if gone == Some(Gone::Closed) {
            for open in self.channels.values() {
                open.hang_up();
            }
        }
        self.deaf.cancel();
        // One too many has nothing that could end by itself.
        (end, self.running() > 0 || end == End::Full, self.full)
    }

    fn running(&self) -> usize {
        self.channels.values().filter(|open| matches!(open.stage, Stage::Running { .. })).count()
    }

    async fn handle(&mut self, event: Event, stopping: bool) {
        match event {
            Event::Key { key, algorithm, proven, reply } => {
                let known = self.key(&key, &algorithm, proven).await;
                let _ = reply.send(known);
            }
            Event::NoKeyLeft(reply) => {
                let text = self.stranger.as_ref().map(|fingerprint| self.door.shell.stranger(fingerprint));
                let _ = reply.send(text);
            }
            Event::Open(channel, reply) => {
                let _ = reply.send(!stopping && self.open(channel));
            }
            Event::Env(id, name, value, reply) => {
                let _ = reply.send(self.env(id, &name, &value));
            }
            Event::Pty(id, term, size, reply) => {
                // A name of a terminal's kind, not a way to say something else in an environment.
                let good =
                    term.len() <= TERM_MAX && term.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
                let term = if good && !term.is_empty() { term } else { "dumb".to_owned() };
                let known = self.channels.get_mut(&id).map(|open| open.terminal = Some(Terminal::new(term, size)));
                let _ = reply.send(known.is_some());
            }
            Event::Resize(id, size) => {
                if let Some((_, sizes)) = self.channels.get(&id).and_then(|open| open.terminal.as_ref()) {
                    sizes.send_replace(size);
                }
            }
            Event::Run(id, line, reply) => self.start(id, line, reply),
            Event::Data(id, bytes, charge) => self.input(id, Input::Data(bytes, charge)).await,
            Event::Eof(id) => self.input(id, Input::Eof).await,
            Event::Close(id) => match self.channels.get(&id).map(|open| &open.stage) {
                Some(Stage::Waiting(_)) => drop(self.channels.remove(&id)),
                Some(Stage::Running { hangup, deaf, .. }) => {
                    hangup.cancel();
                    deaf.cancel();
                }
                None => {}
            },
            Event::Interrupt(id) => {
                if let Some(open) = self.channels.get(&id) {
                    open.hang_up();
                }
            }
        }
    }

    /// Whether a key may log in. The name that the client gave plays no part; the key alone says who it is.
    async fn key(&mut self, key: &PublicKey, algorithm: &Algorithm, proven: bool) -> bool {
        if !keys::signs_well(algorithm) || keys::acceptable(key).is_err() {
            return false;
        }
        let Some((text, fingerprint)) = keys::identity(key) else { return false };
        let who = self.door.shell.identify(&text, &fingerprint).await;
        if who.is_none() {
            tracing::info!(peer = %self.peer, %fingerprint, "unknown ssh key");
            self.stranger.get_or_insert(fingerprint);
            return false;
        }
        if proven {
            if let Some(who) = who.clone() {
                let claimant = self.door.shell.claimant(&who).await;
                if let Err(no) = self.pass.authenticated(&claimant) {
                    self.full = Some(no.lines().join("; "));
                    return true;
                }
                let shell = self.door.shell.clone();
                self.revoked = Box::pin(async move { shell.revoked(&who).await });
            }
            if let Some(who) = &who {
                tracing::Span::current().record("who", domain::access::actor(who));
            }
            self.who = who;
        }
        true
    }

    fn open(&mut self, channel: Channel<Msg>) -> bool {
        if self.who.is_none() || self.channels.len() >= self.door.limits.channels_max {
            return false;
        }
        // Input comes as events; without its reading half russh keeps none of it back.
        let (_reading, writer) = channel.split();
        let id = writer.id();
        let env = SessionEnv { peer: Some(self.peer), ..SessionEnv::default() };
        self.channels.insert(id, Open { env, terminal: None, stage: Stage::Waiting(writer) });
        true
    }

    fn env(&mut self, id: ChannelId, name: &str, value: &str) -> bool {
        match self.channels.get_mut(&id) {
            Some(open) => name == "GIT_PROTOCOL" && open.env.wish(value),
            None => false,
        }
    }

    fn start(&mut self, id: ChannelId, line: Option<Vec<u8>>, reply: oneshot::Sender<bool>) {
        let (Some(who), Some(open)) = (self.who.clone(), self.channels.get_mut(&id)) else {
            let _ = reply.send(false);
            return;
        };
        let (input, input_rx) = mpsc::channel(INPUT_MAX);
        let hangup = CancellationToken::new();
        let deaf = self.deaf.child_token();
        let running = Stage::Running { input, hangup: hangup.clone(), deaf: deaf.clone() };
        let writer = match std::mem::replace(&mut open.stage, running) {
            Stage::Waiting(writer) => writer,
            // A channel runs one command (RFC 4254 6.5).
            already @ Stage::Running { .. } => {
                open.stage = already;
                let _ = reply.send(false);
                return;
            }
        };
        let command = Command {
            shell: self.door.shell.clone(),
            who,
            line: String::from_utf8(line.unwrap_or_default()).ok(),
            env: open.env.clone(),
            terminal: open.terminal.as_ref().map(|(terminal, _)| terminal.clone()),
            writer,
            input: input_rx,
            hangup,
            deaf,
        };
        let _ = reply.send(true);
        let finished = self.finished.clone();
        self.door.tasks.spawn("ssh command", move |_stop| async move {
            channel::run(command).await;
            let _ = finished.send(id).await;
        });
    }

    async fn input(&mut self, id: ChannelId, input: Input) {
        if let Some(Open { stage: Stage::Running { input: to, .. }, .. }) = self.channels.get(&id) {
            let _ = to.send(input).await;
        }
    }
}

impl Open {
    fn hang_up(&self) {
        match &self.stage {
            Stage::Waiting(_) => {}
            Stage::Running { hangup, .. } => hangup.cancel(),
        }
    }
}
