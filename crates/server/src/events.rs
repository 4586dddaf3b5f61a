//! The core's events as log lines: one place, one line for each, the same fields everywhere.
//!
//! What an operator would want to be woken for is a warning; what changes who serves what is
//! information; the rest is for debugging.

use cluster::{Event, list_shards};
use tracing::{debug, error, info, trace, warn};

/// Writes an event to the log.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Started { incarnation, shards } => {
            info!(incarnation = incarnation.0, shards, "the node has started");
        }
        Event::Blank { .. }
        | Event::FoundersDisagree { .. }
        | Event::FoundsNothing
        | Event::Founded
        | Event::WentBack { .. }
        | Event::LifeRefused { .. }
        | Event::DirectoryLost => log_origin(event),
        Event::ReplicaLost { shard, node } => {
            warn!(%shard, %node, "a node has lost its data: it gets a new replica of the shard");
        }
        Event::SupportGiven { .. }
        | Event::SupportWithdrawn { .. }
        | Event::Unheard { .. }
        | Event::Heard { .. } => log_peer(event),
        Event::DiskShort { .. }
        | Event::DiskStalled
        | Event::LogUnreadable { .. }
        | Event::SegmentReleased { .. } => log_disk(event),
        Event::DiskSlow { millis } => {
            warn!(millis, "each sync of the disk takes long: leases go to nodes with faster disks");
        }
        Event::ClockGap { millis } => {
            warn!(millis, "the clocks jumped (suspended, or set by hand): gave up all leases");
        }
        Event::PeersClockJumped { peer, millis } => {
            warn!(
                %peer,
                millis,
                "the clock of another node has jumped, or this machine stood still with its \
                 clocks: its leases are confirmed anew"
            );
        }
        Event::ClockOff { millis } => {
            warn!(
                ahead_millis = millis,
                "the wall clock of this machine is off, as the other nodes' clocks have it: it \
                 gets leases last. Set it right (is the time service running?)"
            );
        }
        Event::ClockRight { millis } => {
            info!(ahead_millis = millis, "the wall clock of this machine is right again");
        }
        Event::Campaigning { shard, term } => {
            debug!(%shard, term = term.0, "standing for election");
        }
        Event::LeaseAcquired { shard, epoch, term } => {
            info!(%shard, epoch = epoch.0, term = term.0, "acquired a lease");
        }
        Event::LeaseLost { shard, epoch } => {
            info!(%shard, epoch = epoch.0, "lost a lease");
        }
        Event::LeaseChanged { shard, epoch, holder } => {
            debug!(%shard, epoch = epoch.0, %holder, "a lease has a new holder");
        }
        Event::TransferBegun { shard, target } => {
            info!(%shard, %target, "handing a lease over");
        }
        Event::LeaseGivenUp { shard, term } => {
            debug!(%shard, term = term.0, "gave up a lease for the rest of the term");
        }
        Event::SteppedDown { shard, term, reason, last_millis } => {
            warn!(%shard, term = term.0, reason = reason.describe(), last_millis,
                "gave a shard up: others lead it, this node stands last");
        }
        Event::Unserved { .. } | Event::ServedAgain { .. } => log_outage(event),
        Event::TransferFailed { shard, target } => {
            warn!(%shard, %target, "a lease could not be handed over in time; taking it back");
        }
        Event::CatchUpBegun { shard, to, index } => {
            info!(%shard, %to, index = index.0, "sending a replica what the log no longer has");
        }
        Event::CatchUpInstalled { shard, index } => {
            info!(%shard, index = index.0, "installed a replica from another node");
        }
        Event::ReplicasChanged { shard, voters, learners } => {
            info!(%shard, ?voters, ?learners, "a shard has other replicas");
        }
        Event::CommittedEntryConflicts { .. } => log_conflict(event),
        Event::MembersChanged { .. }
        | Event::Removed
        | Event::ForeignCluster { .. }
        | Event::ManagerBegun { .. }
        | Event::ManagerEnded
        | Event::Decided(_)
        | Event::Arranged(_)
        | Event::ReportRefused { .. } => log_management(event),
        Event::ReplicaFreed { shard } => {
            info!(%shard, "the replica was removed from this node: its data are freed");
        }
        Event::ReadServed { shard, epoch, at } => {
            trace!(%shard, epoch = epoch.0, ?at, "served a read under a lease");
        }
    }
}

/// What this node hears of others. Nothing of other events.
fn log_peer(event: &Event) {
    if let Event::SupportGiven { peer, epoch } = event {
        info!(%peer, support_epoch = epoch.0, "a node is alive");
    } else if let Event::SupportWithdrawn { peer, epoch } = event {
        warn!(%peer, support_epoch = epoch.0, "a node counts as dead: its promise ran out");
    } else if let Event::Unheard { peer } = event {
        warn!(%peer, "a node sends but hears nothing from here: can its peer port be reached?");
    } else if let Event::Heard { peer } = event {
        info!(%peer, "a node hears this one again");
    }
}

