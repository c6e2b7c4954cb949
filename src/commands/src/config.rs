//! `config*`: each change is a release with the image that is there. Before the first release, while the app is stopped
//! and with `--no-restart` it is only stored, and the next release has it.

use crate::context::{Ask, Commands};
use crate::follow::follow;
use crate::reply::{Line, Reply};
use crate::turn;
use domain::config::{self, ConfigChange, ConfigVars, Diff, FILE_MAX, FileFormat, Hidden, VALUE_MAX};
use domain::deploy::Kind;
use domain::refusal::Code;
use domain::words::quote;
use domain::{AppId, Refusal, Secret, VarName, access};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::Ask as JobAsk;
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::args;

async fn current(c: &Commands, id: &AppId) -> Result<(ConfigVars, Hidden)> {
    let id = id.clone();
    c.p.store
        .read(move |tx| {
            let version = tx.the_app(&id)?.config_version;
            Ok((tx.config(&id, version)?, tx.hidden(&id, version)?))
        })
        .await
}

/// Says which were left out, on standard error: the output is for a file or a shell.
fn left_out(hidden: &Hidden, reply: &mut Reply) {
    for name in hidden.keys() {
        reply.warn(format!("{name} is secret and left out"));
    }
}

pub async fn all(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::Config { shell } = ask.what().arguments()?;
    let (vars, hidden) = current(c, &app.id).await?;
    let for_programs = |(name, value): (&VarName, &Secret<String>)| {
        let shown = if hidden.contains_key(name) { Value::Null } else { Value::String(value.reveal().clone()) };
        (name.to_string(), shown)
    };
    let json = Value::Object(vars.iter().map(for_programs).collect());
    let lines: Vec<String> = match shell {
        true => {
            let known = vars.iter().filter(|(name, _)| !hidden.contains_key(*name));
            known.map(|(name, value)| format!("{name}={}", quote(value.reveal()))).collect()
        }
        false => {
            let width = vars.keys().map(|n| n.as_str().len()).max().unwrap_or(0) + 1;
            let value = |name: &VarName, value: &Secret<String>| match hidden.get(name) {
                Some(since) => format!("(secret, since {})", since.short()),
                // A value of several lines, or with control bytes, would not show what it is.
                None if value.reveal().chars().any(char::is_control) => quote(value.reveal()),
                None => value.reveal().clone(),
            };
            vars.iter().map(|(name, held)| format!("{:width$} {}", format!("{name}:"), value(name, held))).collect()
        }
    };
    let mut reply = Reply::page(lines, json);
    if shell {
        left_out(&hidden, &mut reply);
    } else if vars.is_empty() {
        reply.note(format!("No config vars. config:set {} NAME=VALUE", app.name));
    }
    let held_back = waiting(c, &app.id).await?;
    if !held_back.is_empty() {
        reply.warn("Stored, and not in use before the next release:");
        for line in held_back.lines() {
            reply.warn(format!("  {line}"));
        }
        reply.warn(format!("next: ps:restart {}", app.name));
    }
    Ok(reply)
}

pub async fn get(c: &Commands, ask: Ask) -> Result<Reply> {
    let args::ConfigGet { name } = ask.what().arguments()?;
    let (vars, hidden) = current(c, &ask.the_app()?.id).await?;
    if let Some(since) = hidden.get(&name) {
        return Err(Refusal::new(Code::SecretVar, format!("{name} is secret: its value is not shown again"))
            .why(format!("it is set since {}; the app has it", since.short()))
            .next(format!("config:set {} --stdin {name} < FILE  (for a new value)", app_name(&ask)))
            .into());
    }
    let value = vars.get(&name).ok_or_else(|| {
        Refusal::new(Code::NoSuchVar, format!("{name} is not set"))
            .next(format!("config:set {} {name}=VALUE", app_name(&ask)))
    })?;
    Ok(Reply::text(format!("{}\n", value.reveal()), json!({ name.as_str(): value.reveal() })))
}

fn app_name(ask: &Ask) -> String {
    ask.app().map_or_else(|| "APP".to_owned(), |a| a.name.to_string())
}

pub async fn set(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let args::ConfigSet { set, stdin, secret, no_restart } = ask.what().arguments()?;
    let mut change = ConfigChange { set, secret, ..ConfigChange::default() };
    if let Some(name) = stdin {
        let mut bytes = io.read_all(VALUE_MAX + 1).await?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let value = String::from_utf8(bytes).map_err(|_| {
            Refusal::new(Code::ValueNotText, "the value on standard input is not UTF-8 text")
                .next("encode it, with base64 for example")
        })?;
        change.set.insert(name, Secret::new(value));
    }
    if change.set.is_empty() {
        return Err(Refusal::new(Code::NothingToSet, "name at least one NAME=VALUE")
            .next(format!("config:set {} NAME=VALUE", app_name(&ask)))
            .into());
    }
    change_config(c, &ask, change, no_restart, io).await
}

pub async fn unset(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let args::ConfigUnset { names, no_restart } = ask.what().arguments()?;
    let names = BTreeSet::from_iter(names);
    let change = ConfigChange { unset: names, ..ConfigChange::default() };
    change_config(c, &ask, change, no_restart, io).await
}

