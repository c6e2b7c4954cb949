//! Read buffers that cost nothing while nobody sends: an idle connection holds none, busy ones borrow from the worker.

use std::{cell::RefCell, io};

use tokio::io::AsyncReadExt;

use super::transport::Reader;

const SIZE: usize = 16 << 10;
const SPARE_MAX: usize = 16;

/// Bytes that were read and not yet used.
#[derive(Default)]
pub(crate) struct Buf {
    data: Vec<u8>,
    at: usize,
}

/// A worker's buffers that are not in use.
#[derive(Default)]
pub(crate) struct Spare(RefCell<Vec<Vec<u8>>>);

impl Spare {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(SIZE))
    }

    pub(crate) fn put(&self, mut data: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        // One that grew over its size for a large head goes back to the allocator.
        if data.capacity() == SIZE && spare.len() < SPARE_MAX {
            data.clear();
            spare.push(data);
        }
    }
}

impl Buf {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.data.len());
        if self.is_empty() {
            self.data.clear();
            self.at = 0;
        }
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn release(&mut self, spare: &Spare) {
        if self.is_empty() && self.data.capacity() > 0 {
            self.at = 0;
            spare.put(std::mem::take(&mut self.data));
        }
    }

    fn make_room(&mut self, spare: &Spare) {
        if self.data.capacity() == 0 {
            self.data = spare.take();
        }
        if self.data.capacity() - self.data.len() < SIZE / 4 && self.at > 0 {
            self.data.drain(..self.at);
            self.at = 0;
        }
        if self.data.capacity() == self.data.len() {
            self.data.reserve(SIZE);
        }
    }

    /// Reads what is there, or waits; zero is the end. Waiting with nothing unused holds no memory.
    pub(crate) async fn fill(&mut self, from: &mut impl Reader, spare: &Spare) -> io::Result<usize> {
        loop {
            self.make_room(spare);
            if !self.is_empty() {
                return from.read_buf(&mut self.data).await;
            }
            let now = tokio::select! {
                biased;
                read = from.read_buf(&mut self.data) => Some(read),
                () = std::future::ready(()) => None,
            };
            if let Some(read) = now {
                return read;
            }
            self.release(spare);
            from.readable().await?;
        }
    }
}
