//! Points in time, handed in by the shell; nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole milliseconds from `earlier` to `self`; negative differences (a clock set back) count as zero.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0) / 1000).unwrap_or(0)
    }

    /// `self` plus some milliseconds.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// RFC 3339 in UTC with microseconds, as log lines carry it: `2024-04-26T16:58:32.943253+00:00`.
    pub fn rfc3339(self) -> String {
        let micros = self.0.rem_euclid(1_000_000);
        let seconds = self.0.div_euclid(1_000_000);
        let (days, day_seconds) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (h, m, s) = (day_seconds / 3600, day_seconds / 60 % 60, day_seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{micros:06}+00:00")
    }

    /// Reads RFC 3339, or less of it: without a zone it is UTC, without a fraction, seconds or time of day those are zero.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let (date, time) = match text.get(10..) {
            None | Some("") => (text, "00:00"),
            Some(rest) => (text.get(..10)?, rest.strip_prefix(['T', 't', ' '])?),
        };
        let mut numbers = date.splitn(3, '-').map(|n| fixed(n, if n.len() == 4 { 4 } else { 2 }));
        let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if !(1..=12).contains(&month) || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
            return None;
        }
        let (time, zone) = match time.find(['Z', 'z', '+', '-']) {
            None => (time, 0),
            Some(at) => (time.get(..at)?, zone_seconds(time.get(at..)?)?),
        };
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut numbers = time.split(':').map(|n| fixed(n, 2));
        let (hour, minute, second) = (numbers.next()??, numbers.next()??, numbers.next().unwrap_or(Some(0))?);
        let digits = !fraction.is_empty() && fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
        if numbers.next().is_some() || hour > 23 || minute > 59 || second > 60 || !digits {
            return None;
        }
        let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        Some(Timestamp((days * 86_400 + hour * 3600 + minute * 60 + second - zone) * 1_000_000 + micros))
    }

    /// The same cut to seconds, for tables: `2024-04-26 16:58:32`.
    pub fn short(self) -> String {
        let full = self.rfc3339();
        full.get(..19).unwrap_or(&full).replace('T', " ")
    }
}

/// Days since 1970-01-01 to (year, month, day), by Howard Hinnant's public-domain algorithm `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse, by the same author.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

fn fixed(text: &str, digits: usize) -> Option<i64> {
    if text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// `Z`, `+02:00`, `-0530`.
fn zone_seconds(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = (fixed(rest.get(..2)?, 2)?, rest.get(2..)?);
    let minutes = fixed(minutes.strip_prefix(':').unwrap_or(minutes), 2)?;
    if hours > 23 || minutes > 59 { None } else { Some(sign * (hours * 3600 + minutes * 60)) }
}

/// A duration for people: `850ms`, `4.2s`, `1m 05s`.
pub fn human_millis(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        _ => format!("{}m {:02}s", millis / 60_000, millis / 1000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (1_714_150_712_943_253, "2024-04-26T16:58:32.943253+00:00"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000+00:00"),
            (-1, "1969-12-31T23:59:59.999999+00:00"),
        ] {
            assert_eq!(Timestamp(micros).rfc3339(), text);
        }
        assert_eq!(Timestamp(1_714_150_712_943_253).short(), "2024-04-26 16:58:32");
    }

    #[test]
    fn instants_are_read_back() {
        for micros in [0, 1_714_150_712_943_253, 951_782_400_000_000, 4_102_444_799_999_999] {
            assert_eq!(Timestamp::parse(&Timestamp(micros).rfc3339()), Some(Timestamp(micros)));
        }
        for bad in [
            "",
            "2024",
            "2024-04",
            "2023-02-29",
            "2024-04-26T",
            "2024-04-26T1:2",
            "2024-04-26T25:00",
            "2024-04-26X10:00",
            "2024-04-26T10:00+",
            "2024-04-26T10:00:00.Z",
            "2024-04-26T10:00:00+99:00",
            "2024-4-26",
            "äöü-04-26",
            "2024-04-26T10:00:00:00",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_for_people() {
        for (millis, text) in [(0, "0ms"), (999, "999ms"), (4_250, "4.2s"), (65_000, "1m 05s")] {
            assert_eq!(human_millis(millis), text);
        }
    }
}
