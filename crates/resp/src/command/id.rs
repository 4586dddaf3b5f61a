//! The numbers of the commands that are implemented.
//!
//! A number is written into the replicated log, so it is never changed and never used again: the
//! list only grows. Each number has its row in the table, which says everything else.

use super::Command;
use super::table::BY_CODE;

/// No command has a number as large as this one.
pub(super) const CODES: usize = 256;

macro_rules! command_ids {
    ($($variant:ident = $code:literal,)*) => {
        /// One of the commands that are implemented, named as Redis names it.
        ///
        /// A subcommand has a number of its own: `OBJECT ENCODING` is `ObjectEncoding`.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u16)]
        #[expect(missing_docs, reason = "the row of the table describes the command")]
        pub enum CommandId {
            $($variant = $code,)*
        }

        impl CommandId {
            /// All commands, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The command with this number, or `None` if there is none.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

command_ids! {
    // Strings.
    Append = 1,
    Decr = 2,
    DecrBy = 3,
    Get = 4,
    GetDel = 5,
    GetEx = 6,
    GetRange = 7,
    GetSet = 8,
    Incr = 9,
    IncrBy = 10,
    IncrByFloat = 11,
    Lcs = 12,
    MGet = 13,
    MSet = 14,
    MSetNx = 15,
    PSetEx = 16,
    Set = 17,
    SetEx = 18,
    SetNx = 19,
    SetRange = 20,
    StrLen = 21,
    SubStr = 22,
    // Bits in strings.
    BitCount = 30,
    BitField = 31,
    BitFieldRo = 32,
    BitOp = 33,
    BitPos = 34,
    GetBit = 35,
    SetBit = 36,
    // Keys of any type, one slot.
    Copy = 40,
    Del = 41,
    Dump = 42,
    Exists = 43,
    Expire = 44,
    ExpireAt = 45,
    ExpireTime = 46,
    Move = 47,
    ObjectEncoding = 48,
    ObjectFreq = 49,
    ObjectIdleTime = 50,
    ObjectRefCount = 51,
    Persist = 52,
    PExpire = 53,
    PExpireAt = 54,
    PExpireTime = 55,
    PTtl = 56,
    Rename = 57,
    RenameNx = 58,
    Restore = 59,
    Touch = 60,
    Ttl = 61,
    Type = 62,
    Unlink = 63,
    MemoryUsage = 64,
    // Every key of the database.
    DbSize = 80,
    FlushAll = 81,
    FlushDb = 82,
    Keys = 83,
    RandomKey = 84,
    Scan = 85,
    // Written to the log by the holder; no client can send them.
    Reap = 90,
    // Transactions.
    Discard = 100,
    Exec = 101,
    Multi = 102,
    Unwatch = 103,
    Watch = 104,
    // The state of one connection.
    Auth = 110,
    Echo = 111,
    Hello = 112,
    Ping = 113,
    Quit = 114,
    Reset = 115,
    Select = 116,
    ClientGetName = 117,
    ClientHelp = 118,
    ClientId = 119,
    ClientInfo = 120,
    ClientKill = 121,
    ClientList = 122,
    ClientNoEvict = 123,
    ClientNoTouch = 124,
    ClientReply = 125,
    ClientSetInfo = 126,
    ClientSetName = 127,
    Asking = 128,
    ReadOnly = 129,
    ReadWrite = 130,
    Wait = 131,
    // The node.
    Command = 150,
    CommandCount = 151,
    CommandDocs = 152,
    CommandGetKeys = 153,
    CommandGetKeysAndFlags = 154,
    CommandHelp = 155,
    CommandInfo = 156,
    CommandList = 157,
    ConfigGet = 158,
    ConfigHelp = 159,
    ConfigResetStat = 160,
    ConfigRewrite = 161,
    ConfigSet = 162,
    FunctionFlush = 163,
    Info = 164,
    LastSave = 165,
    Lolwut = 166,
    MemoryHelp = 167,
    ObjectHelp = 168,
    Role = 169,
    SlowLogGet = 170,
    SlowLogHelp = 171,
    SlowLogLen = 172,
    SlowLogReset = 173,
    Time = 174,
    // The cluster.
    ClusterCountFailureReports = 200,
    ClusterCountKeysInSlot = 201,
    ClusterGetKeysInSlot = 202,
    ClusterHelp = 203,
    ClusterInfo = 204,
    ClusterKeySlot = 205,
    ClusterLinks = 206,
    ClusterMyId = 207,
    ClusterMyShardId = 208,
    ClusterNodes = 209,
    ClusterReplicas = 210,
    ClusterShards = 211,
    ClusterSlaves = 212,
    ClusterSlots = 213,
    LeaseholdHelp = 214,
    LeaseholdInfo = 215,
    LeaseholdNodes = 216,
    LeaseholdShards = 217,
    LeaseholdTransfer = 218,
    LeaseholdDecisions = 219,
    LeaseholdDrain = 220,
    LeaseholdFreeze = 221,
    LeaseholdJoin = 222,
    LeaseholdMetrics = 223,
    LeaseholdPin = 224,
    LeaseholdPlan = 225,
    LeaseholdPolicy = 226,
    LeaseholdRemove = 227,
    LeaseholdStatus = 228,
    LeaseholdUnpin = 229,
    LeaseholdWhy = 230,
}

impl CommandId {
    /// The number that stands for the command in the replicated log.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The command's row in the table.
    #[must_use]
    pub fn command(self) -> &'static Command {
        // A test holds that every number has its row.
        BY_CODE[usize::from(self.code())].expect("every implemented command has a row")
    }
}
