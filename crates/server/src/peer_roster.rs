//! Who the other nodes are, and which process may speak for one of them.
//!
//! The list in the settings is in force until the core has another one. It alone decides whom
//! this node dials and whom it lets in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use cluster::Member;
use types::limits::NODES_MAX;
use types::{Incarnation, Life, Monotonic, NodeId};

use crate::peer_frame::Greeting;
use crate::peer_link::PeerAddress;

/// A refusal that is repeated is logged again after this time.
const REMINDER_TIME: Duration = Duration::from_secs(60);

/// A node that is not known as a member may be about to join, or this one to hear that it has: a
/// refusal is worth a line when it goes on for so long.
const STRANGER_TIME: Duration = Duration::from_secs(2);

/// One process of a node, as far as others can tell it from a second one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    pub(crate) incarnation: Incarnation,
    /// Its life: copies of one directory count the same starts.
    pub(crate) life: Life,
    /// Where it dials from, if the system knows.
    pub(crate) host: Option<IpAddr>,
}

/// What a new list of members asks of the transport.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changes {
    /// Nodes to talk to no more.
    pub(crate) gone: Vec<NodeId>,
    /// Nodes to dial: new ones, and those that are somewhere else now.
    pub(crate) dial: Vec<PeerAddress>,
}

/// The other nodes of the cluster.
pub(crate) struct Roster {
    node: NodeId,
    cluster: String,
    peers: BTreeMap<NodeId, PeerAddress>,
    /// Where the settings say that nodes are.
    hints: BTreeMap<NodeId, (String, u16)>,
    /// What was last logged about refused nodes, so that one that goes on asking fills no log.
    refused: BTreeMap<NodeId, (String, Monotonic)>,
    /// Since when nodes are refused that are no members.
    strangers: BTreeMap<NodeId, Monotonic>,
    /// Nodes that were members once: that they ask is no news.
    gone: BTreeSet<NodeId>,
}

impl Roster {
    /// A cluster of which nobody is known yet.
    /// `settings` says where nodes may be, too: addresses change while nodes are down.
    pub(crate) fn new(node: NodeId, cluster: String, settings: &[Member]) -> Self {
        let hint = |member: &Member| (member.node, (member.host.clone(), member.peer_port));
        let hints = settings.iter().map(hint).collect();
        Self {
            node,
            cluster,
            peers: BTreeMap::new(),
            hints,
            refused: BTreeMap::new(),
            strangers: BTreeMap::new(),
            gone: BTreeSet::new(),
        }
    }

    /// Takes a new list of members.
    pub(crate) fn change(&mut self, members: &[Member]) -> Changes {
        let mut changes = Changes::default();
        let others = members.iter().filter(|member| member.node != self.node);
        // The core has no more members than that; there are no sockets for more.
        let others = others.take(NODES_MAX);
        let listed: BTreeMap<NodeId, &Member> = others.map(|it| (it.node, it)).collect();
        self.peers.retain(|node, _| {
            let stays = listed.contains_key(node);
            if !stays {
                changes.gone.push(*node);
            }
            stays
        });
        // Numbers of nodes are never used again, but there is no end of them.
        if self.gone.len() >= NODES_MAX {
            self.gone.clear();
        }
        self.gone.extend(&changes.gone);
        for (node, member) in listed {
            let listed = (member.host.clone(), member.peer_port);
            let hint = self.hints.get(&node).filter(|hint| **hint != listed).cloned();
            let (host, port) = listed;
            let address = PeerAddress { node, host, port, hint };
            match self.peers.get_mut(&node) {
                Some(known) if *known == address => continue,
                Some(known) => *known = address.clone(),
                None => {
                    self.peers.insert(node, address.clone());
                }
            }
            changes.dial.push(address);
        }
        changes
    }

