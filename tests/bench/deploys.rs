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

mod floor;

use e2e::{World, program};
use floor::{Floor, less_boot, median, seconds, shown};
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 11;
const APPS: usize = 20;

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

/// An app of about 300 packages that needs none of them to boot.
fn three_hundred_packages(dir: &Path) -> usize {
    let manifest = r#"{"name":"bench","version":"1.0.0","private":true,"scripts":{"start":"node server.js"},
        "dependencies":{"express":"^4","jest":"^29"}}"#;
    std::fs::write(dir.join("package.json"), manifest).unwrap();
    let server = "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT, () => console.log('listening after ' + process.uptime()));\nprocess.on('SIGTERM', () => process.exit(0));\n";
    std::fs::write(dir.join("server.js"), server).unwrap();
    let _ = std::fs::remove_file(dir.join("package-lock.json"));
    let done = program("npm").args(["install", "--package-lock-only", "--silent"]).current_dir(dir).status().unwrap();
    assert!(done.success(), "npm cannot write the lock file");
    std::fs::read_to_string(dir.join("package-lock.json")).unwrap().matches("\"node_modules/").count()
}
