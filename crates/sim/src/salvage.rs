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

/// What was read of the disks.
type Found = Vec<(Survey, Recovered)>;

/// Reads the disks of these nodes as they were if the power failed now.
///
/// # Errors
/// If a sound disk can't be read.
pub(crate) fn read(world: &World, nodes: impl Iterator<Item = usize>) -> Result<Found, String> {
    let mut found = Vec::new();
    for node in nodes {
        if let Some(recovered) = world.machines[node].salvaged_disk(world.now())? {
            let survey = recovered.survey(world.node_id(node));
            if !survey.unreadable.is_empty() {
                return Err(format!("{:?} of {} is unreadable", survey.unreadable, survey.node));
            }
            found.push((survey, recovered));
        }
    }
    Ok(found)
}

/// Judges salvage at this moment.
pub(crate) fn judge(world: &mut World, slots: &[Slot]) {
    let honest = (0..world.len()).filter(|node| !world.machines[*node].deceives_salvage());
    let mut found = match read(world, honest) {
        Ok(found) => found,
        Err(text) => return world.checker.report(world.now(), RULE, text),
    };
    found.truncate(DISKS_MAX);
    for set in 1..1_u32 << found.len() {
        let is_left = |at: usize| (set >> at) & 1 == 1;
        judge_claims(world, &found, is_left);
    }
    judge_data(world, &mut found, slots);
}

/// Holds what is claimed of some directories against what is known to be committed.
fn judge_claims(world: &mut World, found: &Found, is_left: impl Fn(usize) -> bool) {
    let places: Vec<usize> = (0..found.len()).filter(|at| is_left(*at)).collect();
    let left: Vec<Survey> = places.iter().map(|at| found[*at].0.clone()).collect();
    for choice in choose(&left) {
        if !choice.is_complete {
            world.checker.saw(SALVAGED_IN_PART);
            continue;
        }
        world.checker.saw(SALVAGED_ALL);
        let committed = world.checker.committed(choice.shard);
        // Where it differs, that of the latest term is the one that is committed.
        let term =
            |(_, recovered): &(Survey, Recovered)| recovered.term_of(choice.shard, committed);
        let own = term(&found[places[choice.from]]);
        let is_other = own.is_some() && own != found.iter().filter_map(term).max();
        if choice.last.1 < committed || is_other {
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
fn judge_data(world: &mut World, found: &mut Found, slots: &[Slot]) {
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
