//! External programs: an argument list, a clean environment, a folder, a deadline, and an end of the whole process group.
//!
//! Invariant: nothing of our own environment reaches a program, no shell interprets anything, and no process of its
//! group outlives the value that started it. Absent: any way to pass a command line as one string.

use crate::fault::{Act, Error, Fault, Missing, Result};
use crate::restrictions::Walls;
use domain::programs;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Where programs are looked for; ours may have a PATH of somebody's taste.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output may still flow after the program itself has ended.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long marked processes are looked for, and how often.
const MARKED_MAX: Duration = Duration::from_secs(5);
const MARKED_LOOK: Duration = Duration::from_millis(10);

/// A program to run: what, with which words, where.
#[derive(Debug, Clone)]
pub struct Program {
    name: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    within: Option<Walls>,
}

impl Program {
    /// A program by name (looked up in a fixed PATH) or absolute path, run in `cwd`.
    pub fn new(name: impl AsRef<OsStr>, cwd: &Path) -> Program {
        let base = [("PATH", PATH), ("HOME", "/nonexistent"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")];
        Program {
            name: name.as_ref().to_owned(),
            args: Vec::new(),
            env: base.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect(),
            cwd: cwd.to_owned(),
            within: None,
        }
    }
    /// Adds one argument, exactly as it is.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.args.push(arg.as_ref().to_owned());
        self
    }
    /// Adds arguments in order.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Program {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }
    /// Sets one variable; the environment is otherwise PATH, HOME and the locale.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }
    /// Why it could not be started.
    fn not_started(&self, err: std::io::Error) -> std::io::Error {
        let listed = self.name.to_str().and_then(programs::find);
        not_started(err, listed.filter(|one| !is_installed(one.name)))
    }
    /// Runs it, and whatever it starts, within these walls.
    #[must_use]
    pub fn within(mut self, walls: &Walls) -> Program {
        self.within = Some(walls.clone());
        self
    }
    /// What is started: the program, or what puts up its walls and becomes it.
    fn words(&self) -> (OsString, Vec<OsString>) {
        match &self.within {
            None => (self.name.clone(), self.args.clone()),
            Some(walls) => {
                let before = walls.words().map(OsString::from);
                let words = before.into_iter().chain([self.name.clone()]).chain(self.args.iter().cloned());
                (walls.bin.clone().into_os_string(), words.collect())
            }
        }
    }
    /// The program and its first argument, for messages: `git update-ref`.
    fn label(&self) -> String {
        let mut label = Path::new(&self.name).file_name().unwrap_or(&self.name).to_string_lossy().into_owned();
        if let Some(first) = self.args.first() {
            label.push(' ');
            label.push_str(&first.to_string_lossy());
        }
        label
    }
}

/// "No such file" may be said of the folder, too: only a program that is missing blames its package.
fn not_started(err: std::io::Error, missing: Option<programs::Program>) -> std::io::Error {
    match missing {
        Some(one) if err.kind() == ErrorKind::NotFound => std::io::Error::new(err.kind(), Missing(one)),
        Some(_) | None => err,
    }
}

/// Whether a program is where programs are looked for.
pub fn is_installed(name: &str) -> bool {
    PATH.split(':').any(|folder| Path::new(folder).join(name).exists())
}

/// What a run may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the program has to be done; then its group is killed.
    pub deadline: Duration,
    /// Bytes kept of each output; the rest is read and dropped.
    pub output_max: usize,
}

