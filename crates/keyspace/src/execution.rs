//! What all commands share: the view of the data they work on, and the dispatch to them.
//!
//! A command is a function of the data, its arguments and a reply. It returns early with
//! [`Stop`] for an error reply or for a key that has expired; [`Keyspace::execute`] then takes
//! back what was written of the reply. Commands check everything before they change anything, so
//! an error leaves the data as it was.

use crate::building::Building;
use crate::entry::{Entry, Source};
use crate::keyspace::Keyspace;
use crate::slot::{Lifetime, SlotData};
use crate::table::Place;
use crate::work;
use crate::{bitfield, bitop, bits, counter, dump, expiry, generic, lcs, string};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use resp::{CommandId, Reply};
use types::limits::{BUILT_BYTES_MAX, STRING_BYTES_MAX};
use types::{Slot, UnixMillis};

/// When and how a command is executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// In [`Mode::Apply`] the stamp of the log entry, the same on every replica; in [`Mode::Read`]
    /// the time at which the holder began to serve the read.
    pub now: UnixMillis,
    /// The random seed of the log entry.
    pub seed: u64,
    /// Whether the command comes from the log.
    pub mode: Mode,
    /// How much the command may work, see `work`. [`Context::UNBOUNDED`] for entries from before
    /// there was a bound.
    pub budget: u64,
}

impl Context {
    /// Work without a bound.
    pub const UNBOUNDED: u64 = u64::MAX;

    /// Longest value that a command may build from little.
    pub(crate) fn built_bytes_max(&self) -> usize {
        let is_bounded = self.budget != Self::UNBOUNDED;
        if is_bounded { BUILT_BYTES_MAX } else { STRING_BYTES_MAX }
    }
}

/// What a command may use beside its arguments.
#[derive(Default)]
pub struct Supplies<'a> {
    /// What the arguments lie in, if a long value may be kept there instead of being copied.
    pub owner: Option<&'a Bytes>,
    /// What it is to write, if that was built before.
    pub built: Option<Building>,
}

/// Whether a command comes from the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A read that the holder serves outside the log. It changes nothing.
    Read,
    /// A read at its place in a log entry, on the replica that was asked. It changes nothing
    /// either; what has expired by the entry's stamp is absent, for no later stamp is an earlier
    /// one.
    ReadInEntry,
    /// A command of a log entry: a write, or a read in a transaction.
    Apply,
}

/// How an execution ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outcome {
    /// The reply is written. It may be an error.
    Done,
    /// A key that the read looked at is past its expiry, which the log doesn't know yet. Nothing
    /// was written to the reply. Only in [`Mode::Read`].
    Expired,
}

/// Which keys commands changed, for those who watch them, and how many they looked for.
#[derive(Debug, Default)]
pub struct Changes {
    recording: bool,
    any: bool,
    lookups: Lookups,
    pub(crate) work: u64,
    keys: Vec<Box<[u8]>>,
}

/// How many keys commands looked for. A write that looks for a key more than once counts it more
/// than once; a read does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lookups {
    /// Keys that were there.
    pub hits: u32,
    /// Keys that were not there, or had expired.
    pub misses: u32,
    /// Keys that were found expired and removed. Only in [`Mode::Apply`].
    pub expired: u32,
}

impl Changes {
    /// Notes only whether anything changed.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Notes each changed key. A key may be noted more than once.
    #[must_use]
    pub fn recording() -> Self {
        Self { recording: true, ..Self::default() }
    }

    /// Whether the data changed at all, the removal of expired keys included.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any
    }

    /// The changed keys, if they are recorded.
    #[must_use]
    pub fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    /// The look-ups since the last call.
    pub fn take_lookups(&mut self) -> Lookups {
        core::mem::take(&mut self.lookups)
    }

    /// The work since the last call, in the units of `work`.
    pub fn take_work(&mut self) -> u64 {
        core::mem::take(&mut self.work)
    }

    /// Forgets everything, to be used again.
    pub fn clear(&mut self) {
        self.any = false;
        self.lookups = Lookups::default();
        self.work = 0;
        self.keys.clear();
    }

    fn note(&mut self, key: &[u8]) {
        self.any = true;
        if self.recording {
            self.keys.push(Box::from(key));
        }
    }
}

