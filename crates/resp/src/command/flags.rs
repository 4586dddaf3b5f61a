//! Sets of small facts about a command: its flags, its access categories, how it uses a key.
//!
//! The words are those that Redis 7 prints in the reply to COMMAND, in the order in which it
//! prints them, so that client libraries understand them.

macro_rules! bit_set {
    ($(#[$doc:meta])* $set:ident { $($(#[$bit_doc:meta])* $bit:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $set(u32);

        impl $set {
            bit_set!(@consts 0; $($(#[$bit_doc])* $bit = $word,)*);

            /// The empty set.
            pub const NONE: Self = Self(0);

            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$bit, $word),)*];

            /// The union of both sets.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether all of `other` is in the set.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// How many elements the set has.
            #[must_use]
            pub const fn len(self) -> usize {
                self.0.count_ones() as usize
            }

            /// Whether the set has no element.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The elements in Redis' words.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                let present = move |(bit, _): &&(Self, &str)| self.contains(*bit);
                Self::WORDS.iter().filter(present).map(|(_, word)| *word)
            }
        }

        impl core::ops::BitOr for $set {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }
    };
    (@consts $shift:expr;) => {};
    (@consts $shift:expr; $(#[$doc:meta])* $bit:ident = $word:literal, $($rest:tt)*) => {
        $(#[$doc])*
        pub const $bit: Self = Self(1 << ($shift));
        bit_set!(@consts $shift + 1; $($rest)*);
    };
}

bit_set! {
    /// What a command may do and when it may run.
    Flags {
        /// May change data.
        WRITE = "write",
        /// Reads keys and changes nothing.
        READONLY = "readonly",
        /// Refused while the node is out of memory.
        DENYOOM = "denyoom",
        /// Meant for operators.
        ADMIN = "admin",
        /// Publishes or subscribes.
        PUBSUB = "pubsub",
        /// Not allowed in scripts.
        NOSCRIPT = "noscript",
        /// May wait for another client.
        BLOCKING = "blocking",
        /// Allowed while the data is loaded.
        LOADING = "loading",
        /// Allowed where data may be stale.
        STALE = "stale",
        /// Not shown to MONITOR.
        SKIP_MONITOR = "skip_monitor",
        /// Not entered in the slow log.
        SKIP_SLOWLOG = "skip_slowlog",
        /// Accepted for a slot that is being imported, without ASKING.
        ASKING = "asking",
        /// Constant or logarithmic time.
        FAST = "fast",
        /// Allowed before authentication.
        NO_AUTH = "no_auth",
        /// Not allowed while data is loaded in the background.
        NO_ASYNC_LOADING = "no_async_loading",
        /// Not allowed in a transaction.
        NO_MULTI = "no_multi",
        /// May be given without any key.
        NO_MANDATORY_KEYS = "no_mandatory_keys",
        /// Allowed while a script runs too long.
        ALLOW_BUSY = "allow_busy",
        /// First, last and step do not tell where all the keys are.
        MOVABLEKEYS = "movablekeys",
    }
}

bit_set! {
    /// The access categories of a command.
    Categories {
        /// Works on keys of any type.
        KEYSPACE = "@keyspace",
        /// Reads values or facts about keys.
        READ = "@read",
        /// May change data.
        WRITE = "@write",
        /// Works on sets.
        SET = "@set",
        /// Works on sorted sets.
        SORTED_SET = "@sortedset",
        /// Works on lists.
        LIST = "@list",
        /// Works on hashes.
        HASH = "@hash",
        /// Works on strings.
        STRING = "@string",
        /// Works on the bits of strings.
        BITMAP = "@bitmap",
        /// Works on HyperLogLogs.
        HYPERLOGLOG = "@hyperloglog",
        /// Works on geographic indexes.
        GEO = "@geo",
        /// Works on streams.
        STREAM = "@stream",
        /// Publishes or subscribes.
        PUBSUB = "@pubsub",
        /// Meant for operators.
        ADMIN = "@admin",
        /// Constant or logarithmic time.
        FAST = "@fast",
        /// Everything that is not fast.
        SLOW = "@slow",
        /// May wait for another client.
        BLOCKING = "@blocking",
        /// Deserves thought before it is used.
        DANGEROUS = "@dangerous",
        /// Concerns the connection.
        CONNECTION = "@connection",
        /// Concerns transactions.
        TRANSACTION = "@transaction",
        /// Concerns scripts and functions.
        SCRIPTING = "@scripting",
    }
}

bit_set! {
    /// What a command does with a key.
    KeyFlags {
        /// Reads and changes the value.
        RW = "RW",
        /// Only reads the value.
        RO = "RO",
        /// Overwrites the value without reading it.
        OW = "OW",
        /// Removes the key.
        RM = "RM",
        /// Returns, copies or uses the value.
        ACCESS = "access",
        /// Changes the value, keeping some of it.
        UPDATE = "update",
        /// Adds to the value without changing what is there.
        INSERT = "insert",
        /// Removes something from the value, or the key.
        DELETE = "delete",
        /// Not a key, though it is routed as one.
        NOT_KEY = "not_key",
        /// The specification may miss some keys.
        INCOMPLETE = "incomplete",
        /// The true flags depend on the other arguments.
        VARIABLE = "variable_flags",
    }
}

impl Categories {
    /// Adds the categories that follow from a command's flags, as Redis does.
    pub(super) const fn implied_by(self, flags: Flags) -> Self {
        let mut all = self;
        if flags.contains(Flags::WRITE) {
            all = all.with(Self::WRITE);
        }
        // A script reads only what its commands read.
        if flags.contains(Flags::READONLY) && !all.contains(Self::SCRIPTING) {
            all = all.with(Self::READ);
        }
        if flags.contains(Flags::ADMIN) {
            all = all.with(Self::ADMIN).with(Self::DANGEROUS);
        }
        if flags.contains(Flags::PUBSUB) {
            all = all.with(Self::PUBSUB);
        }
        if flags.contains(Flags::BLOCKING) {
            all = all.with(Self::BLOCKING);
        }
        all.with(if flags.contains(Flags::FAST) { Self::FAST } else { Self::SLOW })
    }
}

/// The families of commands, as Redis groups them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    /// Strings.
    String,
    /// Bits in strings.
    Bitmap,
    /// Keys of any type.
    Generic,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Streams.
    Stream,
    /// Geographic indexes.
    Geo,
    /// HyperLogLogs.
    HyperLogLog,
    /// Publishing and subscribing.
    PubSub,
    /// Scripts and functions.
    Scripting,
    /// Transactions.
    Transactions,
    /// The connection.
    Connection,
    /// The server.
    Server,
    /// The cluster.
    Cluster,
}

impl Group {
    /// All groups, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::String,
        Self::Bitmap,
        Self::Generic,
        Self::Hash,
        Self::List,
        Self::Set,
        Self::SortedSet,
        Self::Stream,
        Self::Geo,
        Self::HyperLogLog,
        Self::PubSub,
        Self::Scripting,
        Self::Transactions,
        Self::Connection,
        Self::Server,
        Self::Cluster,
    ];

    /// Redis' word for the group.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::Generic => "generic",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::Geo => "geo",
            Self::HyperLogLog => "hyperloglog",
            Self::PubSub => "pubsub",
            Self::Scripting => "scripting",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }
}
