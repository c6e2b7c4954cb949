//! What a pusher sends before the pack: which refs it wants where. Looked at for its size alone; git reads it.
//!
//! Invariant: git never gets a list longer than it can hold in its memory. Absent: any meaning of a line.

/// Lines of refs and options, at most: the hook refuses that many refs with better words, so it gets to see them.
const LINES_MAX: usize = 10_200;
/// Bytes of them.
const BYTES_MAX: usize = 4 << 20;
const HEAD: usize = 4;

/// Where a pusher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// In its list.
    List,
    /// In its pack.
    Pack,
    /// Beyond what is taken.
    TooMuch,
}

/// Follows one pusher.
#[derive(Debug, Default)]
pub(super) struct Head {
    lines: usize,
    bytes: usize,
    /// Bytes of the line at hand that are still to come.
    left: usize,
    start: Vec<u8>,
    pack: bool,
}

impl Head {
    /// Takes note of what came.
    pub(super) fn see(&mut self, bytes: &[u8]) -> At {
        if self.pack {
            return At::Pack;
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            if self.left > 0 {
                let step = self.left.min(rest.len());
                self.left -= step;
                rest = rest.get(step..).unwrap_or_default();
                continue;
            }
            self.start.push(*first);
            rest = after;
            if self.start.len() < HEAD {
                continue;
            }
            let digits = std::str::from_utf8(&self.start).ok().filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
            match digits.and_then(|h| usize::from_str_radix(h, 16).ok()) {
                Some(length) => self.left = length.saturating_sub(HEAD),
                // The pack, or something that git will not like.
                None => {
                    self.pack = true;
                    return At::Pack;
                }
            }
            self.start.clear();
            self.lines += 1;
            if self.lines > LINES_MAX {
                return At::TooMuch;
            }
        }
        if self.bytes > BYTES_MAX { At::TooMuch } else { At::List }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_followed_to_the_pack() {
        for piece in [1, 3, 100] {
            let wire = b"000fold new ref0000000aoption0000PACK\0\0\0\x02anything";
            let mut head = Head::default();
            let seen: Vec<At> = wire.chunks(piece).map(|bytes| head.see(bytes)).collect();
            assert_eq!((seen.contains(&At::TooMuch), seen.last()), (false, Some(&At::Pack)), "{piece}");
        }
        let mut head = Head::default();
        assert_eq!(head.see(b"0000"), At::List);
        assert_eq!(head.see(b"00"), At::List);
        let mut head = Head::default();
        assert_eq!(head.see(&b"0005x".repeat(LINES_MAX + 1)), At::TooMuch);
        let mut head = Head::default();
        let long = [b"ffff".as_slice(), &[b'x'; 0xfffb]].concat();
        assert_eq!((0..100).map(|_| head.see(&long)).filter(|at| *at == At::TooMuch).count(), 36);
    }
}
