//! How much one person may have at once: of what, how much by default, and whether more of it is in order.
//!
//! An app counts to its owner, whoever pushes to it; what root made counts to nobody. Invariant: a limit below what is
//! there already stops nothing, it refuses more. Absent: who has what (the store's rows and measured sizes are arguments).

use crate::access::Role;
use crate::names::{AppId, UserName};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text;
use std::collections::BTreeMap;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Apps.
    Apps,
    /// Instances of all apps, one-off ones too.
    Instances,
    /// Bytes of memory that these instances may use.
    Memory,
    /// Thousandths of processors that they may use.
    Processors,
    /// Bytes of repositories, build caches and logs.
    Disk,
    /// Builds at work at a time.
    Builds,
    /// SSH connections at a time.
    Sessions,
    /// Commands that run at a time.
    Commands,
    /// Pushes that are open at a time.
    Pushes,
}

/// How a number of something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Pieces,
    Bytes,
    Thousandths,
}

/// The most of something; `None` is unlimited.
pub type Limit = Option<u64>;

/// Limits by what they limit: the defaults of a server, or those that an administrator gave to one person.
pub type Limits = BTreeMap<What, Limit>;

/// The word for no limit.
pub const UNLIMITED: &str = "unlimited";
const MB: u64 = 1_000_000;
/// No number of anything is larger.
const MOST: u64 = 1 << 50;

impl What {
    /// All, in the order in which they are shown.
    pub const ALL: [What; 9] = [
        What::Apps,
        What::Instances,
        What::Memory,
        What::Processors,
        What::Disk,
        What::Builds,
        What::Sessions,
        What::Commands,
        What::Pushes,
    ];

    /// What is said when there is no more of it.
    pub fn code(self) -> Code {
        match self {
            What::Apps => Code::QuotaApps,
            What::Instances => Code::QuotaInstances,
            What::Memory => Code::QuotaMemory,
            What::Processors => Code::QuotaProcessors,
            What::Disk => Code::QuotaDisk,
            What::Builds => Code::QuotaBuilds,
            What::Sessions => Code::QuotaSessions,
            What::Commands => Code::QuotaCommands,
            What::Pushes => Code::QuotaPushes,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            What::Apps => "apps",
            What::Instances => "instances",
            What::Memory => "memory",
            What::Processors => "processors",
            What::Disk => "disk",
            What::Builds => "builds",
            What::Sessions => "sessions",
            What::Commands => "commands",
            What::Pushes => "pushes",
        }
    }

