//! The operator's hooks: when they run, what they are told, what they may stop, and what they cannot do.

use e2e::{App, World, repository, wait_for};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Installs a hook of this text.
fn hook(world: &World, name: &str, script: &str) -> PathBuf {
    let file = world.data().join("hooks").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = if script.starts_with("#!") { script.to_owned() } else { format!("#!/bin/sh\n{script}\n") };
    std::fs::write(&file, text).unwrap();
    mode(&file, 0o755);
    file
}

fn mode(file: &Path, bits: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(bits)).unwrap();
}

/// A hook that appends its document to a file of the test.
fn recording(world: &World, names: &[&str]) -> PathBuf {
    let heard = world.data().with_file_name("heard");
    for name in names {
        hook(world, name, &format!("cat >> '{}'", heard.display()));
    }
    heard
}

fn documents(heard: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(heard).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"))).collect()
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(repository().join("hooks/samples").join(name)).unwrap()
}

#[test]
fn hooks_are_told_in_order_what_happens_and_never_a_value() {
    let world = World::new();
    let heard = recording(&world, &["pre-build", "pre-release", "post-deploy", "on-failure"]);
    let app = world.app("blog", "tests/apps/echo");
    app.user.ssh(&["apps:create", "blog"]).ok();
    app.run("config:set", &["SECRET=hunter2"]).ok();
    app.push().ok().says("Running the server's hook pre-build").says("hook post-deploy");
    app.run("config:set", &["SECRET=hunter3"]).ok();
    app.run("rollback", &[]).ok();
    app.run("ps:restart", &[]).ok();
    app.run("config:set", &["BOOT_FAIL=1"]).fails();
    let all = documents(&heard);
    let told: Vec<String> = all
        .iter()
        .map(|d| {
            format!("{} {} {}", d["kind"].as_str().unwrap(), d["hook"].as_str().unwrap(), d["status"].as_str().unwrap())
        })
        .collect();
    let want = [
        "push pre-build running",
        "push pre-release running",
        "push post-deploy live",
        "config pre-release running",
        "config post-deploy live",
        "rollback pre-release running",
        "rollback post-deploy live",
        "config pre-release running",
        "config on-failure failed",
    ];
    assert_eq!(told, want);
    let live = &all[2];
    assert_eq!((&live["version"], &live["app"]["name"], &live["release"]), (&1.into(), &"blog".into(), &"v1".into()));
    assert_eq!((&live["commit"], &live["branch"], &live["actor"]), (&app.head().into(), &"main".into(), &"ana".into()));
    assert!(
        live["key"].as_str().unwrap().starts_with("SHA256:")
            && live["build"]["digest"].as_str().unwrap().contains("sha256")
    );
    assert!(live["app"]["urls"][0].as_str().unwrap().starts_with("http://blog.localhost"), "{live}");
    assert_eq!((&all[0]["release"], &all[1]["build"]["id"]), (&serde_json::Value::Null, &1.into()));
    assert_eq!((&all[8]["failure"]["code"], &all[8]["serving"]), (&"boot-crash".into(), &"v3".into()));
    assert!(!std::fs::read_to_string(&heard).unwrap().contains("hunter"));
    let git = |what: &str| {
        std::fs::read_dir(live["repository"].as_str().unwrap()).unwrap().flatten().any(|e| e.file_name() == what)
    };
    assert!(git("objects"), "the repository is where the document says");
}

#[test]
fn a_hook_that_says_no_stops_a_push_and_a_release_before_anything_changes() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let guard = hook(&world, "pre-build", "echo 'no deploys on Friday' >&2; exit 3");
    app.commit_change("note", "1");
    let said = app.push().fails().says("pre-build: no deploys on Friday").says("exit status 3").hides("Building with");
    assert!(said.err.contains("hook pre-build says no"), "{said}");
    app.run("builds", &[]).ok().says("failed");
    app.run("config:set", &["A=1"]).ok().says("v2");
    std::fs::rename(&guard, guard.with_file_name("pre-release")).unwrap();
    app.run("config:set", &["A=2"]).fails().says("no deploys on Friday").says("old values").says("v2 keeps serving");
    app.push().fails().says("Building with").says("hook pre-release says no");
    app.run("releases", &[]).ok().hides("v3");
    assert_eq!(app.get("/env?name=A").ok(), "1");
    std::fs::remove_file(guard.with_file_name("pre-release")).unwrap();
    hook(&world, "post-deploy", "echo oops; exit 4");
    app.push().ok().says("post-deploy: oops").says("exit status 4").says("nothing changes by that").says("Live: v3");
    app.run("logs", &["--source", "hoist"]).ok().says("hook post-deploy says no");
}

