//! `git-lfs-transfer` for one client: bytes in, objects to and from the disk, bytes out.
//!
//! Invariant: nothing of an object is held but the packet at hand. Absent: what the bytes mean; see `wire`.

use super::OBJECT_MAX;
use super::moving::Moving;
use super::store::{Incoming, Store};
use super::wire::{self, Asked, Broken, Packets, Talk, Want, Way};
use crate::Repos;
use async_trait::async_trait;
use bytes::Bytes;
use domain::text::{human_bytes, warning};
use domain::{AppId, Refusal};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use system::fault::{Act, Error, Result};
use system::io::{Chunk, Io};
use system::tasks::blocking;

/// Without a byte from the client while it sends an object.
const STALLED_MAX: Duration = Duration::from_secs(600);
/// The same between two messages: of several connections some have nothing to do for as long as the others send.
const IDLE_MAX: Duration = Duration::from_secs(3600);
/// Of an object, read at once.
const PIECE: usize = 256 * 1024;
/// Exit codes: of a client that does not speak the protocol, and of one that went or fell silent.
const BROKEN: u8 = 1;
const ENDED: u8 = 130;

/// Whether there is room for what a client wants to send.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Whether so many bytes more may be kept.
    async fn may(&self, bytes: u64) -> Result<()>;
    /// The same, and they count while what this gives is held.
    async fn take(&self, bytes: u64) -> Result<Held>;
}

/// Room for an object that is on its way.
pub type Held = Box<dyn Send + Sync>;

/// One conversation.
struct Serving<'a> {
    store: Store,
    way: Way,
    gate: &'a dyn Gate,
    moving: Arc<Moving>,
    /// What comes in, or why it is not taken: what is sent of it then is read and forgotten.
    incoming: Option<Result<(Incoming, Held)>>,
}

enum Go {
    On,
    End(u8),
}

impl Repos {
    /// Serves one connection of git-lfs, which takes (`up`) or gives objects. Gives the exit code.
    pub async fn lfs_transfer(&self, app: &AppId, up: bool, gate: &dyn Gate, io: &mut Io) -> Result<u8> {
        self.ensure(app).await?;
        let way = if up { Way::Up } else { Way::Down };
        let (store, moving) = (Store::of(&self.path(app)), self.moving(app));
        Serving { store, way, gate, moving, incoming: None }.run(io).await
    }
}

