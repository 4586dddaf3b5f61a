//! Searches: all states of a configuration, or the shortest way to break an invariant.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::machine::{Action, Machine};
use crate::properties::Invariant;
use crate::rules::{bond, holds};
use crate::settings::Settings;
use crate::state::{Message, Role, State};
use crate::symmetry::representative;

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// The configuration.
    pub settings: Settings,
    /// Distinct states, up to the renaming of interchangeable nodes where they were all searched.
    pub states: usize,
    /// Steps taken, most of them to states already known.
    pub steps: usize,
    /// Length of the longest path searched.
    pub depth: usize,
    /// Time that it took.
    pub elapsed: Duration,
    /// Names of the invariants that do not hold and of the situations that can be reached.
    pub found: BTreeSet<&'static str>,
    /// Paths to them, in readable steps, by name.
    pub traces: Vec<(&'static str, Trace)>,
}

impl Report {
    /// The broken invariants.
    pub fn broken(&self) -> impl Iterator<Item = Invariant> {
        Invariant::ALL.into_iter().filter(|invariant| self.found.contains(invariant.name()))
    }

    /// The path to what has this name.
    #[must_use]
    pub fn trace(&self, name: &str) -> Option<&Trace> {
        self.traces.iter().find(|(found, _)| *found == name).map(|(_, trace)| trace)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        write!(f, "{:10} {:>9} states ", self.settings.name, self.states)?;
        write!(f, "{:>10} steps, depth {:>2}, {seconds:.1} s", self.steps, self.depth)
    }
}

/// Searches every state of the configuration.
#[must_use]
pub fn check(settings: Settings) -> Report {
    let start = Instant::now();
    let builder = Machine { settings }.checker();
    if settings.symmetric() {
        let checker = builder.symmetry_fn(representative).spawn_dfs().join();
        report(settings, start, &checker)
    } else {
        let checker = builder.spawn_dfs().join();
        report(settings, start, &checker)
    }
}

/// Searches breadth first, so that the path found is a shortest one, until `goal` is found: an
/// invariant broken or a situation reached.
#[must_use]
pub fn find(settings: Settings, goal: &'static str) -> Report {
    let start = Instant::now();
    let finish = HasDiscoveries::AnyOf(BTreeSet::from([goal]));
    let checker = Machine { settings }.checker().finish_when(finish).spawn_bfs().join();
    report(settings, start, &checker)
}

fn report(settings: Settings, start: Instant, checker: &impl Checker<Machine>) -> Report {
    let discoveries = checker.discoveries();
    Report {
        settings,
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        elapsed: start.elapsed(),
        found: discoveries.keys().copied().collect(),
        traces: discoveries
            .into_iter()
            .map(|(name, path)| (name, Trace { settings, path }))
            .collect(),
    }
}

/// A path of steps that prints readably.
pub struct Trace {
    settings: Settings,
    path: Path<State, Action>,
}

impl Trace {
    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.path.clone().into_actions().len()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace of {} steps", self.steps())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.path.clone().into_vec();
        for (number, pair) in steps.windows(2).enumerate() {
            let ((before, action), (after, _)) = (&pair[0], &pair[1]);
            if let Some(action) = action {
                writeln!(f, "{:>3}. {}", number + 1, Step { before, action: *action })?;
            }
            for line in changes(&self.settings, before, after) {
                writeln!(f, "       {line}")?;
            }
        }
        Ok(())
    }
}

