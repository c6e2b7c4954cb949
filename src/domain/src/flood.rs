//! Audit rows of somebody who types the same again and again, or more than anybody reads: which command has a row of its
//! own, and which is counted in a row that is there.
//!
//! Invariant: before a command runs there is a row for it, its own or one that says "again, and again from here on". A
//! change that succeeds always gets a row of its own. What is counted is what was refused or only read.
//! Absent: the clock, rows, the store.

use crate::ids::AuditId;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// How long the same again is counted in one row.
const WINDOW_MILLIS: u64 = 60_000;
/// A row that counts is completed after this even if something that it counts still runs: that has one of its own then.
const LONGEST_MILLIS: u64 = 3_600_000;
/// Rows that somebody may leave at once; then one every [`REFILL_MILLIS`].
const BURST: u32 = 200;
/// Until somebody may leave another row.
const REFILL_MILLIS: u64 = 2_000;
/// Kinds and people that are remembered; of more nobody's rows are counted together.
const REMEMBERED_MAX: usize = 10_000;

/// What makes two commands the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Whose: a user's name, or a deploy key's fingerprint.
    pub who: String,
    /// From which host; empty where more than one line is counted together.
    pub from: String,
    /// The verb.
    pub verb: String,
    /// The app that is named; empty like `from`.
    pub app: String,
    /// The line; `None`: any line of this verb, for they are too many to keep each.
    pub line: Option<String>,
}

/// Where a command is noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a row of its own.
    Own(Kind),
    /// In a row for this and what follows, which is to be written now.
    Open(Kind),
    /// In the row of this id.
    Counted(Kind, AuditId),
}

/// What is known of a row that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many commands.
    pub times: u64,
    /// When the last of them ended.
    pub last: Timestamp,
    /// How it ended; `None` while none has.
    pub code: Option<u8>,
}

#[derive(Debug)]
struct Seen {
    since: Timestamp,
    row: Option<(AuditId, Count)>,
    under_way: u32,
}

#[derive(Debug)]
struct Purse {
    rows: u32,
    at: Timestamp,
}

/// What was typed lately.
#[derive(Debug, Default)]
pub struct Flood {
    seen: BTreeMap<Kind, Seen>,
    purses: BTreeMap<String, Purse>,
}

impl Flood {
    /// Where a command is noted that begins now.
    pub fn begin(&mut self, kind: Kind, now: Timestamp) -> Place {
        if let Some(place) = self.again(&kind, now) {
            return place;
        }
        if self.may_leave_a_row(&kind.who, now) {
            return Place::Own(kind);
        }
        let any = Kind { from: String::new(), app: String::new(), line: None, ..kind };
        if let Some(place) = self.again(&any, now) {
            return place;
        }
        self.remember(any.clone(), now);
        Place::Open(any)
    }

    fn again(&mut self, kind: &Kind, now: Timestamp) -> Option<Place> {
        let seen = self.seen.get_mut(kind)?;
        if now.millis_since(seen.since) >= WINDOW_MILLIS && seen.row.is_none() {
            self.seen.remove(kind);
            return None;
        }
        seen.under_way += 1;
        Some(match seen.row {
            Some((id, _)) => Place::Counted(kind.clone(), id),
            None => Place::Open(kind.clone()),
        })
    }

    fn may_leave_a_row(&mut self, who: &str, now: Timestamp) -> bool {
        let full = self.purses.len() >= REMEMBERED_MAX;
        if full && !self.purses.contains_key(who) {
            self.purses.retain(|_, purse| now.millis_since(purse.at) < u64::from(BURST) * REFILL_MILLIS);
        }
        let purse = self.purses.entry(who.to_owned()).or_insert(Purse { rows: BURST, at: now });
        let earned = now.millis_since(purse.at) / REFILL_MILLIS;
        if earned > 0 {
            purse.rows = u32::try_from(earned).unwrap_or(BURST).saturating_add(purse.rows).min(BURST);
            purse.at = now;
        }
        let left = purse.rows.checked_sub(1);
        purse.rows = left.unwrap_or(0);
        left.is_some()
    }

