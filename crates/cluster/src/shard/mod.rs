//! One replica of one shard: its Raft group, its data, its part in the lease, and the requests
//! that wait for it.
//!
//! Reading order: `lease` (who may serve, vote and campaign), `proposals` (from a request to a log
//! entry), `apply` (from a committed entry to data and replies), `parking` (requests that wait for
//! a holder), `reads` (when there is no lease to read under), `transfer` (handing the lease over),
//! `lag` (who could take it),
//! `stand_down` (leaders that get nowhere), `catch_up` (replicas that the log can't help), `flow`
//! (how fast they get what they lack), `checkpoint` (making old log segments free), `turn` (what
//! happens once a turn).

mod admission;
mod apply;
mod batch;
mod catch_up;
mod checkpoint;
pub(crate) mod execution;
mod flow;
mod lag;
mod lease;
pub(crate) mod load;
mod log_reads;
mod parking;
mod parting;
mod proposals;
mod reads;
mod removal;
mod repair;
mod stand_down;
mod status;
mod steps;
mod surveys;
mod transfer;
mod turn;
mod watches;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use keyspace::Keyspace;
use types::{
    DirectoryId, LeaseEpoch, Life, LogIndex, Monotonic, NodeId, Now, SegmentId, SessionId, ShardId,
    Slot, SlotRange, Term, UnixMillis,
};

use crate::bytes_codec::CodecError;
use crate::clock::ClusterClock;
use crate::founding::Founding;
use crate::io::{
    CatchUpName, Event, Fortification, Gathered, LogPlace, LogReadId, Message, WriteId,
};
use crate::node::ReplicaView;
use crate::planted::{Planting, Plantings};
use crate::raft_group::{RaftGroup, ReplicaChange, ReplicaId};
use crate::record::{Goal, Lease, ShardState};
use crate::recovery::RecoveredShard;
use crate::room::Room;
use crate::session::{Sessions, Waiter};
use crate::settings::Settings;
use crate::support::Support;
use crate::work::TurnWork;
pub(crate) use admission::MEMORY_SCARCE;
use batch::Batch;
pub(crate) use lease::Standing;
use load::Load;
use parking::Park;
use proposals::Pending;
pub(crate) use status::ShardStatus;

/// A request that waits, with all that is needed to run it elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) waiter: Waiter,
    pub(crate) operation: Bytes,
    /// Whether it goes through the log.
    pub(crate) writes: bool,
    /// Whether an earlier request of the same client to this shard may be outstanding.
    pub(crate) ordered: bool,
    /// The client's identity for WATCH.
    pub(crate) watcher: Watcher,
    /// Which of the client's watches it is about, or would be.
    pub(crate) watch: u32,
    /// What the node said that has forwarded it.
    pub(crate) said: Said,
    /// Another node has forwarded it, but can't reach the holder: it may be forwarded once more.
    pub(crate) passes_on: bool,
    /// Where the client comes from.
    pub(crate) origin: placement::Origin,
    /// When the request arrived at this node.
    pub(crate) arrived: Monotonic,
    /// When waiting for a holder ends.
    pub(crate) deadline: Monotonic,
    /// How often a node that ran it was lost before it had answered.
    pub(crate) losses: u8,
    /// The last turn in which a shard let it go and it was placed anew. That happens once a turn.
    pub(crate) placed: u64,
}

/// What is said with a request that is forwarded; nothing of a client of this node.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Said {
    /// The life of the client's own node.
    pub(crate) home_life: Life,
    /// The newest lease on the shard that the client's own node knew of.
    pub(crate) lease: LeaseEpoch,
    /// The newest refusal of this node's that the sender had heard of.
    pub(crate) refusal: u64,
}

/// When a client sent a request: what it asks of one shard takes effect in this order. The number
/// is that of the client's own node, whichever way the request came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Sent {
    client: Watcher,
    number: u64,
}

/// The answer to a forwarded request that can't be read: the nodes' versions differ, or a bug.
pub(crate) const MALFORMED: &str = "ERR malformed forwarded request";

