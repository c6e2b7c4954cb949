//! Who is next where several wait for few places: round robin by person, then first come.
//!
//! Invariant: whoever asks for one thing at a time waits for one thing of everybody else's at most, however much these ask
//! for. Absent: what the places are for, the clock.

use std::collections::BTreeMap;

/// Who is at work, who waits, and whose turn was when. `P` is a person.
#[derive(Debug, Clone)]
pub struct Fair<P> {
    places: usize,
    /// Counts tickets and turns; both only grow.
    count: u64,
    waiting: BTreeMap<u64, Asks<P>>,
    at_work: BTreeMap<u64, P>,
    /// Each person's last turn, kept for as long as anybody waits or works: who comes back is not taken for new.
    turns: BTreeMap<P, u64>,
}

#[derive(Debug, Clone)]
struct Asks<P> {
    person: P,
    most: Option<u64>,
}

/// What one who waits is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// All places are taken, and this many go first.
    Behind(usize),
    /// The person has as many at work as they may.
    OwnLimit(u64),
}

impl<P: Ord + Clone> Fair<P> {
    /// With this many places, one at least.
    pub fn new(places: usize) -> Fair<P> {
        Fair {
            places: places.max(1),
            count: 0,
            waiting: BTreeMap::new(),
            at_work: BTreeMap::new(),
            turns: BTreeMap::new(),
        }
    }

    /// Asks for a place for `person`, who may have `most` at a time; gives a ticket.
    pub fn enter(&mut self, person: P, most: Option<u64>) -> u64 {
        self.count += 1;
        // With none allowed nothing would ever end the wait.
        self.waiting.insert(self.count, Asks { person, most: most.map(|most| most.max(1)) });
        self.count
    }

    /// Gives the next free place away; the ticket that got it. To be called until it gives `None`.
    pub fn admit(&mut self) -> Option<u64> {
        if self.at_work.len() >= self.places {
            return None;
        }
        let may = |asks: &&Asks<P>| asks.most.is_none_or(|most| self.working(&asks.person) < most);
        let ticket = self.first(|asks| may(&asks))?;
        let asks = self.waiting.remove(&ticket)?;
        self.count += 1;
        self.turns.insert(asks.person.clone(), self.count);
        self.at_work.insert(ticket, asks.person);
        Some(ticket)
    }

    /// Gives a place back, or no longer waits for one.
    pub fn leave(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
        self.at_work.remove(&ticket);
        if self.waiting.is_empty() && self.at_work.is_empty() {
            self.turns.clear();
        }
    }

    /// Whether a ticket has its place.
    pub fn has_place(&self, ticket: u64) -> bool {
        self.at_work.contains_key(&ticket)
    }

    /// How many a person has at work.
    pub fn working(&self, person: &P) -> u64 {
        self.at_work.values().filter(|other| *other == person).count() as u64
    }

    /// How many wait.
    pub fn waits(&self) -> usize {
        self.waiting.len()
    }

    /// Why a ticket waits; `None` if it does not.
    pub fn wait(&self, ticket: u64) -> Option<Wait> {
        let asks = self.waiting.get(&ticket)?;
        if let Some(most) = asks.most.filter(|most| self.working(&asks.person) >= *most) {
            return Some(Wait::OwnLimit(most));
        }
        // As if each that is at work ended just before the next begins.
        let mut later = self.clone();
        let mut before = 0;
        while let Some(next) = later.first(|_| true).filter(|next| *next != ticket) {
            let person = later.waiting.remove(&next)?.person;
            later.count += 1;
            later.turns.insert(person, later.count);
            before += 1;
        }
        Some(Wait::Behind(before))
    }

    /// Of those that fulfil `may`: the person whose turn was longest ago, and of theirs the first that came.
    fn first(&self, may: impl Fn(&Asks<P>) -> bool) -> Option<u64> {
        let key = |(ticket, asks): &(&u64, &Asks<P>)| (self.turns.get(&asks.person).copied().unwrap_or(0), **ticket);
        self.waiting.iter().filter(|(_, asks)| may(asks)).min_by_key(key).map(|(ticket, _)| *ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits and ends one after the other until nobody waits; who got places, in order.
    fn order(fair: &mut Fair<&'static str>) -> Vec<&'static str> {
        let mut got = Vec::new();
        while let Some(ticket) = fair.admit() {
            got.push(fair.at_work[&ticket]);
            fair.leave(ticket);
        }
        got
    }

    #[test]
    fn people_alternate_however_much_one_asks_for() {
        let mut fair = Fair::new(1);
        let first = fair.enter("ana", None);
        assert_eq!(fair.admit(), Some(first));
        let mine: Vec<u64> = (0..3).map(|_| fair.enter("ana", None)).collect();
        let bobs = fair.enter("bob", None);
        let eves = fair.enter("eve", None);
        assert_eq!(fair.admit(), None, "one place");
        assert_eq!(fair.wait(first), None);
        assert_eq!(
            [bobs, eves, mine[0], mine[2]].map(|ticket| fair.wait(ticket).unwrap()),
            [0, 1, 2, 4].map(Wait::Behind)
        );
        fair.leave(first);
        assert_eq!(order(&mut fair), ["bob", "eve", "ana", "ana", "ana"]);
    }

    #[test]
    fn who_comes_back_again_and_again_is_not_taken_for_new() {
        let mut fair = Fair::new(1);
        let busy = fair.enter("ana", None);
        fair.admit();
        fair.enter("bob", None);
        let second = fair.enter("bob", None);
        fair.leave(busy);
        assert!(fair.admit().is_some_and(|ticket| ticket < second), "bob's first");
        // Each of these comes when the one before is over, and would always go first with its last turn forgotten.
        let again = fair.enter("ana", None);
        fair.leave(second - 1);
        assert_eq!(fair.admit(), Some(again), "ana's turn was longer ago");
        fair.enter("ana", None);
        fair.leave(again);
        assert_eq!(fair.admit(), Some(second));
    }

    #[test]
    fn nobody_has_more_than_their_own_limit() {
        let mut fair = Fair::new(3);
        let tickets: Vec<u64> = (0..3).map(|_| fair.enter("ana", Some(2))).collect();
        assert_eq!((fair.admit(), fair.admit(), fair.admit()), (Some(tickets[0]), Some(tickets[1]), None));
        assert_eq!(fair.wait(tickets[2]), Some(Wait::OwnLimit(2)));
        let bobs = fair.enter("bob", Some(2));
        assert_eq!(fair.admit(), Some(bobs), "a place that one may not have is another's");
        fair.leave(tickets[0]);
        assert!(!fair.has_place(tickets[0]));
        assert_eq!(fair.admit(), Some(tickets[2]));
        assert_eq!((fair.working(&"ana"), fair.waits()), (2, 0));
        let none = fair.enter("eve", Some(0));
        fair.leave(bobs);
        assert_eq!(fair.admit(), Some(none), "a limit of none is one: else the wait never ends");
    }

    #[test]
    fn the_number_of_places_is_kept() {
        let mut fair = Fair::new(2);
        let tickets: Vec<u64> = ["a", "b", "c"].map(|who| fair.enter(who, None)).to_vec();
        assert_eq!((fair.admit(), fair.admit(), fair.admit()), (Some(tickets[0]), Some(tickets[1]), None));
        fair.leave(tickets[2]);
        assert_eq!(fair.waits(), 0, "who no longer waits is forgotten");
        fair.leave(tickets[1]);
        fair.leave(tickets[0]);
        assert!(fair.turns.is_empty());
        assert_eq!(Fair::<&str>::new(0).places, 1);
    }
}
