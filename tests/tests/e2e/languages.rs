//! Real apps of each language, with real dependencies: pushed, answered, changed.

use e2e::{World, program};
use std::path::Path;

/// An image of this machine's stack with its CA bundle, as a build by Docker alone needs it.
fn with_bundle(image: &str, name: &str, dir: &Path) {
    let bundle = std::env::var("HOIST_CA_BUNDLE").unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".to_owned());
    std::fs::create_dir_all(dir).unwrap();
    std::fs::copy(bundle, dir.join("ca.crt")).unwrap();
    let vars = "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt";
    let text = format!("FROM {image}\nCOPY ca.crt /etc/ssl/certs/ca-certificates.crt\nENV {vars}\n");
    std::fs::write(dir.join("Dockerfile"), text).unwrap();
    docker(&["build", "-q", "-t", name, dir.to_str().unwrap()]);
}

fn docker(args: &[&str]) -> String {
    // Debian's own client brings BuildKit along; a newer one beside it may lack the part for it.
    let client = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
    let done = program(client).args(args).env("DOCKER_BUILDKIT", "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "docker {args:?}\n{said}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[test]
fn python_with_flask_fastapi_django_and_poetry() {
    let world = World::new();
    let flask = world.app("flask", "tests/apps/flask");
    let pushed =
        flask.push().ok().says("Python 3.13").says("nothing asks for a version").says("Installing dependencies");
    pushed.says("web: gunicorn --bind 0.0.0.0:$PORT app:app (from the Flask application in app.py)");
    assert!(flask.answers_with("Hello from Flask on Python 3.13"));
    flask.replace("app.py", "Hello from", "Good day from");
    flask.push().ok().hides("Installing dependencies").hides("Fetching").says("as at the last build").says("v2");
    assert!(flask.answers_with("Good day from Flask"));
    flask.commit_change(".python-version", "3.12\n");
    flask.push().fails().says("there is no such Python here").says("3.13.").says("3.11.").says("ask for 3.13");
    flask.commit_change(".python-version", "3.13\n");
    flask.replace("requirements.txt", "gunicorn==23.0.0\n", "");
    flask.push().fails().says("no web server is installed").says("echo gunicorn >>requirements.txt");
    flask.commit_change("requirements.txt", "flask==3.1.2\ngunicorn==23.0.0\nno-such-thing-of-hoist==1\n");
    flask.push().fails().says("no-such-thing-of-hoist was not found in the package registry");
    assert!(flask.answers_with("Good day from Flask"));
    // gunicorn opens its port before its workers import the app, and ends when none of them can.
    flask.commit_change("requirements.txt", "flask==3.1.2\ngunicorn==23.0.0\n");
    flask.replace("app.py", "import sys", "import sys, no_such_module");
    let ((), report) = world.load(&flask.host(), 20, || {
        // Its status is 3, or 1 where the end of a second worker comes in between.
        flask.push().fails().says("No module named 'no_such_module'").says("before it took a connection");
    });
    report.none_lost();
    flask.replace("app.py", "import sys, no_such_module", "import sys, time; time.sleep(2)");
    let ((), report) = world.load(&flask.host(), 20, || {
        flask.push().ok();
    });
    report.none_lost();
    assert!(flask.answers_with("Good day from Flask"));
    // The plan can be read, and builds the same app without us.
    flask.run("builds:plan", &[]).ok().says("Python 3.13").says("uv pip install").says("process web: gunicorn");
    let plan = flask.run("builds:plan", &["--format", "json"]).ok().json();
    assert_eq!(plan["plan"]["language"], "Python");

    let django = world.app("django", "tests/apps/django");
    django
        .push()
        .fails()
        .says("KeyError: 'SECRET_KEY'")
        .says("config:set django SECRET_KEY")
        .says("DISABLE_COLLECTSTATIC=1");
    django.run("config:set", &["SECRET_KEY=x"]).ok();
    django.push().ok().says("1 static file").says("migrations are not run");
    assert!(django.answers_with("Hello from Django"));
    assert!(django.get("/static/site.css").ok().contains("teal"));

    let fastapi = world.app("fastapi", "tests/apps/fastapi");
    fastapi.push().ok().says(">=3.11 in requires-python").says("uvicorn --host 0.0.0.0 --port $PORT app.main:app");
    assert!(fastapi.answers_with("FastAPI"));

    let poetry = world.app("poetry", "tests/apps/poetry");
    poetry.push().ok().says("waitress-serve").says("uv installs from poetry.lock");
    assert!(poetry.answers_with("Hello from Bottle"));
}

#[test]
fn go_with_modules_commands_and_a_vendor_folder() {
    let world = World::new();
    let app = world.app("service", "tests/apps/go");
    app.push().ok().says("go 1.26 in go.mod").says("web: bin/server").says("Default types -> web, worker");
    assert!(app.answers_with("Hello from Go"));
    app.run("ps:scale", &["worker=1"]).ok();
    app.replace("internal/greet/greet.go", "Hello from Go", "Good day from Go");
    app.push().ok().hides("Fetching Go").hides("downloading").says("v2");
    assert!(app.answers_with("Good day from Go"));
    app.replace("go.mod", "go 1.26\n", "go 1.99\n");
    app.push().fails().says("there is no such Go").says("go.mod asks for go 1.99");
    app.replace("go.mod", "go 1.99\n", "go 1.26\n");
    app.replace("cmd/server/main.go", "\"os\"\n", "\"os\"\n\t_ \"example.org/not/there\"\n");
    app.push().fails().says("go.mod does not have the module of example.org/not/there").says("go mod tidy");
    assert!(app.answers_with("Good day from Go"));

    let vendored = world.app("vendored", "tests/apps/govendor");
    vendored.push().ok().says("modules from vendor/").hides("downloading");
    assert!(vendored.answers_with("Hello from vendor"));
}

#[test]
fn a_procfile_alone_an_aptfile_and_a_folder_of_the_repository() {
    let world = World::new();
    let app = world.app("shell", "tests/apps/shell");
    app.push().ok().says("no language's files are there").says("busybox from Debian trixie (Aptfile)");
    assert!(app.answers_with("Hello from a shell"));
    app.replace("site/index.html", "Hello", "Good day");
    app.push().ok().hides("Fetching packages");
    assert!(app.answers_with("Good day from a shell"));
    app.commit_change("Aptfile", "busybox\nno-such-package-of-hoist\n");
    app.push().fails().says("Debian has no package no-such-package-of-hoist");
    app.commit_change("Aptfile", "busybox; id\n");
    app.push().fails().says("line 1 of Aptfile is not a package");

    let folder = world.app("folder", "tests/apps/shell");
    folder.git(&["rm", "-q", "-r", "--cached", "."]).ok();
    for (path, text) in [("packages/site/index.html", "one\n"), ("packages/other/index.html", "two\n")] {
        folder.commit_change(path, text);
    }
    for old in ["Aptfile", "Procfile", "serve.sh", "site"] {
        folder.git(&["rm", "-q", "-r", old]).ok();
    }
    folder.git(&["commit", "-q", "--allow-empty", "-m", "packages"]).ok();
    folder.push().fails().says("apps:set folder root=packages/");
    folder.run("apps:set", &["root=packages/nowhere"]).ok();
    folder.push().fails().says("the commit has no folder packages/nowhere");
    folder.run("apps:set", &["root=../etc"]).fails().says("cannot be a folder of the repository");
    folder.run("apps:set", &["root=./packages/other/"]).ok();
    folder.push().ok();
    assert!(folder.answers_with("two"));
}

#[test]
fn an_ejected_plan_builds_the_same_app_by_docker_alone() {
    let world = World::new();
    let app = world.app("eject", "tests/apps/flask");
    app.push().ok();
    let text = app.run("builds:eject", &[]).ok().out;
    std::fs::write(app.dir.join("Dockerfile.ejected"), &text).unwrap();
    let (build, run) = (format!("{}-build", world.install()), format!("{}-run", world.install()));
    let (build, run) = (format!("hoist-eject-{build}"), format!("hoist-eject-{run}"));
    with_bundle(&image_of("build"), &build, &app.dir.with_extension("build"));
    with_bundle(&image_of("run"), &run, &app.dir.with_extension("run"));
    let mirror = mirror();
    let args = [format!("STACK_BUILD={build}"), format!("STACK_RUN={run}"), format!("HOIST_DEBIAN_MIRROR={mirror}")];
    let file = app.dir.join("Dockerfile.ejected");
    let mut words = vec!["build", "--network", "host", "-q", "-f", file.to_str().unwrap()];
    args.iter().for_each(|arg| words.extend(["--build-arg", arg]));
    words.push(app.dir.to_str().unwrap());
    let image = docker(&words);
    let said = docker(&["run", "--rm", &image, "python", "-c", "import app; print(app.index())"]);
    docker(&["rmi", "-f", &image, &build, &run]);
    assert!(said.contains("Hello from Flask on Python 3.13"), "{said}");
    assert!(text.contains("CMD [\"/bin/bash\",\"-c\",\"gunicorn --bind 0.0.0.0:$PORT app:app\"]"), "{text}");
}

fn stack(kind: &str) -> serde_json::Value {
    let folder = std::env::var("HOIST_STACKS").unwrap_or_else(|_| "/var/lib/hoist/stacks".to_owned());
    let text = std::fs::read(Path::new(&folder).join(format!("deb13-{kind}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The stack's own image: the plain name may be another installation's.
fn image_of(kind: &str) -> String {
    let sidecar = stack(kind);
    let digest = sidecar["digest"].as_str().unwrap().trim_start_matches("sha256:");
    format!("hoist/stack-{kind}:deb13-{}", &digest[..12])
}

fn mirror() -> String {
    stack("build")["mirror"].as_str().unwrap().to_owned()
}
