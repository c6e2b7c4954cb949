//! The door of a worker: counts who is inside, lets in, and sends away those who wait, as `crowd` decides.
//!
//! Connections of one source are counted over all workers, in atomics; how many a worker has in all, and requests of one
//! source, each counts for itself, up to its part of the whole. A connection is looked at only when room is needed, so a
//! request costs here a few cells.

mod census;
mod report;
#[cfg(test)]
mod tests;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
};

use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

pub(crate) use self::census::Census;
use self::{census::Able, report::Report};
use super::crowd::{self, Arrival, At, Count, Entry, Waiting};
use crate::{
    config::Limits,
    source::{Network, Source, trusted},
};

/// One network as this worker sees it.
#[derive(Default)]
struct Crowd {
    /// Connections and requests that point here.
    members: Cell<u32>,
    waiting: Cell<u32>,
    /// Requests that are being served.
    at_work: Cell<u32>,
}

/// A connection as others see it.
struct Seat {
    source: Source,
    trusted: bool,
    crowds: [Rc<Crowd>; 2],
    at: Cell<At>,
    since: Cell<Instant>,
    /// It is to end, and is not counted any more.
    away: Cell<bool>,
    wake: Notify,
    /// Whose request it serves, and of which route.
    serves: Cell<Option<(Source, usize)>>,
}

/// A connection's place inside; given back when dropped.
pub(crate) struct Guest {
    door: Rc<Door>,
    seat: Rc<Seat>,
    slot: usize,
}

/// A request of a source, counted until dropped.
pub(crate) struct AtWork {
    door: Rc<Door>,
    source: Source,
    crowd: Rc<Crowd>,
}

pub(crate) struct Door {
    /// The worker's part of all connections.
    share: u32,
    /// Which worker this is, and what the census says of it.
    me: usize,
    able: Cell<Able>,
    per_source: u32,
    requests: u32,
    trusted: Arc<[Network]>,
    census: Arc<Census>,
    seats: RefCell<Seats>,
    crowds: RefCell<HashMap<Source, Rc<Crowd>>>,
    inside: Cell<u32>,
    waiting: Cell<u32>,
    began: Instant,
    dice: (RandomState, Cell<u64>),
    since_report: RefCell<Report>,
    notes: mpsc::Sender<String>,
}

#[derive(Default)]
struct Seats {
    all: Vec<Option<Rc<Seat>>>,
    free: Vec<usize>,
}

