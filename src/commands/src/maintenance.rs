//! `maintenance*` and `open`: what visitors of an app get, and where.

use crate::context::{Ask, Commands};
use crate::reply::Reply;
use domain::domains::own_first;
use domain::formation::WEB;
use domain::refusal::Code;
use domain::routing::{Maintenance, PAGE_MAX, fits};
use domain::{Hostname, Refusal};
use serde_json::json;
use std::time::Duration;
use system::clock::now;
use system::dns;
use system::fault::Result;
use system::io::Io;
use verbs::args;

/// How long a change waits for the router.
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// Own names that `open` looks at.
const OPEN_MAX: usize = 10;

pub async fn on(c: &Commands, ask: Ask, io: &mut Io) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let page = match ask.what().arguments::<args::MaintenanceOn>()?.page {
        true => Some(read_page(io).await?),
        false => None,
    };
    let (id, size) = (app.id.clone(), page.as_ref().map(String::len));
    let hosts =
        c.p.store
            .write(move |tx| {
                tx.set_maintenance(&tx.the_app(&id)?.id, Some(&Maintenance { page }), now())?;
                tx.domain_count(&id)
            })
            .await?;
    let told = c.p.routes.publish_app(&app.id, ROUTE_MAX).await;
    let mut reply = Reply::new();
    reply.did("maintenance", true);
    reply.did("routed", told);
    let whose = if size.is_some() { "your" } else { "our" };
    reply.line(format!("{} answers with {whose} maintenance page (503) now; its instances keep running", app.name));
    if size.is_some_and(|size| !fits(size, hosts)) {
        reply.warn(format!("The page is too large for {hosts} domains: visitors see ours instead"));
    }
    reply.line(format!("maintenance:off {} ends it", app.name));
    if !told {
        reply.warn("The router has not confirmed yet; the app is served until it does");
    }
    Ok(reply)
}

async fn read_page(io: &mut Io) -> Result<String> {
    let bytes = io.read_all(PAGE_MAX).await.map_err(|_| {
        Refusal::new(Code::PageTooLong, format!("a maintenance page has at most {} KiB", PAGE_MAX >> 10))
            .next("put images and styles elsewhere, or leave them out")
    })?;
    let html = String::from_utf8(bytes).map_err(|_| {
        Refusal::new(Code::PageNotText, "the page on standard input is not UTF-8 text")
            .next("maintenance:on APP --page < page.html")
    })?;
    if html.trim().is_empty() {
        return Err(Refusal::new(Code::PageEmpty, "no page came on standard input")
            .next("maintenance:on APP --page < page.html")
            .next("maintenance:on APP  (with our page)")
            .into());
    }
    Ok(html)
}

pub async fn off(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let was =
        c.p.store
            .write(move |tx| {
                let was = tx.maintenance(&id)?.is_some();
                tx.set_maintenance(&id, None, now())?;
                Ok(was)
            })
            .await?;
    let told = c.p.routes.publish_app(&app.id, ROUTE_MAX).await;
    let mut reply = Reply::new();
    reply.did("maintenance", false);
    reply.did("routed", told);
    let word = if was { "is out of maintenance" } else { "was not in maintenance" };
    reply.line(format!("{} {word}: {}", app.name, c.p.sites.url(&app.name)));
    if !told {
        reply.warn("The router has not confirmed yet; the page stays until it does");
    }
    Ok(reply)
}

pub async fn show(c: &Commands, ask: Ask) -> Result<Reply> {
    let id = ask.the_app()?.id.clone();
    let found = c.p.store.read(move |tx| tx.maintenance(&id)).await?;
    let page = match &found {
        Some((Maintenance { page: Some(_) }, _)) => "own",
        Some((Maintenance { page: None }, _)) => "ours",
        None => "none",
    };
    let since = found.as_ref().map(|(_, since)| since.rfc3339());
    let object = json!({"maintenance": found.is_some(), "since": since, "page": page});
    let mut rows = vec![("maintenance", if found.is_some() { "on" } else { "off" }.to_owned())];
    if let Some((_, since)) = &found {
        rows.push(("since", since.short()));
        rows.push(("page", page.to_owned()));
    }
    Ok(Reply::record(rows, object))
}

pub async fn open(c: &Commands, ask: Ask) -> Result<Reply> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let (domains, maintenance) =
        c.p.store.read(move |tx| Ok((tx.domains(&id, 1_000)?, tx.maintenance(&id)?.is_some()))).await?;
    let own: Vec<Hostname> = domains
        .iter()
        .filter(|d| d.process.as_str() == WEB && !d.host.is_wildcard())
        .take(OPEN_MAX)
        .map(|d| d.host.clone())
        .collect();
    let default = c.p.sites.url(&app.name);
    let mut url = default.clone();
    let mut warnings = Vec::new();
    if !own.is_empty() {
        let dns = dns::resolve(&own, &dns::here(&c.p.sites.base.get()).await).await;
        match own_first(&domains, &dns) {
            Some(host) => url = c.p.sites.host_url(host.as_str()),
            None => {
                let said = own.first().zip(own.first().and_then(|h| dns.get(h)));
                let said = said.map(|(host, dns)| format!("{host} {}", dns.words())).unwrap_or_default();
                warnings.push(format!("No domain of its own leads here: {said}"));
            }
        }
    }
    if maintenance {
        warnings.push(format!("{0} is in maintenance: maintenance:off {0}", app.name));
    }
    let own: Vec<String> = domains.iter().map(|d| d.host.to_string()).collect();
    let object = json!({"url": url, "default_url": default, "domains": own, "maintenance": maintenance});
    let mut reply = Reply::text(format!("{url}\n"), object);
    warnings.into_iter().for_each(|warning| reply.warn(warning));
    Ok(reply)
}
