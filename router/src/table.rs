//! Routes, and which route a host and a path belong to.
//!
//! Pure: no clock, no I/O. A host decides first (exact beats wildcard), then the longest path prefix within that host.
//! Hosts live in hash maps, so a change costs the same with ten hosts and with a hundred thousand.
//! The path is compared as the bytes that will be forwarded: nothing is decoded or normalised here.

use std::{collections::HashMap, fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

/// A host that a route answers for: `shop.example`, or `*.shop.example` for exactly one label in front.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostPattern {
    /// This name only.
    Exact(String),
    /// One label, a dot, and this name.
    Wildcard(String),
}

/// Where the requests of one host and path prefix go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host it answers for.
    pub host: HostPattern,
    /// The path prefix, ending at a boundary: `/api` takes `/api` and `/api/x`, not `/apix`.
    pub path: PathPrefix,
    /// The spool that gets the access lines; an opaque key of `[a-z0-9-]{1,64}`.
    #[serde(default)]
    pub log: Option<String>,
    /// What happens to a request.
    pub action: Action,
}

/// What happens to a request of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is forwarded to one of these.
    Serve {
        /// The running copies; none is answered with H14.
        targets: Vec<Target>,
    },
    /// It waits until the route becomes something else.
    Hold {
        /// The longest wait, then 503 with H20.
        max_wait: Duration,
    },
    /// It gets a page of the router.
    Page {
        /// The HTTP status.
        status: u16,
        /// The reason code, for example H80.
        code: String,
        /// One line for the reader.
        desc: String,
        /// Seconds after which a client may ask again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
        /// HTML in place of ours, for clients that take HTML. A router that does not know it shows its own page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        html: Option<String>,
    },
}

/// One running copy that requests can be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The immutable id that loads and drains are asked by.
    pub id: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// What the access line calls it, for example `web.1`.
    pub name: String,
}

/// The name of a route: a second route with the same key replaces the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteKey {
    /// The host.
    pub host: HostPattern,
    /// The path prefix.
    pub path: PathPrefix,
}

/// A path prefix without its trailing slash; the root is the empty prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(String);

/// Why a host or a path is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoute {
    /// Not a host name or `*.` and a host name.
    #[error("{0:?} is not a host or *.host")]
    Host(String),
    /// Not a path.
    #[error("{0:?} is not a path prefix: it starts with / and has no query, space or control byte")]
    Path(String),
    /// Not a spool key.
    #[error("{0:?} is not a log key: use 1 to 64 of a-z, 0-9 and -")]
    Log(String),
    /// A status outside 200..=599.
    #[error("{0} is not a status for a page")]
    Status(u16),
}

/// All routes of one host, the longest path first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRoutes(Vec<Route>);

/// Values by host: what is found for a name is the exact host's value, else the wildcard's.
#[derive(Clone, Debug)]
pub struct Table<V> {
    exact: HashMap<Arc<str>, V>,
    wild: HashMap<Arc<str>, V>,
}

/// New contents of some hosts; `None` removes the host.
pub type Patch = Vec<(HostPattern, Option<Arc<HostRoutes>>)>;

/// Whether this is a host name in lower case: labels of `[a-z0-9_-]`, 1 to 63 long, 253 in all, no trailing dot.
pub fn is_host_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether this names a spool: it becomes a folder's name, so it is never a path.
pub fn is_log_key(key: &str) -> bool {
    (1..=64).contains(&key.len()) && key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

impl FromStr for HostPattern {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, BadRoute> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(rest) if is_host_name(rest) => Ok(Self::Wildcard(rest.to_string())),
            None if is_host_name(&lower) || is_bracketed_ipv6(&lower) => Ok(Self::Exact(lower)),
            Some(_) | None => Err(BadRoute::Host(text.to_string())),
        }
    }
}

fn is_bracketed_ipv6(text: &str) -> bool {
    text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).is_some_and(|t| t.parse::<std::net::Ipv6Addr>().is_ok())
}

impl TryFrom<String> for HostPattern {
    type Error = BadRoute;

