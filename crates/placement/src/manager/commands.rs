//! Commands: each is checked as a whole before anything changes.

use alloc::vec::Vec;

use types::limits::{NODES_MAX, REPLICAS_MAX, SHARDS_MAX};
use types::{Monotonic, NodeId, ShardId, SlotRange};

use super::Manager;
use crate::cluster::{NodeState, ShardState};
use crate::command::{Command, Duty, Generation, Pin, RefusedCommand};
use crate::locality::Locality;

impl Manager {
    /// Carries out a command of an operator, or takes in a change of the cluster.
    ///
    /// # Errors
    /// If the command makes no sense; nothing has changed then.
    pub fn command(&mut self, now: Monotonic, command: Command) -> Result<(), RefusedCommand> {
        match command {
            Command::Node { node, locality } => self.add_node(now, node, locality),
            Command::Forget(node) => self.forget(node),
            Command::Duty(node, duty) => self.set_duty(node, duty),
            Command::Shard { shard, range, replicas, generation } => {
                self.define_shard(now, shard, range, replicas, generation)
            }
            Command::DropShard(shard) => match self.cluster.shards.remove(&shard) {
                Some(_) => Ok(()),
                None => Err(RefusedCommand::UnknownShard(shard)),
            },
            Command::Pin(shard, pin) => self.set_pin(shard, pin),
            Command::Freeze(frozen) => {
                self.cluster.frozen = frozen;
                Ok(())
            }
        }
    }

    fn add_node(
        &mut self,
        now: Monotonic,
        node: NodeId,
        locality: Locality,
    ) -> Result<(), RefusedCommand> {
        if let Some(known) = self.cluster.nodes.get_mut(&node) {
            known.locality = locality;
            return Ok(());
        }
        if self.cluster.nodes.len() == NODES_MAX {
            return Err(RefusedCommand::TooManyNodes);
        }
        self.cluster.nodes.insert(node, NodeState::new(now, locality));
        Ok(())
    }

    fn forget(&mut self, node: NodeId) -> Result<(), RefusedCommand> {
        if !self.cluster.nodes.contains_key(&node) {
            return Err(RefusedCommand::UnknownNode(node));
        }
        let used = self.cluster.shards.iter().find(|(_, state)| {
            state.replicas.contains(&node)
                || state.replica_pending.is_some_and(|pending| pending.to == node)
        });
        if let Some((shard, _)) = used {
            return Err(RefusedCommand::StillUsed(node, *shard));
        }
        self.cluster.nodes.remove(&node);
        Ok(())
    }

    fn set_duty(&mut self, node: NodeId, duty: Duty) -> Result<(), RefusedCommand> {
        if !self.cluster.nodes.contains_key(&node) {
            return Err(RefusedCommand::UnknownNode(node));
        }
        if duty != Duty::Full {
            for (shard, state) in &self.cluster.shards {
                if !state.replicas.contains(&node) {
                    continue;
                }
                if state.pin == Some(Pin::Node(node)) {
                    return Err(RefusedCommand::PinnedThere(node, *shard));
                }
                if !state.replicas.iter().any(|other| *other != node && self.may_hold(*other)) {
                    return Err(RefusedCommand::LastReplica(node, *shard));
                }
            }
        }
        if let Some(state) = self.cluster.nodes.get_mut(&node) {
            state.duty = duty;
        }
        Ok(())
    }

    fn may_hold(&self, node: NodeId) -> bool {
        self.cluster.nodes.get(&node).is_some_and(|state| state.duty == Duty::Full)
    }

    fn define_shard(
        &mut self,
        now: Monotonic,
        shard: ShardId,
        range: SlotRange,
        replicas: Vec<NodeId>,
        generation: Generation,
    ) -> Result<(), RefusedCommand> {
        let twice = (1..replicas.len()).any(|at| replicas[..at].contains(&replicas[at]));
        if replicas.is_empty() || replicas.len() > REPLICAS_MAX || twice {
            return Err(RefusedCommand::BadReplicas(shard));
        }
        if let Some(node) = replicas.iter().find(|node| !self.cluster.nodes.contains_key(*node)) {
            return Err(RefusedCommand::UnknownNode(*node));
        }
        let known = self.cluster.shards.get(&shard);
        if let Some(known) = known.filter(|known| known.generation >= generation) {
            let same = known.generation == generation
                && known.range == range
                && known.replicas == replicas;
            let known = known.generation;
            return if same { Ok(()) } else { Err(RefusedCommand::OldGeneration { shard, known }) };
        }
        if known.is_none() && self.cluster.shards.len() == SHARDS_MAX {
            return Err(RefusedCommand::TooManyShards);
        }
        let shards = &mut self.cluster.shards;
        let state = shards.entry(shard).or_insert_with(|| ShardState::new(now, range));
        state.range = range;
        state.replicas = replicas;
        state.generation = generation;
        Ok(())
    }

    fn set_pin(&mut self, shard: ShardId, pin: Option<Pin>) -> Result<(), RefusedCommand> {
        let Some(state) = self.cluster.shards.get(&shard) else {
            return Err(RefusedCommand::UnknownShard(shard));
        };
        if let Some(pin) = &pin {
            let fits = |node: &&NodeId| {
                let known = self.cluster.nodes.get(*node);
                known.is_some_and(|known| pin.allows(**node, &known.locality))
            };
            let fit: Vec<NodeId> = state.replicas.iter().filter(fits).copied().collect();
            if !fit.iter().any(|node| self.may_hold(*node)) {
                let there = fit.first().map(|node| RefusedCommand::PinnedToDrained(*node, shard));
                return Err(there.unwrap_or(RefusedCommand::PinLeadsNowhere(shard)));
            }
        }
        if let Some(state) = self.cluster.shards.get_mut(&shard) {
            state.pin = pin;
        }
        Ok(())
    }
}
