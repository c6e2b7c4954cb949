//! Apps with a Dockerfile.

use e2e::{App, World, program, wait_for};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub const FIXTURE: &str = "tests/apps/dockerfile";
/// The end of a Dockerfile that serves: the fixture's server, made outside, so that no compiler is needed inside.
pub const SERVE: &str = "\nFROM scratch\nCOPY server /server\nENTRYPOINT [\"/server\"]\n";

/// An app with this Dockerfile, and the server that [`SERVE`] starts beside it.
pub fn app<'w>(world: &'w World, name: &str, dockerfile: &str) -> App<'w> {
    let app = world.app(name, FIXTURE);
    std::fs::copy(server(), app.dir.join("server")).unwrap();
    app.commit_change("Dockerfile", dockerfile);
    app
}

/// The fixture's server as a static program, compiled once.
fn server() -> &'static Path {
    static MADE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("server");
        compile(&e2e::repository().join(FIXTURE).join("server.c"), &made);
        (folder, made)
    });
    &MADE.1
}

fn compile(source: &Path, made: &Path) {
    let mut cc = program("cc");
    cc.args(["-O1", "-static", "-o"]).arg(made).arg(source);
    e2e::run(cc, b"", Duration::from_secs(60)).ok();
}

/// Commits the server that the app's own `server.c` makes.
pub fn recompile(app: &App<'_>) {
    compile(&app.dir.join("server.c"), &app.dir.join("server"));
    app.git(&["commit", "-q", "-a", "-m", "another server"]).ok();
}

/// A line that no build before had: Docker keeps results of steps from one run of the tests to the next.
pub fn salt() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("ENV SALT={}", now.as_nanos())
}

/// The newest image of an app with this name of a build: `b2`.
pub fn image_of(world: &World, build: &str) -> String {
    let label = format!("label=hoist.install={}", world.install());
    let all = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", &label]);
    let found = all.lines().find(|name| name.contains(&format!(":{build}-")));
    found.unwrap_or_else(|| panic!("no image of {build} in {all}")).to_owned()
}

pub fn docker(args: &[&str]) -> String {
    let mut command = program("docker");
    command.args(args);
    e2e::run(command, b"", Duration::from_secs(30)).ok().out
}

#[test]
fn a_dockerfile_is_built_served_rolled_back_and_rebuilt() {
    let world = World::new();
    let app = world.app("dock", FIXTURE);
    let pushed = app.push().ok();
    pushed.says("Building Dockerfile").says("[build 4/4] RUN gcc").says("Port 8080 (EXPOSE)").says("Runs as 1000");
    assert!(app.get("/").ok().contains("v1 port 8080 user 1000 words [from] [the image]"));
    app.replace("server.c", "MESSAGE", "changed");
    app.push().ok().says("v2");
    assert!(app.get("/").ok().contains("changed v2"));
    app.run("config:set", &["X=1"]).ok();
    assert!(app.get("/").ok().contains("changed v3"));
    app.run("rollback", &["v1"]).ok();
    assert!(app.get("/").ok().contains("MESSAGE v4"));
    app.run("ps:rebuild", &[]).ok().says("cached");
    assert!(app.get("/").ok().contains("MESSAGE v5"));
}

#[test]
fn what_a_step_fetches_is_trusted_as_the_server_says() {
    let world = World::new();
    let text = format!(
        "FROM hoist/stack-build AS build\n{}\nRUN npm view ms version >/ms\nCOPY server.c .\nRUN gcc -O1 -static -o \
         /server server.c\nFROM scratch\nCOPY --from=build /ms /ms\nCOPY --from=build /server /server\nENTRYPOINT \
         [\"/server\"]\n",
        salt()
    );
    app(&world, "trust", &text).push().ok();
}

