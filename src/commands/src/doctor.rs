//! `doctor`: what an operator would check, with the fix. Facts are gathered here, `domain::doctor` judges them.

use crate::context::Commands;
use crate::reply::{List, Reply};
use domain::doctor::{self, Builder, Clock, Docker, Facts, Firewall, Listener, Router, State, Waiting};
use domain::floors::Part;
use engine::EngineVersion;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use system::clock;
use system::fault::Result;
use system::host_checks;
use system::rights;
use system::settings::RouterMode;
use system::tasks::blocking;

/// A step may take as long as a build and a boot; beyond that much more, a deploy is stuck.
const STEP_SLACK: u64 = 600;

pub async fn doctor(c: &Commands) -> Result<Reply> {
    let found = doctor::findings(&facts(c).await?);
    let bad = found.iter().any(|f| f.state == State::Bad);
    // The remedy stands below what was seen: beside each other neither fits a terminal.
    let cells = |f: &doctor::Finding| {
        let fix = Some(format!("-> {}", f.fix)).filter(|_| !f.fix.is_empty());
        let below = fix.map(|fix| vec![String::new(), String::new(), fix]);
        std::iter::once(vec![f.check.to_owned(), f.state.to_string(), f.seen.clone()]).chain(below).collect::<Vec<_>>()
    };
    let object = |f: &doctor::Finding| json!({"check": f.check, "state": f.state, "ok": f.state == State::Ok, "seen": f.seen, "fix": f.fix});
    let list = List {
        columns: &["CHECK", "STATE", "SEEN"],
        rows: found.iter().flat_map(cells).collect(),
        json: found.iter().map(object).collect(),
        empty: String::new(),
    };
    Ok(Reply { exit: u8::from(bad), ..Reply::list(list) })
}

async fn facts(c: &Commands) -> Result<Facts> {
    let (settings, base) = (&c.p.settings, c.p.sites.base.get());
    let (engine, git, holds, names, kept) = tokio::join!(
        c.p.engine.version(),
        c.p.repos.version(),
        c.p.net.firewall_holds(),
        host_checks::names(&base),
        host_checks::clock_kept(),
    );
    let router = c.p.routes.state().await;
    let router = router.map(|r| Router {
        pid: r.pid,
        user: host_checks::user_of(r.pid),
        generation: r.generation,
        current: r.current,
    });
    let stacks = builder::STACKS;
    let stack = |name: &str| (name.to_owned(), settings.stacks.join(format!("{name}.json")).exists());
    let mut disks = vec![host_checks::disk("data", c.p.layout.data())];
    disks.extend(engine.as_ref().ok().map(|e| host_checks::disk("docker", Path::new(&e.root))));
    let me = rights::name_of(rustix::process::geteuid().as_raw());
    let routers = router.as_ref().and_then(|r| r.user.clone()).unwrap_or_else(|| me.clone());
    let folders = [(c.p.layout.data(), me), (c.p.layout.router(), routers)];
    Ok(Facts {
        docker: engine.map(docker).map_err(|err| err.to_string()),
        git: git.ok(),
        firewall: Firewall { holds, bridges_call: host_checks::bridges_call() },
        programs: host_checks::programs(),
        listeners: listeners(c, router.as_ref().map(|r| r.pid)).await?,
        router,
        router_is_ours: settings.router == RouterMode::Spawn,
        names,
        stacks: stacks.map(stack).to_vec(),
        builder: builder(c).await,
        disks,
        folders: folders.into_iter().filter_map(|(path, wanted)| host_checks::folder(path, wanted)).collect(),
        clock: Clock { now: clock::now().0 / 1_000_000, stepped: clock::stepped(), kept },
        queue: queue(c).await?,
        step_max: (settings.build_timeout + longest_boot(c).await?).as_secs() + STEP_SLACK,
    })
}

/// The longest that an app may take to boot: some have a time of their own.
async fn longest_boot(c: &Commands) -> Result<Duration> {
    let usual = c.p.settings.boot_timeout;
    let apps = c.p.store.read(|tx| tx.apps()).await?;
    Ok(apps.iter().map(|app| app.settings.boot_timeout(usual)).fold(usual, Duration::max))
}

fn docker(seen: EngineVersion) -> Docker {
    let part = |(part, name): (Part, &str)| Some((part, seen.parts.get(name)?.clone()));
    let parts = [(Part::Containerd, "containerd"), (Part::Runc, "runc")].into_iter().filter_map(part).collect();
    Docker { version: seen.version, api: seen.api, live_restore: seen.live_restore, store: seen.store, parts }
}

/// The builder of Dockerfiles; what it consists of is known while it runs.
async fn builder(c: &Commands) -> Builder {
    let builder = &c.p.image_builder;
    let parts = builder.version().await.map(|seen| {
        let mut parts = vec![(Part::Engine, seen.engine), (Part::BuildKit, seen.buildkit)];
        parts.retain(|(_, version)| !version.starts_with("v0.0.0"));
        parts.extend([(Part::Containerd, seen.containerd), (Part::Runc, seen.runc)]);
        parts
    });
    Builder { installed: builder.installed().await, parts, old_allowed: builder.accepts_old() }
}

/// The ports and who holds them: we hold SSH's, the router HTTP's.
async fn listeners(c: &Commands, router: Option<u32>) -> Result<Vec<Listener>> {
    let asked = [("ssh", c.p.sites.ssh_port, Some(std::process::id())), ("http", c.p.sites.http_port, router)];
    blocking("look at the ports", move || {
        let listener = |(what, port, ours): (&'static str, u16, Option<u32>)| {
            let holders = host_checks::holders(port);
            Listener {
                what,
                port,
                ours: ours.is_some_and(|pid| holders.iter().any(|h| h.pid == pid)),
                holders: holders.into_iter().map(|h| format!("{} ({})", h.name, h.pid)).collect(),
            }
        };
        Ok(asked.map(listener).to_vec())
    })
    .await
}

/// Deploys that are not over, and how long each has made no step.
async fn queue(c: &Commands) -> Result<Vec<Waiting>> {
    let now = clock::now();
    c.p.store
        .read(move |tx| {
            let open = tx.open_deploys()?;
            let one = |row: &store::DeployRow| {
                let last = tx.steps(row.id)?.last().map_or(row.created, |step| step.ended.unwrap_or(step.begun));
                Ok(Waiting { id: row.id.0, idle: u64::try_from((now.0 - last.0) / 1_000_000).unwrap_or(0) })
            };
            open.iter().map(one).collect()
        })
        .await
}
