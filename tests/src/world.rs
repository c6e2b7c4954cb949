//! One installation under test, from its folder to its end.

use crate::app::App;
use crate::engine;
use crate::http::{Client, Response};
use crate::load::{Report, load};
use crate::outside::Outside;
use crate::proc::{Output, Running, run};
use crate::programs::program;
use crate::seed;
use crate::serve::{Serve, end_all, processes};
use crate::user::User;
use crate::wait::wait_for;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);

/// A server of its own: data, users, repositories in one folder.
#[derive(Debug)]
pub struct World {
    root: tempfile::TempDir,
    binary: PathBuf,
    flags: Vec<String>,
    serve: RefCell<Serve>,
    /// Where SSH answers; the same after a restart.
    pub ssh: SocketAddr,
    /// Where the router answers; the same after a restart.
    pub http: SocketAddr,
    repositories: Cell<u32>,
    install: OnceCell<String>,
}

impl World {
    /// Starts a server on free ports and waits until it is ready.
    #[allow(clippy::new_without_default, reason = "starting a server is no default")]
    pub fn new() -> World {
        World::with(&[])
    }

    /// The same with settings: `World::with(&[("boot-timeout", "8")])`.
    pub fn with(settings: &[(&str, &str)]) -> World {
        // Short: the path of a unix socket below it holds 107 bytes.
        let root = tempfile::Builder::new().prefix("ht").tempdir().unwrap();
        let binary = binary();
        seed::plant(&binary, &root.path().join("data"), |seed| World::fill(&binary, seed));
        World::start(root, binary, settings)
    }

    /// The same without what earlier installations fetched: a server on its first day.
    pub fn bare(settings: &[(&str, &str)]) -> World {
        World::start(tempfile::Builder::new().prefix("ht").tempdir().unwrap(), binary(), settings)
    }

    /// The same, where the server asks the DNS of `outside` and serves HTTP on that cable.
    pub fn on(outside: &Outside, settings: &[(&str, &str)]) -> World {
        let root = tempfile::Builder::new().prefix("ht").tempdir().unwrap();
        let real = binary();
        seed::plant(&real, &root.path().join("data"), |seed| World::fill(&real, seed));
        std::fs::write(root.path().join("resolv.conf"), format!("nameserver {}\n", outside.here)).unwrap();
        // So that only this server sees that resolver.
        let before = format!("mount --bind {}/resolv.conf /etc/resolv.conf && ", root.path().display());
        let wrapped = apart(root.path(), &real, &before);
        let http = format!("{}:0", outside.here);
        let settings: Vec<_> = [("http", http.as_str())].into_iter().chain(settings.iter().copied()).collect();
        World::start(root, wrapped, &settings)
    }

    /// The same, where the server sees file systems of its own: what a test mounts there, nobody else has.
    pub fn apart(settings: &[(&str, &str)]) -> World {
        let root = tempfile::Builder::new().prefix("ht").tempdir().unwrap();
        let real = binary();
        seed::plant(&real, &root.path().join("data"), |seed| World::fill(&real, seed));
        let wrapped = apart(root.path(), &real, "");
        World::start(root, wrapped, settings)
    }

    fn start(root: tempfile::TempDir, binary: PathBuf, settings: &[(&str, &str)]) -> World {
        let flags: Vec<String> = settings.iter().flat_map(|(k, v)| [format!("--{k}"), (*v).to_owned()]).collect();
        let serve = Serve::start(&binary, &root.path().join("data"), (0, 0), &flags, &root.path().join("serve.log"));
        let (ssh, http) = (serve.ssh, serve.http);
        World {
            root,
            binary,
            flags,
            serve: RefCell::new(serve),
            ssh,
            http,
            repositories: Cell::new(0),
            install: OnceCell::new(),
        }
    }

    /// Builds an app of each language in an installation of its own and takes the runtimes from there.
    fn fill(binary: &Path, seed: &Path) {
        let world = World::start(tempfile::Builder::new().prefix("ht").tempdir().unwrap(), binary.to_owned(), &[]);
        for fixture in ["hello", "static"] {
            world.app(fixture, &format!("tests/apps/{fixture}")).push().ok();
        }
        seed::take(&world.data(), seed);
    }

    /// A developer with a key, made at first use.
    #[track_caller]
    pub fn user(&self, name: &str) -> User {
        self.person(name, &[])
    }

    /// An administrator with a key, made at first use.
    #[track_caller]
    pub fn admin(&self, name: &str) -> User {
        self.person(name, &["--admin"])
    }

