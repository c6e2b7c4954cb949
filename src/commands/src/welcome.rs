//! The greeting, `help`, `version`, `shutdown`.

use crate::context::{Ask, Commands};
use crate::reply::{Line, Reply};
use domain::AppName;
use domain::access::{AppRef, Principal, actor, may_see};
use domain::instance::INSTALL_LABEL;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use system::fault::Result;
use system::io::Io;
use verbs::{args, help_for, help_overview};

/// How long a router may finish requests when the installation is shut down.
const ROUTER_GRACE: Duration = Duration::from_secs(5);
/// How long instances may take to end then.
const APP_GRACE: Duration = Duration::from_secs(10);
/// How often what is left is looked for.
const STOP_ROUNDS: usize = 5;

/// The apps that somebody may see, in order of name.
pub async fn apps_of(c: &Commands, who: &Principal) -> Result<Vec<AppRef>> {
    let apps =
        c.p.store.read(|tx| tx.apps()?.iter().map(|app| tx.app_ref(app)).collect::<store::Result<Vec<_>>>()).await?;
    Ok(apps.into_iter().filter(|app| may_see(who, app)).collect())
}

/// What `ssh hoist@host` without a command shows: who you are here, and what to type now.
pub async fn greet(c: &Commands, who: &Principal) -> Result<Reply> {
    let hello = "This is Hoist. There is no shell here; you push with git and type commands.";
    let mut lines = vec![format!("Hello {}. {hello}", actor(who)), String::new()];
    let apps = apps_of(c, who).await?;
    let push = |app: &AppName| {
        [format!("  git remote add hoist {}", c.p.sites.remote(app)), "  git push hoist main".to_owned()]
    };
    let ssh = c.p.sites.ssh_command();
    match (who, apps.first()) {
        (Principal::DeployKey { app_name, .. }, _) => {
            lines.push(format!("This is a deploy key of {app_name}. It may push to it, from a clone of its source:"));
            lines.extend(push(app_name));
            lines.push("and look at what became of that:".to_owned());
            lines.push(format!("  {ssh} builds {app_name}"));
            lines.push(format!("  {ssh} builds:output {app_name}"));
        }
        (Principal::Local | Principal::User { .. }, None) => {
            lines.push("You have no app yet. In the git repository of your app, under any name for it:".to_owned());
            lines.extend(push(&"my-app".parse()?));
            lines.push("The push builds it, starts it and prints its URL. What there is besides:".to_owned());
            lines.push(format!("  {ssh} help"));
        }
        (Principal::Local | Principal::User { .. }, Some(first)) => {
            let shown: Vec<String> = apps.iter().take(8).map(|app| app.name.to_string()).collect();
            let more = if apps.len() > shown.len() {
                format!(" and {} more", apps.len() - shown.len())
            } else {
                String::new()
            };
            lines.push(format!("Your apps: {}{more}. For example:", shown.join(", ")));
            for what in [format!("apps:info {}", first.name), format!("logs {} -t", first.name), "help".to_owned()] {
                lines.push(format!("  {ssh} {what}"));
            }
        }
    }
    Ok(saying(lines))
}

fn saying(lines: Vec<String>) -> Reply {
    let mut reply = Reply::new();
    lines.into_iter().for_each(|line| reply.line(line));
    reply
}

pub fn help(ask: &Ask) -> Result<Reply> {
    let lines = match ask.what().arguments::<args::Help>()?.command.as_deref() {
        None => help_overview(),
        Some(word) => match verbs::find(word) {
            Some(spec) => help_for(spec.verb),
            None => {
                let known = verbs::TABLE.iter().map(|s| s.name);
                let near = domain::text::did_you_mean(word, known);
                let mut no = verbs::unknown(word, None, &[]);
                no.next.splice(0..0, near.into_iter().map(|near| format!("help {near}")));
                return Err(no.into());
            }
        },
    };
    Ok(saying(lines))
}

pub async fn version(c: &Commands) -> Result<Reply> {
    let ours = env!("CARGO_PKG_VERSION");
    let engine = c.p.engine.version().await.map(|v| v.version).unwrap_or_else(|err| err.to_string());
    let object = json!({"hoist": ours, "docker": engine, "install": c.p.install});
    Ok(Reply::text(format!("hoist {ours} (installation {}, Docker {engine})\n", c.p.install), object))
}

pub async fn shutdown(c: &Commands, ask: Ask, io: &Io) -> Result<Reply> {
    let args::Shutdown { apps } = ask.what().arguments()?;
    c.p.paused.store(true, Ordering::SeqCst);
    c.p.builder.end_ahead().await;
    Line::Plain("Ending the router".to_owned()).say(io).await;
    c.p.routes.pause();
    c.p.routes.shutdown_router(ROUTER_GRACE).await;
    let mut code = 0;
    if apps {
        Line::Plain("Stopping all apps; they come back when the server starts".to_owned()).say(io).await;
        if let Err(err) = stop_apps(c).await {
            err.log();
            Line::Warning(err.lines().join("; ")).say(io).await;
            code = 1;
        }
    }
    // While there still is a connection to say it on.
    Line::Plain("Ending the server".to_owned()).say(io).await;
    c.end.notify_one();
    Ok(Reply::exit(code))
}

/// Removes instances, networks and the firewall. What was being started when the reconciler was told to rest may come after
/// the first look, so it looks until there is nothing left.
async fn stop_apps(c: &Commands) -> Result<()> {
    let _turn = tokio::time::timeout(APP_GRACE, c.p.turn.lock()).await;
    c.p.image_builder.remove().await?;
    let mut done = Ok(());
    for _ in 0..STOP_ROUNDS {
        let all = c.p.containers().await?;
        let networks = c.p.engine.networks(INSTALL_LABEL, c.p.install.as_str()).await?;
        if all.is_empty() && networks.is_empty() {
            done = Ok(());
            break;
        }
        let stops = all.iter().map(|one| async {
            c.p.engine.stop(&one.name, APP_GRACE).await?;
            c.p.engine.remove(&one.name).await
        });
        // One that cannot be stopped is no reason to leave the others.
        done = futures_util::future::join_all(stops).await.into_iter().collect::<Result<Vec<()>, _>>().map(drop);
        for network in &networks {
            done = done.and(c.p.engine.remove_network(network).await);
        }
    }
    c.p.net.remove_firewall().await?;
    Ok(done?)
}
