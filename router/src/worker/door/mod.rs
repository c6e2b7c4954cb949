//! The door of a worker: counts who is inside, lets in, and sends away those who wait, as `crowd` decides.
//!
//! Connections of one source are counted over all workers, in atomics; how many a worker has in all, and requests of one
//! source, each counts for itself, up to its part of the whole. A connection is looked at only when room is needed, so a
//! request costs here a few cells.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
};

use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::crowd::{self, Arrival, At, Count, Entry, Waiting};
use crate::{
    config::Limits,
    source::{Network, Source, trusted},
};

/// What workers know of each other: what each can do for one more, and how many connections all have of a source.
///
/// The latter is in a table of fixed size.
/// Two sources may share a place in one row, hardly in both; the keys are random, so nobody chooses whose.
pub(crate) struct Census {
    /// One of [`ROOM`], [`FULL`], [`STUCK`] for each worker.
    able: Box<[AtomicU8]>,
    rows: [(RandomState, Box<[AtomicU32]>); 2],
}

const PLACES: usize = 1 << 14;
/// It has a free place.
const ROOM: u8 = 0;
/// It must close one that waits.
const FULL: u8 = 1;
/// It has none that waits.
const STUCK: u8 = 2;

impl Census {
    pub(crate) fn new(workers: usize) -> Self {
        let row = || (RandomState::new(), (0..PLACES).map(|_| AtomicU32::new(0)).collect());
        Self { able: (0..workers).map(|_| AtomicU8::new(ROOM)).collect(), rows: [row(), row()] }
    }

    fn places(&self, source: Source) -> impl Iterator<Item = &AtomicU32> {
        let place = move |(keys, row): &(RandomState, Box<[AtomicU32]>)| {
            usize::try_from(keys.hash_one(source)).unwrap_or(usize::MAX) % row.len().max(1)
        };
        self.rows.iter().filter_map(move |row| row.1.get(place(row)))
    }

