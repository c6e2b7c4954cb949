//! The file of a sealed segment: compressed blocks and an index, each with a checksum.
//!
//! The texts of each block are a zstd frame; columns and index are in frames that zstd skips. So the file is at once an
//! ordinary zstd file: `zstdcat` prints the texts without Hoist. A file gets its name when it is whole and on the disk,
//! so one cut short is never taken for one. Absent: decisions on what is wanted (domain), locks.

use super::spool::read_at;
use log_format::View;
use log_format::segment::{Block, Builder, Index, VERSION};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zstd::bulk::{Compressor, Decompressor};

/// Level 1: on logs as small as level 3, in two thirds of the time.
const LEVEL: i32 = 1;
/// A frame that zstd skips: this, a length of four bytes, and anything.
const SKIPPED: u32 = 0x184d_2a5f;
const MAGIC: &[u8; 8] = b"HoistLog";
/// Length of the index before compression, and compressed; then the magic.
const TRAILER: u64 = 16;
/// What is read at once of a file's end: nearly always the whole index.
const TAIL: u64 = 16 * 1024;
/// Larger claims are damage: no block or index of ours is near.
const PLAIN_MAX: u32 = 64 * 1024 * 1024;

/// Writes a sealed segment and has it on the disk at the end.
pub(super) struct SealedWriter {
    file: File,
    at: u64,
    builder: Builder,
    compressor: Compressor<'static>,
}

impl SealedWriter {
    pub fn create(path: &Path, first: u64) -> io::Result<SealedWriter> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(SealedWriter { file, at: 0, builder: Builder::new(first), compressor })
    }

    pub fn push(&mut self, view: &View<'_>) -> io::Result<()> {
        if self.builder.push(view) { self.block() } else { Ok(()) }
    }

    /// Writes what is left and the index, and waits for the disk. Returns the file's length.
    pub fn finish(mut self, marks: String) -> io::Result<u64> {
        self.block()?;
        let index = serde_json::to_vec(&self.builder.finish(marks))?;
        let mut packed = self.compressor.compress(&index)?;
        let length = packed.len();
        packed.extend_from_slice(&size(index.len())?.to_le_bytes());
        packed.extend_from_slice(&size(length)?.to_le_bytes());
        packed.extend_from_slice(MAGIC);
        self.file.write_all(&skipped(&packed)?)?;
        self.file.sync_data()?;
        Ok(self.at + packed.len() as u64 + 8)
    }

    fn block(&mut self) -> io::Result<()> {
        let Some(raw) = self.builder.take() else { return Ok(()) };
        let mut bytes = self.compressor.compress(&raw.texts)?;
        let texts = (self.at, bytes.len());
        let columns = self.compressor.compress(&raw.columns)?;
        bytes.extend_from_slice(&skipped(&columns)?);
        self.file.write_all(&bytes)?;
        self.at += bytes.len() as u64;
        self.builder.placed(&raw, texts, (self.at - columns.len() as u64, columns.len()));
        Ok(())
    }
}

/// Reads a sealed segment.
pub(super) struct SealedReader {
    file: File,
    pub index: Index,
    decompressor: Decompressor<'static>,
}

impl SealedReader {
    /// Opens a file and reads its index. A damaged one is an error of the kind `InvalidData`.
    pub fn open(path: &Path) -> io::Result<SealedReader> {
        let file = File::open(path)?;
        let mut decompressor = Decompressor::new()?;
        let length = file.metadata()?.len();
        let start = length.saturating_sub(TAIL);
        let tail = read_at(&file, start, usize::try_from(TAIL).unwrap_or(usize::MAX))?;
        let (rest, trailer) = tail.split_at_checked(tail.len().wrapping_sub(16)).ok_or_else(damaged)?;
        let word = |at: usize| Some(u32::from_le_bytes(trailer.get(at..at + 4)?.try_into().ok()?));
        let (plain, packed) = word(0).zip(word(4)).ok_or_else(damaged)?;
        if trailer.get(8..) != Some(MAGIC.as_slice()) {
            return Err(damaged());
        }
        let index = match rest.len().checked_sub(packed as usize).and_then(|from| rest.get(from..)) {
            Some(index) => unpack(&mut decompressor, index, plain)?,
            None => {
                let from = length.checked_sub(TRAILER + u64::from(packed)).ok_or_else(damaged)?;
                unpack(&mut decompressor, &read_at(&file, from, packed as usize)?, plain)?
            }
        };
        let index: Index = serde_json::from_slice(&index).map_err(|_| damaged())?;
        if index.version != VERSION {
            return Err(damaged());
        }
        Ok(SealedReader { file, index, decompressor })
    }

    /// A block's texts.
    pub fn texts(&mut self, block: &Block) -> io::Result<Vec<u8>> {
        let packed = read_at(&self.file, block.at, block.text_bytes as usize)?;
        unpack(&mut self.decompressor, &packed, block.text_plain)
    }

    /// A block's columns.
    pub fn columns(&mut self, block: &Block) -> io::Result<Vec<u8>> {
        let packed = read_at(&self.file, block.columns_at, block.columns_bytes as usize)?;
        unpack(&mut self.decompressor, &packed, block.columns_plain)
    }
}

fn unpack(decompressor: &mut Decompressor<'static>, packed: &[u8], plain: u32) -> io::Result<Vec<u8>> {
    if plain > PLAIN_MAX {
        return Err(damaged());
    }
    let bytes = decompressor.decompress(packed, plain as usize).map_err(|_| damaged())?;
    if bytes.len() == plain as usize { Ok(bytes) } else { Err(damaged()) }
}

fn skipped(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = SKIPPED.to_le_bytes().to_vec();
    frame.extend_from_slice(&size(content.len())?.to_le_bytes());
    frame.extend_from_slice(content);
    Ok(frame)
}

fn size(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::Error::other("a block of more than 4 GB"))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "damaged")
}
