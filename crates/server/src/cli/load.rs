//! `leasehold load`: what `salvage` has written, into a cluster.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use resp::{Parsed, Parser, RequestLimits, Value};

use super::connection::{Connection, NodeArguments};
use super::salvage::say;
use super::table::plain;
use super::{CommandError, print};
use crate::clock;

/// Requests that are sent at once: a node takes more of one connection.
const BATCH_REQUESTS: usize = 512;
/// Bytes of them, but for a single longer one.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// After how many keys a word is said of how far it is.
const PROGRESS_KEYS: u64 = 1_000_000;
/// For how long a cluster may refuse what it will take later: shards change hands meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// What an error begins with that passes. A write whose fate is not known is simply made again.
const PASSING: [&str; 4] = ["TRYAGAIN", "CLUSTERDOWN", "UNCERTAIN", "LOADING"];
/// How long an answer may take: values may be long, and disks slow.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Load what `leasehold salvage` has written into a cluster.
///
/// Keys that are there already are overwritten. A load that was ended can be begun again: it sets
/// the same keys to the same values. Let no other client write meanwhile.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold load saved --url 10.0.0.1:7001
  leasehold salvage node-1 node-3 --output - | leasehold load - --url 10.0.0.1:7001")]
pub(super) struct LoadArguments {
    /// The file; - is standard input.
    file: PathBuf,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(arguments: &LoadArguments) -> Result<(), CommandError> {
    let input: Box<dyn Read> = if arguments.file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let shown = arguments.file.display();
        let file = File::open(&arguments.file)
            .map_err(|error| CommandError::new(format!("cannot open {shown}: {error}")))?;
        Box::new(file)
    };
    let mut requests = Requests::new(input);
    let mut connection = Some(Connection::open_for(&arguments.node, ANSWER_TIME)?);
    let (mut keys, mut told) = (0, 0);
    loop {
        let batch = requests.batch().map_err(|error| stopped(keys, &error))?;
        if batch.is_empty() {
            break;
        }
        let count = batch.len() as u64;
        send(&mut connection, &arguments.node, batch)
            .map_err(|error| stopped(keys, &error.text))?;
        keys += count;
        if keys >= told + PROGRESS_KEYS {
            told = keys;
            say(&format!("{keys} keys loaded so far"));
        }
    }
    print(format_args!("{keys} keys loaded.\n"))
}

fn stopped(keys: u64, why: &str) -> CommandError {
    CommandError::new(format!(
        "{why}\n{keys} keys were loaded before that. The same command begins again, and may be \
         given again."
    ))
}

/// Sends requests until each of them was taken.
fn send(
    connection: &mut Option<Connection>,
    node: &NodeArguments,
    mut batch: Vec<Vec<u8>>,
) -> Result<(), CommandError> {
    let begin = clock::monotonic();
    loop {
        let refusal = match try_send(connection, node, &mut batch) {
            Ok(None) => return Ok(()),
            Ok(Some(refusal)) if PASSING.iter().any(|word| refusal.starts_with(word)) => refusal,
            Ok(Some(refusal)) => return Err(CommandError::new(format!("refused: {refusal}"))),
            Err(error) => {
                *connection = None;
                error.text
            }
        };
        if clock::monotonic().since(begin) >= PATIENCE {
            return Err(CommandError::new(refusal));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Sends requests once. Those that were taken are gone from the batch afterwards; answers with why
/// another one was not.
fn try_send(
    connection: &mut Option<Connection>,
    node: &NodeArguments,
    batch: &mut Vec<Vec<u8>>,
) -> Result<Option<String>, CommandError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open_for(node, ANSWER_TIME)?),
    };
    let replies = connection.ask_all(batch)?;
    let mut worst: Option<String> = None;
    let mut refused = Vec::new();
    for (request, reply) in std::mem::take(batch).into_iter().zip(replies) {
        let Value::Error(text) = reply else { continue };
        let passes = PASSING.iter().any(|word| text.starts_with(word));
        // What does not pass ends it: that is what must be told.
        if worst.is_none() || !passes {
            worst = Some(plain(&text, 1000));
        }
        refused.push(request);
    }
    *batch = refused;
    Ok(worst)
}

/// The requests of a file, one after the other.
struct Requests {
    input: Box<dyn Read>,
    parser: Parser,
    buffer: Vec<u8>,
    /// Where the next request begins.
    at: usize,
    /// Whether the file ends with the buffer.
    ended: bool,
}

impl Requests {
    fn new(input: Box<dyn Read>) -> Self {
        Self { input, parser: Parser::new(), buffer: Vec::new(), at: 0, ended: false }
    }

    /// The next ones, to be sent at once; none at the end.
    fn batch(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let mut batch: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
            let Some(request) = self.next()? else { break };
            bytes += request.len();
            batch.push(request);
        }
        Ok(batch)
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let parsed = self.parser.next(rest, &RequestLimits::LARGEST);
            match parsed.map_err(|error| format!("this is no file of salvage: {error}"))? {
                Parsed::Request { consumed } => {
                    let name = self.parser.arguments(rest).get(0).unwrap_or_default();
                    // What is sent twice must do the same as what is sent once.
                    if name != b"SET" {
                        let name = plain(&String::from_utf8_lossy(name), 64);
                        return Err(format!("this is no file of salvage: it has `{name}`"));
                    }
                    let request = rest.get(..consumed).unwrap_or_default().to_vec();
                    self.at += consumed;
                    return Ok(Some(request));
                }
                Parsed::Empty { consumed } => self.at += consumed,
                Parsed::Incomplete { .. } if !self.ended => {
                    self.fill().map_err(|error| format!("cannot read on: {error}"))?;
                }
                Parsed::Incomplete { .. } if rest.is_empty() => return Ok(None),
                Parsed::Incomplete { .. } => {
                    return Err(String::from("the file ends within a command: it is incomplete"));
                }
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let chunk = self.input.by_ref().take(CHUNK_BYTES as u64);
        self.ended = { chunk }.read_to_end(&mut self.buffer)? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8]) -> Result<Vec<usize>, String> {
        let mut requests = Requests::new(Box::new(bytes));
        let mut sizes = Vec::new();
        loop {
            let batch = requests.batch()?;
            if batch.is_empty() {
                return Ok(sizes);
            }
            sizes.extend(batch.iter().map(Vec::len));
        }
    }

    #[test]
    fn a_file_is_taken_command_by_command() {
        let one: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nbc\r\n";
        let two =
            b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nbc\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n";
        assert_eq!(read(b""), Ok(vec![]));
        assert_eq!(read(one), Ok(vec![one.len()]));
        assert_eq!(read(two), Ok(vec![one.len(), two.len() - one.len()]));
        let cut = read(&two[..two.len() - 1]).unwrap_err();
        assert!(cut.contains("ends within a command"), "{cut}");
    }

    #[test]
    fn what_must_not_be_sent_twice_is_not_sent_at_all() {
        let error = read(b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n").unwrap_err();
        assert!(error.contains("`INCR`"), "{error}");
        let error = read(b"*1\r\n:3\r\n").unwrap_err();
        assert!(error.contains("no file of salvage"), "{error}");
    }
}
