//! Every compile-time limit of the system, with the relations that must hold between them.
//!
//! What an operator may change is a setting (see `docs/configuration.md`); these are the bounds
//! that settings themselves must respect, and the sizes that formats and buffers are built for.

/// Most nodes in one cluster.
pub const NODES_MAX: usize = 64;
/// The largest number of a node.
pub const NODE_ID_MAX: u32 = 65_535;
/// Most shards in one cluster.
pub const SHARDS_MAX: usize = 1024;
/// Most replicas of one shard, learners included.
pub const REPLICAS_MAX: usize = 7;

/// Longest key, value or other argument of a request that a setting may allow, in bytes.
pub const ARGUMENT_BYTES_MAX: usize = 512 << 20;
/// Most arguments of one request.
pub const ARGUMENTS_MAX: usize = 1 << 20;
/// Longest inline request or length line, in bytes. Redis' own figure.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Longest value that string commands may build, in bytes. Redis' own figure.
pub const STRING_BYTES_MAX: usize = 512 << 20;
/// Longest value that a command may build from little, as SETBIT, SETRANGE and APPEND do: the
/// default of the longest argument. A constant of the log's format, as the two below: every
/// replica refuses the same commands of an entry.
pub const BUILT_BYTES_MAX: usize = 64 << 20;
/// From so many bytes on a value, a request or a reply is long: it is not copied, but stays where
/// it arrived, and everybody refers to it there.
pub const LONG_BYTES: usize = 1 << 20;
/// Most work of one command, in the units of `keyspace::work`: well below the time between two
/// beats.
pub const COMMAND_WORK_MAX: u64 = 64 << 20;
/// Most work of all commands of one transaction.
pub const TRANSACTION_WORK_MAX: u64 = 2 * COMMAND_WORK_MAX;

/// What a connection may send before it has given the password: arguments of a request.
pub const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
/// What a connection may send before it has given the password: bytes of an argument.
pub const UNAUTHENTICATED_ARGUMENT_BYTES_MAX: usize = 16 << 10;

/// Largest message between nodes, in bytes: the longest argument with room for its frame.
pub const PEER_MESSAGE_BYTES_MAX: usize = ARGUMENT_BYTES_MAX + (64 << 20);
/// Largest log record, in bytes.
pub const RECORD_BYTES_MAX: usize = PEER_MESSAGE_BYTES_MAX + (16 << 20);
/// A slot image travels and is logged in pieces of this many bytes.
pub const PIECE_BYTES: usize = 256 << 10;
/// Applied entries of a shard beyond so many bytes are not kept in memory: who needs them is sent
/// what the log's segments have.
pub const LOG_WINDOW: usize = 8 << 20;
/// What is to be logged at once is committed in parts of this many bytes, where it can be parted.
pub const PERSIST_BYTES: usize = 16 << 20;
/// Longest request, all its arguments together, in bytes: it must fit in a message between nodes,
/// behind a full batch of others.
pub const REQUEST_BYTES_MAX: usize = PEER_MESSAGE_BYTES_MAX - (8 << 20);
/// Bytes of requests that may be under way to one other node, and of all that may wait to be
/// written to it when a long reply joins that: beyond it the client is told that there is no room
/// for its reply. The setting `argument_bytes` lowers it, since `peer_output_bytes` is at least
/// twice that. A single larger request or reply may be under way alone.
pub const FORWARD_BYTES_MAX: usize = 64 << 20;
/// What that setting can't lower it below: half of the smallest `peer_output_bytes`.
pub const FORWARD_BYTES_MIN: usize = 8 << 20;
/// Longest text in which a node says why it refused a request of another one, in bytes. Longer ones
/// are not sent.
pub const REASON_BYTES_MAX: usize = 2048;
/// Longest node name, cluster name or client name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Requests that one connection may have in flight before its socket is no longer read.
pub const SESSION_PIPELINE_MAX: usize = 4096;
/// Requests that one connection may have in flight whose answers may be long.
pub const ANSWERS_UNDER_WAY_MAX: usize = 64;
/// Bytes of answers that one connection may have in flight, as far as they can be foreseen; and
/// those that wait to be written to another node before more of its clients' requests are run.
pub const ANSWERS_BYTES: usize = 4 << 20;
/// Bytes of replies that wait for a client to read them, beyond which no more are made for it; half
/// of `session_output_bytes` if that is less.
pub const UNREAD_BYTES_MAX: usize = 4 << 20;
/// Bytes of requests that wait for that meanwhile. A client may write a long pipeline before it
/// reads anything: beyond this its replies are made all the same, up to `session_output_bytes`.
pub const READ_AHEAD_BYTES_MAX: usize = 16 << 20;
/// Commands that one transaction may queue.
pub const TRANSACTION_COMMANDS_MAX: usize = 1 << 16;
/// Longest glob pattern, in bytes. The matcher takes pattern x text steps at worst, and those in
/// steps over turns.
pub const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Bytes of a write that is not tried at the next holder when the first one lost its lease before
/// the entry was committed: writing it may have been the reason.
pub const RETRIED_BYTES_MAX: usize = 4 << 20;
/// How often a read is tried elsewhere when the node that ran it is lost before it has answered:
/// it may be the reason.
pub const READ_RETRIES_MAX: u8 = 2;
/// Bytes of keys that one shard, or all together, answer KEYS with.
pub const KEYS_BYTES_MAX: usize = 64 << 20;
/// Keys that one call of SCAN looks at, about, whatever its COUNT says.
pub const SCAN_COUNT_MAX: usize = 10_000;
/// Entries that the slow log keeps at most, whatever `slowlog-max-len` says.
pub const SLOW_LOG_ENTRIES_MAX: usize = 1 << 16;

const _: () = assert!(SHARDS_MAX <= crate::SLOT_COUNT as usize);
const _: () = assert!(STRING_BYTES_MAX <= ARGUMENT_BYTES_MAX);
const _: () = assert!(BUILT_BYTES_MAX <= STRING_BYTES_MAX);
// A value that was built can be copied.
const _: () = assert!(BUILT_BYTES_MAX as u64 <= COMMAND_WORK_MAX);
const _: () = assert!(RECORD_BYTES_MAX > PEER_MESSAGE_BYTES_MAX);
const _: () = assert!(REQUEST_BYTES_MAX >= ARGUMENT_BYTES_MAX + (1 << 20));
const _: () = assert!(FORWARD_BYTES_MIN <= FORWARD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(UNAUTHENTICATED_ARGUMENT_BYTES_MAX <= ARGUMENT_BYTES_MAX);
