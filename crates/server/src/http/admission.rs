//! Who may ask.
//!
//! The node judges the password: whatever the request brought is given to it with AUTH. Without a
//! password the rules are those of the Redis port's protected mode, and one more: browsers follow
//! names that strangers choose, and run strangers' pages. A page of another origin may not give
//! orders, and while there is no password it may not even read, whatever name it has for us.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Site;
use super::exchange::{Problem, Request};
use super::routes::{Access, Route};
use crate::resp_client::{AskError, RespClient};

/// How long the node may take. A transfer may wait for `transfer_time`, which is rarely longer.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Checks whether the request may be served, and gives the connection that serves it.
pub(super) fn admit(
    site: &Site,
    route: &Route,
    request: &Request,
    peer: SocketAddr,
) -> Result<Option<RespClient>, Problem> {
    if request.method != "GET" && request.method != "HEAD" {
        check_origin(request)?;
    }
    let local = peer.ip().to_canonical().is_loopback();
    match route.access {
        // These pages are the same everywhere. They say only that this is Leasehold.
        Access::Open if local || !site.protected_mode => return Ok(None),
        Access::Open | Access::Health | Access::Cluster => {}
    }
    let mut client = RespClient::connect(site.node, ANSWER_TIME).map_err(|error| {
        Problem::new(503, format!("the node at {} does not answer: {error}", site.node))
    })?;
    match check_password(&mut client, request) {
        Ok(true) => {}
        Ok(false) => check_stranger(site, request, local)?,
        // There is a password, so the node lives, and protected mode has nothing to protect.
        Err(problem) if problem.status == 401 && route.access != Access::Cluster => {
            return Ok(None);
        }
        Err(problem) => return Err(problem),
    }
    Ok(Some(client))
}

/// Whether a password was given and is the right one; false if there is none to give.
fn check_password(client: &mut RespClient, request: &Request) -> Result<bool, Problem> {
    if let Some(password) = &request.bearer {
        match client.ask(&["AUTH", password]) {
            Ok(_) => return Ok(true),
            Err(AskError::Refused(text)) if text.starts_with("WRONGPASS") => {
                return Err(Problem::new(401, "the password is wrong"));
            }
            // The node has no password.
            Err(AskError::Refused(text)) if text.starts_with("ERR AUTH") => {}
            Err(error) => return Err(cannot_serve(error)),
        }
    }
    client.ask(&["PING"]).map(|_| false).map_err(cannot_serve)
}

/// A client without a password, at a node that has none.
fn check_stranger(site: &Site, request: &Request, local: bool) -> Result<(), Problem> {
    if !site.protected_mode {
        return Ok(());
    }
    if !local {
        return Err(Problem::new(
            403,
            "protected mode: no password is set, so only clients on the same machine are served. \
             Either set a password (setting `password`) or turn protected mode off (setting \
             `protected_mode`) if the network keeps strangers out.",
        ));
    }
    match &request.host {
        Some(host) if !is_own_name(host, &site.host) => Err(Problem::new(
            403,
            "protected mode: no password is set, so the node is served under its address, its \
             host name in `members`, and `localhost` only. Use one of them, or set a password.",
        )),
        Some(_) | None => Ok(()),
    }
}

fn is_own_name(host: &str, own: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case(own)
}

/// A browser says whose page gives the order.
fn check_origin(request: &Request) -> Result<(), Problem> {
    let Some(origin) = &request.origin else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    if authority.is_some() && authority == request.host.as_deref() {
        return Ok(());
    }
    Err(Problem::new(403, "orders are not taken from pages of another origin"))
}

/// What it means that the node doesn't even say PONG.
fn cannot_serve(error: AskError) -> Problem {
    match error {
        AskError::Refused(text) if text.starts_with("NOAUTH") => {
            Problem::new(401, "the cluster has a password; give `Authorization: Bearer PASSWORD`")
        }
        AskError::Refused(text) if text.starts_with("DENIED") => Problem::new(403, text),
        AskError::Refused(text) => Problem::new(503, text),
        AskError::NoAnswer(error) => {
            Problem::new(503, format!("the node does not answer: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_strangers_choose_are_not_ours() {
        for good in ["127.0.0.1:8001", "localhost", "LOCALHOST:8001", "[::1]:8001", "db1:1"] {
            assert!(is_own_name(good, "db1"), "{good}");
        }
        for bad in ["evil.example:8001", "", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!is_own_name(bad, "db1"), "{bad}");
        }
    }

    #[test]
    fn orders_of_other_pages_are_refused() {
        let request = |origin: Option<&str>| Request {
            host: Some("127.0.0.1:8001".into()),
            origin: origin.map(String::from),
            ..Request::default()
        };
        assert!(check_origin(&request(None)).is_ok());
        assert!(check_origin(&request(Some("http://127.0.0.1:8001"))).is_ok());
        for bad in ["null", "", "http://evil.example", "http://127.0.0.1:80", "127.0.0.1:8001"] {
            assert_eq!(check_origin(&request(Some(bad))).map_err(|it| it.status), Err(403));
        }
    }
}
