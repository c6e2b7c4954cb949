//! Config vars: any value survives both shells, each change is a release without a build.

use e2e::World;

#[test]
fn hostile_values_come_back_as_they_were() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.user.ssh(&["apps:create", "conf"]).ok();
    let long = "x".repeat(20_000);
    let values = [
        ("SPACES", "  two  words  "),
        ("QUOTES", "it's \"so\" `quoted`"),
        ("SHELL", "$(id) ${HOME} $HOME; rm -rf / | & > < * ? ~ \\ \\n"),
        ("NEWLINES", "one\ntwo\n\nthree"),
        ("UNICODE", "Zürich 🚀 \u{202e}abc"),
        ("EQUALS", "a=b=c"),
        ("EMPTY", ""),
        ("DASHES", "--confirm -a x"),
        ("LONG", &long),
    ];
    let pairs: Vec<String> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
    app.run("config:set", &pairs.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    for (name, value) in values {
        let got = app.run("config:get", &[name]).ok();
        assert_eq!(got.out.strip_suffix('\n').unwrap_or(&got.out), value, "{name}");
    }
    app.push().ok();
    for (name, value) in values {
        assert_eq!(app.get(&format!("/env?name={name}")).ok(), value, "{name} inside the app");
    }
}

#[test]
fn a_value_can_come_from_standard_input() {
    let world = World::new();
    let ana = world.user("ana");
    ana.ssh(&["apps:create", "conf"]).ok();
    let value = "-----BEGIN KEY-----\nabc\n-----END KEY-----";
    ana.ssh_with(&["config:set", "conf", "--stdin", "KEY"], value.as_bytes()).ok();
    assert_eq!(ana.ssh(&["config:get", "conf", "KEY"]).ok().out.trim_end(), value);
}

#[test]
fn a_change_is_a_release_and_never_a_build() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.push().ok();
    let builds = app.run("builds", &[]).ok().out.lines().count();
    app.run("config:set", &["COLOUR=blue"]).ok().says("v2");
    assert_eq!(app.get("/env?name=COLOUR").ok().trim(), "blue");
    app.run("config:unset", &["COLOUR"]).ok().says("v3");
    assert_eq!(app.get("/env?name=COLOUR").status, 404);
    assert_eq!(app.run("builds", &[]).ok().out.lines().count(), builds);
}

#[test]
fn a_change_that_does_not_boot_restores_the_old_values() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.push().ok();
    app.run("config:set", &["BOOT_FAIL=3"]).fails();
    app.run("config", &[]).ok().hides("BOOT_FAIL");
    assert!(app.get("/").ok().contains("v1"));
}

#[test]
fn bad_names_are_refused() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.user.ssh(&["apps:create", "conf"]).ok();
    for bad in ["1A=x", "A-B=x", "=x", "NOVALUE", "PORT=1", "A B=x"] {
        app.run("config:set", &["GOOD=1", bad]).exits(1);
    }
    app.run("config", &[]).ok().hides("GOOD");
}