    /// Whether a node is welcome. `present` is a process of the same node that is connected and
    /// has been heard lately: one that is alive is not replaced, or two processes with one number
    /// would take each other's place in turn. Whether a process is older than one that was here
    /// before is the core's to judge: it tells it so.
    pub(crate) fn judge(
        &self,
        greeting: &Greeting,
        process: Process,
        present: Option<Process>,
    ) -> Result<(), String> {
        let Greeting { from, to, cluster, .. } = greeting;
        let (own, from, to) = (self.node.0, from.0, to.0);
        if *cluster != self.cluster {
            return Err(format!(
                "node {own} belongs to cluster `{}`, not to `{cluster}`: give all nodes of a \
                 cluster the same `cluster`, or correct the address in `members`",
                self.cluster
            ));
        }
        if to != own {
            return Err(format!(
                "this is node {own}, not node {to}: correct the address of node {to} in \
                 `members`, or the setting `node` of the process at this address"
            ));
        }
        if from == own {
            return Err(format!(
                "this is node {from} itself, and another process has the same number: give each \
                 its own `node`"
            ));
        }
        if !self.peers.contains_key(&greeting.from) {
            return Err(format!(
                "node {own} does not know node {from} as a member of the cluster: let it join \
                 (LEASEHOLD JOIN at any member), or, in a new cluster, list it in `members` on \
                 every node; if it was removed, start it with another number and an empty directory"
            ));
        }
        if let Some(other) = present.filter(|other| *other != process) {
            let place = other.host.map_or_else(String::new, |host| format!(" at {host}"));
            return Err(format!(
                "another process of node {from}{place} is running and connected: two processes \
                 must not share a number; stop one of them, or give this one its own `node`"
            ));
        }
        Ok(())
    }

    /// A node was let in.
    pub(crate) fn admit(&mut self, node: NodeId) {
        self.refused.remove(&node);
        self.strangers.remove(&node);
    }

