//! What browsers are told about files that changed, or did not: servers know a file by its size and its time.

use super::dockerfile::salt;
use e2e::{App, Client, World};
use std::time::Duration;

const FIXTURE: &str = "tests/apps/validators";
const RATE: &str = "site/rate.js";

/// What a browser keeps of a page.
#[derive(Debug)]
struct Kept {
    path: String,
    tag: Option<String>,
    date: Option<String>,
    body: String,
}

fn ask(world: &World, app: &App<'_>, path: &str, kept: Option<&Kept>) -> (u16, Kept) {
    let mut client = Client::new(world.http, false);
    if let Some(tag) = kept.and_then(|kept| kept.tag.as_ref()) {
        client = client.field("if-none-match", tag);
    }
    if let Some(date) = kept.and_then(|kept| kept.date.as_ref()) {
        client = client.field("if-modified-since", date);
    }
    let got = client.get(&app.host(), path, Duration::from_secs(20)).unwrap();
    let field = |name: &str| got.header(name).map(str::to_owned);
    (got.status, Kept { path: path.to_owned(), tag: field("etag"), date: field("last-modified"), body: got.body })
}

/// Visits every page as a browser that was never here.
fn visit(world: &World, app: &App<'_>, paths: &[&str]) -> Vec<Kept> {
    let fresh = |path: &&str| {
        let (status, kept) = ask(world, app, path, None);
        assert_eq!(status, 200, "{kept:?}");
        assert!(kept.tag.is_some() || kept.date.is_some(), "{kept:?}");
        kept
    };
    paths.iter().map(fresh).collect()
}

/// Visits again: each page is answered with what it is now.
#[track_caller]
fn changed(world: &World, app: &App<'_>, visited: &[Kept], text: &str) {
    for kept in visited {
        let (status, now) = ask(world, app, &kept.path, Some(kept));
        assert_eq!((status, now.body.contains(text)), (200, true), "{kept:?} {now:?}");
        assert_eq!(kept.body.len(), now.body.len(), "the size tells nothing");
    }
}

#[track_caller]
fn unchanged(world: &World, app: &App<'_>, visited: &[Kept]) {
    for kept in visited {
        assert_eq!(ask(world, app, &kept.path, Some(kept)).0, 304, "{kept:?}");
    }
}

/// Pushes another content, the one before once more, and a rollback.
fn there_and_back(world: &World, app: &App<'_>, file: &str, paths: &[&str], same: &[&str], by_date: &[&str]) {
    let first = visit(world, app, paths);
    let style = visit(world, app, same);
    unchanged(world, app, &first);
    app.replace(file, "rate=10", "rate=99");
    app.push().ok();
    changed(world, app, &first, "rate=99");
    unchanged(world, app, &style);
    let second = visit(world, app, paths);
    app.git(&["revert", "--no-edit", "HEAD"]).ok();
    app.push().ok();
    changed(world, app, &second, "rate=10");
    unchanged(world, app, &style);
    let third = visit(world, app, paths);
    app.run("rollback", &["v2"]).ok();
    let (dated, told): (Vec<Kept>, Vec<Kept>) =
        third.into_iter().partition(|kept| by_date.contains(&kept.path.as_str()));
    changed(world, app, &told, "rate=99");
    // What a rollback brings back is older than what browsers have. A build gives it the time that it has here.
    app.run("ps:rebuild", &[]).ok();
    changed(world, app, &dated, "rate=99");
}

#[test]
fn a_changed_file_is_never_taken_for_the_one_before() {
    let world = World::new();
    let app = world.app("files", FIXTURE);
    app.push().ok();
    let pages = ["/flask/rate.js", "/size-mtime/rate.js", "/exact/rate.js", "/since/rate.js"];
    let same = ["/flask/site.css", "/size-mtime/site.css", "/since/site.css"];
    there_and_back(&world, &app, RATE, &pages, &same, &["/since/rate.js"]);
    assert_eq!(app.get("/zip").ok(), "zipped");
    app.run("ps:rebuild", &[]).ok().says("Nothing changed");

    // A package that changes, and goes back.
    let before = app.get("/package").ok();
    app.replace("requirements.txt", "gunicorn", "markupsafe==3.0.1\ngunicorn");
    app.push().ok();
    let older = app.get("/package").ok();
    app.replace("requirements.txt", "markupsafe==3.0.1\n", "");
    app.push().ok().hides("Installing dependencies");
    let back = app.get("/package").ok();
    let time = |line: &str| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    assert!(time(&before) < time(&older) && time(&older) < time(&back), "{before}, {older}, {back}");
}

#[test]
fn a_static_site_tells_what_changed_and_what_did_not() {
    let world = World::new();
    let app = world.app("pages", "tests/apps/static");
    app.commit_change("rate.js", "var rate=10;\n");
    app.push().ok();
    there_and_back(&world, &app, "rate.js", &["/rate.js"], &["/style.css"], &[]);
    // By the date alone, all is told anew.
    let (_, mut kept) = ask(&world, &app, "/rate.js", None);
    kept.tag = None;
    assert_eq!(ask(&world, &app, "/rate.js", Some(&kept)).0, 200);
}

#[test]
fn files_that_a_dockerfile_copies_tell_what_changed() {
    let world = World::new();
    let app = world.app("docked", "tests/apps/validators");
    let text = format!(
        "FROM hoist/stack-build\n{}\nWORKDIR /srv\nCOPY serve.py .\nCOPY site site\nEXPOSE 8080\nCMD [\"python3\", \"serve.py\"]\n",
        salt()
    );
    app.commit_change("Dockerfile", &text);
    app.push().ok();
    let pages = ["/size-mtime/rate.js", "/exact/rate.js", "/since/rate.js"];
    there_and_back(&world, &app, RATE, &pages, &["/size-mtime/site.css", "/since/site.css"], &["/since/rate.js"]);
    app.run("ps:rebuild", &[]).ok().hides("rate=").says("cached");
}
