//! Looks into the engine with its own client: what of an installation is there.

use crate::proc::run;
use crate::programs::program;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

fn docker(args: &[&str]) -> String {
    let mut command = program("docker");
    command.args(args);
    run(command, b"", DEADLINE).ok().out
}

/// Everything that carries the installation's id: containers, networks, firewall tables.
pub fn leftovers(install: &str) -> BTreeSet<String> {
    let label = format!("label=hoist.install={install}");
    let mut left = BTreeSet::new();
    let lines = docker(&["ps", "-a", "--filter", &label, "--format", "container {{.Names}}"])
        + &docker(&["network", "ls", "--filter", &label, "--format", "network {{.Name}}"]);
    left.extend(lines.lines().map(str::to_owned));
    left.extend(firewall(install).map(|table| table.join(" ")));
    left.extend(builder_files(install).into_iter().map(|path| path.display().to_string()));
    left
}

/// What the kernel keeps of the installation's builder of Dockerfiles: a network namespace and control groups.
fn builder_files(install: &str) -> Vec<PathBuf> {
    let groups = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let name = format!("hoist-{install}-builder");
    let groups = groups.map(|entry| entry.path().join(&name));
    let all = groups.chain([namespace(install)]).chain([Path::new("/sys/fs/cgroup").join(&name)]);
    all.filter(|path| path.exists()).collect()
}

fn namespace(install: &str) -> PathBuf {
    Path::new("/run/netns").join(format!("hoist-{install}-builder"))
}

/// Removes those; nobody is in them any more.
fn clear_builder(install: &str) {
    let name = namespace(install);
    if name.exists() {
        let mut ip = program("ip");
        ip.args(["netns", "del"]).arg(name.file_name().unwrap());
        run(ip, b"", DEADLINE);
    }
    for group in builder_files(install) {
        let mut find = program("find");
        find.arg(group).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
        run(find, b"", DEADLINE);
    }
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

/// The main processes on the host of these containers.
pub fn pids(containers: &[String]) -> Vec<String> {
    let mut command = program("docker");
    command.args(["inspect", "--format", "{{.State.Pid}}"]).args(containers);
    // One may be gone by now.
    let said = run(command, b"", DEADLINE).out;
    said.split_whitespace().map(str::to_owned).collect()
}

/// Removes a container by force.
pub fn remove(container: &str) {
    docker(&["rm", "-f", container]);
}

/// The words of the line `table FAMILY NAME` of the installation's firewall table.
pub fn firewall(install: &str) -> Option<Vec<String>> {
    let mut nft = program("nft");
    nft.args(["list", "tables"]);
    let tables = run(nft, b"", DEADLINE).out;
    let ours = tables.lines().find(|t| t.split([' ', '_', '-']).any(|word| word == install))?;
    Some(ours.split_whitespace().map(str::to_owned).collect())
}

/// The rules in it.
pub fn firewall_rules(install: &str) -> String {
    let table = firewall(install).expect("a table");
    let mut nft = program("nft");
    nft.arg("list").args(table);
    run(nft, b"", DEADLINE).ok().out
}

/// Removes the installation's firewall table.
pub fn remove_firewall(install: &str) {
    if let Some(table) = firewall(install) {
        let mut nft = program("nft");
        nft.arg("delete").args(table);
        run(nft, b"", DEADLINE).ok();
    }
}

/// The installation's networks that are for apps.
pub fn networks(install: &str) -> Vec<String> {
    let filter = format!("label=hoist.install={install}");
    let names = docker(&["network", "ls", "--filter", &filter, "--format", "{{.Name}}"]);
    names.lines().filter(|n| !n.ends_with("-builds")).map(str::to_owned).collect()
}

/// The bridges of these.
pub fn bridges(install: &str) -> Vec<String> {
    let networks = networks(install);
    if networks.is_empty() {
        return Vec::new();
    }
    let format = "{{index .Options \"com.docker.network.bridge.name\"}}";
    let names: Vec<&str> =
        ["network", "inspect", "--format", format].into_iter().chain(networks.iter().map(String::as_str)).collect();
    docker(&names).lines().map(str::to_owned).collect()
}

/// Cuts every container off a network and removes it.
pub fn remove_network(name: &str) {
    let inside = docker(&["network", "inspect", "--format", "{{range $id, $_ := .Containers}}{{$id}} {{end}}", name]);
    for container in inside.split_whitespace() {
        docker(&["network", "disconnect", "-f", name, container]);
    }
    docker(&["network", "rm", name]);
}

/// The names of the installation's images.
pub fn images(install: &str) -> Vec<String> {
    let filter = format!("label=hoist.install={install}");
    let images = docker(&["images", "--filter", &filter, "--format", "{{.Repository}}:{{.Tag}}"]);
    images.lines().filter(|i| !i.contains("<none>")).map(str::to_owned).collect()
}

/// Starts a container of an image, as somebody who looks into it would; its id.
pub fn run_by_hand(image: &str, command: &[&str]) -> String {
    docker(&[["run", "-d", image].as_slice(), command].concat()).trim().to_owned()
}

/// Whether a container runs.
pub fn runs(container: &str) -> bool {
    !docker(&["ps", "-q", "--no-trunc", "--filter", &format!("id={container}")]).trim().is_empty()
}

/// Removes the installation's images.
pub fn remove_images(install: &str) {
    let images = images(install);
    if !images.is_empty() {
        let mut command = program("docker");
        command.args(["rmi", "-f"]).args(images);
        run(command, b"", DEADLINE);
    }
}

/// Removes everything of an installation by force.
pub fn clear(install: &str) {
    let label = format!("label=hoist.install={install}");
    for id in docker(&["ps", "-aq", "--filter", &label]).split_whitespace() {
        let mut command = program("docker");
        command.args(["rm", "-f", id]);
        run(command, b"", DEADLINE);
    }
    for id in docker(&["network", "ls", "-q", "--filter", &label]).split_whitespace() {
        let mut command = program("docker");
        command.args(["network", "rm", id]);
        run(command, b"", DEADLINE);
    }
    clear_builder(install);
    remove_firewall(install);
    remove_images(install);
}
