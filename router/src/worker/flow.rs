//! The two directions of one exchange: the request going up, the response coming down, at the same time and unbuffered.
//!
//! Each direction is a loop that borrows one half of each socket. They share only a few cells. Neither writes the access
//! line or a page, and neither decides what happens to the connections afterwards.

use std::{cell::Cell, io, time::Duration};

use tokio::{
    io::AsyncWrite,
    time::{Instant, timeout, timeout_at},
};

use super::{
    buf::{Buf, Spare},
    rewrite::{self, Passing},
    transport::{Reader, write},
};
use crate::{
    code::Code,
    config::Limits,
    gate::{self, Body, Scan, Slots},
};

/// What both directions see of each other.
pub(crate) struct Flow {
    /// A byte of the final response went to the client, or was about to.
    pub(crate) started: Cell<bool>,
    /// The whole request went to the target.
    pub(crate) uploaded: Cell<bool>,
    /// When the request last moved.
    moved: Cell<Instant>,
    pub(crate) status: Cell<u16>,
    pub(crate) bytes: Cell<u64>,
    /// The client waits for 100 before it sends.
    expecting: Cell<bool>,
}

/// Why the upload ended before the response did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// The client closed.
    Gone,
    /// The body is not framed as announced.
    Malformed,
    /// The body comes too slowly.
    Slow,
    /// The target takes no more; its response may still come.
    Broken,
}

/// How the download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// The response is complete.
    Done {
        /// The target's connection can serve another request.
        reusable: bool,
        /// The client was told that its connection stays open.
        kept: bool,
    },
    /// 101: what follows is no longer HTTP.
    Switched,
    /// The reused connection was closed before a byte came.
    Stale,
    /// It did not work.
    Failed(Code),
}

/// What the download must know of the request.
#[derive(Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) head_only: bool,
    pub(crate) upgrade: bool,
    pub(crate) reused: bool,
    pub(crate) passing: Passing,
}

/// How far a client may send ahead while its request is served.
const AHEAD_MAX: usize = 16 << 10;
const INTERIM_MAX: u32 = 16;
/// Pieces of a body below this size are written together.
const SMALL: usize = 64;

/// The progress rule for bodies: only the time spent waiting for the client counts.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn too_slow(self, limits: &Limits) -> bool {
        let due = self.waited.as_millis().saturating_mul(u128::from(limits.body_rate)) / 1000;
        self.waited > limits.body_grace && u128::from(self.bytes) < due
    }
}

impl Flow {
    pub(crate) fn new(expecting: bool) -> Self {
        Self {
            started: Cell::new(false),
            uploaded: Cell::new(false),
            moved: Cell::new(Instant::now()),
            status: Cell::new(0),
            bytes: Cell::new(0),
            expecting: Cell::new(expecting),
        }
    }
}

/// Sends the head, then the body as it comes, then watches for the client to leave.
pub(crate) struct Upload<'a, R, W> {
    pub(crate) flow: &'a Flow,
    pub(crate) limits: &'a Limits,
    pub(crate) spare: &'a Spare,
    pub(crate) client: R,
    pub(crate) buf: &'a mut Buf,
    pub(crate) target: W,
    pub(crate) body: Body,
}

