//! The gate beside hyper: what both accept is framed alike, and nothing that hyper refuses is accepted. There is one thing
//! that hyper refuses and the gate takes, since nginx does: chunks of an app whose lines end in LF alone. Hyper is given
//! those as they leave us.
//!
//! What hyper accepts and the gate refuses is meant so, and counted. Numbers make the messages (`generate`), so a case is
//! told by its seed; those that found something are in `found.in` and run first. The usual run is short and always the
//! same. `GATE_CASES=20000000 cargo test --release -p router differential` is a long one, from `GATE_SEED`.

mod generate;
mod readers;

use std::collections::BTreeMap;

use self::{
    generate::{Dice, requests, responses},
    readers::{Reading, Then, requests_by_them, requests_by_us, response_by_them, response_by_us},
};

/// Messages in a usual run, of requests and of responses each.
const CASES: u64 = 75_000;

/// Which messages, and how they are read.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Requests,
    Response { head_only: bool },
}

/// One message or several, and how many bytes come at once.
struct Case {
    kind: Kind,
    step: usize,
    bytes: Vec<u8>,
}

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// The same, and so many messages.
    Alike(usize),
    /// We refuse, or end the connection, where hyper goes on.
    Stricter(String),
    /// What must not be.
    Wrong(String),
}

impl Case {
    fn from(seed: u64, responding: bool) -> Self {
        let dice = &mut Dice::new(seed);
        let (kind, bytes) = match responding {
            false => (Kind::Requests, requests(dice)),
            true => (Kind::Response { head_only: dice.once_in(6) }, responses(dice)),
        };
        // Large ones would take long in small pieces.
        let step = if dice.once_in(4) && bytes.len() < 4096 { 1 + dice.below(7) } else { usize::MAX };
        Self { kind, step, bytes }
    }

    fn read(&self) -> (Reading, Reading) {
        let Self { kind, step, bytes } = self;
        match *kind {
            Kind::Requests => (requests_by_us(bytes, *step), requests_by_them(bytes, *step)),
            Kind::Response { head_only } => {
                let (ours, mended) = response_by_us(bytes, *step, head_only);
                (ours, response_by_them(mended.as_deref().unwrap_or(bytes), *step, head_only))
            }
        }
    }

    fn compare(&self) -> Found {
        let (ours, theirs) = self.read();
        for (a, b) in ours.messages.iter().zip(&theirs.messages) {
            if (&a.line, &a.fields, &a.body) != (&b.line, &b.fields, &b.body) {
                return Found::Wrong(format!("we read\n  {a:?}\nhyper\n  {b:?}"));
            }
            if b.end.is_some() && a.end != b.end {
                return Found::Wrong(format!("for us it ends after {:?} bytes, for hyper after {:?}", a.end, b.end));
            }
        }
        let next = |of: &Reading, n: usize| of.messages.get(n).map(|m| m.line.clone());
        let both = ours.messages.len().min(theirs.messages.len());
        match (next(&ours, both), next(&theirs, both), &ours.then) {
            (Some(line), _, _) => Found::Wrong(format!("we accept {line:?}, hyper {:?}", theirs.then)),
            (None, Some(line), Then::Waits) => Found::Wrong(format!("hyper accepts {line:?}, we wait for more of it")),
            (None, Some(_), Then::Closes) => Found::Stricter("closed".into()),
            (None, Some(_), Then::Refuses(why)) => Found::Stricter(why.clone()),
            (None, None, _) => Found::Alike(both),
        }
    }

    /// The same fault in fewer bytes.
    fn shrink(mut self) -> Self {
        let wrong = |found: Found| matches!(found, Found::Wrong(_));
        let mut size = self.bytes.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at + size <= self.bytes.len() {
                let less = [&self.bytes[..at], &self.bytes[at + size..]].concat();
                let less = Self { bytes: less, ..self };
                if wrong(less.compare()) {
                    self = less;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        self
    }

    /// As a line of `found.in`.
    fn line(&self) -> String {
        let kind = match self.kind {
            Kind::Requests => "requests",
            Kind::Response { head_only: false } => "response",
            Kind::Response { head_only: true } => "response-to-head",
        };
        format!("{kind} {} {}", self.step.min(1 << 20), self.bytes.escape_ascii())
    }

    fn of_line(line: &str) -> Self {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let kind = match words[0] {
            "requests" => Kind::Requests,
            "response" => Kind::Response { head_only: false },
            "response-to-head" => Kind::Response { head_only: true },
            other => panic!("{other:?} is no kind of case"),
        };
        Self { kind, step: words[1].parse().unwrap(), bytes: unescape(words[2]) }
    }
}

/// What `escape_ascii` was made from.
fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (vec![], text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (byte, len) = match after[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'x' => (u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap(), 3),
            same => (same, 1),
        };
        out.push(byte);
        rest = &after[len..];
    }
    out
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |n| n.parse().unwrap())
}

/// What came out, and how often.
fn run(responding: bool) -> BTreeMap<Found, u64> {
    let (cases, seed) = (number("GATE_CASES", CASES), number("GATE_SEED", 0));
    let mut all: BTreeMap<Found, u64> = BTreeMap::new();
    for seed in seed..seed + cases {
        let case = Case::from(seed, responding);
        let found = case.compare();
        if let Found::Wrong(_) = found {
            let (line, less) = (case.line(), case.shrink());
            panic!("seed {seed}:\n{line}\nin fewer bytes:\n{}\n{:?}", less.line(), less.compare());
        }
        *all.entry(found).or_default() += 1;
    }
    for (found, count) in &all {
        println!("{count:9} {found:?}");
    }
    all
}

/// A generator that makes only what is refused would prove nothing.
fn enough(found: &BTreeMap<Found, u64>, of: impl Fn(&Found) -> bool) {
    let all: u64 = found.values().sum();
    let some: u64 = found.iter().filter(|(f, _)| of(f)).map(|(_, n)| n).sum();
    assert!(some * 20 > all, "only {some} of {all}: {found:?}");
}

#[test]
fn requests_are_framed_as_hyper_frames_them_or_refused() {
    let found = run(false);
    enough(&found, |f| matches!(f, Found::Alike(1..)));
    enough(&found, |f| matches!(f, Found::Stricter(_)));
    assert!(found.contains_key(&Found::Alike(3)), "none of three in a row: {found:?}");
}

#[test]
fn responses_are_framed_as_hyper_frames_them_or_refused() {
    let found = run(true);
    enough(&found, |f| matches!(f, Found::Alike(1..)));
    enough(&found, |f| matches!(f, Found::Stricter(_)));
}

#[test]
fn what_was_found_once_stays_mended() {
    for line in include_str!("found.in").lines().filter(|l| !l.starts_with('#')) {
        let case = Case::of_line(line);
        assert_eq!(case.line(), line, "it is written as it would be reported");
        let found = case.compare();
        assert!(!matches!(found, Found::Wrong(_)), "{line}\n{found:?}");
    }
}