#[test]
fn secrets_and_arguments_come_by_declaration_and_caches_are_the_apps_own() {
    let world = World::new();
    let canary = format!("canary{}", std::process::id());
    let salt = salt();
    let look = "FROM hoist/stack-run AS look\nSALT\nARG COLOUR\n\
        RUN --mount=type=secret,id=TOKEN --mount=type=cache,target=/cache \\\n\
        test -s /run/secrets/TOKEN && echo colour=$COLOUR secret=$(wc -c < /run/secrets/TOKEN) cache=$(cat /cache/kept 2>/dev/null) end && echo mine > /cache/kept\n\
        RUN --mount=type=cache,target=/cache echo again=$(cat /cache/kept)";
    let look = look.replace("SALT", &salt);
    let one = app(&world, "one", &format!("{look}{SERVE}COPY --from=look /etc/passwd /x\n"));
    one.user.ssh(&["apps:create", "one"]).ok();
    one.run("config:set", &[&format!("TOKEN={canary}"), "COLOUR=blue", "OTHER=green"]).ok();
    one.push().fails().says("apps:set one build-secrets=TOKEN");
    one.run("apps:set", &["build-args=COLOUR", "build-secrets=TOKEN"]).ok();
    let pushed = one.push().ok().says(&format!("colour=blue secret={} cache= end", canary.len())).says("again=mine");
    let image = image_of(&world, "b2");
    let shown = docker(&["history", "--no-trunc", &image]) + &docker(&["inspect", &image]) + &pushed.to_string();
    assert!(!shown.contains(&canary), "{shown}");
    let logs = program("grep").args(["-rl", &canary]).arg(world.data().join("logs")).output().unwrap();
    assert!(logs.stdout.is_empty(), "{}", String::from_utf8_lossy(&logs.stdout));
    let two = app(&world, "two", &format!("{look}\nRUN echo two{SERVE}COPY --from=look /etc/passwd /x\n"));
    two.user.ssh(&["apps:create", "two"]).ok();
    two.run("config:set", &["TOKEN=abc"]).ok();
    two.run("apps:set", &["build-secrets=TOKEN"]).ok();
    two.push().ok().says("colour= secret=3 cache= end");
}

#[test]
fn what_dockerignore_names_stays_away_and_links_are_not_followed() {
    let world = World::new();
    let list =
        format!("FROM hoist/stack-run AS list\n{}\nCOPY . /all\nRUN cd /all && find . | sort | tr '\\n' ' '", salt());
    let app = app(&world, "ignore", &format!("{list}{SERVE}COPY --from=list /all/keep.log /x\n"));
    std::os::unix::fs::symlink("/etc/passwd", app.dir.join("link")).unwrap();
    app.commit_change(".dockerignore", "**/*.log\n!keep.log\nDockerfile\nsecret\n");
    for path in ["a.log", "keep.log", "deep/b.log", "deep/c", "secret/d"] {
        app.commit_change(path, "x");
    }
    let pushed = app.push().ok();
    pushed
        .says(". ./.dockerignore ./deep ./deep/c ./keep.log ./link ./server ./server.c")
        .says(".dockerignore leaves out 4");
    app.commit_change("Dockerfile.dockerignore", "deep\n");
    app.push().ok().says("./secret/d").hides("./deep");
    // A sub-folder has its own Dockerfile and its own list.
    std::fs::create_dir(app.dir.join("sub")).unwrap();
    std::fs::copy(server(), app.dir.join("sub/server")).unwrap();
    app.commit_change(
        "sub/my.Dockerfile",
        &format!("FROM hoist/stack-run AS list\nCOPY . /all\nRUN cd /all && find . | sort | tr '\\n' ' '{SERVE}"),
    );
    app.run("apps:set", &["root=sub", "dockerfile=my.Dockerfile"]).ok();
    app.run("apps:info", &[]).ok().says("my.Dockerfile");
    app.git(&["commit", "-q", "--allow-empty", "-m", "x"]).ok();
    app.push().ok().says("Building sub/my.Dockerfile");
    app.run("apps:set", &["docker-target=list"]).ok();
    app.git(&["commit", "-q", "--allow-empty", "-m", "y"]).ok();
    app.push().fails();
    app.run("apps:set", &["dockerfile=../x"]).fails().says("path in the repository");
}

#[test]
fn of_several_ports_the_push_asks_and_a_procfile_goes_after_the_entrypoint() {
    let world = World::new();
    let served = format!(
        "{SERVE}EXPOSE 8080 9090/tcp 53/udp\nUSER 1234:77\nVOLUME /data\nHEALTHCHECK CMD true\nLABEL team=blue\n"
    );
    let app = app(&world, "ports", &served);
    let asked = app.push().fails();
    asked.says("apps:set ports port=8080").says("apps:set ports port=9090").hides("port=53");
    app.run("apps:set", &["port=9090"]).ok();
    app.commit_change("Dockerfile", "FROM hoist/stack-run\nENTRYPOINT [\"/bin/sh\", \"-c\", \"exec $0\"]\n");
    app.commit_change("Procfile", "web: x\nrelease: /nowhere\n");
    app.push().fails().says("the release command exited with status 127");
    app.commit_change("Dockerfile", &served);
    app.commit_change("Procfile", "web: from 'a Procfile'\n");
    app.push().ok().says("Port 9090 (the app's setting)").says("HEALTHCHECK");
    assert!(app.get("/").ok().contains("port 9090 user 1234 words [from] [a Procfile]"));
    let kept = docker(&["inspect", "-f", "{{.Config.Labels}} {{.Config.Healthcheck}}", &image_of(&world, "b3")]);
    assert!(kept.contains("team:blue") && kept.contains("CMD-SHELL true"), "{kept}");
}

