//! `config*`: each change is a release with the image that is there. Before the first release, while the app is stopped
//! and with `--no-restart` it is only stored, and the next release has it.

use super::follow::follow;
use super::{Ask, Commands, show};
use domain::config::{self, ConfigChange, ConfigVars, Diff, FILE_MAX, FileFormat, Hidden, VALUE_MAX};
use domain::deploy::Kind;
use domain::refusal::Code;
use domain::words::quote;
use domain::{AppId, Refusal, Secret, VarName, access, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::Ask as JobAsk;
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::Format;

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
async fn left_out(hidden: &Hidden, io: &Io) {
    for name in hidden.keys() {
        io.note(text::warning(&format!("{name} is secret and left out"))).await;
    }
}

pub async fn all(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let (vars, hidden) = current(c, &app.id).await?;
    match ask.what().format {
        Format::Json => {
            let shown = |name: &VarName, value: &Secret<String>| match hidden.contains_key(name) {
                true => Value::Null,
                false => Value::String(value.reveal().clone()),
            };
            let object = vars.iter().map(|(n, v)| (n.to_string(), shown(n, v))).collect();
            show::json(io, &Value::Object(object)).await;
        }
        Format::Text if ask.what().args.flag("shell") => {
            for (name, value) in vars.iter().filter(|(name, _)| !hidden.contains_key(*name)) {
                io.line(format!("{name}={}", quote(value.reveal()))).await;
            }
            left_out(&hidden, io).await;
        }
        Format::Text if vars.is_empty() => io.note("No config vars. config:set APP NAME=VALUE").await,
        Format::Text => {
            let width = vars.keys().map(|n| n.as_str().len()).max().unwrap_or(0) + 1;
            for (name, value) in &vars {
                // A value of several lines, or with control bytes, would not show what it is.
                let value = value.reveal();
                if let Some(since) = hidden.get(name) {
                    io.line(format!("{:width$} (secret, since {})", format!("{name}:"), since.short())).await;
                    continue;
                }
                let shown = if value.chars().any(char::is_control) { quote(value) } else { value.clone() };
                io.line(format!("{:width$} {shown}", format!("{name}:"))).await;
            }
        }
    }
    let held_back = waiting(c, &app.id).await?;
    if !held_back.is_empty() && ask.what().format == Format::Text {
        io.note(text::warning("Stored, and not in use before the next release:")).await;
        for line in held_back.lines() {
            io.note(text::warning(&format!("  {line}"))).await;
        }
        io.note(text::warning(&format!("next: ps:restart {}", app.name))).await;
    }
    Ok(0)
}

pub async fn get(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let name: VarName = ask.what().args.typed("NAME")?;
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
    match ask.what().format {
        Format::Json => show::json(io, &json!({ name.as_str(): value.reveal() })).await,
        Format::Text => io.line(value.reveal()).await,
    }
    Ok(0)
}

fn app_name(ask: &Ask) -> String {
    ask.app().map_or_else(|| "APP".to_owned(), |a| a.name.to_string())
}

pub async fn set(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let set = ask.what().args.vars("NAME=VALUE")?;
    let mut change = ConfigChange { set, secret: ask.what().args.flag("secret"), ..ConfigChange::default() };
    if let Some(name) = ask.what().args.value("stdin") {
        let name: VarName = name.parse()?;
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
    change_config(c, &ask, change, io).await
}

pub async fn unset(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let names = ask.what().args.many("NAME").iter().map(|n| n.parse()).collect::<Result<BTreeSet<VarName>, _>>()?;
    let (held, _) = current(c, &ask.the_app()?.id).await?;
    for name in names.iter().filter(|name| !held.contains_key(*name)) {
        io.note(text::warning(&format!("{name} is not set"))).await;
    }
    let change = ConfigChange { unset: names, ..ConfigChange::default() };
    change_config(c, &ask, change, io).await
}

pub async fn import(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let format = ask.what().args.value("format").map(str::parse).transpose()?;
    let bytes = io.read_all(FILE_MAX).await?;
    let (set, format) = config::parse(&bytes, format)?;
    let replace = ask.what().args.flag("replace");
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
    io.line(format!("Read {} config vars ({read_as})", set.len())).await;
    // A file that config:export wrote has no secret ones: they are not removed for that.
    let keep = match replace {
        true => current(c, &ask.the_app()?.id).await?.1.into_keys().filter(|name| !set.contains_key(name)).collect(),
        false => BTreeSet::new(),
    };
    for name in &keep {
        io.note(text::warning(&format!(
            "{name} is secret and stays; to remove it: config:unset {} {name}",
            app_name(&ask)
        )))
        .await;
    }
    let secret = ask.what().args.flag("secret");
    change_config(c, &ask, ConfigChange { set, replace, keep, secret, ..ConfigChange::default() }, io).await
}

pub async fn export(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let format: FileFormat = ask.what().args.value("format").unwrap_or("dotenv").parse()?;
    let (mut vars, hidden) = current(c, &ask.the_app()?.id).await?;
    vars.retain(|name, _| !hidden.contains_key(name));
    io.text(config::render(&vars, format)).await;
    left_out(&hidden, io).await;
    Ok(0)
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

async fn change_config(c: &Commands, ask: &Ask, mut change: ConfigChange, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let only_store = ask.what().args.flag("no-restart");
    let (old, hidden) = current(c, &app.id).await?;
    for absent in change.unset.iter().filter(|name| !old.contains_key(*name)) {
        io.note(text::warning(&format!("{absent} is not set"))).await;
    }
    change.unset.retain(|name| old.contains_key(name));
    // Bad values are refused before anybody waits.
    let new = change.apply(&old)?;
    let diff = Diff::of(&old, &new).with_hidden(&hidden, &change.hidden(&hidden, &old, &new, now()));
    let held_back = waiting(c, &app.id).await?;
    if diff.is_empty() && (only_store || held_back.is_empty()) {
        io.line("Nothing changes: the config vars have these values already").await;
        return Ok(0);
    }
    io.did("set", change.set.keys().map(ToString::to_string).collect::<Vec<_>>());
    io.did("unset", change.unset.iter().map(ToString::to_string).collect::<Vec<_>>());
    for warning in change.warnings() {
        io.note(text::warning(&warning)).await;
    }
    let turn = c.deploys.turn(&app.id).await?;
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
        io.line(format!("{said}; they count from its next release on")).await;
        say(io, &diff).await;
        if row.current_release.is_some() && !row.stopped {
            io.line(text::detail(&format!("ps:restart {} makes that release now; so does a push", app.name))).await;
        }
        return Ok(0);
    }
    io.line(said).await;
    say(io, &diff).await;
    if !held_back.is_empty() {
        io.line(text::detail("These were stored before and count from now on:")).await;
        say(io, &held_back).await;
    }
    let asked = JobAsk { config: change, ..JobAsk::by(ask.principal()) };
    let actor = access::actor(ask.principal());
    let job = c.deploys.submit_within(&turn, &app.id, Kind::Config, asked, &actor).await?;
    let code = follow(c, &job, io).await;
    if code != 0 {
        io.note(text::warning("The config vars have their old values")).await;
    }
    drop(turn);
    Ok(code)
}

async fn say(io: &Io, diff: &Diff) {
    for line in diff.lines() {
        io.line(text::detail(&line)).await;
    }
}
