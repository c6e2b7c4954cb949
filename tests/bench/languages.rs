//! Times each language: first builds against its own tool in a plain container of the same stack, and a push of one changed
//! line against the floor of the Docker API plus what the language must compile.
//!
//! The plain container has the tool and the runtime before its clock starts. So has a server that was idle before, or that
//! has built the language; one that is pushed to the moment it starts has neither and fetches them. Run it by `tests/bench/languages [node|python|go]`. Needs `npm` to write a lock file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "what fails in a measurement ends it"
)]

mod floor;

use e2e::{App, World, program, wait_for};
use floor::{Floor, less_boot, median, seconds, shown};
use std::path::Path;
use std::time::Duration;

const ROUNDS: usize = 7;
const FETCHED_WITHIN: Duration = Duration::from_secs(240);
/// Where programs look for certificates of authorities.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A language and its app: files over those of a fixture.
struct Case {
    name: &'static str,
    fixture: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Written before the first push, from the files.
    lock: fn(&Path),
    /// What the server fetches ahead for it, and the names of the layers.
    ahead: (&'static str, &'static [&'static str]),
    /// In the plain container, before the clock starts.
    prepare: &'static str,
    /// What is timed there.
    tool: &'static str,
    /// What is timed there after a change of one line: what the language must compile.
    again: &'static str,
    /// The file that gets the changed line, and how a comment begins in it.
    change: (&'static str, &'static str),
}

const CASES: [Case; 3] = [
    Case {
        name: "Node.js (npm ci)",
        fixture: "tests/apps/hello",
        files: &[
            (
                "package.json",
                r#"{"name":"bench","version":"1.0.0","private":true,"scripts":{"start":"node server.js"},
                "dependencies":{"express":"^4","jest":"^29"}}"#,
            ),
            (
                "server.js",
                "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT, () => \
                 console.log('listening after ' + process.uptime()));\nprocess.on('SIGTERM', () => process.exit(0));\n",
            ),
        ],
        lock: npm_lock,
        ahead: ("node", &["runtime"]),
        prepare: "npm --version",
        tool: "npm ci --no-audit --no-fund --silent",
        again: "true",
        change: ("server.js", "//"),
    },
    Case {
        name: "Python (uv pip install)",
        fixture: "tests/apps/flask",
        files: &[
            ("requirements.txt", "django==5.2.*\nflask==3.1.*\ngunicorn==23.*\nrequests==2.*\nsqlalchemy==2.*\n"),
            ("Procfile", "web: python -S server.py\n"),
            (
                "server.py",
                "import os, signal, socket, time\nsignal.signal(15, lambda *_: os._exit(0))\n\
                 s = socket.create_server(('0.0.0.0', int(os.environ['PORT'])))\n\
                 ticks = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19])\n\
                 print('listening after', time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / 100, flush=True)\n\
                 while True:\n    c, _ = s.accept(); c.recv(9999); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nok'); c.close()\n",
            ),
        ],
        lock: |_| {},
        ahead: ("python", &["runtime", "installer"]),
        prepare: "python3 -m pip install -q --break-system-packages --root-user-action ignore uv && uv venv -q .venv",
        tool: "uv pip install -q --python .venv/bin/python --compile-bytecode --no-cache -r requirements.txt",
        again: "true",
        change: ("server.py", "#"),
    },
    Case {
        name: "Go (go build)",
        fixture: "tests/apps/go",
        files: &[],
        lock: |_| {},
        ahead: ("go", &["toolchain"]),
        prepare: "export GOFLAGS=-buildvcs=false GOTOOLCHAIN=auto; go version",
        tool: "CGO_ENABLED=0 go build -o bin/ ./...",
        again: "echo '// changed' >>cmd/server/main.go; CGO_ENABLED=0 go build -o bin/ ./...",
        change: ("cmd/server/main.go", "//"),
    },
];

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stacks = std::env::var("HOIST_STACKS").unwrap_or_else(|_| "/var/lib/hoist/stacks".to_owned());
    let floor = runtime.block_on(Floor::open(Path::new(&stacks)));
    let mut round = 0;
    let mut once = || {
        round += 1;
        runtime.block_on(floor.once(round))
    };
    let only = std::env::args().nth(1);
    for case in CASES.iter().filter(|case| only.as_deref().is_none_or(|only| case.ahead.0 == only)) {
        let world = World::bare(&[]);
        // The server brings its stack to the engine at the first build, which is no part of any.
        world.app("warm", "tests/apps/shell").push().ok();
        let app = app_of(&world, case);
        let (plain, compile) = plain(case, &app.dir, &stacks);
        let idle = on_an_idle_server(case);
        let first = seconds(|| drop(app.push().ok()));
        let other = second_app(&world, case, &app);
        let limit = |factor: f64, more: f64| plain * factor + more;
        println!("{}: the plain tool {plain:.1} s", case.name);
        println!(
            "  first build of a server that was idle before {idle:.1} s, of one that has just started {first:.1} s, of another \
             app {other:.1} s (must {:.1}, reach {:.1})",
            limit(1.2, 4.0),
            limit(1.1, 2.0)
        );
        let (mut floors, mut pushes) = (vec![], vec![]);
        for n in 0..ROUNDS {
            floors.push(once());
            let (path, comment) = case.change;
            let text = std::fs::read_to_string(app.dir.join(path)).unwrap();
            app.commit_change(path, &format!("{text}{comment} {n}\n"));
            pushes.push(less_boot(&app, seconds(|| drop(app.push().ok()))));
        }
        let base = median(&mut floors);
        let over = (median(&mut pushes) - compile) / base;
        println!("  one changed line, less boot {}; compiling {compile:.2} s", shown(&mut pushes));
        println!("  = {over:.2} x floor of {} (must 2.5, reach 1.5)", shown(&mut floors));
    }
    runtime.block_on(floor.close());
}

