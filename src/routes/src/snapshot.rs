//! Apps as routes need them, on one snapshot of the store.

use domain::domains::AppDomain;
use domain::formation::{self, WEB};
use domain::reconcile::Desire;
use domain::routing::{AppState, Hosts, ProcessState, ReadyInstance, Scope};
use domain::{AppId, ProcessType};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use store::{App, Build, InstanceRow, Result, Tx};

/// The apps of a scope; of one where only some names changed, with those names alone.
pub(super) fn of(tx: &Tx<'_>, scope: &Scope) -> Result<Vec<AppState>> {
    match scope {
        Scope::All => {
            let mut instances: BTreeMap<AppId, Vec<InstanceRow>> = BTreeMap::new();
            for row in tx.instances(None)? {
                instances.entry(row.app.clone()).or_default().push(row);
            }
            let mut domains = tx.all_domains()?;
            let whole = |app: App| {
                let domains = domains.remove(&app.id).unwrap_or_default();
                let hosts = domains.len();
                state(tx, &app, instances.remove(&app.id).unwrap_or_default(), domains, hosts)
            };
            tx.apps()?.into_iter().map(whole).collect()
        }
        Scope::Some(apps) => {
            let mut states = Vec::new();
            for (id, hosts) in apps {
                let Some(app) = tx.app(id)? else { continue };
                let domains = match hosts {
                    Hosts::All => tx.domains(id, domain::domains::DOMAINS_MAX)?,
                    Hosts::These(hosts) => {
                        let rows = hosts.iter().map(|host| tx.domain(host)).collect::<Result<Vec<_>>>()?;
                        rows.into_iter().flatten().filter(|(owner, _)| owner == id).map(|(_, row)| row).collect()
                    }
                };
                let count = tx.domain_count(id)?;
                states.push(state(tx, &app, tx.instances(Some(id))?, domains, count)?);
            }
            Ok(states)
        }
    }
}

fn state(
    tx: &Tx<'_>,
    app: &App,
    instances: Vec<InstanceRow>,
    domains: Vec<AppDomain>,
    hosts: usize,
) -> Result<AppState> {
    let mut served: BTreeSet<ProcessType> = domains.iter().map(|d| d.process.clone()).collect();
    served.insert(WEB.parse()?);
    let mut processes = BTreeMap::new();
    let mut port = domain::instance::PORT;
    if let Some(number) = app.current_release {
        let build = tx.build(tx.the_release(&app.id, number)?.build)?;
        port = build.as_ref().map_or(domain::instance::PORT, Build::port);
        let table = build.map(|b| b.processes).unwrap_or_default();
        let formation = tx.formation(&app.id)?;
        for process in served.into_iter().filter(|p| table.contains_key(p)) {
            let wanted = formation::quantity(&formation, &process) > 0;
            processes.insert(process, ProcessState { wanted, ..ProcessState::default() });
        }
    }
    for row in instances {
        let Some(process) = processes.get_mut(&row.process) else { continue };
        if app.current_set != Some(row.set) || row.desire != Desire::Up {
            continue;
        }
        if !row.served {
            process.portless = true;
        } else if row.ready {
            let address = SocketAddrV4::new(row.address, port);
            process.ready.push(ReadyInstance { id: row.id, label: row.label(), address });
        } else if row.crashes <= 1 {
            // After a first crash it is started again at once; after more it waits, and the page says so.
            process.coming = true;
        }
    }
    Ok(AppState {
        id: app.id.clone(),
        name: app.name.clone(),
        released: app.current_release.is_some(),
        stopped: app.stopped,
        maintenance: tx.maintenance(&app.id)?.map(|(maintenance, _)| maintenance),
        processes,
        domains,
        hosts,
    })
}
