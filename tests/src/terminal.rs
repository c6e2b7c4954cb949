//! A person at a terminal: a pseudo-terminal that a program runs on, typed at and looked at.

use crate::programs::program;
use crate::wait::try_for;
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

/// A program on a terminal. Dropped, it is killed.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    child: Child,
    seen: Arc<Mutex<String>>,
    read: usize,
}

impl Terminal {
    /// Starts it with all its streams on a new terminal.
    #[track_caller]
    pub fn open(mut command: Command, rows: u16, columns: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = || Stdio::from(File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap());
        tcsetwinsize(&master, size(rows, columns)).unwrap();
        command.env("TERM", "xterm-256color");
        let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap();
        drop(command);
        let master = File::from(master);
        let (mut from, seen) = (master.try_clone().unwrap(), Arc::new(Mutex::new(String::new())));
        let to = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Terminal { master, child, seen, read: 0 }
    }

    /// Types keys.
    pub fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows this, after what was waited for before.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let found = try_for(DEADLINE, || self.seen.lock().unwrap()[self.read..].contains(text));
        let seen = self.seen.lock().unwrap();
        assert!(found, "no {text:?} on the screen; after what was seen: {:?}", &seen[self.read..]);
        self.read += seen[self.read..].find(text).unwrap() + text.len();
    }

    /// Everything so far.
    pub fn screen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// The person changes the window's size.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).unwrap();
        let _ = program("kill").args(["-WINCH", &self.child.id().to_string()]).status();
    }

    /// The program is killed, as by a crash of the person's machine.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end; the exit code.
    #[track_caller]
    pub fn end(mut self) -> i32 {
        let ended = try_for(DEADLINE, || self.child.try_wait().unwrap().is_some());
        assert!(ended, "the program at the terminal has not ended: {:?}", self.screen());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
