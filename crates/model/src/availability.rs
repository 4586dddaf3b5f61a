//! Whether a shard comes to a holder again, whatever fault lasts: from no reachable state may there
//! be no way to one that holds a lease and commits.
//!
//! This is a model of its own, without clocks, terms and counters, so that its paths have no end
//! that a bound made. Three voters, one shard. A *fault* closes some of the ways between the nodes
//! for good: those of one node or of one pair, of what is urgent or of data, of large messages
//! alone, in one direction or both. A promise lapses only where it is not renewed. Which fault
//! lasts may change once, in any state. Two nodes that reach each other in every way are left, so a
//! holder is possible.
//!
//! A search of all states, and one backwards from those that hold and commit, finds states without
//! a way back. It knows nothing of chance: a lease that goes round for ever has a way back each
//! time. That is for scenarios.

use std::collections::{BTreeSet, HashMap};

const NODES: usize = 3;

/// What is sent from one node to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    /// Beats, promises, votes, and words about who leads.
    Urgent,
    /// Small messages with data, and what acknowledges them.
    Data,
    /// Large messages with data.
    Large,
}

/// The ways that are closed, one bit for each pair and way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Fault(u32);

impl Fault {
    fn close(&mut self, from: usize, to: usize, way: Way) {
        self.0 |= 1 << ((from * NODES + to) * 3 + way as usize);
    }

    fn is_open(self, from: usize, to: usize, way: Way) -> bool {
        self.0 & 1 << ((from * NODES + to) * 3 + way as usize) == 0
    }

    /// Whether two nodes are left that reach each other in every way.
    fn leaves_a_quorum(self) -> bool {
        let ways = [Way::Urgent, Way::Data, Way::Large];
        let open = |a, b| ways.iter().all(|&way| self.is_open(a, b, way));
        [(0, 1), (0, 2), (1, 2)].into_iter().any(|(a, b)| open(a, b) && open(b, a))
    }

    /// All faults of one node and of one pair, and none, but for those that are mirror images.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = BTreeSet::from([Self::default()]);
        // Nodes 1 and 2 are alike.
        let ends: [&[usize]; 4] = [&[0], &[1], &[0, 1], &[1, 2]];
        let kinds: [&[Way]; 4] = [
            &[Way::Urgent],
            &[Way::Large],
            &[Way::Data, Way::Large],
            &[Way::Urgent, Way::Data, Way::Large],
        ];
        for (nodes, kind) in ends.into_iter().flat_map(|nodes| kinds.map(|kind| (nodes, kind))) {
            for directions in 1..4_u8 {
                let mut fault = Self::default();
                for (from, to) in (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b))) {
                    let out = nodes[0] == from && nodes.get(1).is_none_or(|&other| other == to);
                    let into = nodes[0] == to && nodes.get(1).is_none_or(|&other| other == from);
                    if from != to && (out && directions & 1 != 0 || into && directions & 2 != 0) {
                        kind.iter().for_each(|&way| fault.close(from, to, way));
                    }
                }
                all.insert(fault);
            }
        }
        all.into_iter().filter(|fault| fault.leaves_a_quorum()).collect()
    }
}

/// A rule of what nodes do for progress, broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breach {
    /// None.
    Nothing,
    /// A supporter renews its promise to a node that does not hear it.
    SupportTheDeaf,
    /// A leader that gets nowhere stays.
    LeadWithoutProgress,
    /// A leader that steps down does not release its followers.
    LeaveWithoutRelease,
    /// Who has stepped down never stands again, though nobody leads.
    NeverStandAgain,
    /// A promise that lapsed binds its giver for ever.
    BondOutlivesSupport,
}

/// A state. All is small, so that a set of all states is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct State {
    /// Who won the newest election; it may lead no more.
    newest: usize,
    /// Who leads, as it believes: one bit for each node.
    leads: u8,
    /// To whom each node is bound.
    bond: [Option<usize>; NODES],
    /// Whose promises each node has renewed: one bit for each asker.
    supports: [u8; NODES],
    /// Who has stepped down and stands last.
    last: u8,
    /// Who has, at the end of its log, what may not be committed: a longer log than the others.
    longer: u8,
    /// The newest leader has applied its lease record.
    applied: bool,
    /// A large write stands at the end of the newest leader's log, and is not committed.
    stuck: bool,
}

fn bit(node: usize) -> u8 {
    1 << node
}

fn others(node: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |other| *other != node)
}

impl State {
    /// Node 0 leads, all are bound to it.
    fn first() -> Self {
        Self {
            leads: bit(0),
            bond: [None, Some(0), Some(0)],
            supports: [0, bit(0), bit(0)],
            applied: true,
            ..Self::default()
        }
    }

