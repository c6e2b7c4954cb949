//! The three streams and the end of one command, whoever carries them: an SSH channel or the admin socket.

use bytes::Bytes;
use domain::refusal::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Chunks waiting for a slow reader before a writer has to wait.
pub const CHUNKS_MAX: usize = 64;
/// Bytes of one chunk of a long text.
const PIECE_MAX: usize = 32 * 1024;

/// One piece of output.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// Standard output.
    Out(Bytes),
    /// Standard error.
    Err(Bytes),
    /// What a terminal inside an instance shows: line ends and all are its own.
    Raw(Bytes),
}

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// The client's terminal, for a command that has one inside an instance to join it to.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// What the client calls its kind: `xterm-256color`.
    pub term: String,
    /// Its size, as it changes.
    pub size: watch::Receiver<Size>,
    /// Shared with the channel.
    raw: Arc<AtomicBool>,
}

impl Terminal {
    /// A terminal, and where to say its new sizes.
    pub fn new(term: String, size: Size) -> (Terminal, watch::Sender<Size>) {
        let (sizes, size) = watch::channel(size);
        (Terminal { term, size, raw: Arc::default() }, sizes)
    }

    /// From here on keys are bytes for the terminal inside: Ctrl-C is nothing of ours any more.
    pub fn go_raw(&self) {
        self.raw.store(true, Ordering::Release);
    }

    /// Whether keys are bytes.
    pub fn is_raw(&self) -> bool {
        self.raw.load(Ordering::Acquire)
    }
}

/// What a command may read, write and notice.
#[derive(Debug)]
pub struct Io {
    /// Bytes from the client; `None` after its end of file.
    pub stdin: mpsc::Receiver<Bytes>,
    /// Output in order; sending fails once the client is gone.
    pub out: mpsc::Sender<Chunk>,
    /// Cancelled when the client closed the connection or channel in an orderly way. A transport that died only makes
    /// sending fail: silence cancels nothing.
    pub hangup: CancellationToken,
    /// Whether output goes to a terminal (colour and progress are allowed).
    pub tty: bool,
    /// The client's terminal, where it can be joined to one inside an instance.
    pub terminal: Option<Terminal>,
}

impl Io {
    /// Writes a line to standard output; an absent reader is not an error of the command.
    pub async fn line(&self, text: impl AsRef<str>) {
        let _ = self.out.send(Chunk::Out(Bytes::from(format!("{}\n", text.as_ref())))).await;
    }
    /// Writes text to standard output as it is, in pieces that a slow reader can take.
    pub async fn text(&self, text: impl AsRef<str>) {
        for piece in text.as_ref().as_bytes().chunks(PIECE_MAX) {
            let _ = self.out.send(Chunk::Out(Bytes::copy_from_slice(piece))).await;
        }
    }
    /// Writes a line to standard error.
    pub async fn note(&self, text: impl AsRef<str>) {
        let _ = self.out.send(Chunk::Err(Bytes::from(format!("{}\n", text.as_ref())))).await;
    }
    /// Reads standard input to its end, refusing more than `max` bytes.
    pub async fn read_all(&mut self, max: usize) -> Result<Vec<u8>, domain::Refusal> {
        let mut all = Vec::new();
        while let Some(bytes) = self.stdin.recv().await {
            if all.len() + bytes.len() > max {
                return Err(domain::Refusal::new(
                    Code::InputTooLong,
                    format!("more than {max} bytes on standard input"),
                ));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}
