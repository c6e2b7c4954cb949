//! `events`: who did what, from where, and how it ended. Read in pages and written as it is read, so that it takes the same
//! memory for a thousand rows and for all.

use crate::context::{Ask, Commands};
use crate::show::Pages;
use domain::refusal::Code;
use domain::{Refusal, audit, text};
use serde_json::{Value, json};
use store::{AuditFilter, AuditRow};
use system::clock::now;
use system::fault::Result;
use system::io::Io;
use verbs::args;

/// Rows read at a time.
const PAGE: u32 = 200;

pub async fn events(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let args: args::Events = ask.what().arguments()?;
    let app = ask.app().map(|a| a.id.clone());
    if app.is_none() && !ask.principal().is_admin() {
        let no = Refusal::new(Code::AppMissing, "name an app; all events are for administrators");
        return Err(no.next("events APP").next("apps:list").into());
    }
    let mut filter = AuditFilter {
        app,
        actor: args.user,
        since: args.since.as_deref().map(|typed| audit::since(typed, now())).transpose()?,
        before: None,
        max: PAGE,
    };
    let mut left = args.num;
    let counting = c.audit.flush().await?;
    let columns = ["WHEN", "WHO", "KEY", "FROM", "APP", "EXIT", "COMMAND"];
    let mut pages = Pages::new(&columns, "No events", ask.what().format);
    while left > 0 && !io.hangup.is_cancelled() {
        filter.max = left.min(PAGE);
        let asked = filter.clone();
        let mut page = c.p.store.read(move |tx| tx.audit(&asked)).await?;
        let Some((oldest, _)) = page.last() else { break };
        filter.before = Some(*oldest);
        left -= u32::try_from(page.len()).unwrap_or(left).min(left);
        for (id, row) in &mut page {
            if let Some(count) = counting.get(id).filter(|_| row.exit_code.is_none()) {
                (row.repeats, row.last_at, row.exit_code) = (Some(count.times), Some(count.last), count.code);
            }
        }
        // One that was to count and did not: what it was for has a row of its own.
        let rows: Vec<&AuditRow> =
            page.iter().map(|(_, row)| row).filter(|row| row.repeats != Some(0) || row.exit_code.is_none()).collect();
        let json: Vec<Value> = rows.iter().map(|row| json_of(row)).collect();
        pages.print(&rows.iter().map(|row| cells(row)).collect::<Vec<_>>(), &json, io).await;
    }
    pages.end(io).await;
    Ok(0)
}

fn json_of(row: &AuditRow) -> Value {
    json!({"at": row.at.rfc3339(), "actor": row.actor, "key": row.key, "key_name": row.key_name, "origin": row.origin,
        "app": row.app, "verb": row.verb, "line": row.line, "exit_code": row.exit_code,
        "repeats": row.repeats.unwrap_or(1), "last": row.last_at.map(|at| at.rfc3339())})
}

/// Names and lines come from others: nothing in them may move a reader's cursor.
fn cells(row: &AuditRow) -> Vec<String> {
    let key = if row.key_name.is_empty() { row.key.chars().take(15).collect() } else { row.key_name.clone() };
    // The port tells connections apart; people look for the address, programs get both.
    let from = row.origin.parse().map_or_else(|_| row.origin.clone(), |a: std::net::SocketAddr| a.ip().to_string());
    let end = row.exit_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
    let app = row.app.clone().unwrap_or_default();
    let line = match (row.repeats, row.last_at) {
        (None, _) | (Some(1), Some(_)) => row.line.clone(),
        (Some(0), _) | (Some(_), None) => format!("{}  (and again)", row.line),
        (Some(times), Some(last)) => format!("{}  ({times} times until {})", row.line, last.short()),
    };
    let cells = [row.at.short(), row.actor.clone(), key, from, app, end, line];
    cells.iter().map(|cell| text::plain(cell)).collect()
}
