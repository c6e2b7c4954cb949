//! `domains:*` of apps, and `apps:rename`: which names lead to an app. None of them touches what runs.

use crate::base;
use crate::context::{Ask, Commands};
use crate::reply::{List, Reply};
use domain::access::{AppRef, name_refusal};
use domain::domains::{AppDomain, Granted, Resolves, dns_advice};
use domain::formation::{self, RELEASE, WEB};
use domain::reconcile::Desire;
use domain::refusal::Code;
use domain::{AppName, Hostname, ProcessType, Refusal};
use serde_json::json;
use std::time::Duration;
use store::{App, Claimant, Tx};
use system::clock::now;
use system::dns;
use system::fault::Result;
use verbs::args;

/// How long a change waits for the router.
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// Up to so many names each gets its URL and its DNS record printed; beyond, a line for all.
const TOLD_MAX: usize = 8;
/// Names in one answer about names that an app does not have.
const SHOWN_MAX: usize = 5;

pub async fn add(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::DomainsAdd { names, process } = ask.what().arguments()?;
    let hosts = once(names);
    let process = process.map_or_else(|| WEB.parse(), Ok)?;
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
    let mut reply = Reply::new();
    reply.did("domains", &hosts);
    reply.did("process", &process);
    reply.did("routed", told);
    for (host, granted) in hosts.iter().zip(&granted).take(TOLD_MAX) {
        let readable = host.readable().map(|text| format!(" ({text})")).unwrap_or_default();
        let how = match granted {
            Granted::New => "is now served by".to_owned(),
            Granted::Already => "is served already by".to_owned(),
            Granted::Moves(from) => format!("is now served, no longer by {from}, but by"),
        };
        reply.head(format!("{host}{readable} {how} {} ({process})", app.name));
        if !host.is_wildcard() {
            reply.detail(c.p.sites.host_url(host.as_str()));
        }
    }
    if hosts.len() > TOLD_MAX {
        reply.head(format!(
            "{} names are now served by {name} ({process}); domains:list {name} shows them",
            hosts.len(),
            name = app.name
        ));
    } else {
        tell_dns(c, &hosts, &mut reply).await;
    }
    if let Some(hint) = state.hint(&app.name, &process) {
        reply.detail(hint);
    }
    warn_unless(told, &mut reply);
    Ok(reply)
}

async fn tell_dns(c: &Commands, hosts: &[Hostname], reply: &mut Reply) {
    let base = c.p.sites.base.get();
    let here = dns::here(&base).await;
    let dns = dns::resolve(hosts, &here).await;
    for host in hosts {
        let resolves = dns.get(host).unwrap_or(&Resolves::Unknown);
        for line in dns_advice(host, resolves, &here.addresses, &base) {
            reply.detail(line);
        }
    }
}

fn warn_unless(told: bool, reply: &mut Reply) {
    if !told {
        reply.warn("The router has not confirmed yet; the change is stored and comes when it answers");
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

/// The names as typed, each once.
fn once(typed: Vec<Hostname>) -> Vec<Hostname> {
    let mut seen = std::collections::BTreeSet::new();
    typed.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

pub async fn remove(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let hosts = once(ask.what().arguments::<args::DomainsRemove>()?.names);
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
    gone(c, &app, &hosts).await
}

pub async fn clear(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::DomainsClear { process } = ask.what().arguments()?;
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
        return Ok(Reply::said(format!("{} has no such domains", app.name)));
    }
    gone(c, &app, &hosts).await
}

async fn gone(c: &Commands, app: &AppRef, hosts: &[Hostname]) -> Result<Reply> {
    let told = c.p.routes.publish_hosts(&app.id, hosts, ROUTE_MAX).await;
    let mut reply = Reply::new();
    reply.did("domains", hosts);
    reply.did("routed", told);
    for host in hosts.iter().take(TOLD_MAX) {
        reply.line(format!("{host} is no longer served by {}", app.name));
    }
    if let Some(more) = hosts.len().checked_sub(TOLD_MAX).filter(|n| *n > 0) {
        reply.line(format!("nor are {more} more"));
    }
    reply.line(format!("Still: {}", c.p.sites.url(&app.name)));
    warn_unless(told, &mut reply);
    Ok(reply)
}

pub async fn list(c: &Commands, ask: Ask) -> Result<Reply> {
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
    let columns: &[&'static str] =
        if whole { &["APP", "HOST", "PROCESS", "KIND"] } else { &["HOST", "PROCESS", "KIND"] };
    let empty = format!("No apps yet; they will answer at NAME.{base}");
    Ok(Reply::list(List { columns, rows, json, empty }))
}

/// One transaction: an app has its old name with all that hangs on it, or the new one.
pub async fn rename(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let args::AppsRename { new } = ask.what().arguments()?;
    if new == app.name {
        return Ok(Reply::said(format!("{new} is its name already")));
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
    let mut reply = Reply::new();
    reply.did("old", &old);
    reply.did("name", &new);
    reply.did("url", c.p.sites.url(&new));
    reply.did("remote", c.p.sites.remote(&new));
    reply.line(format!("{old} is called {new} now; nothing was restarted"));
    reply.detail(c.p.sites.url(&new));
    reply.detail(format!("git remote set-url hoist {}", c.p.sites.remote(&new)));
    reply.detail(format!("{} does not answer any more", c.p.sites.url(&old)));
    reply.detail("Variables such as HOIST_APP_NAME and HOIST_URL change with the next start");
    warn_unless(told, &mut reply);
    Ok(reply)
}
