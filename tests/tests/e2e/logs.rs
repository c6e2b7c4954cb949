//! `logs`: kept across deploys, whole, harmless to a terminal.

use e2e::{App, World, wait_for};
use std::time::Duration;

fn shows(app: &App<'_>, args: &[&str], text: &str) {
    wait_for(&format!("logs that show {text:?}"), Duration::from_secs(10), || {
        app.run("logs", args).ok().out.contains(text)
    });
}

#[test]
fn lines_of_earlier_releases_stay() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/echo");
    app.push().ok();
    app.run("ps:scale", &["worker=1"]).ok();
    shows(&app, &["-p", "worker"], "of v1 started");
    app.commit_change("note", "second");
    app.push().ok();
    shows(&app, &["-n", "500"], "of v2 started");
    app.run("logs", &["-n", "500"]).ok().says("of v1 started").says("app[worker.1]: ");
    app.run("logs", &["-p", "web", "-n", "500"]).ok().hides("worker.1");
}

#[test]
fn no_line_is_lost_across_deploys_and_deaths_of_the_server() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/echo");
    app.user.ssh(&["apps:create", "logs"]).ok();
    app.run("config:set", &["WORKER_MS=20"]).ok();
    app.push().ok();
    app.run("ps:scale", &["worker=1"]).ok();
    for n in 0..3 {
        app.commit_change("note", &n.to_string());
        app.push().ok();
        world.kill9_serve();
        world.restart_serve();
    }
    wait_for("one worker", Duration::from_secs(40), || world.containers("worker").len() == 1);
    let mut beats: std::collections::BTreeMap<String, Vec<u32>> = Default::default();
    for line in app.run("logs", &["-n", "100000", "-p", "worker", "--format", "json"]).ok().out.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let beat: Option<u32> = record["text"].as_str().and_then(|t| t.strip_prefix("worker beat ")?.parse().ok());
        beats.entry(record["release"].to_string()).or_default().extend(beat);
    }
    assert_eq!(beats.len(), 4, "releases: {:?}", beats.keys());
    for (release, seen) in beats {
        assert!(seen.len() > 10 && seen.iter().copied().eq(1..=seen.len() as u32), "{release}: {seen:?}");
    }
}

#[test]
fn ten_thousand_lines_come_back_in_order() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/echo");
    app.push().ok();
    app.get("/log?n=10000").ok();
    wait_for("all lines", Duration::from_secs(20), || {
        let said = app.run("logs", &["-n", "20000", "-p", "web"]).ok().out;
        let numbers = said.lines().filter_map(|l| l.rsplit(' ').next()?.parse::<u32>().ok());
        numbers.collect::<Vec<_>>().windows(2).filter(|w| w[0] + 1 == w[1]).count() >= 9_998
    });
}

#[test]
fn requests_are_logged_and_escapes_do_not_reach_the_terminal() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/echo");
    app.replace("server.js", "const crypto", "console.log(\"\\u001b]0;owned\\u0007 marker\");\nconst crypto");
    app.push().ok();
    app.get("/status?code=204");
    shows(&app, &["-n", "100"], "status=204");
    shows(&app, &["-n", "100"], "marker");
    let said = app.run("logs", &["-n", "100"]).ok();
    assert!(!said.out.contains(['\u{1b}', '\u{7}']), "{said}");
    let json = app.run("logs", &["-n", "1", "--format", "json"]).ok();
    assert!(json.out.contains("\"time\""), "{json}");
}

#[test]
fn a_flood_hurts_nobody_else() {
    let world = World::new();
    let (flood, calm) = (world.app("flood", "tests/apps/flood"), world.app("calm", "tests/apps/echo"));
    calm.push().ok();
    flood.push().ok();
    wait_for("lines that were counted and dropped", Duration::from_secs(90), || {
        flood.run("logs", &["-n", "200000", "--source", "hoist"]).ok().out.contains("dropped")
    });
    calm.get("/log?n=3").ok();
    shows(&calm, &["-n", "50"], "3");
    flood.get("/").ok();
}
