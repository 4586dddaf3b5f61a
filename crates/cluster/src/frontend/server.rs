//! Commands about the node: clocks, role, the slow log, and where the others of this kind are.

use resp::{CommandId, Reply, error, number};

use super::{Call, Outcome, REDIS_VERSION, VERSION, client, not_here};
use crate::node::Node;

impl Node {
    pub(super) fn server_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.command.id() {
            Some(
                CommandId::Command
                | CommandId::CommandCount
                | CommandId::CommandDocs
                | CommandId::CommandGetKeys
                | CommandId::CommandGetKeysAndFlags
                | CommandId::CommandHelp
                | CommandId::CommandInfo
                | CommandId::CommandList,
            ) => self.table_command(call, reply),
            Some(
                CommandId::ConfigGet
                | CommandId::ConfigHelp
                | CommandId::ConfigResetStat
                | CommandId::ConfigRewrite
                | CommandId::ConfigSet,
            ) => self.config_command(call, reply),
            Some(CommandId::Info) => {
                let text = self.info(call.now, call.rest(1));
                reply.verbatim(&text);
                Ok(())
            }
            Some(CommandId::FunctionFlush) => function_flush(call.rest(2), reply),
            Some(CommandId::Time) => {
                let millis = call.now.wall.0;
                reply.array(2);
                reply.bulk(number::Decimal::unsigned(millis / 1000).as_bytes());
                reply.bulk(number::Decimal::unsigned(millis % 1000 * 1000).as_bytes());
                Ok(())
            }
            // Whatever was acknowledged is on disk at any time: the last save is now.
            Some(CommandId::LastSave) => {
                reply.integer(i64::try_from(call.now.wall.0 / 1000).unwrap_or(i64::MAX));
                Ok(())
            }
            Some(CommandId::Role) => {
                reply.array(3);
                reply.bulk(b"master");
                reply.integer(i64::try_from(self.offset()).unwrap_or(i64::MAX));
                reply.array(0);
                Ok(())
            }
            Some(CommandId::Lolwut) => lolwut(call, reply),
            Some(CommandId::MemoryHelp) => {
                client::help(reply, "memory");
                Ok(())
            }
            Some(CommandId::ObjectHelp) => {
                client::help(reply, "object");
                Ok(())
            }
            Some(
                CommandId::SlowLogGet
                | CommandId::SlowLogHelp
                | CommandId::SlowLogLen
                | CommandId::SlowLogReset,
            ) => slow_log(call, reply),
            Some(_) | None => not_here(call),
        }
    }

    /// What stands for Redis' replication offset: how many log entries this node's replicas have
    /// applied. It grows with every write to any of them.
    pub(super) fn offset(&self) -> u64 {
        self.shards.iter().map(|shard| shard.applied_index().0).sum()
    }
}

/// There are no functions, so removing them all is done.
fn function_flush(options: &[&[u8]], reply: &mut Reply<'_>) -> Outcome {
    match options {
        [] => {}
        [mode] if mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async") => {}
        [_] => return Err("ERR FUNCTION FLUSH only supports SYNC|ASYNC option".into()),
        _ => {
            return Err("ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try \
                FUNCTION HELP."
                .into());
        }
    }
    reply.ok();
    Ok(())
}

fn lolwut(call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
    if let [option, version, ..] = call.rest(1)
        && option.eq_ignore_ascii_case(b"version")
    {
        number::parse_i64(version).ok_or(error::NOT_AN_INTEGER)?;
    }
    reply.verbatim(&alloc::format!("Leasehold ver. {VERSION}, Redis ver. {REDIS_VERSION}\n"));
    Ok(())
}

/// The slow log is always empty: the core reads no clock while it runs a command, so it can't
/// know how long one took, and an invented figure would be worse than none.
fn slow_log(call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
    match call.command.id() {
        Some(CommandId::SlowLogGet) => {
            if call.rest(2).len() > 1 {
                return Err("ERR unknown subcommand or wrong number of arguments for 'GET'. Try \
                    SLOWLOG HELP."
                    .into());
            }
            let count = call.args.get(2).map(|count| number::parse_i64(count).unwrap_or(-2));
            if count.is_some_and(|count| count < -1) {
                return Err("ERR count should be greater than or equal to -1".into());
            }
            reply.array(0);
        }
        Some(CommandId::SlowLogLen) => reply.integer(0),
        Some(CommandId::SlowLogReset) => reply.ok(),
        Some(_) | None => client::help(reply, "slowlog"),
    }
    Ok(())
}
