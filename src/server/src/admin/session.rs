//! What sshd runs: the lookup of a key as root, and a login's forced command as the shared user.
//!
//! Blocking, few threads, no runtime, like the client that they share their protocol with.

use super::client::{BROKEN, Streams, UNAVAILABLE, converse, finish};
use super::{Hello, Session, socket_path};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// sshd does not wait for longer than a login may take; a hung server must not hold it up.
const LOOKUP_MAX: Duration = Duration::from_secs(10);

/// `hoist --data DIR ssh-keys FINGERPRINT`: prints the key's line for sshd; nothing if nobody has the key.
pub fn authorized_keys(data: &Path, fingerprint: &str) -> u8 {
    let program = std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned();
    let mut stderr = std::io::stderr();
    let connected = UnixStream::connect(socket_path(data))
        .and_then(|stream| stream.set_read_timeout(Some(LOOKUP_MAX)).map(|()| stream));
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(err) => {
            let _ = writeln!(stderr, "hoist: cannot ask the server on {}: {err}", data.display());
            return UNAVAILABLE;
        }
    };
    let hello = Hello::Key { fingerprint: fingerprint.to_owned(), program };
    let mut stdout = std::io::stdout();
    let mut streams = Streams {
        stdin: Box::new(std::io::empty()),
        stdout: &mut stdout,
        stderr: &mut stderr,
        tty: false,
        typed: false,
    };
    finish(converse(&mut stream, &hello, &mut streams), streams.stderr)
}

/// `hoist ssh-session SOCKET TICKET`: carries the login that sshd has let in to the server.
pub fn run_session(socket: &Path, ticket: &str) -> u8 {
    // Other processes of the shared user may not look into this one.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let line = match std::env::var("SSH_ORIGINAL_COMMAND") {
        Ok(line) => line,
        Err(std::env::VarError::NotPresent) => String::new(),
        Err(std::env::VarError::NotUnicode(_)) => {
            let _ = writeln!(stderr, "the command is not valid UTF-8");
            return 1;
        }
    };
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(_) => {
            let _ = writeln!(
                stderr,
                "Hoist is not running on this server; running apps keep being served\nnext: ask its administrator"
            );
            return UNAVAILABLE;
        }
    };
    if let Ok(watched) = stream.try_clone() {
        // The thread may be left waiting when the command has ended; the process ends then.
        let _ = std::thread::Builder::new().name("hangup".to_owned()).spawn(move || end_with_client(&watched));
    }
    let tty = stdout.is_terminal();
    let request = domain::words::words(&line).and_then(|words| verbs::parse(&words));
    let hello = Session {
        ticket: ticket.to_owned(),
        git_protocol: std::env::var("GIT_PROTOCOL").ok(),
        peer: std::env::var("SSH_CONNECTION").ok().and_then(|text| peer(&text)),
        stdin: request.is_ok_and(|request| request.reads_stdin()),
        tty,
        line,
    };
    let mut streams =
        Streams { stdin: Box::new(std::io::stdin()), stdout: &mut stdout, stderr: &mut stderr, tty, typed: false };
    match converse(&mut stream, &hello, &mut streams) {
        // The connection was cut by the server: it stops, or the key was removed.
        Ok(None) => BROKEN,
        ended => finish(ended, streams.stderr),
    }
}

/// Waits until nobody is left who could read our output, and ends the conversation then: sshd says in no other way that a
/// client went away while the command neither reads nor writes.
fn end_with_client(stream: &UnixStream) {
    let stdout = std::io::stdout();
    loop {
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let gone = match poll(&mut fds, None) {
            Ok(_) => fds.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR)),
            Err(rustix::io::Errno::INTR) => false,
            Err(_) => return,
        };
        if gone {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// The client's address in sshd's `SSH_CONNECTION`: address, port, and ours.
fn peer(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    Some(SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(peer("192.0.2.1 5022 192.0.2.2 22").unwrap().to_string(), "192.0.2.1:5022");
        assert_eq!(peer("2001:db8::1 5022 ::1 22").unwrap().to_string(), "[2001:db8::1]:5022");
        assert_eq!((peer(""), peer("x y z"), peer("192.0.2.1")), (None, None, None));
    }
}
