//! Linearizability of one key under any model, by search: Wing and Gong's algorithm with Lowe's
//! memo ("Testing for linearizability", 2017), laid out like Porcupine.
//!
//! The calls and returns of all operations stand in one linked list in the order of time. The
//! search takes a call whose reply fits the model's state out of the list (with its return) and
//! begins again at the front; it may look no further than the first return that is still in the
//! list. Stuck there, it puts the last operation back and tries the next one. What was taken out
//! and the state together are remembered, and never explored twice.
//!
//! An operation of unknown outcome has a call and no return: it may take effect at any later
//! time, or never. The search has succeeded when every operation with a known outcome is out.
//!
//! The memo keeps the set of taken operations as two bit sets: one of the known outcomes in the
//! order of their start, without the words that are full (nearly all of them in a long history),
//! and one of the unknown outcomes.

use crate::model::Model;
use crate::operation::{Call, Operation, Status};
use crate::verdict::{Verdict, Violation};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Most operations that a violation lists.
const LISTED_MAX: usize = 24;

/// Judges the operations of one key, in any order. `steps_max` bounds the search, in steps of the
/// model (10 to 100 million a minute); beyond it the verdict is `Unknown`.
#[must_use]
pub fn check_key<M: Model>(model: &mut M, operations: &[&Operation], steps_max: u64) -> Verdict {
    let relevant = |operation: &&Operation| match operation.status {
        Status::Ok => true,
        Status::Fail => false,
        // A read without an answer says nothing.
        Status::Info => operation.call != Call::Get,
    };
    let mut operations: Vec<&Operation> = operations.iter().copied().filter(relevant).collect();
    operations.sort_by_key(|operation| operation.start);
    let prepared: Result<Vec<M::Step>, String> =
        operations.iter().map(|operation| model.prepare(operation)).collect();
    match prepared {
        Ok(steps) => Search::new(model, &operations, steps).run(steps_max),
        Err(reason) => Verdict::Unknown(reason),
    }
}

/// What stands at a place of the list.
#[derive(Clone, Copy)]
enum Event {
    Head,
    /// The call of the operation with this number.
    Call(usize),
    Return,
}

/// Calls and returns in the order of time, doubly linked. Place 0 is the list's head.
struct Timeline {
    events: Vec<Event>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Places of each operation's call and return; no return for an unknown outcome.
    places: Vec<(usize, Option<usize>)>,
}

const HEAD: usize = 0;

impl Timeline {
    fn new(operations: &[&Operation]) -> Self {
        // At one point of time calls come before returns: operations that touch are concurrent.
        let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(operations.len() * 2);
        for (number, operation) in operations.iter().enumerate() {
            moments.push((operation.start, false, number));
            if operation.status == Status::Ok {
                moments.push((operation.effect_end(), true, number));
            }
        }
        moments.sort_unstable();
        let mut events = vec![Event::Head];
        let mut places = vec![(HEAD, None); operations.len()];
        for (place, (_, is_return, number)) in (HEAD + 1..).zip(moments) {
            if is_return {
                events.push(Event::Return);
                places[number].1 = Some(place);
            } else {
                events.push(Event::Call(number));
                places[number].0 = place;
            }
        }
        let count = events.len();
        let next = (0..count).map(|place| (place + 1) % count).collect();
        let previous = (0..count).map(|place| (place + count - 1) % count).collect();
        Self { events, next, previous, places }
    }

    fn unlink(&mut self, place: usize) {
        self.next[self.previous[place]] = self.next[place];
        self.previous[self.next[place]] = self.previous[place];
    }

    fn relink(&mut self, place: usize) {
        self.next[self.previous[place]] = place;
        self.previous[self.next[place]] = place;
    }

    fn take_out(&mut self, operation: usize) {
        let (call, returned) = self.places[operation];
        self.unlink(call);
        if let Some(returned) = returned {
            self.unlink(returned);
        }
    }

    /// Undoes the latest [`Timeline::take_out`] that is not undone yet.
    fn put_back(&mut self, operation: usize) {
        let (call, returned) = self.places[operation];
        if let Some(returned) = returned {
            self.relink(returned);
        }
        self.relink(call);
    }
}

/// A set of operations that grows mostly from the front.
#[derive(Default)]
struct BitSet {
    words: Vec<u64>,
    count: usize,
    /// How many words at the front are full.
    full: usize,
}

impl BitSet {
    fn insert(&mut self, bit: usize) {
        let word = bit / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (bit % 64);
        self.count += 1;
        while self.words.get(self.full) == Some(&u64::MAX) {
            self.full += 1;
        }
    }

    fn remove(&mut self, bit: usize) {
        self.words[bit / 64] &= !(1 << (bit % 64));
        self.count -= 1;
        self.full = self.full.min(bit / 64);
    }

    /// Appends the set in a form that equal sets, and only they, have in common.
    fn write(&self, out: &mut Vec<u64>) {
        out.push(self.full as u64);
        out.push(self.count as u64);
        let mut left = self.count - self.full * 64;
        for &word in &self.words[self.full..] {
            if left == 0 {
                break;
            }
            out.push(word);
            left -= word.count_ones() as usize;
        }
    }
}

