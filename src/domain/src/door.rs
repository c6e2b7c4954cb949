//! Who may begin a connection before it is known whose it is: counted by source, with a chance that falls as it gets crowded,
//! and with places kept for addresses from which somebody logged in before, and for administrators'.
//!
//! Pure: addresses, the time and a random number come in. Invariant: whatever strangers do, the kept places are not theirs;
//! memory is bounded whoever comes.

use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// Sources and known addresses remembered; beyond, those that have been quiet longest are forgotten.
pub const REMEMBERED_MAX: usize = 4_096;
/// How many are forgotten where there are too many.
const FORGOTTEN_AT_ONCE: usize = REMEMBERED_MAX / 8;

/// How many may stand at the door.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Strangers in all: from here on all of them are turned away.
    pub strangers: usize,
    /// From here on some are: none here, all at `strangers`, in between by chance.
    pub early: usize,
    /// Places beyond, for addresses from which somebody logged in before.
    pub known: usize,
    /// Places beyond these, for addresses from which an administrator did.
    pub admins: usize,
    /// From one source: an IPv4 address, an IPv6 network of 56 bits (what one customer has).
    pub per_source: usize,
    /// From one IPv6 network of 48 bits (what a large customer has).
    pub per_wide: usize,
    /// From one address of this machine: tests and tunnels come from it.
    pub per_loopback: usize,
    /// New ones per second from one source, after a burst; six times that from this machine.
    pub per_second: f64,
    /// How many one source may begin at once after a pause.
    pub burst: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            strangers: 100,
            early: 40,
            known: 40,
            admins: 20,
            per_source: 10,
            per_wide: 30,
            per_loopback: 60,
            per_second: 5.0,
            burst: 30.0,
        }
    }
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may begin.
    Admit,
    /// Turned away: a limit is reached.
    Refuse,
    /// Turned away by chance: it is crowded.
    Drop,
}

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nobody logged in from there.
    Stranger,
    /// Somebody did.
    Known,
    /// An administrator did.
    Admin,
}

/// The door as it stands.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    half_open: usize,
    sources: BTreeMap<IpAddr, Source>,
    wide: BTreeMap<IpAddr, usize>,
    known: BTreeMap<IpAddr, (Standing, Timestamp)>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    half_open: usize,
    tokens: f64,
    at: Timestamp,
}

impl Door {
    /// With nobody there.
    pub fn new(limits: Limits) -> Door {
        let (sources, wide, known) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Door { limits, half_open: 0, sources, wide, known }
    }

    /// Whether a connection may begin. `roll` is anything from 0 to 1, and not to be known before.
    pub fn decide(&self, address: IpAddr, now: Timestamp, roll: f64) -> Verdict {
        let (address, limits) = (address.to_canonical(), &self.limits);
        let source = self.sources.get(&source_of(address));
        let most = if address.is_loopback() { limits.per_loopback } else { limits.per_source };
        let crowded_wide =
            wide_of(address).is_some_and(|net| self.wide.get(&net).is_some_and(|n| *n >= limits.per_wide));
        if crowded_wide || source.is_some_and(|s| s.half_open >= most || self.tokens(s, address, now) < 1.0) {
            return Verdict::Refuse;
        }
        let standing = self.standing(address);
        let room = match standing {
            Standing::Stranger => limits.strangers,
            Standing::Known => limits.strangers.saturating_add(limits.known),
            Standing::Admin => limits.strangers.saturating_add(limits.known).saturating_add(limits.admins),
        };
        if self.half_open >= room {
            return Verdict::Refuse;
        }
        if standing == Standing::Stranger && self.half_open > limits.early {
            let (over, between) = (self.half_open - limits.early, limits.strangers.saturating_sub(limits.early));
            if roll * (between.max(1) as f64) < over as f64 {
                return Verdict::Drop;
            }
        }
        Verdict::Admit
    }

    /// It has begun.
    pub fn enter(&mut self, address: IpAddr, now: Timestamp) {
        let address = address.to_canonical();
        self.forget(now);
        let key = source_of(address);
        let (_, burst) = self.rate(address);
        let mut source = self.sources.get(&key).copied().unwrap_or(Source { half_open: 0, tokens: burst, at: now });
        source.tokens = self.tokens(&source, address, now) - 1.0;
        source.at = now;
        source.half_open += 1;
        self.sources.insert(key, source);
        if let Some(net) = wide_of(address) {
            *self.wide.entry(net).or_default() += 1;
        }
        self.half_open += 1;
    }

