//! `builds:plan` and `builds:eject`: how a commit is built, for reading and for building it without Hoist.

use super::{Ask, Commands};
use crate::build::{Planned, planned};
use crate::fault::Result;
use crate::io::Io;
use domain::command::Format;
use domain::{Commit, Refusal};

/// The plan of the commit that was asked for, else of the one that is live.
async fn asked(c: &Commands, ask: &Ask) -> Result<Planned> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let commit = match ask.what().args.maybe("COMMIT") {
        Some(text) => text.parse::<Commit>()?,
        None => {
            let live = c.p.store.read(move |tx| match tx.the_app(&id)?.current_release {
                Some(number) => Ok(tx.build(tx.the_release(&id, number)?.build)?.map(|build| build.commit)),
                None => Ok(None),
            });
            live.await?.ok_or_else(|| {
                Refusal::new("not-deployed", format!("{} has no release yet", app.name))
                    .next("git push hoist main, or name a commit that was pushed")
            })?
        }
    };
    if c.p.repos.commit_info(&app.id, &commit).await.is_err() {
        let what = format!("{} has no commit {}", app.name, commit.short());
        return Err(Refusal::new("no-such-commit", what)
            .next(format!("builds {} lists those that were built", app.name))
            .into());
    }
    planned(&c.p, &app.id, &commit).await
}

pub async fn plan(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let found = asked(c, &ask).await?;
    if ask.what().format == Format::Json {
        super::show::json(io, &serde_json::json!({"commit": found.commit, "stack": found.stack, "plan": found.plan}))
            .await;
        return Ok(0);
    }
    for line in buildpacks::describe(&found.plan).lines() {
        io.line(domain::text::plain(line)).await;
    }
    Ok(0)
}

pub async fn eject(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let found = asked(c, &ask).await?;
    let about = buildpacks::Ejected { stack: found.stack, command: found.command, commit: found.commit.to_string() };
    for line in buildpacks::eject(&found.plan, &about).lines() {
        io.line(line.to_owned()).await;
    }
    Ok(0)
}
