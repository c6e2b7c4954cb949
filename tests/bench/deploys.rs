//! Times deploys against the floor: pull of a one-file layer, create and start of that image by the Docker API alone.
//!
//! Floor and deploys are taken in turn in one run, so that their ratio holds when the machine's speed drifts.
//! Run it by `tests/bench/deploys`, which builds a release binary first. Needs `npm` to write the lock file of an app of
//! about 300 packages.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what fails in a measurement ends it"
)]

use e2e::World;
use hoist::engine::{Attachment, Docker, Engine, InstanceSpec, Limits, NetworkSpec};
use hoist::images::{
    BlobStore, EPOCH, Entry, ImageConfig, LayerOptions, LayerWriter, Node, Registry, architecture, ensure_stack,
};
use hoist::tasks::Tasks;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 11;
const APPS: usize = 20;
const LABEL: &str = "hoist.bench";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stacks = std::env::var("HOIST_STACKS").unwrap_or_else(|_| "/var/lib/hoist/stacks".to_owned());
    let world = World::new();
    let app = world.app("bench", "tests/apps/hello");
    let packages = three_hundred_packages(&app.dir);
    app.commit_change("bench.txt", "0");
    println!("first push of an app with {packages} packages: {:.1} s", seconds(|| drop(app.push().ok())));

    let floor = runtime.block_on(Floor::open(Path::new(&stacks)));
    let (mut floors, mut pushes, mut rebuilds, mut rollbacks) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        floors.push(runtime.block_on(floor.once(round)));
        app.commit_change("bench.txt", &round.to_string());
        pushes.push(less_boot(&app, seconds(|| drop(app.push().ok()))));
        floors.push(runtime.block_on(floor.once(ROUNDS + round)));
        rebuilds.push(less_boot(&app, seconds(|| drop(app.run("ps:rebuild", &[]).ok()))));
        rollbacks.push(less_boot(&app, seconds(|| drop(app.run("rollback", &[]).ok()))));
    }
    runtime.block_on(floor.close());
    let base = median(&mut floors);
    println!("floor (pull, create, start): {}", shown(&mut floors));
    for (what, must, reach, values) in [
        ("push of one changed line, less the app's boot", 2.5, 1.5, &mut pushes),
        ("ps:rebuild of an unchanged commit, less boot", 2.5, 1.5, &mut rebuilds),
    ] {
        println!("{what}: {} = {:.2} x floor (must {must}, reach {reach})", shown(values), median(values) / base);
    }
    println!("rollback, less boot: {} (must 2 s, reach 1 s)", shown(&mut rollbacks));

    let (_, report) = world.load("bench.localhost", 200, || {
        for round in 0..20 {
            app.commit_change("bench.txt", &format!("load {round}"));
            app.push().ok();
        }
    });
    let (sent, lost) = (report.sent, report.lost.len());
    println!("20 deploys under 200 requests/s: {sent} sent, {lost} lost, p99 {:?}", report.percentile(0.99));
    for (at, why) in report.lost.iter().take(5) {
        println!("  lost after {at:?}: {why}");
    }

    memory(&world);
}

/// Pss of both processes with many apps at rest.
fn memory(world: &World) {
    for n in 1..APPS {
        world.app(&format!("small-{n}"), "tests/apps/echo").push().ok();
    }
    let quiet = Instant::now();
    e2e::wait_for("the servers at rest", Duration::from_secs(60), || quiet.elapsed() > Duration::from_secs(20));
    let mut total = 0.0;
    for verb in ["serve", "router"] {
        for pid in e2e::processes(&world.data(), verb) {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = text.lines().find(|l| l.starts_with("Pss:")).unwrap_or("Pss: 0 kB");
            let kb: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
            println!("memory of {verb} (Pss), {APPS} apps at rest: {:.1} MB", kb / 1000.0);
            total += kb / 1000.0;
        }
    }
    println!("memory of both: {total:.1} MB (must 50, reach 25)");
}

fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// The app says in its log how long it took from its start until it listened.
fn less_boot(app: &e2e::App<'_>, all: f64) -> f64 {
    let log = app.run("logs", &["-n", "40", "-p", "web"]).ok();
    let boot = log.out.lines().rev().find_map(|l| l.split("listening after ").nth(1)?.trim().parse::<f64>().ok());
    all - boot.unwrap_or(0.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.3} s ({:.3} to {:.3}, n {})", values[0], values[values.len() - 1], values.len())
}

