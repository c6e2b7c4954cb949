//! The three streams and the end of one command, whoever carries them: an SSH channel or the admin socket.

use bytes::Bytes;
use tokio::sync::mpsc;
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
                return Err(domain::Refusal::new("input-too-long", format!("more than {max} bytes on standard input")));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}
