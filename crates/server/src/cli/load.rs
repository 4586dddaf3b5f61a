//! `leasehold load`: what `salvage` has written, into a cluster.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use resp::{Parsed, Parser, RequestLimits, Value};

use super::connection::{Connection, NodeArguments};
use super::salvage::{END_MARK, say};
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

/// What ends before its end, by whatever shows it.
fn cut(why: &str) -> String {
    format!(
        "what `leasehold salvage` wrote is incomplete ({why}): it was cut off, or salvage failed \
         and has said why. Keys are missing"
    )
}

/// Checks that all keys were read that stand before the end.
fn check_end(words: &[u8], keys: u64) -> Result<(), String> {
    let words = std::str::from_utf8(words).ok();
    let count = words.and_then(|words| words.strip_prefix(END_MARK[1])?.parse::<u64>().ok());
    match count {
        Some(count) if keys == count => Ok(()),
        Some(count) => Err(cut(&format!("it should have {count} keys, and has {keys}"))),
        None => Err(format!("this is no file of salvage: it has `{}`", END_MARK[0])),
    }
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
    /// How many there were so far.
    keys: u64,
    /// Whether the last command was read: nothing stands behind it.
    complete: bool,
}

impl Requests {
    fn new(input: Box<dyn Read>) -> Self {
        let parser = Parser::new();
        Self { input, parser, buffer: Vec::new(), at: 0, ended: false, keys: 0, complete: false }
    }

    /// The next ones, to be sent at once; none at the end.
    fn batch(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let mut batch: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
            match self.next() {
                Ok(Some(request)) => {
                    bytes += request.len();
                    batch.push(request);
                }
                Ok(None) => break,
                // What stands before is good. What is wrong is found again by the next call.
                Err(_) if !batch.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let parsed = self.parser.next(rest, &RequestLimits::LARGEST);
            match parsed.map_err(|error| format!("this is no file of salvage: {error}"))? {
                Parsed::Request { .. } if self.complete => {
                    return Err(String::from(
                        "something stands behind its end: that is not loaded",
                    ));
                }
                Parsed::Request { consumed } => {
                    let arguments = self.parser.arguments(rest);
                    let name = arguments.get(0).unwrap_or_default();
                    if name == END_MARK[0].as_bytes() {
                        check_end(arguments.get(1).unwrap_or_default(), self.keys)?;
                        self.complete = true;
                        self.at += consumed;
                        continue;
                    }
                    // What is sent twice must do the same as what is sent once.
                    if name != b"SET" {
                        let name = plain(&String::from_utf8_lossy(name), 64);
                        return Err(format!("this is no file of salvage: it has `{name}`"));
                    }
                    let request = rest.get(..consumed).unwrap_or_default().to_vec();
                    self.at += consumed;
                    self.keys += 1;
                    return Ok(Some(request));
                }
                Parsed::Empty { consumed } => self.at += consumed,
                Parsed::Incomplete { .. } if !self.ended => {
                    self.fill().map_err(|error| format!("cannot read on: {error}"))?;
                }
                Parsed::Incomplete { .. } if rest.is_empty() && self.complete => return Ok(None),
                Parsed::Incomplete { .. } if rest.is_empty() => {
                    return Err(cut("its end is missing"));
                }
                Parsed::Incomplete { .. } => return Err(cut("it ends within a command")),
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

    /// The lengths of the commands that are taken, and why there are no more if that is an error.
    fn read(text: &str) -> (Vec<usize>, Option<String>) {
        let mut requests = Requests::new(Box::new(io::Cursor::new(text.as_bytes().to_vec())));
        let mut sizes = Vec::new();
        loop {
            match requests.batch() {
                Ok(batch) if batch.is_empty() => return (sizes, None),
                Ok(batch) => sizes.extend(batch.iter().map(Vec::len)),
                Err(error) => return (sizes, Some(error)),
            }
        }
    }

    const ONE: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nbc\r\n";
    const TWO: &str = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n";

    fn end(keys: u64) -> String {
        let [name, words] = END_MARK;
        let words = format!("{words}{keys}");
        format!("*2\r\n${}\r\n{name}\r\n${}\r\n{words}\r\n", name.len(), words.len())
    }

    #[test]
    fn a_file_is_taken_command_by_command_up_to_its_end() {
        assert_eq!(read(&end(0)), (vec![], None));
        assert_eq!(read(&format!("{ONE}{}", end(1))), (vec![ONE.len()], None));
        let both = format!("{ONE}{TWO}{}", end(2));
        assert_eq!(read(&both), (vec![ONE.len(), TWO.len()], None));
        // Wherever it is cut, that is said, after all that was whole was taken.
        for length in 0..both.len() {
            let whole = [ONE.len(), TWO.len()];
            let taken = if length < ONE.len() { 0 } else { 1 };
            let taken = if length < ONE.len() + TWO.len() { taken } else { 2 };
            let (sizes, error) = read(&both[..length]);
            assert_eq!(sizes, whole[..taken], "{length}");
            let error = error.expect("it is an error");
            assert!(error.contains("incomplete"), "{length}: {error}");
        }
    }

    #[test]
    fn an_end_that_is_not_there_or_not_the_end_is_none() {
        let (sizes, error) = read(&format!("{ONE}{}", end(2)));
        assert_eq!(sizes, [ONE.len()]);
        assert!(error.expect("a key is missing").contains("should have 2 keys, and has 1"));
        let (_, error) = read(&format!("{ONE}{}{TWO}", end(1)));
        assert!(error.expect("too much").contains("behind its end"));
        let (_, error) = read("*1\r\n$4\r\nPING\r\n");
        assert!(error.expect("another's").contains("it has `PING`"));
    }

    #[test]
    fn what_must_not_be_sent_twice_is_not_sent_at_all() {
        for (file, words) in
            [("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n", "`INCR`"), ("*1\r\n:3\r\n", "no file of salvage")]
        {
            let error = read(file).1.expect("it is refused");
            assert!(error.contains(words), "{error}");
        }
    }
}
