//! What takes more than one turn: entries to apply, requests that wait for their share of a turn,
//! KEYS and SCAN, memory to free.
//!
//! An entry is applied operation by operation, and between two of them a turn may end. Its
//! operations are requests of different clients, each with its own place in the log, so whoever
//! reads in between sees a state that was there. But the applied index says only what is applied
//! as a whole: images of slots must not be taken in between (an image would have what is applied
//! again when it is followed by the entry), see [`Shard::is_mid_entry`].

use alloc::collections::VecDeque;

use bytes::Bytes;
use keyspace::{Building, Context, KeysWalk, Keyspace, ScanCursor, ScanWalk};
use resp::Reply;
use types::{LogIndex, UnixMillis};

use super::parting::Parting;
use super::{Effects, Env, Request, Shard};
use crate::entry::{self, Operation, Survey};
use crate::frontend::slow_log::show_operation;
use crate::planted::Planting;
use crate::raft_group::Committed;
use crate::work::Kind;

/// What a client is told whose request waited here for too long.
const WAITED_TOO_LONG: &str = "TRYAGAIN what others asked of this node kept it busy for too long; \
    the request was not executed, try again";
/// What a client is told whose KEYS took too long.
const WALKED_TOO_LONG: &str = "TRYAGAIN there are too many keys to look at all of them in time; \
    use SCAN";
/// KEYS and SCAN that a shard goes on with side by side: what each has found takes memory.
const WALKS_MAX: usize = 8;
/// What a client is told whose KEYS would be one too many.
const TOO_MANY_WALKS: &str = "TRYAGAIN too many clients ask for all keys at the same time; try \
    again later";
/// Work that one step of KEYS or SCAN may do, so that several go on side by side.
const WALK_STEP: u64 = 1_000_000;

/// What is left over from turn to turn.
#[derive(Default)]
pub(super) struct Steps {
    /// Committed entries that are not applied yet.
    committed: VecDeque<Committed>,
    /// How far the first of them is applied.
    progress: Progress,
    /// What its next operation will write, if that takes more than a turn to build.
    building: Option<Building>,
    /// Requests that were admitted and wait for their share of a turn, in order.
    due: VecDeque<Request>,
    walks: VecDeque<Walking>,
    /// Long writes that are not in the log as a whole.
    pub(super) parting: Parting,
    /// Somebody waits for data that are those of an index.
    boundary_wanted: bool,
    /// The turn that ends between two entries for that.
    rests_in: u64,
    /// The turn in which any of this was last gone on with.
    shared: u64,
}

/// How far an entry is applied.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of its operations.
    pub(super) bytes: usize,
    /// What its proposer does beside, in number.
    pub(super) locals: usize,
    /// Its operations, in number.
    pub(super) step: u64,
    /// How many writes there had been before it.
    pub(super) writes_before: u64,
}

/// KEYS or SCAN under way.
struct Walking {
    request: Request,
    walk: Walk,
    /// What has expired by then is left out: the log says so.
    now: UnixMillis,
    /// What the same client asked for later.
    behind: VecDeque<Request>,
}

enum Walk {
    Keys(KeysWalk),
    Scan { scan: ScanWalk, after: u64 },
}

impl Walk {
    /// The walk that a question needs, if it needs one.
    fn of(operation: &Bytes) -> Option<Self> {
        match entry::only_operation(operation).ok()? {
            Operation::Survey(Survey::Keys { pattern }) => Some(Self::Keys(KeysWalk::new(pattern))),
            Operation::Survey(Survey::Scan { cursor, after, count, pattern, strings_only }) => {
                let cursor = ScanCursor::decode(cursor)?;
                let scan = ScanWalk::new(cursor, count, pattern, strings_only);
                Some(Self::Scan { scan, after })
            }
            Operation::Survey(_)
            | Operation::Single { .. }
            | Operation::Group { .. }
            | Operation::Flush
            | Operation::Watch { .. }
            | Operation::Unwatch
            | Operation::Manage(_) => None,
        }
    }

