//! `releases`, `rollback`.

use crate::context::{Ask, Commands};
use crate::processes::run_job;
use crate::show::List;
use domain::deploy::Kind;
use domain::text;
use serde_json::json;
use store::Ask as JobAsk;
use store::Word;
use system::fault::Result;
use system::io::Io;
use verbs::args;

pub async fn list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let id = ask.the_app()?.id.clone();
    let args::Releases { num: max } = ask.what().arguments()?;
    let (current, releases) =
        c.p.store.read(move |tx| Ok((tx.the_app(&id)?.current_release, tx.releases(&id, max)?))).await?;
    let mark = |r: &store::Release| if Some(r.number) == current { "current" } else { r.status.word() };
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
    let args::Rollback { release: to } = ask.what().arguments()?;
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
    for line in crate::config::waiting(c, &ask.the_app()?.id).await?.lines() {
        io.note(text::warning(&format!("Config vars that no release has used yet are put back as well: {line}"))).await;
    }
    run_job(c, &ask, Kind::Rollback, JobAsk { rollback_to: to, ..JobAsk::by(ask.principal()) }, io).await
}
