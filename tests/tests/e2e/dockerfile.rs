//! Apps with a Dockerfile.

use e2e::World;

const FIXTURE: &str = "tests/apps/dockerfile";

#[test]
fn a_dockerfile_is_built_and_served() {
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
    assert!(app.get("/").ok().contains("changed v5"));
}
