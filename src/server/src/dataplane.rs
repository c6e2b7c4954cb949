//! `hoist router` as a process: sockets inherited or bound, rights given up, then only requests.
//!
//! Invariant: what handles requests has no right that it does not need. As root it starts, opens what needs root, goes
//! into its own folder and becomes the router's user; from there it reaches nothing but that folder, whose parents may
//! be closed to it.

use router::{RouterConfig, RouterError};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use system::fault::{Act, Fault, Result};
use system::layout::ROUTER_SPOOLS;
use system::rights;
use system::settings::Settings;
use system::systemd;

/// Connections that may wait until they are accepted.
const LINE: i32 = 4096;

/// Serves requests until told to end. `say` gets the lines for standard output.
pub fn run(settings: &Settings, say: impl Fn(&str)) -> Result<(), Fault> {
    // A session of its own: what ends the terminal or the control process does not end the router.
    let _ = rustix::process::setsid();
    let files = raise_files();
    let listeners = listeners(settings)?;
    for listener in &listeners {
        // A burst of visitors stands in line, up to what the system allows (net.core.somaxconn), instead of trying anew.
        let _ = rustix::net::listen(listener, LINE);
    }
    enter(&settings.router_dir)?;
    match rights::router_user(settings.router_user.as_deref())? {
        Some(user) => {
            rights::hand_over(Path::new("."), &user)?;
            rights::become_user(&user)?;
            tracing::info!("the router runs as {}", user.name);
        }
        None => rights::give_up_more()?,
    }
    // The server makes each spool in it and gives it to the owner of this one.
    std::fs::create_dir_all(ROUTER_SPOOLS).act(|| "cannot make the folder of the access lines")?;
    let mut config = RouterConfig::new(".", ROUTER_SPOOLS);
    let visitors = &settings.visitors();
    config.limits.connections = connections(visitors.connections, files);
    config.limits.per_source = usize::try_from(visitors.per_source).unwrap_or(usize::MAX);
    config.limits.per_source_requests = usize::try_from(visitors.requests).unwrap_or(usize::MAX);
    config.limits.request_head = visitors.of_request();
    config.limits.response_head = visitors.of_answer();
    config.trusted = visitors.trusted.clone();
    config.report = Some(|line| tracing::warn!("{line}"));
    let done = router::run(config, listeners, |ready| {
        for address in &ready.listeners {
            say(&format!("http {address}"));
        }
        say("ready");
        systemd::ready();
    });
    done.map_err(|err| explain(err, &settings.router_dir))
}

/// Paths in the router's errors are below its folder.
fn explain(err: RouterError, dir: &Path) -> Fault {
    Fault::new(format!("in {}", dir.display()), err)
}

/// Sockets from the service manager, else the one that `serve` passed as standard input, else one of our own.
fn listeners(settings: &Settings) -> Result<Vec<TcpListener>, Fault> {
    let given = systemd::listeners()?;
    if !given.is_empty() {
        return Ok(given);
    }
    if let Some(passed) = on_stdin()? {
        return Ok(vec![passed]);
    }
    let own = TcpListener::bind(settings.http).act(|| format!("cannot listen on {}", settings.http))?;
    Ok(vec![own])
}

/// The listening socket that is our standard input; a descriptor of a fixed number cannot be made in a process with
/// threads without others inheriting it. Its place is taken by nothing, so that it closes when the router drains.
fn on_stdin() -> Result<Option<TcpListener>, Fault> {
    let stdin = std::io::stdin();
    if !rustix::net::sockopt::socket_acceptconn(&stdin).unwrap_or(false) {
        return Ok(None);
    }
    let act = || "cannot take the listening socket from standard input";
    let owned: OwnedFd = stdin.as_fd().try_clone_to_owned().act(act)?;
    let nothing = std::fs::File::open("/dev/null").act(act)?;
    rustix::stdio::dup2_stdin(&nothing).act(act)?;
    Ok(Some(TcpListener::from(owned)))
}

/// Makes the router's folder and goes into it: everything else is by relative paths, so its parents need no rights.
fn enter(dir: &Path) -> Result<(), Fault> {
    let act = || format!("cannot use the router's folder {}", dir.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).act(act)?;
    std::env::set_current_dir(dir).act(act)
}

/// As many open files as the system lets us have: every connection is two.
fn raise_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    getrlimit(Resource::Nofile).current
}

/// Open files that are no connection of a client nor one to an app for it: logs, sockets, kept connections to apps.
const OTHER_FILES: u64 = 512;

/// How many connections there may be: no more than there are files for.
fn connections(wanted: u64, files: Option<u64>) -> usize {
    let most = files.map_or(u64::MAX, |files| (files.saturating_sub(OTHER_FILES) / 2).max(16));
    if most < wanted {
        tracing::warn!("the limit of open files (LimitNOFILE) lets the router have {most} connections, not {wanted}");
    }
    usize::try_from(wanted.min(most)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::connections;

    #[test]
    fn files_limit_connections() {
        for (wanted, files, want) in [
            (10_000, None, 10_000),
            (10_000, Some(524_288), 10_000),
            (10_000, Some(4_096), 1_792),
            (10_000, Some(9), 16),
        ] {
            assert_eq!(connections(wanted, files), want);
        }
    }
}
