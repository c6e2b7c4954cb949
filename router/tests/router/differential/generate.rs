//! Messages that are nearly right: built from parts that readers of HTTP disagree about, then damaged now and then.
//!
//! The same number always gives the same bytes.

/// A stream of numbers from a seed (splitmix64).
pub struct Dice(u64);

/// Bytes that mean something to somebody.
const ODD: &[u8] = b"\r\n\r\n\0\t :;,#?/\\\"<>^`{|}%=&@[]*.-_0fF\x0b\x0c\x1b\x7f\x80\x85\xa0\xc3\xff";

/// What is in order, and what is not, or not for everybody. A letter above ASCII is the byte of that number.
type Choice = (&'static [&'static str], &'static [&'static str]);

const METHODS: Choice = (
    &["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "BREW", "M-SEARCH"],
    &["get", "CONNECT", "TRACE", "PRI", "G(T", "", "GET\t", "\u{e9}", "A!#$%&'*+-.^_`|~9"],
);
const TARGETS: Choice = (
    &[
        "/",
        "/",
        "/x?y=z",
        "/a/../b",
        "//a/b",
        "/%2e%2e/%00",
        "http://a/",
        "HTTP://A/x?y",
        "/a\\b",
        "/;p=1",
        "/@:",
        "/?a?b",
    ],
    &[
        "*",
        "https://a",
        "http://a:80/",
        "http://b/",
        "http://a?x",
        "http://u@a/",
        "http:///",
        "http://",
        "ftp://a/",
        "a:443",
        "a",
        "x",
        "?",
        "#",
        "/#f",
        "/a#b?c",
        "/?#",
        "/{\"a\":1}",
        "/?q=\"a\"",
        "/?<b>",
        "/<b>",
        "/`",
        "/?`",
        "/|^",
        "/?|^[]",
        "/\u{e9}",
        "/?\u{e9}",
        "/a b",
        "/a\tb",
        "",
        "/\u{7f}",
        "/?\u{7f}",
        "http://[::1]/",
        "http://[::1/",
        "http://a/?\"",
        "http://a/<",
        "/.",
        "/~",
        "/\u{c3}\u{a9}",
        "/?\u{c3}\u{a9}",
    ],
);
const VERSIONS: Choice = (
    &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"],
    &["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "HTTP/11", "HTTP/1.", "", "HTTP/1.1x", "HTTP/ 1.1"],
);
const BEFORE: Choice = (&[""], &["\r\n", "\r\n", "\n", "\r\n\r\n", " ", "\r", "\0", "x\r\n"]);
const GAPS: Choice = (&[" "], &["  ", "\t", "", "\r\n", "\u{b}", "\u{a0}"]);
const ENDS: Choice = (&["\r\n"], &["\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\t\r\n", "\r\n ", "\r\n\t", "", "\0\r\n"]);
const INDENTS: Choice = (&[""], &[" ", "\t", "\0"]);
const COLONS: Choice = (&[": ", ":", ":  ", ":\t"], &[" : ", " :", "\t:", "::", "", "="]);
const HOSTS: Choice =
    (&["a", "a", "a", "A"], &["a:80", "b", "", "a, a", "u@a", "a/b", "[::1]", "[::1]:80", "a:", "a.", "a b", "\u{e9}"]);
const CODINGS: Choice = (
    &["chunked", "chunked", "chunked", "Chunked", "chunked ", "\tchunked"],
    &[
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "identity",
        "",
        "xchunked",
        "\"chunked\"",
        "chunked;q=1",
        "chunked\u{b}",
        "chun ked",
        "chunked\0",
    ],
);
const CONNECTIONS: Choice = (
    &["keep-alive", "Keep-Alive", "x", "", "Content-Length", "transfer-encoding", "upgrade"],
    &[
        "close",
        "close, keep-alive",
        "keep-alive, close",
        ",close",
        "close;x",
        "\"close\"",
        "close \u{e9}",
        "\u{e9}, close",
        "keep-alive, \u{e9}",
    ],
);
const EXPECTATIONS: Choice = (&["100-continue", "100-Continue"], &["x", ""]);
const UPGRADES: Choice = (&["h2c", "websocket"], &["", "a, b"]);
const NAMES: Choice = (
    &["X", "x-y", "Accept", "Cookie", "User-Agent", "X_Y", "Content_Length", "Transfer-Encoding2", "Te", "Via", "~!#"],
    &["X y", "X\0", "X\u{e9}", "", "X(", "Keep-Alive", "Trailer", "X:Y", "\u{7f}", "X\t", "Content-Length", "Host"],
);
const VALUES: Choice = (
    &["y", "y", "y z", "", " ", "\t", "y\tz", "y ", " y", "\"y\"", "\u{e9}", "chunked", "5", "a: b", "\u{80}"],
    &["y\u{7f}", "y\u{b}z", "y\0z", "y\rz", "y\nz", "y\u{1b}"],
);
const LENGTHS: &[&str] =
    &["", "-1", "0x5", "5 5", "1e1", "18446744073709551615", "18446744073709551616", "999999999999999999", "5\u{661}"];
const SIGNS: Choice = (&[""], &[" ", "\t", "+", "-", "0x", "\r\n", "_"]);
const EXTENSIONS: &[&str] = &[
    ";", ";x", ";x=y", ";x=\"y\"", " ;x", "; x", " ", "\t", ";x\n", ";\u{e9}", ";\0", ";x\ry", "x", ".", "\u{b}",
    ";\u{7f}",
];
const STATUSES: Choice = (
    &[
        "200 OK",
        "200 OK",
        "200 OK",
        "200",
        "200 ",
        "204 No Content",
        "304 Not Modified",
        "404 x",
        "500 x\ty",
        "599 \u{e9}",
    ],
    &[
        "100 Continue",
        "101 Switching Protocols",
        "103 Early Hints",
        "600 x",
        "099 x",
        "999 x",
        "20 x",
        "2000 x",
        "200\tOK",
        "+20 OK",
        "205 Reset",
        "201 a\u{7f}b",
        "302 a\u{1}",
    ],
);
const INTERIM: &[&str] = &["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 E\r\nX: y\r\n\r\n", "HTTP/1.0 102 \r\n\r\n"];

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Once in so many times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len())]
    }

    /// Something odd once in so many times.
    fn choose(&mut self, (usual, odd): Choice, often: usize) -> &'static str {
        if self.once_in(often) { self.of(odd) } else { self.of(usual) }
    }

    fn byte(&mut self) -> u8 {
        if self.once_in(3) { self.below(256) as u8 } else { ODD[self.below(ODD.len())] }
    }
}

