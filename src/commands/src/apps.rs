//! `apps:*`, but for renaming.

use super::show::{List, pairs};
use super::{Ask, Commands};
use domain::access::{Principal, may_see, name_refusal};
use domain::push::BranchName;
use domain::quota::What;
use domain::refusal::Code;
use domain::{AppId, AppName, Refusal};
use serde_json::json;
use system::clock::now;
use system::fault::Result;
use system::io::Io;

/// Own host names that `apps:info` shows; `domains:list` shows all.
const SHOWN_DOMAINS: usize = 100;

/// Makes an app for a principal; used by `apps:create` and by a first push.
pub async fn make(c: &Commands, who: &Principal, name: &AppName) -> Result<store::App> {
    let owner = match who {
        // A deploy key makes none: `authorize` does not let it come here.
        Principal::Local | Principal::DeployKey { .. } => None,
        Principal::User { id, .. } => Some(*id),
    };
    let (id, name, who) = (AppId::from_random(rand::random()), name.clone(), who.clone());
    let defaults = c.p.settings.quotas.clone();
    let app =
        c.p.store
            .write(move |tx| {
                // Renamed away a moment ago: then it is kept, unless it is the maker's own.
                if let Some(before) = tx.app_by_old_name(&name)?
                    && !may_see(&who, &tx.app_ref(&before)?)
                {
                    return Err(name_refusal(&who, &tx.app_ref(&before)?, &name).into());
                }
                if let Some(owner) = owner
                    && let Some(holder) = tx.quota_holder(owner)?
                {
                    let have = tx.apps_owned(owner)?.len() as u64;
                    holder.may(What::Apps, have, have + 1, &defaults)?;
                }
                tx.add_app(&id, &name, owner, now())
            })
            .await?;
    c.p.routes.publish_app(&app.id, std::time::Duration::from_secs(2)).await;
    Ok(app)
}

