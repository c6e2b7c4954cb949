//! How long audit rows stay and whose go first, how long their lines are, and what `events --since` means.

use crate::ids::AuditId;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use std::collections::BTreeMap;

const DAY_MILLIS: i64 = 86_400_000;
/// Rows taken away at a time: the one writer is not held up.
const BATCH: i64 = 10_000;
/// Bytes of a line that a row holds, more or less.
const LINE_MAX: usize = 500;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Days; older rows go.
    pub days: u32,
    /// Rows; of more the oldest go, of whoever has most.
    pub rows: u64,
}

/// The rows there are, by their ids, which only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// The oldest.
    pub oldest: AuditId,
    /// The newest.
    pub newest: AuditId,
    /// The first that is young enough to stay; `None` if none is.
    pub first_young: Option<AuditId>,
}

/// How old a row may be.
pub fn oldest_kept(keep: Keep, now: Timestamp) -> Timestamp {
    now.plus_millis(-i64::from(keep.days).saturating_mul(DAY_MILLIS))
}

/// Rows with smaller ids are too old and go now; `None` if all stay. The newest always stays.
pub fn floor(rows: Rows) -> Option<AuditId> {
    let by_age = rows.first_young.unwrap_or(rows.newest);
    let floor = by_age.min(rows.newest).min(AuditId(rows.oldest.0.saturating_add(BATCH)));
    (floor > rows.oldest).then_some(floor)
}

/// Who loses how many of their oldest rows so that `keep.rows` are left. Whoever has fewer than an even share loses none,
/// however many others leave: nobody pushes out what somebody else did.
pub fn surplus<Whose: Ord + Clone>(keep: Keep, counts: &BTreeMap<Whose, u64>) -> Vec<(Whose, i64)> {
    let most = keep.rows.max(1);
    let mut left = most;
    let mut sizes: Vec<u64> = counts.values().copied().collect();
    sizes.sort_unstable();
    let mut level = u64::MAX;
    for (n, size) in sizes.iter().enumerate() {
        let even = left / (sizes.len() - n) as u64;
        if *size > even {
            level = even;
            break;
        }
        left -= size;
    }
    let mut batch = BATCH;
    let mut out = Vec::new();
    for (person, count) in counts {
        let gone = i64::try_from(count.saturating_sub(level)).unwrap_or(i64::MAX).min(batch);
        if gone > 0 {
            batch -= gone;
            out.push((person.clone(), gone));
        }
    }
    out
}

/// A line as a row holds it: of a long one the beginning, and how long it was.
pub fn cut(line: String) -> String {
    if line.len() <= LINE_MAX {
        return line;
    }
    let end = (0..=LINE_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    format!("{}… ({} bytes)", line.get(..end).unwrap_or_default(), line.len())
}

/// A point in the past: `90s`, `15m`, `2h`, `3d`, `2026-11-21`, `2026-11-21 14:30`, `2026-11-21T14:30:05Z`.
pub fn since(typed: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    ago(typed).map(|millis| now.plus_millis(-millis)).or_else(|| date(typed)).ok_or_else(|| {
        Refusal::new(Code::BadTime, "this is not a time").next("--since 2h").next("--since 2026-11-21T14:30")
    })
}

fn ago(typed: &str) -> Option<i64> {
    let unit = match typed.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => DAY_MILLIS,
        _ => return None,
    };
    let digits = typed.get(..typed.len() - 1)?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse::<i64>().ok()?.checked_mul(unit))?
}

fn date(typed: &str) -> Option<Timestamp> {
    let typed = typed.trim_end_matches('Z');
    let (day, clock) = typed.split_once(['T', ' ']).unwrap_or((typed, "00:00"));
    let numbers = |text: &str, by: char| -> Option<Vec<i64>> {
        text.split(by).map(|n| n.bytes().all(|b| b.is_ascii_digit()).then(|| n.parse().ok())?).collect()
    };
    let [year, month, day] = numbers(day, '-')?[..] else { return None };
    let (hour, minute, second) = match numbers(clock, ':')?[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..61).contains(&second);
    sane.then(|| {
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Timestamp(seconds * 1_000_000)
    })
}

/// Days since 1970-01-01, by Howard Hinnant's public-domain algorithm `days_from_civil`; years from 1970.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let yoe = year - era * 400;
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_surplus_rows_go() {
        let check = |oldest, newest, first_young, want| {
            assert_eq!(floor(Rows { oldest, newest, first_young }), want, "{oldest}..{newest}");
        };
        check(AuditId(1), AuditId(50), Some(AuditId(1)), None);
        check(AuditId(1), AuditId(50), Some(AuditId(20)), Some(AuditId(20)));
        check(AuditId(1), AuditId(50), None, Some(AuditId(50)));
        check(AuditId(50), AuditId(50), None, None);
        check(AuditId(1), AuditId(1_000_000), None, Some(AuditId(10_001)));
        assert_eq!(oldest_kept(Keep { days: 1, rows: 1 }, Timestamp(86_400_000_001)), Timestamp(1));
    }

    #[test]
    fn who_has_most_loses_and_others_nothing() {
        let check = |rows, counts: &[(i64, u64)], want: &[(i64, i64)]| {
            let counts = counts.iter().copied().collect();
            assert_eq!(surplus(Keep { days: 1, rows }, &counts), want, "{rows} {counts:?}");
        };
        check(100, &[], &[]);
        check(100, &[(1, 60), (2, 40)], &[]);
        check(100, &[(1, 10), (2, 5_000)], &[(2, 4_910)]);
        check(100, &[(1, 10), (2, 60), (3, 70)], &[(2, 15), (3, 25)]);
        check(100, &[(1, 33), (2, 33), (3, 35)], &[(3, 1)]);
        check(0, &[(1, 3)], &[(1, 2)]);
        check(10, &[(1, 9), (2, 1_000_000)], &[(1, 4), (2, 9_996)]);
        check(2, &[(1, 9), (2, 9), (3, 9)], &[(1, 9), (2, 9), (3, 9)]);
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(cut("short".into()), "short");
        let long = cut(format!("run blog -- {}", "ü".repeat(60_000)));
        assert!(long.len() < LINE_MAX + 30 && long.starts_with("run blog -- ü") && long.ends_with("… (120012 bytes)"));
    }

    #[test]
    fn times() {
        let now = Timestamp(1_714_150_712_000_000);
        for (typed, want) in [
            ("0s", now.rfc3339()),
            ("90s", "2024-04-26T16:57:02.000000+00:00".into()),
            ("2h", "2024-04-26T14:58:32.000000+00:00".into()),
            ("3d", "2024-04-23T16:58:32.000000+00:00".into()),
            ("2024-02-29", "2024-02-29T00:00:00.000000+00:00".into()),
            ("2024-12-31 23:59", "2024-12-31T23:59:00.000000+00:00".into()),
            ("1999-03-01T01:02:03Z", "1999-03-01T01:02:03.000000+00:00".into()),
        ] {
            assert_eq!(since(typed, now).map(Timestamp::rfc3339), Ok(want), "{typed}");
        }
        let huge = format!("{}d", i64::MAX);
        for typed in
            ["", "m", "-5m", "+5m", "5w", "yesterday", "2024-13-01", "2024-1-1-1", "ü", "2024-01-01 25:00", &huge]
        {
            assert_eq!(since(typed, now).unwrap_err().code, Code::BadTime, "{typed}");
        }
    }
}