    fn of(&self, source: Source) -> u32 {
        self.places(source).map(|n| n.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    fn enter(&self, source: Source) {
        for place in self.places(source) {
            place.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn leave(&self, source: Source) {
        for place in self.places(source) {
            place.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

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

/// What happened since it was last said.
#[derive(Default)]
struct Told {
    closed: HashMap<Source, u32>,
    refused: HashMap<Source, u32>,
    requests: HashMap<Source, u32>,
    full: u32,
}

/// Sources that are told apart in one report.
const TOLD_MAX: usize = 1024;
/// Sources that a report names.
const NAMED: usize = 3;

/// A worker's door.
pub(crate) struct Door {
    /// The worker's part of all connections.
    share: u32,
    /// Which worker this is, and what the census says of it.
    me: usize,
    able: Cell<u8>,
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
    told: RefCell<Told>,
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
            able: Cell::new(ROOM),
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
            told: RefCell::default(),
            notes,
        }
    }

    /// Another worker can do more for the next connection: it has a place, or one that waits to close for it.
    pub(crate) fn leaves_to_others(&self) -> bool {
        let able = self.able.get();
        able > ROOM && self.census.able.iter().any(|other| other.load(Ordering::Relaxed) < able)
    }

    /// Lets the others know what this worker can do.
    fn publish(&self) {
        let able = match (self.inside.get() < self.share, self.waiting.get()) {
            (true, _) => ROOM,
            (false, 1..) => FULL,
            (false, 0) => STUCK,
        };
        if self.able.replace(able) != able
            && let Some(mine) = self.census.able.get(self.me)
        {
            mine.store(able, Ordering::Relaxed);
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
                self.tell(|told| &mut told.refused, source);
                return None;
            }
            Entry::Full => {
                let mut told = self.told.borrow_mut();
                told.full = told.full.saturating_add(1);
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
            self.tell(|told| &mut told.closed, seat.source);
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

    fn tell(&self, of: impl Fn(&mut Told) -> &mut HashMap<Source, u32>, source: Source) {
        let mut told = self.told.borrow_mut();
        let counts = of(&mut told);
        if counts.len() < TOLD_MAX || counts.contains_key(&source) {
            let n = counts.entry(source).or_default();
            *n = n.saturating_add(1);
        }
    }

    /// Says in one line what happened since the last, if anything did.
    pub(crate) fn report(&self) {
        let told = self.told.take();
        let line = told.line();
        if !line.is_empty() {
            // Nobody to listen, or too slow: the line is lost, no request waits for it.
            let _ = self.notes.try_send(line);
        }
    }
}

impl Told {
    fn line(&self) -> String {
        let mut line = String::new();
        let mut part = |text: String| {
            line.push_str(if line.is_empty() { "" } else { "; " });
            line.push_str(&text);
        };
        for (counts, act, what) in [
            (&self.closed, "closed", "waiting connections to make room"),
            (&self.refused, "refused", "connections of sources that have too many"),
            (&self.requests, "refused", "requests of sources that have too many at once"),
        ] {
            if !counts.is_empty() {
                let all: u64 = counts.values().map(|n| u64::from(*n)).sum();
                part(format!("{act} {all} {what}: {}", most(counts)));
            }
        }
        if self.full > 0 {
            part(format!("refused {} connections: all that may be open are at work", self.full));
        }
        line
    }
}

/// The networks with the highest counts.
fn most(counts: &HashMap<Source, u32>) -> String {
    let mut all: Vec<(Source, u32)> = counts.iter().map(|(source, n)| (*source, *n)).collect();
    all.sort_by_key(|(source, n)| (std::cmp::Reverse(*n), *source));
    let mut text = String::new();
    for (source, n) in all.iter().take(NAMED) {
        let _ = write!(text, "{}{source} {n}", if text.is_empty() { "" } else { ", " });
    }
    if all.len() > NAMED {
        let _ = write!(text, " and {} more", all.len() - NAMED);
    }
    text
}

impl Guest {
    /// What the connection does from now on.
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

    /// Begins a request of a source; `None` if that has too many at once.
    pub(crate) fn begin(&self, source: Option<Source>) -> Result<Option<AtWork>, ()> {
        let Some(source) = source else { return Ok(None) };
        let door = &self.door;
        let crowd = door.crowd(source);
        let at_work = AtWork { door: door.clone(), source, crowd };
        let count = &at_work.crowd.at_work;
        count.set(count.get() + 1);
        if count.get() > door.requests {
            door.tell(|told| &mut told.requests, source);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn door(connections: usize, per_source: usize) -> (Rc<Door>, mpsc::Receiver<String>) {
        let limits = Limits { connections, per_source, per_source_requests: 2, ..Limits::default() };
        let (notes, told) = mpsc::channel(4);
        let trusted: Arc<[Network]> = vec!["10.0.0.0/8".parse().unwrap()].into();
        (Rc::new(Door::new(&limits, (0, 1), trusted, Arc::new(Census::new(1)), notes)), told)
    }

    fn empty(door: &Door) {
        assert_eq!((door.inside.get(), door.waiting.get(), door.able.get()), (0, 0, ROOM));
        assert!(door.census.able.iter().all(|able| able.load(Ordering::Relaxed) == ROOM));
        assert!(door.crowds.borrow().is_empty() && door.seats.borrow().all.is_empty());
        let places = door.census.rows.iter().flat_map(|row| row.1.iter());
        assert_eq!(places.map(|n| n.load(Ordering::Relaxed)).max(), Some(0));
    }

    #[tokio::test]
    async fn the_books_balance_whatever_happens() {
        let (door, mut told) = door(8, 100);
        let crowd: Vec<Guest> = (0..8).map(|_| door.enter([192, 0, 2, 1].into()).unwrap()).collect();
        crowd[0].turn(At::Busy);
        crowd[1].turn(At::Head);
        let v6 = door.enter("2001:db8::1".parse().unwrap()).unwrap();
        let proxy = door.enter([10, 0, 0, 1].into()).unwrap();
        // The oldest idle ones went, none at work and none within a head.
        let away: Vec<bool> = crowd.iter().map(|g| g.seat.away.get()).collect();
        assert_eq!(away, [false, false, true, true, false, false, false, false]);
        crowd[2].sent_away().await;
        // One comes back: its request was there already.
        crowd[3].turn(At::Busy);
        assert_eq!((door.inside.get(), door.waiting.get()), (9, 7));
        for guest in &crowd {
            guest.turn(At::Busy);
        }
        assert_eq!((door.inside.get(), door.waiting.get()), (10, 2));
        assert!(door.enter([192, 0, 2, 9].into()).is_some(), "one that waits makes room");
        for guest in [&v6, &proxy] {
            guest.turn(At::Busy);
        }
        assert!(door.enter([192, 0, 2, 9].into()).is_none(), "all are at work");
        drop((crowd, v6, proxy));
        empty(&door);
        door.report();
        let line = told.try_recv().unwrap();
        assert!(
            line.starts_with("closed 3 waiting connections to make room: 192.0.2.1/32 2, 2001:db8::/56 1"),
            "{line}"
        );
        assert!(line.ends_with("; refused 1 connections: all that may be open are at work"), "{line}");
        door.report();
        assert!(told.try_recv().is_err(), "nothing new, nothing said");
    }

    #[test]
    fn the_next_connection_is_for_the_worker_that_can_do_most() {
        let limits = Limits { connections: 4, ..Limits::default() };
        let census = Arc::new(Census::new(2));
        let door = |n| Rc::new(Door::new(&limits, (n, 2), Arc::from([]), census.clone(), mpsc::channel(1).0));
        let (one, two) = (door(0), door(1));
        let leave = || (one.leaves_to_others(), two.leaves_to_others());
        let enter = |door: &Rc<Door>| door.enter([192, 0, 2, 1].into()).unwrap();
        let mut inside = vec![enter(&one), enter(&one)];
        assert_eq!(leave(), (true, false), "the other has a free place: nobody is closed");
        inside.extend([enter(&two), enter(&two)]);
        assert_eq!(leave(), (false, false), "each can close one that waits");
        inside[0].turn(At::Busy);
        inside[1].turn(At::Busy);
        assert_eq!(leave(), (true, false), "only the other can");
        inside[2].turn(At::Busy);
        inside[3].turn(At::Busy);
        assert_eq!(leave(), (false, false), "nobody can: one of them says so");
        assert!(two.enter([192, 0, 2, 2].into()).is_none());
        inside[3].turn(At::Idle);
        assert_eq!(leave(), (true, false));
        drop(inside);
        empty(&one);
        empty(&two);
    }

    #[test]
    fn a_source_and_a_site_have_limits_and_a_trusted_proxy_none() {
        let (door, _told) = door(1000, 4);
        let busy = |address: &str| {
            let guest = door.enter(address.parse().unwrap())?;
            guest.turn(At::Busy);
            Some(guest)
        };
        let mut inside: Vec<Guest> = (0..40).filter_map(|_| busy("192.0.2.1")).collect();
        assert!((2..=4).contains(&inside.len()), "{}", inside.len());
        inside.extend((0..40).filter_map(|_| busy("10.0.0.1")));
        assert!(inside.len() >= 42);
        // 40 lines of one site; its limit is four times that of a line.
        let lines: Vec<Guest> = (0..40).filter_map(|n| busy(&format!("2001:db8:0:{:x}::1", n << 8))).collect();
        assert!((8..=16).contains(&lines.len()), "{}", lines.len());
        assert!(busy("2001:db8:1::1").is_some(), "another site");
        drop((inside, lines));
        empty(&door);
        // Idle ones of a source make room for its next, and for nobody else's.
        let other = door.enter([192, 0, 2, 2].into()).unwrap();
        let idle: Vec<Guest> = (0..9).map(|_| door.enter([192, 0, 2, 1].into()).unwrap()).collect();
        assert_eq!(idle.iter().filter(|g| !g.seat.away.get()).count(), 4);
        assert!(!other.seat.away.get());
    }

    #[test]
    fn requests_of_a_source_are_counted_wherever_they_come_in() {
        let (door, _told) = door(10, 10);
        let (one, two) = (door.enter([10, 0, 0, 1].into()).unwrap(), door.enter([10, 0, 0, 2].into()).unwrap());
        let source = Some(Source::of([192, 0, 2, 1].into()));
        let first = one.begin(source).unwrap();
        let second = two.begin(source).unwrap();
        assert!(one.begin(source).is_err());
        assert!(one.begin(Some(Source::of([192, 0, 2, 2].into()))).is_ok() && one.begin(None).is_ok());
        one.serves(source.map(|s| (s, 7)));
        assert_eq!((door.at_work_on(source, 7), door.at_work_on(source, 8), door.at_work_on(None, 7)), (1, 0, 0));
        drop(first);
        assert!(two.begin(source).is_ok());
        drop((second, one, two));
        empty(&door);
    }
}
