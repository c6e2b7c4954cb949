//! Who gets in when many want to, and who goes for it. Pure.
//!
//! Only connections that wait are ever closed for others, never one whose request is being served. Room is made by the
//! source that holds most of what waits, so nobody's idle connections push out those of somebody who has few.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use crate::source::Source;

/// What a connection is doing; what comes first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    /// Nothing: no byte of a request is there.
    Idle,
    /// It has sent part of a head.
    Head,
    /// A request is being served, or a tunnel is open.
    Busy,
}

/// Connections of one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// All of them, in every worker.
    pub(crate) all: u32,
    /// Those of this worker that wait.
    pub(crate) waiting: u32,
    /// The most that there may be.
    pub(crate) most: u32,
}

/// What is known when somebody connects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The networks that the new one is of; none for a trusted proxy.
    pub(crate) networks: [Option<Count>; 2],
    /// Connections in this worker, and how many are its part of the whole.
    pub(crate) worker: Count,
    /// Something random, from 0 to 1.
    pub(crate) dice: f64,
}

/// Whether it gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    In,
    /// In, and its own network (the n-th) closes some that wait.
    ForOwn(usize),
    /// In, and those who hold most close some that wait.
    ForMost,
    /// Its network has enough at work.
    TooManyOfThem,
    /// All that this worker has are at work.
    Full,
}

/// Decides about a new connection.
///
/// Beyond half of what a network may have at work, it is refused ever more likely (random early drop), so that one who
/// holds its places for long leaves some chance to the neighbours behind the same address.
pub(crate) fn enter(arrival: &Arrival) -> Entry {
    let networks = arrival.networks.iter().enumerate().filter_map(|(n, count)| count.map(|c| (n, c)));
    let mut own = None;
    for (n, Count { all, waiting, most }) in networks {
        let (busy, soft) = (all.saturating_sub(waiting), most / 2);
        let over = f64::from(busy.saturating_sub(soft)) / f64::from((most - soft).max(1));
        if (all >= most && waiting == 0) || arrival.dice < over {
            return Entry::TooManyOfThem;
        }
        if all >= most {
            own = Some(n);
        }
    }
    let Count { all, waiting, most } = arrival.worker;
    match own {
        Some(n) => Entry::ForOwn(n),
        None if all < most => Entry::In,
        None if waiting > 0 => Entry::ForMost,
        None => Entry::Full,
    }
}

/// A connection that may be closed to make room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) source: Source,
    /// Of a trusted proxy: it goes last, for it waits on behalf of many.
    pub(crate) trusted: bool,
    pub(crate) at: At,
    /// Since when, in any unit.
    pub(crate) since: u64,
}

/// Which of them go, in that order: those of the network that has most, from its line that has most, the idle before those
/// within a head, the longest first.
pub(crate) fn leave(waiting: &[Waiting], want: usize) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..waiting.len()).filter(|n| waiting.get(*n).is_some_and(|w| w.at != At::Busy)).collect();
    // The last of each list is the first to go.
    order.sort_by_key(|n| Reverse(waiting.get(*n).map(|w| (w.at, w.since))));
    let since = |n: usize| waiting.get(n).map_or(0, |w| w.since);
    let mut sites: BTreeMap<(bool, Source), BTreeMap<Source, Vec<usize>>> = BTreeMap::new();
    for n in order {
        let Some(w) = waiting.get(n) else { continue };
        sites.entry((w.trusted, w.source.wide())).or_default().entry(w.source).or_default().push(n);
    }
    let mut gone = vec![];
    for trusted in [false, true] {
        let of_kind = sites.iter().filter(|((t, _), _)| *t == trusted);
        let site = |lines: &BTreeMap<Source, Vec<usize>>| {
            let mut order = level(lines.values().cloned().collect(), usize::MAX, since);
            order.reverse();
            order
        };
        gone.extend(level(of_kind.map(|(_, lines)| site(lines)).collect(), want.saturating_sub(gone.len()), since));
    }
    gone
}

/// Takes from the longest list until there is enough; of equally long ones, what has waited longest.
fn level(mut lists: Vec<Vec<usize>>, want: usize, since: impl Fn(usize) -> u64) -> Vec<usize> {
    let rank = |n: usize, list: &[usize]| list.last().map(|last| (list.len(), Reverse(since(*last)), n));
    let mut heap: BinaryHeap<_> = lists.iter().enumerate().filter_map(|(n, list)| rank(n, list)).collect();
    let mut taken = vec![];
    while taken.len() < want {
        let Some((_, _, n)) = heap.pop() else { break };
        let Some(list) = lists.get_mut(n) else { break };
        taken.extend(list.pop());
        heap.extend(rank(n, list));
    }
    taken
}

/// How many are closed at once when room is needed, so that finding them costs little for each.
pub(crate) fn batch(most: u32) -> usize {
    usize::try_from(most / 64).unwrap_or(0).clamp(1, 256)
}

