//! What a holder takes on: bounds on the bytes of requests under way in a shard, on the data that
//! they may become, and on the disks that must store them.
//!
//! Everything that waits in a shard counts until it is applied or refused, even an entry whose
//! clients were told that nobody knows what becomes of it: it is still in the log, and in memory.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use resp::CommandId;
use types::{LogIndex, Monotonic, NodeId, Slot};

use super::{Env, Request, Shard};
use crate::entry::{self, Operation};
use crate::outage::Shortage;
use crate::planted::Planting;
use crate::room::{self, Room, Values};
use crate::settings::Settings;
use crate::support::Support;

/// What a shard has taken on, and what it may.
pub(super) struct State {
    pub(super) queue: Queue,
    pub(super) rooms: Rooms,
    /// Bytes of the data's tables, as counted last.
    table_bytes: u64,
}

impl State {
    pub(super) fn new(me: NodeId) -> Self {
        Self { queue: Queue::default(), rooms: Rooms::unknown(me), table_bytes: 0 }
    }
}

/// What is under way in a shard.
#[derive(Default)]
pub(super) struct Queue {
    /// Bytes of requests.
    bytes: usize,
    /// What the writes among them that are proposed, or about to be, may make the data grow by.
    growth: u64,
    /// Entries that nobody waits for any more, and which may yet be committed.
    abandoned: VecDeque<Abandoned>,
}

struct Abandoned {
    index: LogIndex,
    bytes: usize,
    growth: u64,
}

/// The room of the nodes that have a shard's replicas, as its leader knows it.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    /// The least that any live one's data may grow by, and which node that is.
    memory: (u64, NodeId),
    /// Whose disks are short, and whether that is too many.
    short: Shortage,
    /// For lack of whose memory a write was refused, since the rooms were looked at last.
    refused: Option<NodeId>,
    /// The same, and when that was noticed.
    last_refused: Option<(Monotonic, NodeId)>,
}

/// With less than this a node counts as one whose memory is used up.
pub(crate) const MEMORY_SCARCE: u64 = 512 << 10;
/// For so long a shard is said to refuse writes for lack of memory.
const REFUSAL_TOLD: Duration = Duration::from_secs(10);

impl Queue {
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "more leaves a shard's queue than has come");
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so many more bytes fit. A request that is longer than the limit may be alone.
    fn fits(&self, bytes: usize, limit: usize) -> bool {
        room::joins(self.bytes, bytes, limit)
    }

    pub(super) fn add_growth(&mut self, growth: u64) {
        self.growth = self.growth.saturating_add(growth);
    }

    pub(super) fn remove_growth(&mut self, growth: u64) {
        self.growth = self.growth.saturating_sub(growth);
    }

    /// Nobody waits for an entry any more. It counts until its place in the log is decided.
    pub(super) fn abandon(&mut self, index: LogIndex, bytes: usize, growth: u64) {
        self.abandoned.push_back(Abandoned { index, bytes, growth });
    }

    /// Everything up to `index` is applied; or nothing is left of this replica's own proposals.
    pub(super) fn settle(&mut self, index: LogIndex) {
        while self.abandoned.front().is_some_and(|first| first.index <= index) {
            let Some(done) = self.abandoned.pop_front() else { return };
            self.remove(done.bytes);
            self.remove_growth(done.growth);
        }
    }
}

impl Rooms {
    pub(super) fn unknown(me: NodeId) -> Self {
        let short = Shortage::default();
        Self { memory: (u64::MAX, me), short, refused: None, last_refused: None }
    }

    /// Whether a voter has said that its disk is nearly full.
    pub(super) fn is_full(&self, node: NodeId) -> bool {
        self.short.full.contains(&node)
    }
}