    /// Whether a refusal is worth a line in the log: the same one is so only now and then.
    pub(crate) fn is_news(&mut self, node: NodeId, reason: &str, now: Monotonic) -> bool {
        if !self.peers.contains_key(&node) {
            // Numbers can be made up without end.
            if self.strangers.len() >= NODES_MAX {
                self.strangers.clear();
            }
            let since = *self.strangers.entry(node).or_insert(now);
            if now.since(since) < STRANGER_TIME || self.gone.contains(&node) {
                return false;
            }
        }
        let told = self
            .refused
            .get(&node)
            .is_some_and(|(before, at)| before == reason && now.since(*at) < REMINDER_TIME);
        if !told {
            // Numbers can be made up without end.
            if self.refused.len() >= NODES_MAX {
                self.refused.clear();
            }
            self.refused.insert(node, (reason.to_owned(), now));
        }
        !told
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::peer_frame::Purpose;

    fn members(list: &str) -> Vec<Member> {
        list.split(' ').map(|it| it.parse().expect("the list is valid")).collect()
    }

    fn roster() -> Roster {
        let mut roster = Roster::new(NodeId(1), String::from("leasehold"), &[]);
        let changes = roster.change(&members("1=a:1:2 2=b:1:2 3=c:1:2"));
        assert_eq!(nodes(&changes.dial), [2, 3]);
        roster
    }

    fn nodes(addresses: &[PeerAddress]) -> Vec<u32> {
        addresses.iter().map(|address| address.node.0).collect()
    }

    fn greeting(from: u32) -> Greeting {
        Greeting {
            purpose: Purpose::Data,
            from: NodeId(from),
            to: NodeId(1),
            incarnation: Incarnation(7),
            life: Life(1),
            cluster: String::from("leasehold"),
        }
    }

    fn process(incarnation: u64, host: u8) -> Process {
        let host = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)));
        Process { incarnation: Incarnation(incarnation), life: Life(1), host }
    }

    #[test]
    fn the_same_list_changes_nothing() {
        let list = members("1=a:1:2 2=b:1:2 3=c:1:2");
        assert_eq!(roster().change(&list), Changes::default());
        let renamed = members("1=x:1:2 2=b:9:2;name=ada 3=c:1:2;role=manager");
        assert_eq!(roster().change(&renamed), Changes::default(), "peers need none of this");
    }

    #[test]
    fn nodes_come_go_and_move() {
        let mut roster = roster();
        let changes = roster.change(&members("1=a:1:2 3=c:1:9 4=d:1:2"));
        assert_eq!(changes.gone, [NodeId(2)]);
        assert_eq!(nodes(&changes.dial), [3, 4]);
        assert_eq!(changes.dial[0].port, 9);
        let changes = roster.change(&members("1=a:1:2 2=b:1:2 3=c:1:9 4=other:1:2"));
        assert_eq!(changes.gone, []);
        assert_eq!(nodes(&changes.dial), [2, 4]);
        let changes = roster.change(&members("4=other:1:2"));
        assert_eq!(changes.gone, [NodeId(2), NodeId(3)], "even a list without this node counts");
        assert_eq!(changes.dial, []);
    }

    #[test]
    fn where_the_settings_say_that_a_node_is_is_tried_too() {
        let settings = members("1=a:1:2 2=new:1:9");
        let mut roster = Roster::new(NodeId(1), String::from("leasehold"), &settings);
        let changes = roster.change(&members("1=a:1:2 2=old:1:2 3=c:1:2"));
        let hints: Vec<_> = changes.dial.iter().map(|it| it.hint.clone()).collect();
        assert_eq!(hints, [Some((String::from("new"), 9)), None]);
        let changes = roster.change(&members("1=a:1:2 2=new:1:9 3=c:1:2"));
        assert_eq!(nodes(&changes.dial), [2], "the list was corrected");
        assert_eq!(changes.dial[0].hint, None);
    }

    #[test]
    fn a_node_is_let_in_once_it_is_a_member_and_not_afterwards() {
        let mut roster = roster();
        let refused = roster.judge(&greeting(4), process(7, 4), None).expect_err("not a member");
        assert!(refused.contains("LEASEHOLD JOIN"), "{refused}");
        roster.change(&members("1=a:1:2 2=b:1:2 4=d:1:2"));
        assert_eq!(roster.judge(&greeting(4), process(7, 4), None), Ok(()));
        assert!(roster.judge(&greeting(3), process(7, 3), None).is_err());
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let roster = roster();
        let ours = process(7, 2);
        let refused = |roster: &Roster, greeting: &Greeting, present, words: &[&str]| {
            let reason = roster.judge(greeting, ours, present).expect_err("a refusal");
            assert!(words.iter().all(|word| reason.contains(word)), "{words:?}: {reason}");
            assert!(reason.len() <= crate::peer_frame::REASON_BYTES_MAX, "{reason}");
        };
        let other = Greeting { cluster: String::from("other"), ..greeting(2) };
        refused(&roster, &other, None, &["`leasehold`", "`other`", "same `cluster`"]);
        let wrong = Greeting { to: NodeId(5), ..greeting(2) };
        refused(&roster, &wrong, None, &["this is node 1, not node 5", "`members`"]);
        refused(&roster, &greeting(1), None, &["same number", "its own `node`"]);
        let copy = Process { life: Life(2), ..ours };
        for second in [process(8, 2), process(6, 2), process(7, 9), copy] {
            refused(&roster, &greeting(2), Some(second), &["another process of node 2", "stop"]);
        }
        assert_eq!(roster.judge(&greeting(2), ours, Some(ours)), Ok(()), "it may dial anew");
    }

    #[test]
    fn a_node_that_goes_on_asking_is_logged_once_in_a_while() {
        let mut roster = roster();
        let at = |seconds| Monotonic::default() + Duration::from_secs(seconds);
        assert!(roster.is_news(NodeId(2), "no", at(1)));
        assert!(!roster.is_news(NodeId(2), "no", at(2)));
        assert!(roster.is_news(NodeId(2), "never", at(3)));
        assert!(roster.is_news(NodeId(3), "never", at(3)));
        assert!(!roster.is_news(NodeId(2), "never", at(62)));
        assert!(roster.is_news(NodeId(2), "never", at(63)));
        assert!(!roster.is_news(NodeId(4), "no", at(63)), "it may be about to join");
        assert!(roster.is_news(NodeId(4), "no", at(65)));
        roster.change(&members("1=a:1:2 3=c:1:2"));
        assert!(!roster.is_news(NodeId(2), "no", at(65)));
        assert!(!roster.is_news(NodeId(2), "no", at(99)), "it was removed, and goes on asking");
        for node in 100..10_000 {
            roster.is_news(NodeId(node), "no", at(70));
            assert!(roster.refused.len() <= NODES_MAX && roster.strangers.len() <= NODES_MAX);
        }
    }
}
