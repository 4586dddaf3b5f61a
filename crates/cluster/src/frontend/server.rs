//! Commands about the node: clocks, role, the slow log, and where the others of this kind are.

use resp::{CommandId, Reply, error, number};

use super::slow_log::SlowLog;
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
            ) => self.slow_log_command(call, reply),
            Some(_) | None => not_here(call),
        }
    }

    pub(super) fn slow_log(&self) -> &SlowLog {
        &self.world.sessions.stats.slow_log
    }

    fn slow_log_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.command.id() {
            Some(CommandId::SlowLogGet) => return self.slow_log_get(call, reply),
            Some(CommandId::SlowLogLen) => reply.count(self.slow_log().entries().len()),
            Some(CommandId::SlowLogReset) => {
                self.world.sessions.stats.slow_log.clear();
                reply.ok();
            }
            Some(_) | None => client::help(reply, "slowlog"),
        }
        Ok(())
    }

    /// SLOWLOG GET [count]: ten entries, or so many, or all for -1; the newest first.
    fn slow_log_get(&self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        let count = match call.rest(2) {
            [] => 10,
            [count] => number::parse_i64(count).unwrap_or(-2),
            _ => {
                return Err("ERR unknown subcommand or wrong number of arguments for 'GET'. Try \
                    SLOWLOG HELP."
                    .into());
            }
        };
        if count < -1 {
            return Err("ERR count should be greater than or equal to -1".into());
        }
        let entries = self.slow_log().entries();
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(entries.len());
        reply.array(count);
        for entry in entries.take(count) {
            reply.array(6);
            reply.integer(i64::try_from(entry.id).unwrap_or(i64::MAX));
            reply.integer(i64::try_from(entry.at.0 / 1000).unwrap_or(i64::MAX));
            reply.integer(i64::try_from(entry.time.as_micros()).unwrap_or(i64::MAX));
            reply.array(entry.args.len());
            for arg in &entry.args {
                reply.bulk(arg);
            }
            reply.bulk(entry.address.as_bytes());
            reply.bulk(&entry.client_name);
        }
        Ok(())
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
