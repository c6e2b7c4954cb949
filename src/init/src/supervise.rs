//! The one loop: signals, output, ends. One thread, which waits for nothing but events and the disk.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, pipe2};

use crate::child::{self, Command, End, Stdio};
use crate::lines::{Piece, Splitter};
use crate::sessions::{Launch, Sessions};
use crate::spool::{Files, Spool};

/// How long the output of an ended program is waited for, where something it started still holds the pipe.
const DRAIN_MAX: Duration = Duration::from_secs(1);
const READ_MAX: usize = 256 * 1024;
/// How long an attached program waits for its session.
const FIRST_MAX: Duration = Duration::from_secs(60);
/// The exit status if none came: init's own failure, as in `main`.
const NOBODY_CAME: i32 = 125;
/// Not the 1 MiB that the kernel allows: it counts all pipes of a user without capabilities together (64 MiB), and past
/// that gives new ones two pages. This leaves room for 128 instances, and took 100,000 lines a second in tests.
const PIPE_SIZE: libc::c_int = 256 * 1024;

const FORWARDED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// How one run ended.
pub enum Outcome {
    Ended(End),
    NotStarted(i32, String),
    /// A signal asked for the end of all steps.
    Cancelled(Signal),
}

/// What a program is run as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instance's own program: signals are passed on, its end is ours.
    Main,
    /// One of several: a session of its own, ended with all that it left behind; a signal cancels.
    Step,
}

/// Reads the output of what runs into the spool.
pub struct Output {
    spool: Spool<Files>,
    streams: [Stream; 2],
    writers: Option<[OwnedFd; 2]>,
    buffer: Vec<u8>,
}

struct Stream {
    pipe: File,
    open: bool,
    splitter: Splitter,
    letter: u8,
}

pub struct Supervisor {
    signals: SignalFd,
    output: Option<Output>,
    sessions: Option<Sessions>,
}