    fn try_from(text: String) -> Result<Self, BadRoute> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(host: HostPattern) -> Self {
        host.to_string()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

impl PathPrefix {
    /// The prefix that takes every path.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The prefix as it is compared: empty for the root, without trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a path (without query) lies under this prefix, cut at a boundary.
    pub fn takes(&self, path: &str) -> bool {
        match path.strip_prefix(self.0.as_str()) {
            Some(rest) => self.0.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

impl FromStr for PathPrefix {
    type Err = BadRoute;

    fn from_str(text: &str) -> Result<Self, BadRoute> {
        let odd = |b: u8| b <= b' ' || b == 0x7f || b == b'?' || b == b'#';
        let path = text.strip_suffix('/').unwrap_or(text);
        let rooted = text.is_empty() || text.starts_with('/');
        if !rooted || text.len() > 1024 || text.bytes().any(odd) || path.ends_with('/') {
            return Err(BadRoute::Path(text.to_string()));
        }
        Ok(Self(path.to_string()))
    }
}

impl TryFrom<String> for PathPrefix {
    type Error = BadRoute;

    fn try_from(text: String) -> Result<Self, BadRoute> {
        text.parse()
    }
}

impl From<PathPrefix> for String {
    fn from(path: PathPrefix) -> Self {
        path.to_string()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl Route {
    /// Its name in the table.
    pub fn key(&self) -> RouteKey {
        RouteKey { host: self.host.clone(), path: self.path.clone() }
    }

    /// Checks what the types do not: the log key and a page's status.
    pub fn check(&self) -> Result<(), BadRoute> {
        if let Some(key) = &self.log
            && !is_log_key(key)
        {
            return Err(BadRoute::Log(key.clone()));
        }
        match &self.action {
            Action::Page { status, .. } if !(200..=599).contains(status) || matches!(status, 204 | 205 | 304) => {
                Err(BadRoute::Status(*status))
            }
            Action::Page { .. } | Action::Serve { .. } | Action::Hold { .. } => Ok(()),
        }
    }
}

impl HostRoutes {
    /// The routes, the longest path first.
    pub fn routes(&self) -> &[Route] {
        &self.0
    }

    /// Whether no route is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a route, in the place of one with the same path.
    pub fn upsert(&mut self, route: Route) {
        self.remove(&route.path);
        let at = self.0.partition_point(|r| r.path.as_str().len() >= route.path.as_str().len());
        self.0.insert(at, route);
    }

    /// Removes the route of a path; removing what is not there is fine.
    pub fn remove(&mut self, path: &PathPrefix) {
        self.0.retain(|r| r.path != *path);
    }

    /// The route that takes a path (without query).
    pub fn find(&self, path: &str) -> Option<&Route> {
        self.0.iter().find(|r| r.path.takes(path))
    }

    /// The same routes with every `Serve` held: their addresses may belong to somebody else since the machine started.
    pub fn held(&self, max_wait: Duration) -> Self {
        let hold = |route: &Route| match route.action {
            Action::Serve { .. } => Route { action: Action::Hold { max_wait }, ..route.clone() },
            Action::Hold { .. } | Action::Page { .. } => route.clone(),
        };
        Self(self.0.iter().map(hold).collect())
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wild: HashMap::new() }
    }
}

impl<V> Table<V> {
    /// The value of the host that answers for this name (lower case, no port).
    pub fn find(&self, name: &str) -> Option<&V> {
        if let Some(value) = self.exact.get(name) {
            return Some(value);
        }
        let (label, parent) = name.split_once('.')?;
        if label.is_empty() { None } else { self.wild.get(parent) }
    }

    /// The value of exactly this pattern.
    pub fn get(&self, host: &HostPattern) -> Option<&V> {
        match host {
            HostPattern::Exact(name) => self.exact.get(name.as_str()),
            HostPattern::Wildcard(name) => self.wild.get(name.as_str()),
        }
    }

    /// Puts, replaces or removes a host's value and gives back the old one.
    pub fn set(&mut self, host: &HostPattern, value: Option<V>) -> Option<V> {
        let (map, name) = match host {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::Wildcard(name) => (&mut self.wild, name),
        };
        match value {
            Some(value) => match map.get_mut(name.as_str()) {
                Some(slot) => Some(std::mem::replace(slot, value)),
                None => map.insert(Arc::from(name.as_str()), value),
            },
            None => map.remove(name.as_str()),
        }
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Whether there is no host.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every host with its value, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (HostPattern, &V)> {
        let exact = self.exact.iter().map(|(n, v)| (HostPattern::Exact(n.to_string()), v));
        let wild = self.wild.iter().map(|(n, v)| (HostPattern::Wildcard(n.to_string()), v));
        exact.chain(wild)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(host: &str, path: &str, desc: &str) -> Route {
        Route {
            host: host.parse().unwrap(),
            path: path.parse().unwrap(),
            log: None,
            action: Action::Page { status: 503, code: "H80".into(), desc: desc.into(), retry_after: None, html: None },
        }
    }

    fn table(routes: Vec<Route>) -> Table<HostRoutes> {
        let mut table = Table::<HostRoutes>::default();
        for route in routes {
            let mut host = table.get(&route.host).cloned().unwrap_or_default();
            let key = route.host.clone();
            host.upsert(route);
            table.set(&key, Some(host));
        }
        table
    }

    fn check(table: &Table<HostRoutes>, host: &str, path: &str, want: Option<&str>) {
        let found = table.find(host).and_then(|h| h.find(path)).map(|r| match &r.action {
            Action::Page { desc, .. } => desc.clone(),
            Action::Serve { .. } | Action::Hold { .. } => String::new(),
        });
        assert_eq!(found.as_deref(), want, "{host}{path}");
    }

    #[test]
    fn finds_host_then_longest_path() {
        let t = table(vec![
            page("a.x", "/", "a"),
            page("a.x", "/api", "a-api"),
            page("a.x", "/api/v2/", "a-v2"),
            page("*.x", "/", "wild"),
            page("b.x", "/only", "b-only"),
        ]);
        check(&t, "a.x", "/", Some("a"));
        check(&t, "a.x", "/api", Some("a-api"));
        check(&t, "a.x", "/api/", Some("a-api"));
        check(&t, "a.x", "/apix", Some("a"));
        check(&t, "a.x", "/api/v2", Some("a-v2"));
        check(&t, "a.x", "/api/v2/z", Some("a-v2"));
        check(&t, "a.x", "/api/v20", Some("a-api"));
        check(&t, "a.x", "/%61pi", Some("a"));
        check(&t, "a.x", "//api", Some("a"));
        check(&t, "a.x", "*", Some("a"));
        check(&t, "c.x", "/", Some("wild"));
        check(&t, "d.c.x", "/", None);
        check(&t, "x", "/", None);
        check(&t, ".x", "/", None);
        check(&t, "b.x", "/", None);
        check(&t, "b.x", "/only", Some("b-only"));
    }

    #[test]
    fn refuses_odd_names() {
        for bad in ["", "*", "*.", "a..b", "a.", ".a", "*.*.a", "a b", "a/b", "-a.b", "ä.de", "a:80", "[::g]"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        for bad in ["api", "/a b", "/a?b", "/a#b", "//", "/a//", "/\u{7f}"] {
            assert!(bad.parse::<PathPrefix>().is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b", "A", "a_b", &"a".repeat(65)] {
            assert!(!is_log_key(bad), "{bad}");
        }
        assert_eq!("Shop.Example".parse::<HostPattern>().unwrap(), HostPattern::Exact("shop.example".into()));
    }

    #[test]
    fn upsert_replaces_and_held_spares_pages() {
        let mut host = HostRoutes::default();
        host.upsert(page("a", "/", "1"));
        host.upsert(page("a", "/", "2"));
        host.upsert(Route { action: Action::Serve { targets: vec![] }, ..page("a", "/s", "") });
        assert_eq!(host.routes().len(), 2);
        let held = host.held(Duration::from_secs(1));
        assert!(matches!(held.find("/s").unwrap().action, Action::Hold { .. }));
        assert!(matches!(held.find("/").unwrap().action, Action::Page { .. }));
    }
}
