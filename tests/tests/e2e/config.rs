//! Config vars: any value survives both shells, each change is a release without a build.

use e2e::{World, program, run};
use std::time::Duration;

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

#[test]
fn a_file_is_imported_and_comes_out_as_it_went_in() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.push().ok();
    let import = |args: &[&str], text: &str| {
        let words: Vec<&str> = ["config:import", "conf"].into_iter().chain(args.iter().copied()).collect();
        app.user.ssh_with(&words, text.as_bytes())
    };
    let dotenv = "\u{feff}# mine\r\nexport A='it is # $HOME'\r\nB=\"two\\nlines\" # said\r\nKEY=\"-----BEGIN\nabc\"\n";
    import(&[], dotenv).ok().says("Read 3 config vars (dotenv)").says("added: A, B, KEY").says("v2").hides("$HOME");
    assert_eq!(app.get("/env?name=KEY").ok(), "-----BEGIN\nabc");
    import(&[], dotenv).ok().says("Nothing changes").hides("v3");
    import(&["--replace"], "A=1\nC=3\n").ok().says("added: C").says("changed: A").says("removed: B, KEY").says("v3");
    assert_eq!(app.get("/env?name=B").status, 404);
    let wrong = import(&[], "A=2\nhunter2\n1X=hunter2\nD='hunter2\n").exits(1).hides("hunter2");
    wrong.says("3 mistakes").says("line 2: ").says("line 3: ").says("line 4: ").says("nothing was changed");
    import(&["--replace"], "# nothing\n").exits(1).says("nothing was changed");
    import(&["--format", "xml"], "").exits(1).says("dotenv, json or shell");
    import(&[], "PORT=1\nZ=1\n").exits(1).says("PORT is set by the platform");
    assert_eq!(app.run("config:get", &["A"]).ok().out, "1\n");
    import(&["--no-restart"], "{\"A\": \"it's\\n$(id) \\\"so\\\"\", \"U\": \"Zürich 🚀\"}").ok();
    let whole = app.run("config", &["--format", "json"]).ok().json();
    for format in ["dotenv", "json", "shell"] {
        let text = app.run("config:export", &["--format", format]).ok().out;
        app.run("config:set", &["A=x", "C=y", "--no-restart"]).ok();
        import(&["--replace", "--no-restart"], &text).ok();
        assert_eq!(app.run("config", &["--format", "json"]).ok().json(), whole, "{text}");
    }
    // What a shell makes of it is the same.
    let mut bash = program("bash");
    bash.args(["-c", &format!("{}\nprintf %s \"$A\"", app.run("config:export", &["--format", "shell"]).ok().out)]);
    assert_eq!(run(bash, b"", Duration::from_secs(10)).ok().out, "it's\n$(id) \"so\"");
}

#[test]
fn values_that_are_only_stored_wait_for_the_next_release() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.push().ok();
    app.run("config:set", &["A=1", "--no-restart"]).ok().says("used from its next release on").hides("v2");
    assert_eq!(app.get("/env?name=A").status, 404);
    app.run("config", &[]).ok().says("A: 1").says("not in use before the next release").says("ps:restart conf");
    app.run("releases", &[]).ok().hides("v2");
    app.commit_change("note", "1");
    app.push().ok().says("v2");
    assert_eq!(app.get("/env?name=A").ok(), "1");
    app.run("config", &[]).ok().hides("not in use");
    app.run("config:set", &["B=2", "--no-restart"]).ok();
    app.run("ps:restart", &[]).ok().says("v3");
    assert_eq!(app.get("/env?name=B").ok(), "2");
    app.run("config:set", &["C=3", "--no-restart"]).ok();
    app.run("config:set", &["C=3"]).ok().says("stored before").says("v4");
    app.run("config:unset", &["C", "--no-restart"]).ok();
    let back = app.run("rollback", &["v1"]).ok();
    back.says("Config vars removed: A, B, C").says("rollback conf v1 --keep-config").says("v5");
    assert_eq!(app.get("/env?name=A").status, 404);
    app.run("config", &[]).ok().hides("A:");
    app.run("rollback", &["v2", "--keep-config"]).ok().hides("Config vars").says("today's config vars").says("v6");
    assert_eq!(app.get("/env?name=A").status, 404);
    app.run("config:unset", &["NEVER"]).ok().says("NEVER is not set").says("Nothing changes");
}

