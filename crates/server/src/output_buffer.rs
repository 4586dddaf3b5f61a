//! Bytes on their way to one socket.
//!
//! What the socket does not take at once stays here; the owner bounds how much that may be. A
//! buffer that has become large for one reply does not stay large.

use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;
use resp::Sink;

/// Room that an empty buffer may keep, in bytes.
const KEPT_BYTES: usize = 64 << 10;
/// Most bytes that are written at a time: a reader on the same machine may take them as fast as
/// they come, and others wait meanwhile.
const WRITE_BYTES_MAX: usize = 4 << 20;

/// Bytes to write, of which some may be written already.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    /// What comes first: bytes, and behind them long ones that others have, too.
    before: VecDeque<(Vec<u8>, Bytes)>,
    bytes: Vec<u8>,
    /// Of the first of `before`, or of `bytes`.
    written: usize,
    /// The socket may take more: it was not asked.
    more: bool,
}

impl OutputBuffer {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        let before: usize = self.before.iter().map(|(own, long)| own.len() + long.len()).sum();
        before + self.bytes.len() - self.written
    }

    /// Whether no byte waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the socket may take more than it was given: the poller won't say so again.
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// Writes as much as the socket takes, up to a few megabytes, and answers how many bytes that
    /// were.
    ///
    /// # Errors
    /// If the connection is broken. That the socket takes no more is no error.
    pub(crate) fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let waiting = self.len();
        let mut left = WRITE_BYTES_MAX;
        self.more = false;
        while let Some(next) = self.next() {
            let next = &next[..next.len().min(left)];
            if next.is_empty() {
                self.more = true;
                return Ok(waiting - self.len());
            }
            left -= next.len();
            match socket.write(next) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.note_written(count),
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

    /// What is to be written next, in one piece.
    fn next(&self) -> Option<&[u8]> {
        let next = match self.before.front() {
            Some((own, _)) if self.written < own.len() => &own[self.written..],
            Some((own, long)) => &long[self.written - own.len()..],
            None => &self.bytes[self.written..],
        };
        (!next.is_empty()).then_some(next)
    }

    fn note_written(&mut self, count: usize) {
        self.written += count;
        let is_done = |(own, long): &mut (Vec<u8>, Bytes)| own.len() + long.len() == self.written;
        if self.before.front_mut().is_some_and(is_done) {
            self.before.pop_front();
            self.written = 0;
        }
    }
}

impl Sink for OutputBuffer {
    /// Empty if nothing waits, so that a whole buffer can be swapped in.
    fn tail(&mut self) -> &mut Vec<u8> {
        // What was written is dropped when it is the larger part: each byte moves at most once.
        if self.before.is_empty() && self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        &mut self.bytes
    }

    fn push(&mut self, long: Bytes) {
        self.before.push_back((std::mem::take(&mut self.bytes), long));
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
            if round % 3 == 1 {
                buffer.push(Bytes::copy_from_slice(chunk));
            } else {
                buffer.tail().extend_from_slice(chunk);
            }
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