/// Who watches keys: a session of a node.
pub(crate) type Watcher = (NodeId, SessionId);

/// What shards do to the world around them in one turn.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) messages: Vec<(NodeId, Message)>,
    pub(crate) events: Vec<Event>,
    /// Records to persist.
    pub(crate) payload: Gathered,
    /// What is to be read of the log again.
    pub(crate) log_reads: Vec<(LogReadId, LogPlace)>,
    /// The number that the turn's write will have.
    pub(crate) write: WriteId,
    /// A write is on its way to the disk: what clients ask for gathers until it is there.
    pub(crate) gathering: bool,
    /// Requests that this replica can't serve: to be placed anew.
    pub(crate) displaced: Vec<(ShardId, Request)>,
    /// Requests for the Lease Manager, from clients of any node.
    pub(crate) managed: Vec<Request>,
    /// Shards whose holder or replicas changed.
    pub(crate) rerouted: Vec<ShardId>,
}

/// What a shard needs from its node.
pub(crate) struct Env<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    pub(crate) support: &'a Support,
    pub(crate) clock: &'a ClusterClock,
    pub(crate) founding: &'a Founding,
    pub(crate) room: &'a mut Room,
    pub(crate) sessions: &'a mut Sessions,
    pub(crate) effects: &'a mut Effects,
    /// What the turn has room for.
    pub(crate) work: &'a mut TurnWork,
    /// Whether every lease read is reported, for checkers.
    pub(crate) trace_reads: bool,
}

/// One replica of one shard.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    me: NodeId,
    range: SlotRange,
    data: Keyspace,
    group: RaftGroup,
    lease: Lease,
    goal: Goal,
    /// Where the newest goal is that this replica has proposed.
    goal_proposed: (LogIndex, Term),
    /// Stamp of the newest applied batch: time never runs backwards in a shard.
    stamp: UnixMillis,
    /// Stamp of the newest batch this replica proposed.
    proposed_stamp: UnixMillis,
    /// If the log is ahead of the cluster clock: since when it is known, and where it was then.
    ahead: (Monotonic, UnixMillis),
    /// Keys the hash tables.
    hash_seed: u64,
    seed: u64,
    pub(crate) load: Load,

    // The holder's side of the lease.
    fortified: Vec<Fortified>,
    lease_until: Monotonic,
    given_up: Term,
    led: Option<Term>,
    /// Since when.
    led_since: Monotonic,
    transfer: Option<transfer::Transfer>,
    /// To whom hand-overs failed lately, and when.
    failed_heirs: Vec<(NodeId, Monotonic)>,
    progress: stand_down::Progress,
    line: lag::Line,
    stepped_down: Option<stand_down::SteppedDown>,
    /// Other replicas that have stepped down.
    last: Vec<stand_down::Last>,

    // The follower's side.
    promised: Option<Promised>,
    campaign_at: Monotonic,
    campaigns: u32,
    /// The term whose leader was given time to be supported.
    patient_with: Term,

    // Requests.
    batch: Batch,
    pending: VecDeque<Pending>,
    held: VecDeque<Request>,
    parked: Park,
    admission: admission::State,
    reads: reads::ReadRounds,
    steps: steps::Steps,
    watches: watches::Watches,
    reaping: bool,
    /// The succession order must follow a change of the replicas.
    succession_due: bool,

    // Replicas that lag.
    settle_at: Monotonic,
    catch_ups: Vec<catch_up::Sending>,
    catch_ups_begun: u64,
    log_reads: log_reads::LogReads,
    staging: Option<catch_up::Staging>,
    /// What the engine has accepted in this turn and will install.
    accepted: Option<catch_up::Staging>,
    /// The newest catch-up whose slots were given up here.
    dropped: Option<CatchUpName>,

    // Where things stand on disk.
    floors: BTreeMap<Slot, LogIndex>,
    /// The slot image that is being written to free a segment.
    imaging: Option<checkpoint::Imaging>,
    places: checkpoint::Places,
    writes: VecDeque<(WriteId, LogIndex)>,

    piece_bytes: usize,
    /// See `removal`.
    removal: removal::State,
    planted: Plantings,
    /// How often a leader had something else in the place of an entry that is committed here.
    conflicts: u64,

    /// Whether the node has it on its list for this turn.
    pub(crate) dirty: bool,
    /// When the node will look at it next.
    pub(crate) scheduled: Monotonic,
}

