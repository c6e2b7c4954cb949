//! The protocol that git-lfs speaks to `git-lfs-transfer`, as git-lfs's docs/proposals/ssh_adapter.md has it: bytes to what was
//! asked, answers to bytes. Pure.
//!
//! Invariant: what was understood to be a whole message is answered and the next one is read, whatever was in it; what breaks
//! the framing, or is longer than any client's, is [`Broken`] and ends the conversation.

use super::pointer::ObjectId;
use crate::pktline::DATA_MAX;
use bytes::{Buf, Bytes, BytesMut};

/// Arguments of one message, and bytes of a line.
const ARGS_MAX: usize = 100;
const LINE_MAX: usize = 4096;
/// Objects asked about at once; clients ask about 100.
const BATCH_MAX: usize = 10_000;
/// What a packet's length is written in.
const HEAD: usize = 4;

/// The other side does not speak the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Data(Bytes),
    /// Between a message's arguments and its body.
    Delimiter,
    /// The end of a message.
    Flush,
}

/// Bytes as they come, cut into packets.
#[derive(Debug, Default)]
pub(super) struct Packets(BytesMut);

impl Packets {
    /// More bytes came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next packet that is whole.
    pub fn next(&mut self) -> Result<Option<Packet>, Broken> {
        let Some(head) = self.0.get(..HEAD) else { return Ok(None) };
        let hex = std::str::from_utf8(head).ok().filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        let length = hex.and_then(|h| usize::from_str_radix(h, 16).ok()).ok_or(Broken("a length is not hex"))?;
        match length {
            0 | 1 => {
                self.0.advance(HEAD);
                Ok(Some(if length == 0 { Packet::Flush } else { Packet::Delimiter }))
            }
            2 | 3 => Err(Broken("a special packet that is not expected")),
            _ if length > DATA_MAX + HEAD => Err(Broken("a packet is too long")),
            _ if self.0.len() < length => Ok(None),
            _ => {
                let mut packet = self.0.split_to(length);
                packet.advance(HEAD);
                Ok(Some(Packet::Data(packet.freeze())))
            }
        }
    }
}

/// An object and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub oid: ObjectId,
    pub size: u64,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// To speak a version of the protocol that is ours.
    Version,
    /// Which of these are to be sent.
    Batch(Vec<Want>),
    /// To take an object, whose bytes follow.
    Put(Want),
    Bytes(Bytes),
    /// All bytes of the object were sent.
    PutEnd,
    /// Whether an object is here.
    Verify(Want),
    Get(ObjectId),
    Quit,
    /// What cannot be done: a status and why.
    Wrong(u16, &'static str),
}

/// Which way objects go in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// A conversation, up to what came last.
#[derive(Debug)]
pub(super) struct Talk {
    way: Way,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between messages.
    Idle,
    /// A message has begun.
    Message(Message),
    /// The objects of a batch.
    Objects(Vec<Want>),
    /// The bytes of an object.
    Putting,
    /// The rest of a message that was found wrong.
    Rest(u16, &'static str),
}

#[derive(Debug)]
struct Message {
    words: Vec<String>,
    args: Vec<String>,
}

impl Talk {
    pub fn new(way: Way) -> Talk {
        Talk { way, state: State::Idle }
    }

