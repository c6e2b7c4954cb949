//! Events, and how far each of their readers has come.
//!
//! Invariant: an event is written in the transaction that makes it true ([`Tx::happened`]), so it is there if and only if that
//! is. A reader goes on behind what it has told: nothing is taken away that one has still to read, unless it is
//! [`BEHIND_MAX`] behind, which is said.

use super::columns;
use crate::tx::{Result, Tx};
use domain::audit::{self, Keep};
use domain::event::Event;
use domain::ids::EventId;
use domain::{AppId, AppName, Timestamp};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params, params_from_iter};
use std::collections::BTreeMap;

/// Events that one reader may be behind; what is older is not kept for it.
const BEHIND_MAX: i64 = 100_000;
/// Rows taken away at a time: the one writer is not held up.
const BATCH: i64 = 10_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its number: later ones have larger ones.
    pub seq: EventId,
    /// When.
    pub at: Timestamp,
    /// To which app; `None`: to the server.
    pub app: Option<AppId>,
    /// The app's name at that time.
    pub app_name: Option<AppName>,
    /// What.
    pub event: Event,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of one app, or of all and the server.
    pub app: Option<AppId>,
    /// Those that somebody of this name brought about.
    pub by: Option<String>,
    /// Of these kinds only.
    pub kinds: Option<Vec<&'static str>>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Older than this one: the next page.
    pub before: Option<EventId>,
    /// At most so many, the newest.
    pub max: u32,
}

/// What [`Tx::trim_events`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many rows went.
    pub rows: usize,
    /// Readers that were too far behind, and how many events each will never read.
    pub lost: Vec<(String, u64)>,
}

const COLUMNS: &str = "seq, at, app_id, app_name, kind, data";

fn event(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let some = |column| row.get::<_, Option<String>>(column);
    let found = EventRow {
        seq: columns::id(row, 0)?,
        at: Timestamp(row.get(1)?),
        app: some(2)?.map(|_| columns::parsed(row, 2)).transpose()?,
        app_name: some(3)?.map(|_| columns::parsed(row, 3)).transpose()?,
        event: columns::json(row, 5)?,
    };
    let kind: String = row.get(4)?;
    match kind == found.event.kind() {
        true => Ok(found),
        false => Err(columns::bad(4, format!("{kind:?} is not the kind of what the row holds").into())),
    }
}

