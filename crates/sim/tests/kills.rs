//! Every node dies at every event of a hand-over, and at those of its own steps of a replica's way
//! from one node to another that follow a change of what the replicas show. `sim --kill-everywhere`
//! has more of the latter.

use sim::{Extent, Story, kill_everywhere};

fn nothing_breaks(story: Story, extent: Extent) {
    let tally = kill_everywhere(story, extent);
    assert!(tally.broken.is_empty(), "{}", tally.broken.join("\n"));
    assert!(tally.told > 50, "{tally:?}");
}

#[test]
fn a_lease_is_handed_over_whoever_dies_at_whatever_step() {
    nothing_breaks(Story::HandOver, Extent::Everything);
}

#[test]
fn a_replica_moves_whoever_dies_at_whatever_step() {
    nothing_breaks(Story::Move, Extent::Changes);
}
