//! A connection to a node, for commands that ask it something: blocking and simple.

use std::io::{self, ErrorKind};
use std::time::Duration;

use clap::Args;
use resp::Value;

use super::CommandError;
use crate::resp_client::{AskError, RespClient};

/// How long connecting, and each answer, may take: a little longer than a node lets a request wait.
const ANSWER_TIME: Duration = Duration::from_secs(6);

/// What is said when the shard can't be reached in which the Lease Manager keeps what it knows.
const NO_MANAGER: &str = "\nIn shard s0 the Lease Manager keeps what it knows, so none answers \
    now. What this node knows by itself: `leasehold shards`, `leasehold nodes`.";

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
    client: RespClient,
    address: String,
    /// How long each answer may take.
    time: Duration,
}

impl Connection {
    /// Connects and gives the password, if there is one.
    pub(super) fn open(node: &NodeArguments) -> Result<Self, CommandError> {
        Self::open_for(node, ANSWER_TIME)
    }

    /// The same for requests that may take longer.
    pub(super) fn open_for(node: &NodeArguments, time: Duration) -> Result<Self, CommandError> {
        let address = node.address().to_owned();
        let client = RespClient::connect(&address, time).map_err(|error| {
            CommandError::new(format!(
                "cannot connect to the node at {address}: {error}.\n\
                 Is it running? Name another one with --url HOST:PORT; `leasehold dev` starts \
                 three on this machine."
            ))
        })?;
        let mut connection = Self { client, address, time };
        let password = node.password.clone().or_else(|| std::env::var("LEASEHOLD_PASSWORD").ok());
        if let Some(password) = password {
            connection.ask(&["AUTH", &password])?;
        }
        Ok(connection)
    }

    /// Sends a request and waits for the answer. An error reply is an error.
    pub(super) fn ask(&mut self, args: &[&str]) -> Result<Value, CommandError> {
        self.client.ask(args).map_err(|error| match error {
            AskError::Refused(text) => {
                let hint = match text.split(' ').next() {
                    Some("NOAUTH") => "\nGive --password.",
                    Some("CLUSTERDOWN") if text.contains(" shard s0 ") => NO_MANAGER,
                    Some(_) | None => "",
                };
                CommandError::new(format!("{} says: {text}{hint}", self.address))
            }
            AskError::NoAnswer(error) => self.no_answer(&error),
        })
    }

    /// Sends requests that are encoded already, and waits for an answer to each. Error replies are
    /// answers.
    pub(super) fn ask_all(&mut self, requests: &[Vec<u8>]) -> Result<Vec<Value>, CommandError> {
        self.client.ask_all(requests).map_err(|error| self.no_answer(&error))
    }

    fn no_answer(&self, error: &io::Error) -> CommandError {
        let Self { address, time, .. } = self;
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return CommandError::new(format!(
                "the node at {address} has taken the request and not answered within {} s: it may \
                 be stopped or overloaded. Ask another one with --url HOST:PORT.",
                time.as_secs()
            ));
        }
        CommandError::new(format!("no answer from the node at {address}: {error}"))
    }

    /// Asks for a text, such as a document of the Lease Manager.
    pub(super) fn ask_text(&mut self, args: &[&str]) -> Result<String, CommandError> {
        match self.ask(args)? {
            Value::Bulk(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Value::Simple(text) => Ok(text),
            Value::Error(_)
            | Value::Integer(_)
            | Value::Null
            | Value::Boolean(_)
            | Value::Double(_)
            | Value::BigNumber(_)
            | Value::Array(_)
            | Value::Map(_)
            | Value::Set(_)
            | Value::Push(_) => Err(CommandError::new(format!(
                "the answer of the node at {} to {} is no text; is it of another version?",
                self.address,
                args.join(" ")
            ))),
        }
    }
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