impl Limits {
    /// A short call: the given seconds, 1 MiB of output.
    pub fn seconds(seconds: u64) -> Limits {
        Limits { deadline: Duration::from_secs(seconds), output_max: 1 << 20 }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// The exit code; 128 and the signal's number where a signal ended it.
    pub code: i32,
    /// Standard output, cut at the limit.
    pub stdout: Vec<u8>,
    /// Standard error, cut at the limit.
    pub stderr: Vec<u8>,
}

impl Done {
    /// Standard output as text, without the last newline.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }
    /// A fault that carries the program's own words, unless it succeeded.
    pub fn success(self, act: impl Into<String>) -> Result<Done, Fault> {
        if self.code == 0 {
            return Ok(self);
        }
        let said = String::from_utf8_lossy(&self.stderr);
        let said: String = said.trim().chars().take(2000).collect();
        Err(Fault::new(act, format!("exit code {}: {said}", self.code)))
    }
}

/// Runs a program to its end with `input` on standard input. A failing exit code is a result, not an error.
pub async fn run(program: &Program, input: &[u8], limits: Limits) -> Result<Done> {
    let mut running = start(program)?;
    let (stdin, stdout, stderr) = running.pipes();
    let talk = async {
        let feed = async {
            if let Some(mut pipe) = stdin {
                // A program may end without reading its input; its exit code says whether that was right.
                let _ = pipe.write_all(input).await;
            }
        };
        let (_, out, err) =
            tokio::join!(feed, read_capped(stdout, limits.output_max), read_capped(stderr, limits.output_max));
        (out, err, running.wait().await)
    };
    let Ok((stdout, stderr, code)) = tokio::time::timeout(limits.deadline, talk).await else {
        let late = Fault::plain(format!("{} took longer than {} s", program.label(), limits.deadline.as_secs()));
        return Err(late.transient().into());
    };
    Ok(Done { code: code?, stdout, stderr })
}

/// Starts a program with three pipes in a process group of its own, which ends at the latest when the value is dropped.
pub fn start(program: &Program) -> Result<Running> {
    // What puts up walls is there; what it becomes may not be.
    if program.within.is_some() && program.name.to_str().is_some_and(|name| !is_installed(name)) {
        let absent = program.not_started(std::io::ErrorKind::NotFound.into());
        return Err(Fault::new(format!("cannot start {}", program.label()), absent).into());
    }
    let (name, args) = program.words();
    #[allow(clippy::disallowed_methods, reason = "the one place that runs external programs")]
    let mut command = Command::new(name);
    command
        .args(args)
        .env_clear()
        .envs(program.env.iter().map(|(k, v)| (k, v)))
        .current_dir(&program.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let child =
        command.spawn().map_err(|err| program.not_started(err)).act(|| format!("cannot start {}", program.label()))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(Running { child, group, label: program.label() })
}

/// How deep a folder may be nested for us to go into it ourselves.
const SHALLOW: usize = 8;

/// Removes a file, or a folder with all that is in it, however deep: the standard library's removal recurses, and a step of
/// a build can nest folders deeper than a thread's stack. Links are not followed; absent is fine. Blocking.
pub fn remove_tree(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(about) if !about.is_dir() => return std::fs::remove_file(path),
        // Most are small, and gone before a program would have started.
        Ok(about) if is_removed_shallow(path, about.dev()) => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    let program = Program::new("rm", Path::new("/")).args(["-rf", "--one-file-system", "--"]).arg(path);
    #[allow(clippy::disallowed_methods, reason = "the one place that runs external programs")]
    let done = std::process::Command::new(&program.name)
        .args(&program.args)
        .env_clear()
        .envs(program.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&program.cwd)
        .stdin(Stdio::null())
        .output()
        .map_err(|err| program.not_started(err))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
    }
}

fn is_removed_shallow(path: &Path, device: u64) -> bool {
    let name = CString::new(path.as_os_str().as_bytes());
    name.is_ok_and(|name| remove_shallow(rustix::fs::CWD, &name, device, SHALLOW).is_ok())
}

/// Removes a folder that is nested no deeper than `deep`, on the file system `device`; what it cannot remove stays, for a
/// program that can. By open folders, not by paths: whoever still writes there cannot lead it elsewhere by a link.
fn remove_shallow(parent: BorrowedFd<'_>, name: &CStr, device: u64, deep: usize) -> rustix::io::Result<()> {
    use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, unlinkat};
    let folder = openat(parent, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if fstat(&folder)?.st_dev != device {
        return Err(Errno::XDEV);
    }
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match unlinkat(&folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) if deep > 0 => remove_shallow(folder.as_fd(), name, device, deep - 1)?,
            other => other?,
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Kills every process whose environment holds this variable, until there is none: what an earlier life of the server
/// started and cannot end any more, known by a mark that nobody else has. Blocking; says how many there were.
pub fn end_marked(name: &str, value: &str) -> usize {
    let mark = format!("{name}={value}").into_bytes();
    let (mut ended, mut quiet, until) = (BTreeSet::new(), 0, Instant::now() + MARKED_MAX);
    // One that is just becoming another program shows no environment, and one that was killed shows it for a moment more.
    while quiet < 2 && Instant::now() < until {
        let found = marked(&mark);
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        ended.extend(
            found
                .into_iter()
                .filter(|pid| Pid::from_raw(*pid).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())),
        );
        std::thread::sleep(MARKED_LOOK);
    }
    ended.len()
}

fn marked(mark: &[u8]) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    pids.filter(has).collect()
}

/// Standard input, output and error.
pub type Pipes = (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>);

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
    label: String,
}

