//! The texts of errors, as Redis 7.0 words them, code first. Client libraries compare them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use crate::command::Command;

/// The value has another type than the command works on.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// The connection has not given the password.
pub const NO_AUTH: &str = "NOAUTH Authentication required.";
/// A wrong password or user.
pub const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
/// AUTH where no password is set.
pub const AUTH_WITHOUT_PASSWORD: &str = "ERR AUTH <password> called without any password \
    configured for the default user. Are you sure your configuration is correct?";
/// HELLO asks for a version of the protocol that there isn't.
pub const NO_PROTOCOL: &str = "NOPROTO unsupported protocol version";
/// The keys of one request lie in several slots.
pub const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";
/// The shard has no quorum.
pub const CLUSTER_DOWN: &str = "CLUSTERDOWN The cluster is down";
/// The node is out of memory.
pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// The arguments do not fit the command's syntax.
pub const SYNTAX: &str = "ERR syntax error";
/// An argument isn't an integer.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// An argument isn't a number.
pub const NOT_A_FLOAT: &str = "ERR value is not a valid float";
/// The result doesn't fit in an integer.
pub const OVERFLOW: &str = "ERR increment or decrement would overflow";
/// The result isn't a number.
pub const NAN_OR_INFINITY: &str = "ERR increment would produce NaN or Infinity";
/// An index or offset isn't one.
pub const INDEX_OUT_OF_RANGE: &str = "ERR index out of range";
/// An offset isn't one.
pub const OFFSET_OUT_OF_RANGE: &str = "ERR offset is out of range";
/// A string would grow too long.
pub const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
/// KEYS finds more than a reply should hold.
pub const TOO_MANY_KEYS: &str = "ERR KEYS finds more than 64 MiB of keys, which is too much for \
     one reply; use SCAN";
/// A command works more than it may.
pub const TOO_MUCH_WORK: &str = "ERR this would hold up everybody else for too long (see the \
     limits of commands); nothing was changed; ask for less at once";
/// RENAME of a key that there isn't.
pub const NO_SUCH_KEY: &str = "ERR no such key";
/// COPY or MOVE of a key to itself.
pub const SAME_OBJECT: &str = "ERR source and destination objects are the same";
/// A number of a database other than 0.
pub const DB_OUT_OF_RANGE: &str = "ERR DB index is out of range";
/// SELECT in a cluster.
pub const SELECT_IN_CLUSTER: &str = "ERR SELECT is not allowed in cluster mode";
/// MOVE in a cluster.
pub const MOVE_IN_CLUSTER: &str = "ERR MOVE is not allowed in cluster mode";
/// COPY to another database.
pub const COPY_IN_CLUSTER: &str = "ERR Copying to another database is not allowed in cluster mode";
/// RESTORE over a key that exists.
pub const BUSY_KEY: &str = "BUSYKEY Target key name already exists.";
/// RESTORE of bytes that no DUMP wrote.
pub const BAD_DUMP: &str = "ERR DUMP payload version or checksum are wrong";
/// RESTORE with a negative time to live.
pub const INVALID_TTL: &str = "ERR Invalid TTL value, must be >= 0";
/// SCAN's cursor isn't one.
pub const INVALID_CURSOR: &str = "ERR invalid cursor";
/// MULTI within MULTI.
pub const NESTED_MULTI: &str = "ERR MULTI calls can not be nested";
/// EXEC without MULTI.
pub const EXEC_WITHOUT_MULTI: &str = "ERR EXEC without MULTI";
/// DISCARD without MULTI.
pub const DISCARD_WITHOUT_MULTI: &str = "ERR DISCARD without MULTI";
/// WATCH within MULTI.
pub const WATCH_IN_MULTI: &str = "ERR WATCH inside MULTI is not allowed";
/// EXEC after a command was refused while queuing.
pub const EXEC_ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";
/// COMMAND GETKEYS of a name that there isn't.
pub const INVALID_COMMAND: &str = "ERR Invalid command specified";
/// COMMAND GETKEYS with too few or too many arguments.
pub const INVALID_ARGUMENT_COUNT: &str = "ERR Invalid number of arguments specified for command";
/// COMMAND GETKEYS with arguments from which the keys can't be told.
pub const INVALID_ARGUMENTS: &str = "ERR Invalid arguments specified for command";
/// COMMAND GETKEYS of a command without keys.
pub const NO_KEY_ARGUMENTS: &str = "ERR The command has no key arguments";
/// The number of a slot isn't one.
pub const INVALID_SLOT: &str = "ERR Invalid or out of range slot";

/// How many bytes of a name, and of all arguments together, an error repeats.
const QUOTED_BYTES_MAX: usize = 128;

/// The command's number of arguments is wrong.
#[must_use]
pub fn wrong_arity(command: &Command) -> String {
    format!("ERR wrong number of arguments for '{}' command", command.name)
}

/// The time to live that a command was given is not one.
#[must_use]
pub fn invalid_expire(command: &Command) -> String {
    format!("ERR invalid expire time in '{}' command", command.name)
}

/// There is no command of the name `args[0]`.
#[must_use]
pub fn unknown_command(args: &[impl AsRef<[u8]>]) -> String {
    let mut text = String::from("ERR unknown command '");
    let (name, rest) =
        args.split_first().map_or((&b""[..], args), |(name, rest)| (name.as_ref(), rest));
    quote(&mut text, name, QUOTED_BYTES_MAX);
    text.push_str("', with args beginning with: ");
    let mut room = QUOTED_BYTES_MAX;
    for arg in rest {
        text.push('\'');
        let quoted = quote(&mut text, arg.as_ref(), room);
        text.push_str("' ");
        room = room.saturating_sub(quoted + 3);
        if room == 0 {
            break;
        }
    }
    text
}

/// `container` has no subcommand of this name.
#[must_use]
pub fn unknown_subcommand(container: &Command, name: &[u8]) -> String {
    let mut text = String::from("ERR unknown subcommand '");
    quote(&mut text, name, QUOTED_BYTES_MAX);
    text.push_str("'. Try ");
    text.push_str(&container.name.to_ascii_uppercase());
    text.push_str(" HELP.");
    text
}

/// The command is planned. `plan` says what is to come: `lists are planned`.
#[must_use]
pub fn not_yet_supported(command: &Command, plan: &str) -> String {
    let name = display_name(command);
    format!(
        "ERR '{name}' is not supported by this version of Leasehold ({plan}); \
         see docs/commands.md"
    )
}

/// The command is no part of this system. `reason` says why.
#[must_use]
pub fn never_supported(command: &Command, reason: &str) -> String {
    let name = display_name(command);
    format!("ERR '{name}' is not supported by Leasehold: {reason}; see docs/commands.md")
}

/// A command's name for people: `OBJECT ENCODING`.
#[must_use]
pub fn display_name(command: &Command) -> String {
    command.name.to_ascii_uppercase().replace('|', " ")
}

/// Appends at most `room` bytes of what a client sent, and returns how many bytes it took.
///
/// Like Redis it stops at a zero byte. Line breaks become spaces, other control bytes are
/// escaped, and bytes that aren't UTF-8 are replaced: none may reach a terminal or a log as is.
fn quote(text: &mut String, bytes: &[u8], room: usize) -> usize {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()).min(room);
    for character in String::from_utf8_lossy(&bytes[..end]).chars() {
        match character {
            '\r' | '\n' => text.push(' '),
            _ if character.is_control() => {
                // Writing to a string can't fail.
                let _ = write!(text, "\\x{:02x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    end
}