/// An app of about 300 packages that needs none of them to boot.
fn three_hundred_packages(dir: &Path) -> usize {
    let manifest = r#"{"name":"bench","version":"1.0.0","private":true,"scripts":{"start":"node server.js"},
        "dependencies":{"express":"^4","jest":"^29"}}"#;
    std::fs::write(dir.join("package.json"), manifest).unwrap();
    let server = "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT, () => console.log('listening after ' + process.uptime()));\nprocess.on('SIGTERM', () => process.exit(0));\n";
    std::fs::write(dir.join("server.js"), server).unwrap();
    let _ = std::fs::remove_file(dir.join("package-lock.json"));
    let done =
        Command::new("npm").args(["install", "--package-lock-only", "--silent"]).current_dir(dir).status().unwrap();
    assert!(done.success(), "npm cannot write the lock file");
    std::fs::read_to_string(dir.join("package-lock.json")).unwrap().matches("\"node_modules/").count()
}

/// The Docker API alone, through the same calls that the server uses.
struct Floor {
    docker: Docker,
    registry: Registry,
    run: String,
    stack: hoist::images::Stack,
    network: NetworkSpec,
    tasks: Tasks,
    _data: tempfile::TempDir,
}

impl Floor {
    async fn open(stacks: &Path) -> Floor {
        let (tasks, data) = (Tasks::new(), tempfile::tempdir().unwrap());
        let registry = Registry::start(&tasks, Arc::new(BlobStore::open(data.path()).unwrap())).await.unwrap();
        let docker = Docker::new("/var/run/docker.sock", tasks.clone());
        let stack = ensure_stack(&docker, &registry, stacks, "deb13-run").await.unwrap();
        let run = format!("f{:07x}", std::process::id());
        let network = NetworkSpec {
            name: format!("{run}-n"),
            bridge: format!("hsf{run}"),
            subnet: (Ipv4Addr::new(10, 253, 77, 0), 24),
            gateway: Ipv4Addr::new(10, 253, 77, 1),
            members_talk: true,
            labels: BTreeMap::from([(LABEL.to_owned(), run.clone())]),
        };
        docker.ensure_network(&network).await.unwrap();
        Floor { docker, registry, run, stack, network, tasks, _data: data }
    }

    /// Pull of a one-file layer, create, start; in seconds. Making the layer and removing the container are not counted.
    async fn once(&self, round: usize) -> f64 {
        let options = LayerOptions { uid: 1000, gid: 1000, home: "app".to_owned(), bytes_max: 1 << 30 };
        let mut layer = LayerWriter::new(self.registry.blobs(), options).unwrap();
        let text = format!("{} {round}", self.run).into_bytes();
        layer.add_entries([Ok(Entry { path: b"app/file".to_vec(), node: Node::bytes(false, text) })]).unwrap();
        let image = ImageConfig {
            env: BTreeMap::new(),
            workdir: "/app".to_owned(),
            user: "1000:1000".to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), self.run.clone())]),
            cmd: vec![],
            exposed_port: None,
            created: EPOCH.to_owned(),
            layers: vec![self.stack.layer.clone(), layer.finish().unwrap()],
            architecture: architecture().to_owned(),
        };
        let manifest = image.assemble(self.registry.blobs()).unwrap();
        let tag = format!("hoist/bench-{}:r{round}", self.run);
        let name = format!("{}-{round}", self.run);
        let spec = InstanceSpec {
            name: name.clone(),
            image: tag.clone(),
            argv: vec!["/bin/sleep".to_owned(), "60".to_owned()],
            read_only: false,
            env: BTreeMap::new(),
            cwd: None,
            capabilities: vec![],
            mounts: vec![],
            limits: Limits { memory: 512_000_000, cpu_millis: 1_500, pids: 512, files: 16_384 },
            attachment: Attachment { network: self.network.name.clone(), address: Some(Ipv4Addr::new(10, 253, 77, 9)) },
            hostname: "floor".to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), self.run.clone())]),
        };
        let begun = Instant::now();
        self.docker.pull(&self.registry.reference("hoist/bench", &manifest), &tag).await.unwrap();
        self.docker.ensure_started(&spec).await.unwrap();
        let took = begun.elapsed().as_secs_f64();
        self.docker.remove(&name).await.unwrap();
        self.docker.remove_image(&tag).await.unwrap();
        took
    }

    async fn close(&self) {
        self.docker.remove_network(&self.network.name).await.unwrap();
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }
}
