//! One question to a server that speaks the Redis protocol, and its answer as text.

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
