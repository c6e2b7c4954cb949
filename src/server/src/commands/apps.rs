//! `apps:*` and `open`.

use super::show::{List, pairs};
use super::{Ask, Commands};
use crate::clock::now;
use crate::fault::Result;
use crate::io::Io;
use domain::access::{Principal, may_see};
use domain::push::BranchName;
use domain::{AppId, AppName, Refusal};
use serde_json::json;

/// Makes an app for a principal; used by `apps:create` and by a first push.
pub async fn make(c: &Commands, who: &Principal, name: &AppName) -> Result<crate::store::App> {
    let owner = match who {
        Principal::Local => None,
        Principal::User { id, .. } => Some(*id),
    };
    let (id, name) = (AppId::from_random(rand::random()), name.clone());
    let app = c.p.store.write(move |tx| tx.add_app(&id, &name, owner, now())).await?;
    c.p.routes.publish(std::time::Duration::from_secs(2)).await;
    Ok(app)
}

/// Removes an app with everything of it, its instances first.
pub async fn unmake(c: &Commands, id: &AppId) -> Result<()> {
    for job in c.deploys.jobs_of(id) {
        job.cancel(Refusal::new("app-destroyed", "the app is being destroyed"));
    }
    let _turn = c.deploys.turn(id).await?;
    let app = id.clone();
    let rows =
        c.p.store
            .write(move |tx| {
                tx.set_stopped(&app, true)?;
                tx.retire_others(&app, None)?;
                tx.instances(Some(&app))
            })
            .await?;
    // Its host name answers "no such app" before anything is taken away below it.
    c.p.routes.publish(std::time::Duration::from_secs(5)).await;
    for row in &rows {
        c.p.engine.remove(&crate::deploy::spec::instance_name(&c.p.install, row.id)).await?;
        c.p.logs.finish(&domain::log::SpoolKey::instance(row.id)).await?;
    }
    let app = id.clone();
    let images = c.p.store.read(move |tx| tx.builds(&app, 10_000)).await?;
    let app = id.clone();
    let gone =
        c.p.store
            .write(move |tx| {
                let row = tx.app(&app)?;
                tx.remove_app(&app)?;
                Ok(row)
            })
            .await?;
    c.p.routes.publish(std::time::Duration::from_secs(5)).await;
    for image in images.into_iter().filter_map(|b| b.image) {
        c.p.engine.remove_image(&image).await?;
    }
    if let Some(app) = gone {
        c.p.engine.remove_network(&c.p.net.app_network(&app).name).await?;
    }
    c.p.repos.remove(id).await?;
    c.p.logs.forget(id).await?;
    let (cache, kept, layers) =
        (c.p.layout.app_cache(id), c.p.layout.kept(id.as_str()), c.p.layout.layer_records(id.as_str()));
    crate::tasks::blocking("remove an app's caches", move || {
        for folder in [cache, kept, layers] {
            if let Err(err) = std::fs::remove_dir_all(&folder)
                && err.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!("cannot remove {}: {err}", folder.display());
            }
        }
        Ok(())
    })
    .await
}

pub async fn create(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let name =
        ask.what().app.clone().ok_or_else(|| Refusal::new("app-missing", "name the app").next("apps:create blog"))?;
    make(c, ask.principal(), &name).await?;
    io.line(format!("Created {name}. It will answer at {}", c.p.url(&name))).await;
    io.line(format!("Deploy it: git remote add hoist {} && git push hoist main", c.p.remote(&name))).await;
    Ok(0)
}

pub async fn list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let who = ask.principal().clone();
    let apps =
        c.p.store
            .read(move |tx| {
                let mut seen = Vec::new();
                for app in tx.apps()? {
                    if may_see(&who, &tx.app_ref(&app)?) {
                        let owner = app.owner.map(|id| tx.user_by_id(id)).transpose()?.flatten();
                        seen.push((app, owner.map_or_else(|| "root".to_owned(), |u| u.name.to_string())));
                    }
                }
                Ok(seen)
            })
            .await?;
    let release = |app: &crate::store::App| app.current_release.map(|r| r.to_string());
    let rows = apps
        .iter()
        .map(|(app, owner)| {
            vec![app.name.to_string(), release(app).unwrap_or_else(|| "-".into()), owner.clone(), c.p.url(&app.name)]
        })
        .collect();
    let json = apps
        .iter()
        .map(|(app, owner)| json!({"name": app.name, "id": app.id, "release": release(app), "owner": owner, "url": c.p.url(&app.name), "stopped": app.stopped}))
        .collect();
    let list = List {
        columns: &["APP", "RELEASE", "OWNER", "URL"],
        rows,
        json,
        empty: "No apps yet. apps:create NAME, or push one".into(),
    };
    list.print(ask.what().format, io).await;
    Ok(0)
}

