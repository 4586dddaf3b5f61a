//! From the arguments of a request to the command that it asks for.

use alloc::string::String;

use super::{Command, Support, lookup, lookup_subcommand};
use crate::error;

/// Why a request names no command that can be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// There is no such command.
    UnknownCommand,
    /// There is no such subcommand.
    UnknownSubcommand,
    /// The command exists in Redis but not here.
    Unsupported,
    /// Too few or too many arguments.
    WrongArity,
}

/// Finds the command or subcommand that a request asks for and checks that it is implemented and
/// that the number of arguments fits. The command so found has a number.
///
/// # Errors
/// What is wrong, and the text to reply, as Redis words it.
pub fn resolve(args: &[impl AsRef<[u8]>]) -> Result<&'static Command, (Rejection, String)> {
    let named = args.first().and_then(|name| lookup(name.as_ref()));
    let Some(named) = named else {
        return Err((Rejection::UnknownCommand, error::unknown_command(args)));
    };
    let command = match args.get(1) {
        Some(word) if named.is_supported() && !named.subcommands.is_empty() => {
            let found = lookup_subcommand(named, word.as_ref());
            let unknown = || error::unknown_subcommand(named, word.as_ref());
            found.ok_or_else(|| (Rejection::UnknownSubcommand, unknown()))?
        }
        Some(_) | None => named,
    };
    match command.support {
        Support::Yes(_) if command.accepts(args.len()) => Ok(command),
        // A container without its subcommand lacks an argument.
        Support::Yes(_) | Support::Container => {
            Err((Rejection::WrongArity, error::wrong_arity(command)))
        }
        Support::NotYet(plan) => {
            Err((Rejection::Unsupported, error::not_yet_supported(command, plan)))
        }
        Support::Never(reason) => {
            Err((Rejection::Unsupported, error::never_supported(command, reason)))
        }
    }
}
