//! Bytes on their way to one socket.
//!
//! What the socket does not take at once stays here, in pieces: bytes that wait are never moved
//! because others come or go, however many there are. The owner bounds how many that may be. A
//! buffer that has become large for one reply does not stay large.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::Bytes;
use resp::Sink;
use smallvec::SmallVec;

/// Room that an empty buffer may keep, and from how many bytes on a piece takes no more.
const PIECE_BYTES: usize = 64 << 10;
/// Most bytes that are written at a time: a reader on the same machine may take them as fast as
/// they come, and others wait meanwhile.
const WRITE_BYTES_MAX: usize = 4 << 20;
/// Most pieces that the system is handed at once.
const WRITE_PIECES_MAX: usize = 16;

/// Bytes to write, of which some may be written already.
#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    /// What comes first: full pieces, and long ones that others have, too.
    pieces: VecDeque<Bytes>,
    /// Bytes of all of them.
    in_pieces: usize,
    /// What comes behind them, and still grows.
    bytes: Vec<u8>,
    /// Of the first of `pieces`, or of `bytes`.
    written: usize,
    /// The socket may take more: it was not asked.
    more: bool,
}

impl OutputBuffer {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.in_pieces + self.bytes.len() - self.written
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
        let mut done = 0;
        self.more = false;
        while !self.is_empty() {
            if done == WRITE_BYTES_MAX {
                self.more = true;
                return Ok(done);
            }
            let written = socket.write_vectored(&self.next(WRITE_BYTES_MAX - done));
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.note_written(count);
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        if self.bytes.capacity() > PIECE_BYTES {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        Ok(done)
    }

    /// What is to be written next, up to `most` bytes.
    fn next(&self, most: usize) -> SmallVec<[IoSlice<'_>; WRITE_PIECES_MAX]> {
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.bytes[..]]);
        let (mut skipped, mut left) = (self.written, most);
        let slices = pieces.take(WRITE_PIECES_MAX).map(|piece| {
            let piece = &piece[std::mem::take(&mut skipped)..];
            let piece = &piece[..piece.len().min(left)];
            left -= piece.len();
            IoSlice::new(piece)
        });
        slices.filter(|slice| !slice.is_empty()).collect()
    }

    fn note_written(&mut self, count: usize) {
        self.written += count;
        while let Some(first) = self.pieces.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            self.in_pieces -= first.len();
            self.pieces.pop_front();
        }
    }

    /// Begins another piece.
    fn seal(&mut self) {
        if !self.bytes.is_empty() {
            self.in_pieces += self.bytes.len();
            self.pieces.push_back(std::mem::take(&mut self.bytes).into());
        }
    }
}

impl Sink for OutputBuffer {
    /// Empty if nothing waits, so that a whole buffer can be swapped in.
    fn tail(&mut self) -> &mut Vec<u8> {
        if self.bytes.len() >= PIECE_BYTES {
            self.seal();
        }
        &mut self.bytes
    }

    fn push(&mut self, long: Bytes) {
        self.seal();
        self.in_pieces += long.len();
        self.pieces.push_back(long);
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

    #[test]
    fn bytes_that_wait_stay_where_they_are() {
        let mut buffer = OutputBuffer::default();
        let reply = vec![7; PIECE_BYTES];
        buffer.tail().extend_from_slice(&reply);
        let mut socket = Socket { room: 3, taken: Vec::new() };
        buffer.write_to(&mut socket).expect("this socket never breaks");
        let place = buffer.next(usize::MAX)[0].as_ptr();
        for _ in 0..100 {
            buffer.tail().extend_from_slice(&reply);
            assert_eq!(buffer.next(usize::MAX)[0].as_ptr(), place);
        }
        assert_eq!(buffer.len(), 101 * PIECE_BYTES - 3);
        assert_eq!(buffer.pieces.len(), 100);
    }

    #[test]
    fn no_more_than_a_few_megabytes_are_written_at_a_time() {
        let mut buffer = OutputBuffer::default();
        for _ in 0..3 {
            buffer.push(vec![7; WRITE_BYTES_MAX / 2].into());
            buffer.tail().push(7);
        }
        let mut taken = Vec::new();
        let count = buffer.write_to(&mut taken).expect("memory never breaks");
        assert_eq!((count, taken.len(), buffer.has_more()), (WRITE_BYTES_MAX, count, true));
        buffer.write_to(&mut taken).expect("memory never breaks");
        assert!(buffer.is_empty() && !buffer.has_more());
        assert_eq!(taken.len(), 3 * (WRITE_BYTES_MAX / 2 + 1));
    }
}
