//! What the targets share: a cursor over the fuzzer's bytes, and commands on a keyspace.

use keyspace::{Changes, Context, Keyspace, Mode, Outcome};
use resp::{CommandId, Protocol, Reply};
use types::UnixMillis;

/// Takes choices from the front of the fuzzer's bytes. Past the end all choices are zero.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// A number of two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next bytes, as many as there are up to `len`.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes after their length of one byte.
    pub fn counted(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.bytes(len)
    }
}

/// Executes one command of the slot of `{a}` and returns its reply.
pub fn execute(
    keyspace: &mut Keyspace,
    command: CommandId,
    args: &[&[u8]],
    mode: Mode,
    now: u64,
) -> (Outcome, Vec<u8>) {
    let mut buffer = Vec::new();
    let mut reply = Reply::new(&mut buffer, Protocol::Resp3);
    let budget = types::limits::COMMAND_WORK_MAX;
    let context = Context { now: UnixMillis(now), seed: now, mode, budget };
    let slot = resp::slot_of(b"{a}");
    let mut changes = Changes::recording();
    let outcome = keyspace.execute(command, slot, args, &context, &mut changes, &mut reply);
    (outcome, buffer)
}

/// Panics unless the bytes are exactly one reply.
pub fn assert_one_reply(bytes: &[u8]) {
    let mut decoder = resp::Decoder::new(resp::ReplyLimits::default());
    let decoded = decoder.next(bytes).expect("a reply");
    assert!(decoded.value.is_some(), "an unfinished reply: {}", bytes.escape_ascii());
    assert_eq!(decoded.consumed, bytes.len(), "more than one reply: {}", bytes.escape_ascii());
}