#[test]
fn references_are_filled_in_for_builds_and_instances() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.user.ssh(&["apps:create", "conf"]).ok();
    app.run("config:set", &["HOME_URL=http://${{HOIST_DOMAIN}}/x", "WHO=${{NAME}}@${{HOIST_INSTANCE}}", "NAME=me"])
        .ok();
    app.run("config:set", &["TEXT=$${{NAME}} ${NAME} {{NAME}}", "REL=${{HOIST_RELEASE_VERSION}}"]).ok();
    app.replace(
        "package.json",
        "\"start\"",
        "\"build\": \"node -p 'process.env.HOME_URL + process.env.REL'\", \"start\"",
    );
    app.push().ok().says("http://conf.localhost/xundefined");
    for (name, want) in [
        ("HOME_URL", "http://conf.localhost/x"),
        ("WHO", "me@web.1"),
        ("TEXT", "${{NAME}} ${NAME} {{NAME}}"),
        ("REL", "v1"),
        ("HEROKU_APP_NAME", "conf"),
        ("HEROKU_RELEASE_VERSION", "v1"),
        ("HEROKU_APP_DEFAULT_DOMAIN_NAME", "conf.localhost"),
        ("HOIST_DOMAIN", "conf.localhost"),
    ] {
        assert_eq!(app.get(&format!("/env?name={name}")).ok(), want, "{name}");
    }
    assert_eq!(app.get("/env?name=HEROKU_SLUG_COMMIT").ok(), app.head());
    app.run("config:get", &["WHO"]).ok().says("${{NAME}}@${{HOIST_INSTANCE}}");
    app.run("config:set", &["X=${{NOTHING}}"]).exits(1).says("refers to ${{NOTHING}}").says("$${{");
    app.run("config:unset", &["NAME"]).exits(1).says("WHO refers to ${{NAME}}");
    app.run("config:set", &["NAME=${{WHO}}"]).exits(1).says("refers to itself");
    app.run("config:set", &["PATH=/nowhere", "--no-restart"]).ok().says("replaces the image's own");
}

#[test]
fn values_are_nowhere_but_in_the_instances() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.user.ssh(&["apps:create", "conf"]).ok();
    let canary = "c4n4ry5ecret";
    let lines: Vec<String> = (1..=3).map(|n| format!("S{n}={canary}{n}\n")).collect();
    app.user.ssh_with(&["config:import", "conf"], lines.concat().as_bytes()).ok().hides(canary);
    app.run("config:set", &[&format!("S4={canary}4"), "bad name=1"]).exits(1).hides(canary);
    app.run("config:set", &[&format!("S5={canary}5"), "X=${{NO}}"]).exits(1).hides(canary);
    app.user
        .ssh_with(&["config:import", "conf"], format!("{canary}\nA B={canary}\nC='{canary}").as_bytes())
        .exits(1)
        .hides(canary);
    app.user.ssh_with(&["config:set", "conf", "--stdin", "S6"], format!("{canary}6").as_bytes()).ok().hides(canary);
    app.replace("package.json", "\"start\"", "\"build\": \"exit 0\", \"start\"");
    app.push().ok().hides(canary);
    app.run("config:set", &[&format!("S1={canary}7")]).ok().hides(canary);
    app.run("config:set", &[&format!("S1={canary}8"), "BOOT_FAIL=1"]).fails().hides(canary);
    app.replace("package.json", "exit 0", "exit 1");
    app.push().fails().hides(canary);
    app.run("events", &[]).ok().hides(canary);
    app.run("logs", &["-n", "1000"]).ok().hides(canary);
    app.run("builds:output", &[]).ok().hides(canary);
    app.run("releases", &[]).ok().hides(canary);
    world.hoist(&["events", "--format", "json"]).ok().hides(canary);
    let login = format!("{canary}9");
    world.hoist_with(&["registry:login", "registry.example", "ci"], login.as_bytes()).ok().hides(canary);
    world.hoist(&["secrets:rotate"]).ok().says("is gone from secret.key").hides(canary);
    app.run("config", &[]).ok().says(&format!("S1: {canary}7"));
    for image in e2e::engine::images(world.install()) {
        crate::dockerfile::docker(&["history", "--no-trunc", &image]).contains(canary).then(|| panic!("in {image}"));
        crate::dockerfile::docker(&["inspect", &image]).contains(canary).then(|| panic!("in {image}"));
    }
    // The command line of every process, and every file of the installation: the database and its log too.
    // The pattern comes on standard input: as an argument it would find itself.
    let mut grep = program("grep");
    grep.args(["-rlaF", "-f", "-"]).arg(world.data().parent().unwrap());
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        if process.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
            grep.arg(process.path().join("cmdline"));
        }
    }
    let found = run(grep, canary.as_bytes(), Duration::from_secs(120)).out;
    assert_eq!(found, "", "the value lies in these");
}