fn app_of<'w>(world: &'w World, case: &Case) -> App<'w> {
    let app = world.app("bench", case.fixture);
    for (path, text) in case.files {
        app.commit_change(path, text);
    }
    (case.lock)(&app.dir);
    app.git(&["add", "-A"]).ok();
    app.git(&["commit", "-q", "--allow-empty", "-m", "lock"]).ok();
    app
}

/// The first push to a server that had the time to fetch ahead what its configuration names.
fn on_an_idle_server(case: &Case) -> f64 {
    let (language, layers) = case.ahead;
    let world = World::bare(&[("fetch-ahead", language)]);
    world.app("warm", "tests/apps/shell").push().ok();
    let kept = world.data().join("cache/kept/host");
    let there = |layer: &&&str| {
        let entries = std::fs::read_dir(&kept).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(&format!("{layer}-")))
    };
    wait_for("what is fetched ahead", FETCHED_WITHIN, || layers.iter().filter(there).count() == layers.len());
    let app = app_of(&world, case);
    seconds(|| drop(app.push().ok()))
}

/// Pushes the same files as an app of another name, whose dependencies nobody has built; the runtime is there.
fn second_app(world: &World, case: &Case, like: &App<'_>) -> f64 {
    let app = world.app("bench2", case.fixture);
    for entry in like.git(&["ls-files"]).ok().out.lines() {
        app.commit_change(entry, &std::fs::read_to_string(like.dir.join(entry)).unwrap());
    }
    seconds(|| drop(app.push().ok()))
}

/// The tool in a plain container: how long the first time, and after a change.
fn plain(case: &Case, dir: &Path, stacks: &str) -> (f64, f64) {
    let sidecar: serde_json::Value =
        serde_json::from_slice(&std::fs::read(Path::new(stacks).join("deb13-build.json")).unwrap()).unwrap();
    let digest = sidecar["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let bundle = std::env::var("HOIST_CA_BUNDLE").unwrap_or_else(|_| BUNDLE.to_owned());
    let script = format!(
        "set -e; cp -r /src /tmp/app; cd /tmp/app; {} >/dev/null; a=$(date +%s%N); {}; b=$(date +%s%N); {}; \
         c=$(date +%s%N); echo \"took $((b - a)) $((c - b))\"",
        case.prepare, case.tool, case.again
    );
    let done = program("docker")
        .args(["run", "--rm", "--network", "host", "-v", &format!("{}:/src:ro", dir.display())])
        .args(["-v", &format!("{bundle}:{BUNDLE}:ro")])
        .args(["-e", &format!("SSL_CERT_FILE={BUNDLE}"), "-e", &format!("PIP_CERT={BUNDLE}")])
        .args([&format!("hoist/stack-build:deb13-{}", &digest[..12]), "bash", "-c", &script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let line = said.lines().find_map(|l| l.strip_prefix("took "));
    let line = line.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&done.stderr)));
    let nanos: Vec<f64> = line.split(' ').map(|n| n.parse::<f64>().unwrap() / 1e9).collect();
    (nanos[0], nanos[1])
}

fn npm_lock(dir: &Path) {
    let _ = std::fs::remove_file(dir.join("package-lock.json"));
    let done = program("npm").args(["install", "--package-lock-only", "--silent"]).current_dir(dir).status().unwrap();
    assert!(done.success(), "npm cannot write the lock file");
}
