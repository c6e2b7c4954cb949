//! The router's table and who may change it: one task that takes snapshots and changes in turn.
//!
//! A change goes to the workers at once and to the disk at the same time; it is acknowledged when both have it. A table
//! of another boot is served with its `Serve` routes held, until a snapshot confirms it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    disk::{Disk, Job},
    journal::{Delta, Stored},
    proto::{Answer, Change, Snapshot},
    table::{HostPattern, HostRoutes, Patch, Route, Table},
    worker_pool::Workers,
};

/// The table with everything that changing it takes.
pub(crate) struct Control {
    table: Table<Arc<HostRoutes>>,
    pub(crate) generation: u64,
    /// The boot that the table was confirmed in.
    table_boot: String,
    pub(crate) boot_id: String,
    boot_hold: Duration,
    workers: Workers,
    disk: Disk,
    pub(crate) active: bool,
    /// The disk does not have this table: the next record must be a whole one.
    behind: bool,
}

/// What a control is made of.
pub(crate) struct Parts {
    pub(crate) stored: Stored,
    pub(crate) boot_id: String,
    pub(crate) boot_hold: Duration,
    pub(crate) workers: Workers,
    pub(crate) disk: Disk,
    pub(crate) active: bool,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { stored, boot_id, boot_hold, workers, disk, active } = parts;
        let mut table = Table::default();
        for (host, routes) in group(stored.routes) {
            table.set(&host, Some(Arc::new(routes)));
        }
        let (generation, table_boot) = (stored.generation, stored.boot_id);
        // An empty journal has no snapshot to append to.
        let behind = table_boot.is_empty();
        Self { table, generation, table_boot, boot_id, boot_hold, workers, disk, active, behind }
    }

    /// The table is of another boot, so its addresses may be somebody else's.
    pub(crate) fn held(&self) -> bool {
        self.table_boot != self.boot_id
    }

    /// Gives the workers their first table.
    pub(crate) async fn begin(&self) -> Result<(), String> {
        let view = |routes: &Arc<HostRoutes>| match self.held() {
            true => Arc::new(routes.held(self.boot_hold)),
            false => routes.clone(),
        };
        self.workers.patch(self.table.iter().map(|(host, routes)| (host, Some(view(routes)))).collect()).await
    }

    /// Takes a whole table. Only what differs reaches the workers.
    pub(crate) async fn install(&mut self, snapshot: Snapshot) -> Answer {
        if let Err(why) = check(&snapshot.routes) {
            return Answer::Refused { why };
        }
        let all = self.held();
        let new = group(snapshot.routes);
        let gone = |host: &HostPattern| !new.contains_key(host);
        let mut patch: Patch = self.table.iter().filter(|(host, _)| gone(host)).map(|(host, _)| (host, None)).collect();
        for (host, routes) in new {
            if all || self.table.get(&host).is_none_or(|old| **old != routes) {
                patch.push((host, Some(Arc::new(routes))));
            }
        }
        self.table_boot = self.boot_id.clone();
        self.behind = true;
        self.switch(patch, snapshot.generation, None).await
    }

    /// Takes a change of the table that the sender believes to be served.
    pub(crate) async fn change(&mut self, change: Change) -> Answer {
        let refused = |why: String| Answer::Refused { why };
        if self.held() {
            return refused("the table is of an earlier boot: send a snapshot".into());
        }
        if change.base != self.generation {
            return refused(format!("the table is {}, not {}: send a snapshot", self.generation, change.base));
        }
        if change.generation <= change.base {
            return refused(format!("{} does not come after {}", change.generation, change.base));
        }
        if let Err(why) = check(&change.upsert) {
            return refused(why);
        }
        let mut touched: HashMap<HostPattern, HostRoutes> = HashMap::new();
        let current = |host: &HostPattern| self.table.get(host).map(|r| HostRoutes::clone(r)).unwrap_or_default();
        for key in &change.remove {
            touched.entry(key.host.clone()).or_insert_with(|| current(&key.host)).remove(&key.path);
        }
        for route in &change.upsert {
            touched.entry(route.host.clone()).or_insert_with(|| current(&route.host)).upsert(route.clone());
        }
        let patch = touched.into_iter().map(|(h, r)| (h, (!r.is_empty()).then(|| Arc::new(r)))).collect();
        let Change { generation, base, upsert, remove } = change;
        self.switch(patch, generation, Some(Delta { generation, base, upsert, remove })).await
    }

    /// From now on this router is, or is not, the one that writes to disk.
    pub(crate) async fn role(&mut self, active: bool) -> Answer {
        self.behind |= !active;
        self.active = active;
        if active && self.behind && !self.held() {
            let job = Job::Install(self.stored());
            return match self.disk.start(job).await {
                Ok(_) => {
                    self.behind = false;
                    Answer::Done
                }
                Err(why) => Answer::Refused { why },
            };
        }
        Answer::Done
    }

    async fn switch(&mut self, patch: Patch, generation: u64, delta: Option<Delta>) -> Answer {
        for (host, routes) in &patch {
            self.table.set(host, routes.clone());
        }
        self.generation = generation;
        let job = match (self.active, delta) {
            (false, _) => None,
            (true, Some(delta)) if !self.behind => Some(Job::Append(delta)),
            (true, _) => Some(Job::Install(self.stored())),
        };
        self.behind = true;
        let synced = job.map(|job| self.disk.start(job));
        let switched = self.workers.patch(patch).await;
        let synced = match synced {
            Some(synced) => synced.await,
            None => Ok(false),
        };
        match (switched, synced) {
            (Ok(()), Ok(compact)) => {
                self.behind = !self.active;
                if compact {
                    // Best effort: without it the journal only stays long.
                    let _ = self.disk.start(Job::Compact(self.stored())).await;
                }
                Answer::Serving { generation }
            }
            (Err(why), _) => Answer::Refused { why },
            (_, Err(why)) => Answer::Refused { why: format!("served, but not on disk: {why}") },
        }
    }

    fn stored(&self) -> Stored {
        let routes = self.table.iter().flat_map(|(_, routes)| routes.routes().to_vec()).collect();
        Stored { boot_id: self.table_boot.clone(), generation: self.generation, routes }
    }
}

fn check(routes: &[Route]) -> Result<(), String> {
    routes.iter().try_for_each(Route::check).map_err(|bad| bad.to_string())
}

fn group(routes: Vec<Route>) -> HashMap<HostPattern, HostRoutes> {
    let mut hosts: HashMap<HostPattern, HostRoutes> = HashMap::new();
    for route in routes {
        hosts.entry(route.host.clone()).or_default().upsert(route);
    }
    hosts
}