/// What a follower has promised, as the leader knows it.
#[derive(Clone, Copy, Debug)]
struct Fortified {
    replica: ReplicaId,
    term: Term,
    fortification: Fortification,
}

/// What this replica has promised a leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Promised {
    leader: NodeId,
    term: Term,
    fortification: Fortification,
}

/// Data without a key.
fn empty_data(range: SlotRange, hash_seed: u64, long_bytes: usize) -> Keyspace {
    let mut data = Keyspace::new(range, hash_seed);
    data.set_long_bytes(long_bytes);
    data
}

impl Shard {
    /// Data without a key.
    fn empty_data(&self, range: SlotRange) -> Keyspace {
        empty_data(range, self.hash_seed, self.data.long_bytes())
    }

    /// A replica as the log has it.
    ///
    /// # Errors
    /// If a slot image is malformed although its checksum was right.
    pub(crate) fn new(
        id: ShardId,
        mut recovered: RecoveredShard,
        settings: &Settings,
        directory: DirectoryId,
        seed: u64,
        now: Now,
    ) -> Result<Self, CodecError> {
        let state = recovered.state.clone();
        // Before the entries move into the engine: their terms are noted.
        let mut places = checkpoint::Places::new(&recovered);
        let hash_seed = recovered.hash_seed.unwrap_or(seed);
        let form = (state.range, hash_seed, settings.long_bytes);
        let mut data = removal::first_data(recovered.removed, form);
        let mut floors = BTreeMap::new();
        let whole = settings.breaks(Planting::WholeImages);
        let images = core::mem::take(&mut recovered.images).into_iter();
        for (slot, image) in images.filter(|(slot, _)| state.range.contains(*slot)) {
            data.put_slot(slot, image.slot);
            places.imaged(slot, image.segment);
            if image.index > state.applied.0 {
                floors.insert(slot, image.index);
            }
        }
        let mut shard = Self {
            id,
            me: settings.node,
            range: state.range,
            data,
            group: RaftGroup::new(settings.node, directory, recovered.log()),
            lease: state.lease,
            goal: state.goal,
            goal_proposed: (LogIndex(0), Term(0)),
            stamp: state.stamp,
            proposed_stamp: UnixMillis(0),
            ahead: (now.monotonic, UnixMillis(0)),
            hash_seed,
            seed: seed ^ u64::from(id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            load: Load::default(),
            fortified: Vec::new(),
            lease_until: Monotonic(0),
            given_up: Term(0),
            led: None,
            led_since: Monotonic(0),
            transfer: None,
            failed_heirs: Vec::new(),
            progress: stand_down::Progress::default(),
            line: lag::Line::default(),
            stepped_down: None,
            last: Vec::new(),
            promised: None,
            campaign_at: Monotonic::NEVER,
            campaigns: 0,
            patient_with: Term(0),
            batch: Batch::default(),
            pending: VecDeque::new(),
            held: VecDeque::new(),
            parked: Park::default(),
            admission: admission::State::new(settings.node),
            reads: reads::ReadRounds::default(),
            steps: steps::Steps::default(),
            watches: watches::Watches::default(),
            reaping: false,
            succession_due: false,
            settle_at: Monotonic::NEVER,
            catch_ups: Vec::new(),
            catch_ups_begun: 0,
            log_reads: log_reads::LogReads::default(),
            staging: None,
            accepted: None,
            dropped: None,
            floors,
            imaging: None,
            places,
            writes: VecDeque::new(),
            piece_bytes: if whole { usize::MAX } else { settings.piece_bytes },
            removal: removal::State::new(recovered.removed),
            planted: settings.planted,
            conflicts: 0,
            dirty: false,
            scheduled: Monotonic::NEVER,
        };
        shard.campaign_at = now.monotonic + shard.campaign_delay(settings);
        Ok(shard)
    }

    pub(crate) fn range(&self) -> SlotRange {
        self.range
    }

    /// Whether the replica has any state; a new one has not until a catch-up brings it.
    pub(crate) fn has_begun(&self) -> bool {
        self.group.applied_index() > LogIndex(0)
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn term(&self) -> Term {
        self.group.term()
    }

    pub(crate) fn data(&self) -> &Keyspace {
        &self.data
    }

    pub(crate) fn voters(&self) -> Vec<NodeId> {
        self.group.replicas().voters()
    }

    /// Term and index of the newest applied entry.
    pub(crate) fn applied(&self) -> (Term, LogIndex) {
        let (index, term) = self.group.applied();
        (term, index)
    }

    pub(crate) fn applied_index(&self) -> LogIndex {
        self.group.applied_index()
    }

    /// Whether all that was ever proposed here is applied, or lost for good.
    pub(crate) fn has_applied_all(&self) -> bool {
        self.batch.is_empty() && self.group.applied_index() >= self.group.last_index()
    }

    /// Bytes that the log has to hold at least: keys and values, and entries on their way to them.
    pub(crate) fn live_bytes(&self) -> u64 {
        let (entry_bytes, entries) = self.group.unsettled();
        let payload = self.data.payload_bytes() + self.staged_bytes();
        let overhead = self.places.overhead(payload, self.piece_bytes, entries);
        payload + entry_bytes as u64 + overhead
    }

    /// Bytes of entries in memory.
    pub(crate) fn log_memory(&self) -> u64 {
        self.group.memory() as u64
    }

    /// A leader that the log has removed leads no longer. Those that have promised themselves to
    /// it would wait for it as long as its node lives, so it tells them.
    pub(crate) fn leave(&mut self, env: &mut Env<'_>) {
        if !self.group.is_leader() {
            return;
        }
        self.follow(env);
        self.recheck_lease();
    }

    /// Leads no longer, and tells the others, who are free then.
    fn follow(&mut self, env: &mut Env<'_>) {
        let (shard, term) = (self.id, self.group.term());
        self.group.step_down();
        for voter in self.voters().into_iter().filter(|voter| *voter != self.me) {
            env.effects.messages.push((voter, Message::Release { shard, term, stands_back: None }));
        }
    }

    /// Proposes a change of the replicas.
    ///
    /// # Errors
    /// If another change is under way or the log takes no entries.
    pub(crate) fn propose_change(
        &mut self,
        env: &Env<'_>,
        change: ReplicaChange,
    ) -> Result<(), &'static str> {
        self.group.propose_change(change)?;
        self.unsettle(env);
        Ok(())
    }

    /// How many requests wait for a holder.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(crate) fn has_replica_on(&self, node: NodeId) -> bool {
        self.group.replicas().contains(node)
    }

    /// The next of a sequence of numbers that depends on the node's seed only.
    fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The replicated state but for the slots, as of where a replica can begin.
    fn state(&self) -> ShardState {
        ShardState {
            range: self.range,
            applied: self.group.settled(),
            replicas: self.group.replicas(),
            lease: self.lease.clone(),
            goal: self.goal.clone(),
            stamp: self.stamp,
        }
    }

    /// A durable write holds something of this shard.
    pub(crate) fn persisted(&mut self, env: &mut Env<'_>, write: WriteId, segment: SegmentId) {
        while let Some(&(first, index)) = self.writes.front() {
            if first > write {
                break;
            }
            self.writes.pop_front();
            self.places.persisted(segment, index);
        }
        self.staging_persisted(env, write);
        let mut messages = Vec::new();
        self.group.persisted(write, &mut messages);
        for message in messages {
            self.send(env, message);
        }
    }
}
