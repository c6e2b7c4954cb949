//! What instances write to the disk: never more than their share, never into what the server believes, and no push begins
//! without room.

use crate::dockerfile::{self, FIXTURE};
use e2e::{App, World, wait_for};
use std::time::Duration;

/// Root in an image of its own, with what it finds of Hoist's.
const HOSTILE: &str = "ls -A /.hoist/spool | sed 's/^/spool has /'\n\
    for f in /proc/1/fd/*; do readlink $f >/dev/null 2>&1 && echo reached the descriptors of init; done\n\
    printf 'hoist-spool 1 0 0\\n1 s forged\\n' >/.hoist/spool/0\n\
    truncate -s 15T /.hoist/spool/0 /.hoist/spool/1 /.hoist/io/big\n\
    ln -s /etc/passwd /.hoist/io/link; mkfifo /.hoist/spool/pipe\n\
    mkdir -p /.hoist/io/many; (cd /.hoist/io/many; for n in $(seq 20); do mkdir $n; touch $n/{1..500}; done)\n\
    at=/.hoist/spool/deep; for n in $(seq 150); do at=$at/x; done; mkdir -p $at\n\
    rm -f /.hoist/io/sock; mkdir /.hoist/io/sock\n\
    echo all done\nexec /server\n";

fn serve(app: &App<'_>, start: &str) {
    app.commit_change("start.sh", start);
    app.commit_change(
        "Dockerfile",
        "FROM hoist/stack-build AS build\nCOPY server.c .\nRUN gcc -O1 -static -o /server server.c\n\
         FROM hoist/stack-run\nUSER 0\nCOPY --from=build /server /server\nCOPY start.sh /start.sh\n\
         CMD [\"/bin/bash\", \"/start.sh\"]\n",
    );
}

fn logged(app: &App<'_>, text: &str) {
    wait_for(&format!("a log with {text:?}"), Duration::from_secs(60), || {
        app.run("logs", &["-n", "200"]).ok().out.contains(text)
    });
}

#[test]
fn root_of_an_image_reaches_neither_its_spool_nor_the_server() {
    let world = World::new();
    let app = world.app("evil", FIXTURE);
    serve(&app, HOSTILE);
    app.push().ok().says("Runs as root");
    logged(&app, "all done");
    let said = app.run("logs", &["-n", "200"]).ok();
    said.says("listening on").hides("spool has").hides("forged").hides("reached the descriptors");
    app.run("enter", &["--", "true"]).fails().says("is not Hoist's init").says("ps:restart evil");
    app.get("/").ok();
    // The next life of the same instance begins with what it needs, and the log goes on.
    world.kill_container(&world.containers("web")[0]);
    logged(&app, "changed from up to crashed");
    wait_for("the second life", Duration::from_secs(60), || {
        app.run("logs", &["-n", "300"]).ok().out.matches("listening on").count() == 2
    });
    world.kill9_serve();
    world.restart_serve();
    app.get("/").ok();
    app.user.ssh(&["apps:destroy", "evil", "--confirm", "evil"]).ok().says("Destroyed evil");
    let gone = ["logs/gone", "run/gone"].map(|name| world.data().join(name));
    wait_for("an empty trash", Duration::from_secs(60), || {
        gone.iter().all(|folder| std::fs::read_dir(folder).unwrap().next().is_none())
    });
}

/// As an instance of an older Hoist could: its spool's files are its own to spoil.
#[test]
fn endless_spools_hold_up_neither_the_server_nor_the_end_of_the_app() {
    let world = World::new();
    let app = world.app("sparse", "tests/apps/echo");
    app.push().ok();
    let spools = world.data().join("logs/spool");
    let spoil = || {
        for entry in std::fs::read_dir(&spools).unwrap().flatten().filter(|it| it.path().join("in").is_dir()) {
            for name in ["0", "1"] {
                let file = std::fs::File::options().write(true).open(entry.path().join(name)).unwrap();
                file.set_len(15 << 40).unwrap();
            }
        }
    };
    spoil();
    logged(&app, "passed over: damaged in the spool");
    world.restart_serve();
    spoil();
    app.get("/").ok();
    app.run("ps:restart", &[]).ok();
    spoil();
    app.user.ssh(&["apps:destroy", "sparse", "--confirm", "sparse"]).ok().says("Destroyed sparse");
    wait_for("no spool", Duration::from_secs(30), || std::fs::read_dir(&spools).unwrap().count() == 0);
}