impl Supervisor {
    /// From here on no signal is lost: those that come before the program runs wait.
    pub fn new(output: Option<Output>, sessions: Option<Sessions>) -> Result<Self, Errno> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        for signal in FORWARDED {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Supervisor { signals, output, sessions })
    }

    /// A line of init's own.
    pub fn note(&mut self, text: &str) {
        if let Some(output) = &mut self.output {
            output.note(text);
        }
    }

    /// Starts a program and stays with it until it has ended and its output is read.
    pub fn run(&mut self, argv: &[OsString], env: &[(OsString, OsString)], role: Role) -> Outcome {
        let stdio = self.output.as_ref().and_then(Output::child_ends).map_or(Stdio::Inherit, Stdio::Output);
        let child = match child::start(&Command { argv, env, session: role == Role::Step, stdio }) {
            Ok(child) => child,
            Err((code, why)) => return Outcome::NotStarted(code, why),
        };
        if let (Some(output), Role::Main) = (&mut self.output, role) {
            // Nobody else starts here, so the end of the program's own ends shows.
            output.writers = None;
        }
        let mut ended = None;
        let mut cancelled = None;
        let mut until: Option<Instant> = None;
        loop {
            let timeout = match role {
                Role::Main => until.map(|it| it.saturating_duration_since(Instant::now())),
                // We hold the writing ends ourselves, so an empty pipe is the end of a step's output.
                Role::Step => until.map(|_| Duration::ZERO),
            };
            let ready = self.wait(timeout);
            if ready.signals {
                let (child_ended, asked) = self.take_signals(Some(child), ended.is_none(), role);
                ended = ended.or(child_ended);
                cancelled = cancelled.or(asked);
            }
            self.turn_sessions(&ready, &Launch { env, argv: None });
            let quiet = match &mut self.output {
                Some(output) => !output.read(ready.streams),
                None => true,
            };
            let Some(end) = ended else { continue };
            let just_ended = until.is_none();
            if just_ended {
                until = Some(Instant::now() + DRAIN_MAX);
                if role == Role::Step {
                    child::kill_session(child);
                }
            }
            let drained = match role {
                Role::Main => self.output.as_ref().is_none_or(|it| it.streams.iter().all(|stream| !stream.open)),
                // What was written before the end is in the pipe by now: read once more at least.
                Role::Step => quiet && !just_ended,
            };
            if drained || until.is_some_and(|it| it <= Instant::now()) {
                if let Some(output) = &mut self.output {
                    output.finish();
                }
                return cancelled.map_or(Outcome::Ended(end), Outcome::Cancelled);
            }
        }
    }

    /// Waits for the first session, starts the program as its own, and stays until that is over.
    pub fn run_attached(&mut self, argv: &[OsString], env: &[(OsString, OsString)]) -> i32 {
        let began = Instant::now();
        loop {
            let ready = self.wait(Some(Duration::from_secs(1)));
            if ready.signals
                && let (_, Some(signal)) = self.take_signals(None, false, Role::Main)
            {
                match &self.sessions {
                    Some(sessions) if sessions.has_begun() => sessions.signal(signal),
                    Some(_) | None => return 128 + signal as i32,
                }
            }
            self.turn_sessions(&ready, &Launch { env, argv: Some(argv) });
            let Some(sessions) = &self.sessions else { return NOBODY_CAME };
            if let Some(code) = sessions.finished() {
                return code;
            }
            if !sessions.has_begun() && began.elapsed() > FIRST_MAX {
                return NOBODY_CAME;
            }
        }
    }

    fn turn_sessions(&mut self, ready: &Ready, launch: &Launch<'_>) {
        if let Some(sessions) = &mut self.sessions {
            sessions.turn(&ready.closed, launch);
        }
    }

    /// Waits for signals, output and sessions. Without a timeout for as long as it takes.
    fn wait(&self, timeout: Option<Duration>) -> Ready {
        let theirs = self.sessions.as_ref().and_then(Sessions::deadline);
        let due = self.output.as_ref().and_then(Output::due);
        let until = theirs.into_iter().chain(due).min().map(|it| it.saturating_duration_since(Instant::now()));
        let timeout = timeout.into_iter().chain(until).min();
        let timeout = timeout.map_or(PollTimeout::NONE, |it| {
            // Rounded up: a deadline that is a part of a millisecond away is not to be waited for in circles.
            PollTimeout::try_from((it.as_micros().div_ceil(1_000)).min(1_000)).unwrap_or(PollTimeout::ZERO)
        });
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let streams = self.output.iter().flat_map(|it| &it.streams).filter(|it| it.open);
        fds.extend(streams.map(|it| PollFd::new(it.pipe.as_fd(), PollFlags::POLLIN)));
        let own = fds.len();
        if let Some(sessions) = &self.sessions {
            fds.extend(sessions.interests());
        }
        match poll(&mut fds, timeout) {
            // Whom it concerns is found out by reading: all of it is non-blocking.
            Ok(_) => {
                let (own, theirs) = fds.split_at(own);
                let mut ready = own.iter().map(|fd| fd.any() == Some(true));
                let signals = ready.next() == Some(true);
                let closed = self.sessions.as_ref().map(|it| it.closed(theirs)).unwrap_or_default();
                Ready { signals, streams: ready.any(|it| it), closed }
            }
            Err(_) => Ready { signals: true, streams: true, closed: Vec::new() },
        }
    }

    /// How the child ended, if it did, and a signal that asks for the end of all steps, or of what a session runs.
    fn take_signals(&mut self, child: Option<Pid>, alive: bool, role: Role) -> (Option<End>, Option<Signal>) {
        let (mut ended, mut cancelled) = (None, None);
        while let Ok(Some(info)) = self.signals.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
            // The terminal's own signals (ctrl-c) went to the whole foreground group already.
            let from_terminal = info.ssi_code > 0;
            match (signal, role, child) {
                (Signal::SIGCHLD, _, _) => ended = ended.or(self.reap(child)),
                (_, Role::Main, Some(child)) if alive && ended.is_none() && !from_terminal => {
                    let _ended_meanwhile = signal::kill(child, signal);
                }
                (_, Role::Main, None) if !from_terminal => cancelled = Some(signal),
                (Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT, Role::Step, Some(child)) => {
                    cancelled = Some(signal);
                    child::kill_session(child);
                }
                (_, Role::Main | Role::Step, _) => {}
            }
        }
        (ended, cancelled)
    }

    fn reap(&mut self, child: Option<Pid>) -> Option<End> {
        let mut ours: Vec<Pid> = child.into_iter().collect();
        ours.extend(self.sessions.iter().flat_map(Sessions::leaders));
        let ends = child::reap(&ours);
        if let Some(sessions) = &mut self.sessions {
            sessions.ended(&ends);
        }
        ends.into_iter().find(|(pid, _)| Some(*pid) == child).map(|(_, end)| end)
    }
}

