//! Names of apps' images, `hoist/INSTALL-APP:bN-KEY`, where they are shown: without the part that nobody is told.
//!
//! Whoever can name an image can build on it and read what is in it, so the key is in no output, no job's file and no log.

use std::borrow::Cow;

/// Images of this many releases of an app are kept for rollback.
pub const KEEP_RELEASES: u32 = 10;

/// Hexadecimal digits of the key.
const KEY: usize = 16;

/// The text with the key of every image's name left out: `hoist/h7k2q-a1b2c3d4:b3`.
pub fn without_keys(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, key_ends)) = next_key(rest) {
        out.push_str(rest.get(..before).unwrap_or_default());
        rest = rest.get(key_ends..).unwrap_or_default();
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where a key begins, with its dash, and where it ends.
fn next_key(text: &str) -> Option<(usize, usize)> {
    text.match_indices(":b").find_map(|(at, mark)| {
        let number = at + mark.len();
        let digits = text.get(number..)?.bytes().take_while(u8::is_ascii_digit).count();
        let dash = number + digits;
        let key = text.get(dash..)?.strip_prefix('-')?;
        let length = key.bytes().take_while(u8::is_ascii_hexdigit).count();
        (digits > 0 && length >= KEY).then_some((dash, dash + 1 + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_and_the_rest_stays() {
        for (text, want) in [
            ("", ""),
            ("cannot start i12", "cannot start i12"),
            ("hoist/i-a:b3-0123456789abcdef does not exist", "hoist/i-a:b3 does not exist"),
            (
                "naming to registry.example/hoist/i-a:b3-0123456789abcdef: hoist/i-a:b44-00000000000000ff",
                "naming to registry.example/hoist/i-a:b3: hoist/i-a:b44",
            ),
            (":b1-0123456789abcdef@sha256:00", ":b1@sha256:00"),
            ("a:b1-0123 :b-0123456789abcdef ü:bü:b7-", "a:b1-0123 :b-0123456789abcdef ü:bü:b7-"),
        ] {
            assert_eq!(without_keys(text), want);
        }
        assert!(matches!(without_keys("as it is"), Cow::Borrowed(_)));
    }
}
