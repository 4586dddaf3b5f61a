//! Long values that commands write are built in steps, before the command is executed. Their memory
//! must be cleared first: for 64 MB that takes the system tens of milliseconds, which nobody should
//! wait for at once.
//!
//! Between the steps nothing of the shard changes, since entries are applied in their order. What
//! was built is used only if it is as long as the command finds that it must be.

use crate::arguments::{integer, string_len};
use crate::bitop;
use crate::bits::bit_offset;
use crate::execution::Context;
use crate::keyspace::Keyspace;
use crate::work;
use alloc::vec::Vec;
use resp::CommandId;
use smallvec::SmallVec;
use types::Slot;

/// So many steps build what is just long enough for being built in steps.
const STEPS_MIN: usize = 4;
/// Room behind a value that has grown: it may grow again.
const SPARE_BYTES: usize = 1 << 20;

/// What a command will write that is not executed yet, as far as it is built.
pub struct Building {
    of: Of,
    len: usize,
    result: Vec<u8>,
}

enum Of {
    Bitop(bitop::Steps),
    /// The value of a key, with zeros behind it.
    Grown,
}

impl Building {
    /// The result, if it is whole and has this length.
    pub(crate) fn whole(self, len: usize) -> Option<Vec<u8>> {
        (self.len == len && self.result.len() == len).then_some(self.result)
    }
}

impl Keyspace {
    /// Begins to build what a command will write, if that is so long that it should be done in
    /// steps. The command must be the next one that is executed on the slot.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "other commands build nothing long")]
    pub fn begin_building(
        &self,
        command: CommandId,
        slot: Slot,
        args: &[&[u8]],
        context: &Context,
    ) -> Option<Building> {
        let (len, of) = match command {
            CommandId::BitOp => {
                let (len, steps) = bitop::steps(self, slot, args, context)?;
                (len, Of::Bitop(steps))
            }
            CommandId::Append | CommandId::SetBit | CommandId::SetRange => {
                (self.grows_to(command, slot, args, context)?, Of::Grown)
            }
            _ => return None,
        };
        let room = if matches!(of, Of::Grown) { len.min(SPARE_BYTES) } else { 0 };
        let building = || Building { of, len, result: Vec::with_capacity(len + room) };
        (len >= self.long_bytes()).then(building)
    }

    /// How long a value will be that grows beyond its room.
    fn grows_to(
        &self,
        command: CommandId,
        slot: Slot,
        args: &[&[u8]],
        context: &Context,
    ) -> Option<usize> {
        let key = *args.get(1)?;
        let [old] = self.present(slot, &[key], context)[..] else { return None };
        let spare = old.map_or(0, |_| self.value_room(slot, key).map_or(0, |(_, spare)| spare));
        let found = old.is_some();
        let old = old.map_or(0, <[u8]>::len);
        let len = match (command, args.get(2..)?) {
            (CommandId::Append, [suffix]) if found => string_len(old as u64, suffix.len()).ok()?,
            (CommandId::SetBit, [offset, _]) => (bit_offset(offset).ok()? >> 3) as usize + 1,
            (CommandId::SetRange, [offset, part]) if !part.is_empty() => {
                string_len(u64::try_from(integer(offset).ok()?).ok()?, part.len()).ok()?
            }
            _ => return None,
        };
        let fits = len <= context.built_bytes_max() && work::growing(old, len) <= context.budget;
        (fits && len > old + spare).then_some(len)
    }

    /// Goes on building, as far as `budget` goes; says whether that is done.
    pub fn go_on_building(
        &self,
        building: &mut Building,
        slot: Slot,
        args: &[&[u8]],
        context: &Context,
        budget: &mut u64,
    ) -> bool {
        let Building { of, len, result } = building;
        let step = (self.long_bytes() / STEPS_MIN).max(1);
        while result.len() < *len {
            if *budget == 0 {
                return false;
            }
            let (begin, end) = (result.len(), (*len).min(result.len() + step));
            let bytes = match of {
                Of::Bitop(steps) => steps.extend((self, slot), args, context, (result, end)),
                Of::Grown => {
                    let keys = args.get(1..2).unwrap_or_default();
                    let values = self.present(slot, keys, context);
                    let old = values.first().copied().flatten().unwrap_or_default();
                    result.extend_from_slice(&old[begin.min(old.len())..end.min(old.len())]);
                    result.resize(end, 0);
                    end - begin
                }
            };
            if result.len() < end {
                // The command is refused when it is executed.
                return true;
            }
            *budget = budget.saturating_sub(work::copying(bytes));
        }
        true
    }