    /// The setting of the server with its default.
    pub fn setting(self) -> &'static str {
        match self {
            What::Apps => "user-apps",
            What::Instances => "user-instances",
            What::Memory => "user-memory",
            What::Processors => "user-cpu",
            What::Disk => "user-disk",
            What::Builds => "user-builds",
            What::Sessions => "sessions-per-user",
            What::Commands => "commands-per-user",
            What::Pushes => "pushes-per-user",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Result<What, Refusal> {
        let found = match word {
            "cpu" | "cpus" => Some(What::Processors),
            word => What::ALL.into_iter().find(|what| what.word() == word),
        };
        found.ok_or_else(|| {
            let known: Vec<&str> = What::ALL.iter().map(|what| what.word()).collect();
            Refusal::new(Code::NoSuchQuota, format!("there is no quota of {}", shown(word)))
                .why(format!("there are: {}", known.join(", ")))
                .next("quota:set USER apps=20 memory=8g")
        })
    }

    /// Whether it is gone by itself in a while, unlike what one keeps.
    fn is_at_once(self) -> bool {
        match self {
            What::Apps | What::Instances | What::Memory | What::Processors | What::Disk => false,
            What::Builds | What::Sessions | What::Commands | What::Pushes => true,
        }
    }

    /// Whether administrators have the server's default as well: what a program that went wrong takes in their name would
    /// leave no room for them to end it.
    fn binds_administrators(self) -> bool {
        self.is_at_once() && self != What::Builds
    }

    fn unit(self) -> Unit {
        match self {
            What::Apps | What::Instances => Unit::Pieces,
            What::Builds | What::Sessions | What::Commands | What::Pushes => Unit::Pieces,
            What::Memory | What::Disk => Unit::Bytes,
            What::Processors => Unit::Thousandths,
        }
    }

    /// Reads a limit as an administrator types it: `20`, `8g`, `1.5`, `unlimited`.
    pub fn limit(self, text: &str) -> Result<Limit, Refusal> {
        if text == UNLIMITED {
            return Ok(None);
        }
        let number = match self.unit() {
            Unit::Pieces => text.parse().ok(),
            Unit::Bytes => bytes(text),
            Unit::Thousandths => decimal(text, 1_000),
        };
        // Without any build nothing could be deployed and nothing would say why: no apps is the word for that, and
        // users:remove for no sessions.
        let least = u64::from(self.is_at_once());
        number.filter(|n| (least..=MOST).contains(n)).map(Some).ok_or_else(|| {
            let example = match self.unit() {
                Unit::Pieces => "20",
                Unit::Bytes => "8g or 512m",
                Unit::Thousandths => "4 or 1.5",
            };
            Refusal::new(Code::BadQuota, format!("{} is not a number of {}", shown(text), self.word()))
                .why(format!("such as {example}, or {UNLIMITED}"))
                .next(format!("quota:set USER {}={}", self.word(), example.split(' ').next().unwrap_or(example)))
        })
    }

    /// A number of it, for people.
    pub fn show(self, number: u64) -> String {
        match self.unit() {
            Unit::Pieces => number.to_string(),
            Unit::Bytes => text::human_bytes(number),
            Unit::Thousandths => thousandths(number),
        }
    }

    /// A limit of it, for people.
    pub fn show_limit(self, limit: Limit) -> String {
        limit.map_or_else(|| UNLIMITED.to_owned(), |most| self.show(most))
    }

    /// The smallest value that [`What::limit`] reads as this number or more.
    fn written(self, number: u64) -> String {
        match self.unit() {
            Unit::Pieces => number.to_string(),
            Unit::Bytes => format!("{}m", number.div_ceil(MB)),
            Unit::Thousandths => thousandths(number),
        }
    }

    /// `16 instances`.
    fn counted(self, number: &str) -> String {
        match self {
            What::Apps | What::Instances | What::Processors => format!("{number} {}", self.word()),
            What::Builds | What::Sessions | What::Commands | What::Pushes => format!("{number} {}", self.word()),
            What::Memory => format!("{number} of memory"),
            What::Disk => format!("{number} of disk"),
        }
    }

    /// How an owner makes room.
    fn less(self) -> &'static str {
        match self {
            What::Apps => "apps:destroy NAME --confirm NAME, one that is not needed (apps:list)",
            What::Disk => "apps:destroy NAME --confirm NAME, or push a smaller history (quota shows what is used)",
            What::Instances | What::Memory | What::Processors => {
                "ps:stop NAME or ps:scale NAME TYPE=N, of an app that needs less (apps:list)"
            }
            What::Builds => "wait for a build to end",
            What::Sessions | What::Commands => "end one of yours (logs -t, run, ssh -O exit), then try again",
            What::Pushes => "wait until one of yours has ended, then try again",
        }
    }
}

fn shown(word: &str) -> String {
    format!("\"{}\"", text::plain(word).chars().take(40).collect::<String>())
}

/// `8g`, `512m`, `8GB`; a number alone is MB, as in the server's settings.
fn bytes(text: &str) -> Option<u64> {
    let small = text.to_ascii_lowercase();
    let small = small.strip_suffix('b').unwrap_or(&small);
    let (number, unit) = match small.strip_suffix(['m', 'g', 't']) {
        Some(number) => (number, small.get(number.len()..)?),
        None if small.len() == text.len() => (small, "m"),
        None => return None,
    };
    decimal(
        number,
        match unit {
            "m" => MB,
            "g" => MB * 1_000,
            _ => MB * 1_000_000,
        },
    )
}

/// A number with at most three digits after the point, times `unit`.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(unit / 1_000 * thousandths)
}

/// `1.5`.
fn thousandths(number: u64) -> String {
    let text = format!("{}.{:03}", number / 1_000, number % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whose a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The server's default.
    Default,
    /// The default for administrators.
    Administrators,
    /// An administrator set it for this person.
    Set,
}

/// The limit that holds for a person: their own, else none for administrators, who could raise it anyway, else the default.
/// Of what is open at once administrators have the default too.
pub fn limit(what: What, own: &Limits, role: Role, defaults: &Limits) -> (Limit, Whose) {
    match (own.get(&what), role) {
        (Some(limit), _) => (*limit, Whose::Set),
        (None, Role::Admin) if !what.binds_administrators() => (None, Whose::Administrators),
        (None, Role::Admin | Role::Developer) => (defaults.get(&what).copied().flatten(), Whose::Default),
    }
}

/// A person and the limits that hold for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The person.
    pub name: UserName,
    /// Their role.
    pub role: Role,
    /// What an administrator set for them.
    pub own: Limits,
}