#[test]
fn an_image_that_runs_as_root_binds_port_80_with_few_rights() {
    let world = World::new();
    let run = "FROM hoist/stack-run\nCOPY server /server\nEXPOSE 80\n\
        CMD touch /x && chown 65534 /x && grep CapEff /proc/self/status && exec /server\n";
    let app = app(&world, "rooted", run);
    app.push().ok().says("Runs as root, with these rights only").says("NET_BIND_SERVICE");
    assert!(app.get("/").ok().contains("port 80 user 0"));
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, NET_BIND_SERVICE.
    wait_for("the log", Duration::from_secs(10), || app.run("logs", &[]).out.contains("CapEff:\t00000000000004eb"));
}

#[test]
fn failures_say_the_step_the_cause_and_what_to_do() {
    let world = World::new();
    let app = app(&world, "wrong", "FROM hoist/stack-run\nRUN echo one && echo two && exit 3\n");
    app.push().fails().says("Failed: [2/2] RUN echo one").says("two").says("Push rejected: failed at [2/2]");
    app.commit_change("Dockerfile", "FROM hoist/stack-run\nRUNN x\n");
    app.push().fails().says("line 2").says("unknown instruction: RUNN");
    app.commit_change(".dockerignore", "nope\n");
    app.commit_change("nope/x", "x");
    app.commit_change("Dockerfile", "FROM hoist/stack-run\nCOPY nope/x .\n");
    app.push().fails().says("nope/x is not among the files").says(".dockerignore");
    app.commit_change("Dockerfile", "FROM registry.invalid/x\n");
    app.push().fails().says("FROM hoist/stack-run");
    app.commit_change("Dockerfile", "FROM hoist/stack-run\nRUN apt-get install -y no-such-package-at-all\n");
    app.push().fails().says("Unable to locate package");
    app.commit_change("Dockerfile", "FROM hoist/stack-run\nCMD [\"/nowhere\"]\n");
    app.push().fails().says("web.1 exited with status 127");
    app.commit_change("Dockerfile", "FROM scratch\nCOPY server.c .\n");
    app.push().fails().says("does not say what to start");
}

#[test]
fn hogs_are_ended_and_others_are_not_hurt() {
    let world = World::with(&[("build-memory", "300"), ("build-disk", "500"), ("build-timeout", "20")]);
    let other = app(&world, "other", SERVE);
    other.push().ok();
    let (_, report) = world.load("other.localhost", 20, || {
        let hog = "FROM hoist/stack-run\nRUN perl -e '$x = q(a) x 600e6; print length $x'\n";
        app(&world, "memory", hog).push().fails().says("300.0 MB of memory");
        let bomb = "FROM hoist/stack-run\nRUN bash -c ':(){ :|:& };:; sleep 60' 2>/dev/null\n";
        app(&world, "forks", bomb).push().fails().says("processes");
        let filler = "FROM hoist/stack-run\nRUN dd if=/dev/zero of=/x bs=1M count=4000\n";
        app(&world, "disk", filler).push().fails().says("the build wrote more than 500.0 MB");
        let endless = "FROM hoist/stack-run\nRUN sleep 3600\n";
        app(&world, "endless", endless).push().fails().says("Still at [2/2] RUN sleep").says("longer than 20 s");
    });
    report.none_lost();
}

#[test]
fn a_build_is_not_blamed_for_what_others_write_on_the_disk() {
    let world = World::with(&[("build-disk", "500")]);
    let app = app(
        &world,
        "quiet",
        &format!("FROM hoist/stack-run AS a\n{}\nRUN echo begun; sleep 3{SERVE}COPY --from=a /etc/passwd /x\n", salt()),
    );
    let before = world.last_job();
    let push = app.spawn(&["push", "hoist", "main"]);
    world.wait_job(before, |said| said.contains("begun\n"));
    // Not a sparse file: its blocks are taken.
    let other = std::fs::File::create(world.data().join("somebody-elses")).unwrap();
    rustix::fs::fallocate(&other, rustix::fs::FallocateFlags::empty(), 0, 1_500_000_000).unwrap();
    push.end().ok();
}