/// One step as a sentence.
struct Step<'a> {
    before: &'a State,
    action: Action,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Action::Tick { missed } => {
                write!(f, "time passes: {}", self.before.now + 1)?;
                for id in (0..8).filter(|id| missed >> id & 1 == 1) {
                    write!(f, ", unnoticed by n{id}")?;
                }
                Ok(())
            }
            Action::Beat { from, to } => write!(f, "n{from} -> n{to}: beat sent"),
            Action::Deliver { message, again } => {
                write_message(f, message)?;
                write!(f, "{}", if again { " arrives, a copy follows" } else { " arrives" })
            }
            Action::Lose(message) => {
                write_message(f, message)?;
                write!(f, " is lost")
            }
            Action::Withdraw { from, to } => {
                write!(f, "n{from} withdraws the lapsed promise to n{to}")
            }
            Action::RaiseEpoch(id) => write!(f, "n{id} learns of the withdrawal, raises its epoch"),
            Action::Campaign(id) => {
                write!(f, "n{id} campaigns for term {}", self.before.node(id).term + 1)
            }
            Action::CampaignNow { term, target } => {
                let next = self.before.node(target).term + 1;
                write!(f, "n{target} gets the order of term {term}, campaigns for term {next}")
            }
            Action::Vote { term, candidate, voter } => {
                write!(f, "n{voter} gets the request of n{candidate} for term {term}")
            }
            Action::Win(id) => write!(f, "n{id} leads term {}", self.before.node(id).term),
            Action::Append { term, to, length, knows, seat } => {
                if seat > self.before.node(to).seat {
                    write!(f, "n{to} takes seat {seat}: ")?;
                }
                write!(f, "n{to} accepts {length} entries from the leader of term {term}")?;
                let news = knows > self.before.node(to).config;
                if news { write!(f, ", change {knows} is committed") } else { Ok(()) }
            }
            Action::Change(id) => write!(f, "n{id} appends a change of the configuration"),
            Action::Adopt(id) => write!(f, "n{id} applies a change of the configuration"),
            Action::Bury(id) => write!(f, "n{id} has been removed, gives up its log"),
            Action::Leave(id) => write!(f, "n{id} has been removed, leads no longer"),
            Action::Release { from, to } => write!(f, "n{from} releases n{to}"),
            Action::Write(id) => write!(f, "n{id} appends a client's write"),
            Action::Transfer { from, to } => {
                write!(f, "n{from} gives its lease up and orders n{to} to campaign")
            }
            Action::Hear { node, from } => write!(f, "n{node} hears of the term of n{from}"),
            Action::Restart(id) => write!(f, "n{id} restarts"),
            Action::Resume(id) => write!(f, "n{id} takes back the lease that it gave up"),
        }
    }
}

fn write_message(f: &mut fmt::Formatter<'_>, message: Message) -> fmt::Result {
    match message {
        Message::Beat { from, to, epoch, sent } => {
            write!(f, "n{from} -> n{to}: beat (epoch {epoch}, sent at {sent})")
        }
        Message::Promise { from, to, epoch, incarnation, sent } => {
            write!(f, "n{from} -> n{to}: promise (epoch {epoch}, ")?;
            write!(f, "incarnation {incarnation}, for the beat of {sent})")
        }
    }
}

/// What the step changed, as far as it helps to follow the argument.
fn changes(settings: &Settings, before: &State, after: &State) -> Vec<String> {
    let mut lines = Vec::new();
    for id in settings.ids() {
        let (old, new) = (before.node(id), after.node(id));
        for other in settings.ids().map(usize::from) {
            let (was, is) = (old.given[other], new.given[other]);
            if was != is && is.ends > 0 {
                lines.push(format!("n{id} supports n{other} until its clock reads {}", is.ends));
            } else if is.lapsed && !was.lapsed {
                lines.push(format!("n{id}'s promise to n{other} has lapsed"));
            } else if was.ends > 0 && is.ends == 0 && is.epoch > 0 {
                lines.push(format!("n{id} withdraws its support for n{other} at {}", is.epoch));
            }
            if let (true, Some(promise)) =
                (old.received[other] != new.received[other], new.received[other])
            {
                let ends = promise.ends;
                lines.push(format!("n{id} counts n{other}'s promise until its clock reads {ends}"));
            }
        }
        if let (false, Some(bond)) = (bond(before, id) == bond(after, id), bond(after, id)) {
            let (term, leader) = (bond.term, bond.leader);
            lines.push(format!("n{id} is fortified for n{leader} in term {term}"));
        }
        if old.log != new.log {
            lines.push(format!("n{id} has the log {}", new.log));
        }
        if old.config != new.config {
            lines.push(format!("n{id} goes by {}", settings.voters(new.config)));
        }
        if (!old.voted || old.term < new.term) && new.voted && new.role == Role::Follower {
            lines.push(format!("n{id} votes in term {}", new.term));
        }
        if matches!(old.role, Role::Leader(_)) && !matches!(new.role, Role::Leader(_)) {
            lines.push(format!("n{id} leads no more"));
        }
        match (holds(settings, before, id), holds(settings, after, id)) {
            (false, true) => lines.push(format!("n{id} HOLDS THE LEASE")),
            (true, false) => lines.push(format!("n{id} holds the lease no more")),
            (false, false) | (true, true) => {}
        }
    }
    if before.committed != after.committed {
        lines.push(format!("committed: {}", after.committed));
    }
    lines
}