pub async fn info(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let id = ask.the_app()?.id.clone();
    let (app, owner, build, formation, shared) =
        c.p.store
            .read(move |tx| {
                let app = tx.the_app(&id)?;
                let owner = app.owner.map(|id| tx.user_by_id(id)).transpose()?.flatten().map(|u| u.name.to_string());
                let build = match app.current_release {
                    Some(number) => tx.build(tx.the_release(&id, number)?.build)?,
                    None => None,
                };
                let mut shared = Vec::new();
                for user in tx.app_ref(&app)?.shared_with {
                    shared.extend(tx.user_by_id(user)?.map(|u| u.name.to_string()));
                }
                Ok((app, owner, build, tx.formation(&id)?, shared))
            })
            .await?;
    let wanted = build.as_ref().map(|b| domain::formation::wanted(&formation, &b.processes)).unwrap_or_default();
    let processes: Vec<String> = wanted.iter().map(|(p, n)| format!("{p}={n}")).collect();
    let commit = build.as_ref().map(|b| b.commit.to_string()).unwrap_or_default();
    let release = app.current_release.map_or_else(|| "none".to_owned(), |r| r.to_string());
    let owner = owner.unwrap_or_else(|| "root".to_owned());
    let branch = app.deploy_branch.clone().unwrap_or_else(|| "main or master, whichever is pushed first".to_owned());
    let state = if app.stopped { "stopped" } else { "on" };
    let object = json!({"name": app.name, "id": app.id, "url": c.p.url(&app.name), "remote": c.p.remote(&app.name), "release": app.current_release.map(|r| r.to_string()),
        "commit": commit, "formation": wanted, "deploy_branch": app.deploy_branch, "buildpack": app.buildpack, "build": app.build_settings, "owner": owner, "shared_with": shared, "stopped": app.stopped});
    let mut rows = vec![
        ("name", app.name.to_string()),
        ("id", app.id.to_string()),
        ("url", c.p.url(&app.name)),
        ("remote", c.p.remote(&app.name)),
        ("release", release),
        ("commit", commit),
        ("processes", processes.join(" ")),
        ("deploy-branch", branch),
        ("buildpack", app.buildpack.clone().unwrap_or_else(|| "detected".to_owned())),
        ("owner", owner),
        ("shared with", shared.join(", ")),
        ("state", state.to_owned()),
    ];
    rows.extend(app.build_settings.shown());
    pairs(ask.what().format, io, rows, object).await;
    Ok(0)
}

pub async fn set(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let id = ask.the_app()?.id.clone();
    let mut branch: Option<Option<String>> = None;
    let mut buildpack: Option<Option<String>> = None;
    let mut build: Vec<(String, String)> = Vec::new();
    for (key, value) in ask.what().args.pairs("KEY=VALUE") {
        let value = (!value.is_empty()).then(|| value.to_owned());
        match key {
            "deploy-branch" => {
                if let Some(name) = &value {
                    name.parse::<BranchName>()?;
                }
                branch = Some(value);
            }
            "buildpack" => {
                let known = ["node", "nodejs", "static", "dockerfile"];
                if value.as_deref().is_some_and(|v| !known.contains(&v)) {
                    let no = Refusal::new("no-such-buildpack", "there is no such buildpack")
                        .why("known: node, static, dockerfile");
                    return Err(no.next("apps:set APP buildpack=node").into());
                }
                buildpack = Some(value.map(|v| if v == "nodejs" { "node".to_owned() } else { v }));
            }
            other => {
                let text = value.unwrap_or_default();
                if domain::dockerfile::SETTINGS.contains(&other) {
                    build.push((other.to_owned(), text));
                    continue;
                }
                return Err(Refusal::new(
                    "no-such-setting",
                    format!("there is no setting {}", domain::text::plain(other)),
                )
                .why(format!("settings: deploy-branch, buildpack, {}", domain::dockerfile::SETTINGS.join(", ")))
                .next("help apps:set")
                .into());
            }
        }
    }
    c.p.store
        .write(move |tx| {
            if let Some(branch) = branch {
                tx.set_deploy_branch(&id, branch.as_deref())?;
            }
            if let Some(buildpack) = buildpack {
                tx.set_buildpack(&id, buildpack.as_deref())?;
            }
            if !build.is_empty() {
                let mut settings = tx.the_app(&id)?.build_settings;
                for (key, value) in &build {
                    settings.set(key, value).transpose()?;
                }
                tx.set_build_settings(&id, &settings)?;
            }
            Ok(())
        })
        .await?;
    io.line("Set. It counts from the next push on").await;
    Ok(0)
}

pub async fn destroy(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    io.line(format!("Destroying {} with its releases, config, logs and repository", app.name)).await;
    unmake(c, &app.id).await?;
    io.line(format!("Destroyed {}", app.name)).await;
    Ok(0)
}

pub async fn open(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let url = c.p.url(&ask.the_app()?.name);
    match ask.what().format {
        domain::command::Format::Json => super::show::json(io, &json!({ "url": url })).await,
        domain::command::Format::Text => io.line(url).await,
    }
    Ok(0)
}
