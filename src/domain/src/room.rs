//! Room on disks: whether there is enough to begin something, what an instance may fill, and how often it is looked at.

use crate::doctor::Disk;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::human_bytes;

/// Without a setting, so many bytes must be free, or a part of the disk where that is less.
const USUAL: u64 = 2_000_000_000;
const PART: u64 = 20;
/// Files that one push and its build make; where a file system counts them.
const INODES: u64 = 10_000;
/// Between two looks at what instances use, in ms, while nothing points to a change; and while free space shrinks fast.
const CALM: u64 = 30_000;
const ALARM: u64 = 1_000;
/// A look rests so many times as long as it took.
const CALM_REST: u64 = 50;
const ALARM_REST: u64 = 4;
/// What a file counts at least: a block. So a million empty ones are not nothing.
pub const FILE_LEAST: u64 = 4_096;

/// What an instance uses of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Bytes.
    pub bytes: u64,
    /// There is more: counting ended at its limit, or took too long.
    pub more: bool,
}

impl Used {
    /// `1.2 GB`, `more than 2.0 GB`.
    pub fn words(self) -> String {
        let bytes = human_bytes(self.bytes);
        if self.more { format!("more than {bytes}") } else { bytes }
    }
}

/// What must be free on a disk of this size.
pub fn least(all: u64, asked: Option<u64>) -> u64 {
    asked.unwrap_or_else(|| USUAL.min(all / PART))
}

/// Why something that writes may not begin now: the first disk that has too little room for it.
pub fn refuse(disks: &[Disk], asked: Option<u64>, doing: &str) -> Option<Refusal> {
    if asked == Some(0) {
        return None;
    }
    disks.iter().find_map(|disk| {
        let whose = if disk.what == "docker" { "Docker's disk" } else { "the server's disk" };
        let (free, all) = disk.bytes?;
        let least = least(all, asked);
        let (free_inodes, inodes) = disk.inodes;
        let no = if free < least {
            let (free, all) = (human_bytes(free), human_bytes(all));
            Refusal::new(Code::DiskLow, format!("too little space for {doing}: {free} of {all} are free on {whose}"))
                .why(format!(
                    "at least {} must be free; nothing was written, and running apps go on",
                    human_bytes(least)
                ))
        } else if inodes > 0 && free_inodes < INODES.min(inodes / PART) {
            Refusal::new(
                Code::DiskLow,
                format!("no room for files on {whose}: {free_inodes} of {inodes} inodes are free"),
            )
            .why("nothing was written, and running apps go on")
        } else {
            return None;
        };
        Some(no.next("an administrator: doctor (its line disk says what may go); then try again"))
    })
}

/// How a disk is, where that is clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is too little to begin something.
    Low {
        /// Bytes that must be free.
        least: u64,
    },
    /// There is enough, and some more: one that is just at its limit would change all the time.
    Enough,
}

/// How a disk is; `None` where it is unknown, of no concern, or just at its limit.
pub fn room(disk: &Disk, asked: Option<u64>) -> Option<Room> {
    let (free, all) = disk.bytes.filter(|_| asked != Some(0))?;
    let least = least(all, asked);
    match free < least {
        true => Some(Room::Low { least }),
        false => (free >= least.saturating_add(least / 10)).then_some(Room::Enough),
    }
}

/// In how many ms to look again at what instances use, after a look that took so long.
pub fn pause(took: u64, alarm: bool) -> u64 {
    match alarm {
        true => ALARM.max(took.saturating_mul(ALARM_REST)),
        false => CALM.max(took.saturating_mul(CALM_REST)),
    }
}

/// Whether free space shrank so much since the last look that somebody may be about to pass a limit of so many bytes.
pub fn alarms(before: u64, now: u64, limit: u64) -> bool {
    before.saturating_sub(now) > limit / 16
}

/// How an instance ended that filled its disk.
pub fn over(limit: u64) -> String {
    format!("disk full: it wrote more than its limit of {}", human_bytes(limit))
}

/// What to do about it.
pub const OVER_NEXT: &str = "next: write less, or remove what is not needed (files count 4.1 kB at least, folders nested more than 200 deep count \
     as too much); or an administrator raises instance-disk in the server's configuration";

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(what: &str, free: u64, all: u64) -> Disk {
        Disk { what: what.to_owned(), path: "/x".to_owned(), bytes: Some((free, all)), inodes: (0, 0) }
    }

    #[test]
    fn a_push_needs_room() {
        const GB: u64 = 1_000_000_000;
        let said = |disks: &[Disk], asked| refuse(disks, asked, "a push").map(|no| no.lines().join("\n"));
        assert_eq!(said(&[disk("data", 2 * GB, 100 * GB), disk("docker", 3 * GB, 50 * GB)], None), None);
        let no = said(&[disk("data", 2 * GB, 100 * GB), disk("docker", GB, 100 * GB)], None).unwrap();
        assert!(no.contains("too little space for a push: 1.0 GB of 100.0 GB are free on Docker's disk"), "{no}");
        assert!(no.contains("at least 2.0 GB must be free; nothing was written, and running apps go on"), "{no}");
        assert!(no.contains("doctor"), "{no}");
        // A small disk is not closed for ever.
        assert_eq!(said(&[disk("data", 500_000_000, 10 * GB)], None), None);
        assert!(said(&[disk("data", 499_999_999, 10 * GB)], None).is_some());
        assert_eq!(said(&[disk("data", 0, 10 * GB)], Some(0)), None);
        assert!(said(&[disk("data", 9 * GB, 10 * GB)], Some(9 * GB + 1)).is_some());
        let unreadable = Disk { bytes: None, ..disk("data", 0, 0) };
        assert_eq!(said(&[unreadable], None), None);
        let files = Disk { inodes: (9_999, 1_000_000), ..disk("data", 5 * GB, 10 * GB) };
        assert_eq!(said(std::slice::from_ref(&files), Some(0)), None);
        assert!(said(&[files], None).unwrap().contains("9999 of 1000000 inodes"));
    }

    #[test]
    fn looks_cost_a_bounded_part_of_a_processor() {
        assert_eq!((pause(0, false), pause(0, true)), (30_000, 1_000));
        assert_eq!((pause(2_000, false), pause(2_000, true)), (100_000, 8_000));
        assert_eq!(pause(u64::MAX, true), u64::MAX);
        assert!(alarms(10_000, 9_000, 15_000) && !alarms(10_000, 9_000, 16_000) && !alarms(9_000, 10_000, 0));
    }

    #[test]
    fn a_disk_at_its_limit_is_not_told_of_all_the_time() {
        let of = |free, asked| room(&disk("data", free, 1_000_000), asked);
        assert_eq!(of(999, Some(1_000)), Some(Room::Low { least: 1_000 }));
        assert_eq!((of(1_000, Some(1_000)), of(1_099, Some(1_000))), (None, None));
        assert_eq!(of(1_100, Some(1_000)), Some(Room::Enough));
        assert_eq!((of(49_999, None), of(55_000, None)), (Some(Room::Low { least: 50_000 }), Some(Room::Enough)));
        assert_eq!(of(0, Some(0)), None);
        assert_eq!(room(&Disk { bytes: None, ..disk("data", 0, 0) }, None), None);
    }

    #[test]
    fn words_of_what_is_used() {
        assert_eq!(over(2_048_000_000), "disk full: it wrote more than its limit of 2.0 GB");
        assert_eq!(Used { bytes: 2_048_000_001, more: true }.words(), "more than 2.0 GB");
        assert_eq!(Used { bytes: 12_000, more: false }.words(), "12.0 kB");
    }
}