impl Door {
    pub(crate) fn new(
        limits: &Limits,
        (me, workers): (usize, usize),
        trusted: Arc<[Network]>,
        census: Arc<Census>,
        notes: mpsc::Sender<String>,
    ) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let part = |n: usize| count(n.div_ceil(workers.max(1)));
        Self {
            share: part(limits.connections),
            me,
            able: Cell::new(Able::Room),
            per_source: count(limits.per_source),
            requests: part(limits.per_source_requests),
            trusted,
            census,
            seats: RefCell::default(),
            crowds: RefCell::default(),
            inside: Cell::new(0),
            waiting: Cell::new(0),
            began: Instant::now(),
            dice: (RandomState::new(), Cell::new(0)),
            since_report: RefCell::default(),
            notes,
        }
    }

    /// Another worker can do more for the next connection: it has a place, or one that waits to close for it.
    pub(crate) fn leaves_to_others(&self) -> bool {
        let able = self.able.get();
        able > Able::Room && self.census.exceeds(able)
    }

    /// Lets the others know what this worker can do.
    fn publish(&self) {
        let able = match (self.inside.get() < self.share, self.waiting.get()) {
            (true, _) => Able::Room,
            (false, 1..) => Able::Full,
            (false, 0) => Able::Stuck,
        };
        if self.able.replace(able) != able {
            self.census.publish(self.me, able);
        }
    }

    /// Lets a connection in, if need be by closing others that wait.
    pub(crate) fn enter(self: &Rc<Self>, peer: IpAddr) -> Option<Guest> {
        let source = Source::of(peer);
        let trusted = trusted(&self.trusted, peer);
        let networks = self.networks(source).map(|(network, most)| {
            let waiting = self.crowds.borrow().get(&network).map_or(0, |c| c.waiting.get());
            Count { all: self.census.of(network), waiting, most }
        });
        let narrow_only = source.wide() == source;
        let [narrow, wide] = networks;
        let networks = [(!trusted).then_some(narrow), (!trusted && !narrow_only).then_some(wide)];
        let worker = Count { all: self.inside.get(), waiting: self.waiting.get(), most: self.share };
        let entry = crowd::enter(&Arrival { networks, worker, dice: self.roll() });
        match entry {
            Entry::In => {}
            Entry::ForOwn(n) => {
                let (network, most) = if n == 0 { (source, narrow.most) } else { (source.wide(), wide.most) };
                self.make_room(crowd::batch(most), |s| s.source == network || s.source.wide() == network);
            }
            Entry::ForMost => self.make_room(crowd::batch(self.share), |_| true),
            Entry::TooManyOfThem => {
                self.since_report.borrow_mut().refused(source);
                return None;
            }
            Entry::Full => {
                self.since_report.borrow_mut().full();
                return None;
            }
        }
        Some(self.seat(source, trusted))
    }

    fn networks(&self, source: Source) -> [(Source, u32); 2] {
        [(source, self.per_source), (source.wide(), self.per_source.saturating_mul(4))]
    }

    fn roll(&self) -> f64 {
        let (keys, count) = &self.dice;
        count.set(count.get().wrapping_add(1));
        let bits = u32::try_from(keys.hash_one(count.get()) >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    fn seat(self: &Rc<Self>, source: Source, trusted: bool) -> Guest {
        let crowds = [self.crowd(source), self.crowd(source.wide())];
        let seat = Rc::new(Seat {
            source,
            trusted,
            crowds,
            at: Cell::new(At::Idle),
            since: Cell::new(Instant::now()),
            away: Cell::new(false),
            wake: Notify::new(),
            serves: Cell::new(None),
        });
        self.count(&seat);
        let mut seats = self.seats.borrow_mut();
        let slot = match seats.free.pop() {
            Some(slot) => slot,
            None => {
                seats.all.push(None);
                seats.all.len() - 1
            }
        };
        if let Some(place) = seats.all.get_mut(slot) {
            *place = Some(seat.clone());
        }
        Guest { door: self.clone(), seat, slot }
    }

    fn crowd(&self, source: Source) -> Rc<Crowd> {
        let crowd = self.crowds.borrow_mut().entry(source).or_default().clone();
        crowd.members.set(crowd.members.get() + 1);
        crowd
    }

    fn forget(&self, source: Source, crowd: &Crowd) {
        crowd.members.set(crowd.members.get().saturating_sub(1));
        if crowd.members.get() == 0 {
            self.crowds.borrow_mut().remove(&source);
        }
    }

    fn count(&self, seat: &Seat) {
        self.inside.set(self.inside.get() + 1);
        self.census.enter(seat.source);
        if seat.source.wide() != seat.source {
            self.census.enter(seat.source.wide());
        }
        if seat.at.get() != At::Busy {
            self.wait(seat, true);
        }
        self.publish();
    }

    fn uncount(&self, seat: &Seat) {
        self.inside.set(self.inside.get().saturating_sub(1));
        self.census.leave(seat.source);
        if seat.source.wide() != seat.source {
            self.census.leave(seat.source.wide());
        }
        if seat.at.get() != At::Busy {
            self.wait(seat, false);
        }
        self.publish();
    }

    /// One more that waits, or one less.
    fn wait(&self, seat: &Seat, more: bool) {
        let step = |n: &Cell<u32>| n.set(if more { n.get() + 1 } else { n.get().saturating_sub(1) });
        step(&self.waiting);
        let [narrow, wide] = &seat.crowds;
        step(&narrow.waiting);
        // For IPv4 both are the same.
        if !Rc::ptr_eq(narrow, wide) {
            step(&wide.waiting);
        }
    }

    /// Closes so many of those that wait and fit.
    pub(crate) fn make_room(&self, want: usize, fits: impl Fn(Waiting) -> bool) {
        let seats = self.seats.borrow();
        let stands = |seat: &Rc<Seat>| {
            let since = seat.since.get().saturating_duration_since(self.began).as_micros();
            let since = u64::try_from(since).unwrap_or(u64::MAX);
            Waiting { source: seat.source, trusted: seat.trusted, at: seat.at.get(), since }
        };
        let there = seats.all.iter().flatten().filter(|seat| seat.at.get() != At::Busy && !seat.away.get());
        let fitting: Vec<&Rc<Seat>> = there.filter(|seat| fits(stands(seat))).collect();
        let waiting: Vec<Waiting> = fitting.iter().map(|seat| stands(seat)).collect();
        for n in crowd::leave(&waiting, want) {
            let Some(seat) = fitting.get(n) else { continue };
            self.uncount(seat);
            seat.away.set(true);
            seat.wake.notify_one();
            self.since_report.borrow_mut().closed(seat.source);
        }
    }

    /// Closes some of those that wait: there is nothing left to open files with.
    pub(crate) fn make_any_room(&self) {
        self.make_room(crowd::batch(self.share), |_| true);
    }

    /// How many requests of the source a route serves here.
    pub(crate) fn at_work_on(&self, source: Option<Source>, route: usize) -> u32 {
        let Some(source) = source else { return 0 };
        let seats = self.seats.borrow();
        let on_it = seats.all.iter().flatten().filter(|seat| seat.serves.get() == Some((source, route)));
        u32::try_from(on_it.count()).unwrap_or(u32::MAX)
    }

    /// Whether the address is a proxy's whose word counts.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        trusted(&self.trusted, peer)
    }

    pub(crate) fn proxies(&self) -> &[Network] {
        &self.trusted
    }

    /// Says in one line what happened since the last, if anything did.
    pub(crate) fn report(&self) {
        let line = self.since_report.take().line();
        if !line.is_empty() {
            // Nobody to listen, or too slow: the line is lost, no request waits for it.
            let _ = self.notes.try_send(line);
        }
    }
}

