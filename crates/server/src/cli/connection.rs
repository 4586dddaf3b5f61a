//! A connection to a node, for commands that ask it something: blocking and simple.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;
use resp::{Decoder, ReplyLimits, Value, encode_request};

use super::CommandError;

/// How long connecting, and each answer, may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Which node to ask.
#[derive(Args, Clone, Debug)]
pub(super) struct NodeArguments {
    /// Address of any node.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7001")]
    pub(super) url: String,
    /// The cluster's password; LEASEHOLD_PASSWORD does not show up in lists of processes.
    #[arg(long, value_name = "PASSWORD")]
    pub(super) password: Option<String>,
}

impl NodeArguments {
    /// The node's address without the scheme that some tools write before it.
    pub(super) fn address(&self) -> &str {
        self.url.strip_prefix("redis://").unwrap_or(&self.url).trim_end_matches('/')
    }
}

/// A connection over which requests are asked one by one.
pub(super) struct Connection {
    stream: TcpStream,
    address: String,
    decoder: Decoder,
    received: Vec<u8>,
}

impl Connection {
    /// Connects and gives the password, if there is one.
    pub(super) fn open(node: &NodeArguments) -> Result<Self, CommandError> {
        let address = node.address().to_owned();
        let stream = connect(&address).map_err(|error| {
            CommandError::new(format!(
                "cannot connect to the node at {address}: {error}.\n\
                 Is it running? Name another one with --url HOST:PORT; `leasehold dev` starts \
                 three on this machine."
            ))
        })?;
        let decoder = Decoder::new(ReplyLimits::default());
        let mut connection = Self { stream, address, decoder, received: Vec::new() };
        let password = node.password.clone().or_else(|| std::env::var("LEASEHOLD_PASSWORD").ok());
        if let Some(password) = password {
            connection.ask(&["AUTH", &password])?;
        }
        Ok(connection)
    }

    /// Sends a request and waits for the answer. An error reply is an error.
    pub(super) fn ask(&mut self, args: &[&str]) -> Result<Value, CommandError> {
        let mut request = Vec::new();
        encode_request(args, &mut request);
        let answer = self.stream.write_all(&request).and_then(|()| self.read_reply());
        match answer {
            Ok(Value::Error(text)) => {
                let hint = if text.starts_with("NOAUTH") { "\nGive --password." } else { "" };
                Err(CommandError::new(format!("{} says: {text}{hint}", self.address)))
            }
            Ok(value) => Ok(value),
            Err(error) => Err(CommandError::new(format!(
                "no answer from the node at {}: {error}",
                self.address
            ))),
        }
    }

    fn read_reply(&mut self) -> std::io::Result<Value> {
        let mut chunk = [0; 16 << 10];
        loop {
            let decoded = self.decoder.next(&self.received).map_err(std::io::Error::other)?;
            self.received.drain(..decoded.consumed);
            if let Some(value) = decoded.value {
                return Ok(value);
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut failure = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER_TIME) {
            Ok(stream) => {
                stream.set_read_timeout(Some(ANSWER_TIME))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A reply that holds pairs, whichever version of the protocol it came in.
pub(super) fn pairs(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Map(pairs) => Some(pairs.iter().map(|(name, value)| (text(name), value)).collect()),
        Value::Array(items) if items.len().is_multiple_of(2) => {
            Some(items.chunks_exact(2).map(|pair| (text(&pair[0]), &pair[1])).collect())
        }
        Value::Array(_)
        | Value::Simple(_)
        | Value::Error(_)
        | Value::Integer(_)
        | Value::Bulk(_)
        | Value::Null
        | Value::Boolean(_)
        | Value::Double(_)
        | Value::BigNumber(_)
        | Value::Set(_)
        | Value::Push(_) => None,
    }
}

/// A value in a cell of a table.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Simple(text) | Value::Error(text) | Value::BigNumber(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).replace(char::is_control, " "),
        Value::Null => String::from("-"),
        Value::Boolean(flag) => flag.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            items.iter().map(text).collect::<Vec<_>>().join(",")
        }
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| format!("{}={}", text(name), text(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Double(number) if number.is_finite() => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Null => String::from("null"),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(","))
        }
        Value::Map(pairs) => {
            let pair = |(name, value): &(Value, Value)| {
                format!("{}:{}", json_string(&text(name)), json(value))
            };
            format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(","))
        }
        Value::Simple(_)
        | Value::Error(_)
        | Value::BigNumber(_)
        | Value::Bulk(_)
        | Value::Double(_) => json_string(&text(value)),
    }
}

/// A string of JSON.
fn json_string(text: &str) -> String {
    let mut out = String::from('"');
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            _ if sign.is_control() => out.push(' '),
            _ => out.push(sign),
        }
    }
    out.push('"');
    out
}