impl Tx<'_> {
    /// Notes what this transaction makes true.
    pub fn happened(&self, app: Option<&AppId>, event: &Event, now: Timestamp) -> Result<()> {
        let sql = "INSERT INTO events (at, app_id, app_name, kind, data)
                   VALUES (?1, ?2, (SELECT name FROM apps WHERE id = ?2), ?3, ?4)";
        let data = serde_json::to_string(event)?;
        self.execute(sql, params![now.0, app.map(AppId::as_str), event.kind(), data])?;
        self.2.set(true);
        Ok(())
    }

    /// The newest events that match, newest first.
    pub fn events(&self, filter: &EventFilter) -> Result<Vec<EventRow>> {
        // Of one app by its index: most of the table may be of others.
        let which = if filter.app.is_some() { "app_id = ?1" } else { "?1 IS NULL" };
        let kinds = filter.kinds.as_deref().unwrap_or_default();
        let places: Vec<String> = (6..).take(kinds.len()).map(|n| format!("?{n}")).collect();
        let among = match &filter.kinds {
            Some(_) => format!("AND kind IN ({})", places.join(", ")),
            None => String::new(),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE {which} AND (?2 IS NULL OR json_extract(data, '$.by') = ?2)
             AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR seq < ?4) {among} ORDER BY seq DESC LIMIT ?5"
        );
        let text = |text: &str| Value::from(text.to_owned());
        let mut values = vec![
            filter.app.as_ref().map_or(Value::Null, |app| text(app.as_str())),
            filter.by.as_deref().map_or(Value::Null, text),
            filter.since.map_or(Value::Null, |at| at.0.into()),
            filter.before.map_or(Value::Null, |seq| seq.0.into()),
            i64::from(filter.max).into(),
        ];
        values.extend(kinds.iter().map(|kind| text(kind)));
        let mut statement = self.0.prepare(&sql)?;
        Ok(statement.query_map(params_from_iter(values), event)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The events after this one, oldest first: what a reader reads next.
    pub fn events_after(&self, seq: EventId, max: u32) -> Result<Vec<EventRow>> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.0.prepare_cached(&sql)?;
        Ok(statement.query_map(params![seq.0, max], event)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The newest event; 0 where there was none yet.
    pub fn newest_event(&self) -> Result<EventId> {
        // Not of the rows: all of them may have become too old.
        let sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
        Ok(self.0.prepare_cached(sql)?.query_row([], |row| columns::id(row, 0))?)
    }

    /// The last event that a reader has told; one that is new begins with what happens from now on.
    pub fn event_reader(&self, name: &str) -> Result<EventId> {
        let sql = "SELECT seq FROM event_readers WHERE name = ?1";
        let found = self.0.prepare_cached(sql)?.query_row([name], |row| columns::id(row, 0)).optional()?;
        found.map_or_else(|| self.newest_event(), Ok)
    }

    /// Notes that a reader has told everything up to this event. It never goes back.
    pub fn advance_reader(&self, name: &str, seq: EventId) -> Result<()> {
        let sql = "INSERT INTO event_readers (name, seq) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)";
        self.execute(sql, params![name, seq.0])?;
        Ok(())
    }

    /// Removes a batch of what need not be kept: what is too old, and of too many rows the oldest of the app that has most.
    pub fn trim_events(&self, keep: Keep, now: Timestamp) -> Result<Trimmed> {
        let lost = self.leave_behind()?;
        let newest = self.newest_event()?;
        let sql = "SELECT coalesce(min(seq), ?1) FROM event_readers";
        let read: EventId = self.0.query_row(sql, [newest.0], |row| columns::id(row, 0))?;
        let sql = "DELETE FROM events WHERE seq IN
                   (SELECT seq FROM events WHERE at < ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)";
        let old = self.execute(sql, params![audit::oldest_kept(keep, now).0, read.0, BATCH])?;
        let count: i64 = self.0.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        if old > 0 || u64::try_from(count).unwrap_or(0) <= keep.rows {
            return Ok(Trimmed { rows: old, lost });
        }
        // Those of the server count as those of one more app.
        let mut statement = self.0.prepare_cached("SELECT coalesce(app_id, ''), count(*) FROM events GROUP BY 1")?;
        let counts = statement
            .query_map([], |row| Ok((row.get(0)?, columns::number(row, 1)?)))?
            .collect::<rusqlite::Result<BTreeMap<String, u64>>>()?;
        let mut rows = 0;
        for (app, surplus) in audit::surplus(keep, &counts) {
            let sql = "DELETE FROM events WHERE seq IN
                       (SELECT seq FROM events WHERE coalesce(app_id, '') = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)";
            rows += self.execute(sql, params![app, read.0, surplus])?;
        }
        Ok(Trimmed { rows, lost })
    }

    /// Moves readers that are too far behind on to what is kept for them.
    fn leave_behind(&self) -> Result<Vec<(String, u64)>> {
        let first = EventId(self.newest_event()?.0.saturating_sub(BEHIND_MAX));
        let mut statement = self.0.prepare_cached("SELECT name, ?1 - seq FROM event_readers WHERE seq < ?1")?;
        let lost = statement
            .query_map([first.0], |row| Ok((row.get(0)?, columns::number(row, 1)?)))?
            .collect::<rusqlite::Result<Vec<(String, u64)>>>()?;
        for (name, _) in &lost {
            self.advance_reader(name, first)?;
        }
        Ok(lost)
    }

    /// Whether something of the server's was well when it was last noted.
    pub fn is_well(&self, what: &str) -> Result<bool> {
        Ok(self.meta(&format!("unwell-{what}"))?.is_none())
    }

    /// Notes whether something of the server's is well, and tells the event if that is news. What was noted outlives a restart,
    /// so that nobody is told twice.
    pub fn note_health(&self, what: &str, well: bool, event: &Event, now: Timestamp) -> Result<()> {
        if self.is_well(what)? == well {
            return Ok(());
        }
        let key = format!("unwell-{what}");
        match well {
            true => drop(self.execute("DELETE FROM meta WHERE key = ?1", [&key])?),
            false => self.set_meta(&key, &now.0.to_string())?,
        }
        self.happened(None, event, now)
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