    fn is_bound(&self, node: usize, breach: Breach) -> bool {
        self.bond[node].is_some_and(|leader| {
            self.supports[node] & bit(leader) != 0 || breach == Breach::BondOutlivesSupport
        })
    }

    /// Whether the newest leader has a lease: one other that is bound and whose promise reaches it.
    fn holds(&self, fault: Fault) -> bool {
        let leader = self.newest;
        self.leads & bit(leader) != 0
            && self.applied
            && others(leader).any(|node| {
                self.bond[node] == Some(leader)
                    && self.supports[node] & bit(leader) != 0
                    && fault.is_open(node, leader, Way::Urgent)
            })
    }

    /// Whether what it writes, large or small, is committed and known to be.
    fn commits(&self, fault: Fault) -> bool {
        let leader = self.newest;
        !self.stuck
            && others(leader).any(|node| {
                fault.is_open(leader, node, Way::Data)
                    && fault.is_open(leader, node, Way::Large)
                    && fault.is_open(node, leader, Way::Data)
            })
    }

    fn steps(&self, fault: Fault, breach: Breach, next: &mut Vec<Self>) {
        for from in 0..NODES {
            for to in others(from) {
                self.exchange(from, to, fault, breach, next);
            }
            self.elect(from, fault, breach, next);
        }
        self.write(fault, next);
        self.step_down(fault, breach, next);
    }

    /// What passes from one node to another.
    fn exchange(&self, from: usize, to: usize, fault: Fault, breach: Breach, next: &mut Vec<Self>) {
        // A beat, and the answer that the sender's next beat speaks of.
        let heard = fault.is_open(from, to, Way::Urgent);
        let hears = fault.is_open(to, from, Way::Urgent) || breach == Breach::SupportTheDeaf;
        let mut after = *self;
        if heard && hears {
            after.supports[to] |= bit(from);
        } else {
            after.supports[to] &= !bit(from);
            if after.bond[to] == Some(from) && breach != Breach::BondOutlivesSupport {
                after.bond[to] = None;
            }
        }
        next.push(after);
        let leads = self.newest == from && self.leads & bit(from) != 0;
        // Heartbeats are urgent; appends are not. Either makes a follower of its receiver.
        let urgent = fault.is_open(from, to, Way::Urgent);
        let data = fault.is_open(from, to, Way::Data);
        if leads && (urgent || data) {
            let mut after = *self;
            after.leads &= !bit(to);
            let supported = self.supports[to] & bit(from) != 0;
            after.bond[to] = supported.then_some(from);
            if data && (!self.stuck || fault.is_open(from, to, Way::Large)) {
                // It gets the leader's log, in the place of its own.
                after.longer = after.longer & !bit(to)
                    | if self.longer & bit(from) != 0 { bit(to) } else { 0 };
                if fault.is_open(to, from, Way::Data) {
                    (after.applied, after.stuck, after.longer) = (true, false, 0);
                }
            }
            next.push(after);
        }
        // Whoever is not the newest leader hears so from anybody: the third has voted for that one.
        if self.newest != to && self.leads & bit(to) != 0 && urgent {
            let mut after = *self;
            after.leads &= !bit(to);
            next.push(after);
        }
    }

    /// Somebody wins an election.
    fn elect(&self, candidate: usize, fault: Fault, breach: Breach, next: &mut Vec<Self>) {
        let leads = self.leads & bit(candidate) != 0;
        let someone = self.leads & bit(self.newest) != 0 && self.holds(fault);
        let waits =
            self.last & bit(candidate) != 0 && (someone || breach == Breach::NeverStandAgain);
        if leads || waits || self.is_bound(candidate, breach) {
            return;
        }
        for voter in others(candidate) {
            let heard = fault.is_open(candidate, voter, Way::Urgent)
                && fault.is_open(voter, candidate, Way::Urgent);
            let log = self.longer & bit(voter) == 0 || self.longer & bit(candidate) != 0;
            let free = match self.leads & bit(voter) != 0 {
                true => self.newest != voter || !self.holds(fault),
                false => !self.is_bound(voter, breach) || self.bond[voter] == Some(candidate),
            };
            if heard && log && free {
                let mut after = *self;
                after.newest = candidate;
                after.leads = after.leads & !bit(voter) | bit(candidate);
                (after.bond[candidate], after.bond[voter]) = (None, None);
                (after.applied, after.stuck) = (false, self.longer & bit(candidate) != 0);
                after.longer |= bit(candidate);
                next.push(after);
            }
        }
    }

    /// A client writes something large.
    fn write(&self, fault: Fault, next: &mut Vec<Self>) {
        let leader = self.newest;
        if self.holds(fault) && !self.stuck {
            next.push(Self { stuck: true, longer: self.longer | bit(leader), ..*self });
        }
    }

