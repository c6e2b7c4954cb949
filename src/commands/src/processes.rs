//! `ps*`: what runs, how many of it, and running it anew.

use crate::context::{Ask, Commands};
use crate::follow::follow;
use crate::reply::{Line, List, Reply};
use crate::show::quote_short;
use crate::turn;
use deploy::{boot, network};
use domain::access::actor;
use domain::deploy::Kind;
use domain::instance::instance_name;
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::text::human_bytes;
use domain::words::quote;
use domain::{AppId, InstanceId, Refusal, formation, time};
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Ask as JobAsk, InstanceRow, RunRow};
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::args;

/// How long the engine may take to say what all instances use: `ps` shows the rest without it.
const MEMORY_MAX: Duration = Duration::from_secs(2);
const MEMORY_AT_ONCE: usize = 8;
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// What the reconciler may take beside the boot itself.
const SETTLE_SLACK: Duration = Duration::from_secs(10);
/// How long a detached run that has ended is still shown.
const SHOWN_MILLIS: i64 = 3_600_000;

pub async fn ps(c: &Commands, ask: Ask) -> Result<Reply> {
    let id = ask.the_app()?.id.clone();
    let at = now();
    let (rows, table, runs, idle) = c
        .p
        .store
        .read(move |tx| {
            let app = tx.the_app(&id)?;
            let table = match app.current_release {
                Some(number) => tx.build(tx.the_release(&id, number)?.build)?.map(|b| b.processes).unwrap_or_default(),
                None => Default::default(),
            };
            let mut rows = tx.instances(Some(&id))?;
            rows.retain(|row| row.desire != Desire::Once);
            let mut runs = tx.runs(Some(&id), at.plus_millis(-SHOWN_MILLIS))?;
            // How an attached one ended, its user saw.
            runs.retain(|run| run.detached || run.ended.is_none());
            let idle = match (app.current_release, app.stopped, table.keys().find(|name| name.as_str() != "release")) {
                (None, ..) => "git push hoist main".to_owned(),
                (Some(_), false, Some(name)) => format!("ps:scale {} {name}=1", app.name),
                (Some(_), true, _) => format!("ps:start {}", app.name),
                (Some(_), false, None) => {
                    "a line such as `web: COMMAND` in the Procfile, committed and pushed".to_owned()
                }
            };
            Ok((rows, table, runs, idle))
        })
        .await?;
    let state = |row: &InstanceRow| match (row.desire, row.ready, row.ended) {
        (Desire::Booting, ..) => "starting",
        (Desire::Retiring, ..) => "stopping",
        // Those have a table of their own.
        (Desire::Once, ..) => "up",
        (Desire::Up, true, _) => "up",
        (Desire::Up, false, Some(_)) => "crashed",
        (Desire::Up, false, None) => "starting",
    };
    let shown = |row: &InstanceRow| match next_start_millis(row, at) {
        Some(0) => "crashed, starts now".to_owned(),
        Some(left) => format!("crashed, starts in {}", time::human_millis(left)),
        None => state(row).to_owned(),
    };
    let since = |row: &InstanceRow| time::human_millis(at.millis_since(row.ended.unwrap_or(row.started)));
    let (limit, most) = (c.p.settings.instance_disk, c.p.settings.app_memory);
    let memory = memory(c, rows.iter().map(|row| row.id).chain(runs.iter().map(|run| run.id))).await;
    let command = |row: &InstanceRow| table.get(&row.process).cloned().unwrap_or_default();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|r| {
            vec![
                r.label(),
                r.release.to_string(),
                shown(r),
                since(r),
                r.crashes.to_string(),
                memory_words(&memory, r.id, most),
                disk_words(c, r.id, limit),
                quote_short(&command(r)),
            ]
        })
        .collect();
    let mut json: Vec<serde_json::Value> = rows
        .iter()
        .map(|r| json!({"name": r.label(), "id": r.id.to_string(), "release": r.release.to_string(), "state": state(r), "since_ms": at.millis_since(r.ended.unwrap_or(r.started)),
            "crashes": r.crashes, "next_start_ms": next_start_millis(r, at), "address": r.address.to_string(), "memory": memory_json(&memory, r.id, most), "disk": disk_json(c, r.id, limit), "command": command(r)}))
        .collect();
    let empty = format!("Nothing is running; to start it: {idle}");
    json.extend(runs.iter().map(|run| {
        let mut value = crate::run::json_of(run, at);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("memory".to_owned(), memory_json(&memory, run.id, run.memory));
            fields.insert("disk".to_owned(), disk_json(c, run.id, limit));
        }
        value
    }));
    let empty = if runs.is_empty() { empty } else { String::new() };
    let instances = List {
        columns: &["INSTANCE", "RELEASE", "STATE", "SINCE", "CRASHES", "MEMORY", "DISK", "COMMAND"],
        rows: cells,
        json,
        empty,
    };
    let run_cells = |run: &RunRow| {
        crate::run::cells_of(run, [memory_words(&memory, run.id, run.memory), disk_words(c, run.id, limit)], at)
    };
    let one_offs = List {
        columns: &["ONE-OFF", "RELEASE", "STATE", "SINCE", "BY", "MEMORY", "DISK", "COMMAND"],
        rows: runs.iter().map(run_cells).collect(),
        // They are among the instances there.
        json: Vec::new(),
        empty: String::new(),
    };
    Ok(Reply::lists(vec![instances, one_offs]))
}