/// Removes an app with everything of it, its instances first.
pub async fn unmake(c: &Commands, id: &AppId) -> Result<()> {
    for job in c.deploys.jobs_of(id) {
        job.cancel(Refusal::new(Code::AppDestroyed, "the app is being destroyed"));
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
    c.p.routes.publish_app(id, std::time::Duration::from_secs(5)).await;
    for row in &rows {
        c.p.engine.remove(&domain::instance::instance_name(&c.p.install, row.id)).await?;
        // Its last lines would be stored only to be removed with the others.
        deploy::exec::forget(&c.p, row.id);
    }
    let app = id.clone();
    let images = c.p.store.read(move |tx| tx.builds(&app, 10_000)).await?;
    let app = id.clone();
    let gone =
        c.p.store
            .write(move |tx| {
                let row = tx.app(&app)?;
                tx.remove_app(&app, now())?;
                Ok(row)
            })
            .await?;
    c.p.routes.publish_app(id, std::time::Duration::from_secs(5)).await;
    for image in images.into_iter().filter_map(|b| b.image) {
        c.p.engine.remove_image(&image).await?;
    }
    if let Some(app) = gone {
        c.p.engine.remove_network(&c.p.net.app_network_name(&app.id)).await?;
    }
    c.p.platform.repos.remove(id).await?;
    c.p.logs.forget(id).await?;
    let (cache, kept, layers) =
        (c.p.layout.app_cache(id), c.p.layout.kept(id.as_str()), c.p.layout.layer_records(id.as_str()));
    system::tasks::blocking("remove an app's caches", move || {
        for folder in [cache, kept, layers] {
            if let Err(err) = system::proc::remove_tree(&folder) {
                tracing::warn!("cannot remove {}: {err}", folder.display());
            }
        }
        Ok(())
    })
    .await
}

pub async fn create(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let name = ask
        .what()
        .app
        .clone()
        .ok_or_else(|| Refusal::new(Code::AppMissing, "name the app").next("apps:create blog"))?;
    make(c, ask.principal(), &name).await?;
    io.line(format!("Created {name}. It will answer at {}", c.p.sites.url(&name))).await;
    io.line(format!("Deploy it: git remote add hoist {} && git push hoist main", c.p.sites.remote(&name))).await;
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
    let release = |app: &store::App| app.current_release.map(|r| r.to_string());
    let rows = apps
        .iter()
        .map(|(app, owner)| {
            vec![
                app.name.to_string(),
                release(app).unwrap_or_else(|| "-".into()),
                owner.clone(),
                c.p.sites.url(&app.name),
            ]
        })
        .collect();
    let json = apps
        .iter()
        .map(|(app, owner)| json!({"name": app.name, "id": app.id, "release": release(app), "owner": owner, "url": c.p.sites.url(&app.name), "stopped": app.stopped}))
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
    let (app, owner, build, formation, shared, domains, maintenance) =
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
                let (domains, maintenance) = (tx.domains(&id, SHOWN_DOMAINS)?, tx.maintenance(&id)?.is_some());
                Ok((app, owner, build, tx.formation(&id)?, shared, domains, maintenance))
            })
            .await?;
    let wanted = build.as_ref().map(|b| domain::formation::wanted(&formation, &b.processes)).unwrap_or_default();
    let processes: Vec<String> = wanted.iter().map(|(p, n)| format!("{p}={n}")).collect();
    let commit = build.as_ref().map(|b| b.commit.to_string()).unwrap_or_default();
    let release = app.current_release.map_or_else(|| "none".to_owned(), |r| r.to_string());
    let owner = owner.unwrap_or_else(|| "root".to_owned());
    let branch = app.deploy_branch.clone().unwrap_or_else(|| "main or master, whichever is pushed first".to_owned());
    let state = match (app.stopped, maintenance) {
        (true, true) => "stopped, in maintenance",
        (true, false) => "stopped",
        (false, true) => "on, in maintenance",
        (false, false) => "on",
    };
    let domains: Vec<String> = domains.iter().map(|d| d.host.to_string()).collect();
    let stack = app.stack.clone().unwrap_or_else(|| buildpacks::Stack::default().name().to_owned());
    let object = json!({"name": app.name, "id": app.id, "url": c.p.sites.url(&app.name), "remote": c.p.sites.remote(&app.name), "release": app.current_release.map(|r| r.to_string()),
        "commit": commit, "formation": wanted, "deploy_branch": app.deploy_branch, "buildpack": app.buildpack, "stack": stack, "root": app.root, "dockerfile": app.build_settings, "owner": owner, "shared_with": shared, "stopped": app.stopped,
        "domains": domains, "maintenance": maintenance});
    let mut rows = vec![
        ("name", app.name.to_string()),
        ("id", app.id.to_string()),
        ("url", c.p.sites.url(&app.name)),
        ("domains", if domains.is_empty() { "none".to_owned() } else { domains.join(" ") }),
        ("remote", c.p.sites.remote(&app.name)),
        ("release", release),
        ("commit", commit),
        ("processes", processes.join(" ")),
        ("deploy-branch", branch),
        ("buildpack", app.buildpack.clone().unwrap_or_else(|| "detected".to_owned())),
        ("stack", stack),
        ("root", app.root.clone().unwrap_or_else(|| "the whole repository".to_owned())),
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
    let mut changes = Vec::new();
    for (key, value) in ask.what().args.pairs("KEY=VALUE") {
        changes.push(Setting::parse(ask.principal(), key, value)?);
    }
    let counts = match (
        changes.iter().any(Setting::is_for_builds),
        changes.iter().any(|one| matches!(one, Setting::Enter(_))),
    ) {
        (false, true) => "It counts from now on".to_owned(),
        (false, false) => "It counts from the next push on".to_owned(),
        (true, _) => {
            format!("It counts from the next push on; for the commit that runs: ps:rebuild {}", ask.the_app()?.name)
        }
    };
    c.p.store
        .write(move |tx| {
            for change in &changes {
                match change {
                    Setting::DeployBranch(branch) => tx.set_deploy_branch(&id, branch.as_deref())?,
                    Setting::Buildpack(name) => tx.set_buildpack(&id, *name)?,
                    Setting::Stack(stack) => tx.set_stack(&id, stack.map(buildpacks::Stack::name))?,
                    Setting::Root(folder) => tx.set_root(&id, folder.as_deref())?,
                    Setting::Enter(on) => tx.set_enter(&id, *on)?,
                    Setting::Dockerfile(change) => {
                        let mut settings = tx.the_app(&id)?.build_settings;
                        settings.apply(change);
                        tx.set_build_settings(&id, &settings)?;
                    }
                }
            }
            Ok(())
        })
        .await?;
    io.line(format!("Set. {counts}")).await;
    Ok(0)
}