struct Ready {
    signals: bool,
    streams: bool,
    closed: Vec<bool>,
}

impl Output {
    /// Makes the pipes. Before the drop of rights: the kernel counts their memory per user, and what the app's user may
    /// have is the app's.
    pub fn new(spool: Spool<Files>) -> io::Result<Self> {
        let ((out, out_writer), (err, err_writer)) = (make_pipe()?, make_pipe()?);
        let stream = |pipe: OwnedFd, letter| Stream {
            pipe: File::from(pipe),
            open: true,
            splitter: Splitter::default(),
            letter,
        };
        Ok(Output {
            spool,
            streams: [stream(out, b'o'), stream(err, b'e')],
            writers: Some([out_writer, err_writer]),
            buffer: vec![0; READ_MAX],
        })
    }

    fn child_ends(&self) -> Option<[i32; 2]> {
        self.writers.as_ref().map(|[out, err]| [out.as_raw_fd(), err.as_raw_fd()])
    }

    fn note(&mut self, text: &str) {
        self.spool.set_time(micros());
        self.spool.record(b's', text.replace('\n', " ").as_bytes());
        self.spool.flush();
    }

    /// Reads each stream once; says whether anything came.
    fn read(&mut self, ready: bool) -> bool {
        let mut came = false;
        let now = Instant::now();
        for stream in self.streams.iter_mut().filter(|it| ready && it.open) {
            match stream.pipe.read(&mut self.buffer) {
                Ok(0) => stream.open = false,
                Ok(length) => {
                    came = true;
                    self.spool.set_time(micros());
                    let (letter, spool) = (stream.letter, &mut self.spool);
                    let data = self.buffer.get(..length).unwrap_or_default();
                    stream.splitter.push(data, now, |piece, text| spool.record(cased(letter, piece), text));
                }
                Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => stream.open = false,
            }
        }
        let shown = self.show(now);
        if came || shown {
            self.spool.flush();
        }
        came
    }

    /// When the state of a line that is drawn anew is to be shown.
    fn due(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|it| it.splitter.due()).min()
    }

    fn show(&mut self, now: Instant) -> bool {
        let mut shown = false;
        for stream in self.streams.iter_mut().filter(|it| it.splitter.due().is_some_and(|due| due <= now)) {
            self.spool.set_time(micros());
            let (letter, spool) = (stream.letter, &mut self.spool);
            stream.splitter.show(now, |piece, text| spool.record(cased(letter, piece), text));
            shown = true;
        }
        shown
    }

    /// The end: last lines without a newline are lines too.
    fn finish(&mut self) {
        self.spool.set_time(micros());
        for stream in &mut self.streams {
            let (letter, spool) = (stream.letter, &mut self.spool);
            stream.splitter.finish(|piece, text| spool.record(cased(letter, piece), text));
        }
        self.spool.flush();
    }
}

fn cased(letter: u8, piece: Piece) -> u8 {
    match piece {
        Piece::Line => letter,
        Piece::Part => letter.to_ascii_uppercase(),
    }
}

/// A pipe whose reading end never blocks us. The size is a wish: the kernel may refuse it.
fn make_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let _stays_smaller = fcntl(&reader, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
    Ok((reader, writer))
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}
