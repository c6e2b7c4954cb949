//! `config*`: each change is a release with the image that is there; before the first release it is only stored.

use super::follow::follow;
use super::{Ask, Commands, show};
use crate::clock::now;
use crate::fault::Result;
use crate::io::Io;
use crate::store::Ask as JobAsk;
use domain::command::{Format, quote};
use domain::config::{ConfigChange, ConfigVars, VALUE_MAX};
use domain::deploy::Kind;
use domain::{AppId, Refusal, Secret, VarName, access};
use serde_json::{Value, json};

async fn current(c: &Commands, id: &AppId) -> Result<ConfigVars> {
    let id = id.clone();
    c.p.store.read(move |tx| tx.config(&id, tx.the_app(&id)?.config_version)).await
}

pub async fn all(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let vars = current(c, &ask.the_app()?.id).await?;
    match ask.what().format {
        Format::Json => {
            let object = vars.iter().map(|(n, v)| (n.to_string(), Value::String(v.reveal().clone()))).collect();
            show::json(io, &Value::Object(object)).await;
        }
        Format::Text if ask.what().args.flag("shell") => {
            for (name, value) in &vars {
                io.line(format!("{name}={}", quote(value.reveal()))).await;
            }
        }
        Format::Text if vars.is_empty() => io.note("No config vars. config:set APP NAME=VALUE").await,
        Format::Text => {
            let width = vars.keys().map(|n| n.as_str().len()).max().unwrap_or(0) + 1;
            for (name, value) in &vars {
                // A value of several lines, or with control bytes, would not show what it is.
                let value = value.reveal();
                let shown = if value.chars().any(char::is_control) { quote(value) } else { value.clone() };
                io.line(format!("{:width$} {shown}", format!("{name}:"))).await;
            }
        }
    }
    Ok(0)
}

pub async fn get(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let name: VarName = ask.what().args.typed("NAME")?;
    let vars = current(c, &ask.the_app()?.id).await?;
    let value = vars.get(&name).ok_or_else(|| {
        Refusal::new("no-such-var", format!("{name} is not set"))
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
    let mut change = ConfigChange { set: ask.what().args.vars("NAME=VALUE")?, ..ConfigChange::default() };
    if let Some(name) = ask.what().args.value("stdin") {
        let name: VarName = name.parse()?;
        let mut bytes = io.read_all(VALUE_MAX + 1).await?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        let value = String::from_utf8(bytes).map_err(|_| {
            Refusal::new("value-not-text", "the value on standard input is not UTF-8 text")
                .next("encode it, with base64 for example")
        })?;
        change.set.insert(name, Secret::new(value));
    }
    if change.set.is_empty() {
        return Err(Refusal::new("nothing-to-set", "name at least one NAME=VALUE")
            .next(format!("config:set {} NAME=VALUE", app_name(&ask)))
            .into());
    }
    change_config(c, &ask, change, io).await
}

pub async fn unset(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let names = ask.what().args.many("NAME").iter().map(|n| n.parse()).collect::<Result<_, Refusal>>()?;
    let change = ConfigChange { unset: names, ..ConfigChange::default() };
    change_config(c, &ask, change, io).await
}

async fn change_config(c: &Commands, ask: &Ask, change: ConfigChange, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let old = current(c, &app.id).await?;
    // Bad values are refused before anybody waits.
    let new = change.apply(&old)?;
    if new == old {
        io.line("Nothing changes: the config vars have these values already").await;
        return Ok(0);
    }
    let turn = c.deploys.turn(&app.id).await?;
    let (id, apply) = (app.id.clone(), change.clone());
    let stored =
        c.p.store
            .write(move |tx| {
                let row = tx.the_app(&id)?;
                if row.current_release.is_some() && !row.stopped {
                    return Ok(false);
                }
                let vars = apply.apply(&tx.config(&id, row.config_version)?)?;
                let version = tx.add_config(&id, &vars, now())?;
                tx.set_config_version(&id, version)?;
                Ok(true)
            })
            .await?;
    if stored {
        io.line(format!("{} for {}; they count from its next release on", change.describe(), app.name)).await;
        return Ok(0);
    }
    io.line(format!("{} for {}", change.describe(), app.name)).await;
    let asked = JobAsk { config: change, ..JobAsk::default() };
    let actor = access::actor(ask.principal());
    let job = c.deploys.submit_within(&turn, &app.id, Kind::Config, asked, &actor).await?;
    let code = follow(c, &job, io).await;
    if code != 0 {
        io.note(domain::text::warning("The config vars have their old values")).await;
    }
    drop(turn);
    Ok(code)
}
