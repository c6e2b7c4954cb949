//! Splits a command line into words by the quoting of POSIX shells, and quotes a word so that it can be typed.
//!
//! Invariant: the result is exactly what was written, or a refusal. Absent on purpose: expansion of any kind; `$HOME`,
//! `*`, `~`, `;` and `|` are ordinary characters here.

use crate::refusal::Code;
use crate::refusal::Refusal;

/// Bytes of one command line.
pub const LINE_MAX: usize = 256 * 1024;
/// Words of one command line.
pub const WORDS_MAX: usize = 2_000;

/// The words of a line: blanks separate; `'…'`, `"…"`, `\c` and `$'…'` (as bash's `printf %q` writes it) quote.
pub fn words(line: &str) -> Result<Vec<String>, Refusal> {
    if line.len() > LINE_MAX {
        return Err(Refusal::new(Code::LineTooLong, format!("the command is longer than {LINE_MAX} bytes"))
            .next("send long values on standard input: config:set APP --stdin NAME < FILE"));
    }
    if line.contains('\0') {
        return Err(nul());
    }
    let mut splitter = Splitter { rest: line.as_bytes(), words: Vec::new(), word: Vec::new(), open: false };
    splitter.run()?;
    Ok(splitter.words)
}

/// A word as it can be typed in a POSIX shell, or in bash where it holds control characters; [`words`] reads it back.
pub fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(char::is_control) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut out = String::from("$'");
    for c in word.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\'' => out.push_str("\\'"),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("\\{byte:03o}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Words joined into a line that can be typed.
pub fn quote_all<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

struct Splitter<'a> {
    rest: &'a [u8],
    words: Vec<String>,
    word: Vec<u8>,
    /// Whether a word has begun; an empty pair of quotes begins one without adding to it.
    open: bool,
}

impl Splitter<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn next_if(&mut self, want: impl Fn(u8) -> bool) -> Option<u8> {
        let byte = *self.rest.first()?;
        if want(byte) { self.next() } else { None }
    }

    fn run(&mut self) -> Result<(), Refusal> {
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\t' | b'\r' => self.end_word()?,
                b'\n' => {
                    self.end_word()?;
                    if self.rest.iter().any(|b| !b.is_ascii_whitespace()) {
                        return Err(Refusal::new(
                            Code::SeveralLines,
                            "one command at a time: the line has a line break outside of quotes",
                        )
                        .next("quote a value of several lines: config:set APP \"KEY='first\nsecond'\""));
                    }
                }
                b'\'' => self.until_quote()?,
                b'"' => self.double()?,
                b'$' if self.rest.first() == Some(&b'\'') => {
                    self.next();
                    self.ansi_c()?;
                }
                b'\\' => match self.next() {
                    Some(b'\n') => {}
                    Some(byte) => self.push(byte),
                    None => return Err(unbalanced("a backslash at the end")),
                },
                byte => self.push(byte),
            }
        }
        self.end_word()
    }

    fn push(&mut self, byte: u8) {
        self.open = true;
        self.word.push(byte);
    }

    fn end_word(&mut self) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        if self.words.len() >= WORDS_MAX {
            return Err(Refusal::new(Code::TooManyWords, format!("the command has more than {WORDS_MAX} words")));
        }
        let word = String::from_utf8(std::mem::take(&mut self.word))
            .map_err(|_| Refusal::new(Code::NotUtf8, "an argument is not valid UTF-8"))?;
        if word.contains('\0') {
            return Err(nul());
        }
        self.words.push(word);
        Ok(())
    }

    fn until_quote(&mut self) -> Result<(), Refusal> {
        self.open = true;
        while let Some(byte) = self.next() {
            match byte {
                b'\'' => return Ok(()),
                byte => self.word.push(byte),
            }
        }
        Err(unbalanced("a ' without its partner"))
    }

    fn double(&mut self) -> Result<(), Refusal> {
        self.open = true;
        while let Some(byte) = self.next() {
            match byte {
                b'"' => return Ok(()),
                b'\\' => match self.next_if(|b| matches!(b, b'$' | b'`' | b'"' | b'\\' | b'\n')) {
                    Some(b'\n') => {}
                    Some(byte) => self.word.push(byte),
                    None => self.word.push(b'\\'),
                },
                byte => self.word.push(byte),
            }
        }
        Err(unbalanced("a \" without its partner"))
    }

    fn ansi_c(&mut self) -> Result<(), Refusal> {
        self.open = true;
        while let Some(byte) = self.next() {
            match byte {
                b'\'' => return Ok(()),
                b'\\' => self.escape()?,
                byte => self.word.push(byte),
            }
        }
        Err(unbalanced("a $' without its '"))
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        let Some(byte) = self.next() else { return Err(unbalanced("a $' without its '")) };
        let simple = match byte {
            b'a' => 7,
            b'b' => 8,
            b'e' | b'E' => 27,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'\'' | b'"' | b'?' => byte,
            b'x' => return self.number(0, 16, 2),
            b'u' => return self.unicode(4),
            b'U' => return self.unicode(8),
            b'c' => match self.next() {
                Some(letter) => letter & 0x1f,
                None => return Err(unbalanced("a $' without its '")),
            },
            b'0'..=b'7' => return self.number(u32::from(byte - b'0'), 8, 2),
            other => {
                self.word.push(b'\\');
                other
            }
        };
        self.word.push(simple);
        Ok(())
    }

    fn digits(&mut self, start: u32, radix: u32, most: usize) -> u32 {
        let mut value = start;
        for _ in 0..most {
            let Some(digit) = self.next_if(|b| char::from(b).is_digit(radix)) else { break };
            value = value.saturating_mul(radix).saturating_add(char::from(digit).to_digit(radix).unwrap_or(0));
        }
        value
    }

    fn number(&mut self, start: u32, radix: u32, most: usize) -> Result<(), Refusal> {
        let value = self.digits(start, radix, most);
        self.word.push(u8::try_from(value & 0xff).unwrap_or(0));
        Ok(())
    }

    fn unicode(&mut self, most: usize) -> Result<(), Refusal> {
        let value = self.digits(0, 16, most);
        let c = char::from_u32(value)
            .ok_or_else(|| Refusal::new(Code::NotUtf8, format!("\\u{value:x} in an argument is not a character")))?;
        self.word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}

