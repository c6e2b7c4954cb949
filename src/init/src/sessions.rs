//! Sessions: programs that somebody outside runs in this instance (`run`, `enter`, `ps:exec`), each with a connection to a
//! socket that init made while it was root, in a folder that only root may enter: what runs in here reaches it as little
//! as init itself. Streams go over it, so neither Docker nor a log stands between a person and the program.
//!
//! Invariant: nothing waits. A side that takes nothing stops the other from being read (what is held is bounded), and a
//! connection that is gone ends its program: hangup, grace, SIGKILL. Absent: who may connect; the folder decides that.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, pipe2};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::child::{self, Command, End, NotStarted, Stdio};
use crate::wire::{self, Ask, Size, Start};

const SOCKET: &str = "sock";
/// At once in one instance.
const SESSIONS_MAX: usize = 16;
const READ_MAX: usize = 64 * 1024;
/// Output on its way to the server above which the program has to wait.
const OUT_HIGH: usize = 256 * 1024;
/// From the hangup to SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// How long output of an ended program is waited for where something that it started still holds it.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// What Ctrl-D sends.
const END_OF_INPUT: u8 = 4;
const TOO_MANY: i32 = 125;

/// What every program here is started with.
pub struct Launch<'a> {
    pub env: &'a [(OsString, OsString)],
    /// The program of the first session, where init was told one.
    pub argv: Option<&'a [OsString]>,
}

pub struct Sessions {
    listener: UnixListener,
    open: Vec<Session>,
    /// Whether the first program was started.
    begun: bool,
    /// How it ended, once its session is over.
    finished: Option<i32>,
}

struct Session {
    wire: UnixStream,
    /// Whether this is the session that the instance is there for.
    first: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    program: Option<Program>,
    /// The exit status is in the outbox or beyond.
    over: Option<i32>,
    gone: Option<Instant>,
}

struct Program {
    leader: Pid,
    input: Option<File>,
    pending: Vec<u8>,
    input_ended: bool,
    outputs: Vec<(File, u8)>,
    terminal: Option<File>,
    end: Option<(End, Instant)>,
    killed: bool,
}

impl Sessions {
    /// Makes the socket. To be called while init is root.
    pub fn listen(folder: &Path) -> io::Result<Sessions> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(err),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Sessions { listener, open: Vec::new(), begun: false, finished: None })
    }

    /// Descriptors to wait for. The listener's is the first, then one connection's for each session.
    pub fn interests(&self) -> Vec<PollFd<'_>> {
        let mut fds = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.open.iter().map(|it| PollFd::new(it.wire.as_fd(), it.wire_interest())));
        for session in &self.open {
            session.program_interests(&mut fds);
        }
        fds
    }

    /// Which of the connections among the polled descriptors have been closed by the other side.
    pub fn closed(&self, polled: &[PollFd<'_>]) -> Vec<bool> {
        let ended = PollFlags::POLLHUP | PollFlags::POLLERR;
        let wires = polled.iter().skip(1).take(self.open.len());
        wires.map(|fd| fd.revents().is_some_and(|it| it.intersects(ended))).collect()
    }

    pub fn leaders(&self) -> Vec<Pid> {
        self.open.iter().filter_map(|it| it.program.as_ref()).map(|it| it.leader).collect()
    }

    /// Until when to wait at most.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.iter().filter_map(Session::deadline).min()
    }

    /// How the first session ended, if it is over.
    pub fn finished(&self) -> Option<i32> {
        self.finished
    }

    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Passes a signal on to every program.
    pub fn signal(&self, what: Signal) {
        for program in self.open.iter().filter_map(|it| it.program.as_ref()).filter(|it| it.end.is_none()) {
            let _ended_meanwhile = signal::kill(program.leader, what);
            if program.terminal.is_some() && what == Signal::SIGTERM {
                // Shells at a terminal ignore SIGTERM.
                let _ended_meanwhile = signal::kill(program.leader, Signal::SIGHUP);
            }
        }
    }

    pub fn ended(&mut self, ends: &[(Pid, End)]) {
        for program in self.open.iter_mut().filter_map(|it| it.program.as_mut()) {
            if let Some((_, end)) = ends.iter().find(|(pid, _)| *pid == program.leader) {
                program.end = Some((*end, Instant::now()));
            }
        }
    }

    /// Does what can be done without waiting. `closed` as [`Sessions::closed`] gave it.
    pub fn turn(&mut self, closed: &[bool], launch: &Launch<'_>) {
        for (session, closed) in self.open.iter_mut().zip(closed) {
            if *closed {
                session.hang_up();
            }
        }
        while let Ok((wire, _)) = self.listener.accept() {
            self.open.push(Session::new(wire));
        }
        let many = self.open.len() > SESSIONS_MAX;
        for session in &mut self.open {
            let theirs = Launch { env: launch.env, argv: launch.argv.filter(|_| !self.begun) };
            session.turn(&theirs, many);
            self.begun |= session.first;
        }
        let finished = &mut self.finished;
        self.open.retain(|session| {
            let keep = !session.is_done();
            if !keep && session.first {
                *finished = session.over.or(session.code()).or(Some(TOO_MANY));
            }
            keep
        });
    }
}

