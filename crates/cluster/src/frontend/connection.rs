//! Commands about the connection that sends them.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use resp::{CommandId, Protocol, Reply, error, number};
use types::limits::NAME_BYTES_MAX;

use super::{Call, Outcome, REDIS_VERSION, not_here, pair, quoted};
use crate::node::Node;
use crate::node::redirects::Redirects;
use crate::session::ReplyMode;

/// The one user there is.
pub(super) const USER: &str = "default";
/// HELLO without the password.
const HELLO_WITHOUT_AUTH: &str = "NOAUTH HELLO must be called with the client already \
    authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the \
    client and select the RESP protocol version at the same time";
const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

impl Node {
    pub(super) fn connection_command(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.command.id() {
            Some(CommandId::Ping) => ping(call, reply),
            Some(CommandId::Echo) => {
                reply.bulk(call.arg(1));
                Ok(())
            }
            Some(CommandId::Auth) => self.auth(call, reply),
            Some(CommandId::Select) => {
                match number::parse_i64(call.arg(1)).ok_or(error::NOT_AN_INTEGER)? {
                    0 => reply.ok(),
                    i64::MIN..=-1 | 1..=i64::MAX => return Err(error::SELECT_IN_CLUSTER.into()),
                }
                Ok(())
            }
            Some(CommandId::Quit) => {
                if let Some(session) = self.world.sessions.get(call.session) {
                    session.closing = true;
                }
                reply.ok();
                Ok(())
            }
            Some(CommandId::Reset) => self.reset(call, reply),
            // Reads are linearizable wherever they are served, so READONLY changes nothing but
            // what the client has shown of itself: it knows where replicas are.
            Some(CommandId::ReadOnly | CommandId::ReadWrite | CommandId::Asking) => {
                if let Some(session) = self.world.sessions.get(call.session) {
                    session.redirects.follows = true;
                }
                reply.ok();
                Ok(())
            }
            Some(CommandId::Wait) => self.wait(call, reply),
            Some(
                CommandId::ClientGetName
                | CommandId::ClientHelp
                | CommandId::ClientId
                | CommandId::ClientInfo
                | CommandId::ClientKill
                | CommandId::ClientList
                | CommandId::ClientNoEvict
                | CommandId::ClientNoTouch
                | CommandId::ClientReply
                | CommandId::ClientSetInfo
                | CommandId::ClientSetName,
            ) => self.client_command(call, reply),
            Some(_) | None => not_here(call),
        }
    }

    /// AUTH password, or AUTH user password.
    fn auth(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        match call.rest(1) {
            [_] if self.world.settings.password.is_empty() => {
                Err(error::AUTH_WITHOUT_PASSWORD.into())
            }
            [password] => self.authenticate(call, USER.as_bytes(), password, reply),
            [user, password] => self.authenticate(call, user, password, reply),
            _ => Err(error::SYNTAX.into()),
        }
    }

    fn authenticate(
        &mut self,
        call: &Call<'_>,
        user: &[u8],
        password: &[u8],
        reply: &mut Reply<'_>,
    ) -> Outcome {
        self.check_password(call, user, password)?;
        reply.ok();
        Ok(())
    }

    fn check_password(&mut self, call: &Call<'_>, user: &[u8], password: &[u8]) -> Outcome {
        let wanted = self.world.settings.password.as_bytes();
        let known = is_same_secret(user, USER.as_bytes());
        let right = wanted.is_empty() || is_same_secret(password, wanted);
        if !(known & right) {
            return Err(error::WRONG_PASS.into());
        }
        if let Some(session) = self.world.sessions.get(call.session) {
            session.authenticated = true;
        }
        Ok(())
    }

