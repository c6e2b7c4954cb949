//! `events`: who did what, from where, and how it ended.

use super::show::List;
use super::{Ask, Commands};
use crate::clock::now;
use crate::fault::Result;
use crate::io::Io;
use crate::store::{AuditFilter, AuditRow};
use domain::{Refusal, audit, text};
use serde_json::json;

pub async fn events(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let args = &ask.what().args;
    let app = ask.app().map(|a| a.id.clone());
    if app.is_none() && !ask.principal().is_admin() {
        let no = Refusal::new("app-missing", "name an app; all events are for administrators");
        return Err(no.next("events APP").next("apps:list").into());
    }
    let filter = AuditFilter {
        app,
        actor: args.value("user").map(str::to_owned),
        since: args.value("since").map(|typed| audit::since(typed, now())).transpose()?,
        max: args.number("num", 50, 10_000)?,
    };
    c.audit.flush().await?;
    let rows = c.p.store.read(move |tx| tx.audit(&filter)).await?;
    let list = List {
        columns: &["WHEN", "WHO", "KEY", "FROM", "APP", "EXIT", "COMMAND"],
        rows: rows.iter().map(cells).collect(),
        json: rows
            .iter()
            .map(|r| {
                json!({"at": r.at.rfc3339(), "actor": r.actor, "key": r.key, "key_name": r.key_name, "origin": r.origin,
                    "app": r.app, "verb": r.verb, "line": r.line, "exit_code": r.exit_code})
            })
            .collect(),
        empty: "No events".to_owned(),
    };
    list.print(ask.what().format, io).await;
    Ok(0)
}

/// Names and lines come from others: nothing in them may move a reader's cursor.
fn cells(row: &AuditRow) -> Vec<String> {
    let key = if row.key_name.is_empty() { row.key.chars().take(15).collect() } else { row.key_name.clone() };
    // The port tells connections apart; people look for the address, programs get both.
    let from = row.origin.parse().map_or_else(|_| row.origin.clone(), |a: std::net::SocketAddr| a.ip().to_string());
    let end = row.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
    let app = row.app.clone().unwrap_or_default();
    let cells = [row.at.short(), row.actor.clone(), key, from, app, end, row.line.clone()];
    cells.iter().map(|cell| text::plain(cell)).collect()
}
