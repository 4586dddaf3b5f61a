//! A blocking client of one connection, that hides nothing: no retries, no redirections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use resp::{Decoder, ReplyLimits, Value, encode_request};

use super::PATIENCE;

/// The reply OK.
pub(crate) fn ok() -> Value {
    Value::Simple("OK".into())
}

/// An integer reply.
pub(crate) fn integer(number: i64) -> Value {
    Value::Integer(number)
}

/// A string reply.
pub(crate) fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

/// An error reply.
pub(crate) fn error(text: &str) -> Value {
    Value::Error(text.into())
}

/// A connection to one node.
pub(crate) struct Client {
    stream: TcpStream,
    decoder: Decoder,
    received: Vec<u8>,
}

impl Client {
    /// Connects to a node that is up.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Connects to a node that may be down.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let decoder = Decoder::new(ReplyLimits::default());
        Ok(Self { stream, decoder, received: Vec::new() })
    }

    /// Sends a request, its words separated by spaces, and waits for the reply.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(line);
        self.receive()
    }

    /// The same with any bytes in the arguments.
    pub(crate) fn ask_args(&mut self, args: &[&[u8]]) -> Value {
        let mut request = Vec::new();
        encode_request(args, &mut request);
        self.send_bytes(&request);
        self.receive()
    }

    /// The same, or how the connection failed.
    pub(crate) fn try_ask(&mut self, line: &str) -> io::Result<Value> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut request = Vec::new();
        encode_request(&words, &mut request);
        self.stream.write_all(&request)?;
        self.try_receive()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a request without waiting.
    pub(crate) fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut request = Vec::new();
        encode_request(&words, &mut request);
        self.send_bytes(&request);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node takes what it is sent");
    }

    /// Sends bytes as they are to a node that may have closed the connection already.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Waits for the next reply.
    pub(crate) fn receive(&mut self) -> Value {
        self.try_receive()
            .unwrap_or_else(|error| panic!("no reply: {error}"))
            .expect("the node has closed the connection instead of a reply")
    }

    /// Waits for the next reply; `None` when the node has closed the connection.
    pub(crate) fn try_receive(&mut self) -> io::Result<Option<Value>> {
        let mut chunk = [0; 64 << 10];
        loop {
            let decoded = self.decoder.next(&self.received).map_err(io::Error::other)?;
            self.received.drain(..decoded.consumed);
            if decoded.value.is_some() {
                return Ok(decoded.value);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Ok(None),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }

    /// The replies that come before the node closes the connection.
    pub(crate) fn replies_until_closed(&mut self) -> Vec<Value> {
        let mut replies = Vec::new();
        loop {
            match self.try_receive() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => return replies,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return replies,
                Err(error) => panic!("the node neither answers nor closes: {error}"),
            }
        }
    }
}
