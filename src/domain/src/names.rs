//! Names and ids: one type each, one grammar each, checked where they enter and trusted inside.
//!
//! Absent: any constructor that skips the grammar.

use crate::refusal::Code;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Reserved because they are words of our own interface, paths or hosts.
const RESERVED: [&str; 8] = ["admin", "api", "git", "hoist", "login", "new", "www", "dashboard"];

macro_rules! word {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = Refusal;
            fn try_from(text: String) -> Result<$name, Refusal> {
                text.parse()
            }
        }
    };
}

word!(/// An app's name, 1 to 30 characters `[a-z0-9-]`, beginning with a letter, not ending in `-`: it is a DNS label too.
    AppName);
word!(/// A user's name, 1 to 32 characters `[a-z0-9._-]`, beginning with a letter or digit.
    UserName);
word!(/// A process type of a Procfile: `web`, `worker`; 1 to 30 characters `[A-Za-z0-9_-]`, beginning with a letter.
    ProcessType);
word!(/// A config var's name, `[A-Za-z_][A-Za-z0-9_]*`, at most 128 characters.
    VarName);
word!(/// A git commit id in full: 40 lower-case hex digits.
    Commit);
word!(/// An app's immutable id: 8 characters `[a-z0-9]`; everything in the engine and on disk is named by it.
    AppId);
word!(/// This installation's id: 4 characters `[a-z0-9]`; several installations live on one host.
    InstallId);

impl FromStr for AppName {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<AppName, Refusal> {
        let grammar = "1 to 30 characters: small letters, digits and -, beginning with a letter, not ending in -";
        let ok = (1..=30).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            && !text.ends_with('-')
            && !text.contains("--");
        if !ok {
            return Err(bad_name(Code::BadAppName, "an app's name", text, grammar).next(suggestion(text)));
        }
        if RESERVED.contains(&text) {
            return Err(
                Refusal::new(Code::ReservedName, format!("{text} is a reserved name")).next("choose another name")
            );
        }
        Ok(AppName(text.to_owned()))
    }
}

impl FromStr for UserName {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<UserName, Refusal> {
        let ok = (1..=32).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
            && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if ok {
            return Ok(UserName(text.to_owned()));
        }
        Err(bad_name(
            Code::BadUserName,
            "a user's name",
            text,
            "1 to 32 characters a-z 0-9 . _ -, beginning with a letter or digit",
        ))
    }
}

impl FromStr for ProcessType {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<ProcessType, Refusal> {
        let ok = (1..=30).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        if ok {
            return Ok(ProcessType(text.to_owned()));
        }
        Err(bad_name(
            Code::BadProcessType,
            "a process type",
            text,
            "1 to 30 characters A-Z a-z 0-9 _ -, beginning with a letter",
        ))
    }
}

impl FromStr for VarName {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<VarName, Refusal> {
        let ok = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text.as_bytes().first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
        if ok {
            return Ok(VarName(text.to_owned()));
        }
        // A piece of a value whose quotes were lost is not shown.
        let shown = text.split('=').next().unwrap_or(text);
        let shown =
            if shown.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-. ".contains(&b)) { shown } else { "…" };
        Err(bad_name(
            Code::BadVarName,
            "a config var's name",
            shown,
            "letters, digits and _, not beginning with a digit, at most 128",
        ))
    }
}

impl FromStr for Commit {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Commit, Refusal> {
        if text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Commit(text.to_owned()));
        }
        Err(bad_name(Code::BadCommit, "a commit id", text, "40 hex digits"))
    }
}

impl Commit {
    /// The first eight digits, as shown to people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

macro_rules! fixed_id {
    ($name:ident, $len:expr, $what:expr) => {
        impl FromStr for $name {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<$name, Refusal> {
                if text.len() == $len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z')) {
                    return Ok($name(text.to_owned()));
                }
                Err(bad_name(Code::BadId, $what, text, "small letters and digits"))
            }
        }
        impl $name {
            /// An id from random bytes that the shell provides; the same bytes give the same id.
            pub fn from_random(bytes: [u8; $len]) -> $name {
                const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
                $name(bytes.iter().filter_map(|b| DIGITS.get(usize::from(b % 32))).map(|b| char::from(*b)).collect())
            }
        }
    };
}
fixed_id!(AppId, 8, "an app id");
fixed_id!(InstallId, 4, "an installation id");

/// A release's number within its app, shown as `v12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseNumber(pub u32);

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}", self.0))
    }
}

impl FromStr for ReleaseNumber {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<ReleaseNumber, Refusal> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None };
        number.filter(|n| *n > 0).map(ReleaseNumber).ok_or_else(|| {
            bad_name(Code::BadRelease, "a release", text, "v and a number, as `releases` lists them: v12")
        })
    }
}

/// An instance's id: the key of its row in the store, unique in this installation, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub i64);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

fn bad_name(code: Code, noun: &str, text: &str, grammar: &str) -> Refusal {
    let shown: String = text.chars().take(40).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Refusal::new(code, format!("\"{shown}\" is not {noun}")).why(format!("allowed: {grammar}"))
}

/// A name near the one typed that the grammar takes.
fn suggestion(text: &str) -> String {
    let mut near = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()).take(60) {
        match c {
            'a'..='z' => near.push(c),
            '0'..='9' if !near.is_empty() => near.push(c),
            _ if !near.is_empty() && !near.ends_with('-') => near.push('-'),
            _ => {}
        }
    }
    let near: String = near.chars().take(30).collect();
    match near.trim_end_matches('-') {
        "" => "choose a name such as blog".to_owned(),
        name => format!("for example {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names() {
        for good in ["a", "blog", "my-app-2", "abcdefghijklmnopqrstuvwxyz1234"] {
            assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "1a",
            "a.b",
            "a_b",
            "a b",
            "../x",
            "~x",
            "a\0b",
            "a;id",
            "$(id)",
            "--help",
            "admin",
            "ünder",
            "abcdefghijklmnopqrstuvwxyz12345",
            "a\nb",
            "a/b",
        ] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?}");
        }
        let no = "My App!".parse::<AppName>().unwrap_err();
        assert_eq!(no.next, ["for example my-app"]);
    }

    #[test]
    fn other_names() {
        assert!("web".parse::<ProcessType>().is_ok() && "9web".parse::<ProcessType>().is_err());
        assert!(
            "_A1".parse::<VarName>().is_ok() && "1A".parse::<VarName>().is_err() && "A=B".parse::<VarName>().is_err()
        );
        assert!("a".repeat(40).parse::<Commit>().is_ok() && "A".repeat(40).parse::<Commit>().is_err());
        assert_eq!("v12".parse::<ReleaseNumber>().unwrap(), ReleaseNumber(12));
        for bad in ["v0", "v", "", "v-1", "v99999999999", "v+1"] {
            assert!(bad.parse::<ReleaseNumber>().is_err(), "{bad:?}");
        }
        assert_eq!(AppId::from_random([0, 1, 2, 3, 4, 255, 31, 32]).as_str(), "abcde77a");
        assert!(serde_json::from_str::<AppName>("\"../x\"").is_err());
    }
}