/// States that the search has been in with the same operations taken. Most often there is one,
/// but it can be thousands: the order of appends without an answer.
struct States<S> {
    few: Vec<S>,
    many: HashSet<S>,
}

/// States that are looked through one by one.
const FEW: usize = 8;

impl<S: Eq + Hash> States<S> {
    fn of(state: S) -> Self {
        Self { few: vec![state], many: HashSet::new() }
    }

    /// Adds a state; says whether it is new.
    fn insert(&mut self, state: S) -> bool {
        if self.few.contains(&state) {
            return false;
        }
        if self.few.len() == FEW {
            return self.many.insert(state);
        }
        self.few.push(state);
        true
    }
}

/// Where the search got furthest, to explain a violation.
struct Deepest<S> {
    taken: usize,
    state: S,
    open: Vec<usize>,
}

struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [&'a Operation],
    steps: Vec<M::Step>,
    timeline: Timeline,
    /// Each operation's bit in `known`, or in `unknown` if its outcome is.
    bits: Vec<usize>,
    known_total: usize,
    known: BitSet,
    unknown: BitSet,
    state: M::State,
    /// What was taken out, with the state before it.
    taken: Vec<(usize, M::State)>,
    memo: HashMap<Box<[u64]>, States<M::State>>,
    deepest: Option<Deepest<M::State>>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, operations: &'a [&'a Operation], steps: Vec<M::Step>) -> Self {
        let (mut known_total, mut unknown_total) = (0, 0);
        let mut bits = Vec::with_capacity(operations.len());
        for operation in operations {
            let total = match operation.status {
                Status::Ok => &mut known_total,
                Status::Fail | Status::Info => &mut unknown_total,
            };
            bits.push(*total);
            *total += 1;
        }
        Self {
            timeline: Timeline::new(operations),
            state: model.initial(),
            model,
            operations,
            steps,
            bits,
            known_total,
            known: BitSet::default(),
            unknown: BitSet::default(),
            taken: Vec::new(),
            memo: HashMap::new(),
            deepest: None,
        }
    }

    fn run(mut self, steps_max: u64) -> Verdict {
        let mut place = self.timeline.next[HEAD];
        let mut steps = 0;
        let mut scratch = Vec::new();
        while self.known.count < self.known_total {
            let Event::Call(operation) = self.timeline.events[place] else {
                self.remember_deepest(place);
                let Some((operation, state)) = self.taken.pop() else { return self.violation() };
                self.state = state;
                let bit = self.bits[operation];
                self.set_of(operation).remove(bit);
                self.timeline.put_back(operation);
                place = self.timeline.next[self.timeline.places[operation].0];
                continue;
            };
            steps += 1;
            if steps > steps_max {
                return Verdict::Unknown(format!("undecided after {steps_max} steps"));
            }
            let after = self.model.apply(&self.state, &self.steps[operation]);
            let taken = after.is_some_and(|after| self.take(operation, after, &mut scratch));
            place = self.timeline.next[if taken { HEAD } else { place }];
        }
        Verdict::Linearizable
    }

    fn set_of(&mut self, operation: usize) -> &mut BitSet {
        match self.operations[operation].status {
            Status::Ok => &mut self.known,
            Status::Fail | Status::Info => &mut self.unknown,
        }
    }

    /// Takes the operation out, unless that leads where the search has been already.
    fn take(&mut self, operation: usize, after: M::State, scratch: &mut Vec<u64>) -> bool {
        let bit = self.bits[operation];
        self.set_of(operation).insert(bit);
        scratch.clear();
        self.known.write(scratch);
        self.unknown.write(scratch);
        if let Some(states) = self.memo.get_mut(scratch.as_slice()) {
            if !states.insert(after.clone()) {
                self.set_of(operation).remove(bit);
                return false;
            }
        } else {
            self.memo.insert(scratch.as_slice().into(), States::of(after.clone()));
        }
        self.taken.push((operation, std::mem::replace(&mut self.state, after)));
        self.timeline.take_out(operation);
        true
    }

    fn remember_deepest(&mut self, end: usize) {
        let taken = self.known.count;
        if self.deepest.as_ref().is_some_and(|deepest| deepest.taken >= taken) {
            return;
        }
        let mut open = Vec::new();
        let mut place = self.timeline.next[HEAD];
        while place != end {
            if let Event::Call(operation) = self.timeline.events[place] {
                open.push(operation);
            }
            place = self.timeline.next[place];
        }
        self.deepest = Some(Deepest { taken, state: self.state.clone(), open });
    }

    fn violation(self) -> Verdict {
        let Deepest { taken, state, mut open } =
            self.deepest.expect("a search that failed was stuck at least once");
        // The latest are the likeliest to matter; unknown outcomes pile up at the front.
        open.drain(..open.len().saturating_sub(LISTED_MAX));
        let reason = format!(
            "no order explains the answers: at best {taken} of {} can be put in order, \
             the value is then {}, and none of these can come next",
            self.known_total,
            self.model.describe(&state),
        );
        let operations: Vec<Operation> =
            open.iter().map(|&number| self.operations[number].clone()).collect();
        let key = self.operations[0].key.clone();
        Verdict::Violation(Box::new(Violation { key, reason, operations }))
    }
}
