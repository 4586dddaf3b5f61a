//! Requests as they are read, responses as they are written, and the bounds on both.
//!
//! One request for each connection: nothing can hide behind the first one, and no idle connection
//! holds a thread. Reading a request as a whole has a deadline, so a client that sends a byte now
//! and then is no danger.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use types::Monotonic;

use crate::clock;

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most header lines.
const HEADERS_MAX: usize = 64;
/// Longest body of a request.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a request may take to arrive, and a response to be taken.
const TRANSFER_TIME: Duration = Duration::from_secs(10);
/// How long, and how far, a client that still sends is heard out, so that it can read why.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
const FAREWELL_BYTES_MAX: usize = 1 << 20;

/// A request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: String,
    /// What stands behind `Authorization: Bearer`.
    pub(super) bearer: Option<String>,
    pub(super) host: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer but this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) text: String,
    /// The methods that the path has, for 405.
    pub(super) allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), allow: None }
    }
}

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    allow: Option<String>,
}

impl Response {
    pub(super) fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, content_type, body: body.into(), allow: None }
    }

    pub(super) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new("application/json", body)
    }

    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let body = serde_json::json!({ "error": problem.text }).to_string() + "\n";
        Self { allow: problem.allow, ..Self::json(body).with_status(problem.status) }
    }
}

/// A stream whose reads and writes all together end at a deadline.
struct Until<'a> {
    stream: &'a TcpStream,
    deadline: Monotonic,
}

impl Until<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.since(clock::monotonic());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(bytes)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }
}

/// Reads a request. `None` if the client left, or was silent.
pub(super) fn read(stream: &TcpStream) -> Result<Option<Request>, Problem> {
    let mut until = Until { stream, deadline: clock::monotonic() + TRANSFER_TIME };
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let (mut request, length, head, expects) = loop {
        match until.read(&mut chunk) {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
            Ok(0) => return Err(Problem::new(400, "the request ends in its head")),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(_) => return Err(Problem::new(408, "the request did not arrive in time")),
        }
        let parsed = parse_head(&bytes)?;
        let head = parsed.as_ref().map_or(bytes.len(), |(_, _, head, _)| *head);
        if let Some(parsed) = parsed.filter(|_| head <= HEAD_BYTES_MAX) {
            break parsed;
        }
        if head > HEAD_BYTES_MAX {
            let text = format!("the head of the request is longer than {HEAD_BYTES_MAX} bytes");
            return Err(Problem::new(431, text));
        }
    };
    if length > BODY_BYTES_MAX {
        let text = format!("the body is longer than {BODY_BYTES_MAX} bytes");
        return Err(Problem::new(413, text));
    }
    let mut body = bytes.split_off(head.min(bytes.len()));
    if expects && body.len() < length {
        // If it can't be written, the body will not come.
        let _ = until.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    while body.len() < length {
        match until.read(&mut chunk) {
            Ok(0) => return Err(Problem::new(400, "the body is shorter than Content-Length")),
            Ok(count) => body.extend_from_slice(&chunk[..count]),
            Err(_) => return Err(Problem::new(408, "the request did not arrive in time")),
        }
    }
    body.truncate(length);
    request.body = body;
    Ok(Some(request))
}

/// The request without its body, the body's length, the head's, and whether the client waits to
/// be asked for the body. `None` if the head isn't complete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize, usize, bool)>, Problem> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            let text = format!("the request has more than {HEADERS_MAX} header lines");
            return Err(Problem::new(431, text));
        }
        Err(error) => return Err(Problem::new(400, format!("this is no HTTP request: {error}"))),
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    let (mut length, mut expects) = (None, false);
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let value = std::str::from_utf8(header.value).ok().map(str::trim);
        let value = value.ok_or_else(|| Problem::new(400, format!("`{name}` is not UTF-8")))?;
        let once = |place: &mut Option<String>| match place.replace(value.to_owned()) {
            Some(_) => Err(Problem::new(400, format!("`{name}` is given twice"))),
            None => Ok(()),
        };
        match name.as_str() {
            "host" => once(&mut request.host)?,
            "origin" => once(&mut request.origin)?,
            "content-type" => once(&mut request.content_type)?,
            "content-length" => once(&mut length)?,
            "authorization" => {
                let (scheme, password) = value.split_once(' ').unwrap_or((value, ""));
                if !scheme.eq_ignore_ascii_case("bearer") {
                    let text = "give the password as `Authorization: Bearer PASSWORD`";
                    return Err(Problem::new(401, text));
                }
                request.bearer = Some(password.trim_start().to_owned());
            }
            "transfer-encoding" => {
                return Err(Problem::new(411, "send the body whole, with Content-Length"));
            }
            "expect" => expects = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    let digits = length.unwrap_or_else(|| String::from("0"));
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number has is more than is allowed, too.
    let length = if plain { Some(digits.parse().unwrap_or(usize::MAX)) } else { None };
    let length = length.ok_or_else(|| Problem::new(400, "Content-Length is not a number"))?;
    Ok(Some((request, length, head, expects)))
}

/// Writes a response and ends the connection.
pub(super) fn write(stream: &TcpStream, response: &Response, head_only: bool) -> io::Result<()> {
    let mut until = Until { stream, deadline: clock::monotonic() + TRANSFER_TIME };
    let mut head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n",
        response.status,
        reason(response.status),
        response.content_type,
        response.body.len()
    );
    if response.status == 401 {
        head.push_str("WWW-Authenticate: Bearer\r\n");
    }
    if let Some(allow) = &response.allow {
        head.push_str(&format!("Allow: {allow}\r\n"));
    }
    head.push_str("\r\n");
    until.write_all(head.as_bytes())?;
    if !head_only {
        until.write_all(&response.body)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would take the response back.
    let mut until = Until { stream, deadline: clock::monotonic() + FAREWELL_TIME };
    let (mut chunk, mut heard) = ([0; 4096], 0);
    while heard < FAREWELL_BYTES_MAX {
        match until.read(&mut chunk)? {
            0 => break,
            count => heard += count,
        }
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Internal Server Error",
    }
}
