//! `maintenance*` and `open`: what visitors of an app get, and where.

use crate::context::{Ask, Commands};
use crate::show::{self, pairs};
use domain::domains::own_first;
use domain::formation::WEB;
use domain::refusal::Code;
use domain::routing::{Maintenance, PAGE_MAX, fits};
use domain::{Hostname, Refusal, text};
use serde_json::json;
use std::time::Duration;
use system::clock::now;
use system::dns;
use system::fault::Result;
use system::io::Io;
use verbs::{Format, args};

/// How long a change waits for the router.
const ROUTE_MAX: Duration = Duration::from_secs(10);
/// Own names that `open` looks at.
const OPEN_MAX: usize = 10;

pub async fn on(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
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
    io.did("maintenance", true);
    io.did("routed", told);
    let whose = if size.is_some() { "your" } else { "our" };
    io.line(format!("{} answers with {whose} maintenance page (503) now; its instances keep running", app.name)).await;
    if size.is_some_and(|size| !fits(size, hosts)) {
        io.note(text::warning(&format!("The page is too large for {hosts} domains: visitors see ours instead"))).await;
    }
    io.line(format!("maintenance:off {} ends it", app.name)).await;
    if !told {
        io.note(text::warning("The router has not confirmed yet; the app is served until it does")).await;
    }
    Ok(0)
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

pub async fn off(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
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
    io.did("maintenance", false);
    io.did("routed", told);
    let word = if was { "is out of maintenance" } else { "was not in maintenance" };
    io.line(format!("{} {word}: {}", app.name, c.p.sites.url(&app.name))).await;
    if !told {
        io.note(text::warning("The router has not confirmed yet; the page stays until it does")).await;
    }
    Ok(0)
}

pub async fn show(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
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
    pairs(ask.what().format, io, rows, object).await;
    Ok(0)
}

pub async fn open(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
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
    if !own.is_empty() {
        let dns = dns::resolve(&own, &dns::here(&c.p.sites.base.get()).await).await;
        match own_first(&domains, &dns) {
            Some(host) => url = c.p.sites.host_url(host.as_str()),
            None => {
                let said = own.first().zip(own.first().and_then(|h| dns.get(h)));
                let said = said.map(|(host, dns)| format!("{host} {}", dns.words())).unwrap_or_default();
                io.note(text::warning(&format!("No domain of its own leads here: {said}"))).await;
            }
        }
    }
    if maintenance {
        io.note(text::warning(&format!("{0} is in maintenance: maintenance:off {0}", app.name))).await;
    }
    match ask.what().format {
        Format::Json => {
            let own: Vec<String> = domains.iter().map(|d| d.host.to_string()).collect();
            let object = json!({"url": url, "default_url": default, "domains": own, "maintenance": maintenance});
            show::json(io, &object).await;
        }
        Format::Text => io.line(url).await,
    }
    Ok(0)
}
