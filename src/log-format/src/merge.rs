//! The order of lines that come out of several spools: by the time of writing, stable within each spool.
//!
//! Pure. A turn reads a piece of each spool that has news; what may be stored now is what no line still unread can
//! precede. Invariant: some line is always free to go, or will be once the hold is over; a clock set back holds nothing up.

use domain::Timestamp;

/// How long a line waits for those of other spools that were written before it and arrive after it. Longer than the
/// router gathers its lines (20 ms).
pub const HOLD_MILLIS: i64 = 30;
/// A line that claims to be younger than this was written under another setting of the clock: it waits for nobody.
const AHEAD_MILLIS: i64 = 1000;

/// What was read of one spool in a turn.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The time each line sorts by; never descending.
    pub times: Vec<Timestamp>,
    /// The spool has more that was not read.
    pub more: bool,
    /// Its lines wait for those of other spools; not so where nothing more is written.
    pub holds: bool,
}

/// How many lines of each piece may be stored at `now`, and whether any waits only for time to pass.
pub fn free(pieces: &[Piece], now: Timestamp) -> (Vec<usize>, bool) {
    let frontier = pieces.iter().filter(|p| p.more).filter_map(|p| p.times.last()).min();
    let mut waits = false;
    let counts = pieces.iter().map(|piece| {
        let read = frontier.map_or(piece.times.len(), |f| piece.times.partition_point(|t| t <= f));
        let young = piece.times.iter().take(read).position(|t| piece.holds && held(*t, now));
        waits |= young.is_some();
        young.unwrap_or(read)
    });
    (counts.collect(), waits)
}

fn held(time: Timestamp, now: Timestamp) -> bool {
    time > now.plus_millis(-HOLD_MILLIS) && time < now.plus_millis(AHEAD_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(times: &[i64], more: bool) -> Piece {
        Piece { times: times.iter().map(|t| Timestamp(t * 1000)).collect(), more, holds: true }
    }

    #[test]
    fn nothing_overtakes_what_was_not_read() {
        let now = Timestamp(1_000_000);
        for (pieces, want) in [
            (vec![piece(&[1, 2, 3], false)], vec![3]),
            (vec![piece(&[1, 2, 3], false), piece(&[1, 2], true)], vec![2, 2]),
            (vec![piece(&[5, 6], false), piece(&[1, 2], true)], vec![0, 2]),
            (vec![piece(&[5, 6], true), piece(&[1, 2], true)], vec![0, 2]),
            (vec![piece(&[5, 6], true), piece(&[], true)], vec![2, 0]),
            (vec![], vec![]),
        ] {
            assert_eq!(free(&pieces, now), (want, false), "{pieces:?}");
        }
        assert_eq!(free(&[piece(&[1, 969, 970, 971, 972], false)], now), (vec![3], true));
        assert_eq!(free(&[piece(&[1, 999, 1000], false)], now), (vec![1], true));
        let last = Piece { holds: false, ..piece(&[1, 999, 1000], false) };
        assert_eq!(free(&[last], now), (vec![3], false));
        assert_eq!(free(&[piece(&[1, 2001, 9999], false)], now), (vec![3], false), "a clock set back");
    }

    /// Spools that are written, arrive late, and are read in bits: what is stored is one sequence by time.
    #[test]
    fn any_way_of_arriving_gives_one_order() {
        let mut seed = 7_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let spools = 1 + random(4) as usize;
            let mut written: Vec<Vec<(Timestamp, u64)>> = vec![vec![]; spools];
            let mut at = vec![0; spools];
            let (mut clock, mut id) = (0_i64, 0);
            let mut stored: Vec<(Timestamp, usize, u64)> = Vec::new();
            for step in 0..400 {
                clock += 20 + random(8000) as i64;
                if step < 300 {
                    let which = random(spools as u64) as usize;
                    (0..random(20)).for_each(|n| {
                        id += 1;
                        written[which].push((Timestamp(clock + n as i64), id));
                    });
                }
                // Each spool shows what is older than a delay of its own, and only so much is read of it at once.
                let mut pieces = Vec::new();
                for (which, lines) in written.iter().enumerate() {
                    let delay = if step < 300 { random(29) as i64 } else { 0 };
                    let shown = lines.partition_point(|(t, _)| t.0 <= clock - delay * 1000);
                    let end = shown.min(at[which] + 1 + random(30) as usize).max(at[which]);
                    let times = lines[at[which]..end].iter().map(|(t, _)| *t).collect();
                    pieces.push(Piece { times, more: end < shown, holds: true });
                }
                let (counts, _) = free(&pieces, Timestamp(clock));
                let mut batch = Vec::new();
                for (which, n) in counts.into_iter().enumerate() {
                    batch.extend(written[which][at[which]..at[which] + n].iter().map(|(t, id)| (*t, which, *id)));
                    at[which] += n;
                }
                batch.sort_by_key(|(time, ..)| *time);
                stored.extend(batch);
            }
            let mut clock = Timestamp(clock);
            for _ in 0..10_000 {
                clock = clock.plus_millis(10);
                let rest = |(which, lines): (usize, &Vec<(Timestamp, u64)>)| {
                    let end = lines.len().min(at[which] + 10);
                    let times = lines[at[which]..end].iter().map(|(t, _)| *t).collect();
                    Piece { times, more: end < lines.len(), holds: true }
                };
                let pieces: Vec<Piece> = written.iter().enumerate().map(rest).collect();
                let mut batch = Vec::new();
                for (which, n) in free(&pieces, clock).0.into_iter().enumerate() {
                    batch.extend(written[which][at[which]..at[which] + n].iter().map(|(t, id)| (*t, which, *id)));
                    at[which] += n;
                }
                batch.sort_by_key(|(time, ..)| *time);
                stored.extend(batch);
            }
            assert_eq!(stored.len(), written.iter().map(Vec::len).sum::<usize>(), "all of them");
            assert!(stored.windows(2).all(|w| w[0].0 <= w[1].0), "by time");
            for (which, lines) in written.iter().enumerate() {
                let of: Vec<u64> = stored.iter().filter(|(_, w, _)| *w == which).map(|(.., id)| *id).collect();
                assert_eq!(of, lines.iter().map(|(_, id)| *id).collect::<Vec<_>>(), "stable");
            }
        }
    }
}
