//! Questions to a server that speaks the Redis protocol: one, and its answer as text; or many, of
//! any size, on a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Asks the server at a port of this machine. An error that it answers is a failure. Answers of
/// several parts are not understood.
pub(super) fn ask(port: u16, words: &[&str]) -> Result<String, Failure> {
    let failed = |error: std::io::Error| format!("port {port}: {error}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).map_err(failed)?;
    let line = line.trim_end();
    let (kind, text) = line.split_at_checked(1).unwrap_or_default();
    match kind {
        "+" | ":" => Ok(text.into()),
        "-" => Err(format!("port {port}: {text}")),
        "$" => {
            let length = text.parse().unwrap_or(0);
            if length > ANSWER_BYTES_MAX {
                return Err(format!("port {port}: the answer is too long"));
            }
            let mut bytes = vec![0; length];
            reader.read_exact(&mut bytes).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Err(format!("port {port}: odd answer to {}: {line}", words.join(" "))),
    }
}

/// A number of `INFO`.
pub(super) fn info(port: u16, field: &str) -> Result<u64, Failure> {
    let text = ask(port, &["INFO"])?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = value.and_then(|value| value.trim().parse().ok());
    number.ok_or_else(|| format!("port {port}: INFO has no number `{field}`"))
}

/// A connection for requests and answers of any size. Answers are read to their end; what is kept
/// is the first line, and how many bytes they had.
pub(super) struct Connection {
    port: u16,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// One to a port of this machine, on which an answer may take so long.
    pub(super) fn open(port: u16, patience: Duration) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(patience))?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| format!("port {port}: {error}"))?;
        Ok(Self { port, reader: BufReader::new(stream) })
    }

    /// Sends a request.
    pub(super) fn send(&mut self, words: &[&[u8]]) -> Result<(), Failure> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend_from_slice(word);
            request.extend(b"\r\n");
        }
        let written = self.reader.get_mut().write_all(&request);
        written.map_err(|error| format!("port {}: {error}", self.port))
    }

    /// The first line of the next answer, and its length if it has more.
    pub(super) fn answer(&mut self) -> Result<String, Failure> {
        let (first, bytes) = self.value()?;
        Ok(if bytes > first.len() as u64 { format!("{first} ({bytes} bytes)") } else { first })
    }

    fn value(&mut self) -> Result<(String, u64), Failure> {
        let port = self.port;
        let failed = |error: std::io::Error| format!("port {port}: {error}");
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(failed)?;
        let line = line.trim_end();
        let (kind, text) = line.split_at_checked(1).ok_or("the connection has ended")?;
        let mut bytes = line.len() as u64;
        let count: u64 = text.parse().unwrap_or(0);
        match kind {
            "$" if !text.starts_with('-') => {
                let mut body = (&mut self.reader).take(count + 2);
                bytes += std::io::copy(&mut body, &mut std::io::sink()).map_err(failed)?;
            }
            "*" => {
                for _ in 0..count {
                    bytes += self.value()?.1;
                }
            }
            _ => {}
        }
        Ok((line.into(), bytes))
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        self.send(words)?;
        self.answer()
    }

    /// Asks the same so many times at once; the last answer, or the first that is an error.
    pub(super) fn pipelined(&mut self, times: usize, words: &[&[u8]]) -> Result<String, Failure> {
        for _ in 0..times {
            self.send(words)?;
        }
        let mut last = String::new();
        for _ in 0..times {
            let answer = self.answer()?;
            if !last.starts_with('-') {
                last = answer;
            }
        }
        Ok(last)
    }
}
