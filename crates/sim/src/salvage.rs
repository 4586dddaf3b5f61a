//! What could be saved from the disks of some of the nodes, held against what all of them know.
//!
//! All nodes lose their power at the same moment (in copies of their disks), and each set of disks
//! that may be left is salvaged. Where that claims to lack nothing acknowledged, it must have all
//! that any node has known to be committed; and what it makes of a log must be what the replicas
//! made of it.

use cluster::Recovered;
use cluster::salvage::{Survey, choose};
use types::Slot;

use crate::situations::{SALVAGED_ALL, SALVAGED_IN_PART};
use crate::world::World;

/// The rule.
const RULE: &str = "salvage has what it says";
/// Most disks of which all sets are looked at.
const DISKS_MAX: usize = 7;

/// Judges salvage at this moment.
pub(crate) fn judge(world: &mut World, slots: &[Slot]) {
    let mut found: Vec<(Survey, Recovered)> = Vec::new();
    let now = world.now();
    for node in 0..world.len() {
        let recovered = match world.machines[node].salvaged_disk(now) {
            Ok(recovered) => recovered,
            Err(text) => return world.checker.report(now, RULE, text),
        };
        let Some(recovered) = recovered else { continue };
        match recovered.survey(world.node_id(node)) {
            Ok(survey) => found.push((survey, recovered)),
            Err(error) => return world.checker.report(now, RULE, format!("{error:?}")),
        }
    }
    found.truncate(DISKS_MAX);
    for set in 1..1_u32 << found.len() {
        let left = found.iter().enumerate().filter(|(at, _)| (set >> at) & 1 == 1);
        let left: Vec<Survey> = left.map(|(_, (survey, _))| survey.clone()).collect();
        judge_claims(world, &left);
    }
    judge_data(world, &mut found, slots);
}

/// Holds what is claimed of these directories against what is known to be committed.
fn judge_claims(world: &mut World, left: &[Survey]) {
    for choice in choose(left) {
        if !choice.is_complete {
            world.checker.saw(SALVAGED_IN_PART);
            continue;
        }
        world.checker.saw(SALVAGED_ALL);
        let committed = world.checker.committed(choice.shard);
        if choice.last.1 < committed {
            let nodes: Vec<_> = left.iter().map(|survey| survey.node).collect();
            let text = format!(
                "of {nodes:?} {} is said to lack nothing at {:?}, and {committed} is committed",
                choice.shard, choice.last
            );
            let now = world.now();
            world.checker.report(now, RULE, text);
        }
    }
}

/// Holds the data that come of the chosen copies against those of replicas at the same index.
fn judge_data(world: &mut World, found: &mut [(Survey, Recovered)], slots: &[Slot]) {
    let now = world.now();
    let surveys: Vec<Survey> = found.iter().map(|(survey, _)| survey.clone()).collect();
    for choice in choose(&surveys) {
        let Some(known) = world.checker.digest(choice.shard, choice.last.1) else { continue };
        let Some((survey, recovered)) = found.get_mut(choice.from) else { continue };
        let text = match recovered.salvage(choice.shard) {
            Some(Ok(salvaged)) if salvaged.digest(slots) == known => continue,
            Some(Ok(_)) => String::from("other data than those of the replicas"),
            Some(Err(error)) => format!("{error:?}"),
            None => String::from("no copy"),
        };
        let (shard, last, node) = (choice.shard, choice.last.1, survey.node);
        world.checker.report(now, RULE, format!("{shard} at {last} of {node}: {text}"));
    }
}
