//! The greeting, `help`, `version`, `shutdown`.

use super::{Ask, Commands, show};
use crate::deploy::spec::INSTALL_LABEL;
use crate::fault::Result;
use crate::io::Io;
use domain::Refusal;
use domain::access::{Principal, actor};
use domain::command::{self, Format, help_for, help_overview};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a router may finish requests when the installation is shut down.
const ROUTER_GRACE: Duration = Duration::from_secs(5);
/// How long instances may take to end then.
const APP_GRACE: Duration = Duration::from_secs(10);

/// What `ssh hoist@host` without a command shows.
pub async fn greet(_c: &Commands, who: &Principal, io: &Io) -> u8 {
    io.line(format!("Hello {}. This is Hoist; there is no shell here, but commands:", actor(who))).await;
    io.line("").await;
    for line in help_overview() {
        io.line(line).await;
    }
    0
}

pub async fn help(ask: Ask, io: &Io) -> Result<u8> {
    let lines = match ask.what().args.maybe("COMMAND") {
        None => help_overview(),
        Some(word) => match command::find(word) {
            Some(spec) => help_for(spec.verb),
            None => {
                let known = command::TABLE.iter().map(|s| s.name);
                let near = domain::text::did_you_mean(word, known);
                let no = Refusal::new("unknown-command", format!("there is no command {}", command::quote(word)));
                return Err(near.into_iter().fold(no, |no, n| no.next(format!("help {n}"))).next("help").into());
            }
        },
    };
    for line in lines {
        io.line(line).await;
    }
    Ok(0)
}

pub async fn version(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let ours = env!("CARGO_PKG_VERSION");
    let engine = c.p.engine.version().await.map(|v| v.version).unwrap_or_else(|err| err.to_string());
    match ask.what().format {
        Format::Json => show::json(io, &json!({"hoist": ours, "docker": engine, "install": c.p.install})).await,
        Format::Text => io.line(format!("hoist {ours} (installation {}, Docker {engine})", c.p.install)).await,
    }
    Ok(0)
}

pub async fn shutdown(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let apps = ask.what().args.flag("apps");
    c.p.paused.store(true, Ordering::SeqCst);
    io.line("Ending the router").await;
    c.p.routes.pause();
    c.p.routes.shutdown_router(ROUTER_GRACE).await;
    if apps {
        io.line("Stopping all apps; they come back when the server starts").await;
        if let Err(err) = stop_instances(c).await {
            io.note(domain::text::warning(&err.lines().join("; "))).await;
        }
    }
    io.line("Ending the server").await;
    c.end.notify_one();
    Ok(0)
}

async fn stop_instances(c: &Commands) -> Result<()> {
    let all = c.p.engine.list(INSTALL_LABEL, c.p.install.as_str()).await?;
    let stops = all.iter().map(|one| async {
        c.p.engine.stop(&one.name, APP_GRACE).await?;
        c.p.engine.remove(&one.name).await
    });
    futures_util::future::try_join_all(stops).await?;
    for network in c.p.engine.networks(INSTALL_LABEL, c.p.install.as_str()).await? {
        c.p.engine.remove_network(&network).await?;
    }
    c.p.net.remove_firewall().await
}
