//! What a service manager gives and wants to hear: listening sockets, and "ready". Without one, nothing happens.

use crate::fault::{Act, Fault, Result};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use std::net::TcpListener;

/// What the HTTP socket is called, by `FileDescriptorName=` of its unit.
pub const HTTP: &str = "http";

/// The listening sockets for HTTP that came with this process by the protocol of systemd; none where none came.
/// To be called before anything else opens files or starts threads.
pub fn listeners() -> Result<Vec<TcpListener>, Fault> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut given = ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..given.len() {
        let name = name_of(&names, at);
        if !is_http(name) {
            return Err(Fault::plain(format!("the socket {name} was passed in, but this router serves only {HTTP}")));
        }
        let taken = given.take_tcp_listener(at).act(|| format!("cannot use the passed socket {name}"))?;
        listeners.extend(taken);
    }
    Ok(listeners)
}

/// The name of the socket at a position. What has none is `unknown`, as systemd calls it.
fn name_of(names: &str, at: usize) -> &str {
    names.split(':').nth(at).filter(|name| !name.is_empty()).unwrap_or("unknown")
}

/// A socket without a name is ours too: `systemd-socket-activate` gives none unless asked.
fn is_http(name: &str) -> bool {
    [HTTP, "unknown"].contains(&name) || name.ends_with(".socket")
}

/// Says that requests are answered.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Says that the end has begun.
pub fn ending() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(state) {
        tracing::warn!(%err, "cannot tell the service manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_names() {
        let names = "http:https::x";
        let all: Vec<&str> = (0..5).map(|at| name_of(names, at)).collect();
        assert_eq!(all, ["http", "https", "unknown", "x", "unknown"]);
        assert_eq!(name_of("", 0), "unknown");
        assert!(is_http("http") && is_http("unknown") && is_http("hoist-router.socket"));
        assert!(!is_http("https") && !is_http("x"));
    }
}