pub async fn import(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let args::ConfigImport { format, replace, secret, no_restart } = ask.what().arguments()?;
    let bytes = io.read_all(FILE_MAX).await?;
    let (set, format) = config::parse(&bytes, format)?;
    if set.is_empty() {
        // With --replace this would remove everything: more likely the file is missing.
        return Err(Refusal::new(
            Code::NothingToImport,
            "there is no config var on standard input; nothing was changed",
        )
        .next(format!("config:import {} < .env", app_name(&ask)))
        .into());
    }
    let read_as = match format {
        FileFormat::Dotenv => "dotenv",
        FileFormat::Json => "JSON",
        FileFormat::Shell => "shell lines",
    };
    let vars = if set.len() == 1 { "config var" } else { "config vars" };
    Line::Plain(format!("Read {} {vars} ({read_as})", set.len())).say(io).await;
    // A file that config:export wrote has no secret ones: they are not removed for that.
    let keep = match replace {
        true => current(c, &ask.the_app()?.id).await?.1.into_keys().filter(|name| !set.contains_key(name)).collect(),
        false => BTreeSet::new(),
    };
    for name in &keep {
        let stays = format!("{name} is secret and stays; to remove it: config:unset {} {name}", app_name(&ask));
        Line::Warning(stays).say(io).await;
    }
    change_config(c, &ask, ConfigChange { set, replace, keep, secret, ..ConfigChange::default() }, no_restart, io).await
}

pub async fn export(c: &Commands, ask: Ask) -> Result<Reply> {
    let format = ask.what().arguments::<args::ConfigExport>()?.format.unwrap_or(FileFormat::Dotenv);
    let (mut vars, hidden) = current(c, &ask.the_app()?.id).await?;
    vars.retain(|name, _| !hidden.contains_key(name));
    let mut reply = Reply::text(config::render(&vars, format), Value::Null);
    left_out(&hidden, &mut reply);
    Ok(reply)
}

/// What differs between the vars of the release that runs and those that the next one will have.
pub async fn waiting(c: &Commands, id: &AppId) -> Result<Diff> {
    let id = id.clone();
    c.p.store
        .read(move |tx| {
            let app = tx.the_app(&id)?;
            let Some(number) = app.current_release else { return Ok(Diff::default()) };
            let (running, next) = (tx.the_release(&id, number)?.config_version, app.config_version);
            let diff = Diff::of(&tx.config(&id, running)?, &tx.config(&id, next)?);
            Ok(diff.with_hidden(&tx.hidden(&id, running)?, &tx.hidden(&id, next)?))
        })
        .await
}

async fn change_config(c: &Commands, ask: &Ask, mut change: ConfigChange, only_store: bool, io: &Io) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let (old, hidden) = current(c, &app.id).await?;
    for absent in change.unset.iter().filter(|name| !old.contains_key(*name)) {
        Line::Warning(format!("{absent} is not set")).say(io).await;
    }
    change.unset.retain(|name| old.contains_key(name));
    // Bad values are refused before anybody waits.
    let new = change.apply(&old)?;
    let diff = Diff::of(&old, &new).with_hidden(&hidden, &change.hidden(&hidden, &old, &new, now()));
    let held_back = waiting(c, &app.id).await?;
    if diff.is_empty() && (only_store || held_back.is_empty()) {
        return Ok(Reply::said("Nothing changes: the config vars have these values already"));
    }
    let mut reply = Reply::new();
    reply.did("set", change.set.keys().collect::<Vec<_>>());
    reply.did("unset", &change.unset);
    for warning in change.warnings() {
        Line::Warning(warning).say(io).await;
    }
    let turn = turn::take(c, &app, io).await?;
    let (id, apply) = (app.id.clone(), change.clone());
    let stored =
        c.p.store
            .write(move |tx| {
                let row = tx.the_app(&id)?;
                if row.current_release.is_some() && !row.stopped && !only_store {
                    return Ok(None);
                }
                let old = tx.config(&id, row.config_version)?;
                let vars = apply.apply(&old)?;
                let hidden = apply.hidden(&tx.hidden(&id, row.config_version)?, &old, &vars, now());
                let version = tx.add_config(&id, &vars, &hidden, now())?;
                tx.set_config_version(&id, version, now())?;
                Ok(Some(row))
            })
            .await?;
    let said = format!("{} for {}", change.describe(), app.name);
    if let Some(row) = stored {
        reply.line(format!("{said}; used from its next release on"));
        diff.lines().into_iter().for_each(|line| reply.detail(line));
        if row.current_release.is_some() && !row.stopped {
            reply.detail(format!("ps:restart {} makes that release now; so does a push", app.name));
        }
        return Ok(reply);
    }
    let mut lines = vec![Line::Plain(said)];
    lines.extend(diff.lines().into_iter().map(Line::Detail));
    if !held_back.is_empty() {
        lines.push(Line::Detail("These were stored before and are used from now on:".to_owned()));
        lines.extend(held_back.lines().into_iter().map(Line::Detail));
    }
    for line in lines {
        line.say(io).await;
    }
    let asked = JobAsk { config: change, ..JobAsk::by(ask.principal()) };
    let actor = access::actor(ask.principal());
    let job = c.deploys.submit_within(&turn, &app.id, Kind::Config, asked, &actor).await?;
    let followed = follow(c, &job, io).await;
    if followed.exit != 0 {
        reply.warn("The config vars have their old values");
    }
    reply.extend(followed);
    drop(turn);
    Ok(reply)
}
