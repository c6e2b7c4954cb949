//! `users:*`, `access:*`, `whoami`.

use crate::context::{Ask, Commands};
use crate::keys::read_keys;
use crate::leaving::keys_of;
use crate::reply::{List, Reply};
use domain::access::{Principal, Role, actor};
use domain::leaving::known;
use domain::people::{Loss, may_lose};
use domain::refusal::Code;
use domain::{Refusal, UserName};
use serde_json::json;
use ssh::SessionEnv;
use store::{Lost, User};
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::args;

pub async fn users_add(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let args::UsersAdd { name, admin } = ask.what().arguments()?;
    let role = if admin { Role::Admin } else { Role::Developer };
    let keys = read_keys(io).await?;
    let (new, added, by) = (name.clone(), keys.clone(), ask.principal().user_id());
    c.p.store
        .write(move |tx| {
            let user = tx.add_user(&new, role, by, now())?;
            added.iter().try_for_each(|key| tx.add_key(&user, key, by, now()))
        })
        .await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.did("role", role);
    reply.did("keys", keys.iter().map(|key| key.fingerprint.clone()).collect::<Vec<_>>());
    let word = word_of(role);
    if keys.is_empty() {
        reply.line(format!("Added {word} {name} without a key; next: keys:add {name} < KEY.pub"));
    }
    for key in &keys {
        reply.line(format!("Added {word} {name} with the key {}", key.fingerprint));
    }
    invitation(c, &name, role, !keys.is_empty(), &mut reply)?;
    Ok(reply)
}

/// What to send to somebody who has just been added.
fn invitation(c: &Commands, name: &UserName, role: Role, has_key: bool, reply: &mut Reply) -> Result<()> {
    let (ssh, remote) = (c.p.sites.ssh_command(), c.p.sites.remote(&"my-app".parse()?));
    reply.line(format!("To send to {name}:"));
    reply.detail(format!("You are {name}, {} on the Hoist server {}.", word_with_article(role), c.p.sites.ssh_host()));
    if !has_key {
        reply.detail("First send me your public key, ~/.ssh/id_ed25519.pub (made by: ssh-keygen -t ed25519).");
    }
    reply.detail("Who you are there, what to type next, and all commands:");
    reply.detail(format!("  {ssh}"));
    reply.detail(format!("  {ssh} help"));
    reply.detail("To deploy, in the folder of your app, its files committed (my-app: any name):");
    reply.detail(format!("  git remote add hoist {remote}"));
    reply.detail("  git push hoist main");
    reply.detail("The push builds the app, starts it and prints its URL.");
    Ok(())
}

fn word_with_article(role: Role) -> &'static str {
    match role {
        Role::Admin => "an administrator",
        Role::Developer => "a developer",
    }
}

fn word_of(role: Role) -> &'static str {
    match role {
        Role::Admin => "administrator",
        Role::Developer => "developer",
    }
}

pub async fn users_set(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::UsersSet { name, admin, developer, keep_deploy_keys } = ask.what().arguments()?;
    let role = match (admin, developer) {
        (true, false) => Role::Admin,
        (false, true) => Role::Developer,
        (true, true) | (false, false) => {
            let no = Refusal::new(Code::RoleMissing, "say which role: --admin or --developer");
            return Err(no
                .next(format!("users:set {name} --admin"))
                .next(format!("users:set {name} --developer"))
                .into());
        }
    };
    let (whom, keys, by) = (name.clone(), keys_of(keep_deploy_keys), ask.principal().clone());
    let lost =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&whom)?;
                if user.role == role {
                    return Ok(None);
                }
                if role == Role::Developer {
                    may_lose(&tx.standings()?, &whom, Loss::Admin, None)?;
                }
                tx.set_role(&user, role, now())?;
                let after = User { role, ..user.clone() };
                let mut ended = tx.leave(&user, Some(&after), keys, &by, now())?;
                if role == Role::Developer {
                    (ended.users, ended.keys) = (tx.users_made_by(user.id)?, tx.keys_added_by(user.id)?);
                }
                let work = tx.end_lost_work(now())?;
                (ended.builds, ended.runs) = (work.ended.builds, work.ended.runs);
                Ok(Some(Lost { ended, jobs: work.jobs }))
            })
            .await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.did("role", role);
    let already = if lost.is_some() { "now" } else { "already" };
    reply.line(format!("{name} is {already} {}", word_with_article(role)));
    c.after_loss(lost.unwrap_or_default(), name.as_str(), &mut reply);
    Ok(reply)
}

pub async fn users_list(c: &Commands) -> Result<Reply> {
    let (users, keys) = c.p.store.read(|tx| Ok((tx.users()?, tx.keys(None)?))).await?;
    let count = |u: &User| keys.iter().filter(|k| k.user == u.name).count();
    let role = |u: &User| if u.role == Role::Admin { "admin" } else { "developer" };
    let list = List {
        columns: &["USER", "ROLE", "KEYS"],
        rows: users.iter().map(|u| vec![u.name.to_string(), role(u).to_owned(), count(u).to_string()]).collect(),
        json: users.iter().map(|u| json!({"name": u.name, "role": role(u), "keys": count(u)})).collect(),
        empty: "No users yet. users:add NAME [--admin] < KEY.pub".to_owned(),
    };
    Ok(Reply::list(list))
}

