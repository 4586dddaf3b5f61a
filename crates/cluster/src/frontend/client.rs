//! CLIENT: what connections say of themselves, and what one can do to another.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use resp::{CommandId, Protocol, Reply, error, number};
use types::{Monotonic, SessionId};

use super::connection::{USER, check_name, is_plain, plain_text};
use super::{Call, Outcome, not_here, quoted};
use crate::node::Node;
use crate::session::{ReplyMode, Session};

/// The kinds of clients that Redis knows. All of ours are normal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Normal,
    Replica,
    Master,
    PubSub,
}

impl Node {
    pub(super) fn client_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        if call.command.id() == Some(CommandId::ClientList) {
            return self.client_list(call, reply);
        }
        if call.command.id() == Some(CommandId::ClientKill) {
            return self.client_kill(call, reply);
        }
        let Some(session) = self.world.sessions.get(call.session) else { return Ok(()) };
        match call.command.id() {
            Some(CommandId::ClientId) => reply.integer(session.number()),
            Some(CommandId::ClientGetName) if session.name.is_empty() => reply.null(),
            Some(CommandId::ClientGetName) => reply.bulk(&session.name),
            Some(CommandId::ClientSetName) => {
                check_name(call.arg(2))?;
                session.name = call.arg(2).to_vec();
                reply.ok();
            }
            Some(CommandId::ClientSetInfo) => {
                set_info(session, call.arg(2), call.arg(3))?;
                reply.ok();
            }
            Some(CommandId::ClientInfo) => {
                let mut text = String::new();
                describe(session, call.now.monotonic, &mut text);
                reply.verbatim(&text);
            }
            Some(CommandId::ClientNoEvict) => {
                session.no_evict = on_or_off(call.arg(2))?;
                reply.ok();
            }
            Some(CommandId::ClientNoTouch) => {
                session.no_touch = on_or_off(call.arg(2))?;
                reply.ok();
            }
            Some(CommandId::ClientReply) => set_reply_mode(session, call.arg(2), reply)?,
            Some(CommandId::ClientHelp) => help(reply, "client"),
            Some(_) | None => return not_here(call),
        }
        Ok(())
    }

    /// CLIENT LIST [TYPE type] [ID id ...].
    fn client_list(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        let mut wanted: Option<Vec<i64>> = None;
        let mut kind = ClientType::Normal;
        match call.rest(2) {
            [] => {}
            [option, name] if option.eq_ignore_ascii_case(b"type") => kind = client_type(name)?,
            [option, ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
                let parse = |id: &&[u8]| number::parse_i64(id).ok_or("ERR Invalid client ID");
                wanted = Some(ids.iter().map(parse).collect::<Result<_, _>>()?);
            }
            _ => return Err(error::SYNTAX.into()),
        }
        let mut sessions: Vec<&Session> = self
            .world
            .sessions
            .iter()
            .filter(|_| kind == ClientType::Normal)
            .filter(|session| wanted.as_ref().is_none_or(|ids| ids.contains(&session.number())))
            .collect();
        sessions.sort_unstable_by_key(|session| session.number());
        let mut text = String::new();
        for session in sessions {
            describe(session, call.now.monotonic, &mut text);
        }
        reply.verbatim(&text);
        Ok(())
    }

    /// CLIENT KILL addr:port, or CLIENT KILL filter value [filter value ...].
    fn client_kill(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        let filters = call.rest(2);
        if let [address] = filters {
            let filter = Filter { address: Some(address), skip_me: false, ..Filter::default() };
            if self.kill(call.session, &filter) == 0 {
                return Err("ERR No such client".into());
            }
            reply.ok();
            return Ok(());
        }
        let filter = Filter::parse(filters)?;
        let killed = self.kill(call.session, &filter);
        reply.count(killed);
        Ok(())
    }

    /// Closes all connections that a filter names, once what they have outstanding is answered.
    fn kill(&mut self, me: SessionId, filter: &Filter<'_>) -> usize {
        let victims: Vec<SessionId> = self
            .world
            .sessions
            .iter()
            .filter(|session| !session.closing && filter.names(session, me))
            .map(|session| session.id)
            .collect();
        for &id in &victims {
            if let Some(session) = self.world.sessions.get(id) {
                session.closing = true;
                session.paused = true;
            }
            self.world.sessions.announce(id);
        }
        victims.len()
    }
}

/// Which clients CLIENT KILL is about.
struct Filter<'a> {
    id: Option<i64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    kind: ClientType,
    skip_me: bool,
}

impl Default for Filter<'_> {
    fn default() -> Self {
        let kind = ClientType::Normal;
        Self { id: None, address: None, local_address: None, kind, skip_me: true }
    }
}

