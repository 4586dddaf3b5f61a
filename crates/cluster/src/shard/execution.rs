//! What an operation of an entry does to the data, whoever applies it: a replica, or `salvage` from
//! a log that no replica has any more.

use keyspace::{Changes, Context, Keyspace, Mode, Outcome, Supplies};
use resp::{CommandId, Reply};
use types::Slot;
use types::limits::{COMMAND_WORK_MAX, TRANSACTION_WORK_MAX};

use crate::entry::{BatchHeader, Command};

/// What the commands of a batch's operation see; `step` is the operation's number in it, from 1.
pub(crate) fn context_of(header: &BatchHeader, step: u64) -> Context {
    Context {
        now: header.stamp,
        seed: header.seed.wrapping_add(step),
        mode: Mode::Apply,
        budget: if header.bounded { COMMAND_WORK_MAX } else { Context::UNBOUNDED },
    }
}

/// Runs one command of an entry.
pub(crate) fn apply_command(
    data: &mut Keyspace,
    slot: Slot,
    (command, supplies): (&Command<'_>, Supplies<'_>),
    context: &Context,
    changes: &mut Changes,
    reply: &mut Reply<'_>,
) {
    let args = &command.args;
    let outcome = data.execute_shared(command.id, slot, args, supplies, context, changes, reply);
    assert_eq!(outcome, Outcome::Done, "an entry's commands decide about expiry themselves");
}

/// Runs the commands of a transaction, and tells `each` what every one of them has found. Says how
/// much work they were.
pub(crate) fn apply_group(
    data: &mut Keyspace,
    slot: Slot,
    commands: &[Command<'_>],
    context: &Context,
    changes: &mut Changes,
    reply: &mut Reply<'_>,
    mut each: impl FnMut(CommandId, &mut Changes),
) -> u64 {
    let is_bounded = context.budget != Context::UNBOUNDED;
    let mut left = if is_bounded { TRANSACTION_WORK_MAX } else { Context::UNBOUNDED };
    let mut work = 0;
    reply.array(commands.len());
    for command in commands {
        if left == 0 {
            reply.error(resp::error::TOO_MUCH_WORK);
            continue;
        }
        let context = Context { budget: context.budget.min(left), ..*context };
        apply_command(data, slot, (command, Supplies::default()), &context, changes, reply);
        each(command.id, changes);
        let done = changes.take_work();
        work += done;
        left = if is_bounded { left.saturating_sub(done) } else { left };
    }
    work
}

/// Runs one command.
pub(super) fn run(
    data: &mut Keyspace,
    slot: Slot,
    command: &Command<'_>,
    context: &Context,
    changes: &mut Changes,
    reply: &mut Reply<'_>,
) -> Outcome {
    data.execute(command.id, slot, &command.args, context, changes, reply)
}