    fn step(&mut self, data: &Keyspace, now: UnixMillis, budget: &mut u64) -> bool {
        match self {
            Self::Keys(keys) => keys.step(data, now, budget),
            Self::Scan { scan, .. } => scan.step(data, now, budget),
        }
    }

    fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Self::Keys(keys) => keys.write(reply),
            Self::Scan { scan, after } => {
                let next = scan.next().map_or(*after, ScanCursor::encode);
                reply.array(2);
                reply.bulk(alloc::format!("{next}").as_bytes());
                scan.write(reply);
            }
        }
    }
}

impl Steps {
    /// Whether no request waits here for its share of a turn.
    pub(super) fn is_idle(&self) -> bool {
        self.due.is_empty() && self.walks.is_empty()
    }

    /// Whether requests that were admitted wait.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Whether something waits that the same client asked for before. What others ask for meanwhile
    /// says nothing: who waited for all of it might never have a turn.
    pub(super) fn has_earlier(&self, request: &Request) -> bool {
        request.ordered && self.due.iter().any(|other| other.is_before(request))
    }

    /// Whether requests that were admitted wait, for whatever.
    pub(super) fn has_admitted(&self) -> bool {
        self.has_due() || self.walks.iter().any(|walking| !walking.behind.is_empty())
    }

    /// All requests that wait here.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        let walks = self.walks.iter();
        let walks = walks.flat_map(|walking| walking.behind.iter().chain([&walking.request]));
        walks.chain(&self.due)
    }
}

impl Shard {
    /// What was built for the next operation.
    pub(super) fn take_built(&mut self) -> Option<Building> {
        self.steps.building.take()
    }

