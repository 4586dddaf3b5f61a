//! What is chosen and claimed, as tables; the whole path is tested with real processes.

use types::{DirectoryId, Incarnation, SegmentId};

use super::*;
use crate::bytes_codec::{Put, Take};
use crate::founding::Remembered;
use crate::io::Origin;
use crate::member::Member;
use crate::raft_group::Seat;
use crate::record::Record;
use crate::recovery::{Recovery, first_replicas};
use crate::settings::Settings;

/// Replicas as `2` (node 2, seat 0), `2s5` (seat 5), `2d7` (a directory that is no founder's).
fn replica(text: &str) -> ReplicaId {
    let at = text.find(['s', 'd']).unwrap_or(text.len());
    let (node, rest) = text.split_at(at);
    let number = |mark: char| rest.strip_prefix(mark).and_then(|rest| rest.parse().ok());
    ReplicaId {
        node: NodeId(node.parse().expect("a node")),
        directory: DirectoryId(number('d').unwrap_or(0)),
        seat: Seat(number('s').map_or(0, |seat: u32| seat as u16)),
    }
}

fn replicas(text: &str) -> Vec<ReplicaId> {
    text.split(' ').map(replica).collect()
}

/// A directory with one copy: `2 3.17 1 2 3|1 2 4` is node 2's, ends with term 3 and index 17, and
/// needs majorities of these sets of voters. A mark behind the node: `!` cut, `-` not usable.
fn survey(text: &str) -> Survey {
    let (copy, voters) = text.split_once("; ").expect("a copy and its voters");
    let (name, end) = copy.split_once(' ').expect("a replica and its end");
    let (term, index) = end.split_once('.').expect("a term and an index");
    let is_cut = name.ends_with('!');
    let replica = replica(name.trim_end_matches(['!', '-']));
    let copy = Copy {
        shard: ShardId(1),
        range: SlotRange::ALL,
        last: (Term(term.parse().expect("a term")), LogIndex(index.parse().expect("an index"))),
        replica,
        voters: voters.split('|').map(replicas).collect(),
    };
    let usable = !name.ends_with('-');
    Survey {
        node: replica.node,
        cluster: ClusterId(1),
        copies: if usable { alloc::vec![copy] } else { Vec::new() },
        unusable: if usable { Vec::new() } else { alloc::vec![ShardId(1)] },
        unreadable: Vec::new(),
        is_cut,
        start: Start { directory: replica.directory, ..Start::default() },
        memories: BTreeMap::new(),
        planted: Plantings::default(),
    }
}

#[test]
fn the_copy_that_an_election_would_choose_is_taken_and_a_majority_is_said_to_be_one() {
    // The directories; the node whose copy is taken; whether nothing acknowledged is missing.
    let table = [
        (&["1 3.17; 1 2 3"][..], 1, false),
        (&["1 3.17; 1 2 3", "2 3.16; 1 2 3"], 1, true),
        (&["1 3.17; 1 2 3", "2 3.18; 1 2 3"], 2, true),
        // A longer log of an earlier term is one that was overruled.
        (&["1 3.99; 1 2 3", "2 4.18; 1 2 3"], 2, true),
        // Of equal ones any.
        (&["3 4.18; 1 2 3", "2 4.18; 1 2 3"], 3, true),
        (&["1 3.17; 1 2 3 4 5", "5 3.17; 1 2 3 4 5"], 1, false),
        (&["1 3.17; 1 2 3 4 5", "5 3.17; 1 2 3 4 5", "4 2.1; 1 2 3 4 5"], 1, true),
        // A single replica is a majority of itself; half of an even number is none.
        (&["1 3.17; 1"], 1, true),
        (&["1 3.17; 1 2 3 4", "2 3.17; 1 2 3 4"], 1, false),
        // What counts are the voters that the taken copy names: node 3 was removed since.
        (&["3 3.17; 1 2 3", "1 4.20; 1 2 4"], 1, false),
        (&["3 3.17; 1 2 3", "1 4.20; 1 2 4", "4 4.2; 1 2 4"], 1, true),
        // A learner has what the leader sent it, and no vote.
        (&["4 3.20; 1 2 3", "1 3.17; 1 2 3"], 4, false),
        (&["4 3.20; 1 2 3", "1 3.17; 1 2 3", "2 3.1; 1 2 3"], 4, true),
        // Another seat, or another directory, is another replica.
        (&["1 3.17; 1 2s5 3", "2 3.17; 1 2s5 3"], 1, false),
        (&["1 3.17; 1 2s5 3", "2s5 3.17; 1 2s5 3"], 1, true),
        (&["1 3.17; 1 2d7 3", "2 3.17; 1 2d7 3"], 1, false),
        (&["1 3.17; 1 2d7 3", "2d7 3.17; 1 2d7 3"], 1, true),
        // Where a change is under way each configuration, and each half of it, counts.
        (&["1 3.17; 1 2 3|1 2 4", "2 3.17; 1 2 3|1 2 4"], 1, true),
        (&["1 3.17; 1 2 3|1 3 4", "2 3.17; 1 2 3"], 1, false),
        // A copy that was removed, or that has not arrived, is none.
        (&["1 3.17; 1 2 3", "2- 9.99; 1 2 3"], 1, false),
        // A directory that has lost its end can be the newest there is, and proves nothing.
        (&["1! 3.17; 1 2 3", "2 3.16; 1 2 3"], 1, false),
        (&["1! 3.17; 1 2 3", "2 3.16; 1 2 3", "3 3.1; 1 2 3"], 1, true),
    ];
    for (directories, node, complete) in table {
        let surveys: Vec<Survey> = directories.iter().map(|text| survey(text)).collect();
        let choices = choose(&surveys);
        let [choice] = choices.as_slice() else { panic!("one shard: {directories:?}") };
        let taken = (surveys[choice.from].node, choice.is_complete);
        assert_eq!(taken, (NodeId(node), complete), "{directories:?}");
    }
}

