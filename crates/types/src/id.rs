//! Identifiers and counters. One type for each, so that they can't be mixed up.

use core::fmt;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The value that follows this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which no cluster lives to see.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a counter ran out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

counter!(
    /// One process of the cluster. Chosen by the operator, at least 1, never reused.
    NodeId(u32), "n"
);
counter!(
    /// One shard: a contiguous range of slots with its own replicas, Raft group and lease.
    ShardId(u32), "s"
);
counter!(
    /// One cluster, by a number that was drawn when it began; 0 stands for none yet.
    ClusterId(u64), "k"
);
counter!(
    /// Raft's term, of one shard.
    Term(u64), "t"
);
counter!(
    /// A position in one shard's log. The first entry has index 1.
    LogIndex(u64), "i"
);
counter!(
    /// Counts the leases of one shard, only upwards: the fencing token.
    LeaseEpoch(u64), "e"
);
counter!(
    /// Counts the starts of one node. Persisted before the node says its first word.
    Incarnation(u64), "inc"
);
counter!(
    /// One run of a node's process, by a number that it draws when it begins: told from every other
    /// even where two count the same starts, as copies of one directory do. 0 stands for none.
    Life(u64), "l"
);
counter!(
    /// One data directory of a node, by a number that was drawn when it was made; 0 stands for the
    /// one with which the node took part in founding the cluster.
    DirectoryId(u32), "d"
);
counter!(
    /// What a node asks its peers to support. Grows over restarts and over every withdrawal.
    SupportEpoch(u64), "se"
);
counter!(
    /// One client connection (or one request that a peer forwarded) inside one node.
    SessionId(u64), "c"
);
counter!(
    /// One segment file of a node's log. Segments are numbered in the order they were begun.
    SegmentId(u64), "g"
);

impl ShardId {
    /// The shard that holds what the Lease Manager must remember, and no client's data. Its lease
    /// makes its holder the active manager.
    pub const SYSTEM: Self = Self(0);
}

impl DirectoryId {
    /// The directory with which a node took part in founding the cluster.
    pub const FOUNDING: Self = Self(0);
}

impl SupportEpoch {
    /// Epochs that one incarnation can use before it must restart: 2^24 withdrawals.
    const PER_INCARNATION: u64 = 1 << 24;

    /// The first epoch of an incarnation: above every epoch of the incarnations before it.
    #[must_use]
    pub fn first_of(incarnation: Incarnation) -> Self {
        Self(incarnation.0.saturating_mul(Self::PER_INCARNATION))
    }
}