#[test]
fn a_folder_runs_in_order_and_stops_at_the_first_no() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    for (name, script) in
        [("20-b", "echo second; exit 5"), ("10-a", "echo first"), ("30-c", "echo third"), (".off", "exit 9")]
    {
        hook(&world, &format!("pre-build.d/{name}"), script);
    }
    hook(&world, "pre-build", "echo whole");
    let said = app.push().fails().says("pre-build.d/20-b says no").hides("third");
    let at = |text: &str| said.err.find(text).unwrap_or_else(|| panic!("{text}: {said}"));
    assert!(at("pre-build: whole") < at("10-a: first") && at("10-a: first") < at("20-b: second"), "{said}");
}

#[test]
fn files_that_others_could_have_written_are_not_run() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    let file = hook(&world, "pre-build", "echo 'it ran'");
    mode(&file, 0o777);
    app.push().fails().says("others than root may write").says("administrator").hides("it ran");
    mode(&file, 0o644);
    app.push().fails().says("it is not executable").hides("it ran");
    mode(&file, 0o755);
    std::os::unix::fs::chown(&file, Some(1000), Some(1000)).unwrap();
    app.push().fails().says("belongs to user 1000").hides("it ran");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &file).unwrap();
    app.push().fails().says("hook pre-build is not run");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    app.push().fails().says("it is not a file");
    std::fs::remove_dir(&file).unwrap();
    hook(&world, "pre-build", "#!/no/such/interpreter\n");
    app.push().fails().says("cannot be started");
    hook(&world, "pre-build", "echo 'it ran'");
    app.push().ok().says("it ran");
}

#[test]
fn a_hook_that_hangs_or_floods_or_is_killed_is_ended_with_all_it_started() {
    let world = World::with(&[("hook-timeout", "5")]);
    let app = world.app("blog", "tests/apps/static");
    let mark = format!("{}", 86_400 + std::process::id());
    hook(&world, "pre-build", &format!("echo begun; sleep {mark} & sleep {mark}"));
    app.push().fails().says("begun").says("not done after 5 s");
    let alive = || e2e::try_for(Duration::ZERO, || sleeping(&mark));
    wait_for("the end of what it started", SOON, || !alive());
    hook(&world, "pre-build", "yes flood | head -n 300000; yes x | tr -d '\\n' | head -c 3000000; echo; echo the end");
    let said = app.push().ok().says("the end").says("lines not shown");
    assert!(said.err.len() < 200_000, "{} bytes", said.err.len());
    hook(&world, "pre-build", "kill -9 $$");
    app.commit_change("note", "1");
    app.push().fails().says("exit status 137");
    hook(&world, "pre-build", "exec >&- 2>&-; cat > /dev/null");
    app.push().ok();
}

fn sleeping(mark: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').collect::<Vec<_>>().starts_with(&["sleep", mark])
    })
}

#[test]
fn a_hook_has_a_clean_environment_and_ctrl_c_ends_it() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    hook(&world, "pre-build", "pwd; env | sort | sed 's/=.*//' | tr '\\n' ' '; echo");
    let said = app.push().ok().says("pre-build: /  ");
    let names = "HOIST_ACTOR HOIST_APP HOIST_COMMIT HOIST_HOOK HOIST_JOB HOIST_KIND HOIST_RELEASE HOIST_REPOSITORY HOME LANG LC_ALL PATH PWD";
    assert!(said.err.contains(names), "{said}");
    let mark = format!("{}", 172_800 + std::process::id());
    hook(&world, "pre-build", &format!("sleep {mark}"));
    app.commit_change("note", "1");
    let push = app.spawn(&["push", "hoist", "main"]);
    wait_for("the hook", SOON, || sleeping(&mark));
    push.interrupt();
    push.end().fails();
    wait_for("the hook's end", SOON, || !sleeping(&mark));
}

