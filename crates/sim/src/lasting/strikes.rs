//! How each fault strikes, and is put right.

use wal::Disk as _;

use super::{BEGIN, DATA_LATE, Lasting, Ordeal, START_TIME};
use crate::membership::find_holder;
use crate::network::{Condition, Purpose};
use crate::operators::holder_of;
use crate::world::{MILLISECOND, SECOND, World};

/// How long a starved process waits for the processor.
const STARVED: (u64, u64) = (20 * MILLISECOND, 150 * MILLISECOND);
/// How far a wrong wall clock is off at most, in hours.
const HOURS_OFF: u64 = 25;

impl Ordeal {
    /// Most often it is a holder that the fault is about, or the manager.
    pub(super) fn choose_holder(&mut self, world: &mut World) {
        let manages = matches!(self.kind, Lasting::ManagerCut | Lasting::ManagerAside);
        let first = u64::from(!manages);
        let last = if manages { 0 } else { self.probes.len() as u64 };
        let shard = types::ShardId(self.random.between(first.min(last), last) as u32);
        let holder = holder_of(world, shard).filter(|_| manages || self.random.permille(800));
        let Some(holder) = holder else { return };
        self.node = holder;
        if self.other == holder {
            self.other = (holder + 1) % world.len();
        }
    }

    /// Nodes at which each shard's clients must be served: those that can reach a quorum of it.
    pub(super) fn choose_homes(&mut self, world: &mut World) {
        let all = 0..world.len();
        let (node, other) = (self.node, self.other);
        for at in 0..self.probes.len() {
            let homes: Vec<usize> = match self.kind {
                Lasting::PairCut
                | Lasting::ManagerCut
                | Lasting::WallWrong
                | Lasting::WallsApart
                | Lasting::AllCopiedBack => all.clone().collect(),
                Lasting::NoQuorum => vec![node],
                Lasting::ManagerAside => {
                    let shard = types::ShardId(self.probes[at].shard as u32);
                    let voters = find_holder(world, shard).map(|(_, view)| view.voters);
                    let voters = voters.unwrap_or_default();
                    let aside = |at: &usize| *at == node || *at == other;
                    let inside = voters.iter().filter(|voter| aside(&(voter.0 as usize - 1)));
                    let inside = inside.count() > voters.len() / 2;
                    all.clone().filter(|at| aside(at) == inside).collect()
                }
                Lasting::Deaf
                | Lasting::PortClosed
                | Lasting::Mute
                | Lasting::PriorityStalled
                | Lasting::DataStalled
                | Lasting::LargeLost
                | Lasting::SlowDisk
                | Lasting::StalledDisk
                | Lasting::DataLate
                | Lasting::Starved
                | Lasting::BitRot
                | Lasting::CopiedBack => all.clone().filter(|at| *at != node).collect(),
            };
            self.probes[at].homes = homes;
        }
    }

    /// Whether every node is heard by all but one, so that no replica may be replaced.
    pub(super) fn keeps_replicas(&self) -> bool {
        matches!(self.kind, Lasting::PairCut | Lasting::ManagerCut) && !self.dark
    }

    /// The next step of a fault that goes in steps.
    pub(super) fn go_on(&mut self, world: &mut World) {
        let node = self.node;
        let step = self.step;
        self.step += 1;
        self.next_step = u64::MAX;
        let now = world.now();
        match (self.kind, step) {
            (Lasting::BitRot, 0) => {
                self.rot(world);
                self.next_step = now + self.random.between(1, 2000) * MILLISECOND;
            }
            (Lasting::BitRot, 1..=3) => {
                let power = self.random.permille(500);
                world.kill(node, power);
                self.next_step = now + self.random.between(2, 15) * SECOND;
            }
            (Lasting::CopiedBack, 0) => {
                world.copy_disk(node);
                self.next_step = now + self.random.between(3, 20) * SECOND;
            }
            (Lasting::CopiedBack, 1 | 2) => {
                // What nobody has heard of can't be missed.
                if world.machines[node].process.is_some() {
                    world.machines[node].went_back = world.machines[node].copy_is_old();
                    world.put_disk_back(node);
                }
                self.next_step = now + self.random.between(5, 20) * SECOND;
            }
            (Lasting::AllCopiedBack, 0) => self.next_step = BEGIN + 2 * SECOND,
            (Lasting::AllCopiedBack, 1) => {
                self.go_dark(world);
                (0..world.len()).for_each(|node| world.copy_disk(node));
                self.probes.iter_mut().for_each(|probe| probe.copied = probe.newest);
                self.next_step = now + self.random.between(10, 30) * SECOND;
            }
            (Lasting::AllCopiedBack, 2) => {
                self.go_dark(world);
                (0..world.len()).for_each(|node| world.put_disk_back(node));
                world.checker.forget();
                self.forgets = true;
                self.probes.iter_mut().for_each(|probe| probe.kept = Some(probe.copied));
            }
            _ => {}
        }
    }