/// Some requests after one another.
pub fn requests(dice: &mut Dice) -> Vec<u8> {
    let mut out = vec![];
    for _ in 0..1 + dice.below(3) {
        request(dice, &mut out);
    }
    damage(dice, &mut out);
    out
}

/// A response, perhaps others before it, perhaps something behind it.
pub fn responses(dice: &mut Dice) -> Vec<u8> {
    let mut out = vec![];
    while dice.once_in(8) {
        add(&mut out, dice.of(INTERIM));
    }
    response(dice, &mut out);
    if dice.once_in(3) {
        response(dice, &mut out);
    }
    if dice.once_in(8) {
        bare(dice, &mut out);
    }
    damage(dice, &mut out);
    out
}

fn request(dice: &mut Dice, out: &mut Vec<u8>) {
    add(out, dice.choose(BEFORE, 50));
    add(out, dice.choose(METHODS, 50));
    add(out, dice.choose(GAPS, 100));
    target(dice, out);
    add(out, dice.choose(GAPS, 100));
    add(out, dice.choose(VERSIONS, 60));
    end(dice, out);
    let hosts = match dice.below(40) {
        0 => 0,
        1 => 2,
        _ => 1,
    };
    let hosts = (0..hosts).map(|_| field("Host", dice.choose(HOSTS, 20))).collect();
    message(dice, out, hosts);
}

fn response(dice: &mut Dice, out: &mut Vec<u8>) {
    add(out, dice.choose(BEFORE, 100));
    add(out, dice.choose(VERSIONS, 60));
    add(out, dice.choose(GAPS, 60));
    add(out, dice.choose(STATUSES, 8));
    end(dice, out);
    message(dice, out, vec![]);
}

fn target(dice: &mut Dice, out: &mut Vec<u8>) {
    add(out, dice.choose(TARGETS, 8));
    if dice.once_in(12) {
        for _ in 0..dice.below(6) {
            let byte = dice.byte();
            out.push(if byte <= b' ' && !dice.once_in(20) { b'?' } else { byte });
        }
    }
    if dice.once_in(400) {
        many(out, b'a', dice.below(20_000));
    }
}

