//! CONFIG: what clients, tools and test suites ask for, and the settings that can change while
//! the node runs.
//!
//! A parameter of Redis that means something here is live. One that can't mean anything but does
//! no harm (how a list is encoded, say) is accepted, checked and remembered. One whose other
//! values would be a lie (`appendonly no`) is pinned: only the true value is accepted. Changes
//! concern this node alone and are forgotten when it ends. Of `client-output-buffer-limit` only
//! the hard limit of normal clients counts.

mod live;
mod table;
mod value;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use resp::glob::{Case, Pattern};
use resp::{CommandId, Reply, error};

use self::live::Live;
use self::table::PARAMETERS;
use self::value::Kind;
use super::{Call, Outcome, client, not_here, quoted};
use crate::node::Node;

/// A parameter of CONFIG.
struct Parameter {
    /// Its name, and older names for the same.
    names: &'static [&'static str],
    kind: Kind,
    source: Source,
}

/// Where a parameter's value comes from.
#[derive(Clone, Copy)]
enum Source {
    /// This value until another one is set; it has no effect.
    Remembered(&'static str),
    /// Always this value, for this reason.
    Pinned(&'static str, &'static str),
    /// A setting of the node that can be changed.
    Live(Live),
    /// A setting of the node that can't be changed while it runs.
    ReadOnly(Live),
    /// `slowlog-log-slower-than`.
    SlowLogLimit,
    /// `slowlog-max-len`.
    SlowLogLength,
}

/// The values of parameters that were set and have no effect, by their place in the table.
#[derive(Default)]
pub(super) struct Remembered(BTreeMap<usize, String>);

impl Node {
    pub(super) fn config_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.command.id() {
            Some(CommandId::ConfigGet) => self.config_get(call.rest(2), reply)?,
            Some(CommandId::ConfigSet) => self.config_set(call.rest(2), reply)?,
            Some(CommandId::ConfigResetStat) => {
                self.reset_counters();
                reply.ok();
            }
            Some(CommandId::ConfigRewrite) => {
                return Err("ERR The server is running without a config file".into());
            }
            Some(CommandId::ConfigHelp) => client::help(reply, "config"),
            Some(_) | None => return not_here(call),
        }
        Ok(())
    }

    fn config_get(&self, patterns: &[&[u8]], reply: &mut Reply<'_>) -> Outcome {
        let bytes: usize = patterns.iter().map(|pattern| pattern.len()).sum();
        if bytes > types::limits::PATTERN_BYTES_MAX {
            return Err("ERR the patterns are too long".into());
        }
        let patterns: Vec<Pattern> =
            patterns.iter().map(|pattern| Pattern::new(pattern, Case::Ignored)).collect();
        let is_asked = |name: &str| patterns.iter().any(|it| it.matches(name.as_bytes()));
        let mut found = Vec::new();
        for (at, parameter) in PARAMETERS.iter().enumerate() {
            let names = parameter.names.iter().filter(|name| is_asked(name));
            found.extend(names.map(|name| (*name, at)));
        }
        reply.map(found.len());
        for (name, at) in found {
            reply.bulk(name.as_bytes());
            reply.bulk(self.config_value(at).as_bytes());
        }
        Ok(())
    }

    fn config_value(&self, at: usize) -> Cow<'static, str> {
        let Some(parameter) = PARAMETERS.get(at) else { return "".into() };
        match parameter.source {
            Source::Remembered(default) => match self.frontend.remembered.0.get(&at) {
                Some(value) => value.clone().into(),
                None => default.into(),
            },
            Source::Pinned(value, _) => value.into(),
            Source::Live(live) | Source::ReadOnly(live) => live.read(&self.world.settings).into(),
            Source::SlowLogLimit => self.slow_log().limit().to_string().into(),
            Source::SlowLogLength => self.slow_log().length().to_string().into(),
        }
    }

    /// Sets all parameters or none.
    fn config_set(&mut self, args: &[&[u8]], reply: &mut Reply<'_>) -> Outcome {
        let (pairs, rest) = args.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(error::SYNTAX.into());
        }
        let mut named: Vec<(usize, &[u8], &[u8])> = Vec::new();
        for [name, value] in pairs {
            let Some(at) = find(name) else {
                return Err(Cow::Owned(alloc::format!(
                    "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                    quoted(name)
                )));
            };
            if named.iter().any(|(other, _, _)| *other == at) {
                // Redis lets two names of one parameter through; which of them wins is unclear.
                return Err(failed(name, "duplicate parameter"));
            }
            named.push((at, name, value));
        }
        let mut changes = Vec::new();
        for (at, name, value) in named {
            let value = self.checked_value(at, value).map_err(|reason| failed(name, &reason))?;
            changes.push((at, value));
        }
        for (at, value) in changes {
            self.change(at, value);
        }
        reply.ok();
        Ok(())
    }

    /// A value in its one spelling.
    fn checked_value(&self, at: usize, value: &[u8]) -> Result<String, Cow<'static, str>> {
        const IMMUTABLE: &str = "can't set immutable config";
        let Some(parameter) = PARAMETERS.get(at) else { return Err(IMMUTABLE.into()) };
        let current = self.config_value(at);
        // Tools write back what they have read.
        let same = |value: &Result<String, Cow<'static, str>>| {
            value.as_ref().is_ok_and(|value| *value == *current)
        };
        let parsed = parameter.kind.parse(value, &current);
        match parameter.source {
            Source::Remembered(_) => parsed,
            Source::Pinned(_, reason) if !same(&parsed) => parsed.and(Err(reason.into())),
            Source::ReadOnly(_) if !same(&parsed) => Err(IMMUTABLE.into()),
            Source::Live(live) => {
                let value = parsed?;
                live.check(&self.world.settings, &value)?;
                Ok(value)
            }
            Source::Pinned(..)
            | Source::ReadOnly(_)
            | Source::SlowLogLimit
            | Source::SlowLogLength => parsed,
        }
    }

    fn change(&mut self, at: usize, value: String) {
        let Some(parameter) = PARAMETERS.get(at) else { return };
        match parameter.source {
            Source::Remembered(_) => {
                self.frontend.remembered.0.insert(at, value);
            }
            Source::Pinned(..) | Source::ReadOnly(_) => {}
            Source::SlowLogLimit => {
                let micros = value.parse().unwrap_or(-1);
                self.world.sessions.stats.slow_log.set_limit(micros);
            }
            Source::SlowLogLength => {
                let length = value.parse().unwrap_or(usize::MAX);
                self.world.sessions.stats.slow_log.set_length(length);
            }
            Source::Live(live) => {
                live.write(&mut self.world.settings, &value);
                if self.world.settings.password.is_empty() {
                    self.world.sessions.authenticate_all();
                }
            }
        }
    }
}

/// A parameter's place in the table.
fn find(name: &[u8]) -> Option<usize> {
    let has_name = |parameter: &Parameter| {
        parameter.names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    };
    PARAMETERS.iter().position(has_name)
}

fn failed(name: &[u8], reason: &str) -> Cow<'static, str> {
    Cow::Owned(alloc::format!(
        "ERR CONFIG SET failed (possibly related to argument '{}') - {reason}",
        quoted(name)
    ))
}
