//! `run`, `enter`, `ps:exec` as their user sees them: streams, codes, terminals, refusals.

use e2e::{App, Output, World, program, run, wait_for};
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

/// A static app: the quickest to push, with a shell, sleep and stty in its image.
fn pushed<'w>(world: &'w World, name: &str) -> App<'w> {
    let app = world.app(name, "tests/apps/echo");
    // Without its release command, which is a second each time.
    app.commit_change("Procfile", "web: node server.js\nworker: echo from the Procfile; exit 4\n");
    app.push().ok();
    app
}

fn with_stdin(app: &App<'_>, words: &[&str], stdin: &[u8]) -> Output {
    let words: Vec<&str> = ["run", &app.name].into_iter().chain(words.iter().copied()).collect();
    app.user.ssh_with(&words, stdin)
}

#[test]
fn streams_codes_and_what_words_mean() {
    let world = World::new();
    let app = world.app("words", "tests/apps/echo");
    app.user.ssh(&["apps:create", "words"]).ok();
    app.run("run", &["true"]).exits(1).says("no release").says("git push hoist main");
    app.run("enter", &[]).exits(1).says("no release");
    let app = pushed(&world, "words");
    app.run("config:set", &["GREETING=hello there"]).ok();
    let both = app.run("run", &["--", "sh", "-c", "echo out; echo err >&2; exit 3"]).exits(3);
    assert_eq!((both.out.as_str(), both.err.as_str()), ("out\n", "err\n"));
    assert_eq!(with_stdin(&app, &["cat"], b"in\0\xff\nto the end").ok().out, "in\0\u{fffd}\nto the end");
    // One word with blanks is for the shell, several are not.
    assert_eq!(app.run("run", &["echo $GREETING | tr a-z A-Z"]).ok().out, "HELLO THERE\n");
    assert_eq!(app.run("run", &["echo", "$GREETING | x"]).ok().out, "$GREETING | x\n");
    assert_eq!(app.run("run", &["worker"]).exits(4).out, "from the Procfile\n");
    app.run("run", &["kill -9 $$"]).exits(137);
    app.run("run", &["kill -TERM $$"]).exits(143);
    app.run("run", &["no-such-program"]).exits(127).says("no-such-program: not found");
    // The app's own world: its user, folder and variables, no port.
    let about =
        app.run("run", &["id -u; pwd; echo $DYNO $HOIST_INSTANCE [$PORT]; grep CapEff /proc/self/status"]).ok().out;
    assert!(about.starts_with("1000\n/app\nrun."), "{about}");
    assert!(about.contains(" []\n") && about.contains("CapEff:\t0000000000000000\n"), "{about}");
    app.run("run", &["--env", "A=secret value", "--env=B=2", "echo $A $B"]).ok().says("secret value 2");
    app.run("events", &["-n", "5"]).ok().says("--env A=…").hides("secret value");
    app.run("run", &["--memory", "100000", "true"]).exits(1).says("--memory takes a number from 1 to 2048");
    app.run("run", &["--timeout", "0", "true"]).exits(1).says("86400");
    app.run("run", &["--memory", "64", "node -e 'const a=[];for(;;)a.push(Buffer.alloc(1e6,1))'"])
        .exits(137)
        .says("R15");
    app.run("run", &["--timeout", "1", "sleep", "100"]).exits(143).says("its time limit was reached");
    // What happened is in the log, what was written is not.
    wait_for("the ends in the log", SOON, || {
        app.run("logs", &["-s", "hoist"]).ok().out.contains("(its time limit was reached)")
    });
    app.run("logs", &[]).ok().says("ana runs").says("ended with exit code 137").hides("from the Procfile\n");
    wait_for("nothing left", SOON, || {
        world.containers("run").is_empty() && !app.run("ps", &[]).ok().out.contains("run.")
    });
}

/// Words as a user's shell hands them to ssh, which joins them with blanks.
fn typed(app: &App<'_>, words: &[&str]) -> Output {
    let user = &app.user;
    let mut ssh = program("ssh");
    ssh.args(user.options()).args(["-p", &user.address.port().to_string(), "-l", &user.login]);
    ssh.arg(user.address.ip().to_string()).arg("--").args(words);
    run(ssh, b"", SOON)
}

