//! What a router was told, by app, and how that differs from what it should be told. Pure.

use domain::AppId;
use domain::routing::{Hosts, Scope};
use router::table::{HostPattern, Route, RouteKey};
use std::collections::{BTreeMap, BTreeSet};

/// Routes by the app that they belong to.
pub(super) type Told = BTreeMap<AppId, BTreeMap<RouteKey, Route>>;

/// The routes to put and to remove, within the scope. A route that goes from one app to another is put, not removed.
pub(super) fn difference(told: &Told, scope: &Scope, found: &Told) -> (Vec<Route>, Vec<RouteKey>) {
    let none = BTreeMap::new();
    let (mut upsert, mut remove) = (Vec::new(), BTreeSet::new());
    for (app, hosts) in apps_of(told, scope, found) {
        let (old, new) = (told.get(&app).unwrap_or(&none), found.get(&app).unwrap_or(&none));
        upsert.extend(new.iter().filter(|(key, route)| old.get(key) != Some(route)).map(|(_, route)| route.clone()));
        remove.extend(gone(old, new, hosts.as_ref()));
    }
    for route in &upsert {
        remove.remove(&route.key());
    }
    (upsert, remove.into_iter().collect())
}

/// Notes what a router was told.
pub(super) fn take_in(told: &mut Told, scope: &Scope, found: &Told) {
    let none = BTreeMap::new();
    let apps = apps_of(told, scope, found);
    for (app, hosts) in apps {
        let new = found.get(&app).unwrap_or(&none);
        let old = told.entry(app.clone()).or_default();
        for key in gone(old, new, hosts.as_ref()) {
            old.remove(&key);
        }
        old.extend(new.iter().map(|(key, route)| (key.clone(), route.clone())));
        if old.is_empty() {
            told.remove(&app);
        }
    }
}

/// Keys of an app that are not there any more; of the names in `hosts` alone, where some are given.
fn gone(
    old: &BTreeMap<RouteKey, Route>,
    new: &BTreeMap<RouteKey, Route>,
    hosts: Option<&BTreeSet<HostPattern>>,
) -> Vec<RouteKey> {
    match hosts {
        None => old.keys().filter(|key| !new.contains_key(key)).cloned().collect(),
        // Looked up by name: an app may have many.
        Some(hosts) => {
            let key = |host: &HostPattern| RouteKey { host: host.clone(), path: router::table::PathPrefix::root() };
            hosts.iter().map(key).filter(|key| old.contains_key(key) && !new.contains_key(key)).collect()
        }
    }
}

fn apps_of(told: &Told, scope: &Scope, found: &Told) -> Vec<(AppId, Option<BTreeSet<HostPattern>>)> {
    match scope {
        Scope::All => {
            let all: BTreeSet<&AppId> = told.keys().chain(found.keys()).collect();
            all.into_iter().map(|app| (app.clone(), None)).collect()
        }
        // An app that has no route at all is gone, with all its names.
        Scope::Some(apps) => apps
            .iter()
            .map(|(app, hosts)| match hosts {
                Hosts::These(hosts) if found.contains_key(app) => {
                    (app.clone(), Some(hosts.iter().filter_map(|h| h.as_str().parse().ok()).collect()))
                }
                Hosts::These(_) | Hosts::All => (app.clone(), None),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use router::table::Action;

    fn route(host: &str, n: u64) -> Route {
        let action = Action::Hold { max_wait: std::time::Duration::from_secs(n) };
        Route { host: host.parse().unwrap(), path: router::table::PathPrefix::root(), log: None, action }
    }

    /// `aaaaaaaa: x.a=1 y.a=2` lines.
    fn table(text: &str) -> Told {
        text.lines()
            .map(|line| {
                let (app, routes) = line.split_once(':').unwrap();
                let routes = routes.split_whitespace().map(|w| {
                    let (host, n) = w.split_once('=').unwrap();
                    let route = route(host, n.parse().unwrap());
                    (route.key(), route)
                });
                (app.parse().unwrap(), routes.collect())
            })
            .collect()
    }

    fn check(told: &str, scope: Scope, found: &str, want: &str, after: &str) {
        let (mut told, found) = (table(told), table(found));
        let (upsert, remove) = difference(&told, &scope, &found);
        let upsert = upsert.iter().map(|r| format!("+{}", r.host));
        let said: Vec<String> = upsert.chain(remove.iter().map(|k| format!("-{}", k.host))).collect();
        assert_eq!(said.join(" "), want);
        take_in(&mut told, &scope, &found);
        assert_eq!(told, table(after));
    }

    #[test]
    fn differences() {
        let app = |text: &str, hosts| (text.parse::<AppId>().unwrap(), hosts);
        let these = |hosts: &[&str]| Hosts::These(hosts.iter().map(|h| h.parse().unwrap()).collect());
        let (a, b) = ("aaaaaaaa: a.x=1 b.x=1", "bbbbbbbb: c.x=1");
        let both = format!("{a}\n{b}");
        check(&both, Scope::All, &both, "", &both);
        check(&both, Scope::All, "bbbbbbbb: c.x=2 d.x=1", "+c.x +d.x -a.x -b.x", "bbbbbbbb: c.x=2 d.x=1");
        // A name that changes hands stays in the table.
        check(
            &both,
            Scope::All,
            "aaaaaaaa: a.x=1\nbbbbbbbb: c.x=1 b.x=5",
            "+b.x",
            "aaaaaaaa: a.x=1\nbbbbbbbb: b.x=5 c.x=1",
        );
        let scope = Scope::Some([app("aaaaaaaa", Hosts::All)].into());
        check(&both, scope.clone(), "aaaaaaaa: a.x=1 e.x=1", "+e.x -b.x", "aaaaaaaa: a.x=1 e.x=1\nbbbbbbbb: c.x=1");
        check(&both, scope, "", "-a.x -b.x", b);
        let scope = Scope::Some([app("aaaaaaaa", these(&["b.x", "*.f.x"]))].into());
        check(
            &both,
            scope.clone(),
            "aaaaaaaa: a.x=1 *.f.x=1",
            "+*.f.x -b.x",
            "aaaaaaaa: a.x=1 *.f.x=1\nbbbbbbbb: c.x=1",
        );
        check(&both, scope.clone(), "aaaaaaaa: a.x=2", "+a.x -b.x", "aaaaaaaa: a.x=2\nbbbbbbbb: c.x=1");
        // The app was destroyed meanwhile: all of it goes.
        check(&both, scope, "", "-a.x -b.x", b);
        check(&both, Scope::none(), "", "", &both);
    }
}
