//! `builds:plan` and `builds:eject`: how a commit is built, for reading and for building it without Hoist.

use crate::context::{Ask, Commands};
use crate::reply::Reply;
use builder::{Given, How};
use domain::app_settings::AppSettings;
use domain::refusal::Code;
use domain::words::quote;
use domain::{Commit, Refusal};
use system::fault::Result;
use verbs::args;

/// The plan of the commit that was asked for, else of the one that is live.
async fn asked(c: &Commands, ask: &Ask, commit: Option<Commit>) -> Result<How> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let commit = match commit {
        Some(commit) => commit,
        None => {
            let live = c.p.store.read(move |tx| match tx.the_app(&id)?.current_release {
                Some(number) => Ok(tx.build(tx.the_release(&id, number)?.build)?.map(|build| build.commit)),
                None => Ok(None),
            });
            live.await?.ok_or_else(|| {
                Refusal::new(Code::NotDeployed, format!("{} has no release yet", app.name))
                    .next("git push hoist main, or name a commit that was pushed")
            })?
        }
    };
    if !c.p.repos.has_commit(&app.id, &commit).await {
        let what = format!("{} has no commit {}", app.name, commit.short());
        return Err(Refusal::new(Code::NoSuchCommit, what)
            .next(format!("builds {} lists those that were built", app.name))
            .into());
    }
    c.p.builder.planned(&app.id, &commit).await
}

pub async fn plan(c: &Commands, ask: Ask) -> Result<Reply> {
    Ok(match asked(c, &ask, ask.what().arguments::<args::BuildsPlan>()?.commit).await? {
        How::Plan(found) => {
            let described = buildpacks::describe(&found.plan);
            let object = serde_json::json!({"commit": found.commit, "stack": found.stack, "plan": found.plan});
            Reply::page(described.lines().map(domain::text::plain), object)
        }
        How::Dockerfile(given) => {
            let mut lines = vec![format!("{}, as the builder's BuildKit builds it", domain::text::plain(&given.path))];
            let list = |names: &[String]| domain::text::plain(&names.join(", "));
            let mut rows = vec![("files", given.root.clone().unwrap_or_else(|| "the whole repository".to_owned()))];
            rows.push(("images", list(&given.declared.images)));
            rows.push(("stages", list(&given.declared.stages)));
            let set = AppSettings { build: given.settings.clone(), ..AppSettings::default() };
            rows.extend(set.shown());
            for (key, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
                lines.push(format!("  {key:<14} {}", domain::text::plain(value)));
            }
            Reply::page(lines, object(&given))
        }
    })
}

pub async fn eject(c: &Commands, ask: Ask) -> Result<Reply> {
    let found = match asked(c, &ask, ask.what().arguments::<args::BuildsEject>()?.commit).await? {
        How::Plan(found) => found,
        How::Dockerfile(given) => return Err(has_one(ask.the_app()?.name.as_str(), &given).into()),
    };
    let about = buildpacks::Ejected { stack: found.stack, command: found.command, commit: found.commit.to_string() };
    let dockerfile = buildpacks::eject(&found.plan, &about);
    let mut reply = Reply::page(dockerfile.lines(), serde_json::Value::Null);
    reply.did("dockerfile", &dockerfile);
    Ok(reply)
}

fn object(given: &Given) -> serde_json::Value {
    serde_json::json!({"commit": given.commit, "dockerfile": given.path, "root": given.root,
        "images": given.declared.images, "stages": given.declared.stages, "settings": given.settings})
}

/// There is nothing to write: the Dockerfile is there, and how it is built by hand can be said.
fn has_one(app: &str, given: &Given) -> Refusal {
    let settings = &given.settings;
    let mut command = vec!["docker build".to_owned(), format!("-f {}", quote(&given.path))];
    command.extend(settings.target.iter().map(|stage| format!("--target {stage}")));
    command.extend(settings.build_args.iter().map(|name| format!("--build-arg {name}")));
    command.extend(settings.build_secrets.iter().map(|name| format!("--secret id={name},env={name}")));
    command.push(quote(given.root.as_deref().unwrap_or(".")));
    Refusal::new(Code::HasADockerfile, format!("{app} is built from its own {}", domain::text::plain(&given.path)))
        .why("there is nothing to write: docker builds the same from it")
        .next(command.join(" "))
}
