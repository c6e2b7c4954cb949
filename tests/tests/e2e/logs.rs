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

/// Both streams at once, a line of any length, bytes of any kind, and the last words of an instance.
#[test]
fn every_line_of_both_streams_and_the_last_before_a_death() {
    let world = World::with(&[("app-memory", "96")]);
    let app = world.app("logs", "tests/apps/talk");
    app.push().ok();
    app.get("/both?n=10000").ok();
    shows(&app, &["-n", "20"], "err 10000");
    let said = records(&app, &["--source", "app", "-n", "30000"]);
    for (stream, word) in [("out", "out "), ("err", "err ")] {
        let texts = said.iter().filter(|r| r["stream"] == stream).filter_map(|r| r["text"].as_str());
        let numbers: Vec<u32> = texts.filter_map(|t| t.strip_prefix(word)?.parse().ok()).collect();
        assert!(numbers.iter().copied().eq(1..=10_000), "{stream}: {} of 10000 in order", numbers.len());
    }
    app.get("/long?bytes=25000").ok();
    app.get("/binary").ok();
    shows(&app, &["-n", "5", "--source", "app"], "b");
    let parts: Vec<String> =
        records(&app, &["--grep", "ää"]).iter().map(|r| r["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!((parts.len(), parts.concat()), (3, "ä".repeat(12_500)), "no character is cut in two");
    app.run("logs", &["--grep", "ää"]).ok().says("ä…\n");
    let binary = app.run("logs", &["-n", "1", "--source", "app"]).ok();
    assert!(!binary.out.contains(|c: char| c.is_control() && c != '\n'), "{binary}");
    for (path, last) in [("/kill?text=famous-last-words", "famous-last-words"), ("/oom?text=too-much", "too-much")] {
        wait_for("an instance that answers", Duration::from_secs(60), || world.get(&app.host(), "/").status == 200);
        world.get(&app.host(), path);
        shows(&app, &["--source", "app", "--grep", last], last);
    }
}

/// A download bar is one line: where it stands shows while it stands there, and in the end only its end is added.
#[test]
fn of_progress_the_last_state_is_shown() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/talk");
    app.push().ok();
    for at in [42, 77] {
        app.get(&format!("/progress?at={at}")).ok();
        shows(&app, &["--source", "app"], &format!("app[web.1]: {at} percent"));
    }
    app.get("/progress?at=100").ok();
    shows(&app, &["--source", "app"], "100 percent");
    let said = records(&app, &["--source", "app", "--grep", "percent"]);
    let texts: Vec<&str> = said.iter().filter_map(|r| r["text"].as_str()).collect();
    assert_eq!(texts, ["42 percent", "77 percent", "100 percent"]);
}

fn records(app: &App<'_>, args: &[&str]) -> Vec<serde_json::Value> {
    let mut words = vec!["--format", "json"];
    words.extend(args);
    app.run("logs", &words).ok().out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn questions_go_together_and_bad_ones_are_refused() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/talk");
    app.push().ok();
    app.run("ps:scale", &["beat=1"]).ok();
    app.get("/both?n=300").ok();
    shows(&app, &["-p", "beat", "-n", "500"], "beat 30");
    shows(&app, &["-n", "500", "-p", "web"], "err 300");
    let all = records(&app, &["-n", "100000"]);
    assert!(all.windows(2).all(|w| w[0]["time"].as_str() <= w[1]["time"].as_str()), "by time");
    let ids: std::collections::BTreeSet<u64> = all.iter().filter_map(|r| r["id"].as_u64()).collect();
    assert_eq!(ids.len(), all.len());
    let sources: std::collections::BTreeSet<&str> = all.iter().filter_map(|r| r["source"].as_str()).collect();
    assert!(
        ["app", "router", "hoist"].iter().all(|s| sources.contains(s)) && !sources.contains("build"),
        "{sources:?}"
    );
    app.run("logs", &["--source", "build"]).ok().says("a line of the build");
    let count = |args: &[&str]| app.run("logs", args).ok().out.lines().count();
    assert_eq!(count(&["--grep", "out 2", "-p", "web", "-n", "1000"]), 111);
    assert_eq!(count(&["--grep", "/^(out|err) 2[0-9]$/", "-p", "web.1"]), 20);
    assert_eq!(count(&["--grep", "out 2", "-p", "beat,worker"]), 0);
    assert_eq!(count(&["--source", "router,hoist", "--grep", "out 2"]), 0);
    assert!(count(&["--since", "5m", "-p", "web"]) == 600 && count(&["--until", "1d"]) == 0);
    assert_eq!(count(&["-p", "web", "-n", "7", "--since", "1h"]), 7);
    app.run("logs", &["--grep", "nowhere"]).ok().says("no line matches");
    for (args, code) in [
        (["--since", "yesterday"], "--since 10m"),
        (["--until", "5 o'clock"], "--until 10m"),
        (["--grep", "/(/"], "--grep"),
        (["--grep", "/x{9999}{9999}/"], "too large"),
        (["--source", "dyno"], "app, router, build"),
        (["-p", "../web"], "-p web.1"),
        (["-n", "many"], "-n 500"),
        (["--after", "99999999"], "the next one is"),
        (["--after", "x"], "--format json"),
    ] {
        app.run("logs", &args).fails().says(code);
    }
    app.run("logs", &["--since", "1h", "--until", "2h"]).fails().says("later than");
    app.run("logs", &["-t", "--until", "2h"]).fails().says("do not go together");
}

/// A reader that comes back with the id of its last line sees every line once, whatever dies meanwhile.
#[test]
fn a_follower_goes_on_where_it_was() {
    let world = World::new();
    let app = world.app("logs", "tests/apps/talk");
    app.push().ok();
    app.run("ps:scale", &["beat=1"]).ok();
    let mut seen: Vec<(u64, u64, u64)> = Vec::new();
    for round in 0..4 {
        let after = seen.last().map(|(id, ..)| id.to_string());
        let mut words = vec!["logs", "logs", "-t", "--format", "json", "-p", "beat", "-n", "100000"];
        words.extend(after.iter().flat_map(|id| ["--after", id.as_str()]));
        let mut tail = e2e::Running::start(app.user.ssh_command(&words));
        if round == 2 {
            app.commit_change("note", "a release while it is followed");
            app.push().ok();
        }
        let beats = || app.run("logs", &["-p", "beat", "-n", "1"]).ok().out;
        let before = beats();
        wait_for("more beats", Duration::from_secs(20), || beats() != before);
        world.kill9_serve();
        wait_for("the end of the follower", Duration::from_secs(20), || tail.is_over());
        let out = tail.end().out;
        let whole = out.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        for record in whole.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
            let beat = record["text"].as_str().and_then(|t| t.strip_prefix("beat ")?.parse().ok());
            let number = |key: &str| record[key].as_u64().unwrap();
            seen.extend(beat.map(|beat| (number("id"), number("release"), beat)));
        }
        world.restart_serve();
    }
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0), "each id once and in order");
    let mut releases: std::collections::BTreeMap<u64, Vec<u64>> = Default::default();
    seen.iter().for_each(|(_, release, beat)| releases.entry(*release).or_default().push(*beat));
    assert_eq!(releases.len(), 2);
    for (release, beats) in releases {
        assert!(beats.len() > 20 && beats.iter().copied().eq(1..=beats.len() as u64), "v{release}: {beats:?}");
    }
}

