//! Findings about what builds and runs: Docker, git, stacks.

use super::{Docker, Finding};

/// The oldest Docker that the tests run on.
const DOCKER_MIN: (u32, u32) = (20, 10);
/// The API of that one.
const API_MIN: (u32, u32) = (1, 41);
/// proc-receive came with it.
const GIT_MIN: (u32, u32) = (2, 29);
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
    // Of one that is too old anyway there is nothing more to say.
    let builder = if old { None } else { Some(builder(&docker.version)) };
    [version].into_iter().chain(builder).chain([restore, store]).collect()
}

/// BuildKit before 0.12.5 deletes empty files of the host for a hostile build (CVE-2024-23652); Docker 25.0.2 and 24.0.9 have
/// it mended.
fn builder(version: &str) -> Finding {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or_default();
    let numbers = (next(), next(), next());
    match numbers >= (25, 0, 2) || ((24, 0, 9)..(25, 0, 0)).contains(&numbers) {
        true => Finding::ok("builder", format!("BuildKit of Docker {version}")),
        false => Finding::warn(
            "builder",
            format!(
                "BuildKit of Docker {version}: a hostile Dockerfile can delete empty files of this host (CVE-2024-23652)"
            ),
            "give keys only to people whom you trust with that, or upgrade Docker Engine to 24.0.9, 25.0.2 or later",
        ),
    }
}

pub(super) fn git(version: Option<(u32, u32)>) -> Finding {
    match version {
        Some((major, minor)) if (major, minor) >= GIT_MIN => Finding::ok("git", format!("{major}.{minor}")),
        Some((major, minor)) => Finding::bad("git", format!("{major}.{minor}"), "install git 2.29 or later"),
        None => Finding::bad("git", "not found", "apt-get install git"),
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