    #[track_caller]
    fn person(&self, name: &str, flags: &[&str]) -> User {
        let home = self.root.path().join("users").join(name);
        if home.join("key").exists() {
            return User {
                name: name.to_owned(),
                key: home.join("key"),
                home,
                address: self.ssh,
                login: "hoist".to_owned(),
            };
        }
        let user = User::new(name, home, self.ssh);
        let words: Vec<&str> = ["users:add", name].into_iter().chain(flags.iter().copied()).collect();
        self.hoist_with(&words, user.public_key().as_bytes()).ok();
        user
    }

    /// A key that may push to an app and nothing else; its holder is no user.
    #[track_caller]
    pub fn deploy_key(&self, app: &str, name: &str) -> User {
        let home = self.root.path().join("users").join(format!("{app}-{name}"));
        let holder = User::new(name, home, self.ssh);
        self.hoist_with(&["deploy-keys:add", app, name], holder.public_key().as_bytes()).ok();
        holder
    }

    /// A folder of this world for whatever a test needs.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The program under test.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Runs a command as the local administrator.
    #[track_caller]
    pub fn hoist(&self, words: &[&str]) -> Output {
        self.hoist_with(words, b"")
    }

    /// The same with standard input.
    #[track_caller]
    pub fn hoist_with(&self, words: &[&str], stdin: &[u8]) -> Output {
        let mut command = program(&self.binary);
        command.arg("--data").arg(self.data()).args(words);
        run(command, stdin, DEADLINE)
    }