impl<R: Reader, W: AsyncWrite + Unpin> Upload<'_, R, W> {
    /// `first` is the head and what was already there of the body.
    pub(crate) async fn run(mut self, first: Vec<u8>) -> Up {
        let sent = write(&mut self.target, &first, self.limits.idle_window).await;
        self.spare.put(first);
        if sent.is_err() {
            return Up::Broken;
        }
        let mut pace = Pace::default();
        while !self.body.done() {
            if self.buf.is_empty()
                && let Err(end) = self.read(&mut pace).await
            {
                return end;
            }
            if let Err(end) = self.forward().await {
                return end;
            }
        }
        self.flow.moved.set(Instant::now());
        self.flow.uploaded.set(true);
        self.watch().await
    }

    async fn read(&mut self, pace: &mut Pace) -> Result<(), Up> {
        let since = Instant::now();
        let expecting = self.flow.expecting.get();
        let window = if expecting { self.limits.first_byte } else { self.limits.body_window };
        match timeout(window, self.buf.fill(&mut self.client, self.spare)).await {
            Ok(Ok(0) | Err(_)) => Err(Up::Gone),
            Err(_) => Err(Up::Slow),
            Ok(Ok(n)) => {
                self.flow.moved.set(Instant::now());
                pace.bytes += n as u64;
                if !expecting {
                    pace.waited += since.elapsed();
                }
                self.flow.expecting.set(false);
                if pace.too_slow(self.limits) { Err(Up::Slow) } else { Ok(()) }
            }
        }
    }

    async fn forward(&mut self) -> Result<(), Up> {
        let run = self.body.take(self.buf.bytes()).map_err(|_| Up::Malformed)?;
        let bytes = run.passed(self.buf.bytes());
        if !bytes.is_empty() {
            write(&mut self.target, bytes, self.limits.idle_window).await.map_err(|_| Up::Broken)?;
        }
        self.buf.consume(run.len);
        Ok(())
    }

    /// Returns only when the client is gone. What it sends ahead waits for its turn.
    async fn watch(&mut self) -> Up {
        while self.buf.len() < AHEAD_MAX {
            match self.buf.fill(&mut self.client, self.spare).await {
                Ok(0) | Err(_) => return Up::Gone,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }
}

/// Puts the part of the body that has already arrived behind the head.
pub(crate) fn take_arrived(out: &mut Vec<u8>, buf: &mut Buf, body: &mut Body) -> Result<(), Up> {
    while !buf.is_empty() && !body.done() {
        let run = body.take(buf.bytes()).map_err(|_| Up::Malformed)?;
        out.extend_from_slice(run.passed(buf.bytes()));
        buf.consume(run.len);
    }
    Ok(())
}

/// Receives the response and passes it on as it comes.
pub(crate) struct Download<'a, R, W> {
    pub(crate) flow: &'a Flow,
    pub(crate) limits: &'a Limits,
    pub(crate) spare: &'a Spare,
    pub(crate) target: R,
    pub(crate) buf: &'a mut Buf,
    pub(crate) client: W,
    pub(crate) wants: Wants,
    /// Asked when the head is written: whether this connection shall end with this response.
    pub(crate) closing: &'a dyn Fn() -> bool,
}

/// A judged head: what to do next.
enum Next {
    Interim,
    Switched,
    Body { body: Body, reusable: bool, kept: bool },
}

