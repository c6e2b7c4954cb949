//! Looks into the engine with its own client: what of an installation is there.

use crate::proc::run;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

fn docker(args: &[&str]) -> String {
    let mut command = Command::new("docker");
    command.args(args);
    run(command, b"", DEADLINE).ok().out
}

/// The id of the installation whose data folder this is, as its containers carry it; `None` without containers.
pub fn install_of(data: &Path) -> Option<String> {
    let ids = docker(&["ps", "-aq", "--filter", "label=hoist.install"]);
    let format = "{{index .Config.Labels \"hoist.install\"}}{{range .HostConfig.Binds}} {{.}}{{end}}{{range .Mounts}} {{.Source}}{{end}}";
    let line_of = |id: &str| {
        // It may be gone by now.
        let mut command = Command::new("docker");
        command.args(["inspect", "--format", format, id]);
        run(command, b"", DEADLINE).out
    };
    let data = data.to_string_lossy();
    let lines: Vec<String> = ids.split_whitespace().map(line_of).collect();
    lines.iter().find(|l| l.contains(&*data)).and_then(|l| l.split(' ').next()).map(str::to_owned)
}

/// Everything that carries the installation's id: containers, networks, firewall tables.
pub fn leftovers(install: &str) -> BTreeSet<String> {
    let label = format!("label=hoist.install={install}");
    let mut left = BTreeSet::new();
    let lines = docker(&["ps", "-a", "--filter", &label, "--format", "container {{.Names}}"])
        + &docker(&["network", "ls", "--filter", &label, "--format", "network {{.Name}}"]);
    left.extend(lines.lines().map(str::to_owned));
    let mut nft = Command::new("nft");
    nft.args(["list", "tables"]);
    let tables = run(nft, b"", DEADLINE).out;
    left.extend(tables.lines().filter(|t| t.split([' ', '_', '-']).any(|word| word == install)).map(str::to_owned));
    left
}

/// The main processes of the running containers of one app process (`web`), by label.
pub fn instance_ids(install: &str, process: &str) -> Vec<String> {
    let labels = [format!("label=hoist.install={install}"), format!("label=hoist.process={process}")];
    let out = docker(&["ps", "-q", "--filter", &labels[0], "--filter", &labels[1]]);
    out.split_whitespace().map(str::to_owned).collect()
}

/// Kills a container as a crash would.
pub fn kill(container: &str) {
    docker(&["kill", container]);
}
