//! `keys:*` and `deploy-keys:*`.

use crate::context::{Ask, Commands};
use crate::reply::{List, Reply};
use domain::access::{Principal, actor};
use domain::people::{Loss, may_lose, pick};
use domain::refusal::Code;
use domain::{Refusal, UserName, text};
use serde_json::json;
use ssh::keys::parse_keys;
use store::{NewKey, User};
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::args;

/// What may come on standard input: some dozens of keys.
const KEYS_MAX: usize = 64 * 1024;

/// The user that a command about keys is for: the one named, else the one who asks.
async fn subject(c: &Commands, ask: &Ask, named: Option<UserName>) -> Result<User> {
    match (named, ask.principal()) {
        (Some(name), _) => c.p.store.read(move |tx| tx.the_user(&name)).await,
        (None, Principal::User { id, name, role, .. }) => Ok(User { id: *id, name: name.clone(), role: *role }),
        (None, Principal::Local | Principal::DeployKey { .. }) => {
            let verb = ask.what().verb.name();
            Err(Refusal::new(Code::UserMissing, "whose key? Name the user")
                .next(format!("{verb} USER"))
                .next("users:list")
                .into())
        }
    }
}

/// The keys on standard input; none if there was nothing.
pub async fn read_keys(io: &mut Io) -> Result<Vec<NewKey>> {
    let bytes = io.read_all(KEYS_MAX).await?;
    Ok(parse_keys(&String::from_utf8_lossy(&bytes))?)
}

fn no_key_came(verb: &str) -> Refusal {
    Refusal::new(Code::KeyMissing, "no key came on standard input")
        .next(format!("ssh … {verb} < ~/.ssh/id_ed25519.pub"))
        .next("make a key: ssh-keygen -t ed25519")
}

pub async fn add(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let user = subject(c, &ask, ask.what().arguments::<args::KeysAdd>()?.user).await?;
    let keys = read_keys(io).await?;
    if keys.is_empty() {
        return Err(no_key_came("keys:add").into());
    }
    let (name, added, by) = (user.name.clone(), keys.clone(), ask.principal().user_id());
    c.p.store.write(move |tx| keys.iter().try_for_each(|key| tx.add_key(&user, key, by, now()))).await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.did("keys", added.iter().map(|key| key.fingerprint.clone()).collect::<Vec<_>>());
    for key in added {
        reply.line(format!("Added {} for {name}", key.fingerprint));
    }
    Ok(reply)
}

pub async fn list(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::KeysList { user: named } = ask.what().arguments()?;
    let all = named.is_none() && matches!(ask.principal(), Principal::Local);
    let user = if all { None } else { Some(subject(c, &ask, named).await?) };
    let keys = c.p.store.read(move |tx| tx.keys(user.as_ref())).await?;
    let current = |fingerprint: &str| ask.principal().key().is_some_and(|k| k.fingerprint == fingerprint);
    let list = List {
        columns: &["USER", "FINGERPRINT", "NAME", "ADDED", "BY", ""],
        rows: keys
            .iter()
            .map(|k| {
                let mark = if current(&k.fingerprint) { "in use now" } else { "" };
                vec![
                    k.user.to_string(),
                    k.fingerprint.clone(),
                    text::plain(&k.name),
                    k.created.short(),
                    k.added_by.clone().unwrap_or_else(|| "root".to_owned()),
                    mark.to_owned(),
                ]
            })
            .collect(),
        json: keys
            .iter()
            .map(|k| {
                json!({"user": k.user, "fingerprint": k.fingerprint, "name": k.name, "added": k.created.rfc3339(), "by": k.added_by,
                    "current": current(&k.fingerprint)})
            })
            .collect(),
        empty: "No keys".to_owned(),
    };
    Ok(Reply::list(list))
}

pub async fn remove(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::KeysRemove { key: typed, user: named } = ask.what().arguments()?;
    let user = subject(c, &ask, named).await?;
    let name = user.name.clone();
    let by = match ask.principal() {
        Principal::User { name, .. } => Some(name.clone()),
        Principal::Local | Principal::DeployKey { .. } => None,
    };
    let (gone, lost) =
        c.p.store
            .write(move |tx| {
                let keys = tx.keys(Some(&user))?;
                let known: Vec<&str> = keys.iter().map(|k| k.fingerprint.as_str()).collect();
                let Some(fingerprint) = pick(&known, &typed)? else {
                    let what = format!("{} has no key {}", user.name, domain::words::quote(&text::plain(&typed)));
                    return Err(Refusal::new(Code::NoSuchKey, what).next(format!("keys:list {}", user.name)).into());
                };
                may_lose(&tx.standings()?, &user.name, Loss::Key, by.as_ref())?;
                tx.remove_key(fingerprint, &user, now())?;
                Ok((fingerprint.to_owned(), tx.end_lost_work(now())?))
            })
            .await?;
    let mut reply = Reply::new();
    reply.did("user", &name);
    reply.did("keys", [&gone]);
    reply.line(format!("Removed {gone} of {name}; connections opened with it end now"));
    c.after_loss(lost, name.as_str(), &mut reply);
    Ok(reply)
}

