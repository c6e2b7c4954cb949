//! A deploy's steps that are the operator's: what their hooks are told, and what becomes of what they say.

use crate::Platform;
use crate::hooks::Call;
use domain::deploy::{Deploy, Effect};
use domain::hooks::{self, AppPart, BuildPart, DOCUMENT_VERSION, Document, FailurePart};
use domain::report::Report;
use jobs::Job;
use store::{Build, DeployRow};
use system::fault::{Error, Result};

/// Runs the hooks of a deploy's step.
pub(super) async fn run(p: &Platform, job: &Job, row: &DeployRow, effect: Effect, resumed: bool) -> Result<()> {
    let Some(name) = hooks::name(effect) else { return Ok(()) };
    // A file may have gone since the job began.
    if !p.hooks.present().await?.contains(&effect) {
        return Ok(());
    }
    let (document, mark) = (document(p, row, name).await?, format!("{}-{}", p.install, row.id));
    let done = p.hooks.run(Call { effect, document, mark, resumed, job }).await;
    if let Err(Error::Refused(no)) = &done {
        p.note(&row.app, no.what.clone()).await;
    }
    done
}

async fn document(p: &Platform, row: &DeployRow, hook: &str) -> Result<Document> {
    let job = row.clone();
    let (app, build, release) = p
        .store
        .read(move |tx| {
            let app = tx.the_app(&job.app)?;
            let release = tx.release_of(job.id)?;
            let taken = match (&release, job.ask.rollback_to.or(app.current_release)) {
                (Some(release), _) => tx.build(release.build)?,
                (None, Some(number)) => tx.release(&app.id, number)?.map(|r| tx.build(r.build)).transpose()?.flatten(),
                (None, None) => None,
            };
            // A push has its own from the moment it is queued; its release comes later.
            let own = tx.build_of(job.id)?;
            Ok((app, own.or(taken), release))
        })
        .await?;
    let failure = match &row.state {
        Deploy::Undone { why, .. } | Deploy::Failed { why, .. } => Some(why),
        _ => None,
    };
    let status = match (&row.state, failure) {
        (_, Some(why)) => Report::of(&Deploy::Failed { release: None, why: why.clone() }, "").status,
        (Deploy::Retired { release, acknowledged }, None) => {
            Report::of(&Deploy::Live { release: *release, acknowledged: *acknowledged }, "").status
        }
        (state, None) => Report::of(state, "").status,
    };
    let built = |b: Build| BuildPart { id: b.id, language: b.language, image: b.image, digest: b.digest };
    Ok(Document {
        version: DOCUMENT_VERSION,
        hook: hook.to_owned(),
        status,
        kind: row.kind.word().to_owned(),
        deploy: row.id,
        app: AppPart { id: app.id.to_string(), name: app.name.to_string(), urls: vec![p.sites.url(&app.name)] },
        actor: row.actor.clone(),
        key: Some(row.ask.key.clone()).filter(|key| !key.is_empty()),
        commit: row.ask.commit.as_ref().or(build.as_ref().map(|b| &b.commit)).map(ToString::to_string),
        branch: row.ask.branch.clone(),
        repository: p.repos.path(&row.app).display().to_string(),
        build: build.map(built),
        release: release.map(|r| r.number.to_string()),
        serving: app.current_release.map(|r| r.to_string()),
        failure: failure.map(|why| FailurePart { code: why.code, reason: why.what.clone() }),
    })
}
