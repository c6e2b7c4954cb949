//! Starting, reaping and ending processes. Nothing of the spool is known here.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{AccessFlags, Pid, access, getpid};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(Signal),
    /// By a signal that has no name.
    KilledSomehow,
}

impl End {
    /// What a shell would say.
    pub fn code(self) -> i32 {
        match self {
            End::Exited(code) => code,
            End::Killed(signal) => 128 + signal as i32,
            End::KilledSomehow => 255,
        }
    }

    pub fn text(self) -> String {
        match self {
            End::Exited(code) => format!("Process exited with status {code}"),
            End::Killed(signal) => format!("Process killed by signal {}", signal.as_str().trim_start_matches("SIG")),
            End::KilledSomehow => "Process killed by a real-time signal".into(),
        }
    }
}

/// What to start.
pub struct Command<'a> {
    pub argv: &'a [OsString],
    pub env: &'a [(OsString, OsString)],
    /// A session of its own, so that all of it can be ended.
    pub session: bool,
    pub stdio: Stdio<'a>,
}

/// Where a program's standard streams lead.
pub enum Stdio<'a> {
    /// Where init's lead.
    Inherit,
    /// These become stdout and stderr.
    Output([RawFd; 2]),
    /// These become all three.
    Pipes([RawFd; 3]),
    /// A terminal becomes all three, and the controlling one: the session's leader opens it first.
    Terminal(&'a Path),
}

/// Why nothing runs: the exit status that shells use for it, and the words.
pub type NotStarted = (i32, String);

/// Starts a program with no signal blocked or ignored, whatever init does with its own.
pub fn start(command: &Command<'_>) -> Result<Pid, NotStarted> {
    let program = command.argv.first().cloned().unwrap_or_default();
    let name = program.to_string_lossy().into_owned();
    let path = command.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
    let file = find(&program, path).ok_or_else(|| (127, format!("cannot start {name}: not found")))?;
    let failed = |err: Errno| match err {
        Errno::ENOENT => (127, format!("cannot start {name}: it, or the interpreter it names, does not exist")),
        Errno::ENOEXEC => (126, format!("cannot start {name}: not a program for this machine, and no #! line")),
        err => (126, format!("cannot start {name}: {}", err.desc())),
    };

    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    if command.session {
        flags |= PosixSpawnFlags::from_bits_retain(libc::POSIX_SPAWN_SETSID as libc::c_int);
    }
    let mut attributes = PosixSpawnAttr::init().map_err(failed)?;
    attributes.set_flags(flags).map_err(failed)?;
    attributes.set_sigmask(&SigSet::empty()).map_err(failed)?;
    attributes.set_sigdefault(&SigSet::all()).map_err(failed)?;
    let mut files = PosixSpawnFileActions::init().map_err(failed)?;
    match command.stdio {
        Stdio::Inherit => {}
        Stdio::Output([stdout, stderr]) => {
            files.add_dup2(stdout, libc::STDOUT_FILENO).map_err(failed)?;
            files.add_dup2(stderr, libc::STDERR_FILENO).map_err(failed)?;
        }
        Stdio::Pipes(ends) => {
            for (end, becomes) in ends.into_iter().zip([libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO]) {
                files.add_dup2(end, becomes).map_err(failed)?;
            }
        }
        Stdio::Terminal(path) => {
            files.add_open(libc::STDIN_FILENO, path, OFlag::O_RDWR, Mode::empty()).map_err(failed)?;
            files.add_dup2(libc::STDIN_FILENO, libc::STDOUT_FILENO).map_err(failed)?;
            files.add_dup2(libc::STDIN_FILENO, libc::STDERR_FILENO).map_err(failed)?;
        }
    }
    let argv = command.argv.iter().map(|word| c_string(word)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let env = command.env.iter().map(|(key, value)| {
        let mut pair = key.clone();
        pair.push("=");
        pair.push(value);
        c_string(&pair)
    });
    let env = env.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    posix_spawn(file.as_path(), &files, &attributes, &argv, &env).map_err(failed)
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

/// As a shell finds it, in the `PATH` that the program will have itself.
pub fn find(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let path = path.unwrap_or(OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    let runnable = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    let folders = path.as_bytes().split(|byte| *byte == b':').map(|it| OsString::from_vec(it.to_vec()));
    folders.map(|folder| Path::new(&folder).join(program)).find(runnable).filter(|_| !program.is_empty())
}

/// Reaps everything that has ended, and says how those of `ours` did that were among them.
pub fn reap(ours: &[Pid]) -> Vec<(Pid, End)> {
    let mut ended = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if ours.contains(&pid) => ended.push((pid, End::Exited(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) if ours.contains(&pid) => ended.push((pid, End::Killed(signal))),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(_of_an_orphan) => {}
            // A real-time signal has no name here, so there is no word of whose end this was.
            Err(Errno::EINVAL) => {
                for pid in ours {
                    if signal::kill(*pid, None).is_err() && !ended.iter().any(|(known, _)| known == pid) {
                        ended.push((*pid, End::KilledSomehow));
                    }
                }
            }
            Err(_) => return ended,
        }
    }
}

/// Ends whatever the session's leader has left behind, or the leader too: everything but init where init is PID 1.
pub fn kill_session(leader: Pid) {
    if getpid().as_raw() == 1 {
        let _nothing_left = signal::kill(Pid::from_raw(-1), Signal::SIGKILL);
        return;
    }
    kill_members(leader);
}

/// Ends all processes of one session and nothing else.
pub fn kill_members(leader: Pid) {
    // Somebody may fork while we look: look again, but not for ever.
    for _round in 0..10 {
        let members = session_members(leader);
        if members.is_empty() {
            return;
        }
        for member in members {
            let _gone_meanwhile = signal::kill(member, Signal::SIGKILL);
        }
    }
}

fn session_members(leader: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return vec![leader] };
    let member = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything: state, parent, process group, session.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let alive = fields.next().is_some_and(|state| state != "Z");
        let session: i32 = fields.nth(2)?.parse().ok()?;
        (alive && session == leader.as_raw()).then_some(Pid::from_raw(pid))
    };
    processes.flatten().filter_map(|entry| member(entry.file_name().to_str()?.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_their_own_path() {
        assert_eq!(find(OsStr::new("sh"), Some(OsStr::new("/nowhere:/bin"))), Some("/bin/sh".into()));
        assert_eq!(find(OsStr::new("sh"), Some(OsStr::new("/nowhere"))), None);
        assert_eq!(find(OsStr::new(""), None), None);
        assert_eq!(find(OsStr::new("./x"), None), Some("./x".into()));
    }

    #[test]
    fn ends_in_words() {
        assert_eq!(End::Killed(Signal::SIGTERM).text(), "Process killed by signal TERM");
        assert_eq!(End::Killed(Signal::SIGKILL).code(), 137);
        assert_eq!(End::Exited(3).text(), "Process exited with status 3");
    }
}
