//! Who holds which slot: `CLUSTER SLOTS`, and redirections.

use crate::keys::SLOT_COUNT;
use crate::options::{Error, Options};
use crate::reply::{Parsed, Reply, parse};
use resp::encode_request;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Largest answer to `CLUSTER SLOTS` that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// No node is known for the slot.
pub(crate) const NOBODY: u16 = u16::MAX;

/// Most nodes that are known at a time.
pub(crate) const NODES_MAX: usize = 1024;

/// A picture of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Topology {
    /// The holders' addresses.
    pub(crate) nodes: Vec<SocketAddr>,
    /// Each slot's holder, by its place in `nodes`, or [`NOBODY`].
    pub(crate) slots: Vec<u16>,
    /// First and last slot of each range, ascending.
    pub(crate) ranges: Vec<(u16, u16)>,
}

/// Whether the options allow to talk to this address.
pub(crate) fn allowed(options: &Options, address: SocketAddr) -> bool {
    options.allow_remote || address.ip().is_loopback()
}

/// Says who asks, as the libraries of clients do: a server may know by it which other connections
/// belong to a client that has asked for the topology. Servers before Redis 7.2 refuse it, which
/// doesn't matter.
pub(crate) fn introduce(into: &mut Vec<u8>) {
    encode_request(&["CLIENT", "SETINFO", "LIB-NAME", "leasehold-bench"], into);
}

/// Asks one server for the topology, waiting for at most `timeout`.
pub(crate) fn fetch(
    options: &Options,
    address: SocketAddr,
    timeout: Duration,
) -> Result<Topology, Error> {
    let failed = |what: &str| Error::Server(format!("{address}: {what}"));
    let deadline = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&address, timeout)
        .map_err(|error| failed(&error.to_string()))?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let mut request = Vec::new();
    if let Some(password) = &options.password {
        encode_request(&["AUTH".as_bytes(), password.as_bytes()], &mut request);
    }
    introduce(&mut request);
    encode_request(&["CLUSTER", "SLOTS"], &mut request);
    stream.write_all(&request).map_err(|error| failed(&error.to_string()))?;
    let mut answer = Vec::new();
    // Answers before the one that matters; the last of them is the introduction's.
    let mut preface = 1 + usize::from(options.password.is_some());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (reply, used) = match parse(&answer) {
            Parsed::Reply(reply, rest) => (Some(reply), answer.len() - rest.len()),
            Parsed::Incomplete => (None, 0),
            Parsed::Invalid => return Err(failed("does not speak the protocol")),
        };
        match reply {
            Some(Reply::Error(text)) if preface != 1 => {
                return Err(failed(&String::from_utf8_lossy(text)));
            }
            Some(_) if preface > 0 => {
                preface -= 1;
                answer.drain(..used);
                continue;
            }
            Some(reply) => {
                let topology = read_slots(options, &reply, address);
                return topology.ok_or(failed("its CLUSTER SLOTS makes no sense"));
            }
            None => {}
        }
        if answer.len() > ANSWER_BYTES_MAX || Instant::now() > deadline {
            return Err(failed("the answer to CLUSTER SLOTS does not end"));
        }
        let count = stream.read(&mut buffer).map_err(|error| failed(&error.to_string()))?;
        if count == 0 {
            return Err(failed("closed the connection"));
        }
        answer.extend_from_slice(&buffer[..count]);
    }
}