#[test]
fn an_instance_that_fills_its_disk_begins_anew() {
    let world = World::with(&[("instance-disk", "64")]);
    let app = world.app("full", "tests/apps/echo");
    app.replace(
        "server.js",
        "\"/status\":",
        "\"/fill\": ({ query, response }) => {\n    const fs = require(\"node:fs\");\n    \
         fs.appendFileSync(\"/tmp/fill\", Buffer.alloc(Number(query.get(\"mb\")) * 1e6, 1));\n    \
         response.end(\"filled\\n\");\n  },\n  \"/left\": ({ response }) => response.end(String(require(\"node:fs\").existsSync(\"/tmp/fill\"))),\n  \"/status\":",
    );
    app.push().ok();
    app.get("/fill?mb=30").ok();
    wait_for("ps that shows 30 MB", Duration::from_secs(60), || app.run("ps", &[]).ok().out.contains(" MB of 64.0 MB"));
    let disk = app.run("ps", &["--format", "json"]).ok().json()[0]["disk"].clone();
    app.run("ps", &[]).ok().says("MEMORY").says(" MB of 512.0 MB");
    let memory = app.run("ps", &["--format", "json"]).ok().json()[0]["memory"].clone();
    assert!(memory["limit"] == 512_000_000 && memory["used"].as_u64().unwrap() > 5_000_000, "{memory}");
    assert!(disk["limit"] == 64_000_000 && disk["used"].as_u64().unwrap() >= 30_000_000, "{disk}");
    assert_eq!(app.get("/left").ok().trim(), "true");
    app.get("/fill?mb=90");
    logged(&app, "disk full: it wrote more than its limit of 64.0 MB");
    logged(&app, "raises instance-disk");
    wait_for("an empty disk", Duration::from_secs(60), || {
        let got = app.get("/left");
        got.status == 200 && got.body.trim() == "false"
    });
    let run = app.run("run", &["head -c 200M /dev/zero > /tmp/x; sleep 100"]).exits(137);
    run.says("run.1 was ended: disk full");
    app.replace("server.js", "const crypto", "require(\"node:fs\").writeFileSync(\"/tmp/x\", Buffer.alloc(2e8, 1));\nconst until = Date.now() + 60000;\nwhile (Date.now() < until);\nconst crypto");
    app.push().fails().says("web.1 filled its disk while starting").says("instance-disk");
    assert_eq!(app.get("/left").ok().trim(), "false", "the old release does not serve");
}

#[test]
fn without_room_no_push_begins() {
    let world = World::with(&[("free-min", "4000000")]);
    let app = world.app("tight", "tests/apps/echo");
    let pushed = app.push().fails().says("too little space for a push: ").says(" are free on ");
    pushed.says("at least 4000.0 GB must be free; nothing was written").says("doctor");
    app.user.ssh(&["apps:list"]).ok().hides("tight");
    assert_eq!(std::fs::read_dir(world.data().join("repos")).unwrap().count(), 0);
}

/// A server that lets the kernel keep connections back until they bring data, as Unicorn does.
#[test]
fn a_server_that_defers_is_up_when_it_takes_a_connection() {
    let world = World::with(&[("boot-timeout", "8")]);
    let app = dockerfile::app(&world, "defer", dockerfile::SERVE.trim_start());
    app.replace(
        "server.c",
        "#include <arpa/inet.h>",
        "#include <arpa/inet.h>\n#include <netinet/in.h>\n#include <netinet/tcp.h>",
    );
    app.replace(
        "server.c",
        "    if (bind(",
        "    int seconds = 9;\n    setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);\n    if (bind(",
    );
    dockerfile::recompile(&app);
    app.push().ok().says("web.1 is up");
    app.get("/").ok();
    // The port is open, and nobody will ever serve.
    app.replace("server.c", "    for (;;) {", "    for (;;) pause();\n    for (;;) {");
    dockerfile::recompile(&app);
    app.push().fails().says("took no connection");
    app.get("/").ok();
}
