//! `hoist router` as a process: sockets inherited or bound, rights given up, then only requests.
//!
//! Invariant: what handles requests has no right that it does not need. As root it starts, opens what needs root, goes
//! into its own folder and becomes the router's user; from there it reaches nothing but that folder, whose parents may
//! be closed to it.

use crate::fault::{Act, Fault, Result};
use crate::layout::ROUTER_SPOOLS;
use crate::rights;
use crate::settings::Settings;
use crate::systemd;
use router::{RouterConfig, RouterError};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Serves requests until told to end. `say` gets the lines for standard output.
pub fn run(settings: &Settings, say: impl Fn(&str)) -> Result<(), Fault> {
    // A session of its own: what ends the terminal or the control process does not end the router.
    let _ = rustix::process::setsid();
    raise_files();
    let listeners = listeners(settings)?;
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
    let config = RouterConfig::new(".", ROUTER_SPOOLS);
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
fn raise_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}