    /// Whether there is something left to do for the next turn.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.has_committed()
            || self.group.has_more_to_send()
            || !self.steps.is_idle()
            || self.data.has_garbage()
            || self.has_ready_reads()
            || self.has_pieces_waiting()
            || self.parked.waits_for_turn()
    }

    /// The turn in which something that was left over was last gone on with.
    pub(crate) fn last_share(&self) -> u64 {
        self.steps.shared
    }

    /// Whether an entry is applied in part: the data are not those of any index.
    pub(super) fn is_mid_entry(&self) -> bool {
        self.has_part_of_entry() && !self.planted.contains(Planting::ImageMidEntry)
    }

    /// The same, for who wants to begin when that is over: the turn in which the entry ends goes no
    /// further. Otherwise a shard with more to apply than a turn has room for would end each turn
    /// within an entry.
    pub(super) fn waits_for_boundary(&mut self) -> bool {
        let waits = self.is_mid_entry();
        self.steps.boundary_wanted |= waits;
        waits
    }

    /// How much of what is beside this entry was done, in number: its clients have their answers.
    pub(super) fn locals_done(&self, index: LogIndex) -> usize {
        let first = self.steps.committed.front();
        first.filter(|first| first.index == index).map_or(0, |_| self.steps.progress.locals)
    }

    pub(super) fn has_part_of_entry(&self) -> bool {
        self.steps.progress != Progress::default()
    }

    pub(super) fn note_committed(&mut self, entries: impl IntoIterator<Item = Committed>) {
        self.steps.committed.extend(entries);
    }

    /// A catch-up has replaced everything that was committed before.
    pub(super) fn forget_committed(&mut self) {
        self.steps.committed.clear();
        self.steps.progress = Progress::default();
        self.steps.building = None;
        self.void_parts();
        self.steps.boundary_wanted = false;
        for walking in &mut self.steps.walks {
            // Its place in the former tables means nothing in the new ones.
            if let Some(walk) = Walk::of(&walking.request.operation) {
                walking.walk = walk;
            }
        }
    }

    /// The replica is no more: KEYS and SCAN go to whoever holds the shard.
    pub(super) fn displace_walks(&mut self, effects: &mut Effects) {
        for walking in core::mem::take(&mut self.steps.walks) {
            let bytes = walking.behind.iter().map(|it| it.operation.len()).sum();
            self.admission.queue.remove(bytes);
            for request in core::iter::once(walking.request).chain(walking.behind) {
                effects.displaced.push((self.id, request));
            }
        }
    }

    /// Whether committed entries are not applied.
    pub(crate) fn has_committed(&self) -> bool {
        !self.steps.committed.is_empty()
    }

    /// Applies what is committed, as far as the turn has room.
    pub(super) fn apply_committed(&mut self, env: &mut Env<'_>) {
        while env.work.may(Kind::Entries) && self.steps.rests_in != env.work.turn() {
            let Some(committed) = self.steps.committed.pop_front() else { return };
            self.steps.shared = env.work.turn();
            let mut progress = self.steps.progress;
            if self.apply(env, &committed, &mut progress) {
                self.steps.progress = Progress::default();
                if core::mem::take(&mut self.steps.boundary_wanted) {
                    self.steps.rests_in = env.work.turn();
                }
            } else {
                self.steps.progress = progress;
                self.steps.committed.push_front(committed);
            }
        }
    }

    /// Builds what the operation will write, if that takes more than a turn. Says whether it can be
    /// executed now.
    pub(super) fn build(
        &mut self,
        env: &mut Env<'_>,
        operation: &Operation<'_>,
        context: &Context,
    ) -> bool {
        let Operation::Single { slot, command } = operation else { return true };
        let (args, slot) = (&command.args, *slot);
        let mut building = match self.steps.building.take() {
            Some(building) => building,
            None => match self.data.begin_building(command.id, slot, args, context) {
                Some(building) => building,
                None => return true,
            },
        };
        let allowed = env.work.left(Kind::Entries);
        let mut budget = allowed;
        let done = self.data.go_on_building(&mut building, slot, args, context, &mut budget);
        env.work.count(Kind::Entries, allowed - budget);
        self.steps.building = Some(building);
        done
    }

    /// Keeps a request until the turn has room for it.
    pub(super) fn defer(&mut self, request: Request) {
        self.admission.queue.add(request.operation.len());
        self.steps.due.push_back(request);
    }

    /// The same, before all others.
    pub(super) fn defer_first(&mut self, request: Request) {
        self.admission.queue.add(request.operation.len());
        self.steps.due.push_front(request);
    }

    /// Keeps a request behind what the same client has asked for and takes many turns, if there is
    /// such a thing.
    pub(super) fn keep_behind(&mut self, request: Request) -> Option<Request> {
        let request = self.keep_behind_walk(request)?;
        if self.planted.contains(Planting::PartsOvertaken) {
            return Some(request);
        }
        let bytes = request.operation.len();
        let goes_on = self.steps.parting.keep_behind(request);
        if goes_on.is_none() {
            self.admission.queue.add(bytes);
        }
        goes_on
    }

    /// Keeps a request behind KEYS or SCAN of the same client, if that is under way.
    fn keep_behind_walk(&mut self, request: Request) -> Option<Request> {
        let mut walks = self.steps.walks.iter_mut();
        let first = |walking: &&mut Walking| request.ordered && walking.request.is_before(&request);
        let Some(walking) = walks.find(first) else { return Some(request) };
        self.admission.queue.add(request.operation.len());
        walking.behind.push_back(request);
        None
    }

    /// Lets deferred requests go on, or go elsewhere.
    pub(super) fn serve_due(&mut self, env: &mut Env<'_>) {
        if !self.steps.has_admitted() {
            return;
        }
        let serves = self.is_serving(env);
        if !serves {
            let walks = self.steps.walks.iter_mut();
            let behind: VecDeque<Request> =
                walks.flat_map(|walking| core::mem::take(&mut walking.behind)).collect();
            behind.into_iter().rev().for_each(|request| self.steps.due.push_front(request));
        }
        let late = env.settings.request_time;
        while !serves || env.work.may(Kind::Reads) {
            let Some(request) = self.steps.due.pop_front() else { return };
            self.admission.queue.remove(request.operation.len());
            self.steps.shared = env.work.turn();
            if !serves {
                env.effects.displaced.push((self.id, request));
            } else if env.now.monotonic.since(request.arrived) >= late {
                self.refuse(env, &request, WAITED_TOO_LONG);
            } else {
                self.admit_now(env, request);
            }
        }
    }

    /// Answers KEYS or SCAN now, if that can be done in this turn, or begins to.
    pub(super) fn begin_walk(&mut self, env: &mut Env<'_>, request: &Request, now: UnixMillis) {
        let Some(walk) = Walk::of(&request.operation) else {
            let text = resp::error::INVALID_CURSOR;
            return env.sessions.answer_error(request.waiter, text);
        };
        let behind = VecDeque::new();
        let walking = Walking { request: request.clone(), walk, now, behind };
        let Some(walking) = self.go_on_with(env, walking) else { return };
        if self.steps.walks.len() < WALKS_MAX {
            self.steps.walks.push_back(walking);
        } else {
            env.sessions.answer_error(request.waiter, TOO_MANY_WALKS);
        }
    }

    /// Lets KEYS and SCAN go on, one after the other.
    pub(super) fn go_on_walks(&mut self, env: &mut Env<'_>) {
        let count = self.steps.walks.len();
        for _ in 0..count {
            if !env.work.may(Kind::Reads) {
                return;
            }
            let Some(walking) = self.steps.walks.pop_front() else { return };
            if let Some(walking) = self.go_on_with(env, walking) {
                self.steps.walks.push_back(walking);
            }
        }
    }

    /// One step of a walk, which is given back if it is not done.
    ///
    /// The lease need not be valid any more: it was when the walk began, and the data of a replica
    /// only ever become newer.
    fn go_on_with(&mut self, env: &mut Env<'_>, mut walking: Walking) -> Option<Walking> {
        self.steps.shared = env.work.turn();
        let allowed = match env.work.left(Kind::Reads) {
            u64::MAX => u64::MAX,
            left => left.clamp(1, WALK_STEP),
        };
        let mut budget = allowed;
        let done = walking.walk.step(&self.data, walking.now, &mut budget);
        env.work.count(Kind::Reads, allowed - budget);
        let request = &walking.request;
        let too_long =
            !done && env.now.monotonic.since(request.arrived) >= env.settings.request_time;
        if !done && !too_long {
            return Some(walking);
        }
        // What comes behind is in its place: before all that was deferred since.
        let behind = core::mem::take(&mut walking.behind);
        behind.into_iter().rev().for_each(|request| self.steps.due.push_front(request));
        let request = &walking.request;
        if too_long {
            env.sessions.answer_error(request.waiter, WALKED_TOO_LONG);
            return None;
        }
        let bytes_out = env.sessions.answer(request.waiter, |reply| {
            let before = reply.len();
            walking.walk.write(reply);
            reply.len() - before
        });
        env.work.count(Kind::Reads, bytes_out as u64 / 2);
        if let Ok(operation) = entry::only_operation(&request.operation) {
            env.sessions.describe_slow(request.waiter, || show_operation(&operation));
        }
        let waited = env.now.monotonic.since(request.arrived);
        self.load.note_late_read(request.origin, waited, request.operation.len(), bytes_out);
        None
    }

    /// Frees what FLUSHALL has removed.
    pub(crate) fn free_garbage(&mut self, env: &mut Env<'_>) {
        let allowed = env.work.left(Kind::Garbage);
        if allowed == 0 || !self.data.has_garbage() {
            return;
        }
        let mut budget = allowed;
        self.data.free(&mut budget);
        env.work.count(Kind::Garbage, allowed - budget);
    }
}
