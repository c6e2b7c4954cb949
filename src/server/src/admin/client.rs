//! `hoist --data DIR COMMAND…`: sends the words to the server, carries the three streams, returns the exit code.
//!
//! Blocking, two threads, no runtime. Standard input is read only if the command reads it (the table says) and when the
//! server asks: a command in a shell's loop does not eat the loop's input.

use super::{Hello, socket_path};

use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use system::frames::{self, Tag};

/// EX_UNAVAILABLE: no server.
pub(super) const UNAVAILABLE: u8 = 69;
/// EX_TEMPFAIL: the server ended before the command did.
pub(super) const BROKEN: u8 = 75;
/// EX_NOPERM: neither root nor the server's user.
const NOT_ALLOWED: u8 = 77;
/// 128 + SIGPIPE: nobody reads the output.
const NO_READER: u8 = 141;
/// Bytes of standard input in one piece.
const PIECE: usize = 64 * 1024;

/// The client's own streams.
pub(super) struct Streams<'a> {
    pub stdin: Box<dyn Read + Send>,
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
    pub tty: bool,
    /// Whether standard input is typed by a person.
    pub typed: bool,
}

/// Runs a command on the server of a data folder, with this process's streams; returns its exit code.
pub fn run_command(data: &Path, argv: &[String]) -> u8 {
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let streams = Streams {
        stdin: Box::new(std::io::stdin()),
        tty: stdout.is_terminal(),
        typed: std::io::stdin().is_terminal(),
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    run_with(data, argv, streams)
}

pub(super) fn run_with(data: &Path, argv: &[String], mut streams: Streams<'_>) -> u8 {
    let mut stream = match UnixStream::connect(socket_path(data)) {
        Ok(stream) => stream,
        Err(err) => return no_server(data, &err, streams.stderr),
    };
    let stdin = verbs::parse(argv).is_ok_and(|request| request.reads_stdin());
    if stdin && streams.typed {
        let _ = writeln!(streams.stderr, "reading standard input; end it with Ctrl-D");
    }
    let hello = Hello::Command { argv: argv.to_vec(), tty: streams.tty, stdin };
    finish(converse(&mut stream, &hello, &mut streams), streams.stderr)
}

/// The exit code of a conversation, and why if it broke.
pub(super) fn finish(ended: std::io::Result<Option<u8>>, stderr: &mut dyn Write) -> u8 {
    match ended {
        Ok(Some(code)) => code,
        Ok(None) => {
            let _ = writeln!(stderr, "the server ended before the command did; look at its log, and whether it runs");
            BROKEN
        }
        Err(err) if err.kind() == ErrorKind::BrokenPipe => NO_READER,
        Err(err) => {
            let _ = writeln!(stderr, "the connection to the server broke: {err}");
            BROKEN
        }
    }
}

fn no_server(data: &Path, err: &std::io::Error, stderr: &mut dyn Write) -> u8 {
    let dir = data.display();
    let (code, text) = match err.kind() {
        ErrorKind::PermissionDenied => (
            NOT_ALLOWED,
            format!("only root may use the server on {dir} this way\nnext: sudo hoist --data {dir} COMMAND"),
        ),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            (UNAVAILABLE, format!("the server is not running on {dir}; start it: hoist serve --data {dir}"))
        }
        _ => (UNAVAILABLE, format!("cannot reach the server on {dir}: {err}")),
    };
    let _ = writeln!(stderr, "{text}");
    code
}

/// The exit code; `None` if the server ended without one.
pub(super) fn converse(
    stream: &mut UnixStream,
    hello: &impl Serialize,
    streams: &mut Streams<'_>,
) -> std::io::Result<Option<u8>> {
    frames::write(stream, Tag::Hello, serde_json::to_string(hello)?.as_bytes())?;
    let mut to_server = stream.try_clone()?;
    let mut input = std::mem::replace(&mut streams.stdin, Box::new(std::io::empty()));
    let (want, wanted) = std::sync::mpsc::sync_channel::<()>(4);
    // The thread may be left reading a terminal when the command has ended; the process ends then.
    let _ = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut buf = vec![0; PIECE];
        while wanted.recv().is_ok() {
            let read = input.read(&mut buf).unwrap_or(0);
            let sent = match buf.get(..read) {
                Some(piece) if read > 0 => frames::write(&mut to_server, Tag::Stdin, piece),
                Some(_) | None => {
                    let _ = frames::write(&mut to_server, Tag::StdinEnd, &[]);
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    while let Some((tag, bytes)) = frames::read(stream)? {
        match tag {
            Tag::Out => show(streams.stdout, &bytes)?,
            Tag::Err => show(streams.stderr, &bytes)?,
            Tag::Want => {
                let _ = want.try_send(());
            }
            Tag::Exit => return Ok(bytes.first().copied()),
            Tag::Hello | Tag::Stdin | Tag::StdinEnd | Tag::Hook => return Err(ErrorKind::InvalidData.into()),
        }
    }
    Ok(None)
}

fn show(to: &mut dyn Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}
