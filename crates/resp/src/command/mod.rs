//! The table of commands, from which COMMAND, routing, arity checks and access rules derive.
//!
//! It holds every command of Redis 7.0, implemented or not, and the few that are our own. The
//! facts (arity, flags, positions of keys, summaries) are those that Redis 7.0.15 reports.

mod flags;
mod id;
mod keys;
mod markdown;
mod render;
mod resolve;
mod table;

pub use flags::{Categories, Flags, Group, KeyFlags};
pub use id::CommandId;
pub use keys::{Begin, Find, InvalidKeys, KeyPosition, KeyPositions, KeyRange, KeySpec, keys};
pub use markdown::commands_markdown;
pub use render::{command_docs, command_help, command_info};
pub use resolve::{Rejection, resolve};
pub use table::{commands, lookup, lookup_full, lookup_subcommand};

/// Which part of a node runs a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handler {
    /// The data of one slot.
    Keyspace,
    /// The data of all slots.
    KeyspaceWide,
    /// The connection that sent it.
    Connection,
    /// The node as a whole: settings, figures, the table of commands.
    Server,
    /// What the node knows of the cluster.
    Cluster,
    /// The connection's transaction.
    Transaction,
}

/// Whether a command is implemented, and if not, why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// Implemented under this number.
    Yes(CommandId),
    /// Has subcommands, of which some are implemented, and does nothing by itself.
    Container,
    /// Not implemented by this version. The text says what is to come: `lists are planned`.
    NotYet(&'static str),
    /// Not part of this system. The text says why.
    Never(&'static str),
}

/// One row of the table: a command or a subcommand.
#[derive(Debug)]
pub struct Command {
    /// Lower case; a subcommand is called `object|encoding`.
    pub name: &'static str,
    /// Whether it is implemented.
    pub support: Support,
    /// Who runs it, if it is implemented.
    pub handler: Handler,
    /// The number of arguments, the command's name (two words for a subcommand) included. A
    /// negative number is a minimum.
    pub arity: i16,
    /// What it may do and when.
    pub flags: Flags,
    /// Its access categories.
    pub categories: Categories,
    /// Where its keys are, in the short form of old clients.
    pub keys: KeyRange,
    /// Where its keys are and what they are used for.
    pub key_specs: &'static [KeySpec],
    /// Hints for clients that talk to several nodes.
    pub tips: &'static [&'static str],
    /// Its subcommands.
    pub subcommands: &'static [Command],
    /// Its family.
    pub group: Group,
    /// The first version of Redis that had it.
    pub since: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Its cost in time.
    pub complexity: &'static str,
    /// The version of Redis that deprecated it, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
}

impl Command {
    /// The command's number, if it is implemented and isn't a mere container of subcommands.
    #[must_use]
    pub const fn id(&self) -> Option<CommandId> {
        match self.support {
            Support::Yes(id) => Some(id),
            Support::Container | Support::NotYet(_) | Support::Never(_) => None,
        }
    }

    /// Whether a request of `argc` arguments, the command's name included, has a fitting number
    /// of them.
    #[must_use]
    pub const fn accepts(&self, argc: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { argc >= arity } else { argc == arity }
    }

    /// Whether COMMAND lists it.
    #[must_use]
    pub const fn is_supported(&self) -> bool {
        matches!(self.support, Support::Yes(_) | Support::Container)
    }

    /// The last word of the name: `encoding` for `object|encoding`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, word)| word)
    }
}

#[cfg(test)]
mod tests;