    /// The values of keys that have not expired by the time of an entry.
    pub(crate) fn present<'a>(
        &'a self,
        slot: Slot,
        keys: &[&[u8]],
        context: &Context,
    ) -> SmallVec<[Option<&'a [u8]>; 8]> {
        let data = self.slot(slot);
        let value = |key: &&[u8]| {
            let entry = data.get(data.find(self.hasher().hash(key), key)?);
            let expired = entry.expiry().is_some_and(|expiry| expiry <= context.now.0);
            (!expired).then(|| entry.value())
        };
        keys.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::{Changes, Mode, Supplies};
    use resp::{Protocol, Reply};
    use types::limits::LONG_BYTES;
    use types::{SlotRange, UnixMillis};

    /// Runs a command with what it writes built in steps, or at once; answers with the reply and
    /// the digest afterwards.
    fn run(command: CommandId, args: &[&[u8]], steps: bool) -> (Vec<u8>, u64) {
        let slot = resp::slot_of(b"{k}");
        let mut data = Keyspace::new(SlotRange::ALL, 1);
        let context = Context { now: UnixMillis(50), seed: 1, mode: Mode::Apply, budget: 64 << 20 };
        let (mut changes, mut bytes) = (Changes::off(), Vec::new());
        let long: Vec<u8> = (0..3 * LONG_BYTES / 2 + 7).map(|at| (at * 7 / 3) as u8).collect();
        let shorter: Vec<u8> = (0..LONG_BYTES + 1).map(|at| (at * 5 / 2) as u8).collect();
        let sets: [&[&[u8]]; 3] = [
            &[b"", b"{k}1", &long],
            &[b"", b"{k}2", &shorter],
            &[b"", b"{k}3", &long, b"PXAT", b"50"],
        ];
        for args in sets {
            let reply = &mut Reply::new(&mut bytes, Protocol::Resp2);
            let _ = data.execute(CommandId::Set, slot, args, &context, &mut changes, reply);
        }
        bytes.clear();
        let mut supplies = Supplies::default();
        if steps {
            let building = data.begin_building(command, slot, args, &context);
            let mut building = building.expect("it is long");
            let mut count = 0;
            while !data.go_on_building(&mut building, slot, args, &context, &mut 1) {
                count += 1;
            }
            assert!(count >= 4);
            supplies.built = Some(building);
        }
        let reply = &mut Reply::new(&mut bytes, Protocol::Resp2);
        let _ = data.execute_shared(command, slot, args, supplies, &context, &mut changes, reply);
        (bytes, data.digest_slot(slot))
    }

    #[test]
    fn what_is_built_in_steps_is_what_is_built_at_once() {
        let commands: [(CommandId, &[&[u8]]); 9] = [
            (CommandId::BitOp, &[b"", b"AND", b"{k}to", b"{k}1", b"{k}2", b"{k}3", b"{k}none"]),
            (CommandId::BitOp, &[b"", b"OR", b"{k}to", b"{k}2", b"{k}1", b"{k}3"]),
            (CommandId::BitOp, &[b"", b"XOR", b"{k}2", b"{k}1", b"{k}2", b"{k}1"]),
            (CommandId::BitOp, &[b"", b"NOT", b"{k}1", b"{k}1"]),
            (CommandId::SetBit, &[b"", b"{k}2", b"16777215", b"1"]),
            (CommandId::SetBit, &[b"", b"{k}new", b"8388608", b"0"]),
            (CommandId::SetBit, &[b"", b"{k}3", b"16777215", b"1"]),
            (CommandId::SetRange, &[b"", b"{k}1", b"3000000", b"x"]),
            (CommandId::Append, &[b"", b"{k}1", &[7; LONG_BYTES]]),
        ];
        for (command, args) in commands {
            assert!(run(command, args, true) == run(command, args, false), "{command:?}");
        }
    }
}
