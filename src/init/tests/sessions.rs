//! Sessions of the real binary, over its socket, as root and without Docker.

#![allow(clippy::disallowed_methods, reason = "tests run the binary")]
// Clippy's leave for tests covers test functions, not what they share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const END_MAX: Duration = Duration::from_secs(20);

struct Instance {
    folder: TempDir,
    child: Child,
}

impl Instance {
    fn start(options: &[&str], program: &[&str]) -> Instance {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist-init"));
        command.args(["--user", "1000:1000", "--cwd", "/"]).args(options).arg(folder.path());
        let child = command.arg("--").args(program).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Instance { folder, child }
    }

    fn attached(program: &[&str]) -> Instance {
        Instance::start(&["--attached"], program)
    }

    fn connect(&self) -> UnixStream {
        let (path, end) = (self.folder.path().join("sock"), Instant::now() + END_MAX);
        loop {
            match UnixStream::connect(&path) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(END_MAX)).unwrap();
                    return stream;
                }
                Err(err) => assert!(Instant::now() < end, "{err}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts a session; no words mean the instance's own program, or a shell.
    fn session(&self, argv: &[&str], terminal: &str) -> UnixStream {
        let mut stream = self.connect();
        let words: Vec<String> = argv.iter().map(|word| format!("{word:?}")).collect();
        send(&mut stream, b'S', format!(r#"{{"argv":[{}],"terminal":{terminal}}}"#, words.join(",")).as_bytes());
        stream
    }

    fn end(mut self) -> i32 {
        let end = Instant::now() + END_MAX;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(Instant::now() < end, "init has not ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Not SIGKILL: init is not PID 1 here, and what it started would stay.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn send(to: &mut UnixStream, tag: u8, bytes: &[u8]) {
    to.write_all(&u32::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
    to.write_all(&[tag]).unwrap();
    to.write_all(bytes).unwrap();
}

fn receive(from: &mut UnixStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    match from.read_exact(&mut head) {
        Err(err) if err.kind() == ErrorKind::UnexpectedEof => return None,
        other => other.unwrap(),
    }
    let mut bytes = vec![0; u32::from_be_bytes(head[..4].try_into().unwrap()) as usize];
    from.read_exact(&mut bytes).unwrap();
    Some((head[4], bytes))
}

/// Everything to the end: output, errors, what was noted, the exit status.
fn all(from: &mut UnixStream) -> (String, String, String, Option<u8>) {
    let (mut out, mut err, mut note, mut code) = (Vec::new(), Vec::new(), Vec::new(), None);
    while let Some((tag, bytes)) = receive(from) {
        match tag {
            b'o' => out.extend(bytes),
            b'r' => err.extend(bytes),
            b'n' => note.extend(bytes),
            _ => code = Some(bytes[0]),
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(out), text(err), text(note), code)
}

/// Reads until the output holds this.
fn until(from: &mut UnixStream, want: &str) {
    let mut seen = String::new();
    while !seen.contains(want) {
        let (_, bytes) = receive(from).unwrap_or_else(|| panic!("the end, and no {want:?} in {seen:?}"));
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
}

fn alive(mark: &str) -> bool {
    let words = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let is_it = |entry| String::from_utf8_lossy(&words(entry)).contains(mark);
    std::fs::read_dir("/proc").unwrap().flatten().any(is_it)
}

const TERMINAL: &str = r#"{"term":"xterm-test","rows":33,"columns":101}"#;

#[test]
fn streams_and_exit_status() {
    let init = Instance::attached(&["sh", "-c", "id -u; cat; echo bad >&2; exit 7"]);
    let mut session = init.session(&[], "null");
    let mode = std::fs::metadata(init.folder.path().join("sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    send(&mut session, b'i', b"hello\0");
    send(&mut session, b'e', b"");
    assert_eq!(all(&mut session), ("1000\nhello\0".into(), "bad\n".into(), String::new(), Some(7)));
    assert_eq!(init.end(), 7);
}

#[test]
fn many_bytes_in_and_out_through_a_slow_program() {
    let init = Instance::attached(&["sh", "-c", "sleep 0.3; cat"]);
    let mut session = init.session(&[], "null");
    let mut writer = session.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        for n in 0..400_u32 {
            send(&mut writer, b'i', &vec![n as u8; 50_000]);
        }
        send(&mut writer, b'e', b"");
    });
    let mut count = 0;
    while let Some((tag, bytes)) = receive(&mut session) {
        if tag == b'o' {
            for byte in bytes {
                assert_eq!(u32::from(byte), (count / 50_000) & 0xff);
                count += 1;
            }
        }
    }
    writing.join().unwrap();
    assert_eq!(count, 400 * 50_000);
}

#[test]
fn a_terminal_has_a_size_and_its_keys_are_signals() {
    let init = Instance::attached(&["bash", "--norc", "-i"]);
    let mut session = init.session(&[], TERMINAL);
    send(&mut session, b'i', b"echo $TERM; stty size; tty\n");
    until(&mut session, "xterm-test\r\n33 101\r\n/dev/pts/");
    send(&mut session, b'z', &[0, 50, 0, 90]);
    send(&mut session, b'i', b"stty size; sleep 1000; echo is $?\n");
    until(&mut session, "50 90\r\n");
    let start = Instant::now();
    while !alive("sleep\x001000") {
        assert!(start.elapsed() < END_MAX, "sleep never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&mut session, b'i', b"\x03");
    // bash ends the whole line at Ctrl-C; the shell goes on.
    send(&mut session, b'i', b"echo was $?\n");
    until(&mut session, "was 130");
    // Another session beside it is nothing but itself.
    let mut other = init.session(&["sh", "-c", "exit 3"], "null");
    assert_eq!(all(&mut other).3, Some(3));
    send(&mut session, b'i', b"exit 9\n");
    assert_eq!(all(&mut session).3, Some(9));
    assert_eq!(init.end(), 9);
}

#[test]
fn a_client_that_is_gone_ends_its_program() {
    let init = Instance::attached(&["sh", "-c", "echo up; sleep 1001"]);
    let mut session = init.session(&[], "null");
    until(&mut session, "up\n");
    drop(session);
    assert_eq!(init.end(), 128 + 1);
    // One that hears nothing is killed after its grace, and what it started with it.
    let init = Instance::attached(&["bash", "-c", "trap '' HUP TERM; echo up; while :; do sleep 1002; done"]);
    let mut session = init.session(&[], TERMINAL);
    until(&mut session, "up\r\n");
    drop(session);
    assert_eq!(init.end(), 137);
    assert!(!alive("sleep\x001001"));
}

#[test]
fn sessions_beside_a_program() {
    let mut init = Instance::start(&["--io"], &["sleep", "1003"]);
    let mut shell = init.session(&[], TERMINAL);
    let mut absent = init.session(&["no-such-program"], "null");
    let (_, _, note, code) = all(&mut absent);
    assert_eq!((note.as_str(), code), ("cannot start no-such-program: not found", Some(127)));
    send(&mut shell, b'i', b"exec echo bye\n");
    until(&mut shell, "bye\r\n");
    assert_eq!(all(&mut shell).3, Some(0));
    assert!(init.child.try_wait().unwrap().is_none(), "the program itself goes on");
    // Nonsense ends its own session and nothing else.
    let mut nonsense = init.connect();
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(all(&mut nonsense).3, Some(125));
    assert_eq!(all(&mut init.session(&["true"], "null")).3, Some(0));
}
