//! `apps:*`, but for renaming.

use crate::context::{Ask, Commands};
use crate::reply::{Line, List, Reply};
use domain::access::{Principal, Role, may_see, name_refusal};
use domain::app_settings::{self, Counts, Known, Setting};
use domain::quota::What;
use domain::refusal::Code;
use domain::{AppId, AppName, Refusal, UserName};
use serde_json::json;
use std::collections::BTreeMap;
use store::{Keys, Lost, Tx, User};
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use system::settings::Settings;
use verbs::args;

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
    let defaults = c.p.settings.quotas();
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
                tx.stop(&app, now())?;
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
    let (cache, kept, layers, locks) = (
        c.p.layout.app_cache(id),
        c.p.layout.kept(id.as_str()),
        c.p.layout.layer_records(id.as_str()),
        c.p.layout.locks(id),
    );
    system::tasks::blocking("remove an app's caches", move || {
        for folder in [cache, kept, layers, locks] {
            if let Err(err) = system::proc::remove_tree(&folder) {
                tracing::warn!("cannot remove {}: {err}", folder.display());
            }
        }
        Ok(())
    })
    .await
}

pub async fn create(c: &Commands, ask: Ask) -> Result<Reply> {
    let name = ask
        .what()
        .app
        .clone()
        .ok_or_else(|| Refusal::new(Code::AppMissing, "name the app").next("apps:create blog"))?;
    make(c, ask.principal(), &name).await?;
    let mut reply = Reply::new();
    reply.did("url", c.p.sites.url(&name));
    reply.did("remote", c.p.sites.remote(&name));
    reply.line(format!("Created {name}. It will answer at {}", c.p.sites.url(&name)));
    reply.line(format!("Deploy it: git remote add hoist {} && git push hoist main", c.p.sites.remote(&name)));
    Ok(reply)
}

pub async fn list(c: &Commands, ask: Ask) -> Result<Reply> {
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
    let empty = "No apps yet. apps:create NAME, or push one".to_owned();
    Ok(Reply::list(List { columns: &["APP", "RELEASE", "OWNER", "URL"], rows, json, empty }))
}

