//! The checkers against a search through every order, on a great many small random histories.

use history::model::{AppendLog, Counter, Model, Register};
use history::{Call, Key, Operation, Reply, Status, Verdict, wgl, zones};
use std::sync::Arc;

/// xorshift64*: the same histories on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// Whether some order that respects time explains the history. Tries all of them.
fn explained<M: Model>(
    model: &M,
    history: &[(&Operation, M::Step)],
    used: u32,
    state: &M::State,
) -> bool {
    let is_used = |at: usize| used & (1 << at) != 0;
    let is_known = |at: usize| history[at].0.status == Status::Ok;
    if (0..history.len()).all(|at| is_used(at) || !is_known(at)) {
        return true;
    }
    (0..history.len()).filter(|&at| !is_used(at)).any(|at| {
        // Nothing that is still to come may have ended before this one started.
        let may_be_next = (0..history.len())
            .all(|other| is_used(other) || history[other].0.effect_end() >= history[at].0.start);
        may_be_next
            && model
                .apply(state, &history[at].1)
                .is_some_and(|after| explained(model, history, used | (1 << at), &after))
    })
}

fn oracle<M: Model>(mut model: M, operations: &[&Operation]) -> bool {
    let relevant = operations.iter().copied().filter(|operation| match operation.status {
        Status::Ok => true,
        Status::Fail => false,
        Status::Info => operation.call != Call::Get,
    });
    let steps: Vec<_> = relevant
        .map(|operation| (operation, model.prepare(operation).expect("the model knows it")))
        .collect();
    let initial = model.initial();
    explained(&model, &steps, 0, &initial)
}

/// Random intervals, statuses and calls. Replies come from executing the calls one by one at
/// random moments inside their intervals, and are then spoilt in half of the histories.
fn random_history(random: &mut Random, call: fn(&mut Random, usize) -> Call) -> Vec<Operation> {
    let key: Key = Arc::from(b"k".as_slice());
    let count = 1 + random.below(7) as usize;
    let mut moments = Vec::new();
    let mut history = Vec::new();
    for number in 0..count {
        let start = random.below(12);
        let end = start + random.below(5);
        let status = match random.below(8) {
            0 => Status::Info,
            1 => Status::Fail,
            _ => Status::Ok,
        };
        moments.push((start + random.below(end - start + 1), number));
        history.push(Operation {
            process: number as u64,
            key: key.clone(),
            call: call(random, number),
            start,
            end: (status == Status::Ok).then_some(end),
            reply: None,
            status,
            node: None,
            epoch: None,
        });
    }
    moments.sort_unstable();
    let mut value: Option<Vec<u8>> = None;
    for (_, number) in moments {
        let happens = match history[number].status {
            Status::Ok => true,
            Status::Fail => false,
            Status::Info => random.one_in(2),
        };
        if happens {
            let reply = execute(&mut value, &history[number].call);
            history[number].reply = (history[number].status == Status::Ok).then_some(reply);
        }
    }
    if random.one_in(2) {
        let spoilt = random.below(count as u64) as usize;
        let source = random.below(count as u64) as usize;
        spoil(random, &mut history, spoilt, source);
    }
    history
}

fn execute(value: &mut Option<Vec<u8>>, call: &Call) -> Reply {
    match call {
        Call::Get => value.clone().map_or(Reply::Absent, Reply::Bytes),
        Call::Set(new) => {
            *value = Some(new.clone());
            Reply::Flag(true)
        }
        Call::Cas { expected, value: new } => {
            let writes = value == expected;
            if writes {
                *value = Some(new.clone());
            }
            Reply::Flag(writes)
        }
        Call::Increment(by) => {
            let text = value.take().unwrap_or_else(|| b"0".to_vec());
            let count: i64 = str::from_utf8(&text).expect("text").parse().expect("a count");
            *value = Some((count + by).to_string().into_bytes());
            Reply::Integer(count + by)
        }
        Call::Append(piece) => {
            let text = value.get_or_insert_default();
            text.extend_from_slice(piece);
            Reply::Integer(text.len() as i64)
        }
        Call::Delete => Reply::Flag(value.take().is_some()),
        Call::Transaction(_) => unreachable!("no model knows transactions"),
    }
}