pub async fn users_remove(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::UsersRemove { name, keep_deploy_keys } = ask.what().arguments()?;
    let by = match ask.principal() {
        Principal::User { name, .. } => Some(name.clone()),
        Principal::Local | Principal::DeployKey { .. } => None,
    };
    let (gone, keys, asker) = (name.clone(), keys_of(keep_deploy_keys), ask.principal().clone());
    let lost =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&gone)?;
                may_lose(&tx.standings()?, &gone, Loss::User, by.as_ref())?;
                let mut ended = tx.leave(&user, None, keys, &asker, now())?;
                ended.apps = tx.owned_by(user.id)?;
                (ended.users, ended.keys) = (tx.users_made_by(user.id)?, tx.keys_added_by(user.id)?);
                tx.remove_user(&user, now())?;
                let work = tx.end_lost_work(now())?;
                (ended.builds, ended.runs) = (work.ended.builds, work.ended.runs);
                Ok(Lost { ended, jobs: work.jobs })
            })
            .await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.line(format!("Removed {name}, their keys and what they had open"));
    c.after_loss(lost, name.as_str(), &mut reply);
    Ok(reply)
}

pub async fn access_add(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::AccessAdd { user: name } = ask.what().arguments()?;
    let (id, user, by) = (app.id.clone(), name.clone(), ask.principal().user_id());
    let changed =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&user)?;
                tx.share(&id, &user, by, now())
            })
            .await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.did("changed", changed);
    let word = if changed { "is now shared" } else { "is shared already" };
    reply.line(format!("{} {word} with {name}", app.name));
    Ok(reply)
}

pub async fn access_remove(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::AccessRemove { user: name, keep_deploy_keys } = ask.what().arguments()?;
    let (id, user, keys, by) = (app.id.clone(), name.clone(), keys_of(keep_deploy_keys), ask.principal().clone());
    let (changed, still, lost) =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&user)?;
                let changed = tx.unshare(&id, &user, now())?;
                let mut ended = tx.leave(&user, Some(&user), keys, &by, now())?;
                let work = tx.end_lost_work(now())?;
                (ended.builds, ended.runs) = (work.ended.builds, work.ended.runs);
                let owner = tx.the_app(&id)?.owner == Some(user.id);
                let still = match (owner, user.role) {
                    (true, _) => Some("its owner"),
                    (false, Role::Admin) => Some("an administrator"),
                    (false, Role::Developer) => None,
                };
                Ok((changed, still, Lost { ended, jobs: work.jobs }))
            })
            .await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.did("changed", changed);
    let word = if changed { "is no longer shared" } else { "was not shared" };
    reply.line(format!("{} {word} with {name}", app.name));
    match still {
        Some(what) => reply.warn(format!("{name} may still change it, as {what}")),
        None if changed => reply.note(known(name.as_str(), &app.name)),
        None => {}
    }
    c.after_loss(lost, name.as_str(), &mut reply);
    Ok(reply)
}

pub async fn access_list(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let people =
        c.p.store
            .read(move |tx| {
                let mut people = Vec::new();
                if let Some(owner) = app.owner.map(|id| tx.user_by_id(id)).transpose()?.flatten() {
                    people.push((owner.name.to_string(), "owner", String::new()));
                }
                for (user, by) in tx.shares(&app.id)? {
                    people.push((user, "shared", by.unwrap_or_else(|| "root".to_owned())));
                }
                Ok(people)
            })
            .await?;
    let list = List {
        columns: &["USER", "ACCESS", "BY"],
        rows: people.iter().map(|(user, access, by)| vec![user.clone(), (*access).to_owned(), by.clone()]).collect(),
        json: people.iter().map(|(user, access, by)| json!({"user": user, "access": access, "by": by})).collect(),
        empty: "Only administrators".to_owned(),
    };
    Ok(Reply::list(list))
}

pub async fn whoami(c: &Commands, ask: Ask, env: SessionEnv) -> Result<Reply> {
    let who = ask.principal();
    let (role, may) = match who {
        Principal::Local => ("admin (root on the server)", "everything".to_owned()),
        Principal::User { role: Role::Admin, .. } => ("admin", "everything".to_owned()),
        Principal::User { role: Role::Developer, .. } => {
            let n = crate::welcome::apps_of(c, who).await?.len();
            let apps = if n == 1 { "app" } else { "apps" };
            ("developer", format!("make apps; see and change {n} {apps} (apps:list)"))
        }
        Principal::DeployKey { app_name, .. } => ("deploy key", format!("push to {app_name} and look at its builds")),
    };
    let (name, from) = (actor(who), env.origin());
    let (key, key_name) = who.key().map(|k| (k.fingerprint.clone(), k.name.clone())).unwrap_or_default();
    let app = match who {
        Principal::DeployKey { app_name, .. } => Some(app_name.to_string()),
        Principal::Local | Principal::User { .. } => None,
    };
    let object =
        json!({"name": name, "role": role, "key": key, "key_name": key_name, "from": from, "may": may, "app": app});
    let shown = format!("{key} {key_name}").trim().to_owned();
    let rows = vec![("name", name), ("role", role.to_owned()), ("key", shown), ("from", from), ("may", may)];
    Ok(Reply::record(rows, object))
}
