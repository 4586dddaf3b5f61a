//! Leases on the move under load: clients notice nothing but a moment's wait.

use std::time::Duration;

use resp::Value;

use crate::support::{Cluster, Load, Plan, bulk, ok, wait_until};

/// Gives every shard's lease to the next node in turn, once.
fn move_every_lease(cluster: &Cluster) -> usize {
    let mut client = cluster.client(1);
    let holders = cluster.holders();
    for (shard, holder) in &holders {
        let target = holder.map_or(1, |holder| holder % 3 + 1);
        let reply = client.ask(&format!("LEASEHOLD TRANSFER {shard} {target}"));
        assert_eq!(reply, ok(), "shard {shard} from {holder:?} to {target}");
    }
    holders.len()
}

#[test]
fn no_request_fails_while_every_lease_moves_around() {
    let cluster = Plan::of(3).steady().start();
    for knows_topology in [false, true] {
        let time = Duration::from_secs(5);
        let load = Load::start(cluster.addresses(), cluster.directory(), time, |options| {
            options.cluster = knows_topology;
            options.stall_ranges = 16;
        });
        let moves: usize = (0..3).map(|_| move_every_lease(&cluster)).sum();
        let judged = load.finish();
        println!("{moves} transfers, clients with topology: {knows_topology}: {judged}");
        judged.assert_no_error();
    }
}

#[test]
fn a_transferred_lease_is_where_it_was_sent() {
    let cluster = Plan::of(3).steady().with("shards", "4").start();
    let mut client = cluster.client(2);
    for target in [1, 2, 3, 3, 1] {
        assert_eq!(client.ask(&format!("LEASEHOLD TRANSFER 2 {target}")), ok());
        assert_eq!(cluster.holders()[&2], Some(target));
    }
    for order in ["LEASEHOLD TRANSFER 99 1", "LEASEHOLD TRANSFER 1 9", "LEASEHOLD TRANSFER 1"] {
        let reply = client.ask(order);
        assert!(matches!(reply, Value::Error(_)), "{order}: {reply:?}");
    }
}

#[test]
fn a_pipeline_under_way_survives_the_transfer_of_its_shard() {
    let cluster = Plan::of(3).steady().with("transfer_time", "1s").with("shards", "1").start();
    let mut orders = cluster.client(1);
    let mut clients = [cluster.client(1), cluster.client(2), cluster.client(3)];
    let mut total = 0;
    for target in [2, 3, 1, 3, 2, 1] {
        for client in &mut clients {
            for _ in 0..200 {
                client.send("INCR counter");
            }
        }
        // A holder that is new doesn't know yet how far the others are: it says "try again". And a
        // target that began a moment ago may not stand yet: the lease stays where it was.
        wait_until("the lease is moved", || {
            let reply = orders.ask(&format!("LEASEHOLD TRANSFER 1 {target}"));
            let reasons = ["try again later", "by an election"];
            let may_be = |why: &String| reasons.iter().any(|reason| why.ends_with(reason));
            let again = matches!(&reply, Value::Error(why) if may_be(why));
            assert!(again || reply == ok(), "{reply:?}");
            !again
        });
        for client in &mut clients {
            let mut last = 0;
            for _ in 0..200 {
                let Value::Integer(count) = client.receive() else { panic!("no count") };
                assert!(count > last, "a pipeline's requests to a shard keep their order");
                last = count;
            }
        }
        total += 600;
        assert_eq!(orders.ask("GET counter"), bulk(&total.to_string()));
    }
}
