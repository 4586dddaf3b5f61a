//! Bytes on their way to one socket.
//!
//! What the socket does not take at once stays here; the owner bounds how much that may be. A
//! buffer that has become large for one reply does not stay large.

use std::io::{self, Write};

/// Room that an empty buffer may keep, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// Bytes to write, of which some may be written already.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    bytes: Vec<u8>,
    written: usize,
}

impl OutputBuffer {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether no byte waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where to append bytes. Empty if nothing waits, so that a whole buffer can be swapped in.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        // What was written is dropped when it is the larger part: each byte moves at most once.
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        &mut self.bytes
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.written = 0;
    }

    /// Writes as much as the socket takes, and answers how many bytes that were.
    ///
    /// # Errors
    /// If the connection is broken. That the socket takes no more is no error.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let waiting = self.len();
        while !self.is_empty() {
            match socket.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(waiting - self.len());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        if self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        Ok(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes, then blocks.
    struct Socket {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(3);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_arrive_in_order_whatever_the_socket_takes() {
        let expected: Vec<u8> = (0..200).collect();
        let mut socket = Socket { room: 0, taken: Vec::new() };
        let mut buffer = OutputBuffer::default();
        for (round, chunk) in expected.chunks(10).enumerate() {
            buffer.tail().extend_from_slice(chunk);
            socket.room = round % 7 * 3;
            buffer.write_to(&mut socket).expect("this socket never breaks");
            assert_eq!(socket.taken.len() + buffer.len(), (round + 1) * 10);
        }
        socket.room = usize::MAX;
        buffer.write_to(&mut socket).expect("this socket never breaks");
        assert!(buffer.is_empty() && buffer.tail().is_empty());
        assert_eq!(socket.taken, expected);
    }
}