/// Why a command ends before its reply is complete.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A key that a read looked at is past its expiry.
    Expired,
    /// The reply is this error.
    Error(Cow<'static, str>),
}

impl Stop {
    pub(crate) const SYNTAX: Self = Self::error(resp::error::SYNTAX);
    pub(crate) const NOT_AN_INTEGER: Self = Self::error(resp::error::NOT_AN_INTEGER);
    pub(crate) const TOO_LONG: Self = Self::error(resp::error::STRING_TOO_LONG);
    pub(crate) const TOO_MUCH_WORK: Self = Self::error(resp::error::TOO_MUCH_WORK);

    pub(crate) const fn error(text: &'static str) -> Self {
        Self::Error(Cow::Borrowed(text))
    }
}

/// The data of one slot as a command sees it.
pub(crate) struct Data<'a> {
    command: CommandId,
    keyspace: &'a mut Keyspace,
    slot: Slot,
    context: Context,
    pub(crate) changes: &'a mut Changes,
    /// Work that the command may still do.
    pub(crate) left: u64,
    supplies: Supplies<'a>,
}

impl Data<'_> {
    /// Longest value that the command may build.
    pub(crate) fn built_bytes_max(&self) -> usize {
        self.context.built_bytes_max()
    }

    /// What the command is to write, if that was built before.
    pub(crate) fn take_built(&mut self) -> Option<Building> {
        self.supplies.built.take()
    }

    /// The time at which the command is executed, in milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.context.now.0
    }

    /// The error for a number of arguments that the caller should not have let pass.
    pub(crate) fn wrong_number(&self) -> Stop {
        Stop::Error(Cow::Owned(resp::error::wrong_arity(self.command.command())))
    }

    /// The error for an expiry that is no time, or too far in the future.
    pub(crate) fn invalid_expire(&self) -> Stop {
        Stop::Error(Cow::Owned(resp::error::invalid_expire(self.command.command())))
    }

    /// Where a key lies that exists and has not expired.
    fn place(&mut self, key: &[u8]) -> Result<Option<(u64, Place)>, Stop> {
        let hash = self.keyspace.hasher().hash(key);
        let slot = self.keyspace.slot(self.slot);
        let Some(place) = slot.find(hash, key) else {
            self.changes.lookups.misses += 1;
            return Ok(None);
        };
        let expiry = slot.get(place).expiry();
        if expiry.is_none_or(|expiry| expiry > self.context.now.0) {
            self.changes.lookups.hits += 1;
            return Ok(Some((hash, place)));
        }
        match self.context.mode {
            Mode::Read => Err(Stop::Expired),
            Mode::ReadInEntry => {
                self.changes.lookups.misses += 1;
                Ok(None)
            }
            Mode::Apply => {
                self.changes.lookups.misses += 1;
                self.changes.lookups.expired += 1;
                self.change(|slot| slot.remove(hash, place));
                self.changes.note(key);
                Ok(None)
            }
        }
    }

    /// The entry of a key, or `None` if there is none or it has expired.
    pub(crate) fn entry(&mut self, key: &[u8]) -> Result<Option<&Entry>, Stop> {
        let place = self.place(key)?;
        Ok(place.map(|(_, place)| self.keyspace.slot(self.slot).get(place)))
    }

    /// The value of a key that holds a string.
    pub(crate) fn value(&mut self, key: &[u8]) -> Result<Option<&[u8]>, Stop> {
        Ok(self.entry(key)?.map(Entry::value))
    }

    /// Replies with the value of a key, if there is one; says whether. A long value is not copied.
    pub(crate) fn reply_value(&mut self, key: &[u8], reply: &mut Reply<'_>) -> Result<bool, Stop> {
        let Some((_, place)) = self.place(key)? else { return Ok(false) };
        let entry = self.keyspace.slot(self.slot).get(place);
        if !entry.is_long() {
            reply.bulk(entry.value());
        } else if let Some(long) = self.share(place) {
            reply.long_bulk(long);
        }
        Ok(true)
    }

    /// The same, and null if there is none.
    pub(crate) fn reply_value_or_null(
        &mut self,
        key: &[u8],
        reply: &mut Reply<'_>,
    ) -> Result<bool, Stop> {
        let found = self.reply_value(key, reply)?;
        if !found {
            reply.null();
        }
        Ok(found)
    }

    /// The value of a key that exists, if it is long, for another one to have as well.
    pub(crate) fn long_value(&mut self, key: &[u8]) -> Option<Bytes> {
        let hash = self.keyspace.hasher().hash(key);
        let place = self.keyspace.slot(self.slot).find(hash, key)?;
        self.share(place)
    }

    fn share(&mut self, place: Place) -> Option<Bytes> {
        self.keyspace.change(self.slot, |slot, _| slot.share(place))
    }

    pub(crate) fn exists(&mut self, key: &[u8]) -> Result<bool, Stop> {
        Ok(self.place(key)?.is_some())
    }

    /// The values of several keys at the same time.
    pub(crate) fn values(&mut self, keys: &[&[u8]]) -> Result<Vec<Option<&[u8]>>, Stop> {
        // First all removals of expired keys, which move entries, then the values.
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.exists(key)?);
        }
        let slot = self.keyspace.slot(self.slot);
        let hasher = self.keyspace.hasher();
        let value = |(&key, found): (&&[u8], bool)| {
            let place = if found { slot.find(hasher.hash(key), key) } else { None };
            place.map(|place| slot.get(place).value())
        };
        Ok(keys.iter().zip(found).map(value).collect())
    }

    /// Writes a key with the encoding that Redis would choose for the value. A long value is kept
    /// in the entry of the log that it came with, if it is most of that.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], lifetime: Lifetime) {
        if value.len() >= self.keyspace.long_bytes()
            && let Some(owner) = self.supplies.owner
            && value.len() >= owner.len() / 8 * 7
            // RESTORE makes the value out of its argument.
            && lies_in(value, owner)
        {
            let shared = owner.slice_ref(value);
            return self.write(key, Source::Shared(&shared), lifetime, false);
        }
        self.write(key, Source::Copied(value), lifetime, false);
    }

    /// Writes a key whose value `OBJECT ENCODING` calls `raw`.
    pub(crate) fn put_raw(&mut self, key: &[u8], value: Vec<u8>, lifetime: Lifetime) {
        if value.len() >= self.keyspace.long_bytes() {
            self.write(key, Source::Shared(&Bytes::from(value)), lifetime, true);
        } else {
            self.write(key, Source::Copied(&value), lifetime, true);
        }
    }

    pub(crate) fn write(&mut self, key: &[u8], value: Source<'_>, lifetime: Lifetime, raw: bool) {
        self.must_apply();
        let slot = self.slot;
        self.keyspace.change(slot, |slot, hasher| slot.put(hasher, key, value, lifetime, raw));
        self.changes.note(key);
    }

    /// Removes a key; whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<bool, Stop> {
        let Some((hash, place)) = self.place(key)? else { return Ok(false) };
        self.change(|slot| slot.remove(hash, place));
        self.changes.note(key);
        Ok(true)
    }

    /// Removes a key if it has expired; whether it had.
    pub(crate) fn reap(&mut self, key: &[u8]) -> Result<bool, Stop> {
        let keys = self.keyspace.slot(self.slot).len();
        self.place(key)?;
        Ok(self.keyspace.slot(self.slot).len() < keys)
    }

    /// Gives a key, which should exist, an expiry or takes it away.
    pub(crate) fn set_expiry(&mut self, key: &[u8], expiry: Option<u64>) -> Result<(), Stop> {
        if let Some((hash, place)) = self.place(key)? {
            self.change(|slot| slot.edit(hash, place, |entry| entry.set_expiry(expiry)));
            self.changes.note(key);
        }
        Ok(())
    }

    /// Edits a value in place. It is made and filled with zeros to `len` bytes first, if it is
    /// shorter. `edit` returns whether the change counts for those who watch the key; a change of
    /// length always does.
    pub(crate) fn edit<R>(
        &mut self,
        key: &[u8],
        len: usize,
        edit: impl FnOnce(&mut [u8]) -> (R, bool),
    ) -> Result<R, Stop> {
        let found = self.place(key)?;
        let old = found.map_or(0, |(_, at)| self.keyspace.slot(self.slot).get(at).value().len());
        let grows = old < len || found.is_none();
        if len > old && len > self.built_bytes_max() {
            return Err(Stop::TOO_LONG);
        }
        let work = work::growing(old, len);
        self.allowance().covers(work)?;
        let built = self.take_built().and_then(|built| built.whole(len));
        if built.is_some() {
            self.count_done(work);
        } else {
            self.count(work);
        }
        let (hash, place) = match found {
            Some(found) => found,
            None => {
                self.write(key, Source::Copied(&[]), Lifetime::Forever, true);
                self.place(key)?.expect("the key was just written")
            }
        };
        let change = |entry: &mut Entry| {
            match built {
                Some(built) => entry.grow_into(built),
                None => entry.grow(len),
            }
            edit(entry.value_mut())
        };
        let (result, changed) = self.change(|slot| slot.edit(hash, place, change));
        if grows || changed {
            self.changes.note(key);
        } else {
            // The encoding may have changed, which is data too, though nobody watches it.
            self.changes.any = true;
        }
        Ok(result)
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut SlotData) -> R) -> R {
        self.must_apply();
        self.keyspace.change(self.slot, |slot, _| change(slot))
    }

    fn must_apply(&self) {
        let applied = self.context.mode == Mode::Apply;
        assert!(applied, "a write may only be executed from the log");
    }
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    whole.start <= part.start && part.end <= whole.end
}