    /// Whether nothing is half said.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// What a packet completes.
    pub fn take(&mut self, packet: Packet) -> Result<Option<Asked>, Broken> {
        let (state, asked) = match (std::mem::replace(&mut self.state, State::Idle), packet) {
            (State::Idle, Packet::Data(line)) => {
                let words = text(&line)?.split(' ').map(str::to_owned).collect();
                (State::Message(Message { words, args: Vec::new() }), None)
            }
            (State::Idle, Packet::Delimiter | Packet::Flush) => return Err(Broken("a message without a command")),
            (State::Message(mut message), Packet::Data(line)) => {
                if message.args.len() >= ARGS_MAX {
                    return Err(Broken("a message has too many arguments"));
                }
                message.args.push(text(&line)?.to_owned());
                (State::Message(message), None)
            }
            (State::Message(message), Packet::Delimiter) => self.body(&message),
            (State::Message(message), Packet::Flush) => (State::Idle, Some(self.whole(&message))),
            (State::Objects(mut objects), Packet::Data(line)) => match want(text(&line)?) {
                Some(_) if objects.len() >= BATCH_MAX => return Err(Broken("a batch has too many objects")),
                Some(want) => {
                    objects.push(want);
                    (State::Objects(objects), None)
                }
                None => (State::Rest(422, "a line of the batch is not an object's id and size"), None),
            },
            (State::Objects(objects), Packet::Flush) => (State::Idle, Some(Asked::Batch(objects))),
            (State::Putting, Packet::Data(bytes)) => (State::Putting, Some(Asked::Bytes(bytes))),
            (State::Putting, Packet::Flush) => (State::Idle, Some(Asked::PutEnd)),
            (State::Objects(_) | State::Putting, Packet::Delimiter) => return Err(Broken("a second delimiter")),
            (State::Rest(status, why), Packet::Data(_) | Packet::Delimiter) => (State::Rest(status, why), None),
            (State::Rest(status, why), Packet::Flush) => (State::Idle, Some(Asked::Wrong(status, why))),
        };
        self.state = state;
        Ok(asked)
    }

    /// What follows a message's arguments.
    fn body(&self, message: &Message) -> (State, Option<Asked>) {
        match message.words().as_slice() {
            ["batch"] => match message.arg("hash-algo") {
                None | Some("sha256") => (State::Objects(Vec::new()), None),
                Some(_) => (State::Rest(409, "objects are named by their SHA-256 here"), None),
            },
            ["put-object", _] if self.way == Way::Down => (State::Rest(403, NOT_UP), None),
            ["put-object", oid] => match message.want(oid) {
                Some(want) => (State::Putting, Some(Asked::Put(want))),
                None => (State::Rest(400, "put-object takes an object's id, and its size"), None),
            },
            _ => (State::Rest(400, "this command has no body, or is not known"), None),
        }
    }

