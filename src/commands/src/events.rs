//! `events`: what happened, and who did what, from where, and how it ended: two tables of the store as one list in the order of
//! time. Read in pages and written as it is read, so that it takes the same memory for a thousand rows and for all.

use crate::context::{Ask, Commands};
use crate::show::Pages;
use domain::event::{COMMAND, kinds};
use domain::flood::Count;
use domain::ids::AuditId;
use domain::refusal::Code;
use domain::{Refusal, audit, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use store::{AuditFilter, AuditRow, EventFilter, EventRow};
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
    let who = args.user;
    let since = args.since.as_deref().map(|typed| audit::since(typed, now())).transpose()?;
    let wanted = args.kinds.as_deref().map(|typed| kinds(typed, ask.app().map(|app| &app.name))).transpose()?;
    let mut left = args.num;
    let commands = AuditFilter { app: app.clone(), actor: who.clone(), since, before: None, max: PAGE };
    let happened = wanted.as_ref().map(|wanted| wanted.events.clone());
    let events = EventFilter { app, by: who, kinds: happened, since, before: None, max: PAGE };
    let mut timeline = Timeline {
        commands: wanted.as_ref().is_none_or(|wanted| wanted.commands).then_some(commands),
        events: wanted.as_ref().is_none_or(|wanted| !wanted.events.is_empty()).then_some(events),
        counting: c.audit.flush().await?,
        done: VecDeque::new(),
        happened: VecDeque::new(),
    };
    let columns = ["WHEN", "WHO", "KEY", "FROM", "APP", "EXIT", "WHAT"];
    let mut pages = Pages::new(&columns, "No events", ask.what().format);
    while left > 0 && !io.hangup.is_cancelled() {
        let page = timeline.page(c, left.min(PAGE)).await?;
        if page.is_empty() {
            break;
        }
        left -= u32::try_from(page.len()).unwrap_or(left).min(left);
        // One that was to count and did not: what it was for has a row of its own.
        let shown: Vec<&Row> = page.iter().filter(|row| row.counts()).collect();
        let json: Vec<Value> = shown.iter().map(|row| row.json()).collect();
        let cells: Vec<Vec<String>> = shown.iter().map(|row| row.cells()).collect();
        pages.print(&cells, &json, io).await;
    }
    pages.end(io).await;
    Ok(0)
}

/// A row of the list.
enum Row {
    Command(AuditRow),
    Event(EventRow),
}

/// Both tables, each as far as it was read.
struct Timeline {
    /// What is still to be read of each; `None`: nothing.
    commands: Option<AuditFilter>,
    events: Option<EventFilter>,
    /// Rows that stand for several commands and are still counted.
    counting: BTreeMap<AuditId, Count>,
    done: VecDeque<AuditRow>,
    happened: VecDeque<EventRow>,
}

impl Timeline {
    /// The next rows, newest first; none at the end.
    async fn page(&mut self, c: &Commands, max: u32) -> Result<Vec<Row>> {
        let mut page = Vec::new();
        while page.len() < max as usize {
            self.read(c).await?;
            let command_next = match (self.done.front(), self.happened.front()) {
                (Some(command), Some(event)) => command.at > event.at,
                (command, _) => command.is_some(),
            };
            let next = match command_next {
                true => self.done.pop_front().map(Row::Command),
                false => self.happened.pop_front().map(Row::Event),
            };
            match next {
                Some(row) => page.push(row),
                None => break,
            }
        }
        Ok(page)
    }

    /// Reads on where all that was read is given out.
    async fn read(&mut self, c: &Commands) -> Result<()> {
        if let Some(filter) = self.commands.clone().filter(|_| self.done.is_empty()) {
            let asked = filter.clone();
            let rows = c.p.store.read(move |tx| tx.audit(&asked)).await?;
            self.commands = rows.last().map(|(oldest, _)| AuditFilter { before: Some(*oldest), ..filter });
            for (id, mut row) in rows {
                if let Some(count) = self.counting.get(&id).filter(|_| row.exit_code.is_none()) {
                    (row.repeats, row.last_at, row.exit_code) = (Some(count.times), Some(count.last), count.code);
                }
                self.done.push_back(row);
            }
        }
        if let Some(filter) = self.events.clone().filter(|_| self.happened.is_empty()) {
            let asked = filter.clone();
            let rows = c.p.store.read(move |tx| tx.events(&asked)).await?;
            self.events = rows.last().map(|oldest| EventFilter { before: Some(oldest.seq), ..filter });
            self.happened.extend(rows);
        }
        Ok(())
    }
}

impl Row {
    fn counts(&self) -> bool {
        match self {
            Row::Command(row) => row.repeats != Some(0) || row.exit_code.is_none(),
            Row::Event(_) => true,
        }
    }

    fn json(&self) -> Value {
        match self {
            Row::Command(row) => {
                json!({"kind": COMMAND, "at": row.at.rfc3339(), "actor": row.actor, "key": row.key, "key_name": row.key_name,
                "origin": row.origin, "app": row.app, "verb": row.verb, "line": row.line, "exit_code": row.exit_code,
                "repeats": row.repeats.unwrap_or(1), "last": row.last_at.map(|at| at.rfc3339())})
            }
            Row::Event(row) => {
                let mut value = fields(row);
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("seq".to_owned(), row.seq.0.into());
                    fields.insert("at".to_owned(), row.at.rfc3339().into());
                    fields.insert("app".to_owned(), row.app_name.as_ref().map(ToString::to_string).into());
                }
                value
            }
        }
    }

    /// Names and lines come from others: nothing in them may move a reader's cursor.
    fn cells(&self) -> Vec<String> {
        let cells = match self {
            Row::Command(row) => command_cells(row),
            Row::Event(row) => {
                let by = fields(row).get("by").and_then(Value::as_str).unwrap_or("-").to_owned();
                let app = row.app_name.as_ref().map(ToString::to_string).unwrap_or_default();
                [row.at.short(), by, String::new(), String::new(), app, String::new(), row.event.text()]
            }
        };
        cells.iter().map(|cell| text::plain(cell)).collect()
    }
}

/// The fields of what happened, as JSON.
fn fields(row: &EventRow) -> Value {
    serde_json::to_value(&row.event).unwrap_or_default()
}

fn command_cells(row: &AuditRow) -> [String; 7] {
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
    [row.at.short(), row.actor.clone(), key, from, app, end, line]
}