    /// HELLO [version [AUTH user password] [SETNAME name]].
    pub(super) fn hello(&mut self, call: &Call<'_>, into: &mut Vec<u8>) {
        let chosen = self.greet(call);
        let Some(session) = self.world.sessions.get(call.session) else { return };
        let mut reply = Reply::new(into, session.protocol);
        if let Err(text) = chosen {
            return reply.error(&text);
        }
        reply.map(7);
        // Libraries look for this word before they use what Redis has.
        pair(&mut reply, "server", "redis");
        pair(&mut reply, "version", REDIS_VERSION);
        reply.bulk(b"proto");
        reply.integer(match session.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        });
        reply.bulk(b"id");
        reply.integer(session.number());
        pair(&mut reply, "mode", "cluster");
        pair(&mut reply, "role", "master");
        reply.bulk(b"modules");
        reply.array(0);
    }

    fn greet(&mut self, call: &Call<'_>) -> Outcome {
        let protocol = match call.args.get(1) {
            None => None,
            Some(version) => match number::parse_i64(version) {
                Some(2) => Some(Protocol::Resp2),
                Some(3) => Some(Protocol::Resp3),
                Some(_) => return Err(error::NO_PROTOCOL.into()),
                None => {
                    return Err("ERR Protocol version is not an integer or out of range".into());
                }
            },
        };
        let mut name = None;
        let mut login = None;
        let mut rest = call.rest(2);
        loop {
            match rest {
                [] => break,
                [option, user, password, more @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    login = Some((*user, *password));
                    rest = more;
                }
                [option, value, more @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    name = Some(*value);
                    rest = more;
                }
                [option, ..] => {
                    let option = quoted(option);
                    let text = alloc::format!("ERR Syntax error in HELLO option '{option}'");
                    return Err(Cow::Owned(text));
                }
            }
        }
        if let Some((user, password)) = login {
            self.check_password(call, user, password)?;
        }
        let Some(session) = self.world.sessions.get(call.session) else { return Ok(()) };
        if !session.authenticated {
            return Err(HELLO_WITHOUT_AUTH.into());
        }
        if let Some(name) = name {
            check_name(name)?;
            session.name = name.to_vec();
        }
        session.protocol = protocol.unwrap_or(session.protocol);
        Ok(())
    }

    /// RESET: as if the connection were new. The library's name stays: it is still the same one.
    fn reset(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        self.end_watch(call.now, call.session);
        let needs_password = !self.world.settings.password.is_empty();
        if let Some(session) = self.world.sessions.get(call.session) {
            session.discard();
            session.authenticated = !needs_password;
            session.protocol = Protocol::Resp2;
            session.name = Vec::new();
            session.reply_mode = ReplyMode::On;
            session.redirects = Redirects::default();
            session.no_evict = false;
            session.no_touch = false;
        }
        reply.simple("RESET");
        Ok(())
    }

    /// WAIT replicas time-out: how many replicas besides the holder are certain to have every
    /// write that was acknowledged to this connection on disk: a majority of the voters less the
    /// holder, whichever shard the writes went to. It never blocks, because an acknowledged write
    /// is there already; the replies to writes that were sent before it precede its own.
    fn wait(&mut self, call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
        number::parse_i64(call.arg(1)).ok_or(error::NOT_AN_INTEGER)?;
        let time = number::parse_i64(call.arg(2));
        if time.ok_or("ERR timeout is not an integer or out of range")? < 0 {
            return Err("ERR timeout is negative".into());
        }
        let certain = self.routes.iter().map(|route| route.replicas.len() / 2).min();
        reply.count(certain.unwrap_or(0));
        Ok(())
    }
}

fn ping(call: &Call<'_>, reply: &mut Reply<'_>) -> Outcome {
    match call.rest(1) {
        [] => reply.simple("PONG"),
        [text] => reply.bulk(text),
        _ => return Err(Cow::Owned(error::wrong_arity(call.command))),
    }
    Ok(())
}

/// Whether a name for the connection or its library can stand in CLIENT LIST.
pub(super) fn check_name(name: &[u8]) -> Outcome {
    if !is_plain(name) {
        return Err(BAD_NAME.into());
    }
    if name.len() > NAME_BYTES_MAX {
        let text = alloc::format!("ERR Client names cannot be longer than {NAME_BYTES_MAX} bytes.");
        return Err(Cow::Owned(text));
    }
    Ok(())
}

/// Whether a text has printable characters only, and no space.
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Compares a secret in a time that depends on the length of what was given alone.
fn is_same_secret(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = given.len() ^ secret.len();
    for (at, byte) in given.iter().enumerate() {
        let other = secret.get(at % secret.len().max(1)).copied().unwrap_or(0);
        difference |= usize::from(byte ^ other);
    }
    core::hint::black_box(difference) == 0
}

/// A plain argument as text.
pub(super) fn plain_text(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_in_full() {
        for (given, secret) in [("", ""), ("a", "a"), ("abc", "abc")] {
            assert!(is_same_secret(given.as_bytes(), secret.as_bytes()));
        }
        for (given, secret) in
            [("", "a"), ("a", ""), ("a", "aa"), ("aa", "a"), ("abd", "abc"), ("abcabc", "abc")]
        {
            assert!(!is_same_secret(given.as_bytes(), secret.as_bytes()), "{given} {secret}");
        }
    }
}
