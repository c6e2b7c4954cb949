//! The release command: a one-off instance that runs to its end, its output streamed.

use super::boot;
use super::network;
use crate::Platform;
use domain::formation::RELEASE;
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::{ProcessType, Refusal, ReleaseNumber};
use engine::Status;
use jobs::Job;
use log_format::{Source, SpoolKey};
use std::time::Duration;
use store::{DeployRow, InstanceRow, NewInstance};
use system::clock::now;
use system::fault::{Fault, Result};

/// How long it must have been silent after its end.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long a release command may take.
const RELEASE_MAX: Duration = Duration::from_secs(3600);

/// Runs the release command, if the release has one. A crash of ours in the middle runs it again.
pub async fn release_command(p: &Platform, job: &Job, deploy: &DeployRow, release: ReleaseNumber) -> Result<()> {
    let process: ProcessType = RELEASE.parse()?;
    let (app, kind) = (deploy.app.clone(), process.clone());
    let command = p
        .store
        .read(move |tx| {
            let build = tx.build(tx.the_release(&app, release)?.build)?;
            Ok(build.and_then(|b| b.processes.get(&kind).cloned()))
        })
        .await?;
    let Some(command) = command else { return Ok(()) };
    job.head(format!("Running the release command: {command}"));
    // One that an earlier life of the server left is removed first, so that its output is not mixed.
    remove_leftover(p, deploy, &process).await?;
    let row = allocate(p, deploy, release, &process).await?;
    let ran = run(p, job, &row).await;
    let over = p.disks.over(row.id);
    let lines = boot::last_lines(p, &row).await;
    let removed = remove(p, &row).await;
    let code = ran?;
    removed?;
    if code == 0 {
        return Ok(());
    }
    if over.is_some() {
        return Err(Refusal::new(Code::ReleaseCommandDisk, "the release command filled its disk")
            .why(domain::room::over(p.settings.instance_disk))
            .next("make it write less, or raise instance-disk in the server's configuration")
            .into());
    }
    let no = Refusal::new(Code::ReleaseCommandFailed, format!("the release command exited with status {code}"));
    if let Some(script) = jobs::script(code, &lines, "release") {
        return Err(script.next.into_iter().fold(no.why(script.what), Refusal::next).into());
    }
    Err(no.next("fix the cause shown above, commit, push again").into())
}

async fn allocate(
    p: &Platform,
    deploy: &DeployRow,
    release: ReleaseNumber,
    process: &ProcessType,
) -> Result<InstanceRow> {
    network::ensure_number(p, &deploy.app).await?;
    let (app, net, set, process) = (deploy.app.clone(), p.net.clone(), deploy.id, process.clone());
    p.store
        .write(move |tx| {
            let address = net.choose_address(&tx.the_app(&app)?, &tx.addresses_of(&app)?, now())?;
            let new =
                NewInstance { release, process, ordinal: 1, set: set.into(), desire: Desire::Booting, served: false };
            tx.add_instance(&app, &new, address, now())
        })
        .await
}

async fn remove_leftover(p: &Platform, deploy: &DeployRow, process: &ProcessType) -> Result<()> {
    let (app, set, process) = (deploy.app.clone(), deploy.id, process.clone());
    let rows = p.store.read(move |tx| tx.instances(Some(&app))).await?;
    for row in rows.iter().filter(|i| i.set == set.into() && i.process == process) {
        remove(p, row).await?;
    }
    Ok(())
}

async fn run(p: &Platform, job: &Job, row: &InstanceRow) -> Result<i64> {
    boot::ensure_started(p, row, Source::Release).await?;
    let name = domain::instance::instance_name(&p.install, row.id);
    let mut lines = p.logs.watch(&SpoolKey::instance(row.id)).await?;
    let ended = async {
        loop {
            match p.engine.wait(&name).await {
                Ok(Status::Exited { code, .. }) => return code,
                Ok(Status::Created | Status::Running { .. }) | Err(_) => p.clock.sleep(Duration::from_secs(1)).await,
            }
        }
    };
    tokio::pin!(ended);
    let deadline = tokio::time::sleep(RELEASE_MAX);
    tokio::pin!(deadline);
    let code = loop {
        tokio::select! {
            Some(line) = lines.recv() => say(job, &line),
            code = &mut ended => break code,
            () = &mut deadline => {
                return Err(Refusal::new(Code::ReleaseCommandSlow, "the release command took longer than an hour").into());
            }
        }
    };
    // What it wrote last may still be on its way from the spool.
    loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => say(job, &line),
            () = p.clock.sleep(LAST_WORDS) => break,
        }
    }
    Ok(code)
}

fn say(job: &Job, line: &log_format::SpoolRecord) {
    job.detail(domain::text::plain(&line.text));
}

async fn remove(p: &Platform, row: &InstanceRow) -> Result<()> {
    p.engine
        .remove(&domain::instance::instance_name(&p.install, row.id))
        .await
        .map_err(|err| Fault::new("cannot remove a release command", err))?;
    p.logs.finish(&SpoolKey::instance(row.id)).await?;
    crate::exec::forget(p, row.id);
    let row = row.clone();
    p.store.write(move |tx| tx.remove_instance(&row, now())).await
}
