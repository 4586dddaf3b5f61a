//! Servers, clients and folders that end with the values that own them.
//!
//! Each process leads a group of its own, so that Ctrl-C reaches only this program, which then
//! ends them in good order.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::interrupt;
use crate::Failure;
use crate::process::{show, wait};

/// How long a server may take to listen.
const START_TIME: Duration = Duration::from_secs(20);
/// How long a process may take to end when it is asked to.
const STOP_TIME: Duration = Duration::from_secs(12);
/// Ports of servers; below those that the system gives to clients, with room for the ports
/// 10000 above, where nodes of clusters talk to each other.
const PORT_FIRST: u16 = 17_000;
const PORT_LAST: u16 = 22_000;
const PEER_PORT_STEP: u16 = 10_000;

/// A folder that is removed with its value.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one with a name of its own.
    pub(super) fn new(parent: &Path, name: &str) -> Result<Self, Failure> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("leasehold-bench-{}-{number}-{name}", std::process::id()));
        let made = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
        made.map(Self).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed now can't be removed later either.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server's process.
pub(super) struct Server {
    child: Child,
}

impl Server {
    /// Starts it; what it prints goes to `log`.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| format!("`{}`: {error}", command_name(log, &error));
        let out = File::options().create(true).append(true).open(log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let spawned = command.spawn();
        let child = spawned.map_err(|error| format!("`{}`: {error}", show(command)))?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody listens at the port, or fails if the process ends before.
    pub(super) fn listens(&mut self, port: u16, log: &Path) -> Result<(), Failure> {
        let deadline = Instant::now() + START_TIME;
        loop {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                return Err(format!("nobody listens at port {port}:\n{}", last.join("\n")));
            }
            interrupt::pause(5 * interrupt::STEP)?;
        }
    }
}

fn command_name(log: &Path, error: &std::io::Error) -> String {
    format!("{} ({:?})", log.display(), error.kind())
}

impl Drop for Server {
    fn drop(&mut self) {
        // `leasehold dev` ends its nodes when it is asked to end.
        let _ = signal(self.pid(), "TERM");
        if !matches!(wait(&mut self.child, STOP_TIME), Ok(Some(_))) {
            // Both fail if it has ended just now.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal to a process that was started here, or by one that was.
pub(super) fn signal(pid: u32, name: &str) -> Result<(), Failure> {
    let mut kill = Command::new("kill");
    kill.args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null());
    crate::process::run(&mut kill)
}

/// A client that prints one line of JSON. Killed with its value if it runs still.
pub(super) struct Client {
    child: Child,
    shown: String,
    out: Option<thread::JoinHandle<String>>,
    err: Option<thread::JoinHandle<String>>,
}

impl Client {
    pub(super) fn start(command: &mut Command) -> Result<Self, Failure> {
        let shown = show(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.process_group(0).spawn();
        let mut child = spawned.map_err(|error| format!("`{shown}`: {error}"))?;
        let out = child.stdout.take().map(reader);
        let err = child.stderr.take().map(reader);
        Ok(Self { child, shown, out, err })
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for it, at most so long, and returns what it found.
    pub(super) fn finish(mut self, limit: Duration) -> Result<Value, Failure> {
        let deadline = Instant::now() + limit;
        while !self.has_ended() {
            if Instant::now() > deadline {
                return Err(format!("`{}` does not end", self.shown));
            }
            interrupt::pause(interrupt::STEP)?;
        }
        let text = |reader: Option<thread::JoinHandle<String>>| {
            reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let (out, err) = (text(self.out.take()), text(self.err.take()));
        let last = out.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
        serde_json::from_str(last).map_err(|_| {
            let said = format!("{}\n{}", out.trim(), err.trim());
            format!("`{}` failed: {}", self.shown, said.trim())
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail if it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The first of `count` ports in a row that nobody listens at now, nor 10000 above. Each call
/// gives others.
pub(super) fn free_ports(count: u16) -> Result<u16, Failure> {
    static NEXT: AtomicU16 = AtomicU16::new(PORT_FIRST);
    loop {
        let first = NEXT.fetch_add(count, Ordering::Relaxed);
        if first > PORT_LAST {
            return Err(format!("no {count} free ports between {PORT_FIRST} and {PORT_LAST}"));
        }
        let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..first + count).all(|port| is_free(port) && is_free(port + PEER_PORT_STEP)) {
            return Ok(first);
        }
    }
}