    /// A bit is flipped somewhere in what a node's log has written, often near its end.
    fn rot(&mut self, world: &mut World) {
        let machine = &mut world.machines[self.node];
        let mut names = machine.disk.list().unwrap_or_default();
        names.sort();
        names.retain(|name| machine.disk.content(name).is_some_and(|it| used(&it) > 0));
        if names.is_empty() {
            return;
        }
        let name = names.swap_remove(self.random.index(names.len()));
        let used = used(&machine.disk.content(&name).unwrap_or_default());
        let near_end = self.random.permille(300);
        let first = if near_end { used.saturating_sub(600) } else { 0 };
        let offset = self.random.between(first, used - 1);
        let bit = self.random.between(0, 7) as u32;
        machine.disk.flip_bit(&name, offset, bit);
        machine.rotten = true;
        world.note(format_args!("bit {bit} of byte {offset} of {name} has flipped"));
    }

    /// All nodes lose their power, and have it again soon.
    pub(super) fn go_dark(&mut self, world: &mut World) {
        (0..world.len()).for_each(|node| world.kill(node, true));
        self.dark = true;
    }

    /// The power fails if it is time to. While nodes start the bound does not count.
    pub(super) fn look_for_power(&mut self, world: &mut World) {
        let now = world.now();
        if now >= self.blackout {
            self.blackout = u64::MAX;
            self.go_dark(world);
        }
        if !self.dark {
            return;
        }
        let off = |at: &usize| {
            let machine = &world.machines[*at];
            machine.process.is_none() && !machine.is_kept_off
        };
        self.dark = (0..world.len()).any(|at| off(&at));
        for probe in &mut self.probes {
            probe.acknowledged = [now + START_TIME; 2];
        }
    }

    fn set_wall_wrong(&mut self, world: &mut World, node: usize) {
        let hours = self.random.between(0, 2 * HOURS_OFF) as i64 - HOURS_OFF as i64;
        let now = world.now();
        world.machines[node].clock.jump_wall(now, hours * 3600 * SECOND as i64);
    }

    pub(super) fn strike(&mut self, world: &mut World, on: bool) {
        let (node, other) = (self.node, self.other);
        let peers: Vec<usize> = (0..world.len()).filter(|peer| *peer != node).collect();
        let condition = |bad| if on { bad } else { Condition::Fine };
        match self.kind {
            Lasting::Deaf => peers.iter().for_each(|peer| world.block(*peer, node, on)),
            Lasting::Mute => peers.iter().for_each(|peer| world.block(node, *peer, on)),
            Lasting::PairCut | Lasting::ManagerCut => {
                world.block(node, other, on);
                world.block(other, node, on);
            }
            Lasting::PortClosed => {
                for &peer in &peers {
                    for purpose in [Purpose::Priority, Purpose::Data] {
                        let cut = condition(Condition::Cut);
                        world.network.set_condition((peer, node), purpose, cut);
                        world.break_one(peer, node, purpose);
                    }
                }
            }
            Lasting::PriorityStalled | Lasting::DataStalled => {
                let stalled = condition(Condition::Stalled);
                let purpose = self.stalled_purpose();
                for &peer in &peers {
                    world.network.set_condition((node, peer), purpose, stalled);
                }
            }
            Lasting::LargeLost => {
                world.losses.large.insert(node, if on { 1400 } else { 0 });
            }
            Lasting::SlowDisk => {
                let time = self.random.between(300 * MILLISECOND, SECOND);
                let calm = world.machines[other].disk_profile.delay;
                world.machines[node].disk_profile.delay = if on { time } else { calm };
            }
            Lasting::StalledDisk => {
                world.machines[node].stalled_until = if on { u64::MAX / 2 } else { 0 };
            }
            Lasting::DataLate => {
                world.network.profile.data_delay = if on { DATA_LATE } else { 0 };
                keep_off(world, node, on);
            }
            Lasting::Starved => {
                world.machines[node].turn_wait = if on { STARVED } else { (0, 0) };
            }
            Lasting::WallWrong if on => self.set_wall_wrong(world, node),
            Lasting::WallsApart if on => {
                (0..world.len()).for_each(|node| self.set_wall_wrong(world, node));
            }
            Lasting::ManagerAside => {
                let outside = peers.iter().copied().filter(|peer| *peer != other);
                for (a, b) in outside.flat_map(|peer| [(node, peer), (other, peer)]) {
                    world.block(a, b, on);
                    world.block(b, a, on);
                }
            }
            // Nobody sets the clocks right; the others go in steps.
            Lasting::WallWrong
            | Lasting::WallsApart
            | Lasting::BitRot
            | Lasting::CopiedBack
            | Lasting::AllCopiedBack => {}
            Lasting::NoQuorum => peers.iter().for_each(|peer| keep_off(world, *peer, on)),
        }
    }

    fn stalled_purpose(&self) -> Purpose {
        if self.kind == Lasting::PriorityStalled { Purpose::Priority } else { Purpose::Data }
    }

    /// Whoever writes on a connection that is stuck gives it up after a while, and makes a new one.
    pub(super) fn renew_connections(&self, world: &mut World) {
        if matches!(self.kind, Lasting::PriorityStalled | Lasting::DataStalled) {
            for peer in (0..world.len()).filter(|peer| *peer != self.node) {
                world.break_one(self.node, peer, self.stalled_purpose());
            }
        }
    }
}

/// A node's power fails, and does not come back before it may.
fn keep_off(world: &mut World, node: usize, on: bool) {
    world.machines[node].is_kept_off = on;
    if on {
        world.kill(node, true);
    }
}

/// Bytes of a file up to the last one that is not zero.
fn used(content: &[u8]) -> u64 {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}
