//! A client of a node, blocking and simple: what the command line and the HTTP API ask with.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use resp::{Decoder, ReplyLimits, Value, encode_request};

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The node's own words: an error reply.
    Refused(String),
    /// The connection broke, or the time was over.
    NoAnswer(io::Error),
}

/// A connection over which requests are asked one by one.
pub(crate) struct RespClient {
    stream: TcpStream,
    decoder: Decoder,
    received: Vec<u8>,
}

impl RespClient {
    /// Connects. Connecting and each wait for bytes may take `time`.
    ///
    /// # Errors
    /// What the system says about the last of the name's addresses.
    pub(crate) fn connect(address: impl ToSocketAddrs, time: Duration) -> io::Result<Self> {
        let mut failure = io::Error::other("the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, time) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(time))?;
                    stream.set_write_timeout(Some(time))?;
                    stream.set_nodelay(true)?;
                    let decoder = Decoder::new(ReplyLimits::default());
                    return Ok(Self { stream, decoder, received: Vec::new() });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// An error reply is an error; so is none.
    pub(crate) fn ask(&mut self, args: &[&str]) -> Result<Value, AskError> {
        let mut request = Vec::new();
        encode_request(args, &mut request);
        let answer = self.stream.write_all(&request).and_then(|()| self.read_reply());
        match answer {
            Ok(Value::Error(text)) => Err(AskError::Refused(text)),
            Ok(value) => Ok(value),
            Err(error) => Err(AskError::NoAnswer(error)),
        }
    }

    /// Sends encoded requests, one behind the other, and waits for all answers. Error replies are
    /// answers. The answers must be few and short: they are read when all is sent.
    ///
    /// # Errors
    /// If the connection broke, or the time was over.
    pub(crate) fn ask_all(&mut self, requests: &[Vec<u8>]) -> io::Result<Vec<Value>> {
        for request in requests {
            self.stream.write_all(request)?;
        }
        requests.iter().map(|_| self.read_reply()).collect()
    }

    fn read_reply(&mut self) -> io::Result<Value> {
        let mut chunk = [0; 16 << 10];
        loop {
            // No reply of a node begins so.
            if self.received.starts_with(b"HTTP/") {
                return Err(io::Error::other(
                    "it answers in HTTP, so this seems to be the port of an HTTP API (setting \
                     `http_listen`; 8001 in `leasehold dev`); what is wanted is a node's port for \
                     clients, the first one of a member (7001 in `leasehold dev`)",
                ));
            }
            let decoded = self.decoder.next(&self.received).map_err(io::Error::other)?;
            self.received.drain(..decoded.consumed);
            if let Some(value) = decoded.value {
                return Ok(value);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