#[test]
fn a_server_killed_in_a_hook_runs_it_again_and_goes_on() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/echo");
    app.push().ok();
    let seconds = format!("{}", 259_200 + std::process::id());
    for name in ["pre-build", "pre-release", "post-deploy"] {
        let (mark, heard) = (world.data().with_file_name("mark"), recording(&world, &[]));
        let _ = (std::fs::remove_file(&mark), std::fs::remove_file(&heard));
        let script = format!(
            "cat >> '{1}'; [ -e '{0}' ] && exit 0; : > '{0}'; sleep {seconds}",
            mark.display(),
            heard.display()
        );
        let file = hook(&world, name, &script);
        app.commit_change("note", name);
        let push = app.spawn(&["push", "hoist", "main"]);
        wait_for("the hook", SOON, || mark.exists());
        world.kill9_serve();
        push.end().fails();
        assert_eq!(app.get("/").status, 200);
        world.restart_serve();
        app.run("builds:wait", &[]).ok();
        let all = documents(&heard);
        assert_eq!((all.len(), &all[0]), (2, &all[1]), "{name}: the same job, told the same");
        std::fs::remove_file(file).unwrap();
    }
    app.run("releases", &[]).ok().says("v4").hides("v5");
    assert!(!sleeping(&seconds), "the dead server's hook still runs");
}

#[test]
fn several_apps_at_once_have_their_hooks_side_by_side() {
    let world = World::new();
    let heard = recording(&world, &["pre-build", "post-deploy"]);
    let apps: Vec<App<'_>> = ["one", "two", "three"].map(|n| world.app(n, "tests/apps/static")).into();
    let pushes: Vec<_> = apps.iter().map(|app| app.spawn(&["push", "hoist", "main"])).collect();
    for push in pushes {
        push.end().ok().says("hook post-deploy");
    }
    let all = documents(&heard);
    for app in &apps {
        let mine: Vec<_> = all.iter().filter(|d| d["app"]["name"] == app.name.as_str()).map(|d| &d["hook"]).collect();
        assert_eq!(mine, ["pre-build", "post-deploy"], "{}", app.name);
    }
}

#[test]
fn the_samples_do_what_they_say() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    hook(&world, "pre-build", &sample("pre-build.frozen"));
    let frozen = world.data().join("frozen");
    std::fs::write(&frozen, "until Monday\n").unwrap();
    app.push().fails().says("Deploys are frozen: until Monday");
    std::fs::remove_file(frozen).unwrap();

    hook(&world, "pre-release", &sample("pre-release.signed"));
    std::fs::write(world.data().join("allowed_signers"), format!("ana {}", app.user.public_key())).unwrap();
    app.push().fails().says("is not signed by anybody in allowed_signers");
    let key = app.user.key.display().to_string();
    for (name, value) in [("gpg.format", "ssh"), ("user.signingkey", key.as_str()), ("commit.gpgsign", "true")] {
        app.git(&["config", name, value]).ok();
    }
    app.commit_change("note", "signed");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    std::fs::write(world.data().join("webhook-url"), format!("{url}\n")).unwrap();
    hook(&world, "post-deploy", &sample("post-deploy.webhook"));
    let receiver = std::thread::spawn(move || receive(&listener));
    app.push().ok().says("has a good signature").says("post-deploy: Told 127.0.0.1:");
    let got = receiver.join().unwrap();
    assert!(
        got.starts_with("POST /hook") && got.contains("\"hook\":\"post-deploy\"") && got.contains("\"release\":\"v1\""),
        "{got}"
    );

    let mail = world.data().with_file_name("mail");
    let sendmail = hook(&world, ".sendmail", &format!("cat > '{}'", mail.display()));
    let text = sample("on-failure.mail").replace("/usr/sbin/sendmail", &sendmail.display().to_string());
    hook(&world, "on-failure", &text);
    app.git(&["config", "commit.gpgsign", "false"]).ok();
    app.commit_change("note", "unsigned");
    app.push().fails().says("on-failure: Mailed root@localhost");
    let mail = std::fs::read_to_string(mail).unwrap();
    assert!(
        mail.contains("Subject: [hoist] push of blog by ana failed\n\n{") && mail.contains("hook-refused"),
        "{mail}"
    );
}

/// One request, answered with 200.
fn receive(listener: &std::net::TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut got, mut buf) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&got).trim_end().ends_with('}') {
        match stream.read(&mut buf) {
            Ok(n) if n > 0 => got.extend_from_slice(&buf[..n]),
            _ => break,
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    String::from_utf8_lossy(&got).into_owned()
}