/// The other fields, in any order, the end of the head, and a body that may fit.
fn message(dice: &mut Dice, out: &mut Vec<u8>, mut lines: Vec<Vec<u8>>) {
    let body: Vec<u8> = (0..dice.below(12)).map(|_| b"abc\r\n0GET /"[dice.below(11)]).collect();
    let (sized, chunked) = (dice.below(12) < 4, dice.once_in(3));
    if sized && (!chunked || dice.once_in(4)) {
        lines.push(field("Content-Length", &length(dice, body.len())));
    }
    if chunked {
        lines.push(field("Transfer-Encoding", dice.choose(CODINGS, 6)));
    }
    if dice.once_in(40) {
        lines.push(field("Content-Length", &length(dice, body.len())));
    }
    if dice.once_in(40) {
        lines.push(field("Transfer-Encoding", dice.choose(CODINGS, 6)));
    }
    while dice.once_in(3) {
        let (name, values) = match dice.below(12) {
            0 => ("Connection", CONNECTIONS),
            1 => ("Expect", EXPECTATIONS),
            2 => ("Upgrade", UPGRADES),
            _ => (dice.choose(NAMES, 20), VALUES),
        };
        lines.push(field(name, dice.choose(values, 15)));
    }
    if dice.once_in(400) {
        let value = "y".repeat(if dice.once_in(6) { dice.below(9000) } else { 1 });
        lines.extend((0..dice.below(140)).map(|_| field("F", &value)));
    }
    for n in (1..lines.len()).rev() {
        lines.swap(n, dice.below(n + 1));
    }
    for mut line in lines {
        if dice.once_in(10) {
            let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap());
            let name = if dice.once_in(2) { name.to_ascii_lowercase() } else { name.to_ascii_uppercase() };
            line = [&name, dice.choose(COLONS, 20).as_bytes(), &value[2..]].concat();
        }
        add(out, dice.choose(INDENTS, 150));
        out.extend(line);
        end(dice, out);
    }
    end(dice, out);
    if chunked { chunks(dice, out, &body) } else { out.extend(body) }
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let mut line = vec![];
    add(&mut line, name);
    add(&mut line, ": ");
    add(&mut line, value);
    line
}

fn length(dice: &mut Dice, real: usize) -> String {
    match dice.below(40) {
        0 => format!("{}", real + 1),
        1 => format!("{}", real.saturating_sub(1)),
        2 => format!("{real}, {real}"),
        3 => format!("+{real}"),
        4 => format!("0{real}"),
        5 => format!("{real} "),
        6 => format!("{real:030}"),
        7 => dice.of(LENGTHS).into(),
        _ => real.to_string(),
    }
}

fn chunks(dice: &mut Dice, out: &mut Vec<u8>, body: &[u8]) {
    if dice.once_in(1500) {
        let extension = dice.below(300);
        for _ in 0..dice.below(120) {
            add(out, "1;");
            many(out, b'e', extension);
            add(out, "\r\nx\r\n");
        }
    }
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + dice.below(rest.len()));
        rest = after;
        size(dice, out, chunk.len());
        out.extend(chunk);
        end(dice, out);
    }
    size(dice, out, 0);
    if dice.once_in(4) {
        if dice.once_in(150) {
            (0..dice.below(140)).for_each(|_| add(out, "A: b\r\n"));
        }
        for _ in 0..dice.below(4) {
            add(out, dice.choose(NAMES, 20));
            add(out, dice.choose(COLONS, 30));
            add(out, dice.choose(VALUES, 20));
            end(dice, out);
        }
        if dice.once_in(300) {
            add(out, "Long: ");
            many(out, b'y', dice.below(18_000));
            end(dice, out);
        }
    }
    end(dice, out);
}

/// The line before a chunk.
fn size(dice: &mut Dice, out: &mut Vec<u8>, n: usize) {
    add(out, dice.choose(SIGNS, 150));
    let digits = match dice.below(12) {
        0 => format!("{n:X}"),
        1 => format!("{n:04x}"),
        2 if dice.once_in(8) => format!("{n:0width$x}", width = dice.below(40)),
        _ => format!("{n:x}"),
    };
    add(out, &digits);
    if dice.once_in(25) {
        add(out, dice.of(EXTENSIONS));
    }
    end(dice, out);
}

fn end(dice: &mut Dice, out: &mut Vec<u8>) {
    add(out, dice.choose(ENDS, 250));
}

/// As programs write that know only one line end.
fn bare(dice: &mut Dice, out: &mut Vec<u8>) {
    let often = 1 + dice.below(3);
    let mut at = 0;
    while let Some(found) = out[at..].windows(2).position(|two| two == b"\r\n") {
        at += found;
        if dice.once_in(often) {
            out.remove(at);
        }
        at += 1;
    }
}

fn many(out: &mut Vec<u8>, byte: u8, times: usize) {
    out.extend(std::iter::repeat_n(byte, times));
}

fn add(out: &mut Vec<u8>, text: &str) {
    out.extend(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')));
}

/// Changes some bytes, wherever they are.
fn damage(dice: &mut Dice, out: &mut Vec<u8>) {
    if !dice.once_in(4) {
        return;
    }
    for _ in 0..1 + dice.below(3) {
        let (at, byte) = (dice.below(out.len()), dice.byte());
        match dice.below(6) {
            0 => out.truncate(at),
            1 if at < out.len() => out[at] = byte,
            2 if at < out.len() => drop(out.remove(at)),
            3 => {
                let piece: Vec<u8> = out[at..].iter().take(dice.below(20)).copied().collect();
                out.splice(at..at, piece);
            }
            _ => out.insert(at, byte),
        }
    }
}