impl Keyspace {
    /// Executes one command on one slot and appends its reply.
    ///
    /// `args[0]` is the command's name; the caller has checked the number of arguments, and that
    /// all keys belong to `slot`, which lies in the range. A request that is wrong in any other
    /// way gets an error reply and changes nothing.
    ///
    /// # Panics
    /// If a command that writes is executed in [`Mode::Read`], or if the slot is not of the range.
    pub fn execute(
        &mut self,
        command: CommandId,
        slot: Slot,
        args: &[&[u8]],
        context: &Context,
        changes: &mut Changes,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        self.execute_shared(command, slot, args, Supplies::default(), context, changes, reply)
    }

    /// The same, with what it may use beside.
    ///
    /// # Panics
    /// As [`Keyspace::execute`].
    #[expect(clippy::too_many_arguments, reason = "a command, and all that it goes by")]
    pub fn execute_shared(
        &mut self,
        command: CommandId,
        slot: Slot,
        args: &[&[u8]],
        supplies: Supplies<'_>,
        context: &Context,
        changes: &mut Changes,
        reply: &mut Reply<'_>,
    ) -> Outcome {
        let begin = reply.len();
        let arguments: usize = args.iter().map(|arg| arg.len()).sum();
        changes.work += work::COMMAND + work::VISIT * args.len() as u64 + work::copying(arguments);
        let left = context.budget;
        let context = *context;
        let mut data = Data { command, keyspace: self, slot, context, changes, left, supplies };
        let result = dispatch(command, &mut data, args, reply);
        data.count(work::copying(reply.len().saturating_sub(begin)));
        match result {
            Ok(()) => Outcome::Done,
            Err(Stop::Error(text)) => {
                reply.truncate(begin);
                reply.error(&text);
                Outcome::Done
            }
            Err(Stop::Expired) => {
                reply.truncate(begin);
                Outcome::Expired
            }
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other commands are not about data")]
fn dispatch(
    command: CommandId,
    data: &mut Data<'_>,
    args: &[&[u8]],
    reply: &mut Reply<'_>,
) -> Result<(), Stop> {
    use CommandId as Id;
    match command {
        Id::Get => string::get(data, args, reply),
        Id::Set => string::set(data, args, reply),
        Id::Append => string::append(data, args, reply),
        Id::GetDel => string::getdel(data, args, reply),
        Id::GetEx => string::getex(data, args, reply),
        Id::GetRange | Id::SubStr => string::getrange(data, args, reply),
        Id::GetSet => string::getset(data, args, reply),
        Id::MGet => string::mget(data, args, reply),
        Id::MSet => string::mset(data, args, reply),
        Id::MSetNx => string::msetnx(data, args, reply),
        Id::PSetEx => string::psetex(data, args, reply),
        Id::SetEx => string::setex(data, args, reply),
        Id::SetNx => string::setnx(data, args, reply),
        Id::SetRange => string::setrange(data, args, reply),
        Id::StrLen => string::strlen(data, args, reply),
        Id::Lcs => lcs::lcs(data, args, reply),
        Id::Incr => counter::incr(data, args, reply),
        Id::Decr => counter::decr(data, args, reply),
        Id::IncrBy => counter::incrby(data, args, reply),
        Id::DecrBy => counter::decrby(data, args, reply),
        Id::IncrByFloat => counter::incrbyfloat(data, args, reply),
        Id::BitCount => bits::bitcount(data, args, reply),
        Id::BitField => bitfield::bitfield(data, args, reply),
        Id::BitFieldRo => bitfield::bitfield_ro(data, args, reply),
        Id::BitOp => bitop::bitop(data, args, reply),
        Id::BitPos => bits::bitpos(data, args, reply),
        Id::GetBit => bits::getbit(data, args, reply),
        Id::SetBit => bits::setbit(data, args, reply),
        Id::Expire => expiry::expire(data, args, reply),
        Id::PExpire => expiry::pexpire(data, args, reply),
        Id::ExpireAt => expiry::expireat(data, args, reply),
        Id::PExpireAt => expiry::pexpireat(data, args, reply),
        Id::ExpireTime => expiry::expiretime(data, args, reply),
        Id::PExpireTime => expiry::pexpiretime(data, args, reply),
        Id::Ttl => expiry::ttl(data, args, reply),
        Id::PTtl => expiry::pttl(data, args, reply),
        Id::Persist => expiry::persist(data, args, reply),
        Id::Reap => expiry::reap(data, args, reply),
        Id::Copy => generic::copy(data, args, reply),
        Id::Del | Id::Unlink => generic::del(data, args, reply),
        Id::Exists | Id::Touch => generic::exists(data, args, reply),
        Id::Move => generic::move_key(),
        Id::ObjectEncoding => generic::object_encoding(data, args, reply),
        Id::ObjectFreq => generic::object_freq(data, args, reply),
        Id::ObjectIdleTime => generic::object_idletime(data, args, reply),
        Id::ObjectRefCount => generic::object_refcount(data, args, reply),
        Id::MemoryUsage => generic::memory_usage(data, args, reply),
        Id::Rename => generic::rename(data, args, reply),
        Id::RenameNx => generic::renamenx(data, args, reply),
        Id::Type => generic::type_of(data, args, reply),
        Id::Dump => dump::dump(data, args, reply),
        Id::Restore => dump::restore(data, args, reply),
        _ => Err(Stop::error("ERR this command does not work on the keys of one slot")),
    }
}
