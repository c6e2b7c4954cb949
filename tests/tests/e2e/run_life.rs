//! The life of one-off instances: detached ones, clients that go, a server that is killed, deploys meanwhile, limits.

use e2e::{App, World, wait_for};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(40);

fn pushed<'w>(world: &'w World, name: &str) -> App<'w> {
    let app = world.app(name, "tests/apps/echo");
    app.commit_change("Procfile", "web: node server.js\n");
    app.push().ok();
    app
}

fn gone(world: &World, app: &App<'_>) {
    wait_for("no one-off instance is left", SOON, || {
        let io = std::fs::read_dir(world.data().join("run/io")).unwrap().count();
        // One folder is web's.
        world.containers("run").is_empty() && !app.run("ps", &[]).ok().out.contains(" up ") || io == 1
    });
    wait_for("no folder is left", SOON, || std::fs::read_dir(world.data().join("run/io")).unwrap().count() <= 1);
    assert!(world.containers("run").is_empty());
}

#[test]
fn detached_runs_go_to_the_log_and_outlive_deploys_and_the_server() {
    let world = World::new();
    let app = pushed(&world, "jobs");
    app.run("run", &["--detach", "--", "sh", "-c", "echo begins; sleep 8; echo is done; exit 5"])
        .ok()
        .says("run.1 is running detached")
        .says("logs jobs -t -p run.1");
    app.run("run:detached", &["sleep", "1000"]).ok().says("run.2");
    app.run("ps", &[]).ok().says("run.1").says("run.2").says("ana").says("sleep 1000");
    let two = app.run("ps", &["--json"]).ok().json();
    assert!(two.as_array().unwrap().iter().any(|row| row["name"] == "run.2" && row["detached"] == true), "{two}");
    world.kill9_serve();
    world.restart_serve();
    app.commit_change("note", "a deploy meanwhile");
    app.push().ok();
    app.run("ps:restart", &[]).ok();
    app.run("ps", &[]).ok().says("run.2");
    wait_for("its end", SOON, || app.run("ps", &[]).ok().out.contains("ended with 5"));
    app.run("logs", &["-s", "run"]).ok().says("begins").says("is done").says("run[run.1]");
    app.run("logs", &["-s", "hoist"]).ok().says("run.1 of ana ended with exit code 5");
    app.run("ps:stop", &["run.2"]).ok().says("run.2 ended with exit code 143").says("stopped by ana");
    app.run("ps:stop", &["run.2"]).exits(1).says("nothing called run.2");
    app.run("ps:stop", &["run.9"]).exits(1);
    app.get("/").ok();
    gone(&world, &app);
}

#[test]
fn a_client_that_goes_ends_its_run() {
    let world = World::new();
    let app = pushed(&world, "gone");
    // Ctrl-C in a terminal of the client, without one inside; a kill of the client; the same at a terminal.
    let words = ["run", "gone", "--", "sh", "-c", "sleep 1000 | cat"];
    let interrupted = e2e::Running::start(app.user.ssh_command(&words));
    wait_for("it runs", SOON, || world.containers("run").len() == 1);
    interrupted.interrupt();
    interrupted.end();
    gone(&world, &app);
    let mut shell = app.user.terminal(&["run", "gone", "bash"]);
    shell.keys("trap '' HUP TERM; echo $((1+1))in\r");
    shell.shows("2in");
    shell.kill9();
    gone(&world, &app);
    app.run("logs", &["-s", "hoist"]).ok().says("its client went away");
}

#[test]
fn a_killed_server_leaves_nobody_running() {
    let world = World::new();
    let app = pushed(&world, "orphan");
    let mut shell = app.user.terminal(&["run", "orphan", "bash"]);
    shell.keys("echo $((1+1))in\r");
    shell.shows("2in");
    let mut inside = app.user.terminal(&["enter", "orphan", "web.1", "--", "sleep", "1234"]);
    wait_for("both run", SOON, || {
        app.run("ps:exec", &["--", "sh", "-c", "cat /proc/[0-9]*/cmdline"]).out.contains("1234")
    });
    assert_eq!(world.containers("run").len(), 1);
    world.kill9_serve();
    shell.kill9();
    inside.kill9();
    // Before any server is there again.
    wait_for("the run ends by itself", SOON, || world.containers("run").is_empty());
    world.restart_serve();
    gone(&world, &app);
    app.run("ps:exec", &["--", "sh", "-c", "cat /proc/[0-9]*/cmdline"]).ok().hides("1234");
    app.run("logs", &["-s", "hoist"]).ok().says("run.1 of ana ended");
    app.run("run", &["true"]).ok();
}

#[test]
fn limits_and_the_end_of_the_app() {
    let world = World::with(&[("run-max", "2"), ("run-timeout", "100")]);
    let app = pushed(&world, "limits");
    for _ in 0..2 {
        app.run("run", &["-d", "sleep", "1000"]).ok();
    }
    app.run("run", &["true"]).exits(1).says("has 2 one-off instances already").says("ps:stop limits run.N");
    app.run("run", &["--timeout", "101", "true"]).exits(1).says("from 1 to 100");
    app.run("ps:stop", &[]).ok();
    app.run("ps", &[]).ok().says("run.1").says("run.2");
    app.run("apps:destroy", &["--confirm", "limits"]).ok();
    wait_for("nothing is left", SOON, || world.containers("run").is_empty());
    wait_for("no folder is left", SOON, || std::fs::read_dir(world.data().join("run/io")).unwrap().count() == 0);
}