/// `on`, `off`, or nothing for `on`. Whoever may use it may give it up; only an administrator gives it back.
fn enter_setting(who: &Principal, value: Option<&str>) -> Result<bool, Refusal> {
    match value {
        Some("off" | "no" | "false") => Ok(false),
        None | Some("on" | "yes" | "true") if who.is_admin() => Ok(true),
        None | Some("on" | "yes" | "true") => {
            Err(Refusal::new(Code::NotAllowed, "only an administrator may switch enter on again")
                .next("ask an administrator for: apps:set APP enter=on"))
        }
        Some(_) => Err(Refusal::new(Code::BadSetting, "enter takes on or off").next("apps:set APP enter=off")),
    }
}

/// One setting of an app and its new value; none: the default.
enum Setting {
    DeployBranch(Option<String>),
    Buildpack(Option<&'static str>),
    Stack(Option<buildpacks::Stack>),
    Root(Option<String>),
    Enter(bool),
    Dockerfile(domain::dockerfile::Change),
}

impl Setting {
    /// Whether another build of the same commit would differ by it.
    fn is_for_builds(&self) -> bool {
        match self {
            Setting::Buildpack(_) | Setting::Stack(_) | Setting::Root(_) | Setting::Dockerfile(_) => true,
            Setting::DeployBranch(_) | Setting::Enter(_) => false,
        }
    }

    fn parse(who: &Principal, key: &str, value: &str) -> Result<Setting, Refusal> {
        let text = (!value.is_empty()).then_some(value);
        match key {
            "deploy-branch" => {
                text.map(str::parse::<BranchName>).transpose()?;
                Ok(Setting::DeployBranch(text.map(str::to_owned)))
            }
            "buildpack" => match text.map(buildpacks::buildpack_name) {
                None => Ok(Setting::Buildpack(None)),
                Some(Some(name)) => Ok(Setting::Buildpack(Some(name))),
                Some(None) => Err(Refusal::new(Code::NoSuchBuildpack, "there is no such buildpack")
                    .why(format!("known: {}", buildpacks::BUILDPACKS.join(", ")))
                    .next("apps:set APP buildpack=node")),
            },
            "stack" => match text.map(buildpacks::Stack::parse) {
                None => Ok(Setting::Stack(None)),
                Some(Some(stack)) => Ok(Setting::Stack(Some(stack))),
                Some(None) => Err(Refusal::new(Code::NoSuchStack, "there is no such stack")
                    .why("known: trixie (deb13, the default), bookworm (deb12)")
                    .next("apps:set APP stack=bookworm")),
            },
            "root" | "build-dir" => Ok(Setting::Root(text.map(root).transpose()?.filter(|folder| !folder.is_empty()))),
            "enter" => Ok(Setting::Enter(enter_setting(who, text)?)),
            other => match domain::dockerfile::Change::parse(other, value) {
                Some(change) => change.map(Setting::Dockerfile),
                None => Err(Refusal::new(
                    Code::NoSuchSetting,
                    format!("there is no setting {}", domain::text::plain(other)),
                )
                .why(format!(
                    "settings: deploy-branch, buildpack, stack, root, enter; of a Dockerfile: {}",
                    domain::dockerfile::SETTINGS.join(", ")
                ))
                .next("help apps:set")),
            },
        }
    }
}

/// A folder of a repository as git names it: `packages/api`.
fn root(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let good = |part: &&str| !matches!(*part, ".." | ".git") && !part.contains(char::is_control);
    if text.len() > 1_024 || text.starts_with('/') || !parts.iter().all(good) {
        let no =
            Refusal::new(Code::BadRoot, "this is no folder of a repository").why("write it from the repository's top");
        return Err(no.next("apps:set APP root=packages/api"));
    }
    Ok(parts.join("/"))
}

pub async fn destroy(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    io.line(format!("Destroying {} with its releases, config, logs and repository", app.name)).await;
    unmake(c, &app.id).await?;
    io.line(format!("Destroyed {}", app.name)).await;
    c.rights_changed();
    Ok(0)
}
