//! Starts instances and waits until they are ready; says what was seen where one is not.

use super::probe::Serves;
use super::spec::{self, HostSide, Launch};
use super::{network, quota};
use crate::Platform;
use crate::exec;
use domain::ids::SetId;
use domain::instance::instance_name;
use domain::listeners::{Late, Seen};
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::{AppId, Refusal, ReleaseNumber, formation};
use engine::{EngineError, InstanceSpec, Status};
use jobs::Job;
use log_format::{Source, SpoolKey};
use logs::SpoolMeta;
use std::net::SocketAddr;
use std::time::Duration;
use store::{InstanceRow, NewInstance, Tx};
use system::fault::{Act, Error, Fault, Result};

/// A process type without a port is ready when it has stayed up this long.
pub const STAY_UP: Duration = Duration::from_secs(3);
/// When a pusher who waits is told what the app listens on instead.
const HINT_AFTER: Duration = Duration::from_secs(5);
/// Lines of an instance that ended, shown to the pusher: traces of two workers and of their master, and the cause before them.
const LAST_LINES: usize = 80;

/// Allocates the instances of a set: idempotent, rows that are there stay.
pub async fn allocate(
    p: &Platform,
    app: &AppId,
    release: ReleaseNumber,
    set: SetId,
    desire: Desire,
) -> Result<Vec<InstanceRow>> {
    network::ensure_number(p, app).await?;
    let (app, parts) = (app.clone(), p.clone());
    p.store.write(move |tx| allocate_in(tx, &parts, &app, release, set, desire)).await
}

/// [`allocate`] as part of a transaction; the app has a network. Refused where its owner may not have so many.
pub fn allocate_in(
    tx: &Tx<'_>,
    p: &Platform,
    app: &AppId,
    release: ReleaseNumber,
    set: SetId,
    desire: Desire,
) -> store::Result<Vec<InstanceRow>> {
    let row = tx.the_app(app)?;
    let build = tx.the_release(app, release)?.build;
    let table = tx.build(build)?.ok_or_else(|| Fault::plain("the build of a release is gone"))?.processes;
    let wanted = formation::wanted(&tx.formation(app)?, &table);
    quota::may_scale(tx, &p.settings, &row, wanted.values().copied().map(u64::from).sum())?;
    let with_domain = tx.domain_processes(app)?;
    let mut have = tx.instances(Some(app))?;
    have.retain(|i| i.set == set && i.desire != Desire::Retiring);
    for (process, quantity) in wanted {
        for ordinal in 1..=quantity {
            if have.iter().any(|i| i.process == process && i.ordinal == ordinal) {
                continue;
            }
            let have_addresses = tx.addresses_of(app)?;
            let now = system::clock::now();
            let address = p.net.choose_address(&row, &have_addresses, now)?;
            let served = formation::is_served(&process, &with_domain);
            let new = NewInstance { release, process: process.clone(), ordinal, set, desire, served };
            have.push(tx.add_instance(app, &new, address, now)?);
        }
    }
    Ok(have)
}

/// Reads everything an instance is made from.
pub async fn launch_of(p: &Platform, row: &InstanceRow) -> Result<Launch> {
    let row = row.clone();
    p.store
        .read(move |tx| {
            let app = tx.the_app(&row.app)?;
            let release = tx.the_release(&row.app, row.release)?;
            let build = tx.build(release.build)?.ok_or_else(|| Fault::plain("the build of a release is gone"))?;
            let config = tx.config(&row.app, release.config_version)?;
            Ok(Launch { row, app, release, build, config })
        })
        .await
}

/// Makes sure an instance's network is there and that it was started, its output followed.
pub async fn ensure_started(p: &Platform, row: &InstanceRow, source: Source) -> Result<()> {
    let launch = launch_of(p, row).await?;
    start_as(p, &launch, Some(source), |host| {
        spec::instance_spec(&launch, host)
            .ok_or_else(|| Fault::plain(format!("{} has no process type {}", row.release, row.process)))
    })
    .await
}