fn nul() -> Refusal {
    Refusal::new(Code::Nul, "an argument holds a NUL byte; no value may")
}

fn unbalanced(what: &str) -> Refusal {
    Refusal::new(Code::UnbalancedQuotes, format!("the command's quotes do not match: {what}"))
        .why("The line is read by two shells, yours and this one; quote a value for both.")
        .next("config:set APP \"KEY='a value with spaces'\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: &[&str]) {
        assert_eq!(
            words(line).as_deref(),
            Ok(want.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>().as_slice()),
            "{line:?}"
        );
    }

    #[test]
    fn lines_become_words() {
        check("", &[]);
        check("  apps:list \n", &["apps:list"]);
        check("git-receive-pack '/blog.git'", &["git-receive-pack", "/blog.git"]);
        check(r#"config:set blog "A='b c'""#, &["config:set", "blog", "A='b c'"]);
        check(
            "config:set blog A='b c' B=\"d\\\"e $HOME\" C=f\\ g",
            &["config:set", "blog", "A=b c", "B=d\"e $HOME", "C=f g"],
        );
        check("a '' \"\" b''c", &["a", "", "", "bc"]);
        check(r"A=$'two\nlines\t\x41\101\u00fc\303\274\'x\\'", &["A=two\nlines\tAAüü'x\\"]);
        check("$(id) `id` ${X} * ~ ; | & > <", &["$(id)", "`id`", "${X}", "*", "~", ";", "|", "&", ">", "<"]);
        check("'a\nb' a\\\nb", &["a\nb", "ab"]);
        check("'\u{202e}rtl' \u{1b}[31m", &["\u{202e}rtl", "\u{1b}[31m"]);
        check(
            &format!("config:set blog A={}", "x".repeat(65_536)),
            &["config:set", "blog", &format!("A={}", "x".repeat(65_536))],
        );
    }

    #[test]
    fn refused_lines() {
        for (line, code) in [
            ("'a", "unbalanced-quotes"),
            ("\"a", "unbalanced-quotes"),
            ("$'a", "unbalanced-quotes"),
            ("$'a\\", "unbalanced-quotes"),
            ("a\\", "unbalanced-quotes"),
            ("a\0b", "nul"),
            (r"$'\0'", "nul"),
            (r"$'\xff'", "not-utf8"),
            (r"$'\ud800'", "not-utf8"),
            ("apps:list\nwhoami", "several-lines"),
        ] {
            assert_eq!(words(line).unwrap_err().code.as_str(), code, "{line:?}");
        }
        assert_eq!(words(&"a ".repeat(2_001)).unwrap_err().code, Code::TooManyWords);
        assert_eq!(words(&"a".repeat(LINE_MAX + 1)).unwrap_err().code, Code::LineTooLong);
        assert_eq!(words(&"a ".repeat(2_000)).unwrap().len(), 2_000);
    }

    #[test]
    fn quoted_words_read_back() {
        let alphabet: Vec<char> =
            "aZ09 '\"\\$`\n\t\r\u{1b}\u{7f}\u{85}ü€😀\u{202e}-=;|&*~#()x41\u{1}7".chars().collect();
        let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        for _ in 0..20_000 {
            let count = 1 + random(4);
            let given: Vec<String> =
                (0..count).map(|_| (0..random(12)).map(|_| alphabet[random(alphabet.len())]).collect()).collect();
            let line = quote_all(given.iter().map(String::as_str));
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert_eq!(words(&line).unwrap(), given, "{line:?}");
        }
    }

    #[test]
    fn any_text_gives_words_or_a_refusal() {
        let pieces =
            ["'", "\"", "\\", "$'", "\n", " ", "a", "\\x", "\\u", "ü", "\0", "$(id)", "-", "\u{202e}", "\\c", "7"];
        let mut seed: u64 = 42;
        for _ in 0..20_000 {
            let mut line = String::new();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                line.push_str(pieces[usize::try_from(seed >> 60).unwrap()]);
            }
            let _ = words(&line);
        }
    }
}
