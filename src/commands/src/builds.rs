//! `builds*`: what was and is built, its output, its end.

use crate::context::{Ask, Commands};
use crate::reply::{Line, List, Reply};
use domain::deploy::{Deploy, is_over};
use domain::ids::{BuildId, DeployId};
use domain::refusal::Code;
use domain::report::{Report, Status};
use domain::{AppName, Refusal, images, text, time};
use jobs::{Heard, Said};
use serde_json::json;
use std::time::Duration;
use store::Word;
use store::{Build, BuildStatus};
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::{Format, args};

/// How often one who waits hears that it goes on.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How often the row is looked at while no job of this process works on it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub async fn list(c: &Commands, ask: Ask) -> Result<Reply> {
    let id = ask.the_app()?.id.clone();
    let args::Builds { num: max } = ask.what().arguments()?;
    let mut builds = c.p.store.read(move |tx| tx.builds(&id, max)).await?;
    for build in &mut builds {
        build.why = build.why.take().map(|why| images::without_keys(&why).into_owned());
    }
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
                text::plain(&why),
            ]
        })
        .collect();
    let json = builds
        .iter()
        .map(|b| json!({"id": b.id, "status": b.status, "commit": b.commit, "language": b.language, "digest": b.digest, "by": b.actor,
            "started": b.started.rfc3339(), "ended": b.ended.map(|t| t.rfc3339()), "why": b.why}))
        .collect();
    let columns = &["BUILD", "STATUS", "COMMIT", "LANGUAGE", "TOOK", "BY", "WHEN", "WHY"];
    Ok(Reply::list(List { columns, rows, json, empty: "No builds yet".into() }))
}

fn took(build: &Build) -> String {
    build.ended.map_or_else(|| "-".to_owned(), |end| time::human_millis(end.millis_since(build.started)))
}

/// The build asked for, or the newest; and its deploy.
async fn chosen(c: &Commands, ask: &Ask, build: Option<String>) -> Result<(Build, DeployId)> {
    let (id, name) = (ask.the_app()?.id.clone(), ask.the_app()?.name.clone());
    let wanted = match build {
        None => None,
        Some(word) => Some(word.parse::<BuildId>().map_err(|_| {
            Refusal::new(Code::BadBuild, "a build is a number, as `builds` lists them").next(format!("builds {name}"))
        })?),
    };
    let found =
        c.p.store
            .read(move |tx| {
                let found = match wanted {
                    Some(number) => tx.build(number)?.filter(|b| b.app == id),
                    None => tx.builds(&id, 1)?.pop(),
                };
                found.map(|build| Ok((tx.deploy_of_build(build.id)?, build))).transpose()
            })
            .await?;
    let (deploy, build) = found.ok_or_else(|| no_such(wanted, &name))?;
    Ok((build, deploy))
}

fn no_such(wanted: Option<BuildId>, name: &AppName) -> Refusal {
    match wanted {
        Some(_) => Refusal::new(Code::NoSuchBuild, format!("{name} has no such build")).next(format!("builds {name}")),
        None => Refusal::new(Code::NoSuchBuild, format!("{name} has no builds yet")).next("git push hoist main"),
    }
}

pub async fn output(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let args::BuildsOutput { id, tail, timestamps: times } = ask.what().arguments()?;
    let (build, deploy) = chosen(c, &ask, id).await?;
    let job = c.deploys.job(deploy);
    if let (Some(job), true, Format::Text) = (&job, tail, ask.what().format) {
        let mut listener = job.listen();
        loop {
            tokio::select! {
                heard = listener.hear() => match heard {
                    Heard::Line(line) => Line::Plain(if times { line.stamped() } else { line.text }).say(io).await,
                    Heard::End(_) => return Ok(Reply::exit(0)),
                },
                () = io.hangup.cancelled() => return Ok(Reply::exit(0)),
            }
        }
    }
    let path = c.p.layout.job_logs().join(format!("{deploy}.log"));
    let text =
        system::tasks::blocking("read a build's output", move || Ok(std::fs::read(&path).unwrap_or_default())).await?;
    let text = String::from_utf8_lossy(&text);
    // Files of older servers may name an image in full.
    let text = images::without_keys(&text).into_owned();
    let shown = |line| if times { line } else { Said::without_time(line) };
    let lines: Vec<&str> = text.lines().map(shown).collect();
    let mut reply = Reply::page(&lines, json!({"build": build.id, "status": build.status, "lines": lines}));
    if job.is_some() {
        let name = &ask.the_app()?.name;
        reply.note(format!("It goes on: builds:output {name} {} -t stays until its end", build.id));
    }
    Ok(reply)
}

