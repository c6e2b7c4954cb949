//! From apps, their domains and their instances to the router's routes. Pure: the router's own types are filled by the
//! shell.
//!
//! Invariant: what an app's routes are depends on that app and the base domain alone, so a change of one app is a change
//! of its routes and of nobody else's.

use crate::domains::AppDomain;
use crate::formation::WEB;
use crate::hostname::Hostname;
use crate::names::{AppId, AppName, InstanceId, ProcessType};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::sync::Arc;

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
    /// `maintenance:on`.
    pub maintenance: Option<Maintenance>,
    /// The process types that are served; one that is absent wants no instance.
    pub processes: BTreeMap<ProcessType, ProcessState>,
    /// Its own names.
    pub domains: Vec<AppDomain>,
    /// How many own names it has in all, where `domains` holds some of them.
    pub hosts: usize,
}

/// An app that answers a page on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Maintenance {
    /// Its own page, HTML.
    pub page: Option<String>,
}

/// One process type of an app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessState {
    /// Whether the current formation wants at least one.
    pub wanted: bool,
    /// Whether an instance that is not ready is on its way: after a reboot, or after its first crash.
    pub coming: bool,
    /// Whether instances run that were started before the type had a domain, so without `PORT`.
    pub portless: bool,
    /// The instances of the current set that are ready.
    pub ready: Vec<ReadyInstance>,
}

/// An instance that takes requests.
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
    /// Host name, `*.` in front for a wildcard.
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
        /// Seconds after which a client may ask again.
        retry_after: Option<u32>,
        /// The app's own HTML in place of ours.
        html: Option<Arc<str>>,
    },
}

/// How long a request waits for an instance that is on its way, as long as Heroku's router waits for a first byte.
const HOLD_MILLIS: u64 = 30_000;
/// What `Retry-After` says in maintenance.
const RETRY_SECONDS: u32 = 120;
/// The largest page of an app's own.
pub const PAGE_MAX: usize = 64 << 10;
/// A page travels with each of its routes: an app with so many names that this is exceeded gets ours.
pub const PAGES_MAX: usize = 16 << 20;

/// The routes of all apps, in order of host.
pub fn routes(apps: &[AppState], base_domain: &str) -> Vec<AppRoute> {
    let mut all: Vec<AppRoute> = apps.iter().flat_map(|app| app_routes(app, base_domain)).collect();
    all.sort_by(|a, b| a.host.cmp(&b.host));
    all
}

/// The routes of one app: its default name first, then its own names.
pub fn app_routes(app: &AppState, base_domain: &str) -> Vec<AppRoute> {
    let mut actions: BTreeMap<&str, RouteAction> = BTreeMap::new();
    let default = format!("{}.{base_domain}", app.name);
    let mut action = |process| actions.entry(process).or_insert_with(|| action(app, process)).clone();
    let mut routes = vec![AppRoute { host: default.clone(), app: app.id.clone(), action: action(WEB) }];
    for domain in app.domains.iter().filter(|d| d.host.as_str() != default) {
        let host = domain.host.to_string();
        routes.push(AppRoute { host, app: app.id.clone(), action: action(domain.process.as_str()) });
    }
    routes
}

fn action(app: &AppState, process: &str) -> RouteAction {
    let page = |status, code, desc| RouteAction::Page { status, code, desc, retry_after: None, html: None };
    if let Some(maintenance) = &app.maintenance {
        return RouteAction::Page {
            status: 503,
            code: "H80",
            desc: "Maintenance mode",
            retry_after: Some(RETRY_SECONDS),
            html: maintenance.page.as_deref().filter(|html| fits(html.len(), app.hosts)).map(Arc::from),
        };
    }
    let process = app.processes.iter().find(|(name, _)| name.as_str() == process).map(|(_, state)| state);
    match (app, process) {
        (AppState { released: false, .. }, _) => page(502, "H81", "Blank app"),
        (AppState { stopped: true, .. }, _) => page(503, "H14", "No web instances running"),
        (_, None | Some(ProcessState { wanted: false, .. })) => page(503, "H14", "No web instances running"),
        (_, Some(ProcessState { ready, .. })) if !ready.is_empty() => RouteAction::Serve(ready.clone()),
        (_, Some(ProcessState { coming: true, .. })) => RouteAction::Hold { max_wait: HOLD_MILLIS },
        (_, Some(ProcessState { portless: true, .. })) => page(503, "H14", "No web instances running"),
        (_, Some(_)) => page(503, "H10", "App crashed"),
    }
}

/// Whether a page of so many bytes can go to the router for so many own names and the default one.
pub fn fits(bytes: usize, hosts: usize) -> bool {
    bytes <= PAGE_MAX && bytes.saturating_mul(hosts.saturating_add(1)) <= PAGES_MAX
}

/// Whose routes may differ from what the router was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of these apps.
    Some(BTreeMap<AppId, Hosts>),
}

/// Which routes of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// All.
    All,
    /// Those of these names.
    These(BTreeSet<Hostname>),
}

impl Scope {
    /// Nobody's.
    pub fn none() -> Scope {
        Scope::Some(BTreeMap::new())
    }

    /// One app's.
    pub fn app(app: AppId, hosts: Hosts) -> Scope {
        Scope::Some(BTreeMap::from([(app, hosts)]))
    }

    /// What is in either.
    pub fn merge(&mut self, other: Scope) {
        match (&mut *self, other) {
            (Scope::All, _) => {}
            (_, Scope::All) => *self = Scope::All,
            (Scope::Some(mine), Scope::Some(others)) => {
                for (app, hosts) in others {
                    match (mine.get_mut(&app), hosts) {
                        (Some(Hosts::All), _) => {}
                        (Some(Hosts::These(have)), Hosts::These(more)) => have.extend(more),
                        (_, hosts) => {
                            mine.insert(app, hosts);
                        }
                    }
                }
            }
        }
    }
}

/// The URL that a person opens: the port only where it is not the scheme's own.
pub fn url(host: &str, http_port: u16) -> String {
    if http_port == 80 { format!("http://{host}/") } else { format!("http://{host}:{http_port}/") }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
