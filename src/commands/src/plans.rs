//! `builds:plan`, `builds:eject` and `builds:lock`: how a commit is built, for reading and for building it without Hoist.

use crate::context::{Ask, Commands};
use crate::reply::Reply;
use builder::{Given, How, LockFile};
use domain::app_settings::AppSettings;
use domain::refusal::Code;
use domain::words::quote;
use domain::{Commit, Refusal};
use store::BuildStatus;
use system::fault::{Error, Result};
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
    if let Some(file) = &found.lock {
        let name = &ask.the_app()?.name;
        reply.note(format!("{file} is not in the commit, and the Dockerfile needs it: builds:lock {name} > {file}"));
    }
    Ok(reply)
}

/// Builds that are looked at for one that made a lock file.
const LOOKED_AT: u32 = 10;

/// The lock file of the newest build that made one: those that failed before that are passed over.
pub async fn lock(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let builds = c.p.store.read(move |tx| tx.builds(&id, LOOKED_AT)).await?;
    let mut missing = None;
    for build in &builds {
        if !c.p.repos.has_commit(&app.id, &build.commit).await {
            continue;
        }
        match c.p.builder.lock_of(&app.id, &build.commit).await {
            Ok(LockFile::Made(name, content)) => {
                let object =
                    serde_json::json!({"file": name, "content": content, "build": build.id, "commit": build.commit});
                let mut reply = Reply::text(content, object);
                reply.note(format!("{name} of build {}, commit {}", build.id, build.commit.short()));
                return Ok(reply);
            }
            Ok(LockFile::Own) if build.status == BuildStatus::Succeeded => {
                let what = format!("build {} of {} made no lock file", build.id, app.name);
                return Err(Refusal::new(Code::NoLockFile, what)
                    .why(format!("commit {} has its own, or needs none", build.commit.short()))
                    .next(format!("builds:plan {} says what it installs from", app.name))
                    .into());
            }
            Ok(LockFile::Missing(name)) => missing = missing.or(Some(name)),
            // Its commit could not even be planned.
            Ok(LockFile::Own) | Err(Error::Refused(_)) => {}
            Err(err) => return Err(err),
        }
    }
    let no = Refusal::new(Code::NoLockFile, format!("no build of {} made a lock file that is kept", app.name));
    Err(match missing {
        Some(name) => {
            no.why(format!("{name} is kept until what it is made from, or the app's root or buildpack, changes"))
        }
        None => no,
    }
    .next("git push hoist main")
    .into())
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
