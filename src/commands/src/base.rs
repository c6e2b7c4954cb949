//! `domains:base` and `domains:set-base`: the name below which apps answer.

use crate::context::{Ask, Commands};
use crate::reply::Reply;
use domain::domains::{Resolves, dns_advice, parse_base, plan_base};
use domain::refusal::Code;
use domain::{Hostname, Refusal};
use serde_json::json;
use std::time::Duration;
use system::dns;
use system::fault::Result;
use verbs::args;

/// How long a change waits for the router.
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// Changed URLs that are printed.
const SHOWN_MOVES: usize = 20;

pub async fn show(c: &Commands) -> Result<Reply> {
    let base = c.p.sites.base.get();
    let set = c.p.store.read(|tx| tx.base_domain()).await?;
    let dns = below(&base).await;
    let from = if set.is_some() { "domains:set-base" } else { "the setting base-domain" };
    let words = dns.as_ref().map_or_else(|| "only on this machine".to_owned(), |(_, dns, _)| dns.words());
    let object = json!({"base": &*base, "set_by": from, "configured": c.p.sites.base.configured(),
        "dns": dns.as_ref().map(|(_, dns, _)| dns), "example": c.p.sites.host_url(&format!("APP.{base}"))});
    let rows = vec![
        ("base", base.to_string()),
        ("set by", from.to_owned()),
        ("apps answer at", c.p.sites.host_url(&format!("APP.{base}"))),
        ("names below it", words),
    ];
    Ok(Reply::record(rows, object))
}

pub async fn set(c: &Commands, ask: Ask) -> Result<Reply> {
    let new = parse_base(&ask.what().arguments::<args::DomainsSetBase>()?.base)?;
    let (wanted, configured) = (new.clone(), c.p.sites.base.configured().to_owned());
    let change = c.p.store.write(move |tx| {
        let old = tx.base_domain()?.unwrap_or(configured);
        let apps: Vec<_> = tx.apps()?;
        let mut domains = Vec::new();
        for (id, own) in tx.all_domains()? {
            let app = tx.the_app(&id)?.name;
            domains.extend(own.into_iter().map(|d| (app.clone(), d.host)));
        }
        let names: Vec<_> = apps.into_iter().map(|a| a.name).collect();
        let plan = plan_base(&old, &wanted, &names, &domains)?;
        if old != wanted {
            tx.set_base_domain(&wanted)?;
        }
        Ok((old, plan))
    });
    let (old, plan) = c.p.sites.base.change(&new, change).await?;
    let mut reply = Reply::new();
    reply.did("old", &old);
    reply.did("base", &new);
    if old == new {
        reply.line(format!("{new} is the base domain already"));
        return Ok(reply);
    }
    let told = c.p.routes.publish(ROUTE_MAX).await;
    reply.line(format!("Apps answer at {} now, not below {old} any more", c.p.sites.host_url(&format!("APP.{new}"))));
    for (_, from, to) in plan.moves.iter().take(SHOWN_MOVES) {
        reply.detail(format!("{} is now {}", c.p.sites.host_url(from), c.p.sites.host_url(to)));
    }
    if let Some(more) = plan.moves.len().checked_sub(SHOWN_MOVES).filter(|n| *n > 0) {
        reply.detail(format!("and {more} more: apps:list"));
    }
    reply.line(match c.p.sites.ssh_host() == new {
        true => "Git remotes hold it too; old ones work as long as the old name resolves to this server",
        false => "Remotes keep their host: the setting ssh-host names it",
    });
    if let Some((host, dns, here)) = below(&new).await {
        for line in dns_advice(&host, &dns, &here.addresses, "") {
            reply.line(line);
        }
    }
    if !told {
        reply.warn("The router has not confirmed yet; the old names answer until it does");
    }
    Ok(reply)
}

/// What DNS says of the names below a base domain; `None` for one that only means this machine.
async fn below(base: &str) -> Option<(Hostname, Resolves, dns::Here)> {
    let host: Hostname = format!("*.{base}").parse().ok()?;
    if base.ends_with("localhost") {
        return None;
    }
    let here = dns::here(base).await;
    let dns = dns::resolve(std::slice::from_ref(&host), &here).await.remove(&host).unwrap_or(Resolves::Unknown);
    // A base that resolves says itself where `here` is: only an address of this machine, or one it carries, is a proof.
    Some((host, dns, here))
}

/// The server's own names, which no app may have.
pub(super) fn reserved(c: &Commands) -> Vec<String> {
    vec![c.p.sites.ssh_host()]
}

/// What a name without a process type of its own is refused with.
pub(super) fn unknown_process(process: &domain::ProcessType, known: &[String]) -> Refusal {
    Refusal::new(Code::NoSuchProcessType, format!("the app has no process type {process}"))
        .why(format!("the current release has: {}", known.join(", ")))
        .next(format!("add a line `{process}: COMMAND` to the Procfile, commit and push"))
}