    /// A message that had arguments only.
    fn whole(&self, message: &Message) -> Asked {
        match message.words().as_slice() {
            ["version", "1"] => Asked::Version,
            ["version", ..] => Asked::Wrong(400, "version 1 of the protocol is spoken here"),
            ["quit"] => Asked::Quit,
            ["batch"] => Asked::Batch(Vec::new()),
            ["verify-object", _] if self.way == Way::Down => Asked::Wrong(403, NOT_UP),
            ["verify-object", oid] => match message.want(oid) {
                Some(want) => Asked::Verify(want),
                None => Asked::Wrong(400, "verify-object takes an object's id, and its size"),
            },
            ["get-object", _] if self.way == Way::Up => Asked::Wrong(403, "this connection is for uploads"),
            ["get-object", oid] => match ObjectId::parse(oid) {
                Some(oid) => Asked::Get(oid),
                None => Asked::Wrong(400, "get-object takes an object's id"),
            },
            // What clients that verify locks before a push take for "there are none here". 3.3 says list-locks.
            ["lock" | "unlock" | "list-lock" | "list-locks", ..] => {
                Asked::Wrong(501, "Hoist has no locks: who may push is decided by access:add")
            }
            _ => Asked::Wrong(400, "this command is not known"),
        }
    }
}

const NOT_UP: &str = "this connection is for downloads";

impl Message {
    fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    fn arg(&self, name: &str) -> Option<&str> {
        self.args.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    fn want(&self, oid: &str) -> Option<Want> {
        want(&format!("{oid} {}", self.arg("size")?))
    }
}

/// `OID SIZE`, and pairs that nobody here knows.
fn want(line: &str) -> Option<Want> {
    let mut words = line.split(' ');
    let (oid, size) = (ObjectId::parse(words.next()?)?, words.next()?);
    let size = size.bytes().all(|b| b.is_ascii_digit()).then(|| size.parse().ok())??;
    Some(Want { oid, size })
}

fn text(line: &Bytes) -> Result<&str, Broken> {
    let line = std::str::from_utf8(line).map_err(|_| Broken("a line is not text"))?;
    if line.len() > LINE_MAX { Err(Broken("a line is too long")) } else { Ok(line.trim_end_matches('\n')) }
}

/// What is said before anything is asked.
pub(super) fn greeting() -> Bytes {
    let mut out = BytesMut::new();
    line(&mut out, "version=1");
    out.extend_from_slice(FLUSH);
    out.freeze()
}

/// An answer: a status, arguments, and lines for a body.
pub(super) fn answer(status: u16, args: &[String], lines: &[String]) -> Bytes {
    let mut out = begun(status, args);
    if !lines.is_empty() {
        out.extend_from_slice(DELIMITER);
        lines.iter().for_each(|text| line(&mut out, text));
    }
    out.extend_from_slice(FLUSH);
    out.freeze()
}

/// The answer to a batch has a body, even of no lines.
pub(super) fn batch(lines: &[String]) -> Bytes {
    let mut out = begun(200, &["hash-algo=sha256".to_owned()]);
    out.extend_from_slice(DELIMITER);
    lines.iter().for_each(|text| line(&mut out, text));
    out.extend_from_slice(FLUSH);
    out.freeze()
}

/// What comes before an object's bytes.
pub(super) fn object(size: u64) -> Bytes {
    let mut out = begun(200, &[format!("size={size}")]);
    out.extend_from_slice(DELIMITER);
    out.freeze()
}

/// Bytes of an object.
pub(super) fn bytes(bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + bytes.len() / DATA_MAX * HEAD + HEAD);
    bytes.chunks(DATA_MAX).for_each(|piece| packet(&mut out, piece));
    out.freeze()
}

pub(super) const FLUSH: &[u8] = b"0000";
const DELIMITER: &[u8] = b"0001";

fn begun(status: u16, args: &[String]) -> BytesMut {
    let mut out = BytesMut::new();
    line(&mut out, &format!("status {status:03}"));
    args.iter().for_each(|arg| line(&mut out, arg));
    out
}

fn line(out: &mut BytesMut, text: &str) {
    // A message of several lines would be several answers.
    let text = format!("{}\n", text.replace('\n', " "));
    packet(out, text.as_bytes().get(..DATA_MAX).unwrap_or(text.as_bytes()));
}

fn packet(out: &mut BytesMut, data: &[u8]) {
    out.extend_from_slice(format!("{:04x}", data.len() + HEAD).as_bytes());
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    /// `|` ends a message, `/` begins its body; each other line is a packet. What comes of it, however the bytes are cut.
    fn check(way: Way, said: &str, want: &str) {
        let mut wire = BytesMut::new();
        for part in said.lines().map(|line| line.replace("OID", A)) {
            match part.as_str() {
                "|" => wire.extend_from_slice(FLUSH),
                "/" => wire.extend_from_slice(DELIMITER),
                text => line(&mut wire, text),
            }
        }
        for cut in [1, 3, 7, 10_000] {
            let (mut packets, mut talk, mut got) = (Packets::default(), Talk::new(way), Vec::new());
            'pieces: for piece in wire.chunks(cut) {
                packets.feed(piece);
                loop {
                    match packets.next().and_then(|packet| packet.map_or(Ok(None), |p| talk.take(p).map(Some))) {
                        Ok(None) => break,
                        Ok(Some(asked)) => got.extend(asked.map(shown)),
                        Err(Broken(why)) => {
                            got.push(format!("broken: {why}"));
                            break 'pieces;
                        }
                    }
                }
            }
            assert_eq!(got.join("; "), want, "{said}");
        }
    }

    fn shown(asked: Asked) -> String {
        let want = |want: &Want| format!("{}:{}", &want.oid.as_str()[..2], want.size);
        match asked {
            Asked::Version => "version".into(),
            Asked::Batch(all) => format!("batch {}", all.iter().map(want).collect::<Vec<_>>().join(" ")),
            Asked::Put(one) => format!("put {}", want(&one)),
            Asked::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Asked::PutEnd => "end".into(),
            Asked::Verify(one) => format!("verify {}", want(&one)),
            Asked::Get(oid) => format!("get {}", &oid.as_str()[..2]),
            Asked::Quit => "quit".into(),
            Asked::Wrong(status, why) => format!("{status} {why}"),
        }
    }