impl<R: Reader, W: AsyncWrite + Unpin> Download<'_, R, W> {
    pub(crate) async fn run(mut self) -> Down {
        match self.receive().await {
            Ok(down) | Err(down) => down,
        }
    }

    async fn receive(&mut self) -> Result<Down, Down> {
        let mut out = self.spare.take();
        for _ in 0..INTERIM_MAX {
            let span = self.head().await?;
            let next = self.judge(span, &mut out)?;
            self.buf.consume(span.end);
            match next {
                Next::Interim => {
                    self.send(&out).await?;
                    self.flow.expecting.set(false);
                    out.clear();
                }
                Next::Switched => {
                    self.flow.started.set(true);
                    self.send(&out).await?;
                    self.spare.put(out);
                    return Ok(Down::Switched);
                }
                Next::Body { body, reusable, kept } => {
                    self.flow.started.set(true);
                    let clean = self.body(body, out).await?;
                    let reusable = reusable && clean && self.buf.is_empty() && self.flow.uploaded.get();
                    return Ok(Down::Done { reusable, kept });
                }
            }
        }
        Err(Down::Failed(Code::PoorlyFormatted))
    }

    /// Waits for a complete head. The clock restarts while the request is still moving up.
    async fn head(&mut self) -> Result<gate::scan::Span, Down> {
        let mut scan = Scan::response();
        loop {
            match scan.advance(self.buf.bytes(), &self.limits.response_head) {
                Ok(Some(span)) if span.start == 0 => return Ok(span),
                Ok(Some(_)) | Err(_) => return Err(Down::Failed(Code::PoorlyFormatted)),
                Ok(None) => {}
            }
            let due = self.flow.moved.get() + self.limits.first_byte;
            match timeout_at(due, self.buf.fill(&mut self.target, self.spare)).await {
                Ok(Ok(n)) if n > 0 => {}
                Ok(_) if self.wants.reused && self.buf.is_empty() => return Err(Down::Stale),
                Ok(_) => return Err(Down::Failed(Code::ClosedWithoutResponse)),
                Err(_) if self.flow.moved.get() + self.limits.first_byte > due => {}
                Err(_) => return Err(Down::Failed(Code::RequestTimeout)),
            }
        }
    }

    fn judge(&self, span: gate::scan::Span, out: &mut Vec<u8>) -> Result<Next, Down> {
        const ODD: Down = Down::Failed(Code::PoorlyFormatted);
        let mut slots = Slots::of(span.fields);
        let bytes = self.buf.bytes().get(..span.end).unwrap_or_default();
        let head = gate::response(bytes, &mut slots, self.wants.head_only).map_err(|_| ODD)?;
        let mut passing = self.wants.passing;
        if head.interim() {
            if passing.minor == 1 {
                rewrite::response(out, &head, passing);
            }
            return Ok(Next::Interim);
        }
        self.flow.status.set(head.status);
        if head.status == 101 {
            rewrite::response(out, &head, passing);
            return if self.wants.upgrade { Ok(Next::Switched) } else { Err(ODD) };
        }
        let mut body = head.body;
        match body {
            Body::UntilClose => passing.keep_alive = false,
            Body::Chunked(machine) if passing.minor == 0 => {
                passing.keep_alive = false;
                body = Body::Unchunked(machine);
            }
            Body::Chunked(_) | Body::Empty | Body::Length(_) | Body::Unchunked(_) => {}
        }
        // After a refused upgrade the client may already be speaking the other protocol.
        passing.keep_alive &= self.flow.uploaded.get() && !self.wants.upgrade && !(self.closing)();
        rewrite::response(out, &head, passing);
        Ok(Next::Body { body, reusable: head.keep_alive, kept: passing.keep_alive })
    }

    /// True when the body ended where its framing said.
    async fn body(&mut self, mut body: Body, mut out: Vec<u8>) -> Result<bool, Down> {
        loop {
            while !self.buf.is_empty() && !body.done() {
                let run = body.take(self.buf.bytes()).map_err(|_| Down::Failed(Code::PoorlyFormatted))?;
                let piece = run.passed(self.buf.bytes());
                self.flow.bytes.set(self.flow.bytes.get() + piece.len() as u64);
                // A piece of a few bytes is no packet of its own.
                if out.is_empty() && piece.len() >= SMALL {
                    write(&mut self.client, piece, self.limits.idle_window).await.map_err(client_fault)?;
                } else {
                    out.extend_from_slice(piece);
                }
                self.buf.consume(run.len);
            }
            if !out.is_empty() {
                self.send(&out).await?;
                self.spare.put(std::mem::take(&mut out));
            }
            if body.done() {
                return Ok(true);
            }
            match self.more().await? {
                0 if matches!(body, Body::UntilClose) => return Ok(false),
                0 => return Err(Down::Failed(Code::ServerInterrupted)),
                _ => {}
            }
        }
    }

    async fn more(&mut self) -> Result<usize, Down> {
        let mut due = Instant::now() + self.limits.idle_window;
        loop {
            match timeout_at(due, self.buf.fill(&mut self.target, self.spare)).await {
                Ok(Ok(n)) => return Ok(n),
                Ok(Err(_)) => return Err(Down::Failed(Code::ServerInterrupted)),
                Err(_) if self.flow.moved.get() + self.limits.idle_window > due => {
                    due = self.flow.moved.get() + self.limits.idle_window;
                }
                Err(_) => return Err(Down::Failed(Code::IdleConnection)),
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Down> {
        write(&mut self.client, bytes, self.limits.idle_window).await.map_err(client_fault)
    }
}

fn client_fault(err: io::Error) -> Down {
    let idle = err.kind() == io::ErrorKind::TimedOut;
    Down::Failed(if idle { Code::ClientIdle } else { Code::ClientInterrupted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_keep_its_pace_after_the_grace() {
        let limits = Limits::default();
        let pace = |secs, bytes| Pace { waited: Duration::from_secs(secs), bytes };
        assert!(!pace(19, 0).too_slow(&limits));
        assert!(!pace(20, 1).too_slow(&limits));
        assert!(pace(21, 21).too_slow(&limits));
        assert!(!pace(21, 240 * 21).too_slow(&limits));
        assert!(pace(100, 240 * 99).too_slow(&limits));
    }
}