/// Whether one more request of a source is served by a route that has so many at work. The last eighth of a route's places
/// is not for a source that has half of them already.
pub(crate) fn fair(at_work: u32, most: u32, own: impl FnOnce() -> u32) -> bool {
    at_work < most - most / 8 || own() < most / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_gets_in_and_a_crowd_makes_its_own_room() {
        let count = |all, waiting, most| Count { all, waiting, most };
        let check = |networks, worker, dice, want| {
            let arrival = Arrival { networks, worker, dice };
            assert_eq!(enter(&arrival), want, "{arrival:?}");
        };
        let few = Some(count(1, 1, 100));
        let room = count(10, 0, 1000);
        check([few, few], room, 0.0, Entry::In);
        check([None, None], room, 0.0, Entry::In);
        // The worker is full.
        check([few, few], count(1000, 900, 1000), 0.0, Entry::ForMost);
        check([few, few], count(1000, 1, 1000), 0.0, Entry::ForMost);
        check([few, few], count(1000, 0, 1000), 0.0, Entry::Full);
        check([None, None], count(1000, 0, 1000), 0.9, Entry::Full);
        // Its own network is full: that one makes room, whether the worker is full or not.
        check([Some(count(100, 60, 100)), few], room, 0.99, Entry::ForOwn(0));
        check([few, Some(count(400, 390, 400))], room, 0.0, Entry::ForOwn(1));
        check([Some(count(100, 100, 100)), few], count(1000, 500, 1000), 0.0, Entry::ForOwn(0));
        check([Some(count(100, 0, 100)), few], room, 0.99, Entry::TooManyOfThem);
        // Idle ones elsewhere do not count here: they are another worker's to close.
        check([Some(count(100, 0, 100)), few], count(5, 0, 1000), 0.99, Entry::TooManyOfThem);
        // Early drop: none up to half, ever more beyond.
        check([Some(count(50, 0, 100)), few], room, 0.0, Entry::In);
        check([Some(count(75, 0, 100)), few], room, 0.49, Entry::TooManyOfThem);
        check([Some(count(75, 0, 100)), few], room, 0.51, Entry::In);
        check([Some(count(99, 0, 100)), few], room, 0.97, Entry::TooManyOfThem);
        check([Some(count(99, 49, 100)), few], room, 0.0, Entry::In);
        // Odd limits divide nothing by nothing.
        check([Some(count(0, 0, 1)), None], count(0, 0, 1), 0.0, Entry::In);
        check([Some(count(0, 0, 0)), None], room, 0.5, Entry::TooManyOfThem);
    }

    /// `a10 b20h c5t`: who, since when; `h` within a head, `t` of a trusted proxy, `w` at work.
    fn gone(text: &str, want: usize) -> String {
        let words: Vec<&str> = text.split(' ').collect();
        let waiting: Vec<Waiting> = words
            .iter()
            .map(|word| {
                let (who, rest) = word.split_at(1);
                let at = if rest.contains('h') {
                    At::Head
                } else if rest.contains('w') {
                    At::Busy
                } else {
                    At::Idle
                };
                let n = u32::from(who.as_bytes()[0]);
                // Capitals are lines of one IPv6 site.
                let source = if who < "a" { Source::V6(u64::from(n) << 8, 56) } else { Source::V4(n) };
                let since = rest.trim_end_matches(['h', 't', 'w']).parse().unwrap();
                Waiting { source, trusted: rest.contains('t'), at, since }
            })
            .collect();
        leave(&waiting, want).into_iter().map(|n| words[n]).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn those_who_hold_most_lose_their_oldest() {
        for (text, want, expect) in [
            ("a1", 0, ""),
            ("a1w b2w", 9, ""),
            ("a9 a8 b1", 1, "a8"),
            ("a9 a8 a7 b1", 2, "a7 a8"),
            // Level with others, what has waited longest.
            ("a9 a8 a7 b1 b2", 5, "a7 b1 a8 b2 a9"),
            ("a3 b2 c1", 1, "c1"),
            // Idle before heads, both of the one who holds most.
            ("a5h a4 a3h b1", 3, "a4 a3h b1"),
            ("a1h a2h b1", 1, "a1h"),
            // What is at work counts for nothing and stays.
            ("a1w a2w a3w a4 b5 b6", 2, "b5 a4"),
            // A proxy that speaks for many goes last.
            ("t1t t2t t3t b9", 2, "b9 t1t"),
            // A site of many lines counts as one, and gives from its line that has most.
            ("A9 B8 C7 D6 D5 b1 b2 b3", 3, "D5 D6 b1"),
            ("A9 B8 b1 b2", 1, "b1"),
        ] {
            assert_eq!(gone(text, want), expect, "{want} of {text}");
        }
    }

    #[test]
    fn ten_thousand_are_looked_through_fast_and_fairly() {
        let from = |n: u32| Waiting { source: Source::V4(n % 3), trusted: false, at: At::Idle, since: u64::from(n) };
        let mut waiting: Vec<Waiting> = (0..9_999).map(from).collect();
        waiting.push(Waiting { source: Source::V4(7), ..from(0) });
        let gone = leave(&waiting, 9_996);
        assert_eq!(gone.len(), 9_996);
        let mut left = [0; 8];
        for n in (0..waiting.len()).filter(|n| !gone.contains(n)).take(10) {
            if let Source::V4(n) = waiting[n].source {
                left[n as usize] += 1;
            }
        }
        assert_eq!(left, [1, 1, 1, 0, 0, 0, 0, 1], "the lone one is among the last");
    }

    #[test]
    fn a_route_keeps_places_for_others() {
        for (at_work, own, want) in
            [(0, 0, true), (174, 174, true), (175, 99, true), (175, 100, false), (199, 0, true), (199, 150, false)]
        {
            assert_eq!(fair(at_work, 200, || own), want, "{own} of {at_work}");
        }
        assert!(fair(0, 1, || 0) && fair(1, 2, || 2) && fair(0, 2, || 2));
        assert_eq!((batch(0), batch(10_000), batch(u32::MAX)), (1, 156, 256));
    }
}