    /// A repository of user `ana` with the files of a fixture: `world.app("blog", "tests/apps/hello")`.
    #[track_caller]
    pub fn app(&self, name: &str, fixture: &str) -> App<'_> {
        self.app_of(self.user("ana"), name, fixture)
    }

    /// The same of another user.
    #[track_caller]
    pub fn app_of(&self, user: User, name: &str, fixture: &str) -> App<'_> {
        self.repositories.set(self.repositories.get() + 1);
        let dir = self.root.path().join("repos").join(format!("{}-{name}", self.repositories.get()));
        App::new(self, user, name, fixture, dir)
    }

    /// Gets a page through the router, which must answer with a whole response.
    #[track_caller]
    pub fn get(&self, host: &str, path: &str) -> Response {
        let got = Client::new(self.http, false).get(host, path, Duration::from_secs(35));
        got.unwrap_or_else(|err| panic!("GET http://{host}{path}: {err}"))
    }

    /// Loads the router at a constant rate while `during` runs.
    pub fn load<R>(&self, host: &str, rate: u32, during: impl FnOnce() -> R) -> (R, Report) {
        load(self.http, host, rate, during)
    }

    /// SIGKILL to the control process.
    pub fn kill9_serve(&self) {
        self.serve.borrow_mut().kill9();
    }

    /// SIGTERM to the control process, and waits for its end.
    pub fn stop_serve(&self) {
        self.serve.borrow_mut().terminate();
    }

    /// Starts something and kills the control process (SIGKILL) as soon as the newest job's output fulfils `moment`, or
    /// the job is over.
    pub fn kill9_serve_when(&self, moment: impl Fn(&str) -> bool, start: impl FnOnce() -> Running) -> Running {
        let before = self.last_job();
        let mut started = start();
        wait_for("the moment", DEADLINE, || {
            started.is_over() || self.job_after(before).is_some_and(|said| moment(&said))
        });
        self.kill9_serve();
        started
    }

    /// Waits until the newest job's output fulfils `moment`.
    pub fn wait_job(&self, before: u64, moment: impl Fn(&str) -> bool) {
        wait_for("the moment", DEADLINE, || self.job_after(before).is_some_and(|said| moment(&said)));
    }

    /// The number of the newest job.
    pub fn last_job(&self) -> u64 {
        let jobs = std::fs::read_dir(self.data().join("logs/jobs")).unwrap();
        jobs.filter_map(|j| j.ok()?.path().file_stem()?.to_str()?.parse().ok()).max().unwrap_or(0)
    }

    fn job_after(&self, before: u64) -> Option<String> {
        let last = self.last_job();
        let said = || std::fs::read_to_string(self.data().join(format!("logs/jobs/{last}.log"))).ok();
        if last > before { said() } else { None }
    }

    /// Every path below the data folder.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut find = program("find");
        find.arg(self.data());
        run(find, b"", DEADLINE).out.lines().map(str::to_owned).collect()
    }

    /// Starts the control process again on the same addresses; ends it by SIGTERM before, if it runs.
    pub fn restart_serve(&self) {
        self.serve.borrow_mut().terminate();
        let log = self.root.path().join("serve.log");
        let serve = Serve::start(&self.binary, &self.data(), (self.ssh.port(), self.http.port()), &self.flags, &log);
        assert_eq!((serve.ssh, serve.http), (self.ssh, self.http), "other addresses after a restart");
        *self.serve.borrow_mut() = serve;
    }

    /// SIGKILL to the router, and waits until it is gone.
    #[track_caller]
    pub fn kill9_router(&self) {
        let routers = processes(&self.data(), "router");
        assert!(!routers.is_empty(), "no router runs");
        for pid in &routers {
            let _ = program("kill").args(["-9", &pid.to_string()]).status();
        }
        wait_for("the router's end", DEADLINE, || {
            !processes(&self.data(), "router").iter().any(|p| routers.contains(p))
        });
    }

    /// How many processes of ours run: `serve`, `router`.
    pub fn running(&self, verb: &str) -> usize {
        processes(&self.data(), verb).len()
    }

    /// The installation's id, as the engine's labels and the firewall carry it.
    #[track_caller]
    pub fn install(&self) -> &str {
        self.install.get_or_init(|| {
            let said = self.hoist(&["version", "--format", "json"]).ok().json();
            said["install"].as_str().expect("the version names the installation").to_owned()
        })
    }

    /// The running containers of a process type.
    #[track_caller]
    pub fn containers(&self, process: &str) -> Vec<String> {
        engine::instance_ids(self.install(), process)
    }

    /// The main processes on the host of a process type's running containers.
    #[track_caller]
    pub fn pids(&self, process: &str) -> Vec<String> {
        engine::pids(&self.containers(process))
    }

    /// Containers, networks and firewall tables of this installation.
    #[track_caller]
    pub fn left_in_engine(&self) -> BTreeSet<String> {
        engine::leftovers(self.install())
    }

    /// Removes a container, running or not, as somebody with the engine's own client would.
    pub fn remove_container(&self, id: &str) {
        engine::remove(id);
    }

    /// Kills a container as a crash would.
    pub fn kill_container(&self, id: &str) {
        engine::kill(id);
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// A second server on the same data folder, run to its end.
    #[track_caller]
    pub fn serve_again(&self) -> Output {
        self.hoist_serve(&["--ssh", "127.0.0.1:0", "--http", "127.0.0.1:0"])
    }

    #[track_caller]
    fn hoist_serve(&self, words: &[&str]) -> Output {
        let mut command = program(&self.binary);
        command.arg("serve").arg("--data").arg(self.data()).args(words);
        run(command, b"", DEADLINE)
    }

    /// What is left in the engine after `shutdown --apps`; images, which a shutdown keeps, are removed here.
    fn end(&self) -> Result<(), String> {
        if self.running("serve") == 0 {
            self.restart_serve();
        }
        let install = self.install();
        let said = self.hoist(&["shutdown", "--apps"]).ok();
        self.serve.borrow_mut().wait_end();
        let left = engine::leftovers(install);
        engine::remove_images(install);
        let alive = self.running("serve") + self.running("router");
        if left.is_empty() && alive == 0 {
            return Ok(());
        }
        Err(format!("left after the shutdown: {alive} processes, {left:?}\n{said}"))
    }

    /// Where the end could not be orderly (a data folder spoiled on purpose), by force.
    fn force(&self) {
        end_all(&self.data());
        if let Some(install) = self.install.get() {
            engine::clear(install);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            let log = std::fs::read_to_string(self.root.path().join("serve.log")).unwrap_or_default();
            eprintln!("--- the server's log\n{log}--- end of the server's log");
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end()));
        self.force();
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(why)) if failed => eprintln!("{why}"),
            Err(_) if failed => {}
            Ok(Err(why)) => panic!("{why}"),
            Err(why) => std::panic::resume_unwind(why),
        }
    }
}

/// A program that is the server in a mount namespace of its own, after the shell's words `before`.
fn apart(root: &Path, real: &Path, before: &str) -> PathBuf {
    let script = format!(
        "#!/bin/sh\nexec unshare -m --propagation slave /bin/sh -c '{before}exec {} \"$@\"' hoist \"$@\"\n",
        real.display()
    );
    let wrapped = root.join("hoist");
    std::fs::write(&wrapped, script).unwrap();
    std::fs::set_permissions(&wrapped, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    wrapped
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    static HERE: OnceLock<PathBuf> = OnceLock::new();
    HERE.get_or_init(|| {
        // What cargo says now, not when it compiled: clones share one folder of build output, and the one that this was
        // compiled in may be gone.
        let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let tests = now.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        tests.parent().expect("tests/ is in the repository").to_owned()
    })
}

/// `HOIST_BIN`, or the binary beside this test's.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HOIST_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).expect("a test is in deps/").join("hoist")
}

/// Runs the binary by itself, without a server.
#[track_caller]
pub fn hoist(words: &[&str]) -> Output {
    let mut command = program(binary());
    command.args(words).env_remove("HOIST_DATA");
    run(command, b"", DEADLINE)
}
