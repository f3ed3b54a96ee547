//! A buffer of plaintext that leaves no copy behind when it grows or is dropped.

use std::io::{self, Write};

use zeroize::Zeroizing;

/// Bytes that it begins with.
const SMALLEST: usize = 256;

#[derive(Default)]
pub(super) struct Plain(Zeroizing<Vec<u8>>);

impl Plain {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Makes room for so many bytes more. A vector that grows by itself frees what it had as it is.
    pub(super) fn reserve(&mut self, bytes: usize) {
        let needed = self.0.len() + bytes;
        if needed > self.0.capacity() {
            let half_more = self.0.capacity() + self.0.capacity() / 2;
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.max(half_more).max(SMALLEST)));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