/// Starts an instance as `spec` says. Its output is followed if it has a source.
pub(super) async fn start_as(
    p: &Platform,
    launch: &Launch,
    source: Option<Source>,
    spec: impl FnOnce(&HostSide<'_>) -> Result<InstanceSpec, Fault>,
) -> Result<()> {
    let row = &launch.row;
    let network = p.net.app_network(&launch.app)?;
    network::ensure_network(p, &network).await?;
    let key = SpoolKey::instance(row.id);
    if let Some(source) = source {
        let meta = SpoolMeta {
            key: key.clone(),
            app: row.app.clone(),
            source,
            process: row.process.to_string(),
            instance: row.label(),
            release: row.release.0,
        };
        let followed = p.logs.follows(&key);
        p.logs.follow(meta).await?;
        // An init that ran before took the files' names away; while one runs it must not find them again.
        if followed && !is_there(p, row).await? {
            p.logs.offer(&key).await?;
            exec::forget(p, row.id);
        }
    }
    p.disks.begin(row.id);
    exec::prepare(&p.layout, row.id).act(|| format!("cannot make the folder of the socket of {}", row.label()))?;
    let host = HostSide {
        settings: &p.settings,
        install: &p.install,
        init: &p.init,
        spool: p.logs.writer_dir(&key),
        io: p.layout.io(row.id),
        network: &network.name,
        domain: p.sites.domain(&launch.app.name),
        url: p.sites.url(&launch.app.name),
    };
    match p.starts.ensure(&p.engine, &p.tasks, spec(&host)?).await {
        Err(EngineError::NotFound(what)) => {
            Err(Refusal::new(Code::ImageGone, format!("the image of {} is gone ({what})", row.release))
                .next(format!("ps:rebuild {}", launch.app.name))
                .into())
        }
        other => Ok(other?),
    }
}

/// Whether the engine has it and it was started.
async fn is_there(p: &Platform, row: &InstanceRow) -> Result<bool> {
    let seen = p.engine.inspect(&instance_name(&p.install, row.id)).await?;
    Ok(seen.is_some_and(|seen| seen.status != Status::Created))
}

/// How waiting ended.
#[derive(Debug)]
enum Waited {
    Ready,
    Ended { code: i64, out_of_memory: bool },
    NotOpened,
    NotTaken,
}

impl From<Serves> for Waited {
    fn from(serves: Serves) -> Waited {
        match serves {
            Serves::Yes => Waited::Ready,
            Serves::NotOpened => Waited::NotOpened,
            Serves::NotTaken => Waited::NotTaken,
        }
    }
}

/// Waits until an instance is ready, or says why it is not. `job` hears a hint on the way.
pub async fn wait_ready(p: &Platform, row: &InstanceRow, job: Option<&Job>) -> Result<()> {
    let name = instance_name(&p.install, row.id);
    let Launch { app, build, .. } = launch_of(p, row).await?;
    let limit = app.settings.boot_timeout(p.settings.boot_timeout);
    let port = build.port();
    let opened = async {
        if row.served {
            let target = SocketAddr::from((row.address, port));
            let hint = hint(p, row, (&name, port), job);
            tokio::select! {
                served = p.probe.serves(p.engine.as_ref(), &name, target, limit) => served.into(),
                never = hint => never,
            }
        } else {
            p.clock.sleep(STAY_UP).await;
            Waited::Ready
        }
    };
    let ended = async {
        loop {
            match p.engine.wait(&name).await {
                Ok(Status::Exited { code, out_of_memory }) => return Waited::Ended { code, out_of_memory },
                // Docker is away: what is known then comes from the port alone.
                Ok(Status::Created | Status::Running { .. }) | Err(_) => p.clock.sleep(Duration::from_secs(1)).await,
            }
        }
    };
    let waited = tokio::select! { biased; end = ended => end, opened = opened => opened };
    let late = Late { label: &row.label(), app: app.name.as_str(), port, limit };
    match waited {
        Waited::Ready => Ok(()),
        Waited::Ended { code, out_of_memory } => Err(not_up(p, row, code, out_of_memory).await),
        Waited::NotOpened => Err(late.not_opened(&seen(p, (&name, port)).await).into()),
        Waited::NotTaken => Err(late.not_taken().into()),
    }
}

/// Tells the one who waits what is seen, once; never returns.
async fn hint(p: &Platform, row: &InstanceRow, at: (&str, u16), job: Option<&Job>) -> Waited {
    p.clock.sleep(HINT_AFTER).await;
    if let Some(job) = job {
        job.detail(format!("{} is still starting: it {}", row.label(), seen(p, at).await.words(at.1)));
    }
    std::future::pending().await
}

async fn seen(p: &Platform, (name, port): (&str, u16)) -> Seen {
    p.probe.seen(p.engine.as_ref(), name, port).await
}

async fn not_up(p: &Platform, row: &InstanceRow, code: i64, out_of_memory: bool) -> Error {
    let label = row.label();
    if p.disks.over(row.id).is_some() {
        return Refusal::new(Code::BootDisk, format!("{label} filled its disk while starting"))
            .why(domain::room::over(p.settings.instance_disk))
            .next("write less at start, or raise instance-disk in the server's configuration")
            .into();
    }
    if out_of_memory {
        let limit = domain::text::human_bytes(p.settings.app_memory);
        return Refusal::new(Code::BootMemory, format!("{label} ran out of memory while starting"))
            .why(format!("its limit is {limit}"))
            .next("use less memory at start, or raise app-memory in the server's configuration")
            .into();
    }
    let when = if row.served { "before it took a connection" } else { "instead of staying up" };
    let mut no = Refusal::new(Code::BootCrash, format!("{label} exited with status {code} {when}"));
    if let Some(script) = jobs::script(code, &last_lines(p, row).await, row.process.as_str()) {
        return script.next.into_iter().fold(no.why(script.what), Refusal::next).into();
    }
    if code == 127 {
        no = no.why("status 127: the command was not found").next("check the command in the Procfile");
    }
    no = no.next("fix the cause shown above, commit, push again");
    let id = row.app.clone();
    if let Ok(Some(app)) = p.store.read(move |tx| tx.app(&id)).await {
        no = no.next(format!("config:set {} NAME=VALUE  (if a config var is missing), then push again", app.name));
    }
    no.into()
}

/// The last lines that an instance wrote, for the pusher.
pub async fn last_lines(p: &Platform, row: &InstanceRow) -> Vec<String> {
    match p.logs.recent(&SpoolKey::instance(row.id), LAST_LINES).await {
        Ok(lines) => lines.iter().map(|line| domain::text::plain(&line.text)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Starts all instances of a set at once and waits for all; the first that fails decides.
pub async fn boot_set(p: &Platform, job: &Job, rows: &[InstanceRow]) -> Result<()> {
    let starts = rows.iter().map(|row| async move {
        ensure_started(p, row, Source::App).await?;
        match wait_ready(p, row, Some(job)).await {
            Ok(()) => {
                job.detail(format!("{} is up", row.label()));
                Ok(())
            }
            Err(err) => {
                let lines = last_lines(p, row).await;
                if lines.is_empty() {
                    job.detail(format!("{} wrote nothing", row.label()));
                } else {
                    job.detail(format!("The last lines of {}:", row.label()));
                }
                for line in lines {
                    job.detail(format!("  {line}"));
                }
                Err(err)
            }
        }
    });
    futures_util::future::try_join_all(starts).await.map(|_| ())
}