pub async fn wait(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let args::BuildsWait { id, timeout: seconds } = ask.what().arguments()?;
    let (build, deploy) = chosen(c, &ask, id).await?;
    let begun = now();
    let deadline = tokio::time::sleep(Duration::from_secs(seconds.into()));
    tokio::pin!(deadline);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    let over = over(c, deploy);
    tokio::pin!(over);
    // Nobody hears how it goes of one that is over.
    let mut done = is_done(c, deploy).await?;
    while !done {
        tokio::select! {
            biased;
            end = &mut over => {
                end?;
                done = true;
            }
            () = &mut deadline => break,
            () = io.hangup.cancelled() => return Ok(Reply::exit(1)),
            _ = heartbeat.tick() => {
                let id = build.id;
                let status = c.p.store.read(move |tx| tx.build(id)).await?.map_or(build.status, |b| b.status);
                let word = match status {
                    BuildStatus::Waiting => "waits for its turn",
                    BuildStatus::Running => "is built",
                    BuildStatus::Succeeded => "is deployed",
                    BuildStatus::Failed | BuildStatus::Cancelled => "is undone",
                };
                let waited = time::human_millis(now().millis_since(begun));
                let line = format!("Build {} of {} {word} ({waited})", build.id, build.commit.short());
                Line::Note(line).say(io).await;
            }
        }
    }
    let report = c.report(deploy).await?;
    let json = serde_json::to_value(&report).unwrap_or_default();
    Ok(Reply { exit: report.status.exit_code(), ..Reply::page([report.line()], json) })
}

/// Returns when the deploy is over. A job of a server that stops is not: its next start goes on with it.
async fn over(c: &Commands, deploy: DeployId) -> Result<()> {
    loop {
        if let Some(job) = c.deploys.job(deploy) {
            job.end().await;
        }
        if is_done(c, deploy).await? {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a deploy is over; one of an app that is gone is.
async fn is_done(c: &Commands, deploy: DeployId) -> Result<bool> {
    let row = c.p.store.read(move |tx| tx.deploy(deploy)).await?;
    Ok(row.is_none_or(|row| is_over(&row.state)))
}

impl Commands {
    /// How a deploy stands, for programs.
    pub(super) async fn report(&self, deploy: DeployId) -> Result<Report> {
        let found = self
            .p
            .store
            .read(move |tx| {
                let Some(row) = tx.deploy(deploy)? else { return Ok(None) };
                let app = tx.the_app(&row.app)?;
                Ok(Some((tx.build_of(deploy)?, app, row)))
            })
            .await?;
        let Some((build, app, row)) = found else {
            return Ok(Report { reason: Some("the app was destroyed".to_owned()), ..Report::new(Status::Failed, "") });
        };
        let millis = row.ended.unwrap_or_else(now).millis_since(row.created);
        let live = matches!(row.state, Deploy::Live { .. });
        Ok(Report {
            build: build.as_ref().map(|b| b.id),
            commit: row.ask.commit.as_ref().map(ToString::to_string),
            url: live.then(|| self.p.sites.url(&app.name)),
            seconds: Some(std::time::Duration::from_millis(millis).as_secs_f64()),
            ..Report::of(&row.state, app.name.as_str())
        })
    }
}

pub async fn cancel(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let jobs = match ask.what().arguments::<args::BuildsCancel>()?.id {
        Some(id) => c.deploys.job(chosen(c, &ask, Some(id)).await?.1).into_iter().collect(),
        None => c.deploys.jobs_of(&app.id),
    };
    let Some(job) = jobs.last() else {
        return Err(Refusal::new(Code::NothingRuns, format!("no build of {} runs or waits", app.name))
            .next(format!("builds {}", app.name))
            .into());
    };
    let by = domain::access::actor(ask.principal());
    job.cancel(Refusal::new(Code::Cancelled, format!("cancelled by {by}")));
    match job.end().await {
        Deploy::Live { release, .. } => Err(Refusal::new(Code::TooLate, format!("{release} was live already"))
            .next(format!("rollback {}", app.name))
            .into()),
        _ => Ok(Reply::said("Cancelled")),
    }
}
