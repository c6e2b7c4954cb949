//! Submodules, fetched by builds from a git server of the test's own, over https, on another machine.

use e2e::{App, Outside, World, program, wait_for};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

/// Serves what lies in a folder as git does: `PORT FOLDER CERTIFICATE`. `private/` asks for a login.
const SERVER: &str = r#"
import http.server, os, ssl, subprocess, sys
port, folder, cert = int(sys.argv[1]), sys.argv[2], sys.argv[3]
class Git(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/private/"):
            self.send_response(401); self.send_header("WWW-Authenticate", "Basic realm=x")
            self.send_header("Content-Length", "0"); self.end_headers(); return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=folder, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type") or "",
                   GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*",
                   HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding") or "",
                   GIT_PROTOCOL=self.headers.get("Git-Protocol") or "", CONTENT_LENGTH=str(len(body)))
        done = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, rest = done.partition(b"\r\n\r\n")
        fields = [line.split(b": ", 1) for line in head.split(b"\r\n")]
        status = next((int(v.split()[0]) for k, v in fields if k == b"Status"), 200)
        self.send_response(status)
        for k, v in fields:
            if k != b"Status": self.send_header(k.decode(), v.decode())
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers(); self.wfile.write(rest)
    do_POST = do_GET
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", port), Git)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(cert)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// The other machine, and a server here whose builds trust it.
struct Hosted {
    world: World,
    outside: Outside,
    folder: PathBuf,
    server: Option<Child>,
}

impl Hosted {
    fn new() -> Hosted {
        let outside = Outside::new(|_| None);
        let dir = tempfile::Builder::new().prefix("hg").tempdir().unwrap().keep();
        let (folder, cert, bundle) = (dir.join("git"), dir.join("cert.pem"), dir.join("bundle.pem"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut openssl = program("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-subj", "/CN=git", "-addext", &format!("subjectAltName=IP:{}", outside.there)]);
        openssl.arg("-keyout").arg(dir.join("key.pem")).arg("-out").arg(&cert);
        e2e::run(openssl, b"", Duration::from_secs(30)).ok();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let own = read(cert.to_str().unwrap());
        let others = std::env::var("HOIST_CA_BUNDLE").map(|path| read(&path)).unwrap_or_default();
        std::fs::write(&bundle, format!("{own}{others}")).unwrap();
        std::fs::write(&cert, format!("{own}{}", read(dir.join("key.pem").to_str().unwrap()))).unwrap();
        let world = World::with(&[("ca-bundle", bundle.to_str().unwrap())]);
        let mut hosted = Hosted { world, outside, folder, server: None };
        hosted.start(&cert);
        hosted
    }

    fn start(&mut self, cert: &std::path::Path) {
        let words = ["python3", "-c", SERVER, "443", self.folder.to_str().unwrap(), cert.to_str().unwrap()];
        self.server = Some(self.outside.program(&words).spawn().unwrap());
        let there = self.outside.there;
        wait_for("the git server", Duration::from_secs(20), || std::net::TcpStream::connect((there, 443)).is_ok());
    }

    fn url(&self, name: &str) -> String {
        format!("https://{}/{name}.git", self.outside.there)
    }

    /// A repository there, as a working copy that can be changed and put there again.
    fn repository(&self, name: &str) -> App<'_> {
        let app = self.world.app(&name.replace('/', "-"), "tests/apps/static");
        self.put(&app, name);
        app
    }

    fn put(&self, app: &App<'_>, name: &str) {
        let to = self.folder.join(format!("{name}.git"));
        if !to.exists() {
            app.git(&["init", "-q", "--bare", to.to_str().unwrap()]).ok();
        }
        app.git(&["push", "-q", "--force", to.to_str().unwrap(), "HEAD:refs/heads/main"]).ok();
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = std::fs::remove_dir_all(self.folder.parent().unwrap());
    }
}

/// Adds a commit of `other` at `path`, as `git submodule add` does where the server is reached.
fn add(app: &App<'_>, path: &str, url: &str, commit: &str) {
    let name = format!("submodule.{path}");
    // As a clone has it before `git submodule update`; without it, git would take the submodule out at the next `git add -A`.
    std::fs::create_dir_all(app.dir.join(path)).unwrap();
    app.git(&["config", "-f", ".gitmodules", &format!("{name}.path"), path]).ok();
    app.git(&["config", "-f", ".gitmodules", &format!("{name}.url"), url]).ok();
    app.git(&["add", ".gitmodules"]).ok();
    app.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]).ok();
    app.git(&["commit", "-q", "-m", path]).ok();
}