impl Holder {
    /// Whether they may come to have `wanted` of something, of which they have `used`.
    pub fn may(&self, what: What, used: u64, wanted: u64, defaults: &Limits) -> Result<(), Refusal> {
        self.may_all(&[(what, used, wanted)], defaults)
    }

    /// The same of all that instances use.
    pub fn may_run(&self, used: Load, wanted: Load, defaults: &Limits) -> Result<(), Refusal> {
        let all = [
            (What::Instances, used.instances, wanted.instances),
            (What::Memory, used.memory, wanted.memory),
            (What::Processors, used.processors, wanted.processors),
        ];
        self.may_all(&all, defaults)
    }

    /// Says no to the first of which there would be too much; what it proposes is enough for all.
    fn may_all(&self, all: &[(What, u64, u64)], defaults: &Limits) -> Result<(), Refusal> {
        let over = |(what, used, wanted): &(What, u64, u64)| {
            let (limit, _) = limit(*what, &self.own, self.role, defaults);
            limit.filter(|most| wanted > used && wanted > most)
        };
        let Some((most, (what, used, wanted))) = all.iter().find_map(|one| Some((over(one)?, *one))) else {
            return Ok(());
        };
        let name = &self.name;
        let (now, most, needs) = (what.show(used), what.counted(&what.show(most)), what.show(wanted));
        let raised: Vec<(What, u64)> =
            all.iter().filter(|one| over(one).is_some()).map(|(what, _, wanted)| (*what, *wanted)).collect();
        Err(Refusal::new(what.code(), format!("{name} uses {now} of {most}, this needs {needs}"))
            .why("what an app uses is counted for its owner, whoever asks")
            .next(what.less())
            .next(self.raise(&raised)))
    }

    /// Whether a push may begin while `used` bytes are kept: how much it will add nobody knows before.
    pub fn may_keep(&self, used: u64, defaults: &Limits) -> Result<(), Refusal> {
        let (Some(most), _) = limit(What::Disk, &self.own, self.role, defaults) else { return Ok(()) };
        if used < most {
            return Ok(());
        }
        let (now, most) = (What::Disk.show(used), What::Disk.counted(&What::Disk.show(most)));
        let name = &self.name;
        Err(Refusal::new(Code::QuotaDisk, format!("{name} uses {now} of {most}: nothing more is taken"))
            .why("repositories, build caches and logs of all apps of one owner are counted")
            .next(What::Disk.less())
            // A tenth more: the smallest that works is full again after the next push.
            .next(self.raise(&[(What::Disk, used.saturating_add(used / 10).saturating_add(MB))])))
    }

    /// Whether so many bytes more may be kept beside `used`.
    pub fn may_grow(&self, used: u64, more: u64, defaults: &Limits) -> Result<(), Refusal> {
        let (Some(most), _) = limit(What::Disk, &self.own, self.role, defaults) else { return Ok(()) };
        let wanted = used.saturating_add(more);
        if wanted <= most {
            return Ok(());
        }
        let (now, most) = (What::Disk.show(used), What::Disk.counted(&What::Disk.show(most)));
        let (name, more) = (&self.name, text::human_bytes(more));
        Err(Refusal::new(Code::QuotaDisk, format!("{name} uses {now} of {most}: {more} more does not fit"))
            .why("repositories with their Git LFS files, build caches and logs of all apps of one owner are counted")
            .next(What::Disk.less())
            .next(self.raise(&[(What::Disk, wanted.saturating_add(wanted / 10).saturating_add(MB))])))
    }

    fn raise(&self, all: &[(What, u64)]) -> String {
        let words: Vec<String> =
            all.iter().map(|(what, wanted)| format!("{}={}", what.word(), what.written(*wanted))).collect();
        format!("ask an administrator for: quota:set {} {}", self.name, words.join(" "))
    }
}

/// What instances use, by their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// How many.
    pub instances: u64,
    /// Bytes of memory that they may use.
    pub memory: u64,
    /// Thousandths of processors that they may use.
    pub processors: u64,
}

impl Load {
    /// `count` instances of `memory` and `processors` each.
    pub fn of(count: u64, memory: u64, processors: u64) -> Load {
        Load { instances: count, memory: count.saturating_mul(memory), processors: count.saturating_mul(processors) }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Load) -> Load {
        Load {
            instances: self.instances.saturating_add(other.instances),
            memory: self.memory.saturating_add(other.memory),
            processors: self.processors.saturating_add(other.processors),
        }
    }
}