    fn remember(&mut self, kind: Kind, now: Timestamp) {
        if self.seen.len() >= REMEMBERED_MAX {
            self.seen.retain(|_, seen| seen.row.is_some() || now.millis_since(seen.since) < WINDOW_MILLIS);
        }
        let room = self.seen.len() < REMEMBERED_MAX || kind.line.is_none();
        if room {
            self.seen.insert(kind, Seen { since: now, row: None, under_way: 0 });
        }
    }

    /// The row of [`Place::Open`] was written.
    pub fn opened(&mut self, kind: &Kind, id: AuditId, now: Timestamp) {
        let seen = self.seen.entry(kind.clone()).or_insert(Seen { since: now, row: None, under_way: 1 });
        seen.since = now;
        seen.under_way = seen.under_way.max(1);
        seen.row = Some((id, Count { times: 0, last: now, code: None }));
    }

    /// The row of [`Place::Open`] could not be written.
    pub fn not_opened(&mut self, kind: &Kind) {
        if let Some(seen) = self.seen.get_mut(kind) {
            seen.under_way = seen.under_way.saturating_sub(1);
        }
    }

    /// A command with a row of its own ended. `counts`: it was refused or only read, so that the same again is counted.
    pub fn ended_own(&mut self, kind: Kind, counts: bool, now: Timestamp) {
        if counts && !self.seen.contains_key(&kind) {
            self.remember(kind, now);
        }
    }

    /// A command ended that was to be counted; whether it was. If not, it gets a row of its own after all.
    pub fn ended(&mut self, kind: &Kind, code: u8, counts: bool, now: Timestamp) -> bool {
        let Some(seen) = self.seen.get_mut(kind) else { return false };
        seen.under_way = seen.under_way.saturating_sub(1);
        let Some((_, count)) = seen.row.as_mut().filter(|_| counts) else { return false };
        *count = Count { times: count.times + 1, last: now, code: Some(code) };
        true
    }

    /// Rows that count and are to be completed now; from here on the same again begins anew.
    pub fn over(&mut self, now: Timestamp) -> Vec<(AuditId, Count)> {
        let mut over = Vec::new();
        self.seen.retain(|_, seen| {
            let age = now.millis_since(seen.since);
            let old = age >= WINDOW_MILLIS;
            match seen.row {
                Some((id, count)) if old && seen.under_way == 0 || age >= LONGEST_MILLIS => {
                    over.push((id, count));
                    false
                }
                Some(_) => true,
                None => !old,
            }
        });
        over
    }

    /// All rows that count, for no more is counted.
    pub fn end(&mut self) -> Vec<(AuditId, Count)> {
        std::mem::take(&mut self.seen).into_values().filter_map(|seen| seen.row).collect()
    }

