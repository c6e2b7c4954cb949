//! `releases`, `rollback`, `builds*`.

use super::processes::run_job;
use super::show::List;
use super::{Ask, Commands};
use crate::deploy::Heard;
use crate::fault::Result;
use crate::io::Io;
use crate::store::{Ask as JobAsk, Build, BuildStatus};
use domain::deploy::Kind;
use domain::{Refusal, time};
use serde_json::json;

pub async fn list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let id = ask.the_app()?.id.clone();
    let max = ask.what().args.number("num", 20, 1_000)?;
    let (current, releases) =
        c.p.store.read(move |tx| Ok((tx.the_app(&id)?.current_release, tx.releases(&id, max)?))).await?;
    let mark = |r: &crate::store::Release| if Some(r.number) == current { "current" } else { r.status.word() };
    let rows = releases
        .iter()
        .map(|r| {
            vec![r.number.to_string(), mark(r).to_owned(), r.description.clone(), r.actor.clone(), r.created.short()]
        })
        .collect();
    let json = releases
        .iter()
        .map(|r| json!({"release": r.number.to_string(), "status": r.status, "current": Some(r.number) == current, "description": r.description, "by": r.actor, "created": r.created.rfc3339(), "build": r.build}))
        .collect();
    let list =
        List { columns: &["RELEASE", "STATUS", "CHANGE", "BY", "WHEN"], rows, json, empty: "No releases yet".into() };
    list.print(ask.what().format, io).await;
    Ok(0)
}

pub async fn rollback(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let to = ask.what().args.maybe_typed("RELEASE")?;
    if let Some(number) = to {
        let id = ask.the_app()?.id.clone();
        let current =
            c.p.store
                .read(move |tx| {
                    tx.the_release(&id, number)?;
                    Ok(tx.the_app(&id)?.current_release)
                })
                .await?;
        if current == Some(number) {
            io.line(format!("{number} is the current release already")).await;
            return Ok(0);
        }
    }
    run_job(c, &ask, Kind::Rollback, JobAsk { rollback_to: to, ..JobAsk::default() }, io).await
}

fn took(build: &Build) -> String {
    build.ended.map_or_else(|| "-".to_owned(), |end| time::human_millis(end.millis_since(build.started)))
}

pub async fn builds(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let id = ask.the_app()?.id.clone();
    let max = ask.what().args.number("num", 20, 1_000)?;
    let builds = c.p.store.read(move |tx| tx.builds(&id, max)).await?;
    let rows = builds
        .iter()
        .map(|b| {
            let why = b.why.clone().unwrap_or_default();
            vec![
                b.id.to_string(),
                b.status.word().to_owned(),
                b.commit.short().to_owned(),
                b.language.clone(),
                took(b),
                b.actor.clone(),
                b.started.short(),
                domain::text::plain(&why),
            ]
        })
        .collect();
    let json = builds
        .iter()
        .map(|b| json!({"id": b.id, "status": b.status, "commit": b.commit, "language": b.language, "image": b.image, "digest": b.digest, "by": b.actor,
            "started": b.started.rfc3339(), "ended": b.ended.map(|t| t.rfc3339()), "why": b.why}))
        .collect();
    let columns = ["BUILD", "STATUS", "COMMIT", "LANGUAGE", "TOOK", "BY", "WHEN", "WHY"];
    List { columns: &columns, rows, json, empty: "No builds yet".into() }.print(ask.what().format, io).await;
    Ok(0)
}

/// The build asked for, or the newest; and its deploy.
async fn chosen(c: &Commands, ask: &Ask) -> Result<(Build, i64)> {
    let id = ask.the_app()?.id.clone();
    let wanted = match ask.what().args.maybe("ID") {
        None => None,
        Some(word) => Some(word.parse::<i64>().map_err(|_| {
            Refusal::new("bad-build", "a build is a number, as `builds` lists them")
                .next(format!("builds {}", ask.app().map_or("APP", |a| a.name.as_str())))
        })?),
    };
    let found =
        c.p.store
            .read(move |tx| {
                let all = tx.builds(&id, 10_000)?;
                let found = all.into_iter().find(|b| wanted.is_none_or(|w| w == b.id));
                match found {
                    Some(build) => Ok(Some((tx.deploy_of_build(build.id)?, build))),
                    None => Ok(None),
                }
            })
            .await?;
    let (deploy, build) =
        found.ok_or_else(|| Refusal::new("no-such-build", "there is no such build").next("builds APP"))?;
    Ok((build, deploy))
}

pub async fn output(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let (build, deploy) = chosen(c, &ask).await?;
    if let Some(job) = c.deploys.job(deploy) {
        let mut listener = job.listen();
        loop {
            tokio::select! {
                heard = listener.hear() => match heard {
                    Heard::Line(line) => io.line(line).await,
                    Heard::End(_) => return Ok(0),
                },
                () = io.hangup.cancelled() => return Ok(0),
            }
        }
    }
    let path = c.p.layout.job_logs().join(format!("{deploy}.log"));
    let text =
        crate::tasks::blocking("read a build's output", move || Ok(std::fs::read(&path).unwrap_or_default())).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if ask.what().format == domain::command::Format::Json {
        super::show::json(
            io,
            &json!({"build": build.id, "status": build.status, "lines": text.lines().collect::<Vec<_>>()}),
        )
        .await;
        return Ok(0);
    }
    for line in text.lines() {
        io.line(line).await;
    }
    Ok(0)
}

pub async fn cancel(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let jobs = match ask.what().args.maybe("ID") {
        Some(_) => c.deploys.job(chosen(c, &ask).await?.1).into_iter().collect(),
        None => c.deploys.jobs_of(&app.id),
    };
    let Some(job) = jobs.last() else {
        return Err(Refusal::new("nothing-runs", format!("no build of {} runs or waits", app.name))
            .next(format!("builds {}", app.name))
            .into());
    };
    let by = domain::access::actor(ask.principal());
    job.cancel(Refusal::new("cancelled", format!("cancelled by {by}")));
    match job.end().await {
        domain::deploy::Deploy::Live { release, .. } => {
            Err(Refusal::new("too-late", format!("{release} was live already"))
                .next(format!("rollback {}", app.name))
                .into())
        }
        _ => {
            io.line("Cancelled").await;
            let _ = BuildStatus::Cancelled;
            Ok(0)
        }
    }
}