    #[test]
    fn what_a_client_says() {
        check(Way::Up, "version 1\n|", "version");
        check(Way::Up, "version 2\n|", "400 version 1 of the protocol is spoken here");
        check(
            Way::Up,
            "batch\ntransfer=ssh\nhash-algo=sha256\nrefname=refs/heads/main\n/\nOID 5\nOID 6 x=y\n|",
            "batch aa:5 aa:6",
        );
        check(Way::Up, "batch\n/\n|", "batch ");
        check(
            Way::Up,
            "batch\nhash-algo=md5\n/\nOID 5\n|\nquit\n|",
            "409 objects are named by their SHA-256 here; quit",
        );
        check(
            Way::Up,
            "batch\n/\nOID x\nOID 1\n|\nquit\n|",
            "422 a line of the batch is not an object's id and size; quit",
        );
        check(
            Way::Up,
            "put-object OID\nsize=4\n/\nabc\n|\nverify-object OID\nsize=4\n|",
            "put aa:4; 4 bytes; end; verify aa:4",
        );
        check(Way::Up, "put-object OID\nsize=0\n/\n|", "put aa:0; end");
        check(Way::Up, "put-object OID\n/\nabc\n|\nquit\n|", "400 put-object takes an object's id, and its size; quit");
        check(Way::Up, "put-object ../../x\nsize=1\n/\nabc\n|", "400 put-object takes an object's id, and its size");
        check(Way::Up, "put-object OID\nsize=1\n|", "400 this command is not known");
        check(Way::Up, "get-object OID\n|", "403 this connection is for uploads");
        check(Way::Down, "get-object OID\n|\nget-object 0\n|", "get aa; 400 get-object takes an object's id");
        check(Way::Down, "put-object OID\nsize=4\n/\nabc\n|\nquit\n|", "403 this connection is for downloads; quit");
        check(Way::Down, "verify-object OID\nsize=4\n|", "403 this connection is for downloads");
        for locks in ["lock\npath=a", "unlock 5", "list-lock\nlimit=1", "list-locks"] {
            let want = "501 Hoist has no locks: who may push is decided by access:add";
            check(Way::Up, &format!("{locks}\n|"), want);
        }
        check(Way::Up, "dance\nx=y\n|\nquit\n|", "400 this command is not known; quit");
    }

    #[test]
    fn what_is_no_conversation() {
        check(Way::Up, "|", "broken: a message without a command");
        check(Way::Up, "put-object OID\nsize=1\n/\na\n/", "put aa:1; 2 bytes; broken: a second delimiter");
        check(Way::Up, &format!("version 1\n{}|", "x=y\n".repeat(101)), "broken: a message has too many arguments");
        check(Way::Up, &"x".repeat(5000), "broken: a line is too long");
        let broken = |bytes: &[u8]| {
            let mut packets = Packets::default();
            packets.feed(bytes);
            packets.next().unwrap_err().0
        };
        assert_eq!(broken(b"zzzz"), "a length is not hex");
        assert_eq!(broken(b"0002"), "a special packet that is not expected");
        assert_eq!(broken(b"fff5"), "a packet is too long");
    }

    #[test]
    fn answers() {
        let shown = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(shown(greeting()), "000eversion=1\n0000");
        assert_eq!(shown(answer(200, &[], &[])), "000fstatus 200\n0000");
        assert_eq!(shown(answer(404, &[], &["no\nway".into()])), "000fstatus 404\n0001000bno way\n0000");
        assert_eq!(shown(batch(&[])), "000fstatus 200\n0015hash-algo=sha256\n00010000");
        assert_eq!(shown(object(7)), "000fstatus 200\n000bsize=7\n0001");
        assert_eq!(bytes(&vec![0; DATA_MAX + 1]).len(), DATA_MAX + 1 + 8);
        assert_eq!(bytes(b"").len(), 0);
    }
}
