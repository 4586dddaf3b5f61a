//! Which nodes a development cluster has. Nodes join and are removed while it runs, so `dev` writes
//! down what the cluster says of its members, and goes by that when it is started again.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use cluster::Member;

use super::documents::{NodeStatus, Status};
use crate::resp_client::RespClient;

/// The file, in the cluster's directory.
const FILE: &str = "members";
/// How long a node may take to say who belongs to the cluster: whoever runs `dev` waits for it.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// What was written down, if anything was.
///
/// # Errors
/// If the file can't be read, or holds something else.
pub(super) fn read(dir: &Path) -> io::Result<Option<Vec<Member>>> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let members = lines.map(str::parse::<Member>).collect::<Result<_, _>>();
    members.map(Some).map_err(|error| {
        io::Error::other(format!(
            "{} holds a line that is no member; it must be {error}. Remove the file to have the \
             nodes that `leasehold dev` began with",
            path.display()
        ))
    })
}

/// Writes them down.
///
/// # Errors
/// If the file can't be written.
pub(super) fn write(dir: &Path, members: &[Member]) -> io::Result<()> {
    let mut text = String::from("# Written by `leasehold dev`: the cluster's nodes, as it says.\n");
    for member in members {
        text += &format!("{member}\n");
    }
    fs::write(dir.join(FILE), text)
}

/// Forgets them.
///
/// # Errors
/// If the file can't be removed.
pub(super) fn forget(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What the cluster says now; nothing if the node doesn't answer, or no Lease Manager.
pub(super) fn ask(address: &str) -> Option<Vec<Member>> {
    let mut client = RespClient::connect(address, ANSWER_TIME).ok()?;
    let resp::Value::Bulk(text) = client.ask(&["LEASEHOLD", "STATUS"]).ok()? else { return None };
    let status = Status::parse(&String::from_utf8_lossy(&text)).ok()?;
    let members: Option<Vec<Member>> = status.nodes.iter().map(member).collect();
    members.filter(|members| !members.is_empty())
}

fn member(node: &NodeStatus) -> Option<Member> {
    let (_, peer_port) = node.peer_address.rsplit_once(':')?;
    let NodeStatus { node, address, name, role, locality, .. } = node;
    let locality =
        if locality.is_empty() { String::new() } else { format!(";locality={locality}") };
    format!("{node}={address}:{peer_port};name={name};role={role}{locality}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_from_the_status_and_are_read_as_they_were_written() {
        let status = Status::parse(include_str!("../../testdata/status.json")).expect("is valid");
        let members: Option<Vec<Member>> = status.nodes.iter().map(member).collect();
        let members = members.expect("all have addresses");
        assert_eq!(members.len(), 4);
        let dir = std::env::temp_dir().join(format!("leasehold-members-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a place for temporary files");
        assert!(read(&dir).expect("there is none").is_none());
        write(&dir, &members).expect("it can be written");
        assert_eq!(read(&dir).expect("it is there"), Some(members));
        fs::write(dir.join(FILE), "nonsense\n").expect("it can be written");
        assert!(read(&dir).is_err_and(|error| error.to_string().contains("Remove the file")));
        forget(&dir).expect("it can be removed");
        forget(&dir).expect("it is gone already");
        fs::remove_dir_all(&dir).expect("it is ours");
    }
}