/// What instances use of their memory now. One of which the engine says nothing in time has no number.
async fn memory(c: &Commands, ids: impl Iterator<Item = InstanceId>) -> BTreeMap<InstanceId, u64> {
    let looks = ids.map(|id| async move {
        let name = instance_name(&c.p.install, id);
        c.p.engine.memory(&name).await.ok().flatten().map(|bytes| (id, bytes))
    });
    let looks: Vec<_> = looks.collect();
    let found = stream::iter(looks).buffer_unordered(MEMORY_AT_ONCE);
    let in_time = found.take_until(Box::pin(tokio::time::sleep(MEMORY_MAX)));
    in_time.filter_map(|found| async move { found }).collect().await
}

/// `45.1 MB of 512.0 MB`; a dash where nothing runs.
fn memory_words(used: &BTreeMap<InstanceId, u64>, id: InstanceId, limit: u64) -> String {
    used.get(&id).map_or_else(|| "-".to_owned(), |bytes| format!("{} of {}", human_bytes(*bytes), human_bytes(limit)))
}

fn memory_json(used: &BTreeMap<InstanceId, u64>, id: InstanceId, limit: u64) -> serde_json::Value {
    json!({"used": used.get(&id), "limit": limit})
}

/// `12.3 MB of 2.0 GB`; a dash where it was not looked at yet, or does not run any more.
fn disk_words(c: &Commands, id: InstanceId, limit: u64) -> String {
    match c.p.disks.used(id) {
        Some(used) => format!("{} of {}", used.words(), human_bytes(limit)),
        None => "-".to_owned(),
    }
}

fn disk_json(c: &Commands, id: InstanceId, limit: u64) -> serde_json::Value {
    let used = c.p.disks.used(id);
    json!({"used": used.map(|used| used.bytes), "more": used.is_some_and(|used| used.more), "limit": limit})
}

/// How long a crashed instance still waits for its next start.
fn next_start_millis(row: &InstanceRow, at: domain::Timestamp) -> Option<u64> {
    let ended = row.ended.filter(|_| row.desire == Desire::Up && !row.ready)?;
    Some(domain::backoff::restart_delay_millis(row.crashes, 0).saturating_sub(at.millis_since(ended)))
}

pub async fn scale(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::PsScale { formation: words } = ask.what().arguments()?;
    if words.is_empty() {
        return show_formation(c, &ask).await;
    }
    let turn = turn::take(c, &app, io).await?;
    let id = app.id.clone();
    network::ensure_number(&c.p, &app.id).await?;
    let p = c.p.clone();
    let (rows, wanted) = c
        .p
        .store
        .write(move |tx| {
            let row = tx.the_app(&id)?;
            let number = row.current_release.ok_or_else(|| {
                Refusal::new(Code::NotDeployed, format!("{} has no release yet", row.name)).next("git push hoist main")
            })?;
            let table = tx.build(tx.the_release(&id, number)?.build)?.map(|b| b.processes).unwrap_or_default();
            let new = formation::scale(&tx.formation(&id)?, &table, &words)?;
            tx.set_formation(&id, &new, now())?;
            let wanted = formation::wanted(&new, &table);
            // Too many: the highest numbers go.
            for one in tx.instances(Some(&id))? {
                let most = wanted.get(&one.process).copied().unwrap_or(0);
                if Some(one.set) == row.current_set && one.desire == Desire::Up && one.ordinal > most {
                    tx.set_desire(one.id, Desire::Retiring)?;
                }
            }
            // With the formation, or a crash here would leave fewer than it says.
            let rows = match (row.current_set, row.stopped) {
                (Some(set), false) => boot::allocate_in(tx, &p, &id, number, set, Desire::Up)?,
                (Some(_) | None, _) => Vec::new(),
            };
            Ok((rows, wanted))
        })
        .await?;
    let list: Vec<String> = wanted.iter().map(|(p, n)| format!("{p}={n}")).collect();
    Line::Plain(format!("Scaling {} to {}", app.name, list.join(" "))).say(io).await;
    c.p.wake.notify_one();
    let mut reply = wait_up(c, &rows, io).await?;
    reply.did("formation", &wanted);
    c.p.routes.publish_app(&app.id, ROUTE_MAX).await;
    c.p.wake.notify_one();
    drop(turn);
    Ok(reply)
}

