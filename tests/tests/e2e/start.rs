//! Starting the server: what it refuses, and that it leaves alone what it cannot read.

use e2e::{World, hoist};

#[test]
fn every_mistake_of_the_configuration_is_reported_at_once() {
    let bad = ["serve", "--data", "/nowhere/data", "--ssh", "nowhere", "--http", "x:y", "--base-domain", "a..b"];
    hoist(&bad).exits(64).says("nowhere").says("x:y").says("a..b");
    hoist(&["serve", "--no-such-flag", "1"]).exits(64).says("no-such-flag");
    hoist(&["serve"]).exits(64).says("data");
}

#[test]
fn a_second_server_on_one_data_folder_is_refused() {
    let world = World::new();
    world.serve_again().fails().says("a server runs on").says("shutdown");
    world.user("ana").ssh(&["whoami"]).ok();
}

#[test]
fn a_corrupt_database_is_refused_and_left_as_it_is() {
    let world = World::new();
    world.user("ana");
    world.stop_serve();
    let file = world.data().join("hoist.db");
    let good = std::fs::read(&file).unwrap();
    let mut spoiled = good.clone();
    spoiled[100..4096].fill(0xa5);
    for bytes in
        [spoiled, b"not a database at all, but long enough to look at".to_vec(), good[..good.len() / 2].to_vec()]
    {
        std::fs::write(&file, &bytes).unwrap();
        world.serve_again().fails().says("hoist.db");
        assert!(std::fs::read(&file).unwrap() == bytes, "the file was changed");
    }
    std::fs::write(&file, &good).unwrap();
    world.restart_serve();
    world.user("ana").ssh(&["whoami"]).ok();
}