#[test]
fn who_is_here_of_the_voters_is_named() {
    let all = ["1 3.17; 1 2 3 4 5", "5! 3.17; 1 2 3 4 5", "4 2.1; 1 2 3 4 5", "9 1.1; 1 2 3"];
    let choices = choose(&all.map(survey));
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    assert_eq!(numbers(&choices[0].voters), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&choices[0].present), [1, 4]);
}

#[test]
fn a_directory_of_which_another_remembers_more_counts_for_no_majority() {
    let (mut old, mut other) = (survey("2d7 3.17; 1 2d7 3"), survey("1 3.16; 1 2d7 3"));
    old.start = Start { incarnation: Incarnation(4), log_end: 50, ..old.start };
    let complete = |old: &Survey, other: &Survey| {
        let choices = choose(&[old.clone(), other.clone()]);
        assert_eq!(choices[0].from, 0);
        choices[0].is_complete
    };
    let memory = |directory, incarnation, durable| Memory {
        directory: DirectoryId(directory),
        incarnation: Incarnation(incarnation),
        durable,
        ..Memory::default()
    };
    for (memory, known_older) in [
        (memory(7, 4, 50), false),
        (memory(7, 3, 40), false),
        (memory(7, 4, 51), true),
        (memory(7, 5, 50), true),
        // Of another directory that the node has had.
        (memory(8, 9, 99), false),
    ] {
        other.memories.insert(NodeId(2), memory);
        assert_eq!(old.is_older_than_remembered(&other), known_older, "{memory:?}");
        assert_eq!(complete(&old, &other), !known_older, "{memory:?}");
    }
}

#[test]
fn slots_without_a_copy_are_found() {
    let choice = |(shard, first, last)| Choice {
        shard: ShardId(shard),
        range: SlotRange::new(slot(first), slot(last)).expect("a range"),
        from: 0,
        last: (Term(1), LogIndex(1)),
        voters: Vec::new(),
        present: Vec::new(),
        is_complete: true,
    };
    for (there, missing) in [
        (&[][..], &["0-16383"][..]),
        // The system shard's slot is that of clients' keys, too, in another shard.
        (&[(0, 0, 0)], &["0-16383"]),
        (&[(1, 0, 16383)], &[]),
        (&[(2, 8192, 16383), (1, 0, 8191)], &[]),
        (&[(2, 100, 200), (4, 300, 16000)], &["0-99", "201-299", "16001-16383"]),
        (&[(1, 0, 99)], &["100-16383"]),
    ] {
        let choices: Vec<Choice> = there.iter().copied().map(choice).collect();
        let found: Vec<String> = missing_slots(&choices).iter().map(ToString::to_string).collect();
        assert_eq!(found, missing, "{there:?}");
    }
}

fn slot(number: u16) -> Slot {
    Slot::new(number).expect("a slot")
}

#[test]
fn orders_are_told_as_commands() {
    let mut control = Control::default();
    assert!(orders(&control).is_empty());
    control.policy.set("calm", 0.25).expect("a setting");
    control.pins.insert(ShardId(3), Pin::Node(NodeId(1)));
    control.pins.insert(ShardId(4), Pin::Zone { region: "eu".into(), zone: "a".into() });
    control.frozen = true;
    let expected = ["policy calm 0.25", "pin 3 --node 1", "pin 4 --zone eu/a", "freeze"];
    assert_eq!(orders(&control), expected);
}

/// A node's directory with the shards of a new cluster; behind the beginning of one of them stands
/// an entry of this kind that says nothing that is known.
fn with_nonsense_in(shard: ShardId, kind: u8) -> Recovered {
    let members = (1..=3).map(|node| Member::new(NodeId(node), "h", 1, 2)).collect();
    let mut payload = Vec::new();
    let remembered = Remembered { origin: Origin::Founder, ..Remembered::default() };
    Record::Origin { remembered }.encode(&mut payload);
    for (shard, state) in first_replicas(&Settings::new(NodeId(1), members)) {
        Record::State { shard, state }.encode(&mut payload);
    }
    let mut entry = alloc::vec![kind];
    entry.put_var(1);
    entry.put_var(2);
    entry.put_bytes(b"\xff\xff nonsense");
    let entry = LogEntry::decode(&mut Take::new(&entry)).expect("it has the form of one");
    Record::Entry { shard, entry }.encode(&mut payload);
    let mut recovery = Recovery::new(1);
    recovery.absorb(SegmentId(1), &payload).expect("its records are known");
    recovery.finish(Start::default()).expect("nothing is missing")
}

#[test]
fn what_can_not_be_read_of_one_shard_takes_no_other_one_along() {
    let (normal, change) = (0, 2);
    // An entry that can't be applied: the orders are not known, the data are.
    let mut recovered = with_nonsense_in(ShardId::SYSTEM, normal);
    let survey = recovered.survey(NodeId(1));
    assert_eq!((survey.copies.len(), survey.unreadable.len()), (17, 0));
    assert!(recovered.salvage(ShardId::SYSTEM).expect("it is there").is_err());
    assert!(recovered.salvage(ShardId(1)).expect("it is there").is_ok());
    // A change of the replicas that can't be read: of this shard nobody can say whose copies count.
    for shard in [ShardId::SYSTEM, ShardId(3)] {
        let survey = with_nonsense_in(shard, change).survey(NodeId(1));
        assert_eq!((survey.copies.len(), survey.unreadable.as_slice()), (16, &[shard][..]));
    }
}
