//! Faults that a store could have, planted in histories that are otherwise right, and what the
//! checkers say of them.

use history::model::Register;
use history::{Call, Key, Operation, Reply, Status, Verdict, check, jsonl, wgl, zones};
use std::sync::Arc;

fn operation(process: u64, call: Call, times: (u64, u64), reply: Reply) -> Operation {
    let key: Key = Arc::from(b"account".as_slice());
    let (start, end, status) = (times.0, Some(times.1), Status::Ok);
    let reply = Some(reply);
    Operation { process, key, call, start, end, reply, status, node: None, epoch: None }
}

fn set(process: u64, value: &str, start: u64, end: u64) -> Operation {
    operation(process, Call::Set(value.into()), (start, end), Reply::Flag(true))
}

fn get(process: u64, value: &str, start: u64, end: u64) -> Operation {
    operation(process, Call::Get, (start, end), Reply::Bytes(value.into()))
}

fn absent(process: u64, start: u64, end: u64) -> Operation {
    operation(process, Call::Get, (start, end), Reply::Absent)
}

fn unknown(mut operation: Operation) -> Operation {
    (operation.end, operation.reply, operation.status) = (None, None, Status::Info);
    operation
}

fn failed(mut operation: Operation) -> Operation {
    (operation.reply, operation.status) = (None, Status::Fail);
    operation
}

/// Both checkers must come to the same verdict; the text is that of the zones.
fn verdict(history: &[Operation]) -> String {
    let operations: Vec<&Operation> = history.iter().collect();
    let by_search = wgl::check_key(&mut Register::default(), &operations, 1_000_000);
    let by_zones = zones::check_key(&operations);
    let violates = |verdict: &Verdict| matches!(verdict, Verdict::Violation(_));
    assert_eq!(violates(&by_search), violates(&by_zones), "{by_search}\n{by_zones}");
    by_zones.to_string()
}

#[test]
fn a_stale_read_names_both_values_and_the_operations() {
    let history = [set(1, "old", 0, 10), set(1, "new", 20, 30), get(2, "old", 40, 50)];
    assert_eq!(
        verdict(&history),
        "VIOLATION: key \"account\": \"old\" was there from 10 to 40, yet \"new\" was there at \
         some time from 20 to 30\n    \
         process 1 set \"old\" -> true at [0, 10]\n    \
         process 1 set \"new\" -> true at [20, 30]\n    \
         process 2 get -> \"old\" at [40, 50]"
    );
}

#[test]
fn a_value_that_comes_and_goes_is_a_violation() {
    let history = [
        set(1, "a", 0, 100),
        set(2, "b", 0, 100),
        get(3, "a", 110, 120),
        get(3, "b", 130, 140),
        get(3, "a", 150, 160),
    ];
    assert!(verdict(&history).starts_with("VIOLATION"));
}

#[test]
fn a_lost_write_is_seen_by_the_absent_value() {
    let history = [set(1, "a", 0, 10), absent(2, 20, 30)];
    assert!(verdict(&history).contains("absent was there from the beginning to 20"));
}

#[test]
fn a_read_before_its_write_is_a_violation() {
    let history = [get(2, "a", 0, 5), set(1, "a", 10, 20)];
    assert!(verdict(&history).contains("ended before the write of its value started"));
}

#[test]
fn a_failed_write_must_never_be_read_and_an_unknown_one_may_be_at_any_later_time() {
    let read = get(2, "a", 1_000, 1_001);
    assert!(verdict(&[failed(set(1, "a", 0, 10)), read.clone()]).contains("a write that failed"));
    let late = [unknown(set(1, "a", 0, 10)), absent(2, 500, 501), read];
    assert_eq!(verdict(&late), "linearizable");
    let never = [unknown(set(1, "a", 0, 10)), absent(2, 500, 501)];
    assert_eq!(verdict(&never), "linearizable");
}

#[test]
fn the_search_says_where_it_was_stuck() {
    let cas = Call::Cas { expected: Some(b"a".to_vec()), value: b"b".to_vec() };
    let history = [
        set(1, "a", 0, 10),
        operation(1, cas.clone(), (20, 30), Reply::Flag(true)),
        operation(2, cas, (40, 50), Reply::Flag(true)),
    ];
    let operations: Vec<&Operation> = history.iter().collect();
    let verdict = wgl::check_key(&mut Register::default(), &operations, 1_000);
    assert_eq!(
        verdict.to_string(),
        "VIOLATION: key \"account\": no order explains the answers: at best 2 of 3 can be put in \
         order, the value is then \"b\", and none of these can come next\n    \
         process 2 cas \"a\" -> \"b\" -> true at [40, 50]"
    );
}

#[test]
fn a_search_without_steps_is_undecided() {
    let history = [set(1, "a", 0, 10)];
    let operations: Vec<&Operation> = history.iter().collect();
    let verdict = wgl::check_key(&mut Register::default(), &operations, 0);
    assert!(matches!(verdict, Verdict::Unknown(_)));
}

#[test]
fn the_report_lists_lost_acknowledged_writes() {
    let history = [
        set(1, "a", 0, 10),
        set(1, "b", 20, 30),
        unknown(set(2, "c", 20, 30)),
        get(3, "a", 40, 50),
    ];
    let report = check(&history, 1_000);
    assert!(!report.is_clean());
    let lost: Vec<String> =
        report.durability.lost.iter().map(|lost| lost.write.to_string()).collect();
    assert_eq!(lost, ["process 1 set \"b\" -> true at [20, 30]"]);
    assert!(report.to_string().ends_with("verdict         VIOLATION\n"));
}

#[test]
fn durability_of_counters_and_texts() {
    let increment = |end| operation(1, Call::Increment(1), (end - 1, end), Reply::Integer(1));
    let count = |text: &str| get(9, text, 100, 101);
    assert_eq!(check(&[increment(10), increment(20), count("1")], 0).durability.lost.len(), 2);
    assert_eq!(check(&[increment(10), increment(20), count("2")], 0).durability.lost.len(), 0);
    let append = |text: &str, end| {
        operation(1, Call::Append(text.into()), (end - 1, end), Reply::Integer(1))
    };
    let lost = check(&[append("x", 10), append("y", 20), count("y")], 0).durability.lost;
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].write.call, Call::Append(b"x".to_vec()));
}

#[test]
fn keys_are_judged_apart_and_transactions_not_at_all() {
    let line = |p: u64, k: &str, rest: &str| format!("{{\"p\":{p},\"k\":\"{k}\",{rest}}}\n");
    let text = [
        line(1, "a", r#""f":"set","a":"1","t0":1,"t1":2,"r":true,"s":"ok""#),
        line(2, "b", r#""f":"incr","a":1,"t0":1,"t1":2,"r":2,"s":"ok""#),
        line(3, "t", r#""f":"txn","a":[["c","set","1"]],"t0":1,"t1":2,"r":[true],"s":"ok""#),
        line(4, "c", r#""f":"get","a":null,"t0":3,"t1":4,"r":"1","s":"ok""#),
    ]
    .concat();
    let history = jsonl::read(text.as_bytes()).expect("the lines are well formed");
    let report = check(&history, 1_000);
    assert_eq!(report.linearizable, 1);
    assert_eq!(report.violations.len(), 1);
    assert_eq!(&*report.violations[0].key, b"b");
    let undecided: Vec<&[u8]> = report.undecided.iter().map(|(key, _)| key.as_slice()).collect();
    assert_eq!(undecided, [b"c", b"t"]);
}
