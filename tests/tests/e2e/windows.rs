//! Commits as they are made on Windows: scripts without their mode, lines that end with CR LF, text in UTF-16.

use super::dockerfile::salt;
use e2e::{App, World};

const SERVE: &str = "#!/bin/sh\nexec busybox httpd -f -p $PORT -h site\n";

/// An app that a script serves, without a language.
fn scripted<'w>(world: &'w World, name: &str) -> App<'w> {
    let app = world.app(name, "tests/apps/shell");
    // As git is on Windows: files have no mode there.
    app.git(&["config", "core.fileMode", "false"]).ok();
    app.commit_change("Procfile", "web: ./start.sh\nworker: bin/work\n");
    app.commit_change("bin/work", "#!/bin/sh\nsleep 9\n");
    app.commit_change("start.sh", SERVE);
    app
}

/// Types what a refusal proposes, up to its commit.
fn type_it(app: &App<'_>, said: &str, program: &str) {
    let line = said.lines().find(|line| line.contains(program)).unwrap_or_else(|| panic!("no {program} in {said}"));
    let line = line.split(", push again").next().unwrap();
    let line = line.get(line.find(program).unwrap()..).unwrap();
    let git = line.split(" && ").map(|part| part.trim_start_matches("remote: ").trim()).collect::<Vec<_>>();
    for part in git {
        if let Some((text, _)) = part.strip_prefix("echo '").and_then(|rest| rest.split_once("' >>.gitattributes")) {
            let file = app.dir.join(".gitattributes");
            let old = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::write(file, format!("{old}{text}\n")).unwrap();
            continue;
        }
        let words = part.strip_prefix("git ").unwrap_or_else(|| panic!("not git: {part}"));
        let mut all: Vec<String> = Vec::new();
        for (n, piece) in words.split('\'').enumerate() {
            match n % 2 {
                1 => all.push(piece.to_owned()),
                _ => all.extend(piece.split_whitespace().map(str::to_owned)),
            }
        }
        app.git(&all.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    }
}

#[test]
fn a_script_without_its_mode_or_with_cr_lf_is_named_with_what_mends_it() {
    let world = World::new();
    let app = scripted(&world, "windows");
    let refused = app.push().fails().says("start.sh cannot be started: it is not marked as executable");
    let said = refused.says("bin/work cannot be started").says("git update-index --chmod=+x bin/work").err.clone();
    type_it(&app, &said, "git update-index --chmod=+x start.sh");
    app.commit_change("start.sh", &SERVE.replace('\n', "\r\n"));
    let said = app.push().fails().says("start.sh has the line ends of Windows").says("takes the CR").err.clone();
    type_it(&app, &said, "echo '*.sh text eol=lf'");
    app.push().ok();
    assert!(app.answers_with("Hello from a shell"));
}

#[test]
fn what_is_seen_only_at_the_start_has_the_same_words() {
    let world = World::new();
    let app = scripted(&world, "later");
    // Not the first word of a command: nobody looks before.
    app.commit_change("Procfile", "release: true && bin/work\nweb: true && ./start.sh\n");
    let words = "git update-index --chmod=+x";
    app.push()
        .fails()
        .says("the release command exited with status 126")
        .says(&format!("{words} bin/work && git commit"));
    app.commit_change("Procfile", "web: true && ./start.sh\n");
    let said = app.push().fails().says("web.1 exited with status 126").hides("config:set").err.clone();
    type_it(&app, &said, &format!("{words} start.sh"));
    app.commit_change("start.sh", &SERVE.replace('\n', "\r\n"));
    let said = app.push().fails().says("web.1 exited with status 127").says("start.sh").err.clone();
    type_it(&app, &said, "echo '*.sh text eol=lf'");
    app.push().ok();
    assert!(app.answers_with("Hello from a shell"));
}

#[test]
fn an_entrypoint_and_a_step_of_a_dockerfile_are_named_too() {
    let world = World::new();
    let app = world.app("docked", "tests/apps/validators");
    app.git(&["config", "core.fileMode", "false"]).ok();
    let text = |run: &str| {
        format!(
            "FROM hoist/stack-build\n{}\nWORKDIR /srv\nCOPY . .\n{run}EXPOSE 8080\nENTRYPOINT [\"./docker/entry.sh\"]\n",
            salt()
        )
    };
    app.commit_change("docker/entry.sh", "#!/bin/sh\nexec python3 serve.py\n");
    app.commit_change("Dockerfile", &text(""));
    app.push().fails().says("docker/entry.sh cannot be started").says("git update-index --chmod=+x docker/entry.sh");
    app.commit_change("Dockerfile", &text("RUN ./docker/entry.sh\n"));
    app.push().fails().says("a step of the Dockerfile starts it").says("git update-index --chmod=+x docker/entry.sh");
    app.git(&["update-index", "--chmod=+x", "docker/entry.sh"]).ok();
    app.commit_change("Dockerfile", &text(""));
    app.push().ok();
    assert!(app.get("/size-mtime/rate.js").ok().contains("rate"));
}

#[test]
fn lists_in_utf_16_and_a_wheel_of_the_repository_are_installed() {
    let world = World::new();
    let app = world.app("lists", "tests/apps/flask");
    let utf16 = |text: &str| -> Vec<u8> {
        [0xfeff_u16].into_iter().chain(text.replace('\n', "\r\n").encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let write = |path: &str, bytes: &[u8]| {
        std::fs::create_dir_all(app.dir.join(path).parent().unwrap()).unwrap();
        std::fs::write(app.dir.join(path), bytes).unwrap();
    };
    write("requirements.txt", &utf16("-rbase.txt\nlib @ file:vendor/lib-1.0-py3-none-any.whl\n"));
    write("base.txt", b"flask==3.1.2\ngunicorn==23.0.0\n");
    write("Procfile", &utf16("web: gunicorn --bind 0.0.0.0:$PORT app:app\n"));
    write("runtime.txt", &utf16("python-3.13\n"));
    write("vendor/lib-1.0-py3-none-any.whl", include_bytes!("../../apps/lib-1.0-py3-none-any.whl"));
    app.commit_change("app.py", "import lib\nfrom flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get(\"/\")\ndef index():\n    return lib.HELLO\n");
    app.push().ok().says("requirements.txt is not plain UTF-8").says("lib comes from the app's own files");
    assert!(app.answers_with("Hello from a wheel"));
    write("requirements.txt", b"flask==3.1.2\ngunicorn==23.0.0\n--find-links ./vendor\nlib==1.0\n");
    app.commit_change("note", "x");
    app.push().ok();
    assert!(app.answers_with("Hello from a wheel"));
}