    /// The rows that still count, for whoever reads them meanwhile.
    pub fn open(&self) -> BTreeMap<AuditId, Count> {
        self.seen.values().filter_map(|seen| seen.row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(who: &str, line: &str) -> Kind {
        let verb = line.split(' ').next().unwrap().to_owned();
        Kind { who: who.into(), from: "10.0.0.1".into(), verb, app: "blog".into(), line: Some(line.into()) }
    }

    const fn at(millis: i64) -> Timestamp {
        Timestamp(1_000_000_000 + millis * 1_000)
    }

    /// Types a command that ends with this code; says where it was noted.
    fn typed(flood: &mut Flood, who: &str, line: &str, code: u8, now: Timestamp, rows: &mut i64) -> &'static str {
        match flood.begin(kind(who, line), now) {
            Place::Own(kind) => {
                *rows += 1;
                flood.ended_own(kind, code != 0, now);
                "own"
            }
            Place::Open(kind) => {
                *rows += 1;
                flood.opened(&kind, AuditId(*rows), now);
                if flood.ended(&kind, code, code != 0, now) { "open" } else { "open, own" }
            }
            Place::Counted(kind, _) => {
                let counted = flood.ended(&kind, code, code != 0, now);
                *rows += i64::from(!counted);
                if counted { "counted" } else { "own after all" }
            }
        }
    }

    #[test]
    fn the_same_refusal_again_is_counted_for_a_while() {
        let (mut flood, mut rows) = (Flood::default(), 0);
        let mut said = |code, now| typed(&mut flood, "ana", "rollback blog v9", code, now, &mut rows);
        assert_eq!(
            [said(1, at(0)), said(1, at(1)), said(1, at(2)), said(2, at(3))],
            ["own", "open", "counted", "counted"]
        );
        // A change that succeeds is never only counted.
        assert_eq!([said(0, at(4)), said(1, at(5))], ["own after all", "counted"]);
        assert_eq!(flood.over(at(WINDOW_MILLIS as i64)), []);
        assert_eq!(flood.open().len(), 1);
        let over = flood.over(at(WINDOW_MILLIS as i64 + 1));
        assert_eq!(over, [(AuditId(2), Count { times: 4, last: at(5), code: Some(1) })]);
        assert!(flood.open().is_empty());
        assert_eq!(typed(&mut flood, "ana", "rollback blog v9", 1, at(70_000), &mut rows), "own");
    }

    #[test]
    fn changes_that_succeed_each_have_a_row() {
        let (mut flood, mut rows) = (Flood::default(), 0);
        for n in 0..100 {
            assert_eq!(typed(&mut flood, "ana", "maintenance:on blog", 0, at(n), &mut rows), "own");
        }
    }

    #[test]
    fn of_many_different_lines_the_verb_is_left() {
        let (mut flood, mut rows) = (Flood::default(), 0);
        for n in 0..10_000 {
            typed(&mut flood, "eve", &format!("rollback blog v{n}"), 1, at(n), &mut rows);
        }
        assert!(rows <= i64::from(BURST) + 10, "{rows} rows");
        // Somebody else is not touched by that, and a change of theirs still has its row.
        assert_eq!(typed(&mut flood, "ana", "rollback blog v1", 1, at(10_000), &mut rows), "own");
        assert_eq!(typed(&mut flood, "eve", "rollback blog v2000000", 0, at(9_999), &mut rows), "own after all");
        let lines: Vec<Option<String>> =
            flood.seen.keys().filter(|k| k.line.is_none()).map(|k| k.line.clone()).collect();
        assert_eq!(lines, [None]);
        // Later there is room again.
        assert_eq!(typed(&mut flood, "eve", "rollback blog x", 1, at(1_000_000), &mut rows), "own");
    }

    #[test]
    fn what_still_runs_keeps_its_row_open() {
        let mut flood = Flood::default();
        flood.ended_own(kind("ana", "ps:exec blog"), true, at(0));
        let Place::Open(open) = flood.begin(kind("ana", "ps:exec blog"), at(1)) else { panic!("not opened") };
        flood.opened(&open, AuditId(7), at(1));
        assert_eq!(flood.over(at(100_000)), []);
        assert_eq!(flood.begin(kind("ana", "ps:exec blog"), at(100_000)), Place::Counted(open.clone(), AuditId(7)));
        assert!(flood.ended(&open, 1, true, at(100_001)));
        assert!(flood.ended(&open, 1, true, at(100_002)));
        assert_eq!(flood.over(at(100_003)), [(AuditId(7), Count { times: 2, last: at(100_002), code: Some(1) })]);
        // Not for ever.
        flood.ended_own(kind("ana", "run blog"), true, at(0));
        let Place::Open(open) = flood.begin(kind("ana", "run blog"), at(1)) else { panic!("not opened") };
        flood.opened(&open, AuditId(8), at(1));
        assert_eq!(flood.over(at(LONGEST_MILLIS as i64 + 1)).len(), 1);
        assert!(!flood.ended(&open, 1, true, at(LONGEST_MILLIS as i64 + 2)), "it has a row of its own after all");
    }
}