async fn show_formation(c: &Commands, ask: &Ask) -> Result<Reply> {
    let id = ask.the_app()?.id.clone();
    let wanted =
        c.p.store
            .read(move |tx| {
                let Some(number) = tx.the_app(&id)?.current_release else { return Ok(formation::Formation::new()) };
                let table = tx.build(tx.the_release(&id, number)?.build)?.map(|b| b.processes).unwrap_or_default();
                Ok(formation::wanted(&tx.formation(&id)?, &table))
            })
            .await?;
    Ok(Reply::list(List {
        columns: &["TYPE", "QUANTITY"],
        rows: wanted.iter().map(|(p, n)| vec![p.to_string(), n.to_string()]).collect(),
        json: wanted.iter().map(|(p, n)| json!({"type": p, "quantity": n})).collect(),
        empty: "Nothing to scale yet: push the app first".to_owned(),
    }))
}

/// Waits until the reconciler has brought these up, and says so; exit code 1 if one does not come up in time.
async fn wait_up(c: &Commands, rows: &[InstanceRow], io: &Io) -> Result<Reply> {
    for row in rows.iter().filter(|r| !r.ready) {
        match settled(c, row, true).await? {
            Some(Settled::Up) => Line::Plain(format!("{} is up", row.label())).say(io).await,
            Some(Settled::Gone) => {}
            Some(Settled::Crashed) => return not_up(c, row, "crashed").await,
            None => return not_up(c, row, "is not up yet").await,
        }
    }
    Ok(Reply::new())
}

/// What became of an instance that was to come up.
enum Settled {
    Up,
    Crashed,
    Gone,
}

/// What becomes of it; `None` if it takes longer than it may. One that was stopped a moment ago ended: that is no crash.
async fn settled(c: &Commands, row: &InstanceRow, crash_counts: bool) -> Result<Option<Settled>> {
    let (id, app) = (row.id, row.app.clone());
    let usual = c.p.settings.boot_timeout;
    let limit = c.p.store.read(move |tx| Ok(tx.the_app(&app)?.settings.boot_timeout(usual))).await?;
    let until = tokio::time::Instant::now() + limit + SETTLE_SLACK;
    c.p.store
        .wait_for(until, move |tx| {
            Ok(match tx.instance(id)? {
                None => Some(Settled::Gone),
                Some(now) if now.ready => Some(Settled::Up),
                Some(now) if crash_counts && now.crashes > 0 => Some(Settled::Crashed),
                Some(_) => None,
            })
        })
        .await
}

async fn not_up(c: &Commands, row: &InstanceRow, what: &str) -> Result<Reply> {
    let (label, id) = (row.label(), row.app.clone());
    let app = c.p.store.read(move |tx| tx.the_app(&id)).await?;
    let mut reply = Reply::exit(1);
    reply.warn(format!("{label} {what}; see: logs {} -p {label}", app.name));
    Ok(reply)
}

pub async fn restart(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let args::PsRestart { which } = ask.what().arguments()?;
    if which.is_empty() {
        // Config vars that were only stored count from a new release on: this is the moment that they waited for.
        let stale = !crate::config::waiting(c, &ask.the_app()?.id).await?.is_empty();
        let kind = if stale { Kind::Config } else { Kind::Restart };
        return run_job(c, &ask, kind, JobAsk::by(ask.principal()), io).await;
    }
    let turn = turn::take(c, ask.the_app()?, io).await?;
    let app = ask.the_app()?.id.clone();
    let rows = chosen(c, &app, &which).await?;
    let id = app.clone();
    let settings = c.p.store.read(move |tx| Ok(tx.the_app(&id)?.settings)).await?;
    for row in &rows {
        Line::Plain(format!("Restarting {}", row.label())).say(io).await;
        let id = row.id;
        c.p.store.write(move |tx| tx.note_down(id, None, now())).await?;
        c.p.routes.publish_app(&app, ROUTE_MAX).await;
        c.p.routes.wait_idle(&[id.to_string()], settings.drain_time()).await;
        let name = instance_name(&c.p.install, row.id);
        c.p.engine.stop(&name, settings.stop_grace()).await?;
        c.p.wake.notify_one();
        let fresh = InstanceRow { ready: false, ..row.clone() };
        match settled(c, &fresh, false).await? {
            Some(Settled::Up) => Line::Plain(format!("{} is up", row.label())).say(io).await,
            Some(Settled::Gone | Settled::Crashed) | None => return not_up(c, row, "is not up yet").await,
        }
    }
    drop(turn);
    Ok(Reply::new())
}