#[test]
fn a_secret_var_is_never_shown_again() {
    let world = World::new();
    let app = world.app("conf", "tests/apps/echo");
    app.push().ok();
    let canary = "c4n4ry5ecret";
    app.run("config:set", &["PLAIN=1", "LATER=c4n4ry5ecret0"]).ok();
    app.run("config:set", &["--secret", &format!("TOKEN={canary}1")]).ok().says("v3").hides(canary);
    app.user.ssh_with(&["config:set", "conf", "--secret", "--stdin", "KEY"], format!("{canary}2").as_bytes()).ok();
    // The same value, hidden from now on.
    app.run("config:set", &["--secret", &format!("LATER={canary}0")]).ok().says("not shown any more: LATER");
    let hidden = |app: &e2e::App<'_>| {
        app.run("config", &[]).ok().says("PLAIN: 1").says("TOKEN: (secret, since 20").says("KEY:").hides(canary);
        app.run("config", &["--shell"]).ok().says("PLAIN=1").says("TOKEN is secret and left out").hides(canary);
        let json = app.run("config", &["--format", "json"]).ok().hides(canary).json();
        assert_eq!((json["PLAIN"].as_str(), json["TOKEN"].is_null()), (Some("1"), true), "{json}");
        app.run("config:get", &["TOKEN"]).exits(1).says("is not shown again").hides(canary);
        app.run("config:get", &["TOKEN", "--format", "json"]).exits(1).hides(canary);
        for format in ["dotenv", "json", "shell"] {
            app.run("config:export", &["--format", format]).ok().says("PLAIN").says("left out").hides(canary);
        }
    };
    hidden(&app);
    // The app has it, and it stays secret with a new value.
    assert_eq!(app.get("/env?name=TOKEN").ok(), format!("{canary}1"));
    app.run("config:set", &[&format!("TOKEN={canary}3")]).ok();
    hidden(&app);
    assert_eq!(app.get("/env?name=TOKEN").ok(), format!("{canary}3"));
    // What was exported is imported again without losing it.
    let export = app.run("config:export", &[]).ok().out;
    let import = ["config:import", "conf", "--replace", "--no-restart"];
    app.user.ssh_with(&import, export.as_bytes()).ok().says("TOKEN is secret and stays");
    hidden(&app);
    // A release of before it was secret does not show it.
    app.run("rollback", &["v2"]).ok();
    app.run("config", &[]).ok().says("LATER: (secret").hides(canary);
    app.run("rollback", &["v5"]).ok();
    hidden(&app);
    app.run("ps:restart", &[]).ok();
    hidden(&app);
    world.kill9_serve();
    world.restart_serve();
    hidden(&app);
    app.run("config:unset", &["LATER"]).ok();
    app.run("config:set", &["LATER=2"]).ok();
    app.run("config:get", &["LATER"]).ok().says("2");
}

#[test]
fn a_server_without_its_key_says_so_and_there_is_a_way_out() {
    let world = World::new();
    let ana = world.user("ana");
    ana.ssh(&["apps:create", "conf"]).ok();
    ana.ssh(&["config:set", "conf", "A=1"]).ok();
    world.hoist(&["forget-secrets", "--confirm"]).exits(70).says("a server runs");
    world.stop_serve();
    let key = world.data().join("secret.key");
    let bytes = std::fs::read(&key).unwrap();
    let database = std::fs::read(world.data().join("hoist.db")).unwrap();
    std::fs::remove_file(&key).unwrap();
    let said = world.serve_again().exits(70).says("secret.key is not there").says("start again");
    said.says("forget-secrets --confirm");
    std::fs::write(&key, &bytes[..bytes.len() - 4]).unwrap();
    world.serve_again().exits(70).says("is damaged").says("nothing was changed");
    let beside = std::fs::read_dir(world.data()).unwrap().map(|entry| entry.unwrap().file_name());
    let new = beside.filter(|name| name.to_string_lossy().starts_with(".secret.key")).collect::<Vec<_>>();
    assert!(new.is_empty(), "{new:?}");
    assert_eq!(std::fs::read(world.data().join("hoist.db")).unwrap(), database);
    std::fs::write(&key, &bytes).unwrap();
    world.restart_serve();
    ana.ssh(&["config", "conf"]).ok().says("A: 1");
    world.stop_serve();
    std::fs::remove_file(&key).unwrap();
    world.hoist(&["forget-secrets"]).exits(64).says("forget-secrets --confirm");
    world.hoist(&["forget-secrets", "--confirm"]).ok().says("config:set APP");
    world.restart_serve();
    ana.ssh(&["config", "conf"]).ok().hides("A:");
    ana.ssh(&["config:set", "conf", "A=2"]).ok();
    ana.ssh(&["config:get", "conf", "A"]).ok().says("2");
}
