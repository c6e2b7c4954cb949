//! Findings about what builds and runs: Docker, git, stacks.

use super::finding::{Builder, Docker, Finding};
use crate::floors::{self, Part};

/// The oldest Docker that the tests run on.
const DOCKER_MIN: (u32, u32) = (20, 10);
/// The API of that one.
const API_MIN: (u32, u32) = (1, 41);
/// proc-receive came with it.
const GIT_MIN: (u32, u32) = (2, 29);
/// What mends an old part of the machine's own engine.
const DOCKER_PARTS: &str =
    "upgrade it with your package manager (apt-get update && apt-get upgrade), or a newer Docker Engine";
/// Stores that copy every layer, or that Docker gave up.
const SLOW_STORES: [&str; 3] = ["vfs", "devicemapper", "aufs"];

pub(super) fn docker(docker: &Result<Docker, String>) -> Vec<Finding> {
    let docker = match docker {
        Ok(docker) => docker,
        Err(why) => {
            let fix = "systemctl restart docker (without systemd: scripts/docker-up); running apps serve on";
            return vec![Finding::bad("docker", why, fix)];
        }
    };
    let seen = format!("{} (API {})", docker.version, docker.api);
    let old = below(&docker.version, DOCKER_MIN) || below(&docker.api, API_MIN);
    let version = match old {
        true => Finding::bad(
            "docker",
            seen,
            "upgrade Docker Engine to 20.10 or later; on Debian, scripts/docker-up installs it",
        ),
        false => Finding::ok("docker", seen),
    };
    let restore = match docker.live_restore {
        true => Finding::ok("live-restore", "on"),
        false => Finding::bad(
            "live-restore",
            "off: apps die with Docker",
            "put \"live-restore\": true into /etc/docker/daemon.json, then kill -HUP $(cat /var/run/docker.pid)",
        ),
    };
    let store = match SLOW_STORES.contains(&docker.store.as_str()) {
        true => Finding::warn(
            "store",
            format!("{}: slow, and it fills the disk", docker.store),
            "put \"storage-driver\": \"overlay2\" into /etc/docker/daemon.json, restart Docker, then ps:rebuild each app",
        ),
        false => Finding::ok("store", docker.store.clone()),
    };
    let parts = docker.parts.iter().flat_map(|(part, version)| below_floors(*part, version));
    let parts = parts.map(|seen| Finding::warn("docker-parts", seen, DOCKER_PARTS));
    // Of one that is too old anyway there is nothing more to say.
    let parts = parts.take(if old { 0 } else { usize::MAX });
    [version].into_iter().chain(parts).chain([restore, store]).collect()
}

/// The floors that a part of an engine is below, in words.
fn below_floors(part: Part, version: &str) -> Vec<String> {
    floors::below(part, version)
        .map(|floor| format!("{part} {version} is below {}: {}", floor.at_least, floor.why))
        .collect()
}

pub(super) fn builder(builder: &Builder) -> Vec<Finding> {
    const CHECK: &str = "builder";
    const RENEW: &str =
        "delete builder.json beside the stacks, then scripts/builder: it fetches Debian's newest packages";
    let parts = match (&builder.parts, builder.installed) {
        (None, false) => {
            let seen = "not installed: Dockerfiles are refused";
            return vec![Finding::warn(CHECK, seen, "scripts/builder, in the checkout that Hoist was installed from")];
        }
        (None, true) => return vec![Finding::ok(CHECK, "installed; it starts with the next Dockerfile")],
        (Some(parts), _) => parts,
    };
    let mut found = Vec::new();
    for (part, version) in parts {
        for floor in floors::below(*part, version) {
            let seen = format!("{part} {version} is below {}: {}", floor.at_least, floor.why);
            found.push(match floor.refused && !builder.old_allowed {
                true => Finding::bad(CHECK, format!("{seen}; Dockerfiles are refused"), RENEW),
                false => Finding::warn(CHECK, seen, RENEW),
            });
        }
    }
    if found.is_empty() {
        let all: Vec<String> = parts.iter().map(|(part, version)| format!("{part} {version}")).collect();
        found.push(Finding::ok(CHECK, all.join(", ")));
    }
    found
}

pub(super) fn git(version: Option<(u32, u32)>) -> Finding {
    match version {
        Some((major, minor)) if (major, minor) >= GIT_MIN => Finding::ok("git", format!("{major}.{minor}")),
        Some((major, minor)) => Finding::bad("git", format!("{major}.{minor}"), "install git 2.29 or later"),
        None => Finding::bad("git", "it does not say its version", "git version; then apt-get install --reinstall git"),
    }
}

pub(super) fn stack(name: &str, there: bool) -> Finding {
    match there {
        true => Finding::ok("stack", name),
        false => Finding::bad("stack", format!("{name} is missing: nothing can be built"), "scripts/stacks"),
    }
}

/// Whether a version is below a floor; one that cannot be read is not.
fn below(version: &str, floor: (u32, u32)) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse::<u32>().ok());
    match (next(), next()) {
        (Some(major), Some(minor)) => (major, minor) < floor,
        _ => false,
    }
}
