//! A connection that another node has dialled, to send messages to this one.

use std::io::{self, Read};

use bytes::Bytes;
use mio::net::TcpStream;
use types::{Monotonic, NodeId};

use crate::core::Core;
use crate::output_buffer::OutputBuffer;
use crate::peer_frame::{self, FrameError, Greeting, Purpose, Tongue};
use crate::peer_roster::Process;
use crate::socket;
use crate::{buffers, clock};
use cluster::Input;

/// Most reads of one connection in one turn.
const READS_MAX: usize = 16;
/// From so many bytes on, a message keeps what it came in instead of a copy.
const SHARED_BYTES: usize = 1 << 20;
/// Room for the rest of a frame that an idle connection may keep.
const INPUT_KEPT_BYTES: usize = 64 << 10;

/// What reading came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// Everything there was, or all that is good for one turn.
    Messages,
    /// A greeting to answer. No frame after it has been looked at.
    Greeting(Greeting),
    /// Somebody speaks who is no node.
    Stranger(Tongue),
    /// The connection is over; why, unless the other side just closed it.
    Over(Option<String>),
}

/// One incoming connection.
#[derive(Debug)]
pub(crate) struct PeerIntake {
    pub(crate) stream: TcpStream,
    /// Who sends and what, once greeted.
    pub(crate) from: Option<(NodeId, Purpose)>,
    /// Which process of that node, once greeted.
    pub(crate) process: Option<Process>,
    /// Bytes of a frame that is not complete.
    input: Vec<u8>,
    pub(crate) output: OutputBuffer,
    pub(crate) readable: bool,
    pub(crate) read_closed: bool,
    /// Bytes read that nobody has counted yet.
    pub(crate) uncounted: u64,
    /// When it was accepted.
    pub(crate) since: Monotonic,
    /// When bytes last arrived.
    pub(crate) heard: Monotonic,
}

impl PeerIntake {
    /// A connection that was just accepted.
    pub(crate) fn new(stream: TcpStream, since: Monotonic) -> Self {
        Self {
            stream,
            from: None,
            process: None,
            input: Vec::new(),
            output: OutputBuffer::default(),
            readable: true,
            read_closed: false,
            uncounted: 0,
            since,
            heard: since,
        }
    }

    /// Reads, and hands messages to the core as they are complete.
    pub(crate) fn receive(&mut self, core: &mut Core, buffer: &mut [u8]) -> Received {
        // The frames that came with the greeting have waited for its answer.
        if self.from.is_some()
            && !self.input.is_empty()
            && let Err(error) = self.take_kept(core)
        {
            return Received::Over(Some(error.to_string()));
        }
        for _ in 0..READS_MAX {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Received::Over(None),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Received::Messages;
                }
                Err(error) if socket::is_temporary(&error) => continue,
                Err(error) => return Received::Over(Some(error.to_string())),
            };
            self.heard = clock::monotonic();
            self.uncounted += count as u64;
            match self.take(&buffer[..count], core) {
                Ok(None) => {}
                Ok(Some(greeting)) => return Received::Greeting(greeting),
                Err(FrameError::Magic(tongue)) => return Received::Stranger(tongue),
                Err(error) => return Received::Over(Some(error.to_string())),
            }
            if count < buffer.len() && !self.read_closed {
                self.readable = false;
                return Received::Messages;
            }
        }
        Received::Messages
    }

    /// Bytes that have arrived of a frame that is not complete.
    pub(crate) fn unfinished(&self) -> usize {
        self.input.len()
    }

    /// Takes bytes that have arrived.
    fn take(&mut self, received: &[u8], core: &mut Core) -> Result<Option<Greeting>, FrameError> {
        if self.from.is_none() {
            self.input.extend_from_slice(received);
            let Some((greeting, consumed)) = peer_frame::read_greeting(&self.input)? else {
                return Ok(None);
            };
            self.input.drain(..consumed);
            return Ok(Some(greeting));
        }
        if self.input.is_empty() {
            let consumed = self.messages(received, core)?;
            self.input.extend_from_slice(&received[consumed..]);
        } else {
            if self.input.capacity() - self.input.len() < received.len() {
                let expected = peer_frame::first_bytes(&self.input);
                buffers::make_room(&mut self.input, received.len(), expected);
            }
            self.input.extend_from_slice(received);
            self.take_kept(core)?;
        }
        Ok(None)
    }

    fn take_kept(&mut self, core: &mut Core) -> Result<(), FrameError> {
        let mut input = std::mem::take(&mut self.input);
        if self.from.is_some()
            && (SHARED_BYTES..=input.len()).contains(&peer_frame::first_bytes(&input))
        {
            let shared = Bytes::from(input);
            let consumed = self.large_message(&shared, core)?;
            input = shared[consumed..].to_vec();
        }
        let consumed = self.messages(&input, core)?;
        if consumed < input.len() || input.capacity() <= INPUT_KEPT_BYTES {
            input.drain(..consumed);
            self.input = input;
        }
        Ok(())
    }

    /// Hands over the message that `bytes` begin with, which may keep them.
    fn large_message(&self, bytes: &Bytes, core: &mut Core) -> Result<usize, FrameError> {
        let Some((from, _)) = self.from else { return Ok(0) };
        let Some((message, count)) = peer_frame::read_shared_message(bytes)? else { return Ok(0) };
        core.step(Input::Peer { from, message });
        Ok(count)
    }

    /// Hands over the messages that `bytes` begin with; answers how many bytes they took.
    fn messages(&self, bytes: &[u8], core: &mut Core) -> Result<usize, FrameError> {
        let mut consumed = 0;
        while let Some((from, _)) = self.from {
            let Some((message, count)) = peer_frame::read_message(&bytes[consumed..])? else {
                break;
            };
            core.step(Input::Peer { from, message });
            consumed += count;
        }
        Ok(consumed)
    }
}