fn read_slots(options: &Options, reply: &Reply<'_>, asked: SocketAddr) -> Option<Topology> {
    let Reply::Array(rows) = reply else { return None };
    let mut topology =
        Topology { nodes: Vec::new(), slots: vec![NOBODY; SLOT_COUNT], ranges: Vec::new() };
    for row in rows {
        let Reply::Array(fields) = row else { return None };
        let [Reply::Integer(first), Reply::Integer(last), Reply::Array(holder), ..] = &fields[..]
        else {
            return None;
        };
        let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        if first > last || usize::from(last) >= SLOT_COUNT {
            return None;
        }
        let [host, Reply::Integer(port), ..] = &holder[..] else { return None };
        let host = match host {
            Reply::Bulk(Some(host)) | Reply::Simple(host) => host,
            Reply::Bulk(None) => b"".as_slice(),
            Reply::Error(_) | Reply::Integer(_) | Reply::Array(_) => return None,
        };
        let address = address(host, u16::try_from(*port).ok()?, asked)?;
        if !allowed(options, address) {
            return None;
        }
        let known = topology.nodes.iter().position(|&node| node == address);
        let node = known.unwrap_or(topology.nodes.len());
        if known.is_none() {
            topology.nodes.push(address);
        }
        let range = usize::from(first)..=usize::from(last);
        topology.slots[range].fill(u16::try_from(node).ok().filter(|&node| node != NOBODY)?);
        topology.ranges.push((first, last));
    }
    topology.ranges.sort_unstable();
    (!topology.nodes.is_empty() && topology.nodes.len() <= NODES_MAX).then_some(topology)
}

/// The slot and address in `MOVED slot host:port` or `ASK slot host:port`. An empty host means
/// the server that was asked.
pub(crate) fn redirection(error: &[u8], asked: SocketAddr) -> Option<(usize, SocketAddr)> {
    let text = str::from_utf8(error).ok()?;
    let mut words = text.split(' ').skip(1);
    let slot = words.next()?.parse().ok().filter(|&slot| slot < SLOT_COUNT)?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    Some((slot, address(host.as_bytes(), port.parse().ok()?, asked)?))
}

/// Names are not resolved, that could block; `localhost` is known.
fn address(host: &[u8], port: u16, asked: SocketAddr) -> Option<SocketAddr> {
    let ip = match host {
        b"" | b"?" => asked.ip(),
        b"localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        name => str::from_utf8(name).ok()?.trim_matches(['[', ']']).parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn topology(bytes: &[u8]) -> Option<Topology> {
        let Parsed::Reply(reply, _) = parse(bytes) else { panic!("the test's bytes are whole") };
        read_slots(&Options::new(Vec::new()), &reply, here(9))
    }

    #[test]
    fn slots_are_read_with_the_holder_first_and_an_empty_host_as_the_one_asked() {
        let bytes = b"*2\r\n*3\r\n:8192\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7\r\n\
            *4\r\n:0\r\n:8191\r\n*2\r\n$0\r\n\r\n:9\r\n*2\r\n$9\r\n127.0.0.1\r\n:7\r\n";
        let topology = topology(bytes).expect("the answer is right");
        assert_eq!(topology.nodes, [here(7), here(9)]);
        assert_eq!(topology.ranges, [(0, 8191), (8192, 16383)]);
        assert_eq!((topology.slots[0], topology.slots[16383]), (1, 0));
    }

    #[test]
    fn a_topology_that_is_nonsense_or_remote_is_refused() {
        for bytes in [
            b"*0\r\n".as_slice(),
            b"*1\r\n:1\r\n",
            b"*1\r\n*3\r\n:9\r\n:8\r\n*2\r\n$0\r\n\r\n:9\r\n",
            b"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$0\r\n\r\n:9\r\n",
            b"*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$9\r\n192.0.2.1\r\n:9\r\n",
        ] {
            assert_eq!(topology(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn redirections_name_slot_and_address() {
        let asked = here(5);
        assert_eq!(redirection(b"MOVED 12 127.0.0.1:7", asked), Some((12, here(7))));
        assert_eq!(redirection(b"ASK 12 :7", asked), Some((12, here(7))));
        for error in ["MOVED", "MOVED 1", "MOVED 16384 127.0.0.1:7", "MOVED 1 127.0.0.1:x"] {
            assert_eq!(redirection(error.as_bytes(), asked), None, "{error}");
        }
    }
}