impl Guest {
    pub(crate) fn turn(&self, at: At) {
        let seat = &*self.seat;
        if seat.away.get() {
            if at != At::Busy {
                return;
            }
            // Its request came before it saw that it was to go: it is served.
            seat.away.set(false);
            self.door.count(seat);
        }
        let before = seat.at.replace(at);
        if (before == At::Busy) != (at == At::Busy) {
            self.door.wait(seat, at != At::Busy);
            self.door.publish();
        }
        if before != at && at != At::Busy {
            seat.since.set(Instant::now());
        }
    }

    /// Returns when the connection is to end for others.
    pub(crate) async fn sent_away(&self) {
        loop {
            if self.seat.away.get() {
                return;
            }
            self.seat.wake.notified().await;
        }
    }

    /// Begins a request of a source; an error if that has too many at once. Without a source nothing is counted.
    pub(crate) fn begin(&self, source: Option<Source>) -> Result<Option<AtWork>, ()> {
        let Some(source) = source else { return Ok(None) };
        let door = &self.door;
        let crowd = door.crowd(source);
        let at_work = AtWork { door: door.clone(), source, crowd };
        let count = &at_work.crowd.at_work;
        count.set(count.get() + 1);
        if count.get() > door.requests {
            door.since_report.borrow_mut().request_refused(source);
            return Err(());
        }
        Ok(Some(at_work))
    }

    /// Whose request it serves on which route.
    pub(crate) fn serves(&self, whose: Option<(Source, usize)>) {
        self.seat.serves.set(whose);
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let count = &self.crowd.at_work;
        count.set(count.get().saturating_sub(1));
        self.door.forget(self.source, &self.crowd);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let (door, seat) = (&self.door, &*self.seat);
        if !seat.away.get() {
            door.uncount(seat);
        }
        let [narrow, wide] = &seat.crowds;
        door.forget(seat.source, narrow);
        door.forget(seat.source.wide(), wide);
        let mut seats = door.seats.borrow_mut();
        if let Some(place) = seats.all.get_mut(self.slot) {
            *place = None;
        }
        seats.free.push(self.slot);
        if seats.free.len() == seats.all.len() {
            *seats = Seats::default();
        }
    }
}
