//! What clients that know Redis Cluster are told of who serves what.
#![allow(missing_docs)]

mod support;

use support::World;
use types::NodeId;

#[test]
fn each_holder_is_listed_first_without_replicas_in_changing_order() {
    let mut world = World::new(3, 4);
    world.advance(3000);
    let mut firsts = Vec::new();
    for _ in 0..3 {
        let session = world.connect(NodeId(1));
        let reply = world.ask(NodeId(1), session, "CLUSTER SLOTS");
        assert!(reply.starts_with("*4\r\n*3\r\n:"), "{reply}");
        firsts.push(reply.lines().nth(2).expect("a slot").to_owned());
    }
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts.len(), 3, "{firsts:?}");
    let session = world.connect(NodeId(1));
    let info = world.ask(NodeId(1), session, "CLUSTER INFO");
    assert!(info.contains("cluster_state:ok\r\n"), "{info}");
}
