//! Commits without a lock file: one is made, kept, given out; and what is said where none can be.

use e2e::{App, Output, World};

/// What a build says that resolves.
const RESOLVES: &str = "Choosing versions of dependencies";

/// A server that shows a dependency's version.
const SERVER: &str = "require('http').createServer((_, answer) => \
    answer.end(`ms ${require('ms/package.json').version}`)).listen(process.env.PORT);\n";

fn package(dependencies: &str) -> String {
    format!(
        "{{\"name\": \"blog\", \"scripts\": {{\"start\": \"node server.js\"}}, \"dependencies\": {{{dependencies}}}}}\n"
    )
}

fn node<'w>(world: &'w World, name: &str, dependencies: &str) -> App<'w> {
    let app = world.app(name, "tests/apps/static");
    app.git(&["rm", "-q", "-r", "."]).ok();
    app.commit_change("server.js", SERVER);
    app.commit_change("package.json", &package(dependencies));
    app
}

/// The last lines, where the cause stands.
fn end(said: &Output) -> String {
    let all = said.all();
    let lines = all.lines().collect::<Vec<_>>();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Writes what `builds:lock` prints, as a shell would, and commits it.
fn commit_lock(app: &App<'_>, file: &str) -> String {
    let lock = app.run("builds:lock", &[]).ok();
    assert!(lock.err.contains(file), "{lock}");
    app.commit_change(file, &lock.out);
    lock.out
}

#[test]
fn npm_resolves_once_until_package_json_changes() {
    let world = World::new();
    let app = node(&world, "blog", "\"ms\": \"~2.1.0\"");
    app.run("builds:lock", &[]).exits(1);
    let said = app.push().ok().says(RESOLVES).says("there is no package-lock.json").says("added 1 package");
    said.says("builds:lock blog > package-lock.json && git add package-lock.json && git commit -m Lock");
    assert!(app.answers_with("ms 2.1.3"));
    let lock = app.run("builds:lock", &[]).ok();
    let object: serde_json::Value = serde_json::from_str(&lock.out).unwrap();
    assert_eq!(object["packages"]["node_modules/ms"]["version"], "2.1.3");
    let dockerfile = app.run("builds:eject", &[]).ok();
    assert!(
        dockerfile.out.contains("npm") && dockerfile.err.contains("builds:lock blog > package-lock.json"),
        "{dockerfile}"
    );
    let json = app.run("builds:lock", &["--format", "json"]).ok().json();
    assert_eq!((json["file"].as_str(), json["content"].as_str()), (Some("package-lock.json"), Some(lock.out.as_str())));

    // A line of source, a script, a rebuild: nothing is chosen and nothing installed.
    app.replace("server.js", "`ms ", "`now ms ");
    app.push().ok().hides(RESOLVES).hides("added 1 package").says("the versions are those of the earlier build");
    app.replace("package.json", "node server.js", "node ./server.js");
    app.push().ok().hides(RESOLVES);
    app.run("ps:rebuild", &[]).ok().hides(RESOLVES).hides("added 1 package");
    assert!(app.answers_with("now ms 2.1.3"));
    assert_eq!(app.run("builds:lock", &[]).ok().out, lock.out);

    // One more dependency; what was there keeps its version. Back to the commit before, its own versions are known.
    app.commit_change("package.json", &package("\"ms\": \"^2.0.0\", \"inherits\": \"^2.0.0\""));
    app.push().ok().says(RESOLVES).says("What still fits keeps the version that it has").says("added 2 packages");
    let more = app.run("builds:lock", &[]).ok().out;
    assert!(more.contains("node_modules/inherits") && more.contains("\"2.1.3\""), "{more}");
    app.run("rollback", &["v3"]).ok();
    app.run("ps:rebuild", &[]).ok().hides(RESOLVES);
    assert_eq!(app.run("builds:lock", &[]).ok().out, lock.out);
    app.push().exits(0);
    app.run("ps:rebuild", &[]).ok();

    // What cannot be resolved has npm's words at the end, and what was made before stays.
    app.commit_change("package.json", &package("\"ms\": \"^2.0.0\", \"no-such-package-of-hoist\": \"^1.0.0\""));
    let failed = app.push().fails();
    assert!(end(&failed).contains("E404 no-such-package-of-hoist@^1.0.0"), "{failed}");
    app.commit_change("package.json", &package("\"ms\": \"^99.0.0\""));
    let failed = app.push().fails();
    assert!(end(&failed).contains("ETARGET ms@^99.0.0"), "{failed}");
    app.run("builds:lock", &[]).ok().says("node_modules/ms");

    // The file in the repository is what it is from then on, and installs the same.
    app.commit_change("package.json", &package("\"ms\": \"^2.0.0\", \"inherits\": \"^2.0.0\""));
    app.commit_change("package-lock.json", &more);
    app.push().ok().hides(RESOLVES).hides("there is no package-lock.json");
    assert!(app.answers_with("ms 2.1.3"));
    app.run("builds:lock", &[]).exits(1).says("has its own, or needs none").says("builds:plan blog");
    let kept = || std::fs::read_dir(world.data().join("locks")).unwrap().count();
    assert_eq!(kept(), 1);
    app.run("apps:destroy", &["--confirm", "blog"]).ok();
    assert_eq!(kept(), 0);
}

#[test]
fn npm_resolves_workspaces_local_packages_and_the_first_yarns_versions() {
    let world = World::new();
    let app = node(&world, "many", "\"lib\": \"*\"");
    app.commit_change(
        "package.json",
        &package("\"lib\": \"*\"").replace("\"name\"", "\"private\": true, \"workspaces\": [\"packages/*\"], \"name\""),
    );
    // What a member needs, it finds itself.
    const OF_LIB: &str = "module.exports = require('ms/package.json').version;\n";
    let server = SERVER.replace("require('ms/package.json').version", "require('lib')");
    app.commit_change("server.js", &server);
    let lib = |range: &str| {
        format!("{{\"name\": \"lib\", \"version\": \"1.0.0\", \"dependencies\": {{\"ms\": \"{range}\"}}}}")
    };
    app.commit_change("packages/lib/index.js", OF_LIB);
    app.commit_change("packages/lib/package.json", &lib("2.1.2"));
    app.push().ok().says(RESOLVES);
    assert!(app.answers_with("ms 2.1.2"));
    app.commit_change("packages/lib/index.js", &format!("{OF_LIB}// more"));
    app.push().ok().hides(RESOLVES);
    app.commit_change("packages/lib/package.json", &lib("2.1.1"));
    app.push().ok().says(RESOLVES);
    assert!(app.answers_with("ms 2.1.1"));

    let app = node(&world, "local", "\"lib\": \"file:./lib\"");
    app.commit_change("server.js", &server);
    app.commit_change("lib/index.js", OF_LIB);
    app.commit_change("lib/package.json", &lib("2.1.2"));
    app.push().ok().says(RESOLVES).says("lib comes from the app's own files");
    assert!(app.answers_with("ms 2.1.2"));
    app.commit_change("lib/index.js", &format!("{OF_LIB}// more"));
    app.push().ok().hides(RESOLVES);

    let app = node(&world, "yarn", "\"ms\": \"^2.0.0\"");
    let resolved = concat!("https://registry.", "npm", "js.org/ms/-/ms-2.1.1.tgz");
    let yarn = format!("# yarn lockfile v1\n\n\nms@^2.0.0:\n  version \"2.1.1\"\n  resolved \"{resolved}\"\n");
    app.commit_change("yarn.lock", &yarn);
    app.push().ok().says(RESOLVES).says("yarn.lock: npm installs here, and took the versions from it");
    assert!(app.answers_with("ms 2.1.1"));
}

#[test]
fn uv_resolves_once_until_pyproject_changes() {
    let world = World::new();
    let app = world.app("service", "tests/apps/fastapi");
    app.push().ok().says(RESOLVES).says("there is no uv.lock").says("builds:lock service > uv.lock").says("Installing");
    assert!(app.answers_with("FastAPI"));
    app.commit_change("note", "x");
    app.push().ok().hides(RESOLVES).hides("Installing dependencies").says("those of the earlier build");
    app.run("ps:rebuild", &[]).ok().hides(RESOLVES);
    app.replace("pyproject.toml", "\"uvicorn>=0.34\"", "\"uvicorn>=0.34\", \"no-such-package-of-hoist\"");
    let failed = app.push().fails();
    let said = end(&failed);
    assert!(said.contains("uv: Because no-such-package-of-hoist was not found in the package registry"), "{failed}");
    app.replace("pyproject.toml", "\"no-such-package-of-hoist\"", "\"itsdangerous\"");
    app.push().ok().says(RESOLVES);
    let lock = commit_lock(&app, "uv.lock");
    assert!(lock.contains("name = \"itsdangerous\""), "{lock}");
    app.push().ok().hides(RESOLVES).hides("Installing dependencies").hides("there is no uv.lock");
    assert!(app.answers_with("FastAPI"));
}

#[test]
fn poetry_resolves_once_until_pyproject_changes() {
    let world = World::new();
    let app = world.app("shop", "tests/apps/poetry");
    app.git(&["rm", "-q", "poetry.lock"]).ok();
    // Only what is beside it: mirrors of the registry often lack the interface by which Poetry asks.
    std::fs::create_dir_all(app.dir.join("vendor")).unwrap();
    let wheel = "vendor/lib-1.0-py3-none-any.whl";
    std::fs::write(app.dir.join(wheel), include_bytes!("../../apps/lib-1.0-py3-none-any.whl")).unwrap();
    app.replace(
        "pyproject.toml",
        "bottle = \"^0.13\"\nwaitress = \"^3.0\"",
        &format!("lib = {{ path = \"{wheel}\" }}"),
    );
    app.commit_change("Procfile", "web: python server.py\n");
    let server = "import http.server, lib, os\n\n\nclass Page(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(lib.HELLO.encode())\n\n\n\
        http.server.HTTPServer((\"\", int(os.environ[\"PORT\"])), Page).serve_forever()\n";
    app.commit_change("server.py", server);
    app.push().ok().says(RESOLVES).says("there is no poetry.lock").says("lib comes from the app's own files");
    assert!(app.answers_with("Hello from a wheel"));
    app.commit_change("note", "y");
    app.push().ok().hides(RESOLVES);
    app.replace("pyproject.toml", "lib = ", "no-such-package-of-hoist = \"*\"\nlib = ");
    let failed = app.push().fails();
    assert!(end(&failed).contains("no-such-package-of-hoist"), "{failed}");
    app.replace("pyproject.toml", "no-such-package-of-hoist = \"*\"\n", "");
    commit_lock(&app, "poetry.lock");
    app.push().ok().hides(RESOLVES).hides("there is no poetry.lock");
    assert!(app.answers_with("Hello from a wheel"));
}
