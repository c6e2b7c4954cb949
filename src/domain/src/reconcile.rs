//! What must be done so that what runs is what should run. Pure: rows and observations in, actions out.
//!
//! Invariant: nothing that carries no row of ours is ever named here unless it carries our installation's label, and an
//! instance that a deploy in progress owns is left to that deploy.

use crate::backoff;
use crate::names::InstanceId;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// What the store wants of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desire {
    /// A deploy in progress starts it and decides about it.
    Booting,
    /// It runs.
    Up,
    /// It is drained, stopped, removed.
    Retiring,
    /// It runs to its own end, once, and is then removed.
    Once,
}

/// A one-off instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Somebody in this process starts it, is connected to it or watches it.
    pub held: bool,
    /// It may go on without anybody: its end is noticed here.
    pub detached: bool,
    /// When its time is over.
    pub deadline: Timestamp,
}

/// An instance's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: InstanceId,
    /// Its name in the engine.
    pub name: String,
    /// Its address, where routes lead.
    pub address: Ipv4Addr,
    /// What is wanted.
    pub desire: Desire,
    /// Whether the router may send to it.
    pub ready: bool,
    /// Crashes in a row so far.
    pub crashes: u32,
    /// When it last ended, if it did.
    pub ended: Option<Timestamp>,
    /// What is known of it as a one-off instance.
    pub once: Option<Once>,
}

/// What the engine shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Made but not started.
    Created,
    /// Running.
    Running {
        /// Where it can be reached.
        addresses: Vec<Ipv4Addr>,
    },
    /// Ended.
    Exited,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is not there: make and start it, then wait until it is ready.
    Ensure(InstanceId),
    /// It ended: note the crash (routes change), then start it again when its time has come.
    NoteCrash(InstanceId),
    /// Its waiting time is over: start it again.
    StartAgain(InstanceId),
    /// It runs and was never seen ready since: find out.
    Probe(InstanceId),
    /// It runs, but not at its address (somebody cut its network): remove it and make it again.
    Replace(InstanceId),
    /// Drain, stop, remove.
    Retire(InstanceId),
    /// A one-off instance is over, or nobody is left who wants it: note how it ended, stop it if it runs, remove it.
    Collect(InstanceId, Over),
    /// Carries our label and no row, and no job in progress: remove.
    RemoveStray(String),
}

/// Why a one-off instance is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It has ended.
    Ended,
    /// It is not there, and nobody starts it.
    Gone,
    /// Whoever was connected to it is not there any more.
    Left,
    /// Its time is over.
    Late,
}

/// The actions of one pass, and the time in ms after which another look is needed even if nothing happens.
pub fn plan(
    rows: &[Row],
    seen: &BTreeMap<String, Seen>,
    jobs: &BTreeSet<String>,
    now: Timestamp,
) -> (Vec<Action>, Option<u64>) {
    let mut actions = Vec::new();
    let mut look_again: Option<u64> = None;
    for row in rows {
        match (row.desire, seen.get(&row.name)) {
            (Desire::Booting, _) => {}
            (Desire::Retiring, _) => actions.push(Action::Retire(row.id)),
            (Desire::Once, there) => match once_over(row.once, there, now) {
                Ok(over) => actions.push(Action::Collect(row.id, over)),
                Err(left) => look_again = Some(look_again.map_or(left, |l| l.min(left))),
            },
            (Desire::Up, None | Some(Seen::Created)) => match waits(row, now) {
                0 => actions.push(Action::Ensure(row.id)),
                left => look_again = Some(look_again.map_or(left, |l| l.min(left))),
            },
            (Desire::Up, Some(Seen::Running { addresses })) if !addresses.contains(&row.address) => {
                actions.push(Action::Replace(row.id));
            }
            (Desire::Up, Some(Seen::Running { .. })) if !row.ready => actions.push(Action::Probe(row.id)),
            (Desire::Up, Some(Seen::Running { .. })) => {}
            (Desire::Up, Some(Seen::Exited)) if row.ended.is_none() => actions.push(Action::NoteCrash(row.id)),
            (Desire::Up, Some(Seen::Exited)) => match waits(row, now) {
                0 => actions.push(Action::StartAgain(row.id)),
                left => look_again = Some(look_again.map_or(left, |l| l.min(left))),
            },
        }
    }
    let ours: BTreeSet<&str> = rows.iter().map(|r| r.name.as_str()).collect();
    actions.extend(
        seen.keys()
            .filter(|n| !ours.contains(n.as_str()) && !jobs.contains(*n))
            .map(|n| Action::RemoveStray(n.clone())),
    );
    (actions, look_again)
}