pub async fn deploy_add(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let name = ask.what().arguments::<args::DeployKeysAdd>()?.name.as_deref().map(key_name).transpose()?;
    let mut keys = read_keys(io).await?;
    let key = match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => key,
        (None, _) => return Err(no_key_came(&format!("deploy-keys:add {}", app.name)).into()),
        (Some(_), false) => {
            let no = Refusal::new(Code::ManyKeys, "more than one key came; a deploy key has a name of its own");
            return Err(no.next(format!("deploy-keys:add {} NAME < key.pub, once for each", app.name)).into());
        }
    };
    let name = match name {
        Some(name) => name,
        None => key_name(&key.name).map_err(|_| {
            Refusal::new(Code::NameMissing, "the comment of the key does not make a name for it")
                .next(format!("deploy-keys:add {} ci < key.pub", app.name))
        })?,
    };
    let key = NewKey { name: name.clone(), ..key };
    let (id, by, fingerprint) = (app.id.clone(), ask.principal().clone(), key.fingerprint.clone());
    c.p.store.write(move |tx| tx.add_deploy_key(&id, &key, &by, now())).await?;
    let mut reply = Reply::new();
    reply.did("key", &fingerprint);
    reply.did("name", &name);
    reply.did("remote", c.p.sites.remote(&app.name));
    reply.line(format!(
        "Added the deploy key {name} ({fingerprint}): it may push to {} and look at its builds",
        app.name
    ));
    reply.line(format!("Its remote: {}", c.p.sites.remote(&app.name)));
    if let Principal::User { name, .. } = ask.principal() {
        reply.line(format!("It ends when {name} may not change {} any more", app.name));
    }
    Ok(reply)
}

/// A deploy key's name: a word that lists and events show.
fn key_name(word: &str) -> Result<String, Refusal> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if !word.is_empty() && word.len() <= 60 && word.chars().all(good) && !word.starts_with('-') {
        return Ok(word.to_owned());
    }
    Err(Refusal::new(Code::BadKeyName, "this is not a deploy key's name")
        .why("allowed: up to 60 letters, digits and - _ . @")
        .next("deploy-keys:add APP ci < key.pub"))
}

pub async fn deploy_list(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let keys = c.p.store.read(move |tx| tx.deploy_keys(&id)).await?;
    let list = List {
        columns: &["NAME", "FINGERPRINT", "BY", "ADDED"],
        rows: keys
            .iter()
            .map(|k| vec![text::plain(&k.name), k.fingerprint.clone(), k.added_by.clone(), k.created.short()])
            .collect(),
        json: keys
            .iter()
            .map(|k| json!({"name": k.name, "fingerprint": k.fingerprint, "by": k.added_by, "added": k.created.rfc3339()}))
            .collect(),
        empty: format!("No deploy keys. deploy-keys:add {} ci < key.pub", app.name),
    };
    let mut reply = Reply::list(list);
    // Only of before it was noted by whose right a key is there.
    for key in keys.iter().filter(|k| k.adder.is_none() && k.added_by != actor(&Principal::Local)) {
        let (key, by) = (text::plain(&key.name), text::plain(&key.added_by));
        reply.warn(format!("{key} was added by {by}, who is no user any more, and still pushes"));
        reply.warn(format!("to end it: deploy-keys:remove {} {key}", app.name));
    }
    Ok(reply)
}

pub async fn deploy_remove(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::DeployKeysRemove { key: typed } = ask.what().arguments()?;
    let id = app.id.clone();
    let gone =
        c.p.store
            .write(move |tx| {
                let keys = tx.deploy_keys(&id)?;
                let known: Vec<&str> = keys.iter().map(|k| k.fingerprint.as_str()).collect();
                let by_name = keys.iter().find(|k| k.name == typed).map(|k| k.fingerprint.as_str());
                let found = match by_name {
                    Some(fingerprint) => Some(fingerprint),
                    None => pick(&known, &typed)?,
                };
                let Some(fingerprint) = found else { return Ok(None) };
                tx.remove_deploy_key(&id, fingerprint, now())?;
                let gone = keys.iter().find(|k| k.fingerprint == fingerprint).cloned();
                gone.map(|gone| tx.end_lost_work(now()).map(|lost| (gone, lost))).transpose()
            })
            .await?;
    let Some((gone, lost)) = gone else {
        let no = Refusal::new(Code::NoSuchKey, format!("{} has no such deploy key", app.name));
        return Err(no.next(format!("deploy-keys:list {}", app.name)).into());
    };
    let mut reply = Reply::new();
    reply.did("key", &gone.fingerprint);
    reply.did("name", &gone.name);
    reply.line(format!("Removed the deploy key {} ({}) of {}", gone.name, gone.fingerprint, app.name));
    c.after_loss(lost, &format!("deploy key {}", gone.name), &mut reply);
    Ok(reply)
}
