//! The commands for operators, run as they would run them.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Client, Directory, Plan, Program, bulk, leasehold, let_pass, ok, wait_until};

/// A port from which on `dev` finds what it needs: three for clients, three for HTTP 1000 above,
/// three for nodes 10000 above.
/// All lie below those that the system hands out to others.
fn dev_port() -> u16 {
    let first = 10_000 + u16::try_from(std::process::id() % 600).expect("it is small") * 20;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let all_free = |port: &u16| {
        (*port..port + 3).all(|port| [0, 1000, 10_000].iter().all(|step| is_free(port + step)))
    };
    (first..22_000).chain(10_000..first).find(all_free).expect("some ports are free")
}

#[test]
fn dev_starts_a_cluster_says_how_to_use_it_and_stops_it() {
    let directory = Directory::new();
    let port = dev_port().to_string();
    let dev = || {
        let mut command = leasehold();
        command.args(["dev", "--port", &port, "--set", "park_time=30s", "--dir"]);
        command.arg(directory.path());
        command
    };
    let first: SocketAddr = format!("127.0.0.1:{port}").parse().expect("it is an address");
    for start in 0..4 {
        let members = directory.join("members");
        if start == 2 {
            // As if node 3 had been removed, and node 4 had joined.
            let text = [1, 2, 4].map(|it| format!("{it}=127.0.0.1:{}:1\n", it + 50)).concat();
            fs::write(&members, text).expect("it can be written");
            fs::create_dir(directory.join("joined-4")).expect("it can be made");
        }
        let fresh: &[&str] = if start == 3 { &["--fresh"] } else { &[] };
        let program = Program::start(dev().args(fresh), "");
        wait_until("the first node serves", || {
            Client::try_connect(first).and_then(|mut it| it.try_ask("PING")).is_ok()
        });
        let mut client = Client::connect(first);
        if start == 1 || start == 2 {
            assert_eq!(client.ask("GET greeting"), bulk("hello"), "the data stay");
        }
        assert_eq!(client.ask("SET greeting hello"), ok());
        // It looks for holders ten times a second.
        let_pass(Duration::from_millis(1500));
        if start == 0 {
            let second = Program::run(&mut dev());
            assert_eq!(second.status.code(), Some(1), "{second:#?}");
            let expected =
                format!("another `leasehold dev` runs in {}", directory.path().display());
            assert!(second.errors.contains(&expected), "{second:#?}");
            assert!(second.errors.contains(&format!("(process {})", program.pid())), "{second:#?}");
        }
        if start == 2 {
            // What the cluster itself says counts.
            wait_until("the list of members is right", || {
                fs::read_to_string(&members).is_ok_and(|text| text.contains("\n3=127.0.0.1:"))
            });
        }
        let pid = Pid::from_raw(i32::try_from(program.pid()).expect("it is small"));
        kill_process(pid.expect("it is a number"), Signal::INT).expect("our own child");
        let finished = program.wait();
        assert!(finished.status.success(), "{finished:#?}");
        for words in ["every shard has a holder", "redis-cli -p", "kill -9", "Stopped."] {
            assert!(finished.output.contains(words), "no {words:?} in {}", finished.output);
        }
        assert!(Client::try_connect(first).is_err(), "a node outlived its parent");
        let known = start == 2;
        for words in ["Node 3 has been removed from this cluster", "node 4  has joined by hand"] {
            assert_eq!(finished.output.contains(words), known, "{words:?} in {}", finished.output);
        }
        assert_eq!(finished.output.contains("joined-4 --set cluster=leasehold-dev"), known);
        assert_eq!(directory.join("joined-4").exists(), start == 2);
    }
    for node in 1..=3 {
        let log = fs::read_to_string(directory.join(&format!("node-{node}.log")));
        let log = log.expect("every node has a log");
        assert!(log.contains("stopped") && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn shards_are_listed_for_people_and_for_programs() {
    let cluster = Plan::of(3).patient().with("shards", "5").start();
    let url = cluster[2].address.to_string();
    let table = Program::run(leasehold().args(["shards", "--url", &url])).success();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(lines[0].starts_with("shard") && lines[0].contains("holder"), "{table}");
    let json = Program::run(leasehold().args(["shards", "--json", "--url", &url])).success();
    for shard in 1..=5 {
        assert!(json.contains(&format!("\"shard\":{shard},")), "{json}");
    }
    assert_eq!(json.matches("\"holder\":").count(), 5, "{json}");
    let moved = Program::run(leasehold().args(["transfer", "3", "1", "--url", &url])).success();
    assert!(moved.contains("Node 1 holds shard 3"), "{moved}");
    assert_eq!(cluster.holders()[&3], Some(1));
    let refused = Program::run(leasehold().args(["transfer", "77", "1", "--url", &url]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.errors.contains("77"), "{refused:#?}");
}

#[test]
fn inspect_reads_the_directory_of_a_running_and_of_a_stopped_node() {
    let mut cluster = Plan::of(1).patient().start();
    assert_eq!(cluster.client(1).ask("SET a 1"), ok());
    let data = cluster[1].data.clone();
    let inspect =
        |more: &[&str]| Program::run(leasehold().arg("inspect").args(more).arg(&data)).success();
    assert!(inspect(&[]).contains("node 1 of cluster `leasehold`"));
    assert!(cluster[1].stop().success());
    let text = inspect(&["--records"]);
    for words in ["segment 1", "commit ", "commits, "] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let missing = cluster.directory().join("nothing-here");
    let finished = Program::run(leasehold().arg("inspect").arg(missing));
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
}

#[test]
fn a_node_that_cannot_be_reached_is_named() {
    let finished = Program::run(leasehold().args(["shards", "--url", "127.0.0.1:1"]));
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.errors.contains("127.0.0.1:1") && finished.errors.contains("--url"));
}

#[test]
fn a_command_at_the_wrong_port_is_told_which_one_it_is() {
    let cluster = Plan::of(1).patient().start();
    let ask = |address: SocketAddr| {
        let finished = Program::run(leasehold().args(["shards", "--url", &address.to_string()]));
        assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
        finished.errors
    };
    let errors = ask(cluster[1].http);
    assert!(errors.contains("answers in HTTP") && errors.contains("port for clients"), "{errors}");
    let (host, peer_port) = (cluster[1].address.ip(), cluster[1].setting("members"));
    let peer_port = peer_port.rsplit(':').next().and_then(|port| port.parse().ok());
    let errors = ask(SocketAddr::new(host, peer_port.expect("a member ends with its peer port")));
    let wanted = format!("clients are served at this node's port {}", cluster[1].address.port());
    assert!(errors.contains("this is the port for the other nodes"), "{errors}");
    assert!(errors.contains(&wanted), "{errors}");
    wait_until("the node has said so, too", || cluster[1].log().contains("speaks the protocol of"));
}

#[test]
fn a_node_is_not_let_in_under_a_name_that_has_no_address() {
    let cluster = Plan::of(1).patient().start();
    let mut command = leasehold();
    command.args(["join", "4=nosuch.invalid:7001", "--url", &cluster[1].address.to_string()]);
    let finished = Program::run(&mut command);
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    assert!(finished.errors.contains("`nosuch.invalid` has no address"), "{finished:#?}");
}

#[test]
fn bench_loads_records_and_judges() {
    let cluster = Plan::of(3).patient().start();
    let history = cluster.directory().join("bench.jsonl");
    let mut load = leasehold();
    load.args(["bench", "--quiet", "--json", "-c", "8", "-n", "3000", "--keys", "50"]);
    load.args(["--hosts", &cluster[1].address.to_string(), "--cluster", "--history"]);
    let report = Program::run(load.arg(&history)).success();
    assert!(report.contains("\"errs\":0"), "{report}");
    let verdict = Program::run(leasehold().args(["bench", "check"]).arg(&history)).success();
    assert!(verdict.contains("verdict         ok"), "{verdict}");
}

#[test]
fn simulate_compares_policies_and_draws_curves() {
    let text = Program::run(leasehold().args(["simulate", "one-hot-spot"])).success();
    for words in ["max/bound", "\nstatic ", "\nreactive-1s ", "\noracle ", "120 s Shift", "moves |"]
    {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let mut json = leasehold();
    json.args(["simulate", "one-hot-spot", "--policy", "reactive-1s", "--set", "band=0.1"]);
    let json = Program::run(json.arg("--json")).success();
    assert_eq!(json.lines().count(), 1);
    assert!(json.contains("\"policy\":\"reactive-1s\""), "{json}");
    assert_eq!(json.matches("\"second\":").count(), 240);
}

#[test]
fn simulate_plays_a_recorded_load() {
    let directory = Directory::new();
    let trace = directory.join("load.jsonl");
    let row = |second, shard, reads| {
        format!("{{\"second\":{second},\"shard\":{shard},\"reads\":{reads},\"writes\":1}}\n")
    };
    fs::write(&trace, row(0, 0, 900) + &row(5, 1, 7)).expect("it can be written");
    let play = || {
        let mut command = leasehold();
        command.args(["simulate", "--nodes", "3", "--trace"]).arg(&trace);
        Program::run(&mut command)
    };
    let text = play().success();
    assert!(text.contains("3 nodes, 2 shards, 15 s"), "{text}");
    fs::write(&trace, row(0, 0, 900) + &row(5, 4096, 7)).expect("it can be written");
    let finished = play();
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    assert!(finished.errors.contains("load.jsonl: line 2 of the trace"), "{finished:#?}");
}

#[test]
fn what_simulate_does_not_know_is_told_with_what_there_is() {
    for (arguments, words) in [
        (&[][..], "--list"),
        (&["warm-spot"], "no scenario `warm-spot`; `leasehold simulate --list`"),
        (&["s1", "--policy", "adaptive"], "reactive-1s"),
        (&["s1", "--set", "bnad=0.1"], "--settings"),
    ] {
        let finished = Program::run(leasehold().arg("simulate").args(arguments));
        assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
        assert!(finished.errors.contains(words), "no {words:?} in {finished:#?}");
    }
}
