//! How the text of a setting is read: one value of these for each kind, which knows its bounds, its unit and its words.

use domain::quota::{Limit, UNLIMITED};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Who starts the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterMode {
    /// The server, when none answers.
    Spawn,
    /// Somebody else, such as systemd: the server only waits for it.
    External,
}

/// Bytes of a megabyte.
pub(super) const MEGABYTE: u64 = 1_000_000;
/// The most that a limit of one user can be.
const LIMIT_MAX: u64 = 1 << 30;

/// A kind of setting.
pub(super) trait Grammar {
    /// What it is in the program.
    type Value;
    /// The word for it in the help, such as `MB`.
    fn word(&self) -> &'static str;
    /// What it takes, in words that go on after "is not valid: ".
    fn takes(&self) -> String;
    /// What a bare number counts; empty: things.
    fn unit(&self) -> &'static str {
        ""
    }
    /// Reads it.
    ///
    /// # Errors
    /// What it should be, in words.
    fn read(&self, text: &str) -> Result<Self::Value, String>;
}

/// A number between two bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    least: u64,
    most: u64,
    word: &'static str,
    unit: &'static str,
    /// How much one of its unit is.
    times: u64,
}

pub(super) const fn number(least: u64, most: u64) -> Number {
    Number { least, most, word: "N", unit: "", times: 1 }
}

pub(super) const fn bytes(least: u64, most: u64) -> Number {
    Number { least, most, word: "BYTES", unit: "bytes", times: 1 }
}

pub(super) const fn megabytes(least: u64, most: u64) -> Number {
    Number { least, most, word: "MB", unit: "MB", times: MEGABYTE }
}

impl Grammar for Number {
    type Value = u64;
    fn word(&self) -> &'static str {
        self.word
    }
    fn takes(&self) -> String {
        format!("a number from {} to {}", self.least, self.most)
    }
    fn unit(&self) -> &'static str {
        self.unit
    }
    fn read(&self, text: &str) -> Result<u64, String> {
        let number = text.parse().ok().filter(|n| (self.least..=self.most).contains(n));
        number.map(|n| n * self.times).ok_or_else(|| self.takes())
    }
}

/// A number of seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(Number);

pub(super) const fn seconds(least: u64, most: u64) -> Seconds {
    Seconds(Number { least, most, word: "SECONDS", unit: "s", times: 1 })
}

impl Grammar for Seconds {
    type Value = Duration;
    fn word(&self) -> &'static str {
        self.0.word
    }
    fn takes(&self) -> String {
        self.0.takes()
    }
    fn unit(&self) -> &'static str {
        self.0.unit
    }
    fn read(&self, text: &str) -> Result<Duration, String> {
        self.0.read(text).map(Duration::from_secs)
    }
}

/// The most that one user may have: a number, or as much as there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtMost(Number);

pub(super) const fn limit(least: u64) -> AtMost {
    AtMost(Number { word: "N|unlimited", ..number(least, LIMIT_MAX) })
}

pub(super) const fn limit_of_megabytes() -> AtMost {
    AtMost(Number { word: "MB|unlimited", ..megabytes(0, LIMIT_MAX) })
}

impl Grammar for AtMost {
    type Value = Limit;
    fn word(&self) -> &'static str {
        self.0.word
    }
    fn takes(&self) -> String {
        format!("{}, or {UNLIMITED}", self.0.takes())
    }
    fn unit(&self) -> &'static str {
        self.0.unit
    }
    fn read(&self, text: &str) -> Result<Limit, String> {
        if text == UNLIMITED {
            return Ok(None);
        }
        self.0.read(text).map(Some).map_err(|_| self.takes())
    }
}

/// A text of its own kind.
#[derive(Debug, Clone)]
pub(super) struct Text<T> {
    word: &'static str,
    takes: String,
    read: fn(&str) -> Option<T>,
}

impl<T> Grammar for Text<T> {
    type Value = T;
    fn word(&self) -> &'static str {
        self.word
    }
    fn takes(&self) -> String {
        self.takes.clone()
    }
    fn read(&self, text: &str) -> Result<T, String> {
        (self.read)(text).ok_or_else(|| self.takes())
    }
}

fn text<T>(word: &'static str, takes: &str, read: fn(&str) -> Option<T>) -> Text<T> {
    Text { word, takes: takes.to_owned(), read }
}

/// A path, from the folder where the server starts.
pub(super) fn path(word: &'static str) -> Text<PathBuf> {
    text(word, "a path", |text| std::path::absolute(text).ok())
}

pub(super) fn file() -> Text<PathBuf> {
    text("FILE", "a file that is there", |text| std::path::absolute(text).ok().filter(|path| path.is_file()))
}

pub(super) fn address() -> Text<SocketAddr> {
    text("ADDR", "an address and a port, such as 127.0.0.1:2222", |text| text.parse().ok())
}

pub(super) fn host() -> Text<String> {
    text("NAME", "a host name, such as apps.example.com", |text| domain::hostname::configured(text).ok())
}

pub(super) fn refuse_or_allow() -> Text<bool> {
    text("refuse|allow", "refuse or allow", |text| match text {
        "refuse" => Some(false),
        "allow" => Some(true),
        _ => None,
    })
}

pub(super) fn router_mode() -> Text<RouterMode> {
    text("spawn|external", "spawn or external", |text| match text {
        "spawn" => Some(RouterMode::Spawn),
        "external" => Some(RouterMode::External),
        _ => None,
    })
}

pub(super) fn yes_no() -> Text<bool> {
    text("yes|no", "yes or no", |text| match text {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    })
}

pub(super) fn user_name() -> Text<String> {
    text("NAME", "the name of a user of this machine", |text| {
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let whole = (1..=32).contains(&text.len()) && text.bytes().all(letters) && !text.starts_with('-');
        whole.then(|| text.to_owned())
    })
}

/// The name of a user of this host that is not root.
pub(super) fn shared_user() -> Text<String> {
    text("USER", "the name of a user of this host that is not root, such as hoist", |text| {
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
        let starts = text.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
        (starts && text.len() <= 32 && text.bytes().all(good) && text != "root").then(|| text.to_owned())
    })
}

pub(super) fn languages() -> Text<Vec<&'static str>> {
    let takes = format!("some of {}, or none", buildpacks::FETCHING.join(", "));
    text("LANGUAGES|none", &takes, |text| {
        if text.trim() == "none" {
            return Some(Vec::new());
        }
        let known =
            |word: &str| buildpacks::FETCHING.into_iter().find(|name| Some(*name) == buildpacks::buildpack_name(word));
        let all = words(text).map(known).collect::<Option<Vec<_>>>();
        all.filter(|all| !all.is_empty())
    })
}

pub(super) fn networks() -> Text<Vec<router::Network>> {
    text("NETWORKS", "addresses and networks, such as 127.0.0.1 10.0.0.0/8", |text| {
        words(text).map(|word| word.parse().ok()).collect()
    })
}

pub(super) fn network() -> Text<(Ipv4Addr, u8)> {
    text("NET/LEN", "a network and its length (8 to 18), such as 10.208.0.0/12", |text| {
        let (net, len) = text.split_once('/')?;
        let (net, len): (Ipv4Addr, u8) = (net.parse().ok()?, len.parse().ok()?);
        (8..=18).contains(&len).then_some((net, len))
    })
}

pub(super) fn ports() -> Text<Vec<u16>> {
    text("PORTS", "ports, such as 5432 6379", |text| {
        words(text).map(|word| word.parse().ok().filter(|port| *port > 0)).collect()
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty())
}