/// In how many ms a crashed instance is started again; 0 for one that has not crashed. Also where it was removed when it
/// ended, so that it begins with an empty disk.
fn waits(row: &Row, now: Timestamp) -> u64 {
    let Some(ended) = row.ended else { return 0 };
    backoff::restart_delay_millis(row.crashes, 0).saturating_sub(now.millis_since(ended))
}

/// Why a one-off instance is to be collected; or in how many ms to look again.
fn once_over(once: Option<Once>, there: Option<&Seen>, now: Timestamp) -> Result<Over, u64> {
    let Some(once) = once else { return Ok(Over::Gone) };
    let left = once.deadline.millis_since(now);
    match there {
        _ if left == 0 => Ok(Over::Late),
        // Whoever holds it sees its end itself.
        _ if once.held => Err(left),
        Some(Seen::Exited) => Ok(Over::Ended),
        None | Some(Seen::Created) => Ok(Over::Gone),
        Some(Seen::Running { .. }) if once.detached => Err(left),
        Some(Seen::Running { .. }) => Ok(Over::Left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, desire: Desire, ready: bool, crashes: u32, ended: Option<i64>) -> Row {
        Row {
            id: InstanceId(id),
            name: format!("n{id}"),
            address: Ipv4Addr::new(10, 0, 0, 1),
            desire,
            ready,
            crashes,
            ended: ended.map(|s| Timestamp(s * 1_000_000)),
            once: None,
        }
    }

    fn running() -> Seen {
        Seen::Running { addresses: vec![Ipv4Addr::new(10, 0, 0, 1)] }
    }

    #[test]
    fn one_off_instances() {
        let check = |held: bool, detached: bool, there: Option<&Seen>, now: i64, want: Result<Over, u64>| {
            let once = Once { held, detached, deadline: Timestamp(100_000_000) };
            let got = once_over(Some(once), there, Timestamp(now * 1_000_000));
            assert_eq!(got, want, "held {held}, detached {detached}, {there:?}, at {now}");
        };
        let (up, ended) = (running(), Seen::Exited);
        check(true, false, None, 50, Err(50_000));
        check(true, false, Some(&up), 50, Err(50_000));
        check(true, false, Some(&ended), 50, Err(50_000));
        check(true, false, Some(&up), 100, Ok(Over::Late));
        check(false, false, Some(&up), 50, Ok(Over::Left));
        check(false, true, Some(&up), 50, Err(50_000));
        check(false, true, Some(&up), 101, Ok(Over::Late));
        for detached in [false, true] {
            check(false, detached, Some(&ended), 50, Ok(Over::Ended));
            check(false, detached, Some(&Seen::Created), 50, Ok(Over::Gone));
            check(false, detached, None, 50, Ok(Over::Gone));
        }
    }

    #[test]
    fn each_case() {
        let rows = [
            row(1, Desire::Up, true, 0, None),
            row(2, Desire::Up, true, 0, None),
            row(3, Desire::Up, true, 0, None),
            row(4, Desire::Up, false, 1, Some(99)),
            row(5, Desire::Up, false, 4, Some(99)),
            row(6, Desire::Up, false, 0, None),
            row(7, Desire::Booting, false, 0, None),
            row(8, Desire::Retiring, true, 0, None),
            row(9, Desire::Booting, false, 0, None),
            row(10, Desire::Up, true, 0, None),
            row(11, Desire::Up, false, 1, Some(99)),
            row(12, Desire::Up, false, 4, Some(99)),
        ];
        let seen: BTreeMap<String, Seen> = [
            ("n1", running()),
            ("n3", Seen::Exited),
            ("n4", Seen::Exited),
            ("n5", Seen::Exited),
            ("n6", running()),
            ("n8", running()),
            ("n9", Seen::Exited),
            ("n10", Seen::Running { addresses: Vec::new() }),
            ("stray", running()),
            ("job", running()),
        ]
        .map(|(n, s)| (n.to_owned(), s))
        .into();
        let (actions, again) = plan(&rows, &seen, &["job".to_owned()].into(), Timestamp(100_000_000));
        assert_eq!(
            actions,
            [
                Action::Ensure(InstanceId(2)),
                Action::NoteCrash(InstanceId(3)),
                Action::StartAgain(InstanceId(4)),
                Action::Probe(InstanceId(6)),
                Action::Retire(InstanceId(8)),
                Action::Replace(InstanceId(10)),
                Action::Ensure(InstanceId(11)),
                Action::RemoveStray("stray".into()),
            ]
        );
        assert_eq!(again, Some(3_000));
    }
}