async fn chosen(c: &Commands, app: &AppId, which: &[String]) -> Result<Vec<InstanceRow>> {
    let id = app.clone();
    let (row, rows) = c.p.store.read(move |tx| Ok((tx.the_app(&id)?, tx.instances(Some(&id))?))).await?;
    let mut found = Vec::new();
    for word in which {
        let before = found.len();
        found.extend(
            rows.iter()
                .filter(|r| Some(r.set) == row.current_set && r.desire == Desire::Up)
                .filter(|r| r.label() == *word || r.process.as_str() == word)
                .cloned(),
        );
        if found.len() == before {
            return Err(Refusal::new(Code::NoSuchInstance, format!("nothing called {} runs", quote(word)))
                .next(format!("ps {}", row.name))
                .into());
        }
    }
    Ok(found)
}

pub async fn stop(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let args::PsStop { which } = ask.what().arguments()?;
    if let Some(runs) = crate::run::named(c, &ask, &which).await? {
        return crate::run::stop(c, &ask, &runs, io).await;
    }
    only_whole(&ask, &which, "0")?;
    let app = ask.the_app()?.clone();
    let turn = turn::take(c, &app, io).await?;
    let id = app.id.clone();
    let stopping =
        c.p.store
            .write(move |tx| {
                tx.stop(&id, now())?;
                tx.retire_others(&id, None)
            })
            .await?;
    c.p.routes.publish_app(&app.id, ROUTE_MAX).await;
    c.p.wake.notify_one();
    drop(turn);
    let instances = if stopping == 1 { "instance" } else { "instances" };
    let mut reply =
        Reply::said(format!("Stopped {} ({stopping} {instances}); ps:start {} starts it again", app.name, app.name));
    reply.did("stopped", stopping);
    Ok(reply)
}

pub async fn start(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    only_whole(&ask, &ask.what().arguments::<args::PsStart>()?.which, "1")?;
    let id = ask.the_app()?.id.clone();
    let app = c.p.store.read(move |tx| tx.the_app(&id)).await?;
    if !app.stopped && app.current_release.is_some() {
        return Ok(Reply::said(format!("{name} is started already; ps:restart {name} restarts it", name = app.name)));
    }
    // Config vars set while it was stopped are not in its release: it starts as a new one that has them.
    let stale = !crate::config::waiting(c, &app.id).await?.is_empty();
    let kind = if stale { Kind::Config } else { Kind::Restart };
    run_job(c, &ask, kind, JobAsk::by(ask.principal()), io).await
}

fn only_whole(ask: &Ask, which: &[String], quantity: &str) -> Result<(), Refusal> {
    let Some(word) = which.first() else { return Ok(()) };
    let process = word.split('.').next().unwrap_or(word);
    let app = ask.app().map_or("APP", |a| a.name.as_str());
    Err(Refusal::new(Code::OnlyWhole, "an app is stopped and started as a whole")
        .next(format!("ps:scale {app} {}={quantity}", quote(process))))
}

pub async fn rebuild(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let app = ask.the_app()?;
    // A build fills its app's cache as a push does.
    crate::usage::may_push(&c.p, app.owner).await?;
    let id = app.id.clone();
    let commit = c
        .p
        .store
        .read(move |tx| {
            let app = tx.the_app(&id)?;
            let number = app.current_release.ok_or_else(|| {
                Refusal::new(Code::NotDeployed, format!("{} has no release yet", app.name)).next("git push hoist main")
            })?;
            Ok(tx.build(tx.the_release(&id, number)?.build)?.map(|b| b.commit))
        })
        .await?;
    run_job(c, &ask, Kind::Rebuild, JobAsk { commit, ..JobAsk::by(ask.principal()) }, io).await
}

/// Queues a job for the asker and shows it to its end.
pub async fn run_job(c: &Commands, ask: &Ask, kind: Kind, job: JobAsk, io: &Io) -> Result<Reply> {
    let app = ask.the_app()?.id.clone();
    let job = c.deploys.submit(&app, kind, job, &actor(ask.principal())).await?;
    Ok(follow(c, &job, io).await)
}
