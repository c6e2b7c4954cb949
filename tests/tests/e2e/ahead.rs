//! Runtimes that are fetched before an app asks for them.

use e2e::{World, wait_for};
use std::time::Duration;

const FETCHED_WITHIN: Duration = Duration::from_secs(240);

/// The layers of this name that are kept for all apps.
fn kept(world: &World, layer: &str) -> usize {
    let folder = std::fs::read_dir(world.data().join("cache/kept/host")).unwrap().flatten();
    folder.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{layer}-"))).count()
}

#[test]
fn the_first_app_of_a_language_finds_its_runtime() {
    let world = World::with(&[("fetch-ahead", "go")]);
    wait_for("a Go that nobody asked for", FETCHED_WITHIN, || kept(&world, "toolchain") == 1);
    let app = world.app("service", "tests/apps/go");
    app.push().ok().says("Go 1.26").hides("Looking up").hides("Fetching");
    assert_eq!(kept(&world, "toolchain"), 1);
    world.hoist(&["events"]).ok().hides("fetch");
}

/// Python's runtime and its installer are asked for while they are fetched for nobody.
#[test]
fn a_push_while_it_is_fetched() {
    let world = World::with(&[("fetch-ahead", "python")]);
    let app = world.app("flask", "tests/apps/flask");
    wait_for("the fetching to begin", FETCHED_WITHIN, || world.data().join("builds/0-runtime").exists());
    let said = app.push().ok().says("Python 3.13").all();
    assert!(!said.contains("Fetching Python") || said.contains("This is being fetched already"), "{said}");
    assert!(app.answers_with("Hello from Flask"));
    assert_eq!((kept(&world, "installer"), kept(&world, "runtime")), (1, 2), "Node.js was there");
}

#[test]
fn a_fetch_that_was_killed_is_done_again_and_a_shutdown_ends_it() {
    let world = World::with(&[("fetch-ahead", "python go")]);
    let fetching = |what: &str| world.left_in_engine().iter().any(|left| left.contains(what));
    world.install();
    wait_for("a container of the fetch", FETCHED_WITHIN, || fetching("-b0-"));
    world.kill9_serve();
    world.restart_serve();
    wait_for("Python all the same", FETCHED_WITHIN, || kept(&world, "installer") == 1 && kept(&world, "runtime") == 2);
    // The world's own end sees that nothing is left.
    wait_for("a container of the next", FETCHED_WITHIN, || fetching("-b0-toolchain"));
}