    /// The newest leader gets nowhere, and another could lead as far as it knows.
    fn step_down(&self, fault: Fault, breach: Breach, next: &mut Vec<Self>) {
        let leader = self.newest;
        if self.leads & bit(leader) == 0 || breach == Breach::LeadWithoutProgress {
            return;
        }
        let fresh = |node: usize| {
            self.supports[node] & bit(leader) != 0
                && fault.is_open(node, leader, Way::Urgent)
                && fault.is_open(leader, node, Way::Urgent)
        };
        // The others are enough without it; or it would vote for one whose log is as long.
        let fit = others(leader).filter(|&node| fresh(node)).count();
        let could = fit == 2 || fit == 1 && self.longer & bit(leader) == 0;
        let waits = self.stuck || !self.applied;
        if waits && !self.commits_next(fault) && could {
            let mut after = *self;
            after.leads &= !bit(leader);
            after.last |= bit(leader);
            for node in others(leader) {
                let told = fault.is_open(leader, node, Way::Urgent);
                if told && after.bond[node] == Some(leader) && breach != Breach::LeaveWithoutRelease
                {
                    after.bond[node] = None;
                }
            }
            next.push(after);
        }
    }

    /// Whether something that the newest leader sent will be acknowledged.
    fn commits_next(&self, fault: Fault) -> bool {
        let leader = self.newest;
        others(leader).any(|node| {
            let way = if self.stuck { Way::Large } else { Way::Data };
            fault.is_open(leader, node, Way::Data)
                && fault.is_open(leader, node, way)
                && fault.is_open(node, leader, Way::Data)
        })
    }
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// States that were reached, under all faults that were searched.
    pub states: usize,
    /// Under the last of them, from how many there is no way to a holder that commits.
    pub lost: usize,
    /// One of them, for people.
    pub example: Option<String>,
}

/// All states that can be reached from these while a fault lasts, and the steps between them.
struct Reached {
    states: Vec<State>,
    /// Pairs of a state and one that follows it.
    steps: Vec<(u32, u32)>,
}

fn reach(from: &[State], fault: Fault, breach: Breach) -> Reached {
    let mut numbers: HashMap<State, u32> = HashMap::new();
    let (mut states, mut steps, mut next) = (Vec::new(), Vec::new(), Vec::new());
    let number = |state: State, states: &mut Vec<State>, numbers: &mut HashMap<State, u32>| {
        *numbers.entry(state).or_insert_with(|| {
            states.push(state);
            states.len() as u32 - 1
        })
    };
    for &state in from {
        number(state, &mut states, &mut numbers);
    }
    let mut at = 0;
    while let Some(&state) = states.get(at) {
        state.steps(fault, breach, &mut next);
        for after in next.drain(..).filter(|after| *after != state) {
            steps.push((at as u32, number(after, &mut states, &mut numbers)));
        }
        at += 1;
    }
    Reached { states, steps }
}

/// Those of the states from which none that holds and commits can be reached.
fn lost(reached: &Reached, fault: Fault) -> Vec<State> {
    let mut steps: Vec<(u32, u32)> = reached.steps.iter().map(|&(a, b)| (b, a)).collect();
    steps.sort_unstable();
    let serves = |state: &State| state.holds(fault) && state.commits(fault);
    let mut saved: Vec<bool> = reached.states.iter().map(serves).collect();
    let mut open: Vec<u32> =
        (0..).zip(&saved).filter(|(_, saved)| **saved).map(|(at, _)| at).collect();
    while let Some(at) = open.pop() {
        let first = steps.partition_point(|(after, _)| *after < at);
        for &(_, before) in steps[first..].iter().take_while(|(after, _)| *after == at) {
            if !std::mem::replace(&mut saved[before as usize], true) {
                open.push(before);
            }
        }
    }
    let all = reached.states.iter().zip(saved);
    all.filter(|(_, saved)| !saved).map(|(state, _)| *state).collect()
}

/// Searches all states under every fault, and under every fault that comes after another, until
/// one is found from which there is no way back.
#[must_use]
pub fn search(breach: Breach) -> Found {
    let faults = Fault::all();
    let first = [State::first()];
    let mut before: Vec<State> = Vec::new();
    for &fault in &faults {
        before.extend(reach(&first, fault, breach).states);
    }
    before.sort_unstable();
    before.dedup();
    let mut found = Found { states: 0, lost: 0, example: None };
    for fault in faults {
        let reached = reach(&before, fault, breach);
        let lost = lost(&reached, fault);
        found.states += reached.states.len();
        found.lost = lost.len();
        found.example = lost.first().map(|state| format!("{fault:?}: {state:?}"));
        if found.lost > 0 {
            break;
        }
    }
    found
}