/// How many instances each app is counted with: of the sets that overlap while it is deployed, the largest.
pub fn largest_sets(sets: impl IntoIterator<Item = (AppId, u64)>) -> BTreeMap<AppId, u64> {
    let mut most: BTreeMap<AppId, u64> = BTreeMap::new();
    for (app, count) in sets {
        let entry = most.entry(app).or_default();
        *entry = count.max(*entry);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana(own: &[(What, Limit)], role: Role) -> Holder {
        Holder { name: "ana".parse().unwrap(), role, own: own.iter().copied().collect() }
    }

    fn defaults() -> Limits {
        [(What::Apps, Some(2)), (What::Instances, Some(4)), (What::Memory, Some(2_048 * MB)), (What::Processors, None)]
            .into()
    }

    #[test]
    fn values_are_read_as_they_are_written() {
        let check = |what: What, text: &str, want: Option<Limit>| assert_eq!(what.limit(text).ok(), want, "{text}");
        check(What::Apps, "20", Some(Some(20)));
        check(What::Apps, "0", Some(Some(0)));
        check(What::Apps, UNLIMITED, Some(None));
        for bad in ["", "-1", "1.5", "20g", "99999999999999999999", "2000000000000000"] {
            check(What::Apps, bad, None);
        }
        check(What::Memory, "8g", Some(Some(8_000 * MB)));
        check(What::Memory, "1.5GB", Some(Some(1_500 * MB)));
        check(What::Memory, "512m", Some(Some(512 * MB)));
        check(What::Disk, "512", Some(Some(512 * MB)));
        check(What::Disk, "2T", Some(Some(2_000_000 * MB)));
        for bad in ["", "g", "8k", "8b", "1.2345g", "1.g", ".5g", "-1g", "8 g", "99999999999t"] {
            check(What::Memory, bad, None);
        }
        check(What::Processors, "1.5", Some(Some(1_500)));
        check(What::Processors, "4", Some(Some(4_000)));
        check(What::Processors, "four", None);
        check(What::Builds, "1", Some(Some(1)));
        check(What::Builds, "0", None);
        for what in What::ALL {
            assert_eq!(What::parse(what.word()).unwrap(), what);
            for number in [1, 20, 999_999, 1_000_001, 8_345_678_901] {
                let read = what.limit(&what.written(number)).unwrap().unwrap();
                assert!(read >= number && read < number + MB, "{what:?} {number} {read}");
            }
        }
        assert_eq!(What::parse("cpu").unwrap(), What::Processors);
        assert_eq!(What::parse("friends").unwrap_err().code, Code::NoSuchQuota);
        assert_eq!((What::Processors.show(1_500), What::Processors.show(4_000)), ("1.5".into(), "4".into()));
        assert_eq!(What::Memory.show_limit(None), UNLIMITED);
    }

    #[test]
    fn whose_limit_holds() {
        let none = Limits::new();
        let own: Limits = [(What::Apps, Some(9))].into();
        assert_eq!(limit(What::Apps, &none, Role::Developer, &defaults()), (Some(2), Whose::Default));
        assert_eq!(limit(What::Apps, &none, Role::Admin, &defaults()), (None, Whose::Administrators));
        assert_eq!(limit(What::Apps, &own, Role::Developer, &defaults()), (Some(9), Whose::Set));
        assert_eq!(limit(What::Apps, &own, Role::Admin, &defaults()), (Some(9), Whose::Set));
        assert_eq!(limit(What::Disk, &none, Role::Developer, &defaults()), (None, Whose::Default));
        let own: Limits = [(What::Apps, None)].into();
        assert_eq!(limit(What::Apps, &own, Role::Developer, &defaults()), (None, Whose::Set));
    }

    #[test]
    fn what_is_open_at_once_binds_administrators_too() {
        let defaults: Limits = [(What::Sessions, Some(50)), (What::Builds, Some(2))].into();
        let none = Limits::new();
        assert_eq!(limit(What::Sessions, &none, Role::Admin, &defaults), (Some(50), Whose::Default));
        assert_eq!(limit(What::Builds, &none, Role::Admin, &defaults), (None, Whose::Administrators));
        let own: Limits = [(What::Sessions, None)].into();
        assert_eq!(limit(What::Sessions, &own, Role::Admin, &defaults), (None, Whose::Set));
        for what in [What::Builds, What::Sessions, What::Commands, What::Pushes] {
            assert_eq!((what.limit("0").ok(), what.limit("1").ok()), (None, Some(Some(1))), "{what:?}");
        }
    }

    #[test]
    fn more_is_refused_and_what_is_there_stays() {
        let who = ana(&[], Role::Developer);
        assert!(who.may(What::Apps, 1, 2, &defaults()).is_ok());
        let no = who.may(What::Apps, 2, 3, &defaults()).unwrap_err();
        assert_eq!(
            no.lines(),
            [
                "ana uses 2 of 2 apps, this needs 3",
                "what an app uses is counted for its owner, whoever asks",
                "next: apps:destroy NAME --confirm NAME, one that is not needed (apps:list)",
                "  or: ask an administrator for: quota:set ana apps=3",
            ]
        );
        // Above the limit already, since it was lowered: as many again is in order, one more is not.
        let low = ana(&[(What::Instances, Some(1))], Role::Developer);
        assert!(low.may(What::Instances, 3, 3, &defaults()).is_ok());
        assert!(low.may(What::Instances, 3, 2, &defaults()).is_ok());
        assert_eq!(low.may(What::Instances, 3, 4, &defaults()).unwrap_err().code, Code::QuotaInstances);
        assert!(ana(&[], Role::Admin).may(What::Apps, 500, 501, &defaults()).is_ok());
        assert!(ana(&[(What::Apps, Some(1))], Role::Admin).may(What::Apps, 1, 2, &defaults()).is_err());
    }

    #[test]
    fn each_of_what_runs_is_looked_at() {
        let code = |own: &[(What, Limit)], wanted: Load| {
            ana(own, Role::Developer).may_run(Load::default(), wanted, &defaults()).err().map(|no| no.code)
        };
        assert_eq!(code(&[], Load::of(4, 512 * MB, 1_500)), None);
        assert_eq!(code(&[], Load::of(5, MB, 10)), Some(Code::QuotaInstances));
        assert_eq!(code(&[], Load::of(4, 513 * MB, 10)), Some(Code::QuotaMemory));
        let own = [(What::Processors, Some(1_500))];
        assert_eq!(code(&own, Load::of(1, MB, 1_500)), None);
        assert_eq!(code(&own, Load::of(1, MB, 1_501)), Some(Code::QuotaProcessors));
        // What is proposed works, for all of which there would be too much.
        let own = [(What::Instances, Some(1)), (What::Processors, Some(1_500))];
        let no = ana(&own, Role::Developer).may_run(Load::default(), Load::of(3, MB, 1_500), &defaults()).unwrap_err();
        assert!(no.next.iter().any(|next| next.ends_with("quota:set ana instances=3 processors=4.5")), "{no}");
        let who = ana(&[], Role::Developer);
        let no = who.may_run(Load::default(), Load::of(3, 1_000 * MB + 1, 0), &defaults()).unwrap_err();
        assert_eq!(no.what, "ana uses 0 B of 2.0 GB of memory, this needs 3.0 GB");
        let value = no.next.iter().find_map(|next| next.split("memory=").nth(1)).unwrap();
        let raised = ana(&[(What::Memory, What::Memory.limit(value).unwrap())], Role::Developer);
        assert!(raised.may_run(Load::default(), Load::of(3, 1_000 * MB + 1, 0), &defaults()).is_ok());
        let both = Load::of(2, 10, 5).and(Load { instances: 1, memory: 7, processors: 5 });
        assert_eq!(both, Load { instances: 3, memory: 27, processors: 15 });
    }

    #[test]
    fn a_full_disk_of_ones_own() {
        let who = ana(&[(What::Disk, Some(100 * MB))], Role::Developer);
        assert!(who.may_keep(100 * MB - 1, &defaults()).is_ok());
        let no = who.may_keep(100 * MB, &defaults()).unwrap_err();
        assert_eq!(no.code, Code::QuotaDisk);
        assert!(no.next.iter().any(|next| next == "ask an administrator for: quota:set ana disk=111m"), "{no}");
        assert!(ana(&[], Role::Admin).may_keep(u64::MAX, &defaults()).is_ok());
    }

    #[test]
    fn of_sets_that_overlap_the_largest_counts() {
        let (a, b): (AppId, AppId) = ("aaaaaaaa".parse().unwrap(), "bbbbbbbb".parse().unwrap());
        let got = largest_sets([(a.clone(), 2), (a.clone(), 3), (b.clone(), 1), (a.clone(), 1)]);
        assert_eq!(got, [(a, 3), (b, 1)].into());
    }
}
