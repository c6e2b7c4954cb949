//! Who may even begin: limits on connections that have not authenticated, per source and in total.
//!
//! Decided before the key exchange, which is what an attacker would make us compute.

use super::Limits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Sources remembered; beyond, those that have been quiet longest are forgotten.
const SOURCES_MAX: usize = 4_096;
/// What this machine may do more than others: tests and tunnels come from it.
const LOOPBACK_FACTOR: f64 = 6.0;

/// The doorkeeper.
#[derive(Debug)]
pub struct Guard {
    limits: Arc<Limits>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    half_open: usize,
    sessions: usize,
    sources: HashMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    half_open: usize,
    tokens: f64,
    at: Instant,
}

/// An admitted connection; dropping it gives its place back.
#[derive(Debug)]
pub struct Pass {
    guard: Arc<Guard>,
    source: IpAddr,
    authenticated: bool,
}

impl Guard {
    /// A doorkeeper with nobody inside.
    pub fn new(limits: Arc<Limits>) -> Arc<Guard> {
        Arc::new(Guard { limits, state: Mutex::default() })
    }

    /// Lets a connection begin, or not.
    pub fn admit(self: &Arc<Guard>, address: IpAddr, now: Instant) -> Option<Pass> {
        let address = address.to_canonical();
        let source = source_of(address);
        let (most, factor) = if address.is_loopback() {
            (self.limits.half_open_loopback, LOOPBACK_FACTOR)
        } else {
            (self.limits.half_open_per_source, 1.0)
        };
        let (rate, burst) = (self.limits.connects_per_second * factor, self.limits.connects_burst * factor);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.half_open >= self.limits.half_open_max || state.sessions >= self.limits.sessions_max {
            return None;
        }
        if state.sources.len() >= SOURCES_MAX && !state.sources.contains_key(&source) {
            state.forget(now, burst, rate);
        }
        let entry = state.sources.entry(source).or_insert(Source { half_open: 0, tokens: burst, at: now });
        entry.tokens = (entry.tokens + now.saturating_duration_since(entry.at).as_secs_f64() * rate).min(burst);
        entry.at = now;
        if entry.half_open >= most || entry.tokens < 1.0 {
            return None;
        }
        entry.tokens -= 1.0;
        entry.half_open += 1;
        state.half_open += 1;
        Some(Pass { guard: self.clone(), source, authenticated: false })
    }
}

impl State {
    /// Forgets sources without connections whose bucket is full again; if none is, the one quiet for longest.
    fn forget(&mut self, now: Instant, burst: f64, rate: f64) {
        let full = |s: &Source| s.tokens + now.saturating_duration_since(s.at).as_secs_f64() * rate >= burst;
        self.sources.retain(|_, s| s.half_open > 0 || !full(s));
        if self.sources.len() >= SOURCES_MAX {
            let oldest =
                self.sources.iter().filter(|(_, s)| s.half_open == 0).min_by_key(|(_, s)| s.at).map(|(ip, _)| *ip);
            if let Some(ip) = oldest {
                self.sources.remove(&ip);
            }
        }
    }

    fn leave_door(&mut self, source: IpAddr) {
        self.half_open = self.half_open.saturating_sub(1);
        if let Some(entry) = self.sources.get_mut(&source) {
            entry.half_open = entry.half_open.saturating_sub(1);
        }
    }
}

impl Pass {
    /// The client is known now: it no longer counts as half open.
    pub fn authenticated(&mut self) {
        if !std::mem::replace(&mut self.authenticated, true) {
            let mut state = self.guard.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.leave_door(self.source);
            state.sessions += 1;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.guard.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.authenticated {
            state.sessions = state.sessions.saturating_sub(1);
        } else {
            state.leave_door(self.source);
        }
    }
}

/// An IPv4 address, or an IPv6 network of 64 bits: one customer has all of it.
fn source_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn guard(limits: Limits) -> Arc<Guard> {
        Guard::new(Arc::new(limits))
    }

    #[test]
    fn half_open_connections_are_limited() {
        let guard = guard(Limits { half_open_max: 15, ..Limits::default() });
        let now = Instant::now();
        let (one, other, home): (IpAddr, IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let mut passes: Vec<Pass> = (0..10).filter_map(|_| guard.admit(one, now)).collect();
        assert_eq!(passes.len(), 10);
        assert!(guard.admit(one, now).is_none(), "ten from one source");
        passes[0].authenticated();
        passes.push(guard.admit(one, now).unwrap());
        passes.extend((0..5).filter_map(|_| guard.admit(other, now)));
        assert!(guard.admit(home, now).is_none(), "fifteen in total");
        drop(passes);
        assert_eq!((0..20).filter_map(|_| guard.admit(home, now)).count(), 20);
        assert_eq!(guard.state.lock().unwrap().half_open, 0);
    }

    #[test]
    fn a_source_has_a_rate() {
        let guard = guard(Limits { connects_per_second: 2.0, connects_burst: 3.0, ..Limits::default() });
        let (now, v6): (Instant, IpAddr) = (Instant::now(), "2001:db8::1".parse().unwrap());
        let admitted = |at: Instant| (0..9).filter(|_| guard.admit(v6, at).is_some()).count();
        assert_eq!(admitted(now), 3);
        assert!(guard.admit("2001:db8::ffff".parse().unwrap(), now).is_none(), "the same /64");
        assert!(guard.admit("2001:db8:0:1::1".parse().unwrap(), now).is_some());
        assert_eq!(admitted(now + Duration::from_secs(1)), 2);
        assert_eq!(admitted(now + Duration::from_secs(60)), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let guard = guard(Limits::default());
        let now = Instant::now();
        for n in 0..10_000_u32 {
            drop(guard.admit(IpAddr::V4(n.to_be().into()), now));
        }
        assert!(guard.state.lock().unwrap().sources.len() <= SOURCES_MAX);
    }
}