    /// It is over, or it is known now whose it is.
    pub fn leave(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        self.half_open = self.half_open.saturating_sub(1);
        if let Some(source) = self.sources.get_mut(&source_of(address)) {
            source.half_open = source.half_open.saturating_sub(1);
        }
        if let Some(net) = wide_of(address)
            && let Some(n) = self.wide.get_mut(&net)
        {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.wide.remove(&net);
            }
        }
    }

    /// Somebody logged in from there.
    pub fn logged_in(&mut self, address: IpAddr, admin: bool, now: Timestamp) {
        let key = source_of(address.to_canonical());
        let standing = if admin { Standing::Admin } else { Standing::Known };
        let before = self.known.get(&key).map_or(Standing::Stranger, |(standing, _)| *standing);
        self.known.insert(key, (standing.max(before), now));
        if self.known.len() > REMEMBERED_MAX {
            // An administrator's address is the last to be forgotten.
            let mut kept: Vec<_> = self.known.iter().map(|(ip, about)| (*about, *ip)).collect();
            kept.sort();
            for (_, ip) in kept.into_iter().take(FORGOTTEN_AT_ONCE) {
                self.known.remove(&ip);
            }
        }
    }

    /// How many stand there.
    pub fn half_open(&self) -> usize {
        self.half_open
    }

    fn standing(&self, address: IpAddr) -> Standing {
        self.known.get(&source_of(address)).map_or(Standing::Stranger, |(standing, _)| *standing)
    }

    fn rate(&self, address: IpAddr) -> (f64, f64) {
        let factor = if address.is_loopback() { 6.0 } else { 1.0 };
        (self.limits.per_second * factor, self.limits.burst * factor)
    }

    fn tokens(&self, source: &Source, address: IpAddr, now: Timestamp) -> f64 {
        let (rate, burst) = self.rate(address);
        let waited = now.0.saturating_sub(source.at.0).max(0) as f64 / 1e6;
        (source.tokens + waited * rate).min(burst)
    }

    /// Forgets sources without connections whose right to a burst is whole again; if none is, those quiet for longest.
    fn forget(&mut self, now: Timestamp) {
        if self.sources.len() < REMEMBERED_MAX {
            return;
        }
        let whole: Vec<IpAddr> = self
            .sources
            .iter()
            .filter(|(ip, s)| s.half_open == 0 && self.tokens(s, **ip, now) >= self.rate(**ip).1)
            .map(|(ip, _)| *ip)
            .collect();
        for ip in whole {
            self.sources.remove(&ip);
        }
        if self.sources.len() >= REMEMBERED_MAX {
            let mut quiet: Vec<_> =
                self.sources.iter().filter(|(_, s)| s.half_open == 0).map(|(ip, s)| (s.at, *ip)).collect();
            quiet.sort();
            for (_, ip) in quiet.into_iter().take(FORGOTTEN_AT_ONCE) {
                self.sources.remove(&ip);
            }
        }
    }
}

/// An IPv4 address, or an IPv6 network of 56 bits: one customer has all of it.
fn source_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() => network(v6, 56),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

