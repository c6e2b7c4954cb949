//! Runs the real binary, as root and without Docker: it is then not PID 1, but adopts orphans all the same.

#![allow(clippy::disallowed_methods, reason = "tests run the binary")]
// Clippy's leave for tests covers test functions, not what they share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

const INIT: &str = env!("CARGO_BIN_EXE_hoist-init");

/// One spool and the runs that wrote it.
struct Spool(TempDir);

impl Spool {
    fn new() -> Self {
        assert!(geteuid().is_root(), "these tests need root: hoist-init starts as root and becomes somebody else");
        Spool(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = Command::new(INIT);
        command.args(["--user", "1000:1000", "--cwd", "/", "--spool"]).arg(self.path()).args(options);
        if !program.is_empty() {
            command.arg("--").args(program);
        }
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, options: &[&str], program: &[&str]) -> Output {
        self.command(options, program).output().unwrap()
    }

    fn sh(&self, script: &str) -> i32 {
        code(&self.run(&[], &["sh", "-c", script]))
    }

    /// Runs steps given as the JSON of their list.
    fn steps(&self, steps: &str) -> Command {
        let file = self.path().join("steps.json");
        fs::write(&file, format!("{{\"steps\":[{steps}]}}")).unwrap();
        self.command(&["--steps", file.to_str().unwrap()], &[])
    }

    /// Segments in order: number, number of the first record, records as `STREAM TEXT`.
    fn segments(&self) -> Vec<(u64, u64, Vec<String>)> {
        let mut segments = Vec::new();
        for name in ["0", "1"] {
            // Not there yet: init has only just been started.
            let text = fs::read_to_string(self.path().join(name)).unwrap_or_default();
            let mut lines = text.lines();
            let Some(header) = lines.next() else { continue };
            let numbers = header.strip_prefix("hoist-spool 1 ").unwrap().split_once(' ').unwrap();
            let records = lines.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
            segments.push((numbers.0.parse().unwrap(), numbers.1.parse().unwrap(), records));
        }
        segments.sort();
        segments
    }

    fn records(&self) -> Vec<String> {
        self.segments().into_iter().flat_map(|(_, _, records)| records).collect()
    }

    /// Waits until the program has said something.
    fn wait_for(&self, record: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.records().iter().any(|it| it == record) {
            assert!(Instant::now() < end, "no record {record:?} within 10 s: {:?}", self.records());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Whether a process with `mark` in its command line exists.
fn alive(mark: &str) -> bool {
    let is_it = |entry: fs::DirEntry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(mark)
    };
    fs::read_dir("/proc").unwrap().flatten().any(is_it)
}

#[test]
fn exit_statuses() {
    let check = |program: &[&str], expected: i32, last: &str| {
        let spool = Spool::new();
        assert_eq!(code(&spool.run(&[], program)), expected, "{program:?}");
        assert_eq!(spool.records().last().unwrap(), last);
    };
    check(&["true"], 0, "s Process exited with status 0");
    check(&["sh", "-c", "exit 3"], 3, "s Process exited with status 3");
    check(&["sh", "-c", "kill -9 $$"], 137, "s Process killed by signal KILL");
    check(&["bash", "-c", "kill -RTMIN $$"], 255, "s Process killed by a real-time signal");
    check(&["no-such-program"], 127, "s Process exited with status 127");
    check(&["/etc/passwd"], 126, "s Process exited with status 126");
}

#[test]
fn failures_say_what_and_start_nothing() {
    let check = |options: &[&str], expected: i32, words: &str| {
        let output = Command::new(INIT).args(options).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code(&output), expected, "{stderr}");
        assert!(stderr.starts_with(&format!("hoist-init: {words}")), "{stderr}");
        assert!(output.stdout.is_empty());
    };
    check(&["--", "echo", "x"], 64, "--user is missing");
    check(&["--user", "nobody-here", "--", "echo"], 125, "no user \"nobody-here\" in the image's /etc/passwd");
    check(
        &["--user", "1000", "--spool", "/no/such", "--", "echo"],
        125,
        "cannot open the spool /no/such: No such file",
    );
    check(&["--user", "1000", "--cwd", "/no/such", "--", "echo"], 125, "cannot enter /no/such: No such file");
    check(&["--user", "1000", "--cwd", "/root", "--", "echo"], 125, "cannot enter /root: Permission denied");
    check(&["--user", "1000", "--", "no-such"], 127, "cannot start no-such: not found");
}

#[test]
fn without_a_spool_the_output_is_inherited() {
    let output =
        Command::new(INIT).args(["--user", "1000", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]).output();
    let output = output.unwrap();
    assert_eq!((code(&output), output.stdout.as_slice(), output.stderr.as_slice()), (4, &b"out\n"[..], &b"err\n"[..]));
}

#[test]
fn signals_reach_the_program() {
    for (signal_sent, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGUSR2, "USR2"),
        (Signal::SIGWINCH, "WINCH"),
    ] {
        let spool = Spool::new();
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.01; done");
        let mut init = spool.command(&[], &["sh", "-c", &script]).spawn().unwrap();
        spool.wait_for("o ready");
        signal(&init, signal_sent);
        assert_eq!(init.wait().unwrap().code(), Some(7));
        assert!(spool.records().contains(&format!("o got {name}")));
    }
    let spool = Spool::new();
    let mut init = spool.command(&[], &["sh", "-c", "echo ready; exec sleep 60"]).spawn().unwrap();
    spool.wait_for("o ready");
    signal(&init, Signal::SIGTERM);
    assert_eq!(init.wait().unwrap().code(), Some(143));
    assert_eq!(spool.records(), ["o ready", "s Process killed by signal TERM"]);
}

#[test]
fn nothing_is_blocked_or_ignored_in_the_program() {
    let spool = Spool::new();
    spool.sh("grep -E 'SigBlk|SigIgn' /proc/self/status");
    for record in &spool.records()[..2] {
        let (name, bits) = record.split_once('\t').unwrap();
        // Signals 32 and 33 belong to the C library, whose posix_spawn sets them to ignored.
        assert_eq!(u64::from_str_radix(bits, 16).unwrap() & !0x1_8000_0000, 0, "{name}");
    }
}

#[test]
fn all_lines_of_both_streams_arrive_in_order() {
    let spool = Spool::new();
    let began = Instant::now();
    // 200 bytes each.
    assert_eq!(spool.sh("seq -f '%0200.0f' 1 100000 & seq -f '%0200.0f' 1 100000 >&2; wait"), 0);
    println!("200,000 lines of 200 bytes in {:?}", began.elapsed());
    let records = spool.records();
    for stream in ["o ", "e "] {
        let lines = records.iter().filter_map(|it| it.strip_prefix(stream));
        let numbers: Vec<u64> = lines.map(|it| it.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(1..=100_000), "{stream}");
    }
}

#[test]
fn lines_are_cut_ended_and_kept_raw() {
    let spool = Spool::new();
    spool.sh("head -c 25000 /dev/zero | tr '\\0' x; echo; printf 'a\\r\\n\\n\\tb'; printf 'no newline' >&2");
    let x = |n: usize| "x".repeat(n);
    let records = spool.records();
    let stdout: Vec<_> = records.iter().filter(|it| !it.starts_with(['e', 's'])).collect();
    assert_eq!(
        stdout,
        [&format!("O {}", x(10_000)), &format!("O {}", x(10_000)), &format!("o {}", x(5_000)), "o a", "o ", "o \tb"]
    );
    assert!(records.contains(&"e no newline".to_owned()));
}

#[test]
fn the_ring_keeps_the_newest_lines_and_their_numbers() {
    let spool = Spool::new();
    spool.run(&["--ring", "65536"], &["seq", "1", "50000"]);
    let segments = spool.segments();
    let [(old_seq, old_first, old), (new_seq, new_first, new)] = segments.as_slice() else { panic!("two segments") };
    assert_eq!((old_seq + 1, old_first + old.len() as u64), (*new_seq, *new_first));
    assert_eq!(new_first + new.len() as u64, 50_001, "all lines and the end");
    assert_eq!(old.first().unwrap(), &format!("o {}", old_first + 1));
    for name in ["0", "1"] {
        let meta = fs::metadata(spool.path().join(name)).unwrap();
        assert!(meta.len() <= 32_768 && meta.permissions().mode() & 0o777 == 0o600 && meta.uid() == 0);
    }
    // Another run goes on where this one ended.
    spool.run(&["--ring", "65536"], &["echo", "again"]);
    let segments = spool.segments();
    let (seq, first, records) = segments.last().unwrap();
    assert_eq!((*seq, *first), (new_seq + 1, 50_001));
    assert_eq!(records, &["o again", "s Process exited with status 0"]);
}

#[test]
fn a_full_disk_costs_lines_not_the_program() {
    let spool = Spool::new();
    let disk = spool.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |words: &[&str]| Command::new(words[0]).args(&words[1..]).arg(&disk).status().unwrap().success();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "none"]) {
        println!("not checked: this machine does not let us mount a small file system");
        return;
    }
    let go = spool.path().join("go");
    fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script =
        format!("seq -f '%0200.0f' 1 50000; sleep 0.2; until [ -e {0} ]; do sleep 0.01; done; echo back", go.display());
    let mut command = Command::new(INIT);
    command.args(["--user", "1000", "--spool"]).arg(&disk).args(["--", "sh", "-c", &script]);
    let mut init = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(mount(&["mount", "-o", "remount,size=20m"]));
    fs::write(&go, "").unwrap();
    assert_eq!(init.wait().unwrap().code(), Some(0));
    let text = fs::read_to_string(disk.join("0")).unwrap();
    assert!(mount(&["umount"]));
    let kept = text.lines().filter(|it| it.contains(" o 0")).count();
    let dropped = |it: &str| -> Option<usize> {
        it.split_once(" s ")?.1.strip_suffix(" lines dropped: no space left")?.parse().ok()
    };
    let dropped: usize = text.lines().filter_map(dropped).sum();
    assert!(dropped > 10_000 && kept + dropped == 50_000, "{kept} kept, {dropped} dropped");
    assert!(
        text.contains(" o back\n") && text.ends_with(" s Process exited with status 0\n"),
        "{}",
        &text[text.len() - 300..]
    );
}