#[test]
fn ctrl_c_ends_the_build_in_the_engine() {
    let world = World::new();
    let seconds = format!("{}", 4_000 + std::process::id() % 1_000);
    let app = app(&world, "cancel", &format!("FROM hoist/stack-run\nRUN echo begun; sleep {seconds}\n"));
    let before = world.last_job();
    let push = app.spawn(&["push", "hoist", "main"]);
    world.wait_job(before, |said| said.contains("begun\n"));
    assert!(sleeps(&seconds));
    let cancelled = Instant::now();
    push.interrupt();
    wait_for("the end of the step", Duration::from_secs(10), || !sleeps(&seconds));
    let took = cancelled.elapsed();
    // Promised within 2 s; a busy machine may take longer, a step that nobody ends never does.
    assert!(took < Duration::from_secs(10), "{took:?}");
    push.end();
    wait_for("the row", Duration::from_secs(10), || app.run("builds", &[]).out.contains("cancelled"));
}

#[test]
fn two_dockerfiles_are_built_side_by_side() {
    let world = World::new();
    let seconds = format!("{}", 5_000 + std::process::id() % 1_000);
    let slow = app(&world, "slow", &format!("FROM hoist/stack-run\nRUN echo begun; sleep {seconds}\n"));
    let before = world.last_job();
    let push = slow.spawn(&["push", "hoist", "main"]);
    world.wait_job(before, |said| said.contains("begun\n"));
    let quick = app(
        &world,
        "quick",
        &format!("FROM hoist/stack-run AS a\n{}\nRUN echo passed by{SERVE}COPY --from=a /etc/passwd /x\n", salt()),
    );
    quick.push().ok().says("passed by");
    assert!(sleeps(&seconds), "the first one goes on");
    push.interrupt();
    push.end().fails();
}

/// Whether a step that sleeps for so long runs on this host.
fn sleeps(seconds: &str) -> bool {
    let all = program("ps").args(["-eo", "args"]).output().unwrap();
    String::from_utf8_lossy(&all.stdout).lines().any(|line| line == format!("sleep {seconds}"))
}

#[test]
fn a_server_killed_in_mid_build_leaves_no_step_behind_and_resumes() {
    let world = World::new();
    let seconds = format!("{}.5", 10 + std::process::id() % 10);
    let app = app(
        &world,
        "killed",
        &format!("FROM hoist/stack-run\n{}\nRUN echo begun; sleep {seconds}{SERVE}EXPOSE 5000\n", salt()),
    );
    app.user.ssh(&["apps:create", "killed"]).ok();
    let dockerfile = std::fs::read_to_string(app.dir.join("Dockerfile")).unwrap();
    app.commit_change("Dockerfile", &dockerfile.replace("COPY server", "COPY --from=0 /etc/passwd /x\nCOPY server"));
    let push = world.kill9_serve_when(|said| said.contains("begun\n"), || app.spawn(&["push", "hoist", "main"]));
    wait_for("the end of the step", Duration::from_secs(5), || !sleeps(&seconds));
    push.end();
    world.restart_serve();
    wait_for("the release", Duration::from_secs(90), || app.run("releases", &[]).out.contains("v1"));
    wait_for("the app", Duration::from_secs(30), || app.answers_with("v1"));
}

/// A container of nobody's; removed when dropped.
struct Bystander(String);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = program("docker").args(["rm", "-f", &self.0]).output();
    }
}

