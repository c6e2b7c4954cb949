//! What heads of requests and of responses have in common: their size, their fields, and how they are refused.

use std::mem::MaybeUninit;

/// The most header fields that the parser has room for; limits may be lower.
pub const SLOTS: usize = 128;

/// Room for the fields of one head, on the caller's stack.
pub struct Slots<'b>(pub(super) [MaybeUninit<httparse::Header<'b>>; SLOTS]);

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the first line.
    pub first_line: usize,
    /// Bytes of one field line.
    pub field_line: usize,
    /// Number of fields, at most [`SLOTS`].
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
    /// What a client may send.
    pub const REQUEST: Self = Self { first_line: 8192, field_line: 8192, fields: 100, head: 65536 };
    /// What an app may send: longer lines, since cookies and policies of apps are.
    pub const RESPONSE: Self = Self { first_line: 8192, field_line: 32768, fields: SLOTS, head: 65536 };
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self([const { MaybeUninit::uninit() }; SLOTS])
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

/// Whether a Connection field of this message lists the name.
pub fn listed(fields: &[httparse::Header<'_>], name: &str) -> bool {
    fields
        .iter()
        .filter(|f| f.name.eq_ignore_ascii_case("connection"))
        .any(|f| tokens(f.value).any(|t| t.eq_ignore_ascii_case(name.as_bytes())))
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