#[test]
fn the_user_is_dropped_for_good() {
    let spool = Spool::new();
    // The folder is open to all here: only the modes of the files themselves are tested.
    fs::set_permissions(spool.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!(
        "id -u; id -g; id -G; grep -E '^Cap(Inh|Prm|Eff|Amb)|NoNewPrivs' /proc/self/status; \
         cat {0}/0 2>/dev/null || echo spool closed; \
         cat /proc/$PPID/environ 2>/dev/null || echo init hidden; \
         ls /proc/$PPID/fd 2>/dev/null || echo descriptors hidden; ls -l /proc/self/fd | grep -c {0}",
        spool.path().display()
    );
    spool.sh(&script);
    let mut expected = vec!["o 1000".to_owned(); 3];
    expected.extend(["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|it| format!("o {it}:\t0000000000000000")));
    expected.extend(
        ["o NoNewPrivs:\t1", "o spool closed", "o init hidden", "o descriptors hidden", "o 0"].map(str::to_owned),
    );
    assert_eq!(spool.records()[..expected.len()], expected);
}

#[test]
fn home_is_the_users_own() {
    let check = |user: &str, home: Option<&str>, expected: &str| {
        let mut command = Command::new(INIT);
        command.args(["--user", user, "--", "sh", "-c", "echo $HOME"]).env_remove("HOME");
        command.envs(home.map(|it| ("HOME", it)));
        assert_eq!(String::from_utf8(command.output().unwrap().stdout).unwrap().trim(), expected, "{user} {home:?}");
    };
    check("4242", Some("/root"), "/");
    check("4242", None, "/");
    check("4242", Some("/app"), "/app");
    check("0", Some("/root"), "/root");
}

#[test]
fn orphans_are_reaped() {
    let spool = Spool::new();
    let script = "for n in 1 2 3 4 5; do (sleep 0.05 &) ; done; sleep 0.3; \
                  cat /proc/[0-9]*/stat 2>/dev/null | grep -c \"Z $PPID \"; true";
    spool.sh(script);
    assert_eq!(spool.records(), ["o 0", "s Process exited with status 0"]);
}

#[test]
fn a_held_pipe_delays_the_end_by_a_second_at_most() {
    let spool = Spool::new();
    let began = Instant::now();
    assert_eq!(spool.sh("sleep 60 & echo done"), 0);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(30), "{took:?}");
    assert_eq!(spool.records(), ["o done", "s Process exited with status 0"]);
}

#[test]
fn a_short_program_ends_at_once() {
    let spool = Spool::new();
    let began = Instant::now();
    for _ in 0..40 {
        assert_eq!(code(&spool.run(&[], &["true"])), 0);
    }
    // Each that waited for a held pipe would take a second.
    assert!(began.elapsed() < Duration::from_secs(20), "40 runs in {:?}", began.elapsed());
}

#[test]
fn steps_run_in_order_with_their_environment() {
    let spool = Spool::new();
    let list = r#"{"name":"one","argv":["sh","-c","sleep 61 & echo $STEP in $PWD as $(id -u); echo -n tail"],"cwd":"/tmp","env":{"STEP":"first"}},
                  {"name":"two","argv":["sh","-c","echo ${STEP:-nothing}; exit 9"],"cwd":"/"},
                  {"name":"three","argv":["echo","never"]}"#;
    assert_eq!(code(&spool.steps(list).output().unwrap()), 9);
    let records: Vec<_> = spool.records();
    let records: Vec<_> = records.iter().map(|it| without_millis(it)).collect();
    let expected = [
        "s step-start 0",
        "o first in /tmp as 1000",
        "o tail",
        "s step-end 0 0",
        "s step-start 1",
        "o nothing",
        "s step-end 1 9",
        "s Process exited with status 9",
    ];
    assert_eq!(records, expected);
}

#[test]
fn what_steps_leave_behind_holds_nobody_up() {
    let spool = Spool::new();
    let list = [r#"{"name":"n","argv":["sh","-c","sleep 600 &"],"cwd":"/"}"#; 20].join(",");
    let began = Instant::now();
    assert_eq!(code(&spool.steps(&list).output().unwrap()), 0);
    // Each that waited for a held pipe would take a second.
    assert!(began.elapsed() < Duration::from_secs(10), "20 steps in {:?}", began.elapsed());
}

fn without_millis(record: &str) -> &str {
    if record.starts_with("s step-end") { record.rsplit_once(' ').unwrap().0 } else { record }
}

#[test]
fn steps_that_cannot_start() {
    let check = |step: &str, expected: i32, why: &str| {
        let spool = Spool::new();
        assert_eq!(code(&spool.steps(step).output().unwrap()), expected);
        assert_eq!(spool.records()[1], format!("s {why}"));
        assert_eq!(without_millis(&spool.records()[2]), format!("s step-end 0 {expected}"));
    };
    check(r#"{"argv":["no-such"]}"#, 127, "cannot start no-such: not found");
    check(r#"{"argv":["sh"],"env":{"PATH":"/nowhere"}}"#, 127, "cannot start sh: not found");
    check(
        r#"{"argv":["true"],"cwd":"/no/such"}"#,
        125,
        "cannot enter /no/such: No such file or directory (os error 2)",
    );
}

#[test]
fn a_cancelled_step_leaves_nothing_running() {
    let spool = Spool::new();
    // One in the step's process group, one in a group of its own: the session is what ends.
    let script = "trap '' TERM; sleep 71.1 & set -m; sleep 71.2 & set +m; echo ready; wait";
    let list = format!(r#"{{"argv":["bash","-c","{script}"]}},{{"argv":["echo","never"]}}"#);
    let mut init = spool.steps(&list).spawn().unwrap();
    spool.wait_for("o ready");
    assert!(alive("71.1") && alive("71.2"));
    signal(&init, Signal::SIGTERM);
    assert_eq!(init.wait().unwrap().code(), Some(143));
    let records = spool.records();
    assert_eq!(without_millis(&records[2]), "s step-end 0 143");
    assert_eq!(records[3..], ["s Process exited with status 143"]);
    assert!(!alive("71.1") && !alive("71.2"));
}