impl Session {
    fn new(wire: UnixStream) -> Session {
        let gone = wire.set_nonblocking(true).err().map(|_| Instant::now());
        Session { wire, first: false, inbox: Vec::new(), outbox: Vec::new(), program: None, over: None, gone }
    }

    fn wire_interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, self.wants_asks());
        flags.set(PollFlags::POLLOUT, !self.outbox.is_empty());
        flags
    }

    fn wants_asks(&self) -> bool {
        self.gone.is_none() && self.over.is_none() && self.program.as_ref().is_none_or(|it| it.pending.is_empty())
    }

    fn program_interests<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let Some(program) = &self.program else { return };
        if let Some(input) = program.input.as_ref().filter(|_| !program.pending.is_empty()) {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
        }
        if self.outbox.len() < OUT_HIGH {
            fds.extend(program.outputs.iter().map(|(it, _)| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let program = self.program.as_ref()?;
        match (self.gone, program.end) {
            (Some(_), Some(_)) => None,
            (Some(gone), None) => (!program.killed).then(|| gone + GRACE),
            (None, Some((_, at))) => self.over.is_none().then(|| at + DRAIN_MAX),
            (None, None) => None,
        }
    }

    fn code(&self) -> Option<i32> {
        self.program.as_ref()?.end.map(|(end, _)| end.code())
    }

    fn is_done(&self) -> bool {
        match (&self.program, self.gone) {
            (Some(program), Some(_)) => program.end.is_some(),
            (None, Some(_)) => true,
            (_, None) => self.over.is_some() && self.outbox.is_empty(),
        }
    }

    fn turn(&mut self, launch: &Launch<'_>, many: bool) {
        if let Err(why) = self.take_asks(launch, many) {
            self.fail(TOO_MANY, why);
        }
        let mut buffer = [0; READ_MAX];
        if let Some(program) = &mut self.program {
            program.feed();
            program.drain(&mut self.outbox, &mut buffer);
            if let Some((end, at)) = program.end
                && self.over.is_none()
                && (program.outputs.is_empty() || at.elapsed() >= DRAIN_MAX)
            {
                self.over = Some(end.code());
                wire::put(&mut self.outbox, b'x', &[u8::try_from(end.code()).unwrap_or(u8::MAX)]);
            }
            if self.gone.is_some_and(|at| at.elapsed() >= GRACE) && !program.killed && program.end.is_none() {
                program.killed = true;
                child::kill_members(program.leader);
            }
        }
        self.send();
    }

    fn take_asks(&mut self, launch: &Launch<'_>, many: bool) -> Result<(), &'static str> {
        let mut buffer = [0; READ_MAX];
        loop {
            while self.wants_asks() {
                let Some(ask) = wire::take(&mut self.inbox)? else { break };
                self.obey(ask, launch, many)?;
            }
            if !self.wants_asks() {
                return Ok(());
            }
            match self.wire.read(&mut buffer) {
                Ok(0) => self.hang_up(),
                Ok(length) => self.inbox.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => self.hang_up(),
            }
        }
    }

    fn obey(&mut self, ask: Ask, launch: &Launch<'_>, many: bool) -> Result<(), &'static str> {
        match (ask, &mut self.program) {
            (Ask::Start(_), None) if many => self.fail(TOO_MANY, "too many sessions in this instance"),
            (Ask::Start(start), None) => {
                self.first = launch.argv.is_some();
                match Program::start(&start, launch) {
                    Ok(program) => self.program = Some(program),
                    Err((code, why)) => self.fail(code, &why),
                }
            }
            (Ask::Input(bytes), Some(program)) => program.pending = bytes,
            (Ask::InputEnd, Some(program)) => program.end_input(),
            (Ask::Resize(size), Some(program)) => program.resize(size),
            (Ask::Start(_), Some(_)) | (Ask::Input(_) | Ask::InputEnd | Ask::Resize(_), None) => {
                return Err("frames in a wrong order");
            }
        }
        Ok(())
    }

    fn fail(&mut self, code: i32, why: &str) {
        if self.over.is_none() && self.program.is_none() {
            wire::put(&mut self.outbox, b'n', why.as_bytes());
            wire::put(&mut self.outbox, b'x', &[u8::try_from(code).unwrap_or(u8::MAX)]);
            self.over = Some(code);
        } else {
            self.hang_up();
        }
    }

    fn send(&mut self) {
        while !self.outbox.is_empty() && self.gone.is_none() {
            match self.wire.write(&self.outbox) {
                Ok(sent) => drop(self.outbox.drain(..sent)),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.hang_up(),
            }
        }
    }

    /// The client is gone: a terminal hangs up as it closes; everybody hears it as a signal.
    fn hang_up(&mut self) {
        if self.gone.is_some() {
            return;
        }
        self.gone = Some(Instant::now());
        self.outbox.clear();
        if let Some(program) = &mut self.program {
            program.input = None;
            program.pending.clear();
            program.outputs.clear();
            program.terminal = None;
            if program.end.is_none() {
                for what in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGCONT] {
                    let _ended_meanwhile = signal::killpg(program.leader, what);
                }
            }
        }
    }
}

impl Program {
    fn start(start: &Start, launch: &Launch<'_>) -> Result<Program, NotStarted> {
        let cannot = |err: io::Error| (126, format!("cannot make the streams: {err}"));
        let mut env = launch.env.to_vec();
        let asked: Vec<OsString> = start.argv.iter().map(OsString::from).collect();
        let argv = match (launch.argv, asked.is_empty()) {
            (Some(argv), _) => argv.to_vec(),
            (None, false) => asked,
            (None, true) => vec![shell(&env)],
        };
        match &start.terminal {
            None => Program::with_pipes(&argv, &env, cannot),
            Some((term, size)) => {
                env.retain(|(key, _)| key != "TERM");
                env.push(("TERM".into(), term.into()));
                let (master, slave) = open_terminal(*size).map_err(cannot)?;
                let stdio = Stdio::Terminal(&slave);
                let leader = child::start(&Command { argv: &argv, env: &env, session: true, stdio })?;
                let clone = || master.try_clone().map_err(cannot);
                Ok(Program {
                    leader,
                    input: Some(clone()?),
                    pending: Vec::new(),
                    input_ended: false,
                    outputs: vec![(clone()?, b'o')],
                    terminal: Some(master),
                    end: None,
                    killed: false,
                })
            }
        }
    }

    fn with_pipes(
        argv: &[OsString],
        env: &[(OsString, OsString)],
        cannot: impl Fn(io::Error) -> NotStarted,
    ) -> Result<Program, NotStarted> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|err| cannot(err.into()));
        let ((stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr)) = (pipe()?, pipe()?, pipe()?);
        for end in [&to_stdin, &from_stdout, &from_stderr] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|err| cannot(err.into()))?;
        }
        let stdio = Stdio::Pipes([stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()]);
        let leader = child::start(&Command { argv, env, session: true, stdio })?;
        Ok(Program {
            leader,
            input: Some(File::from(to_stdin)),
            pending: Vec::new(),
            input_ended: false,
            outputs: vec![(File::from(from_stdout), b'o'), (File::from(from_stderr), b'r')],
            terminal: None,
            end: None,
            killed: false,
        })
    }

    fn end_input(&mut self) {
        self.input_ended = true;
        match self.terminal {
            // A terminal has no end; this is what a person types for one.
            Some(_) => self.pending.push(END_OF_INPUT),
            None => self.input = None,
        }
    }

    fn resize(&mut self, size: Size) {
        if let Some(terminal) = &self.terminal {
            let _stays_as_it_is = tcsetwinsize(terminal, window(size));
        }
    }

    /// Writes input as far as the program takes it; one that has closed its input gets no more.
    fn feed(&mut self) {
        while let Some(input) = self.input.as_mut().filter(|_| !self.pending.is_empty()) {
            match input.write(&self.pending) {
                Ok(taken) => drop(self.pending.drain(..taken)),
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.input = None,
            }
        }
        if self.input.is_none() {
            self.pending.clear();
        }
    }

    /// Reads each stream once, if there is room for it.
    fn drain(&mut self, outbox: &mut Vec<u8>, buffer: &mut [u8]) {
        self.outputs.retain_mut(|(output, tag)| {
            if outbox.len() >= OUT_HIGH {
                return true;
            }
            match output.read(buffer) {
                Ok(0) => false,
                Ok(length) => {
                    wire::put(outbox, *tag, buffer.get(..length).unwrap_or_default());
                    true
                }
                Err(err) => matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            }
        });
    }
}

/// A terminal of this instance; its program's end is a file of the app's user, as init is that user by now.
fn open_terminal(size: Size) -> io::Result<(File, PathBuf)> {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    unlockpt(&master)?;
    let slave = PathBuf::from(OsString::from_vec(ptsname(&master, Vec::new())?.into_bytes()));
    tcsetwinsize(&master, window(size))?;
    let mut modes = tcgetattr(&master)?;
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&master, OptionalActions::Now, &modes)?;
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(master), slave))
}

fn window(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The best shell that the image has.
fn shell(env: &[(OsString, OsString)]) -> OsString {
    let path = env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
    let found = ["bash", "sh"].into_iter().find(|name| child::find(OsStr::new(name), path).is_some());
    found.unwrap_or("/bin/sh").into()
}
