//! Splits a command line into words by the quoting of POSIX shells, and quotes a word so that it can be typed.
//!
//! Invariant: the result is exactly what was written, or a refusal. Absent on purpose: expansion of any kind; `$HOME`,
//! `*`, `~`, `;` and `|` are ordinary characters here. Whether a shell would read more in a word is noted beside it
//! ([`Word::shell`]), for the commands that are for a shell in the end.

use crate::refusal::Code;
use crate::refusal::Refusal;

/// Bytes of one command line.
pub const LINE_MAX: usize = 256 * 1024;
/// Words of one command line.
pub const WORDS_MAX: usize = 2_000;

/// A word, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it says.
    pub text: String,
    /// As it stands in the line, quotes and all.
    pub raw: String,
    /// Whether something outside of its quotes is more than a character to a shell: `|`, `&&`, `>`, `$HOME`, `*.txt`.
    pub shell: bool,
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl From<String> for Word {
    fn from(text: String) -> Word {
        Word { raw: quote(&text), text, shell: false }
    }
}

/// The words of a line: blanks separate; `'…'`, `"…"`, `\c` and `$'…'` (as bash's `printf %q` writes it) quote.
pub fn words(line: &str) -> Result<Vec<String>, Refusal> {
    Ok(split(line)?.into_iter().map(|word| word.text).collect())
}

/// The same, each with the way in which it was written.
pub fn split(line: &str) -> Result<Vec<Word>, Refusal> {
    if line.len() > LINE_MAX {
        return Err(Refusal::new(Code::LineTooLong, format!("the command is longer than {LINE_MAX} bytes"))
            .next("send long values on standard input: config:set APP --stdin NAME < FILE"));
    }
    if line.contains('\0') {
        return Err(nul());
    }
    let mut splitter = Splitter {
        line,
        rest: line.as_bytes(),
        words: Vec::new(),
        word: Vec::new(),
        bare: String::new(),
        start: 0,
        open: false,
    };
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
    line: &'a str,
    rest: &'a [u8],
    words: Vec<Word>,
    word: Vec<u8>,
    /// What of the word stands outside of quotes; [`QUOTED`] and [`ESCAPED`] for what does not.
    bare: String,
    /// Where the word begins in the line.
    start: usize,
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
                b' ' | b'\t' | b'\r' => self.end_word(1)?,
                b'\n' => {
                    self.end_word(1)?;
                    if self.rest.iter().any(|b| !b.is_ascii_whitespace()) {
                        return Err(Refusal::new(
                            Code::SeveralLines,
                            "one command at a time: the line has a line break outside of quotes",
                        )
                        .next("quote a value of several lines: config:set APP \"KEY='first\nsecond'\""));
                    }
                }
                b'\'' => {
                    self.quoted();
                    self.until_quote()?;
                }
                b'"' => {
                    self.quoted();
                    self.double()?;
                }
                b'$' if self.rest.first() == Some(&b'\'') => {
                    self.quoted();
                    self.next();
                    self.ansi_c()?;
                }
                b'\\' => match self.next() {
                    Some(b'\n') => {}
                    Some(byte) => self.escaped(byte),
                    None => return Err(self.unbalanced("a backslash at the end")),
                },
                byte => self.bare(byte),
            }
        }
        self.end_word(0)
    }

    fn at(&self) -> usize {
        self.line.len() - self.rest.len()
    }

    /// Opens the word if it is not; `taken` bytes of it are behind us.
    fn begin(&mut self, taken: usize) {
        if !std::mem::replace(&mut self.open, true) {
            self.start = self.at().saturating_sub(taken);
        }
    }

    fn bare(&mut self, byte: u8) {
        self.begin(1);
        // A letter beyond ASCII means nothing to a shell, in however many bytes it comes.
        self.bare.push(if byte.is_ascii() && !byte.is_ascii_control() { char::from(byte) } else { 'x' });
        self.word.push(byte);
    }

    fn quoted(&mut self) {
        self.begin(1);
        self.bare.push(QUOTED);
    }

    /// A backslash before a letter or digit is one that was meant (`C:\Users`, `\d+`): nobody need escape those.
    fn escaped(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.bare(b'\\');
            self.start = self.start.min(self.at().saturating_sub(2));
            self.bare(byte);
        } else {
            self.begin(2);
            self.bare.push(ESCAPED);
            self.word.push(byte);
        }
    }

    /// A refusal that shows nothing of what may be a value.
    fn unbalanced(&self, what: &str) -> Refusal {
        let no = Refusal::new(Code::UnbalancedQuotes, format!("the command's quotes do not match: {what}"))
            .why("The line is read by two shells, yours and this one; quote a value for both.");
        let app = match self.words.as_slice() {
            [_, app, ..] if app.text.parse::<crate::AppName>().is_ok() => app.text.as_str(),
            _ => "APP",
        };
        no.next(format!("config:set {app} \"KEY='a value with spaces'\""))
            .next(format!("config:set {app} --stdin KEY < FILE  (takes any value as it is)"))
    }

    /// Takes the word in, if one was begun; `behind` bytes after it were read.
    fn end_word(&mut self, behind: usize) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        if self.words.len() >= WORDS_MAX {
            return Err(Refusal::new(Code::TooManyWords, format!("the command has more than {WORDS_MAX} words")));
        }
        let end = self.at().saturating_sub(behind);
        let raw = self.line.get(self.start..end).unwrap_or_default();
        let bare = std::mem::take(&mut self.bare);
        let read = std::mem::take(&mut self.word);
        let text = match as_written(raw, &bare) {
            Some(_) if raw.contains('\'') && raw.contains(char::is_whitespace) => {
                return Err(self.unbalanced("a ' in the middle of a word, and a blank before its partner"));
            }
            Some(text) => text,
            None => {
                String::from_utf8(read).map_err(|_| Refusal::new(Code::NotUtf8, "an argument is not valid UTF-8"))?
            }
        };
        if text.contains('\0') {
            return Err(nul());
        }
        self.words.push(Word { text, raw: raw.to_owned(), shell: for_a_shell(&bare) });
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
        Err(self.unbalanced("a ' without its partner"))
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
        Err(self.unbalanced("a \" without its partner"))
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
        Err(self.unbalanced("a $' without its '"))
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        let Some(byte) = self.next() else { return Err(self.unbalanced("a $' without its '")) };
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
                None => return Err(self.unbalanced("a $' without its '")),
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

