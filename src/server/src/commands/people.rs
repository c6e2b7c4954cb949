//! `users:*`, `access:*`, `whoami`.

use super::keys::read_keys;
use super::show::{List, pairs};
use super::{Ask, Commands};
use crate::clock::now;
use crate::fault::Result;
use crate::io::Io;
use crate::ssh::SessionEnv;
use crate::store::User;
use domain::access::{Principal, Role, actor};
use domain::people::{Loss, may_lose};
use domain::{Refusal, UserName};
use serde_json::json;

pub async fn users_add(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let name: UserName = ask.what().args.typed("NAME")?;
    let role = if ask.what().args.flag("admin") { Role::Admin } else { Role::Developer };
    let keys = read_keys(io).await?;
    let (new, added) = (name.clone(), keys.clone());
    c.p.store
        .write(move |tx| {
            let user = tx.add_user(&new, role, now())?;
            added.iter().try_for_each(|key| tx.add_key(&user, key, now()))
        })
        .await?;
    let word = word_of(role);
    if keys.is_empty() {
        io.line(format!("Added {word} {name} without a key; next: keys:add {name} < KEY.pub")).await;
    }
    for key in &keys {
        io.line(format!("Added {word} {name} with the key {}", key.fingerprint)).await;
    }
    Ok(0)
}

fn word_of(role: Role) -> &'static str {
    match role {
        Role::Admin => "administrator",
        Role::Developer => "developer",
    }
}

pub async fn users_set(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let name: UserName = ask.what().args.typed("NAME")?;
    let role = match (ask.what().args.flag("admin"), ask.what().args.flag("developer")) {
        (true, false) => Role::Admin,
        (false, true) => Role::Developer,
        (true, true) | (false, false) => {
            let no = Refusal::new("role-missing", "say which role: --admin or --developer");
            return Err(no
                .next(format!("users:set {name} --admin"))
                .next(format!("users:set {name} --developer"))
                .into());
        }
    };
    let whom = name.clone();
    let changed =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&whom)?;
                if user.role == role {
                    return Ok(false);
                }
                if role == Role::Developer {
                    may_lose(&tx.standings()?, &whom, Loss::Admin, None)?;
                }
                tx.set_role(&user, role)?;
                Ok(true)
            })
            .await?;
    let article = if role == Role::Admin { "an" } else { "a" };
    let already = if changed { "now" } else { "already" };
    io.line(format!("{name} is {already} {article} {}", word_of(role))).await;
    c.rights_changed();
    Ok(0)
}

pub async fn users_list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let (users, keys) = c.p.store.read(|tx| Ok((tx.users()?, tx.keys(None)?))).await?;
    let count = |u: &User| keys.iter().filter(|k| k.user == u.name).count();
    let role = |u: &User| if u.role == Role::Admin { "admin" } else { "developer" };
    let list = List {
        columns: &["USER", "ROLE", "KEYS"],
        rows: users.iter().map(|u| vec![u.name.to_string(), role(u).to_owned(), count(u).to_string()]).collect(),
        json: users.iter().map(|u| json!({"name": u.name, "role": role(u), "keys": count(u)})).collect(),
        empty: "No users yet. users:add NAME [--admin] < KEY.pub".to_owned(),
    };
    list.print(ask.what().format, io).await;
    Ok(0)
}

pub async fn users_remove(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let name: UserName = ask.what().args.typed("NAME")?;
    let by = match ask.principal() {
        Principal::User { name, .. } => Some(name.clone()),
        Principal::Local | Principal::DeployKey { .. } => None,
    };
    let gone = name.clone();
    c.p.store
        .write(move |tx| {
            let user = tx.the_user(&gone)?;
            may_lose(&tx.standings()?, &gone, Loss::User, by.as_ref())?;
            tx.remove_user(&user)
        })
        .await?;
    io.line(format!("Removed {name}; their apps stay, for the administrators")).await;
    c.rights_changed();
    Ok(0)
}

pub async fn access_change(c: &Commands, ask: Ask, io: &Io, on: bool) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let name: UserName = ask.what().args.typed("USER")?;
    let (id, user) = (app.id.clone(), name.clone());
    let changed =
        c.p.store
            .write(move |tx| {
                let user = tx.the_user(&user)?;
                tx.share(&id, user.id, on)
            })
            .await?;
    let line = match (on, changed) {
        (true, true) => format!("{} is now shared with {name}", app.name),
        (true, false) => format!("{} is shared with {name} already", app.name),
        (false, true) => format!("{} is no longer shared with {name}", app.name),
        (false, false) => format!("{} was not shared with {name}", app.name),
    };
    io.line(line).await;
    c.rights_changed();
    Ok(0)
}

pub async fn access_list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let (owner, shared) = (app.owner, app.shared_with.clone());
    let people = c
        .p
        .store
        .read(move |tx| {
            let mut people = Vec::new();
            for (id, why) in owner.into_iter().map(|o| (o, "owner")).chain(shared.into_iter().map(|s| (s, "shared"))) {
                people.extend(tx.user_by_id(id)?.map(|u| (u.name.to_string(), why)));
            }
            Ok(people)
        })
        .await?;
    let list = List {
        columns: &["USER", "ACCESS"],
        rows: people.iter().map(|(n, w)| vec![n.clone(), (*w).to_owned()]).collect(),
        json: people.iter().map(|(n, w)| json!({"user": n, "access": w})).collect(),
        empty: "Only administrators".to_owned(),
    };
    list.print(ask.what().format, io).await;
    Ok(0)
}

pub async fn whoami(c: &Commands, ask: Ask, env: SessionEnv, io: &Io) -> Result<u8> {
    let who = ask.principal();
    let (role, may) = match who {
        Principal::Local => ("admin (root on the server)", "everything".to_owned()),
        Principal::User { role: Role::Admin, .. } => ("admin", "everything".to_owned()),
        Principal::User { role: Role::Developer, .. } => {
            let n = super::system::apps_of(c, who).await?.len();
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
    pairs(ask.what().format, io, rows, object).await;
    Ok(0)
}