impl Serving<'_> {
    async fn run(&mut self, io: &mut Io) -> Result<u8> {
        let (mut packets, mut talk) = (Packets::default(), Talk::new(self.way));
        if !send(io, wire::greeting()).await {
            return Ok(ENDED);
        }
        loop {
            let wait = if talk.is_idle() { IDLE_MAX } else { STALLED_MAX };
            let bytes = tokio::select! {
                got = tokio::time::timeout(wait, io.stdin.recv()) => match got {
                    Ok(Some(bytes)) => bytes,
                    // Clients go without a word where they have nothing more to say.
                    Ok(None) => return Ok(if talk.is_idle() { 0 } else { BROKEN }),
                    Err(_) => return Ok(ENDED),
                },
                () = io.hangup.cancelled() => return Ok(ENDED),
            };
            self.moving.mark();
            packets.feed(&bytes);
            loop {
                let asked = match packets.next() {
                    Ok(None) => break,
                    Ok(Some(packet)) => talk.take(packet),
                    Err(broken) => Err(broken),
                };
                let go = match asked {
                    Ok(Some(asked)) => self.answer(asked, io).await?,
                    Ok(None) => Go::On,
                    Err(Broken(why)) => {
                        io.note(warning(&format!("this is not what git-lfs says: {why}"))).await;
                        Go::End(BROKEN)
                    }
                };
                if let Go::End(code) = go {
                    return Ok(code);
                }
            }
        }
    }

    async fn answer(&mut self, asked: Asked, io: &Io) -> Result<Go> {
        let said = match asked {
            Asked::Version => ok(),
            Asked::Batch(wanted) => self.batch(wanted).await,
            Asked::Put(want) => {
                self.incoming = Some(self.begin(want).await);
                return Ok(Go::On);
            }
            Asked::Bytes(bytes) => {
                self.write(bytes).await;
                return Ok(Go::On);
            }
            Asked::PutEnd => match self.end().await {
                Ok(()) => ok(),
                Err(err) => refused(&err),
            },
            Asked::Verify(want) => match self.store.size_of(&want.oid) {
                Some(size) if size == want.size => ok(),
                Some(_) => wrong(409, "the object is here with another size"),
                None => wrong(404, "the object is not here"),
            },
            Asked::Get(oid) => match self.store.open(&oid) {
                Some((file, size)) => return self.give(file, size, io).await,
                None => wrong(404, "the object is not here"),
            },
            Asked::Quit => {
                send(io, ok()).await;
                return Ok(Go::End(0));
            }
            Asked::Wrong(status, why) => wrong(status, why),
        };
        Ok(if send(io, said).await { Go::On } else { Go::End(ENDED) })
    }

    /// What is to be sent of these: up what is not here, down what is.
    async fn batch(&self, wanted: Vec<Want>) -> Bytes {
        let (store, way) = (self.store.clone(), self.way);
        let looked = blocking("look for objects", move || {
            let mut lines = Vec::with_capacity(wanted.len());
            let mut new = Vec::new();
            for want in wanted {
                let here = store.size_of(&want.oid) == Some(want.size);
                let action = match (way, here) {
                    (Way::Up, true) => {
                        store.touch(&want.oid);
                        "noop"
                    }
                    (Way::Up, false) => "upload",
                    (Way::Down, true) => "download",
                    (Way::Down, false) => "noop",
                };
                lines.push(format!("{} {} {action}", want.oid.as_str(), want.size));
                if way == Way::Up && !here {
                    new.push(want.size);
                }
            }
            Ok((lines, new))
        });
        let (lines, new) = match looked.await {
            Ok(looked) => looked,
            Err(err) => return refused(&err),
        };
        if let Some(size) = new.iter().find(|size| **size > OBJECT_MAX) {
            return too_large(*size);
        }
        match self.gate.may(new.iter().fold(0, |sum, size| sum.saturating_add(*size))).await {
            Ok(()) => wire::batch(&lines),
            Err(err) => refused(&err),
        }
    }

    async fn begin(&self, want: Want) -> Result<(Incoming, Held)> {
        if want.size > OBJECT_MAX {
            return Err(object_too_large(want.size).into());
        }
        let held = self.gate.take(want.size).await?;
        let store = self.store.clone();
        blocking("take an object", move || Ok((store.begin(want)?, held))).await
    }

    async fn write(&mut self, bytes: Bytes) {
        let Some(Ok((mut incoming, held))) = self.incoming.take_if(|incoming| incoming.is_ok()) else { return };
        let written = blocking("write an object", move || {
            incoming.write(&bytes)?;
            Ok((incoming, held))
        });
        self.incoming = Some(written.await);
    }

    async fn end(&mut self) -> Result<()> {
        match self.incoming.take() {
            Some(Ok((incoming, held))) => {
                let kept = blocking("keep an object", move || incoming.end()).await;
                drop(held);
                kept
            }
            Some(Err(err)) => Err(err),
            None => Ok(()),
        }
    }

    async fn give(&self, file: File, size: u64, io: &Io) -> Result<Go> {
        if !send(io, wire::object(size)).await {
            return Ok(Go::End(ENDED));
        }
        let mut rest = file.take(size);
        loop {
            let (piece, more) = blocking("read an object", move || {
                let mut piece = Vec::with_capacity(PIECE);
                (&mut rest).take(PIECE as u64).read_to_end(&mut piece).act(|| "cannot read an object")?;
                Ok((piece, rest))
            })
            .await?;
            rest = more;
            self.moving.mark();
            if piece.is_empty() {
                return Ok(if send(io, Bytes::from_static(wire::FLUSH)).await { Go::On } else { Go::End(ENDED) });
            }
            if !send(io, wire::bytes(&piece)).await {
                return Ok(Go::End(ENDED));
            }
        }
    }
}

/// Whether the client still reads.
async fn send(io: &Io, bytes: Bytes) -> bool {
    tokio::select! {
        sent = io.out.send(Chunk::Out(bytes)) => sent.is_ok(),
        () = io.hangup.cancelled() => false,
    }
}

fn ok() -> Bytes {
    wire::answer(200, &[], &[])
}

fn wrong(status: u16, why: &str) -> Bytes {
    wire::answer(status, &[], &[why.to_owned()])
}

fn object_too_large(size: u64) -> Refusal {
    use domain::refusal::Code;
    let (size, most) = (human_bytes(size), human_bytes(OBJECT_MAX));
    Refusal::new(Code::LfsObject, format!("an object has {size}; the most is {most}"))
        .next("keep it outside the repository and load it from a URL")
}

fn too_large(size: u64) -> Bytes {
    refused(&object_too_large(size).into())
}

/// The client shows the first line of an answer's body, and no other.
fn refused(err: &Error) -> Bytes {
    err.log();
    let status = match err {
        Error::Refused(_) => 507,
        Error::Fault(_) => 500,
    };
    wrong(status, &err.lines().join("; "))
}