impl Shard {
    /// Bytes of data, and of the log in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.data.memory_bytes() + self.buffered_bytes()
    }

    /// The same; without `tables`, those are taken as they were counted last.
    pub(crate) fn count_memory(&mut self, tables: bool) -> u64 {
        if tables {
            self.admission.table_bytes = self.data.memory_bytes() - self.data.payload_bytes();
        }
        self.data.payload_bytes() + self.admission.table_bytes + self.buffered_bytes()
    }

    /// Bytes beside the data: what waits to be freed, parts of a long write, the log in memory.
    fn buffered_bytes(&self) -> u64 {
        let parts = self.steps.parting.assembly.bytes();
        self.data.garbage_bytes() + parts + self.log_memory()
    }

    /// Bytes of requests that are under way here.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.admission.queue.bytes()
    }

    /// What is proposed, or about to be, since before `time` may make the data grow by so much.
    pub(crate) fn waiting_growth(&self, time: Monotonic) -> u64 {
        let late = self.pending.iter().take_while(|pending| pending.proposed < time);
        let late = late.map(|pending| pending.growth);
        let abandoned = self.admission.queue.abandoned.iter().map(|entry| entry.growth);
        let parted = self.steps.parting.growth_since(time);
        late.chain(abandoned).fold(parted, u64::saturating_add)
    }

    /// Looks at what the nodes that have replicas have said of their room.
    pub(crate) fn judge_rooms(
        &mut self,
        settings: &Settings,
        support: &Support,
        own: &Room,
        now: Monotonic,
    ) {
        if !self.group.is_leader() {
            return;
        }
        let (memory, short) = self.look_at_rooms(self.me, |node| {
            if node == self.me {
                return Some((own.memory(settings), own.disk(settings)));
            }
            support.room_of(now, node)
        });
        let rooms = &mut self.admission.rooms;
        (rooms.memory, rooms.short) = (memory, short);
        if let Some(node) = rooms.refused.take() {
            rooms.last_refused = Some((now, node));
        }
    }

    /// The least memory that is left to any of those that have replicas, and whether `holder` may
    /// take writes that grow. `room` says what is left to a node that is heard.
    fn look_at_rooms(
        &self,
        holder: NodeId,
        room: impl Fn(NodeId) -> Option<(u64, u64)>,
    ) -> ((u64, NodeId), Shortage) {
        let replicas = self.group.replicas();
        let voters = replicas.voters();
        let all = voters.iter().copied().chain(replicas.learners());
        let least = all.filter_map(|node| Some((room(node)?.0, node))).min();
        let memory = least.unwrap_or((u64::MAX, self.me));
        let is_full = |node: &NodeId| room(*node).is_some_and(|(_, disk)| disk == 0);
        let full: Vec<NodeId> = voters.iter().copied().filter(is_full).collect();
        let silent: Vec<NodeId> =
            voters.iter().copied().filter(|node| room(*node).is_none()).collect();
        let mut storable = !is_full(&holder);
        self.group.for_each_voter_set(|set| {
            let stores = |number: &&u64| {
                let replica = crate::raft_group::ReplicaId::from_engine(**number);
                let room = replica.and_then(|replica| room(replica.node));
                room.is_some_and(|(_, disk)| disk > 0)
            };
            storable &= set.iter().filter(stores).count() > set.len() / 2;
        });
        // Too few that are alive is no matter of disks: the lease will say so.
        let refuses = !storable && !full.is_empty();
        let used_up = (memory.0 < MEMORY_SCARCE).then_some(memory.1);
        (memory, Shortage { voters: voters.len(), full, silent, refuses, memory: used_up })
    }

    /// What a shard with a replica here lacks room for, as this node sees it under a holder.
    pub(crate) fn shortage(
        &self,
        now: Monotonic,
        holder: NodeId,
        room: impl Fn(NodeId) -> Option<(u64, u64)>,
    ) -> Shortage {
        let (_, mut short) = self.look_at_rooms(holder, room);
        let rooms = &self.admission.rooms;
        let last = rooms.last_refused.filter(|(at, _)| now.since(*at) <= REFUSAL_TOLD);
        let refused = rooms.refused.or(last.map(|(_, node)| node));
        short.memory = short.memory.or(refused.filter(|_| holder == self.me));
        short
    }

    /// Whether the disks of this node, and of no other, keep the shard from taking writes: then
    /// another holder takes them.
    pub(crate) fn heirs_with_disk(&self) -> Vec<NodeId> {
        if !self.admission.rooms.is_full(self.me) {
            return Vec::new();
        }
        self.heirs().into_iter().filter(|heir| !self.admission.rooms.is_full(*heir)).collect()
    }

    /// Whether a replica's node has room for all that the shard has. A voter may have most of it
    /// already, and is owed the rest; its disk must take what it is sent.
    pub(super) fn may_copy_to(&self, env: &Env<'_>, node: NodeId) -> bool {
        let Some((memory, disk)) = env.support.room_of(env.now.monotonic, node) else {
            return true;
        };
        let is_new = !self.voters().contains(&node);
        disk > 0 && !(is_new && memory < self.memory_bytes())
    }

    /// Whether a request may join what is under way.
    ///
    /// # Errors
    /// What the client is told: nothing was executed.
    pub(super) fn check_queue(&self, settings: &Settings, bytes: usize) -> Result<(), String> {
        if self.admission.queue.fits(bytes, settings.shard_queue_bytes)
            || settings.breaks(Planting::QueueWithoutLimit)
        {
            return Ok(());
        }
        let limit = settings.shard_queue_bytes;
        Err(alloc::format!(
            "TRYAGAIN {} bytes of requests are under way in shard {}, and {bytes} more would be \
             too many for the setting `shard_queue_bytes`, {limit}: the request was not executed; \
             try again later",
            self.admission.queue.bytes(),
            self.id
        ))
    }

    /// Lets a write in, if those that have to store it have room for it at its most.
    ///
    /// # Errors
    /// What the client is told: nothing was executed.
    pub(super) fn take_growth(
        &mut self,
        settings: &Settings,
        room: &mut Room,
        growth: u64,
    ) -> Result<(), String> {
        if growth == 0 {
            return Ok(());
        }
        let Rooms { memory: (memory, node), short, .. } = &self.admission.rooms;
        if short.refuses && !settings.breaks(Planting::FullDisksUnheeded) {
            return Err(short.disk_refusal(self.id));
        }
        let memory = &room.ample().unwrap_or(*memory);
        let fits = room.reserved().saturating_add(growth) <= *memory;
        if !fits && !settings.breaks(Planting::MemoryJudgedAtApply) {
            let node = *node;
            // Where all have plenty, this is about what was let in a moment ago.
            self.admission.rooms.refused = Some(node).filter(|_| room.ample().is_none());
            return Err(alloc::format!(
                "OOM command not allowed when used memory > 'maxmemory': node {node} has less left \
                 of what its setting `memory` allows than the {growth} bytes that this may take; \
                 nothing was executed. Delete something, or give the node more"
            ));
        }
        room.reserve(growth);
        self.admission.queue.add_growth(growth);
        Ok(())
    }

    /// Lets a client's write in that has the fast path; says by how much it can make the data grow.
    pub(crate) fn admits_single(
        &mut self,
        settings: &Settings,
        room: &mut Room,
        (slot, id, args): (Slot, CommandId, &[&[u8]]),
    ) -> Option<u64> {
        let settled = self.is_settled();
        let mut values =
            Values::look(&self.data, (slot, id, args), settled, self.admission.queue.growth);
        let growth = room::growth(id, args, &mut values);
        self.take_growth(settings, room, growth).is_ok().then_some(growth)
    }

    fn is_settled(&self) -> bool {
        self.batch.is_empty() && self.has_applied_all()
    }

    /// The most that an operation can make the data grow by.
    pub(super) fn growth_of(&self, operation: &Operation<'_>) -> u64 {
        let settled = self.is_settled();
        let waiting = self.admission.queue.growth;
        let look = |slot, command: &entry::Command<'_>| {
            let what = (slot, command.id, command.args.as_slice());
            Values::look(&self.data, what, settled, waiting)
        };
        let values = match operation {
            Operation::Single { slot, command } => look(*slot, command),
            Operation::Group { slot, commands, .. } => {
                let longest = commands.iter().map(|command| look(*slot, command).longest).max();
                Values { longest: longest.unwrap_or(0), ..Values::default() }
            }
            Operation::Flush
            | Operation::Watch { .. }
            | Operation::Unwatch
            | Operation::Survey(_)
            | Operation::Manage(_) => Values::default(),
        };
        room::growth_of(operation, values)
    }

    /// Refuses a request that can't be taken, or says by how much it can make the data grow.
    pub(super) fn admits_write(&mut self, env: &mut Env<'_>, request: &Request) -> Option<u64> {
        let growth = entry::only_operation(&request.operation).map(|it| self.growth_of(&it));
        let growth = growth.unwrap_or(0);
        match self.take_growth(env.settings, env.room, growth) {
            Ok(()) => Some(growth),
            Err(text) => {
                self.refuse(env, request, &text);
                None
            }
        }
    }
}