fn wide_of(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() => Some(network(v6, 48)),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn network(address: Ipv6Addr, bits: u32) -> IpAddr {
    IpAddr::V6((u128::from(address) & !(u128::MAX >> bits)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A door at which `n` connections stand, each of a source of its own.
    fn crowd(n: usize) -> Door {
        let mut door = Door::new(Limits::default());
        for i in 0..n {
            door.enter(IpAddr::from([203, 0, 113, u8::try_from(i).unwrap()]), NOW);
        }
        door
    }

    #[test]
    fn the_more_crowded_the_fewer_strangers_and_kept_places_for_the_known() {
        use Verdict::{Admit, Drop, Refuse};
        let cases = [
            // Half open, known as, the roll, what is decided.
            (0, Standing::Stranger, 0.0, Admit),
            (40, Standing::Stranger, 0.0, Admit),
            (70, Standing::Stranger, 0.49, Drop),
            (70, Standing::Stranger, 0.5, Admit),
            (99, Standing::Stranger, 0.97, Drop),
            (100, Standing::Stranger, 0.99, Refuse),
            (70, Standing::Known, 0.0, Admit),
            (100, Standing::Known, 0.0, Admit),
            (139, Standing::Known, 0.0, Admit),
            (140, Standing::Known, 0.0, Refuse),
            (140, Standing::Admin, 0.0, Admit),
            (159, Standing::Admin, 0.0, Admit),
            (160, Standing::Admin, 0.0, Refuse),
        ];
        for (half_open, standing, roll, expect) in cases {
            let mut door = crowd(half_open);
            if standing != Standing::Stranger {
                door.logged_in(ip("192.0.2.1"), standing == Standing::Admin, NOW);
                door.logged_in(ip("192.0.2.1"), false, NOW);
            }
            assert_eq!(door.decide(ip("192.0.2.1"), NOW, roll), expect, "{half_open} {standing:?} {roll}");
        }
    }

    #[test]
    fn a_source_has_its_share_whatever_the_room() {
        let fill = |address: &str, n: usize| {
            let mut door = Door::new(Limits::default());
            (0..n).for_each(|_| door.enter(ip(address), NOW));
            door
        };
        for (stands, n, comes, expect) in [
            ("192.0.2.1", 9, "192.0.2.1", Verdict::Admit),
            ("192.0.2.1", 10, "192.0.2.1", Verdict::Refuse),
            ("192.0.2.1", 10, "::ffff:192.0.2.1", Verdict::Refuse),
            ("192.0.2.1", 10, "192.0.2.2", Verdict::Admit),
            ("2001:db8::1", 10, "2001:db8:0:ff::1", Verdict::Refuse),
            ("2001:db8::1", 10, "2001:db8:0:100::1", Verdict::Admit),
            ("2001:db8::1", 30, "2001:db8:0:100::1", Verdict::Refuse),
            ("2001:db8::1", 30, "2001:db8:1::1", Verdict::Admit),
            ("127.0.0.1", 59, "127.0.0.1", Verdict::Admit),
            ("127.0.0.1", 60, "127.0.0.1", Verdict::Refuse),
        ] {
            assert_eq!(fill(stands, n).decide(ip(comes), NOW, 1.0), expect, "{n} from {stands}, then {comes}");
        }
        // Being known gives no more than that share.
        let mut door = fill("192.0.2.1", 10);
        door.logged_in(ip("192.0.2.1"), true, NOW);
        assert_eq!(door.decide(ip("192.0.2.1"), NOW, 1.0), Verdict::Refuse);
        door.leave(ip("192.0.2.1"));
        assert_eq!(door.decide(ip("192.0.2.1"), NOW, 1.0), Verdict::Admit);
    }

    #[test]
    fn a_wide_network_is_counted_until_the_last_has_left() {
        let mut door = Door::new(Limits::default());
        let stands: Vec<IpAddr> = (0..31).map(|n| ip(&format!("2001:db8:0:{:x}::1", 0x100 * (n % 4)))).collect();
        stands.iter().for_each(|address| door.enter(*address, NOW));
        assert_eq!(door.half_open(), 31);
        let another = ip("2001:db8:0:900::1");
        door.leave(stands[0]);
        assert_eq!(door.decide(another, NOW, 1.0), Verdict::Refuse, "thirty are left");
        door.leave(stands[1]);
        assert_eq!((door.decide(another, NOW, 1.0), door.half_open()), (Verdict::Admit, 29));
    }

    #[test]
    fn a_source_has_a_rate() {
        let mut door = Door::new(Limits { per_second: 2.0, burst: 3.0, ..Limits::default() });
        let mut admitted = |at: i64| {
            let at = Timestamp(NOW.0 + at);
            (0..9)
                .filter(|_| {
                    let yes = door.decide(ip("192.0.2.1"), at, 1.0) == Verdict::Admit;
                    if yes {
                        door.enter(ip("192.0.2.1"), at);
                        door.leave(ip("192.0.2.1"));
                    }
                    yes
                })
                .count()
        };
        assert_eq!([admitted(0), admitted(1_000_000), admitted(60_000_000), admitted(0)], [3, 2, 3, 0]);
    }

    #[test]
    fn the_host_itself_has_six_times_the_rate() {
        let mut door = Door::new(Limits { per_second: 2.0, burst: 3.0, ..Limits::default() });
        let mut admitted = |at: i64| {
            let at = Timestamp(NOW.0 + at);
            let come = (0..40).filter(|_| {
                let yes = door.decide(ip("127.0.0.1"), at, 1.0) == Verdict::Admit;
                if yes {
                    door.enter(ip("127.0.0.1"), at);
                    door.leave(ip("127.0.0.1"));
                }
                yes
            });
            come.count()
        };
        assert_eq!([admitted(0), admitted(1_000_000)], [18, 12]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut door = Door::new(Limits::default());
        for n in 0..10_000_u32 {
            let address = IpAddr::V4(n.to_be().into());
            door.enter(address, NOW);
            door.leave(address);
            door.logged_in(address, n == 0, Timestamp(NOW.0 + i64::from(n)));
        }
        assert!(door.sources.len() <= REMEMBERED_MAX && door.known.len() <= REMEMBERED_MAX);
        assert_eq!((door.half_open(), door.standing(ip("0.0.0.0"))), (0, Standing::Admin));
    }
}
