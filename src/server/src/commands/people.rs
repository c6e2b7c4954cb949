//! `keys:*`, `users:*`, `access:*`, `whoami`, `events`.

use super::show::{List, pairs};
use super::{Ask, Commands};
use crate::clock::now;
use crate::fault::Result;
use crate::io::Io;
use crate::ssh::keys::parse_public;
use crate::store::User;
use domain::access::{Principal, Role, actor};
use domain::{Refusal, UserName};
use serde_json::json;

/// A public key file is never longer.
const KEY_MAX: usize = 16 * 1024;

/// The user that a command about keys is for: the one named, else the one who asks.
async fn subject(c: &Commands, ask: &Ask) -> Result<User> {
    let named: Option<UserName> = ask.what().args.maybe_typed("USER")?;
    match (named, ask.principal()) {
        (Some(name), _) => c.p.store.read(move |tx| tx.the_user(&name)).await,
        (None, Principal::User { id, name, role, .. }) => Ok(User { id: *id, name: name.clone(), role: *role }),
        (None, Principal::Local) => Err(Refusal::new("user-missing", "name the user").next("users:list").into()),
    }
}

pub async fn keys_add(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let user = subject(c, &ask).await?;
    let key = read_key(io).await?.ok_or_else(|| {
        Refusal::new("key-missing", "no key came on standard input").next("ssh … keys:add < ~/.ssh/id_ed25519.pub")
    })?;
    let shown = key.fingerprint.clone();
    let (name, fingerprint) = (user.name.clone(), key.fingerprint.clone());
    c.p.store.write(move |tx| tx.add_key(&user, &fingerprint, &key.comment, &key.text(), now())).await?;
    io.line(format!("Added {shown} for {name}")).await;
    Ok(0)
}

async fn read_key(io: &mut Io) -> Result<Option<crate::ssh::keys::KeyText>> {
    let bytes = io.read_all(KEY_MAX).await?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(parse_public(&text)?))
}

pub async fn keys_list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let all = ask.what().args.maybe("USER").is_none() && matches!(ask.principal(), Principal::Local);
    let user = if all { None } else { Some(subject(c, &ask).await?) };
    let keys = c.p.store.read(move |tx| tx.keys(user.as_ref())).await?;
    let list = List {
        columns: &["USER", "FINGERPRINT", "NAME", "ADDED"],
        rows: keys
            .iter()
            .map(|k| vec![k.user.to_string(), k.fingerprint.clone(), domain::text::plain(&k.name), k.created.short()])
            .collect(),
        json: keys
            .iter()
            .map(
                |k| json!({"user": k.user, "fingerprint": k.fingerprint, "name": k.name, "added": k.created.rfc3339()}),
            )
            .collect(),
        empty: "No keys".to_owned(),
    };
    list.print(ask.what().format, io).await;
    Ok(0)
}

pub async fn keys_remove(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let user = subject(c, &ask).await?;
    let fingerprint = ask.what().args.one("FINGERPRINT")?.to_owned();
    let shown = domain::text::plain(&fingerprint);
    let name = user.name.clone();
    let own = matches!(ask.principal(), Principal::User { key, .. } if *key == fingerprint);
    let done =
        c.p.store
            .write(move |tx| {
                if own && tx.keys(Some(&user))?.len() == 1 {
                    return Err(Refusal::new("last-key", "that is your last key, and the one you use now")
                        .next("keys:add another one first")
                        .into());
                }
                tx.remove_key(&fingerprint, &user)
            })
            .await?;
    if !done {
        return Err(Refusal::new("no-such-key", format!("{name} has no key {shown}")).next("keys:list").into());
    }
    io.line(format!("Removed {shown} of {name}")).await;
    Ok(0)
}

pub async fn users_add(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let name: UserName = ask.what().args.typed("NAME")?;
    let role = if ask.what().args.flag("admin") { Role::Admin } else { Role::Developer };
    let key = read_key(io).await?;
    let added = key.clone();
    let new = name.clone();
    c.p.store
        .write(move |tx| {
            let user = tx.add_user(&new, role, now())?;
            match &added {
                Some(key) => tx.add_key(&user, &key.fingerprint, &key.comment, &key.text(), now()),
                None => Ok(()),
            }
        })
        .await?;
    let word = if role == Role::Admin { "administrator" } else { "developer" };
    match key {
        Some(key) => io.line(format!("Added {word} {name} with the key {}", key.fingerprint)).await,
        None => io.line(format!("Added {word} {name} without a key; next: keys:add {name} < KEY.pub")).await,
    }
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
    if matches!(ask.principal(), Principal::User { name: own, .. } if *own == name) {
        return Err(Refusal::new("yourself", "you cannot remove yourself").next("another administrator can").into());
    }
    let gone = name.clone();
    c.p.store.write(move |tx| tx.remove_user(&tx.the_user(&gone)?)).await?;
    io.line(format!("Removed {name}; their apps stay, for the administrators")).await;
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

pub async fn whoami(_c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let (role, key) = match ask.principal() {
        Principal::Local => ("admin (root on the server)", String::new()),
        Principal::User { role: Role::Admin, key, .. } => ("admin", key.clone()),
        Principal::User { role: Role::Developer, key, .. } => ("developer", key.clone()),
    };
    let name = actor(ask.principal());
    let object = json!({"name": name, "role": role, "key": key});
    pairs(ask.what().format, io, vec![("name", name), ("role", role.to_owned()), ("key", key)], object).await;
    Ok(0)
}

pub async fn events(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let admin = matches!(ask.principal(), Principal::Local | Principal::User { role: Role::Admin, .. });
    let app = ask.app().map(|a| a.id.clone());
    if app.is_none() && !admin {
        return Err(Refusal::new("app-missing", "name an app; all events are for administrators")
            .next("events APP")
            .into());
    }
    let max = ask.what().args.number("num", 50, 10_000)?;
    let rows = c.p.store.read(move |tx| tx.audit(app.as_ref(), max)).await?;
    let end = |code: Option<u8>| code.map_or_else(|| "-".to_owned(), |c| c.to_string());
    let list = List {
        columns: &["WHEN", "WHO", "EXIT", "COMMAND"],
        rows: rows.iter().map(|r| vec![r.at.short(), r.actor.clone(), end(r.exit_code), domain::text::plain(&r.line)]).collect(),
        json: rows.iter().map(|r| json!({"at": r.at.rfc3339(), "actor": r.actor, "key": r.key, "app": r.app, "verb": r.verb, "line": r.line, "exit_code": r.exit_code})).collect(),
        empty: "No events yet".to_owned(),
    };
    list.print(ask.what().format, io).await;
    Ok(0)
}
