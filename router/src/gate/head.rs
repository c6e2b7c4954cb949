//! What heads of requests and of responses have in common: their size, their fields, and how they are refused.

use std::{cmp::Ordering, mem::MaybeUninit};

/// So many fields have room on the caller's stack. Hardly a head has more.
const FEW: usize = 128;

type Slot<'b> = MaybeUninit<httparse::Header<'b>>;

/// Room for the fields of one head.
pub struct Slots<'b> {
    few: [Slot<'b>; FEW],
    /// In place of the few, where there are more.
    many: Vec<Slot<'b>>,
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the first line.
    pub first_line: usize,
    /// Bytes of one field line.
    pub field_line: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of the whole head.
    pub head: usize,
}

/// A message that does not pass: the status for the client and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 400, 405, 414, 417, 431 or 505.
    pub status: u16,
    /// A few words for the page and the log.
    pub why: &'static str,
}

impl Refused {
    pub(crate) const fn bad(why: &'static str) -> Self {
        Self { status: 400, why }
    }
}

impl HeadLimits {
    /// What a client may send: no less than with nginx (lines of 8 KiB, 32 KiB in all) or Heroku (lines of 8 KiB, 1,000 fields).
    pub const REQUEST: Self = Self { first_line: 32 << 10, field_line: 32 << 10, fields: 1000, head: 64 << 10 };
    /// What an app may send. A line may take all of the head, since cookies and policies of apps do.
    pub const RESPONSE: Self = Self { first_line: 8192, field_line: 256 << 10, fields: 1000, head: 256 << 10 };
}

impl<'b> Slots<'b> {
    /// Room for so many fields.
    pub fn of(fields: usize) -> Self {
        let more = if fields > FEW { fields } else { 0 };
        let many = std::iter::repeat_with(MaybeUninit::uninit).take(more).collect();
        Self { few: [const { MaybeUninit::uninit() }; FEW], many }
    }

    pub(super) fn room(&mut self) -> &mut [Slot<'b>] {
        if self.many.is_empty() { &mut self.few } else { &mut self.many }
    }
}

/// What the Connection fields of a message say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close` is listed.
    pub close: bool,
    /// `keep-alive` is listed.
    pub keep_alive: bool,
    /// `upgrade` is listed.
    pub upgrade: bool,
}

impl Connection {
    pub(super) fn read(&mut self, value: &[u8]) {
        for token in tokens(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }
}

/// The members of a comma-separated list, trimmed.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

/// The names that the Connection fields of a message list. Sorted once: a head can have a thousand fields and as many names.
pub struct Listed<'b>(Vec<&'b [u8]>);

impl<'b> Listed<'b> {
    /// What the fields list.
    pub fn of(fields: &[httparse::Header<'b>]) -> Self {
        let lists = fields.iter().filter(|f| f.name.eq_ignore_ascii_case("connection"));
        let mut names: Vec<&[u8]> = lists.flat_map(|f| tokens(f.value)).collect();
        names.sort_unstable_by(|a, b| in_small_letters(a, b));
        Self(names)
    }

    /// Whether the name is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.binary_search_by(|listed| in_small_letters(listed, name.as_bytes())).is_ok()
    }
}

fn in_small_letters(a: &[u8], b: &[u8]) -> Ordering {
    let small = u8::to_ascii_lowercase;
    a.iter().map(small).cmp(b.iter().map(small))
}

/// A Content-Length: digits only, at most 18 of them, so that it never overflows.
pub(super) fn length(value: &[u8]) -> Option<u64> {
    let digits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    if !digits {
        return None;
    }
    Some(value.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')))
}

/// The first fault of a field value that the parser lets through, if any.
pub(super) fn odd_value(value: &[u8]) -> bool {
    value.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_in_any_case_and_number() {
        let field = |name, value: &'static str| httparse::Header { name, value: value.as_bytes() };
        let fields = [field("Connection", "close, X-b"), field("A", "x-c"), field("connection", "x-A,, Keep-Alive")];
        let listed = Listed::of(&fields);
        for (name, want) in [("x-a", true), ("X-B", true), ("KEEP-alive", true), ("x-c", false), ("x", false)] {
            assert_eq!(listed.has(name), want, "{name}");
        }
        assert!(!Listed::of(&fields[1..2]).has("x-c"), "only Connection lists");
    }
}