/// What the splitter puts for a piece in quotes when it looks at a word from outside.
const QUOTED: char = '\u{1}';
/// The same for a character behind a backslash.
const ESCAPED: char = '\u{2}';

/// The word as it stands in the line, where its quotes belong to it: `CREDS={"a":"b"}`, `console.log("hi")`. `None` where they
/// only keep it together: around all of it, or around all that follows `NAME=` or `--option=`.
fn as_written(raw: &str, bare: &str) -> Option<String> {
    let body = bare.get(assigned(bare)..).unwrap_or_default();
    let around = body.chars().all(|c| matches!(c, QUOTED | ESCAPED));
    if around || !body.contains(QUOTED) {
        return None;
    }
    let value = body.len() < bare.len() && !bare.starts_with('-');
    (value || body.contains(['{', '}', '[', ']', '(', ')', ','])).then(|| raw.to_owned())
}

/// Where the value begins in `NAME=…`, `--option=…` and `--option=NAME=…`; 0 where there is none.
fn assigned(bare: &str) -> usize {
    let name = |text: &str| {
        let end = text.find('=')?;
        let name = text.get(..end)?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        plain.then_some(end + 1)
    };
    match name(bare) {
        Some(first) if bare.starts_with("--") => first + bare.get(first..).and_then(name).unwrap_or(0),
        Some(first) => first,
        None => 0,
    }
}

/// Whether a shell reads more in a word than its characters. Operators count at its ends, and inside where all else is as in
/// names and paths: `a=>b()` and `http://x/?a=1&b=2` are words.
fn for_a_shell(bare: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./=+-$%{}~".contains(c) || matches!(c, QUOTED | ESCAPED);
    let redirects = |text: &str| text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>']);
    let ends = bare.starts_with(['|', '&', ';']) || bare.ends_with(['|', '&', ';']) || redirects(bare);
    let inside = bare.chars().all(|c| plain(c) || matches!(c, '|' | ';' | '&' | '>'))
        && !bare.contains("=>")
        && !bare.contains("->")
        && (bare.contains(['|', ';', '>']) || bare.contains("&&"));
    let expands = bare.contains('`')
        || bare
            .split('$')
            .skip(1)
            .any(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || "_{(?#@".contains(c)));
    let path = |c: char| c.is_ascii_alphanumeric() || "_./-*?~".contains(c) || matches!(c, QUOTED | ESCAPED);
    let globs = bare.contains(['*', '?']) && bare.chars().all(path);
    ends || inside || expands || globs || bare == "~" || bare.starts_with("~/")
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
    fn quotes_inside_a_word_belong_to_it() {
        let json = r#"CREDS={"type":"svc","id":"7"}"#;
        check(&format!("config:set envs {json}"), &["config:set", "envs", json]);
        for word in [
            r#"A={"a b":"c d"}"#,
            r#"A=["x","y"]"#,
            r#"A="x","y""#,
            r#"A=say"hi""#,
            r#"JAVA_OPTS=-Da="b c""#,
            r#"--env=A={"x":1}"#,
            r"A={'x':'y'}",
            r"A=C:\new\Dir",
            r"A=^\d+\w$",
            r#"console.log("hi")"#,
            r#"f('x',"y")"#,
        ] {
            let word = word.replace("\\\\", "\\");
            check(&word, &[&word]);
        }
        // Around all of a value they keep it together, as anywhere.
        check(
            r#"A="x y" 'B={"a":1}' C='it'"'"'s' --opt="a b" --env=A="b c""#,
            &["A=x y", r#"B={"a":1}"#, "C=it's", "--opt=a b", "--env=A=b c"],
        );
        check(r#"CREDS=\{\"a\":1\}"#, &[r#"CREDS={"a":1}"#]);
        for line in ["config:set envs A=it's B=it's", "config:set envs A=secret'", "config:set envs A=secret\\"] {
            let no = words(line).unwrap_err();
            assert_eq!(no.code.as_str(), "unbalanced-quotes", "{line}");
            assert!(!no.to_string().contains("secret") && no.to_string().contains("config:set envs --stdin"), "{no}");
        }
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