impl Running {
    /// The three pipes, once.
    pub fn pipes(&mut self) -> Pipes {
        (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
    }
    /// Waits for its end and kills what is left of its group. May be dropped and called again.
    pub async fn wait(&mut self) -> Result<i32> {
        let status = self.child.wait().await.act(|| format!("cannot wait for {}", self.label))?;
        self.signal(Signal::KILL);
        self.group = None;
        Ok(exit_code(status))
    }
    /// Waits at most `grace` for its end; says whether it came.
    pub async fn ends_within(&mut self, grace: Duration) -> bool {
        tokio::time::timeout(grace, self.wait()).await.is_ok()
    }
    /// Asks the group to end (programs clean up at SIGTERM), waits at most `grace`, then kills it.
    pub async fn end(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        if !self.ends_within(grace).await {
            self.signal(Signal::KILL);
            self.ends_within(DRAIN_MAX).await;
        }
    }
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // ESRCH: everybody has ended already, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Standard output of a program as a blocking reader, for work on the blocking pool; the program ends with the reader.
pub fn reader(program: &Program) -> Result<impl Read + use<>> {
    use std::os::unix::process::CommandExt;
    let (name, args) = program.words();
    #[allow(clippy::disallowed_methods, reason = "the one place that runs external programs")]
    let mut child = std::process::Command::new(name)
        .args(args)
        .env_clear()
        .envs(program.env.iter().map(|(k, v)| (k, v)))
        .current_dir(&program.cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|err| program.not_started(err))
        .act(|| format!("cannot start {}", program.label()))?;
    let stdout = child.stdout.take().ok_or_else(|| Error::from(Fault::plain("a pipe is missing")))?;
    Ok(ReadOutput { child, stdout })
}

struct ReadOutput {
    child: std::process::Child,
    stdout: std::process::ChildStdout,
}

impl Read for ReadOutput {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.stdout.read(buf)?;
        if n == 0 && !buf.is_empty() && !self.child.wait()?.success() {
            return Err(std::io::Error::other("the program failed"));
        }
        Ok(n)
    }
}

impl Drop for ReadOutput {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, keeping the first `max` bytes.
async fn read_capped(pipe: Option<impl AsyncRead + Unpin>, max: usize) -> Vec<u8> {
    let (mut kept, mut buf) = (Vec::new(), vec![0; 16 * 1024]);
    let Some(mut pipe) = pipe else { return kept };
    while let Ok(n) = pipe.read(&mut buf).await {
        let room = max.saturating_sub(kept.len());
        match buf.get(..n) {
            Some(bytes) if n > 0 => kept.extend(bytes.iter().take(room)),
            _ => break,
        }
    }
    kept
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::refusal::Code;

    fn sh(script: &str) -> Program {
        Program::new("sh", Path::new("/")).arg("-c").arg(script)
    }

    #[tokio::test]
    async fn environment_is_ours_alone_and_arguments_are_literal() {
        let program = Program::new("env", Path::new("/")).env("A", "b c");
        let done = run(&program, b"", Limits::seconds(10)).await.unwrap();
        let mut names: Vec<String> = done.text().lines().map(|l| l.split('=').next().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["A", "HOME", "LANG", "LC_ALL", "PATH"]);
        let echo = Program::new("printf", Path::new("/")).args(["%s", "$(id); `id`"]);
        assert_eq!(run(&echo, b"", Limits::seconds(10)).await.unwrap().text(), "$(id); `id`");
    }

    #[tokio::test]
    async fn input_output_and_codes() {
        let done = run(&sh("cat; echo no >&2; exit 3"), b"hello", Limits::seconds(10)).await.unwrap();
        assert_eq!((done.code, done.text().as_str(), done.stderr.as_slice()), (3, "hello", &b"no\n"[..]));
        assert_eq!(done.success("cannot do it").unwrap_err().chain(), "cannot do it: exit code 3: no");
        let long =
            run(&sh("yes | head -c 3000000"), b"", Limits { output_max: 10, ..Limits::seconds(10) }).await.unwrap();
        assert_eq!(long.stdout.len(), 10);
        assert!(run(&Program::new("no-such-program", Path::new("/")), b"", Limits::seconds(1)).await.is_err());
    }

    #[tokio::test]
    async fn a_program_that_is_missing_says_which_package_brings_it() {
        let error = |missing| Fault::new("cannot start git gc", not_started(ErrorKind::NotFound.into(), missing));
        let missing = Error::from(error(programs::find("git")));
        assert_eq!(missing.lines(), programs::find("git").unwrap().missing().lines());
        assert_eq!(missing.refusal().code, Code::ProgramMissing);
        assert!(error(programs::find("git")).chain().ends_with("git is not installed: apt-get install git"));
        // Its folder is what is missing.
        let no = run(&Program::new("rm", Path::new("/nowhere")), b"", Limits::seconds(1)).await.unwrap_err();
        assert!(matches!(&no, Error::Fault(fault) if !fault.chain().contains("apt-get")), "{no}");
    }

    /// The group's members hold the pipe: it ends only when all of them have.
    #[tokio::test]
    async fn a_deadline_ends_the_whole_group() {
        let late = Limits { deadline: Duration::from_millis(50), output_max: 10 };
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        run(&Program::new("mkfifo", dir.path()).arg(&fifo), b"", Limits::seconds(5))
            .await
            .unwrap()
            .success("")
            .unwrap();
        let script = format!("exec 3<>'{0}'; (sleep 1000 & sleep 1000) & wait", fifo.display());
        let no = run(&sh(&script), b"", late).await.unwrap_err();
        assert!(no.to_string().contains("took longer"), "{no}");
        // Opening for writing without blocking fails with ENXIO only when no process of the group holds it any more.
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).is_ok() {
            assert!(std::time::Instant::now() < until, "the group still runs");
            tokio::task::yield_now().await;
        }
    }