impl<'a> Filter<'a> {
    fn parse(mut rest: &[&'a [u8]]) -> Result<Self, Cow<'static, str>> {
        let mut filter = Self::default();
        while let [option, more @ ..] = rest {
            let [value, more @ ..] = more else { return Err(error::SYNTAX.into()) };
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("id") {
                let id = number::parse_i64(value).filter(|id| *id > 0);
                filter.id = Some(id.ok_or("ERR client-id should be greater than 0")?);
            } else if is("addr") {
                filter.address = Some(value);
            } else if is("laddr") {
                filter.local_address = Some(value);
            } else if is("type") {
                filter.kind = client_type(value)?;
            } else if is("user") {
                if *value != USER.as_bytes() {
                    let text = alloc::format!("ERR No such user '{}'", quoted(value));
                    return Err(Cow::Owned(text));
                }
            } else if is("skipme") {
                filter.skip_me = match value {
                    _ if value.eq_ignore_ascii_case(b"yes") => true,
                    _ if value.eq_ignore_ascii_case(b"no") => false,
                    _ => return Err(error::SYNTAX.into()),
                };
            } else {
                return Err(error::SYNTAX.into());
            }
            rest = more;
        }
        Ok(filter)
    }

    fn names(&self, session: &Session, me: SessionId) -> bool {
        self.kind == ClientType::Normal
            && self.id.is_none_or(|id| id == session.number())
            && self.address.is_none_or(|address| address == address_of(session).as_bytes())
            && self.local_address.is_none_or(|local| local == session.address.local.as_bytes())
            && !(self.skip_me && session.id == me)
    }
}

fn client_type(name: &[u8]) -> Result<ClientType, Cow<'static, str>> {
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    if is("normal") {
        Ok(ClientType::Normal)
    } else if is("replica") || is("slave") {
        Ok(ClientType::Replica)
    } else if is("master") {
        Ok(ClientType::Master)
    } else if is("pubsub") {
        Ok(ClientType::PubSub)
    } else {
        Err(Cow::Owned(alloc::format!("ERR Unknown client type '{}'", quoted(name))))
    }
}

fn on_or_off(word: &[u8]) -> Result<bool, Cow<'static, str>> {
    if word.eq_ignore_ascii_case(b"on") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"off") {
        Ok(false)
    } else {
        Err(error::SYNTAX.into())
    }
}

fn set_reply_mode(session: &mut Session, word: &[u8], reply: &mut Reply<'_>) -> Outcome {
    if word.eq_ignore_ascii_case(b"on") {
        session.reply_mode = ReplyMode::On;
        reply.ok();
    } else if word.eq_ignore_ascii_case(b"off") {
        session.reply_mode = ReplyMode::Off;
    } else if word.eq_ignore_ascii_case(b"skip") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::Skip;
        }
    } else {
        return Err(error::SYNTAX.into());
    }
    Ok(())
}

/// CLIENT SETINFO LIB-NAME name, or LIB-VER version.
fn set_info(session: &mut Session, attribute: &[u8], value: &[u8]) -> Outcome {
    let place = if attribute.eq_ignore_ascii_case(b"lib-name") {
        &mut session.library.0
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        &mut session.library.1
    } else {
        let text = alloc::format!("ERR Unrecognized option '{}'", quoted(attribute));
        return Err(Cow::Owned(text));
    };
    let longest = types::limits::NAME_BYTES_MAX;
    if !is_plain(value) || value.len() > longest {
        return Err(Cow::Owned(alloc::format!(
            "ERR {} cannot contain spaces, newlines or special characters, nor be longer than \
             {longest} bytes.",
            quoted(attribute)
        )));
    }
    *place = plain_text(value);
    Ok(())
}

/// What HELP replies for a container of subcommands.
pub(super) fn help(reply: &mut Reply<'_>, container: &str) {
    if let Some(command) = resp::lookup(container.as_bytes()) {
        resp::command::command_help(reply, command);
    }
}

/// The client's address and port, as Redis writes them.
pub(crate) fn address_of(session: &Session) -> String {
    let (host, port) = (&session.address.host, session.address.port);
    // As Redis writes it: an IPv6 address is bracketed.
    if host.contains(':') {
        alloc::format!("[{host}]:{port}")
    } else {
        alloc::format!("{host}:{port}")
    }
}

/// A connection's line in CLIENT LIST. What a pure core can't know (file descriptors, the sizes of
/// socket buffers) is zero.
fn describe(session: &Session, now: Monotonic, into: &mut String) {
    let queued = session.transaction.as_ref().map(|transaction| transaction.commands.len());
    let multi = queued.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
    let multi_bytes = session.transaction.as_ref().map_or(0, |transaction| transaction.bytes);
    let mut flags = String::new();
    let facts = [
        (session.transaction.is_some(), 'x'),
        (session.closing, 'c'),
        (session.no_evict, 'e'),
        (session.no_touch, 'T'),
    ];
    flags.extend(facts.iter().filter(|(holds, _)| *holds).map(|(_, flag)| flag));
    if flags.is_empty() {
        flags.push('N');
    }
    // Writing to a string can't fail.
    let _ = writeln!(
        into,
        "id={id} addr={address} laddr={local} fd=0 name={name} age={age} idle={idle} \
         flags={flags} db=0 sub=0 psub=0 ssub=0 multi={multi} qbuf=0 qbuf-free=0 argv-mem=0 \
         multi-mem={multi_bytes} rbs=0 rbp=0 obl={waiting} oll={outstanding} omem={waiting} \
         tot-mem={total} events=r cmd={command} user={USER} redir=-1 resp={resp} \
         lib-name={library} lib-ver={version}",
        id = session.number(),
        address = address_of(session),
        local = session.address.local,
        name = String::from_utf8_lossy(&session.name),
        age = now.since(session.connected).as_secs(),
        idle = now.since(session.last_request).as_secs(),
        waiting = session.output_bytes(),
        outstanding = session.outstanding(),
        total = session.output_bytes() + multi_bytes + size_of::<Session>(),
        command = if session.last_command.is_empty() { "NULL" } else { session.last_command },
        resp = match session.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        },
        library = session.library.0,
        version = session.library.1,
    );
}