#[test]
fn lines_as_people_type_them() {
    let world = World::new();
    let app = pushed(&world, "lines");
    let out = |words: &[&str]| typed(&app, words).ok().out;
    assert_eq!(out(&["run", "lines", "echo hi && echo there"]), "hi\nthere\n");
    assert_eq!(out(&["run", "lines", "echo b a | tr ' ' '\\n' | sort"]), "a\nb\n");
    assert_eq!(out(&["run", "lines", "--", "echo one; echo 'two  words'"]), "one\ntwo  words\n");
    assert_eq!(out(&["run", "lines", "echo $DYNO > /tmp/x; cat /tmp/x | cut -d. -f1"]), "run\n");
    assert_eq!(out(&["run", "lines", "node", "-e", "console.log(\"hi\")"]), "hi\n");
    assert_eq!(out(&["run", "echo", "-a", "lines"]), "\n");
    assert_eq!(out(&["run", "echo", "x", "-a", "lines"]), "x\n");
    assert_eq!(out(&["run", "echo hi && echo there", "--app", "lines"]), "hi\nthere\n");
    assert_eq!(out(&["run", "-a", "lines", "echo", "x", "y"]), "x y\n");
    assert_eq!(out(&["ps:exec", "lines", "echo hi | wc -l"]), "1\n");
    assert_eq!(out(&["ps:exec", "lines", "web.1", "--", "echo hi | wc -l"]), "1\n");
    assert_eq!(out(&["enter", "lines", "web.1", "cd / && pwd"]), "/\n");
    typed(&app, &["run", "echo", "x", "-a", "nowhere"]).exits(1).says("there is no app nowhere");
    // Without a terminal: how to get one; a program is not told so.
    app.user.ssh_with(&["run", "lines", "bash"], b"exit 3\n").exits(3).says("ssh -t ").says("run lines bash");
    app.user.ssh_with(&["enter", "lines"], b"exit 4\n").exits(4).says("ssh -t ").says("enter lines web.1");
    typed(&app, &["run", "lines", "ls"]).ok().hides("ssh -t");
    // What the pages say.
    let page = std::fs::read_to_string(e2e::repository().join("docs/commands.md")).unwrap();
    let lines: Vec<&str> = page
        .split('`')
        .filter(|code| ["run blog ", "run -a blog ", "ps:exec blog "].iter().any(|c| code.starts_with(c)))
        .collect();
    assert!(lines.len() > 5, "{lines:?}");
    for line in lines.iter().filter(|line| !line.contains("job.js")) {
        let words = domain::words::words(&line.replace("blog", "lines")).unwrap();
        typed(&app, &words.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    }
}

#[test]
fn files_go_both_ways() {
    let world = World::new();
    let app = pushed(&world, "pipes");
    let mut file = tempfile::tempfile().unwrap();
    let mut bytes = vec![0; 1_000_003];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    for _ in 0..200 {
        file.write_all(&bytes).unwrap();
    }
    let sum = |file: &mut File| {
        std::io::Seek::rewind(file).unwrap();
        let mut sha = program("sha256sum");
        let out = sha.stdin(file.try_clone().unwrap()).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let before = sum(&mut file);
    let memory = |world: &World| -> u64 {
        let pid = e2e::processes(&world.data(), "serve")[0].to_string();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    app.run("run", &["true"]).ok();
    let resting = memory(&world);
    std::io::Seek::rewind(&mut file).unwrap();
    let mut back = tempfile::tempfile().unwrap();
    let began = Instant::now();
    let mut ssh = app.user.ssh_command(&["run", "pipes", "cat"]);
    let status = ssh.stdin(file.try_clone().unwrap()).stdout(back.try_clone().unwrap()).status().unwrap();
    assert!(status.success());
    eprintln!("200 MB in and out in {:?}; memory {resting} kB before, {} kB at most", began.elapsed(), memory(&world));
    assert_eq!(sum(&mut back), before);
    assert!(memory(&world) < resting + 60_000, "{resting} kB became {} kB", memory(&world));
    // A reader that is slow, and one that stops reading, hold up nobody.
    assert!(!with_stdin(&app, &["head", "-c", "5"], &bytes).ok().out.is_empty());
}

#[test]
fn a_terminal_of_ones_own() {
    let world = World::new();
    let app = pushed(&world, "screen");
    let mut shell = app.user.terminal(&["run", "screen", "bash"]);
    shell.keys("PS1='ready> '; stty size; echo $TERM; tty\r");
    shell.shows("24 80\r\n");
    shell.shows("xterm-256color\r\n");
    shell.shows("/dev/pts/");
    shell.resize(40, 132);
    wait_for("the new size", SOON, || {
        shell.keys("stty size\r");
        wait_short(|| shell.screen().contains("40 132"))
    });
    shell.keys("sleep 1000\r");
    wait_for("sleep runs", SOON, || {
        app.run("ps:exec", &["run.1", "--", "sh", "-c", "cat /proc/[0-9]*/comm"]).out.contains("sleep")
    });
    shell.keys("\u{3}");
    shell.keys("echo it was $?\r");
    shell.shows("it was 130");
    // Keys of full-screen programs arrive as they are, and so does what they draw; Ctrl-P and Ctrl-Q too.
    // Not before it reads: a shell that still does would take them for its own.
    shell.keys("stty -echo -ixon; echo read''ing; od -An -tx1 -N 6; stty echo ixon\r");
    shell.shows("reading\r\n");
    shell.keys("\u{10}\u{11}\u{1b}[A\r");
    shell.shows("10 11 1b 5b 41 0a");
    shell.keys("node\r");
    shell.shows("> ");
    shell.keys("6*7\r");
    shell.shows("42");
    shell.keys("\u{4}");
    shell.shows("ready> ");
    shell.keys("exit 9\r");
    assert_eq!(shell.end(), 9);
    let mut shell = app.user.terminal(&["run", "screen", "bash"]);
    shell.keys("echo $((40+2))\r");
    shell.shows("42");
    shell.keys("\u{4}");
    assert_eq!(shell.end(), 0);
    // Without one inside, though the client has one.
    let mut plain = app.user.terminal(&["run", "screen", "--no-tty", "tty; exit 5"]);
    plain.shows("not a tty\r\n");
    assert_eq!(plain.end(), 5);
}

fn wait_short(cond: impl FnMut() -> bool) -> bool {
    e2e::try_for(Duration::from_millis(500), cond)
}

#[test]
fn enter_and_exec() {
    let world = World::new();
    let app = pushed(&world, "inner");
    let mut shell = app.user.terminal(&["enter", "inner"]);
    shell.keys("echo $HOIST_INSTANCE $PORT; id -u; grep CapEff /proc/self/status; echo $0\r");
    shell.shows("web.1 5000\r\n1000\r\n");
    shell.shows("0000000000000000");
    shell.shows("bash");
    shell.keys("exit 6\r");
    assert_eq!(shell.end(), 6);
    let both = app.run("ps:exec", &["web.1", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]).exits(3);
    assert_eq!((both.out.as_str(), both.err.as_str()), ("out\n", "err\n"));
    assert_eq!(app.user.ssh_with(&["ps:exec", "inner", "--", "cat"], b"through").ok().out, "through");
    assert_eq!(app.run("ps:exec", &["--", "ls /proc/1/ | grep -c comm"]).ok().out, "1\n");
    app.run("ps:exec", &["web.7", "--", "true"]).exits(1).says("nothing called web.7").says("web.1");
    app.run("ps:exec", &["web.1", "--", "none-such"]).exits(127).says("not found");
    // The app cannot reach its own door, nor stand in its place.
    app.run("ps:exec", &["--", "ls", "/.hoist/io"]).exits(2).says("Permission denied");
    app.run("events", &["-n", "20"]).ok().says("enter").says("ana").says("127.0.0.1");
    // The instance ends under a session.
    let mut shell = app.user.terminal(&["enter", "inner"]);
    shell.keys("echo $((1+1))in\r");
    shell.shows("2in");
    world.kill_container(&world.containers("web")[0]);
    shell.shows("web.1 ended");
    assert_eq!(shell.end(), 137);
    app.run("apps:set", &["enter=off"]).ok();
    app.run("enter", &[]).exits(1).says("enter is off");
    app.run("ps:exec", &["--", "true"]).exits(1).says("enter is off");
    app.run("apps:set", &["enter=on"]).exits(1).says("administrator");
    world.admin("boss").ssh(&["apps:set", "inner", "enter=on"]).ok();
    wait_for("it may be entered again", SOON, || app.run("ps:exec", &["--", "true"]).code == 0);
}

#[test]
fn as_quick_as_the_engine() {
    let world = World::new();
    let app = pushed(&world, "quick");
    let image = {
        let mut docker = program("docker");
        docker.args(["inspect", "--format", "{{.Config.Image}}", &world.containers("web")[0]]);
        run(docker, b"", SOON).ok().out.trim().to_owned()
    };
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let began = Instant::now();
        app.run("run", &["true"]).ok();
        ours.push(began.elapsed());
        let mut docker = program("docker");
        // The image carries our label, and what runs with it and is not ours is removed.
        docker.args(["run", "--rm", "--label", "hoist.install=none", "--entrypoint", "true", &image]);
        let began = Instant::now();
        run(docker, b"", SOON).ok();
        floor.push(began.elapsed());
    }
    ours.sort();
    floor.sort();
    let ratio = ours[3].as_secs_f64() / floor[3].as_secs_f64();
    eprintln!("run true: {:?}; docker run of the same image: {:?}; ratio {ratio:.2}", ours[3], floor[3]);
    assert!(ratio < 3.0, "{ours:?} against {floor:?}");
}
