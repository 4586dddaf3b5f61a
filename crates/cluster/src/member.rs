//! A node as the cluster knows it: where it is reached, what it is for, and where it stands.
//!
//! The text form is the same in settings, in `LEASEHOLD JOIN` and on the command line:
//! `4=10.0.0.4:7001:17001;name=ada;role=manager;locality=eu/a/r7`. Everything behind the port is
//! optional.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use placement::Locality;
use types::NodeId;
use types::limits::NAME_BYTES_MAX;
use types::limits::NODE_ID_MAX;

/// What is added to the clients' port to get the peers' if none is named.
pub const PEER_PORT_STEP: u16 = 10_000;

/// What a node is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It holds data, and the system shard if the cluster has no managers.
    #[default]
    Data,
    /// It holds the system shard only: a dedicated Lease Manager.
    Manager,
}

impl Role {
    /// The role in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Manager => "manager",
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's number.
    pub node: NodeId,
    /// Host name or address at which clients and peers reach the node.
    pub host: String,
    /// Port at which clients reach the node.
    pub port: u16,
    /// Port at which the other nodes reach it.
    pub peer_port: u16,
    /// A name for people; `n4` if the operator gave none.
    pub name: String,
    /// What the node is for.
    pub role: Role,
    /// Where it stands.
    pub locality: Locality,
}

impl Member {
    /// A data node without name and labels.
    #[must_use]
    pub fn new(node: NodeId, host: &str, port: u16, peer_port: u16) -> Self {
        Self {
            node,
            host: host.to_owned(),
            port,
            peer_port,
            name: format!("{node}"),
            role: Role::Data,
            locality: Locality::default(),
        }
    }
}

/// The text form, with only those parts that differ from what is assumed.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, host, port, peer_port, name, role, locality } = self;
        if host.contains(':') {
            write!(f, "{}=[{host}]:{port}:{peer_port}", node.0)?;
        } else {
            write!(f, "{}={host}:{port}:{peer_port}", node.0)?;
        }
        if *name != format!("{node}") {
            write!(f, ";name={name}")?;
        }
        if *role != Role::Data {
            write!(f, ";role={}", role.name())?;
        }
        if *locality != Locality::default() {
            write!(f, ";locality={locality}")?;
        }
        Ok(())
    }
}

/// Why a text is no member, as the end of the sentence "it must be ...".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidMember(String);

impl fmt::Display for InvalidMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for InvalidMember {}

impl FromStr for Member {
    type Err = InvalidMember;

    fn from_str(text: &str) -> Result<Self, InvalidMember> {
        let wrong = |what: &str| {
            InvalidMember(format!(
                "NODE=HOST:PORT or NODE=HOST:PORT:PEERPORT, perhaps with ;name=..., ;role=data or \
                 manager, ;locality=REGION/ZONE/RACK ({what} in `{text}`)"
            ))
        };
        let mut parts = text.split(';');
        let address = parts.next().unwrap_or_default();
        let (node, address) = address.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let node = node.parse().ok().filter(|node| (1..=NODE_ID_MAX).contains(node));
        let node = NodeId(node.ok_or_else(|| wrong("the node is no number from 1 to 65535"))?);
        let (host, ports) = match address.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => address.split_once(':'),
        }
        .ok_or_else(|| wrong("there is no port"))?;
        let allowed = |it: u8| it.is_ascii_graphic() && !matches!(it, b'[' | b']' | b';' | b',');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(allowed) {
            return Err(wrong("the host is not a name or an address"));
        }
        let (port, peer_port) = match ports.split_once(':') {
            Some((port, peer_port)) => (port.parse().ok(), peer_port.parse().ok()),
            None => {
                let port: Option<u16> = ports.parse().ok();
                (port, port.and_then(|port| port.checked_add(PEER_PORT_STEP)))
            }
        };
        let port = port.filter(|it| *it > 0).ok_or_else(|| wrong("the port is not 1 to 65535"))?;
        let peer_port = peer_port
            .filter(|it| *it > 0 && *it != port)
            .ok_or_else(|| wrong("the peer port, by default PORT + 10000, is not 1 to 65535"))?;
        let mut member = Self::new(node, host, port, peer_port);
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| wrong("a part has no `=`"))?;
            match key {
                "name" if is_label(value) && !value.is_empty() => {
                    value.clone_into(&mut member.name);
                }
                "name" => return Err(wrong("the name is not a word")),
                "role" => {
                    let roles = [Role::Data, Role::Manager];
                    let role = roles.into_iter().find(|role| role.name() == value);
                    member.role = role.ok_or_else(|| wrong("the role is not data or manager"))?;
                }
                "locality" => {
                    member.locality = parse_locality(value)
                        .ok_or_else(|| wrong("the locality is not REGION/ZONE/RACK"))?;
                }
                _ => return Err(wrong("a part is neither name, role nor locality")),
            }
        }
        Ok(member)
    }
}

/// `REGION/ZONE/RACK`; labels may be empty, and those at the end left out.
fn parse_locality(text: &str) -> Option<Locality> {
    let mut labels = text.split('/');
    let mut next = || labels.next().unwrap_or_default();
    let (region, zone, rack) = (next(), next(), next());
    let fits = [region, zone, rack].into_iter().all(is_label) && labels.next().is_none();
    fits.then(|| Locality { region: region.into(), zone: zone.into(), rack: rack.into() })
}

fn is_label(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    text.len() <= NAME_BYTES_MAX && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn members_are_read_back_as_they_are_shown() {
        for text in [
            "1=127.0.0.1:7001:17001",
            "2=[::1]:7001:9",
            "3=host:1:2;name=ada",
            "4=host:1:2;role=manager",
            "5=host:1:2;name=ada;role=manager;locality=eu/a/r7",
            "6=host:1:2;locality=/a/",
        ] {
            assert_eq!(text.parse::<Member>().unwrap().to_string(), text);
        }
        assert_eq!("7=h:7001".parse::<Member>().unwrap().peer_port, 17001);
        assert_eq!("8=h:1:2;locality=eu".parse::<Member>().unwrap().locality.region, "eu");
    }

    #[test]
    fn what_is_no_member_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no `=`"),
            ("0=h:1:2", "no number from 1 to 65535"),
            ("65536=h:1:2", "no number from 1 to 65535"),
            ("x=h:1:2", "no number from 1 to 65535"),
            ("1=h", "no port"),
            ("1=:1:2", "host"),
            ("9=[[x]:1:2", "host"),
            ("1=h:0:2", "port"),
            ("1=h:1:1", "peer port"),
            ("1=h:60000", "peer port"),
            ("1=h:1:2;", "no `=`"),
            ("1=h:1:2;name=", "name"),
            ("1=h:1:2;name=a b", "name"),
            ("1=h:1:2;role=king", "role"),
            ("1=h:1:2;locality=a/b/c/d", "locality"),
            ("1=h:1:2;colour=red", "neither"),
        ] {
            let error = text.parse::<Member>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
