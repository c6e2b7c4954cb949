//! `releases`, `rollback`.

use crate::context::{Ask, Commands};
use crate::processes::run_job;
use crate::reply::{List, Reply};
use domain::deploy::Kind;
use serde_json::json;
use store::{Ask as JobAsk, ReleaseStatus, Word};
use system::fault::Result;
use system::io::Io;
use verbs::args;

pub async fn list(c: &Commands, ask: Ask) -> Result<Reply> {
    let id = ask.the_app()?.id.clone();
    let args::Releases { num: max } = ask.what().arguments()?;
    let (current, releases) =
        c.p.store.read(move |tx| Ok((tx.the_app(&id)?.current_release, tx.releases(&id, max)?))).await?;
    let mark = |r: &store::Release| match r.status {
        _ if Some(r.number) == current => "current",
        ReleaseStatus::Live => "replaced",
        status @ (ReleaseStatus::Pending | ReleaseStatus::Failed) => status.word(),
    };
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
    let columns = &["RELEASE", "STATUS", "CHANGE", "BY", "WHEN"];
    Ok(Reply::list(List { columns, rows, json, empty: "No releases yet".into() }))
}

pub async fn rollback(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let args::Rollback { release: to, keep_config } = ask.what().arguments()?;
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
            return Ok(Reply::said(format!("{number} is the current release already")));
        }
    }
    run_job(c, &ask, Kind::Rollback, JobAsk { rollback_to: to, keep_config, ..JobAsk::by(ask.principal()) }, io).await
}
