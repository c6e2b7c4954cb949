//! From apps and their instances to the router's routes. Pure: the router's own types are filled by the shell.

use crate::names::{AppId, AppName, InstanceId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddrV4;

/// What the router must know of one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppState {
    /// The immutable id; it names the access log's spool.
    pub id: AppId,
    /// Today's name; it makes the default host name.
    pub name: AppName,
    /// Whether any release was ever live.
    pub released: bool,
    /// `ps:stop`.
    pub stopped: bool,
    /// Whether the current formation wants at least one `web`.
    pub wants_web: bool,
    /// Whether a `web` instance that is not ready is on its way: after a reboot, or after its first crash.
    pub coming: bool,
    /// The `web` instances of the current set that are ready.
    pub ready: Vec<ReadyInstance>,
}

/// A `web` instance that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyInstance {
    /// Its id, which names the target.
    pub id: InstanceId,
    /// `web.1`, for the access log.
    pub label: String,
    /// Where it listens.
    pub address: SocketAddrV4,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRoute {
    /// Host name.
    pub host: String,
    /// The app whose spool gets the access lines.
    pub app: AppId,
    /// What happens to a request.
    pub action: RouteAction,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAction {
    /// It goes to one of these.
    Serve(Vec<ReadyInstance>),
    /// It waits, at most this many milliseconds, for an instance that is on its way.
    Hold {
        /// Milliseconds.
        max_wait: u64,
    },
    /// It gets a page with a reason code.
    Page {
        /// HTTP status.
        status: u16,
        /// Heroku's code.
        code: &'static str,
        /// Its text.
        desc: &'static str,
    },
}

/// How long a request waits for an instance that is on its way, as long as Heroku's router waits for a first byte.
const HOLD_MILLIS: u64 = 30_000;

/// The routes of all apps under the base domain, in order of host.
pub fn routes(apps: &[AppState], base_domain: &str) -> Vec<AppRoute> {
    let mut routes: Vec<AppRoute> = apps
        .iter()
        .map(|app| AppRoute { host: format!("{}.{base_domain}", app.name), app: app.id.clone(), action: action(app) })
        .collect();
    routes.sort_by(|a, b| a.host.cmp(&b.host));
    routes
}

fn action(app: &AppState) -> RouteAction {
    let page = |status, code, desc| RouteAction::Page { status, code, desc };
    match app {
        AppState { released: false, .. } => page(502, "H81", "Blank app"),
        AppState { stopped: true, .. } => page(503, "H14", "No web instances running"),
        AppState { wants_web: false, .. } => page(503, "H14", "No web instances running"),
        AppState { ready, coming: true, .. } if ready.is_empty() => RouteAction::Hold { max_wait: HOLD_MILLIS },
        AppState { ready, .. } if ready.is_empty() => page(503, "H10", "App crashed"),
        AppState { ready, .. } => RouteAction::Serve(ready.clone()),
    }
}

/// The URL that a person opens: the port only where it is not the scheme's own.
pub fn url(host: &str, http_port: u16) -> String {
    if http_port == 80 { format!("http://{host}/") } else { format!("http://{host}:{http_port}/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_answer() {
        let ready =
            ReadyInstance { id: InstanceId(7), label: "web.1".into(), address: "10.208.0.2:5000".parse().unwrap() };
        let app = AppState {
            id: "aaaaaaaa".parse().unwrap(),
            name: "blog".parse().unwrap(),
            released: true,
            stopped: false,
            wants_web: true,
            coming: false,
            ready: vec![ready.clone()],
        };
        let code = |app: &AppState| match routes(std::slice::from_ref(app), "localhost").remove(0) {
            AppRoute { action: RouteAction::Serve(t), host, .. } => format!("{host} -> {}", t.len()),
            AppRoute { action: RouteAction::Hold { max_wait }, .. } => format!("hold {max_wait}"),
            AppRoute { action: RouteAction::Page { code, .. }, .. } => code.to_owned(),
        };
        assert_eq!(code(&app), "blog.localhost -> 1");
        assert_eq!(code(&AppState { ready: vec![], ..app.clone() }), "H10");
        assert_eq!(code(&AppState { coming: true, ..app.clone() }), "blog.localhost -> 1");
        assert_eq!(code(&AppState { ready: vec![], coming: true, ..app.clone() }), "hold 30000");
        assert_eq!(code(&AppState { wants_web: false, ..app.clone() }), "H14");
        assert_eq!(code(&AppState { stopped: true, ..app.clone() }), "H14");
        assert_eq!(code(&AppState { released: false, ..app }), "H81");
        assert_eq!((url("a.b", 80), url("a.b", 81)), ("http://a.b/".into(), "http://a.b:81/".into()));
    }
}