#[test]
fn a_build_reaches_neither_the_host_nor_apps_nor_private_addresses() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"reached\n");
        }
    });
    let addresses = program("hostname").arg("-I").output().unwrap();
    let addresses = String::from_utf8_lossy(&addresses.stdout).into_owned();
    let neighbour = app(&world, "neighbour", &format!("{SERVE}EXPOSE 8080\n"));
    neighbour.push().ok();
    let label = format!("label=hoist.install={}", world.install());
    let instance = docker(&["ps", "-q", "--filter", &label, "--filter", "label=hoist.kind=instance"]);
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let instance = docker(&["inspect", "-f", format, instance.trim()]);
    // Somebody's own container on Docker's default bridge; without the image's label, by which the server knows its own.
    let run = ["run", "-d", "--rm", "--init", "--label", "hoist.install=", "-e", "PORT=8080"];
    let bystander = docker(&[&run[..], &[&image_of(&world, "b1")]].concat());
    let bystander = Bystander(bystander.trim().to_owned());
    let at = docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &bystander.0]);
    wait_for("the bystander", Duration::from_secs(10), || {
        std::net::TcpStream::connect(format!("{}:8080", at.trim())).is_ok()
    });
    let hosts: Vec<&str> = addresses.split_whitespace().filter(|a| a.contains('.')).take(6).collect();
    let tries = hosts
        .iter()
        .map(|host| format!("(timeout 2 bash -c 'cat </dev/tcp/{host}/{port}' || echo no {host});"))
        .collect::<String>();
    let others = [
        format!("{}/8080", instance.trim()),
        format!("{}/8080", at.trim()),
        "169.254.169.254/80".to_owned(),
        "10.255.255.1/80".to_owned(),
    ];
    let more = |it: &String| format!("(timeout 2 bash -c 'echo x >/dev/tcp/{it}' && echo open {it}-);");
    let tries = tries + &others.iter().map(more).collect::<String>();
    // Stages that nothing comes from are not built: the last one must come from it.
    let serve = SERVE.replace("FROM scratch\n", "FROM scratch\nCOPY --from=0 /etc/passwd /x\n");
    let app = app(
        &world,
        "nosy",
        &format!("FROM hoist/stack-run\nRUN {tries} echo routes=$(grep -c eth0 /proc/net/route){serve}"),
    );
    let pushed = app.push().ok();
    for host in hosts {
        assert!(pushed.all().contains(&format!("no {host}")), "{pushed}");
    }
    // It has a network all the same.
    let pushed = pushed.says(" routes=").hides(" routes=0");
    assert!(!pushed.all().contains(" reached"), "{pushed}");
    for other in others {
        assert!(!pushed.all().contains(&format!(" open {other}-\n")), "{pushed}");
    }
}

#[test]
fn one_off_programs_run_as_the_image_says() {
    let world = World::new();
    let bare = app(&world, "bare", SERVE);
    bare.push().ok();
    bare.run("run", &["echo $HOME | wc"]).exits(127).says("the image has no shell");
    bare.run("enter", &[]).exits(127).says("the image has no shell");
    bare.run("builds:plan", &[]).ok().says("Dockerfile, as the builder's BuildKit builds it");
    bare.run("builds:eject", &[]).exits(1).says("its own Dockerfile").says("docker build -f Dockerfile");
    let full = app(
        &world,
        "full",
        "FROM hoist/stack-run\nCOPY server /server\nRUN printf '#!/bin/sh\\nFROM=entry exec \"$@\"' >/e && \
         chmod +x /e\nWORKDIR /srv\nUSER 4321\nENV COLOUR=blue\nENTRYPOINT [\"/e\"]\nCMD [\"/server\"]\n",
    );
    full.commit_change("Procfile", "web: /server\nask: sh -c 'echo from=$FROM'\n");
    full.push().ok();
    // A process type goes through the ENTRYPOINT, other words do not.
    assert_eq!(full.run("run", &["ask"]).ok().out, "from=entry\n");
    assert_eq!(full.run("run", &["echo from=$FROM $COLOUR; id -u; pwd"]).ok().out, "from= blue\n4321\n/srv\n");
    assert_eq!(full.run("ps:exec", &["web.1", "--", "id", "-u"]).ok().out, "4321\n");
    assert_eq!(full.run("enter", &["web.1", "--", "pwd"]).ok().out, "/srv\n");
}

#[test]
fn what_the_builder_is_too_old_for_is_told_from_a_mistake() {
    let world = World::new();
    let app = app(&world, "newer", "");
    let push = |line: &str| {
        app.commit_change(
            "Dockerfile",
            &format!("FROM scratch\n{line}\nCOPY server /server\nENTRYPOINT [\"/server\"]\n"),
        );
        app.push()
    };
    // As the builder has it: what a newer root knows is built.
    let builder = std::env::var("HOIST_TEST_BUILDER_SUITE").unwrap_or_else(|_| "trixie".to_owned());
    let old = |line: &str, shown: &str, instead: &str| {
        if builder == "trixie" {
            let said = push(line).fails().says("newer than the server's builder").says(shown).says(instead);
            said.says("scripts/builder --suite forky").hides("correct that line");
        } else {
            push(line).ok();
        }
    };
    old("COPY --exclude=*.c . /src", "--exclude in line 2", ".dockerignore");
    old("COPY --chmod=u+x server /x", "--chmod with letters in line 2", "--chmod=755");
    push("COPY --exlude=*.c . /src").fails().says("Dockerfile has a mistake").says("correct that line");
    push("COPY --link --chmod=755 <<EOF /text\nhello\nEOF").ok();
}