fn disk(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { disk(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

#[test]
fn a_flood_hurts_nobody_else() {
    let world = World::with(&[("logs-app", "16"), ("logs-total", "40")]);
    let (flood, calm) = (world.app("flood", "tests/apps/flood"), world.app("calm", "tests/apps/echo"));
    calm.push().ok();
    flood.user.ssh(&["apps:create", "flood"]).ok();
    // Long lines: on a busy machine there are not enough of short ones.
    flood.run("config:set", &["BYTES=4000"]).ok();
    flood.push().ok();
    wait_for("lines that were counted and dropped", Duration::from_secs(90), || {
        flood.run("logs", &["-n", "1", "--source", "hoist", "--grep", "lines dropped"]).ok().out.contains("dropped")
    });
    let begun = std::time::Instant::now();
    let (_, report) = world.load(&calm.host(), 50, || {
        for n in 0..20 {
            calm.get(&format!("/log?n={n}")).ok();
            // By its text: the other requests push it out of the last fifty lines within a second.
            shows(&calm, &["-n", "50", "--grep", &format!("n={n}")], &format!("n={n}\""));
        }
        wait_for("five seconds", Duration::from_secs(10), || begun.elapsed() > Duration::from_secs(5));
    });
    report.none_lost();
    // The newest segment is not compressed and always stays.
    let stored = disk(&world.data().join("logs/apps"));
    assert!(stored < 16_000_000 + 2 * 9_000_000, "{stored}");
    flood.get("/").ok();
}