/// Gives a reply that may be wrong: another operation's, or another number or flag.
fn spoil(random: &mut Random, history: &mut [Operation], spoilt: usize, source: usize) {
    let other = if let Call::Set(value) = &history[source].call {
        Some(Reply::Bytes(value.clone()))
    } else {
        history[source].reply.clone()
    };
    let Some(reply) = &mut history[spoilt].reply else { return };
    *reply = match (&history[spoilt].call, other) {
        (Call::Get, Some(Reply::Bytes(value))) => Reply::Bytes(value),
        (Call::Get, Some(Reply::Integer(count))) => Reply::Bytes(count.to_string().into()),
        (Call::Get, _) => Reply::Absent,
        (Call::Cas { .. } | Call::Delete, _) => Reply::Flag(random.one_in(2)),
        (Call::Increment(_) | Call::Append(_), Some(Reply::Integer(count))) => {
            Reply::Integer(count + random.below(2) as i64)
        }
        _ => return,
    };
}

fn text(number: u64) -> Vec<u8> {
    vec![b'a' + (number % 26) as u8]
}

/// Compares a checker with the oracle and counts the verdicts, so that neither is rare.
fn compare<M: Model + Default>(
    seed: u64,
    rounds: usize,
    call: fn(&mut Random, usize) -> Call,
    check: impl Fn(&[&Operation]) -> Verdict,
) {
    let mut random = Random(seed);
    let mut violations = 0;
    for round in 0..rounds {
        let history = random_history(&mut random, call);
        let operations: Vec<&Operation> = history.iter().collect();
        let verdict = check(&operations);
        let expected = oracle(M::default(), &operations);
        let said = match &verdict {
            Verdict::Linearizable => true,
            Verdict::Violation(_) => false,
            Verdict::Unknown(reason) => panic!("round {round}: {reason}"),
        };
        assert_eq!(said, expected, "round {round}: {verdict}\n{history:#?}");
        violations += usize::from(!said);
    }
    assert!((rounds / 50..rounds / 2).contains(&violations), "{violations} of {rounds}");
}

fn unique_register(random: &mut Random, number: usize) -> Call {
    if random.one_in(2) { Call::Get } else { Call::Set(text(number as u64)) }
}

fn wgl_of<M: Model + Default>(operations: &[&Operation]) -> Verdict {
    wgl::check_key(&mut M::default(), operations, u64::MAX)
}

#[test]
fn zones_agree_with_every_order() {
    compare::<Register>(1, 200_000, unique_register, zones::check_key);
}

#[test]
fn the_search_agrees_with_every_order_on_registers() {
    compare::<Register>(2, 20_000, unique_register, wgl_of::<Register>);
    let few_values = |random: &mut Random, _| match random.below(6) {
        0 | 1 => Call::Get,
        2 => Call::Set(text(random.below(3))),
        3 => Call::Delete,
        4 => Call::Cas { expected: None, value: text(random.below(3)) },
        _ => Call::Cas { expected: Some(text(random.below(3))), value: text(random.below(3)) },
    };
    compare::<Register>(3, 20_000, few_values, wgl_of::<Register>);
}

#[test]
fn the_search_agrees_with_every_order_on_counters_and_texts() {
    let counter = |random: &mut Random, _| {
        if random.one_in(3) { Call::Get } else { Call::Increment(1 + random.below(2) as i64) }
    };
    compare::<Counter>(4, 20_000, counter, wgl_of::<Counter>);
    let append = |random: &mut Random, number: usize| {
        if random.one_in(3) { Call::Get } else { Call::Append(text(number as u64)) }
    };
    compare::<AppendLog>(5, 20_000, append, wgl_of::<AppendLog>);
}