pub async fn info(c: &Commands, ask: Ask) -> Result<Reply> {
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
    let state = match (app.stopped, maintenance) {
        (true, true) => "stopped, in maintenance",
        (true, false) => "stopped",
        (false, true) => "on, in maintenance",
        (false, false) => "on",
    };
    let domains: Vec<String> = domains.iter().map(|d| d.host.to_string()).collect();
    let stack = app.settings.stack.clone().unwrap_or_else(|| buildpacks::Stack::default().name().to_owned());
    let set: BTreeMap<&str, String> = app.settings.shown().collect();
    let object = json!({"name": app.name, "id": app.id, "url": c.p.sites.url(&app.name), "remote": c.p.sites.remote(&app.name), "release": app.current_release.map(|r| r.to_string()),
        "commit": commit, "formation": wanted, "deploy_branch": app.settings.deploy_branch, "buildpack": app.settings.buildpack, "stack": stack, "root": app.settings.root, "dockerfile": app.settings.build, "settings": set, "owner": owner, "shared_with": shared, "stopped": app.stopped,
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
        ("owner", owner),
        ("shared with", shared.join(", ")),
        ("state", state.to_owned()),
    ];
    for setting in app_settings::TABLE {
        let value = setting.shown(&app.settings).unwrap_or_else(|| setting.default.to_owned());
        if !value.is_empty() {
            rows.push((setting.name, value));
        }
    }
    Ok(Reply::record(rows, object))
}

pub async fn set(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::AppsSet { settings } = ask.what().arguments()?;
    let named = |(name, value): (String, String)| Ok((Setting::named(&name)?, value));
    let changes = settings.into_iter().map(named).collect::<Result<Vec<_>, Refusal>>()?;
    let counts = changes.iter().map(|(setting, _)| setting.counts).max().unwrap_or(Counts::Now);
    let (id, name, who) = (app.id.clone(), app.name.to_string(), ask.principal().clone());
    let stacks = c.p.settings.stacks.clone();
    let set =
        c.p.store
            .write(move |tx| {
                let known = Known {
                    who: &who,
                    app: &name,
                    buildpack: &buildpacks::buildpack_name,
                    buildpacks: buildpacks::BUILDPACKS.join(", "),
                    stack: &|name| buildpacks::Stack::parse(name).map(buildpacks::Stack::name),
                    stack_there: &|name| builder::stack_is_installed(&stacks, name),
                };
                let mut settings = tx.the_app(&id)?.settings;
                for (setting, value) in &changes {
                    setting.take(&mut settings, value, &known)?;
                }
                tx.set_settings(&id, &settings, now())?;
                Ok(settings.shown().collect::<BTreeMap<_, _>>())
            })
            .await?;
    let mut reply = Reply::said(format!("Set. {}", counts.sentence(app.name.as_str())));
    reply.did("settings", set);
    Ok(reply)
}

/// An owner and what became of those who had to do with the app.
struct Handed {
    /// The owner until now, where it was not root.
    from: Option<User>,
    /// By which right the owner until now may still change it.
    still: Option<&'static str>,
    lost: Lost,
}

pub async fn transfer(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::AppsTransfer { user: name, keep_access } = ask.what().arguments()?;
    let (wanted, settings) = (name.clone(), c.p.settings.clone());
    let to = c.p.store.read(move |tx| tx.the_user(&wanted)).await?;
    let mut reply = Reply::new();
    reply.did("owner", &name);
    if app.owner == Some(to.id) {
        reply.line(format!("{} belongs to {name} already", app.name));
        return Ok(reply);
    }
    crate::usage::may_grow(&c.p, Some(to.id), c.p.usage.of(std::slice::from_ref(&app.id)).bytes).await?;
    let id = app.id.clone();
    let mut handed = c.p.store.write(move |tx| hand_over(tx, &settings, &id, &name, keep_access)).await?;
    reply.line(format!("{} belongs to {} now; nothing was restarted", app.name, to.name));
    if let Some(from) = &handed.from {
        match handed.still {
            Some(what) => reply.detail(format!("{} may still change it, as {what}", from.name)),
            None => {
                let (to, from, app) = (&to.name, &from.name, &app.name);
                reply.detail(format!("{from} may not see it any more; {to} can share it: access:add {app} {from}"));
            }
        }
    }
    let ended = &mut handed.lost.ended;
    for (app, key) in std::mem::take(&mut ended.handed_keys) {
        let key = domain::text::plain(&key);
        reply.detail(format!(
            "Its deploy key {key} stays, {} answers for it; to end it: deploy-keys:remove {app} {key}",
            to.name
        ));
    }
    for (app, user) in std::mem::take(&mut ended.shares) {
        reply.detail(format!("It stays shared with {user}; to end that: access:remove {app} {user}"));
    }
    let whose = handed.from.map(|from| from.name.to_string()).unwrap_or_default();
    c.after_loss(handed.lost, &whose, &mut reply);
    Ok(reply)
}

/// One transaction: the new owner has it, within their quota, and answers for what the one before let in.
fn hand_over(tx: &Tx<'_>, settings: &Settings, app: &AppId, to: &UserName, keep_access: bool) -> store::Result<Handed> {
    let (row, to, defaults) = (tx.the_app(app)?, tx.the_user(to)?, settings.quotas());
    let from = row.owner.map(|id| tx.user_by_id(id)).transpose()?.flatten();
    let (have, used) = (tx.apps_owned(to.id)?.len() as u64, deploy::quota::used(tx, settings, to.id)?);
    tx.transfer_app(&row, &to, now())?;
    if let Some(holder) = tx.quota_holder(to.id)? {
        holder.may(What::Apps, have, tx.apps_owned(to.id)?.len() as u64, &defaults)?;
        holder.may_run(used, deploy::quota::used(tx, settings, to.id)?, &defaults)?;
    }
    let mut lost = Lost::default();
    let mut still = None;
    if let Some(from) = from.as_ref().filter(|from| from.id != to.id) {
        if keep_access {
            tx.share(app, from, Some(to.id), now())?;
        }
        still = match (from.role, keep_access) {
            (Role::Admin, _) => Some("an administrator"),
            (Role::Developer, true) => Some("somebody whom it is shared with"),
            (Role::Developer, false) => None,
        };
        lost.ended = tx.leave(from, Some(from), Keys::HandOver, &to.principal(), now())?;
        let work = tx.end_lost_work(now())?;
        (lost.ended.builds, lost.ended.runs, lost.jobs) = (work.ended.builds, work.ended.runs, work.jobs);
    }
    Ok(Handed { from, still, lost })
}

pub async fn destroy(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    Line::Plain(format!("Destroying {} with its releases, config, logs and repository", app.name)).say(io).await;
    unmake(c, &app.id).await?;
    c.rights_changed();
    Ok(Reply::said(format!("Destroyed {}", app.name)))
}
