//! `domains:*` of apps, and `apps:rename`: which names lead to an app. None of them touches what runs.

use super::show::List;
use super::{Ask, Commands, base};
use domain::access::{AppRef, name_refusal};
use domain::domains::{AppDomain, Granted, Resolves, dns_advice};
use domain::formation::{self, RELEASE, WEB};
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::{AppName, Hostname, ProcessType, Refusal, text};
use serde_json::json;
use std::time::Duration;
use store::{App, Claimant, Tx};
use system::clock::now;
use system::dns;
use system::fault::Result;
use system::io::Io;

/// How long a change waits for the router.
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// Up to so many names each gets its URL and its DNS record printed; beyond, a line for all.
const TOLD_MAX: usize = 8;
/// Names in one answer about names that an app does not have.
const SHOWN_MAX: usize = 5;

pub async fn add(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let hosts = names(&ask)?;
    let process = match ask.what().args.value("process") {
        Some(text) => text.parse()?,
        None => WEB.parse::<ProcessType>()?,
    };
    let by = Claimant {
        who: ask.principal().clone(),
        base: c.p.sites.base.configured().to_owned(),
        reserved: base::reserved(c),
        now: now(),
    };
    let (id, wanted, kind) = (app.id.clone(), hosts.clone(), process.clone());
    let (granted, state) =
        c.p.store
            .write(move |tx| {
                let row = tx.the_app(&id)?;
                let state = process_state(tx, &row, &kind)?;
                let mut granted = Vec::new();
                for host in wanted {
                    let domain = AppDomain { host, process: kind.clone() };
                    granted.push(tx.claim_domain(&row, &domain, &by)?);
                }
                Ok((granted, state))
            })
            .await?;
    let told = c.p.routes.publish_hosts(&app.id, &hosts, ROUTE_MAX).await;
    io.did("domains", hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
    io.did("process", process.to_string());
    io.did("routed", told);
    for (host, granted) in hosts.iter().zip(&granted).take(TOLD_MAX) {
        let readable = host.readable().map(|text| format!(" ({text})")).unwrap_or_default();
        let how = match granted {
            Granted::New => "leads to".to_owned(),
            Granted::Already => "leads already to".to_owned(),
            Granted::Moves(from) => format!("leads from now on, not to {from}, but to"),
        };
        io.line(text::head(&format!("{host}{readable} {how} {} ({process})", app.name))).await;
        if !host.is_wildcard() {
            io.line(text::detail(&c.p.sites.host_url(host.as_str()))).await;
        }
    }
    if hosts.len() > TOLD_MAX {
        io.line(text::head(&format!(
            "{} names lead to {name} ({process}); domains:list {name} shows them",
            hosts.len(),
            name = app.name
        )))
        .await;
    } else {
        tell_dns(c, &hosts, io).await;
    }
    if let Some(hint) = state.hint(&app.name, &process) {
        io.line(text::detail(&hint)).await;
    }
    warn_unless(told, io).await;
    Ok(0)
}

async fn tell_dns(c: &Commands, hosts: &[Hostname], io: &Io) {
    let base = c.p.sites.base.get();
    let here = dns::here(&base).await;
    let dns = dns::resolve(hosts, &here).await;
    for host in hosts {
        let resolves = dns.get(host).unwrap_or(&Resolves::Unknown);
        for line in dns_advice(host, resolves, &here.addresses, &base) {
            io.line(text::detail(&line)).await;
        }
    }
}

async fn warn_unless(told: bool, io: &Io) {
    if !told {
        io.note(text::warning("The router has not confirmed yet; the change is stored and comes when it answers"))
            .await;
    }
}

/// How a process type stands that is about to get a name.
enum ProcessState {
    Fine,
    /// The app has no release yet.
    Unreleased,
    /// No instance is wanted.
    None,
    /// It runs without `PORT`.
    Portless,
}

impl ProcessState {
    fn hint(&self, app: &AppName, process: &ProcessType) -> Option<String> {
        match self {
            ProcessState::Fine => None,
            ProcessState::Unreleased => {
                Some("Nothing is deployed yet: until the first push the name shows a page that says so".to_owned())
            }
            ProcessState::None => Some(format!("No instance of {process} runs: ps:scale {app} {process}=1")),
            ProcessState::Portless => Some(format!(
                "{process} was started without PORT; it takes requests after ps:restart {app}, or with the next release"
            )),
        }
    }
}

fn process_state(tx: &Tx<'_>, app: &App, process: &ProcessType) -> Result<ProcessState> {
    let Some(number) = app.current_release else { return Ok(ProcessState::Unreleased) };
    let table = tx.build(tx.the_release(&app.id, number)?.build)?.map(|b| b.processes).unwrap_or_default();
    if process.as_str() != WEB && (process.as_str() == RELEASE || !table.contains_key(process)) {
        let known: Vec<String> = table.keys().filter(|p| p.as_str() != RELEASE).map(ToString::to_string).collect();
        return Err(base::unknown_process(process, &known).into());
    }
    if formation::quantity(&tx.formation(&app.id)?, process) == 0 || !table.contains_key(process) {
        return Ok(ProcessState::None);
    }
    let rows = tx.instances(Some(&app.id))?;
    let mut current = rows.iter().filter(|r| r.process == *process && r.desire == Desire::Up);
    Ok(if current.any(|r| !r.served) { ProcessState::Portless } else { ProcessState::Fine })
}

/// The names of the command, each once, in the order typed.
fn names(ask: &Ask) -> Result<Vec<Hostname>, Refusal> {
    let mut names: Vec<Hostname> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for word in ask.what().args.many("NAME") {
        let name: Hostname = word.parse()?;
        if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    Ok(names)
}

pub async fn remove(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let hosts = names(&ask)?;
    let (id, wanted) = (app.id.clone(), hosts.clone());
    c.p.store
        .write(move |tx| {
            let row = tx.the_app(&id)?;
            let removed = tx.remove_domains(&row, &wanted, now())?;
            let missing: Vec<String> =
                wanted.iter().filter(|h| !removed.contains(h)).take(SHOWN_MAX).map(ToString::to_string).collect();
            if missing.is_empty() {
                return Ok(());
            }
            Err(Refusal::new(Code::NoSuchDomain, format!("{} has no domain {}", row.name, missing.join(", ")))
                .next(format!("domains:list {}", row.name))
                .into())
        })
        .await?;
    gone(c, &app, &hosts, io).await
}

pub async fn clear(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let process: Option<ProcessType> = ask.what().args.value("process").map(str::parse).transpose()?;
    let id = app.id.clone();
    let hosts =
        c.p.store
            .write(move |tx| {
                let row = tx.the_app(&id)?;
                let all = tx.domains(&id, domain::domains::DOMAINS_MAX)?;
                let of = |d: &AppDomain| process.as_ref().is_none_or(|p| *p == d.process);
                let hosts: Vec<Hostname> = all.into_iter().filter(of).map(|d| d.host).collect();
                tx.remove_domains(&row, &hosts, now())
            })
            .await?;
    if hosts.is_empty() {
        io.line(format!("{} has no such domains", app.name)).await;
        return Ok(0);
    }
    gone(c, &app, &hosts, io).await
}

async fn gone(c: &Commands, app: &AppRef, hosts: &[Hostname], io: &Io) -> Result<u8> {
    let told = c.p.routes.publish_hosts(&app.id, hosts, ROUTE_MAX).await;
    io.did("domains", hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
    io.did("routed", told);
    for host in hosts.iter().take(TOLD_MAX) {
        io.line(format!("{host} does not lead to {} any more", app.name)).await;
    }
    if let Some(more) = hosts.len().checked_sub(TOLD_MAX).filter(|n| *n > 0) {
        io.line(format!("nor do {more} more")).await;
    }
    io.line(format!("Still: {}", c.p.sites.url(&app.name))).await;
    warn_unless(told, io).await;
    Ok(0)
}

pub async fn list(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let only = ask.app().map(|app| app.id.clone());
    let whole = only.is_none();
    let found: Vec<(AppName, Vec<AppDomain>)> =
        c.p.store
            .read(move |tx| match only {
                Some(id) => Ok(vec![(tx.the_app(&id)?.name, tx.domains(&id, domain::domains::DOMAINS_MAX)?)]),
                None => {
                    let mut all = tx.all_domains()?;
                    Ok(tx.apps()?.into_iter().map(|a| (a.name, all.remove(&a.id).unwrap_or_default())).collect())
                }
            })
            .await?;
    let base = c.p.sites.base.get();
    let (mut rows, mut json) = (Vec::new(), Vec::new());
    for (app, domains) in found {
        let default = (format!("{app}.{base}"), WEB.to_owned(), true);
        let own = domains.into_iter().map(|d| (d.host.to_string(), d.process.to_string(), false));
        for (host, process, default) in std::iter::once(default).chain(own) {
            let kind = if default { "default" } else { "own" };
            let mut row = vec![host.clone(), process.clone(), kind.to_owned()];
            if whole {
                row.insert(0, app.to_string());
            }
            rows.push(row);
            let url = (!host.starts_with("*.")).then(|| c.p.sites.host_url(&host));
            json.push(json!({"app": app, "host": host, "process": process, "default": default, "url": url}));
        }
    }
    let columns: &[&str] = if whole { &["APP", "HOST", "PROCESS", "KIND"] } else { &["HOST", "PROCESS", "KIND"] };
    let empty = format!("No apps yet; they will answer at NAME.{base}");
    List { columns, rows, json, empty }.print(ask.what().format, io).await;
    Ok(0)
}

/// One transaction: an app has its old name with all that hangs on it, or the new one.
pub async fn rename(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let new: AppName = ask.what().args.typed("NEW")?;
    if new == app.name {
        io.line(format!("{new} is its name already")).await;
        return Ok(0);
    }
    let (id, wanted, who) = (app.id.clone(), new.clone(), ask.principal().clone());
    let old =
        c.p.store
            .write(move |tx| {
                let row = tx.the_app(&id)?;
                let other = match tx.app_by_name(&wanted)? {
                    Some(other) => Some(tx.app_ref(&other)?),
                    // A name that another app had is as good as taken for those who may not see that app.
                    None => tx.app_by_old_name(&wanted)?.map(|a| tx.app_ref(&a)).transpose()?,
                };
                if let Some(other) = other
                    && other.id != row.id
                    && (other.name == wanted || !domain::access::may_see(&who, &other))
                {
                    return Err(name_refusal(&who, &other, &wanted).into());
                }
                tx.rename_app(&row, &wanted, now())?;
                Ok(row.name)
            })
            .await?;
    let told = c.p.routes.publish_app(&app.id, ROUTE_MAX).await;
    io.did("old", &old);
    io.did("name", &new);
    io.did("url", c.p.sites.url(&new));
    io.did("remote", c.p.sites.remote(&new));
    io.line(format!("{old} is called {new} now; nothing was restarted")).await;
    io.line(text::detail(&c.p.sites.url(&new))).await;
    io.line(text::detail(&format!("git remote set-url hoist {}", c.p.sites.remote(&new)))).await;
    io.line(text::detail(&format!("{} does not answer any more", c.p.sites.url(&old)))).await;
    io.line(text::detail("Variables such as HOIST_APP_NAME and HOIST_URL change with the next start")).await;
    warn_unless(told, io).await;
    Ok(0)
}