/// Why shards can't be served. Nothing of other events.
fn log_outage(event: &Event) {
    if let Event::Unserved { shards, why } = event {
        warn!(shards = list_shards(shards), "can't be served: each {why}");
    } else if let Event::ServedAgain { shards } = event {
        info!(shards = list_shards(shards), "can be served again");
    }
}

/// What the disk can't do, and can again. Nothing of other events.
fn log_disk(event: &Event) {
    if *event == Event::DiskStalled {
        warn!("the disk does not answer: no more heartbeats until it does");
    } else if *event == (Event::DiskShort { short: true }) {
        warn!(
            "the disk is nearly full (setting disk_reserve): writes that grow are left to nodes \
             with room, and refused where too few have any; free some space"
        );
    } else if *event == (Event::DiskShort { short: false }) {
        info!("the disk has space again");
    } else if let Event::SegmentReleased { segment } = event {
        debug!(segment = segment.0, "a log segment is free again");
    } else if let Event::LogUnreadable { shard, index, reason } = event {
        error!(
            %shard, %index, reason,
            "entries of the log can't be read from this node's disk again: the replica that lacks \
             them is given all its slots anew; look at the disk, and give this node an empty \
             directory if it goes on"
        );
    }
}

/// A write that was acknowledged is lost elsewhere. Nothing of other events.
fn log_conflict(event: &Event) {
    let Event::CommittedEntryConflicts { shard, leader, index, own, other } = event else { return };
    error!(
        %shard,
        %leader,
        index = index.0,
        term = own.0,
        leaders_term = other.0,
        "a leader has something else in the place of an entry that is committed here: an \
        acknowledged write is lost there. Nothing is overwritten here. Keep the data directories \
        of all nodes; this happens only if more nodes have lost data than the others can make good \
        (copies put back, disks that lie)"
    );
}

/// Who belongs to the cluster, and what its Lease Manager does. Nothing of other events.
fn log_management(event: &Event) {
    if let Event::MembersChanged { version, members } = event {
        info!(version, ?members, "the cluster has these nodes");
        if members.len() == 2 {
            warn!("a cluster of 2 nodes stops when either is lost: use 3");
        }
    } else if *event == Event::Removed {
        warn!(
            "this node has been removed from the cluster: it can be stopped and its data deleted"
        );
    } else if let Event::ForeignCluster { peer, cluster } = event {
        warn!(
            %peer,
            %cluster,
            "a node of another cluster talks to this one, and is ignored: its data directory was \
            made there; start it with an empty directory, or with the members of its own cluster"
        );
    } else if let Event::ManagerBegun { epoch } = event {
        info!(epoch = epoch.0, "this node is the active Lease Manager");
    } else if *event == Event::ManagerEnded {
        info!("this node is no longer the active Lease Manager");
    } else if let Event::Decided(text) = event {
        info!("{text}");
    } else if let Event::Arranged(text) = event {
        debug!("{text}");
    } else if let Event::ReportRefused { node, reason } = event {
        warn!(%node, reason, "refused a node's report");
    }
}

/// What a node has found out about its directory, or about another's. Nothing of other events.
fn log_origin(event: &Event) {
    if *event == Event::FoundsNothing {
        warn!(
            "no node knows of an existing cluster, and this one is not to found a new one: it \
            waits. Were all data directories lost, or not mounted? If a new, empty cluster is \
            wanted, start the nodes with found=true"
        );
    } else if let Event::Blank { awaited } = event {
        info!(
            ?awaited,
            "the data directory is empty: waiting until every other node has said whether the \
            cluster is new or this node's data were lost"
        );
    } else if let Event::FoundersDisagree { peers } = event {
        if peers.is_empty() {
            info!("the settings of all nodes agree now");
        } else {
            warn!(
                ?peers,
                "the cluster can't begin: `members` (numbers or roles), `shards` or `replicas` in \
                 the settings of these nodes differ from those here; make them equal and start \
                 the changed nodes again"
            );
        }
    } else if *event == Event::Founded {
        info!(
            "no node knew of an existing cluster, so this one is a founder of a new, empty one. If \
            there should be data, stop all nodes: their directories are not here"
        );
    } else if let Event::WentBack { told_by, incarnation } = event {
        error!(
            %told_by,
            incarnation = incarnation.0,
            "this data directory is older than what another node remembers of this one: an older \
            copy or snapshot was put back, or the disk has lost what it called durable. It counts \
            as lost: this node begins anew, and is given its replicas by the other nodes. Don't \
            restore one node from a copy: an empty directory does the same"
        );
    } else if let Event::LifeRefused { peer, incarnation } = event {
        warn!(
            %peer,
            incarnation = incarnation.0,
            "a node is refused: it is a second process with this number, or its data directory is \
            older than what this node remembers of it (a copy or a snapshot was put back); in the \
            latter case it begins anew by itself"
        );
    } else if *event == Event::DirectoryLost {
        // Of a node that has just joined it is what was to be expected; of one whose data are lost
        // the others warn.
        info!(
            "the cluster is there already, and this data directory is new to it: this node begins \
            without data, and is given its replicas by the other nodes"
        );
    }
}