#[test]
fn a_build_has_the_pinned_files_of_submodules_and_of_those_in_them() {
    let hosted = Hosted::new();
    let inner = hosted.repository("inner");
    inner.commit_change("inner.txt", "inner one");
    hosted.put(&inner, "inner");
    let lib = hosted.repository("lib");
    add(&lib, "deep/inner", &hosted.url("inner"), &inner.head());
    lib.commit_change("lib.txt", "lib one");
    hosted.put(&lib, "lib");
    let pinned = lib.head();
    lib.commit_change("lib.txt", "lib two");
    hosted.put(&lib, "lib");

    let app = hosted.world.app("site", "tests/apps/static");
    add(&app, "vendor/lib", &hosted.url("lib"), &pinned);
    let said = app.push().ok().says("Fetching submodule vendor/lib").says("v1");
    said.says("Fetching submodule vendor/lib/deep/inner");
    assert_eq!(app.get("/vendor/lib/lib.txt").ok(), "lib one");
    assert_eq!(app.get("/vendor/lib/deep/inner/inner.txt").ok(), "inner one");
    // What was fetched is kept.
    app.commit_change("own.txt", "own");
    app.push().ok().hides("Fetching").says("v2");
    assert_eq!(app.get("/vendor/lib/lib.txt").ok(), "lib one");
    add(&app, "vendor/lib", &hosted.url("lib"), &lib.head());
    app.push().ok().says("Fetching submodule vendor/lib").hides("deep/inner").says("v3");
    assert_eq!(app.get("/vendor/lib/lib.txt").ok(), "lib two");

    // By a Dockerfile too.
    let boxed = hosted.world.app("boxed", "tests/apps/dockerfile");
    add(&boxed, "vendor/lib", &hosted.url("lib"), &lib.head());
    let dockerfile = std::fs::read_to_string(boxed.dir.join("Dockerfile")).unwrap();
    let look = "FROM hoist/stack-run AS look\nWORKDIR /look\nCOPY . .\nRUN grep -q 'lib two' vendor/lib/lib.txt && cp vendor/lib/deep/inner/inner.txt /x\n";
    let with = dockerfile.replace("FROM scratch\n", &format!("{look}FROM scratch\nCOPY --from=look /x /x\n"));
    boxed.commit_change("Dockerfile", &with);
    boxed.push().ok().says("Fetching submodule vendor/lib/deep/inner").says("v1");
}

#[test]
fn what_cannot_be_fetched_is_refused_with_what_to_type() {
    let hosted = Hosted::new();
    let app = hosted.world.app("site", "tests/apps/static");
    let lib = hosted.repository("lib");
    for (url, says) in [
        ("../lib.git", "relative to the address of this repository"),
        ("git@github.com:org/lib.git", "git submodule set-url vendor/lib https://github.com/org/lib.git"),
        ("http://git.example/lib", "over https alone"),
        ("https://me:secret@git.example/lib", "holds a login"),
    ] {
        add(&app, "vendor/lib", url, &lib.head());
        app.push().fails().says(says).says("git submodule set-url vendor/lib").hides("Building");
    }
    app.user.ssh(&["apps:list"]).ok().hides("site");
    // Nothing that is private, nothing that is not there, and not the server itself.
    hosted.repository("private/lib");
    add(&app, "vendor/lib", &hosted.url("private/lib"), &lib.head());
    app.push().fails().says("The submodule vendor/lib could not be fetched from").says("without a login");
    add(&app, "vendor/lib", &hosted.url("lib"), &"a".repeat(40));
    app.push().fails().says("is in no branch and no tag there").says("git -C vendor/lib push --all");
    add(&app, "vendor/lib", &format!("https://{}/lib.git", hosted.outside.here), &lib.head());
    app.push().fails().says("could not be fetched");
    // A commit that is on no branch any more is given by its id, or refused: never another one in its place.
    add(&app, "vendor/lib", &hosted.url("lib"), &lib.head());
    app.push().ok().says("Fetching submodule vendor/lib");
    assert_eq!(app.get("/vendor/lib/style.css").status, 200);
}
