//! Round trips to clients, as the system's TCP measures them all the time.
//!
//! The system tells them through a socket of the kind `ss` uses (`NETLINK_SOCK_DIAG`, see
//! sock_diag(7)): a question names one connection, the answer holds its `tcp_info`. Asking so
//! needs no privilege. Where it is forbidden nothing is measured, and nobody misses it: the Lease
//! Manager then leaves distance out of its account.
//!
//! The figure is the smoothed round trip of what was *sent to* the client, so a client that
//! delays its acknowledgements seems farther than it is, by up to some 40 ms; one that asks again
//! at once acknowledges with its next request.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::net::TcpStream;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with};

/// `SOCK_DIAG_BY_FAMILY`: the kind of question, and of its answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `INET_DIAG_INFO`: the attribute with a `tcp_info`.
const INFO: u16 = 2;
/// `AF_INET` and `AF_INET6`.
const FAMILIES: (u8, u8) = (2, 10);
/// Bytes of an answer before its attributes: `nlmsghdr` and `inet_diag_msg`.
const ANSWER_HEAD: usize = 16 + 72;
/// Where `tcpi_rtt` stands in a `tcp_info`: 8 bytes, then the 16th number of 32 bits.
const RTT_AT: usize = 8 + 15 * 4;
/// Room for an answer.
const ANSWER_BYTES: usize = 4096;

/// Asks the system for round trips.
#[derive(Debug)]
pub(crate) struct RoundTrips {
    /// None: the system does not allow it.
    socket: Option<OwnedFd>,
    sequence: u32,
}

impl RoundTrips {
    /// Opens the socket.
    pub(crate) fn open() -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol);
        if let Err(error) = &socket {
            tracing::debug!(%error, "cannot measure round trips to clients");
        }
        Self { socket: socket.ok(), sequence: 0 }
    }

    /// The smoothed round trip of a connection, if the system tells it. The system answers before
    /// the question returns, so nothing waits here.
    pub(crate) fn of(&mut self, stream: &TcpStream) -> Option<Duration> {
        let socket = self.socket.as_ref()?;
        let (local, peer) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(self.sequence, local, peer);
        sendto(socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
        let mut answer = [0; ANSWER_BYTES];
        // An answer to an earlier question may still be there, if something went wrong with it.
        for _ in 0..4 {
            let (_, len) = recv(socket, &mut answer[..], RecvFlags::empty()).ok()?;
            let answer = answer.get(..len)?;
            if number(answer, 8) == Some(self.sequence) {
                return round_trip(answer);
            }
        }
        None
    }
}

/// `nlmsghdr`, then `inet_diag_req_v2`. Numbers are the machine's, but for ports and addresses.
fn question(sequence: u32, local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let mut body: Vec<u8> = Vec::with_capacity(72);
    let family = if local.is_ipv4() { FAMILIES.0 } else { FAMILIES.1 };
    body.extend_from_slice(&[family, TCP, 1 << (INFO - 1), 0]);
    body.extend_from_slice(&u32::MAX.to_ne_bytes());
    body.extend_from_slice(&local.port().to_be_bytes());
    body.extend_from_slice(&peer.port().to_be_bytes());
    for address in [local.ip(), peer.ip()] {
        let mut bytes = [0; 16];
        match address {
            IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.copy_from_slice(&address.octets()),
        }
        body.extend_from_slice(&bytes);
    }
    // Any interface, and no cookie: the addresses say which connection is meant.
    body.extend_from_slice(&0u32.to_ne_bytes());
    body.extend_from_slice(&[0xff; 8]);
    let mut message = Vec::with_capacity(16 + body.len());
    let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&len.to_ne_bytes());
    message.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    message.extend_from_slice(&REQUEST.to_ne_bytes());
    message.extend_from_slice(&sequence.to_ne_bytes());
    message.extend_from_slice(&0u32.to_ne_bytes());
    message.extend_from_slice(&body);
    message
}

/// The round trip in an answer; none if the connection is gone or has yet to be measured.
fn round_trip(answer: &[u8]) -> Option<Duration> {
    if short(answer, 4)? != BY_FAMILY {
        return None;
    }
    let mut attributes = answer.get(ANSWER_HEAD..)?;
    loop {
        let len = usize::from(short(attributes, 0)?);
        let value = attributes.get(4..len)?;
        if short(attributes, 2)? == INFO {
            let micros = number(value, RTT_AT)?;
            return (micros > 0).then(|| Duration::from_micros(u64::from(micros)));
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream as Stream};

    use super::*;

    #[test]
    fn the_system_tells_the_round_trip_of_a_connection_or_nothing() {
        let mut round_trips = RoundTrips::open();
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let address = listener.local_addr().expect("it is bound");
            let mut client = Stream::connect(address).expect("it listens");
            let (mut served, _) = listener.accept().expect("a client");
            let mut byte = [0];
            for _ in 0..4 {
                client.write_all(&byte).expect("room");
                served.read_exact(&mut byte).expect("a byte");
                served.write_all(&byte).expect("room");
                client.read_exact(&mut byte).expect("a byte");
            }
            served.set_nonblocking(true).expect("a socket");
            let served = TcpStream::from_std(served);
            // A system that forbids the question answers nothing.
            if let Some(time) = round_trips.of(&served) {
                assert!(time < Duration::from_secs(10), "{time:?}");
            }
        }
    }

    #[test]
    fn answers_are_read_with_care() {
        let mut answer = vec![0u8; ANSWER_HEAD];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        assert_eq!(round_trip(&answer), None);
        // Another attribute of five bytes and its padding, then the one that is looked for.
        answer.extend_from_slice(&[5, 0, 8, 0, 1, 0, 0, 0].map(|byte: u8| byte));
        let at = answer.len();
        answer.extend_from_slice(&(4 + 200u16).to_ne_bytes());
        answer.extend_from_slice(&INFO.to_ne_bytes());
        answer.resize(at + 4 + 200, 0);
        assert_eq!(round_trip(&answer), None, "not measured yet");
        answer[at + 4 + RTT_AT..][..4].copy_from_slice(&1500u32.to_ne_bytes());
        if cfg!(target_endian = "little") {
            assert_eq!(round_trip(&answer), Some(Duration::from_micros(1500)));
        }
        for len in 0..answer.len() {
            let _ = round_trip(&answer[..len]);
        }
        answer[ANSWER_HEAD] = 0;
        assert_eq!(round_trip(&answer), None, "an attribute without length");
    }
}
