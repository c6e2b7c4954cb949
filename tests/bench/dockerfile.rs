//! Times a push of one changed line of a Dockerfile app until it serves, against `docker build` by BuildKit and `docker run`
//! of the same files until the port answers, in turn in one run, both warm.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what fails in a measurement ends it"
)]

use e2e::{App, World, program};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 11;
const IMAGE: &str = "hoist-bench-dockerfile";

fn main() {
    let world = World::new();
    let app = world.app("bench", "tests/apps/dockerfile");
    // What changes is a file that is copied last: the compiler is not what is measured.
    let dockerfile = std::fs::read_to_string(app.dir.join("Dockerfile")).unwrap();
    app.commit_change("Dockerfile", &dockerfile.replace("EXPOSE", "COPY line.txt /line.txt\nEXPOSE"));
    app.commit_change("line.txt", "first");
    app.push().ok();
    plain(&app);
    let (mut floors, mut pushes) = (vec![], vec![]);
    for round in 0..ROUNDS {
        app.commit_change("line.txt", &format!("floor {round}"));
        floors.push(plain(&app));
        app.commit_change("line.txt", &format!("push {round}"));
        let begun = Instant::now();
        app.push().ok();
        pushes.push(begun.elapsed().as_secs_f64());
    }
    let _ = program("docker").args(["rmi", "-f", IMAGE]).output();
    println!("docker build and docker run: {}", shown(&mut floors));
    println!("git push: {}", shown(&mut pushes));
    let more = median(&mut pushes) - median(&mut floors);
    println!("a push takes {more:.3} s more (must 1 s, reach 0.3 s)");
}

/// Seconds until the port answers. Removing the container is not counted.
fn plain(app: &App<'_>) -> f64 {
    let docker = |args: &[&str]| {
        // A newer client elsewhere on the path may lack its BuildKit plug-in.
        let client = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
        let done = program(client).env("DOCKER_BUILDKIT", "1").args(args).current_dir(&app.dir).output().unwrap();
        assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    // The built-in frontend, as the push uses it.
    let text = std::fs::read_to_string(app.dir.join("Dockerfile")).unwrap();
    std::fs::write(app.dir.join("../plain.Dockerfile"), text.replace("# syntax=", "# no ")).unwrap();
    let begun = Instant::now();
    docker(&["build", "-q", "-t", IMAGE, "-f", "../plain.Dockerfile", "."]);
    let id = docker(&["run", "-d", "--init", "-e", "PORT=8080", IMAGE]);
    let address = docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &id]);
    let target = format!("{address}:8080").parse().unwrap();
    e2e::wait_for("the port", Duration::from_secs(10), || {
        TcpStream::connect_timeout(&target, Duration::from_millis(20)).is_ok()
    });
    let took = begun.elapsed().as_secs_f64();
    docker(&["rm", "-f", &id]);
    took
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.3} s ({:.3} to {:.3}, n {})", values[0], values[values.len() - 1], values.len())
}