    /// Deeper than a stack of a thread of ours, which is 1 MiB.
    #[test]
    fn a_folder_of_any_depth_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (top, other) = (dir.path().join("top"), dir.path().join("other"));
        std::fs::create_dir_all(&top).unwrap();
        std::fs::create_dir_all(other.join("kept")).unwrap();
        std::os::unix::fs::symlink(&other, top.join("link")).unwrap();
        let mut at = rustix::fs::open(&top, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        for _ in 0..5_000 {
            rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        }
        let remove = move || remove_tree(&top).map(|()| top.exists());
        let done = std::thread::Builder::new().stack_size(1 << 18).spawn(remove).unwrap().join().unwrap();
        assert!(!done.unwrap());
        assert!(other.join("kept").exists(), "a link is not followed");
        std::os::unix::fs::symlink(&other, dir.path().join("link")).unwrap();
        remove_tree(&dir.path().join("link")).unwrap();
        remove_tree(&dir.path().join("none")).unwrap();
        assert!(other.join("kept").exists() && !dir.path().join("link").exists());
    }

    #[test]
    fn a_small_folder_goes_without_a_program_and_a_link_in_it_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (top, other) = (dir.path().join("top"), dir.path().join("other"));
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::create_dir_all(other.join("kept")).unwrap();
        std::fs::write(top.join("a/file"), "").unwrap();
        std::os::unix::fs::symlink(&other, top.join("a/b/link")).unwrap();
        let device = top.metadata().unwrap().dev();
        assert!(!is_removed_shallow(&top, device + 1) && top.join("a/file").exists(), "another file system");
        assert!(is_removed_shallow(&top, device) && !top.exists());
        assert!(other.join("kept").exists());
        std::os::unix::fs::symlink(&other, &top).unwrap();
        assert!(!is_removed_shallow(&top, device) && other.join("kept").exists(), "the folder itself is a link");
    }

    #[tokio::test]
    async fn what_is_marked_is_ended_and_nothing_else() {
        let mark = format!("{}", std::process::id());
        let script = "sleep 1000 & echo up; exec sleep 1000";
        let mut running = start(&sh(script).env("HOIST_TEST_MARK", &mark)).unwrap();
        let mut other = start(&sh(script).env("HOIST_TEST_MARK", format!("{mark}0"))).unwrap();
        for one in [&mut running, &mut other] {
            let mut up = [0; 3];
            one.pipes().1.unwrap().read_exact(&mut up).await.unwrap();
        }
        assert_eq!(end_marked("HOIST_TEST_MARK", &mark), 2);
        assert_eq!(running.wait().await.unwrap(), 137);
        assert!(!other.ends_within(Duration::from_millis(1)).await);
        assert_eq!(end_marked("HOIST_TEST_MARK", &mark), 0);
    }

    /// The shell forks nothing and its standard error stays open: of a child that TERM ended first it would tell there, and
    /// die of it before its own trap where nobody reads.
    #[tokio::test]
    async fn end_lets_a_program_clean_up() {
        let mut running = start(&sh("trap 'echo bye; exit 3' TERM; echo up; while :; do :; done")).unwrap();
        let (_stdin, stdout, _stderr) = running.pipes();
        let mut out = tokio::io::BufReader::new(stdout.unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
        running.end(Duration::from_secs(60)).await;
        let mut rest = String::new();
        out.read_to_string(&mut rest).await.unwrap();
        assert_eq!((line.as_str(), rest.as_str()), ("up\n", "bye\n"));
    }
}
