//! What operators do to a cluster under load, and what its clients notice: a node is drained, all
//! nodes are restarted one after the other, two nodes of five die at once. Clusters of their own
//! with default settings.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::driver::{Driver, Load, read};
use super::faults::{failed_requests, figure};
use super::leasehold::{self, Shard};
use super::process::Client;
use super::report::{Finding, Goal, Kind, short};
use super::rows::Row;
use super::statistics::{Estimate, largest, median};
use super::store::{Store, Stores, Target};
use super::{Settings, Trouble, interrupt, resp};
use crate::Failure;

/// 900 shards on three nodes: each holds 300.
const DRAINED: Target = Target::cut(900);
const FIVE: Target = Target::Leasehold { nodes: 5, shards: 16, managed: true };
/// A drain, or a restart of all nodes, takes as long as so many rounds of other rows.
const ROUNDS_EACH: u32 = 3;
/// Requests a second of the load beside a restart: far below what the machine can do, since with
/// one node of three away the others have its work.
const RATE: u32 = 2_000;
/// How long the load goes before anything is done, in seconds.
const WARM_UP: f64 = 1.0;
/// How long a node may take to give all leases up, come back, or catch up.
const LIMIT: Duration = Duration::from_secs(60);
/// How long gaps count after two nodes have died, in seconds.
const AFTER_DEATH: f64 = 5.0;

const DRAIN_GOAL: Goal = Goal::AtMost(3.0);
const RESTART_GOAL: Goal = Goal::AtMost(3.0);
const OUTAGE_GOAL: Goal = Goal::AtMost(1_500.0);

fn repetitions(settings: &Settings) -> u32 {
    settings.rounds.div_ceil(ROUNDS_EACH)
}

/// The load that goes on meanwhile: reads and writes, by clients that come back when a connection
/// breaks, for `seconds` after the warm-up.
fn load(driver: &Driver, store: &Store, seconds: f64) -> std::process::Command {
    let mut command = driver.redis_load(store, &Load::set(48, 1));
    command.args(["--keep-going", "--reads", "0.8", "--warm-up", &WARM_UP.to_string()]);
    command.args(["--seconds", &seconds.to_string()]);
    command
}

/// One node at a time gives all its leases away.
pub(super) fn drain(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let store = stores.alone(DRAINED, settings, driver)?;
    let (mut times, mut errors, mut leases) = (Vec::new(), 0, 0);
    for number in 1..=repetitions(settings) {
        leasehold::spread(&store, settings)?;
        let node = (number as usize - 1) % store.ports.len() + 1;
        let mut client = Client::start(&mut load(driver, &store, 3.0))?;
        interrupt::pause(Duration::from_secs_f64(WARM_UP + 0.5))?;
        let held = held_by(&store, settings, node)?;
        let begun = Instant::now();
        duty(&store, node, "ON")?;
        interrupt::until("a drained node", LIMIT, &mut || {
            held_by(&store, settings, node).is_ok_and(|held| held == 0)
        })?;
        let time = begun.elapsed().as_secs_f64();
        let in_time = !client.has_ended();
        let run = read(client.finish(LIMIT)?, 0.0)?;
        duty(&store, node, "OFF")?;
        settings.say(&format!(
            "{} {number}/{}: node {node} gave {held} leases away in {time:.2} s{}, {} errors of {} \
             requests/s",
            row.name,
            repetitions(settings),
            if in_time { "" } else { " (after the load)" },
            run.errors,
            short(run.rate)
        ));
        settings.record(&json!({
            "row": row.name, "round": number, "node": node, "leases": held, "seconds": time,
            "said": run.said,
        }))?;
        times.push(time);
        (errors, leases) = (errors + run.errors, leases + held);
    }
    let remark = format!(
        "the longest; median {} s, {leases} leases in all",
        short(median(&times).unwrap_or(0.0))
    );
    let rounds = times.len();
    Ok(vec![
        figure(row, row.what.into(), largest(&times), "s", remark, DRAIN_GOAL, rounds),
        failed_requests(row, errors, String::new(), rounds),
    ])
}

/// How many shards a node holds; those without a holder count as well, for they are nowhere else.
fn held_by(store: &Store, settings: &Settings, node: usize) -> Result<usize, Failure> {
    let other = node % store.ports.len() + 1;
    let shards = leasehold::shards(store, settings, other)?;
    let here = |shard: &&Shard| shard.holder == node as u64 || shard.holder == 0;
    Ok(shards.iter().filter(here).count())
}

fn duty(store: &Store, node: usize, drained: &str) -> Result<(), Failure> {
    resp::ask(store.ports[0], &["LEASEHOLD", "DRAIN", &format!("n{node}"), drained]).map(|_| ())
}

/// Rounds with and without a restart of every node take turns.
pub(super) fn restart(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let mut store = stores.alone(Target::OURS, settings, driver)?;
    let (mut rounds, mut errors) = (Vec::new(), 0);
    for number in 1..=repetitions(settings) {
        leasehold::spread(&store, settings)?;
        let seconds = 20.0;
        let open = |store: &Store| {
            let mut command = load(driver, store, seconds);
            command.args(["--rate", &RATE.to_string()]);
            command
        };
        let steady = Client::start(&mut open(&store))?.finish(LIMIT)?;
        let mut client = Client::start(&mut open(&store))?;
        interrupt::pause(Duration::from_secs_f64(WARM_UP))?;
        let begun = Instant::now();
        for node in 1..=store.ports.len() {
            leasehold::stop(&store, node)?;
            leasehold::restart(&mut store, settings, node)?;
            leasehold::wait_for_replicas(&store, settings, node)?;
        }
        let time = begun.elapsed().as_secs_f64();
        let in_time = !client.has_ended();
        let rolling = client.finish(LIMIT)?;
        let p99 = [&rolling, &steady].map(|said| said["p99_us"].as_f64().unwrap_or(0.0) / 1e3);
        let failed = failed(&rolling);
        settings.say(&format!(
            "{} {number}/{}: all restarted in {time:.1} s{}, p99 {:.2} ms (steady {:.2}), {failed} \
             errors {}, {} reconnects",
            row.name,
            repetitions(settings),
            if in_time { "" } else { " (longer than the load)" },
            p99[0],
            p99[1],
            rolling["errors"],
            rolling["reconnects"],
        ));
        settings.record(&json!({
            "row": row.name, "round": number, "seconds": time, "steady": steady,
            "rolling": rolling,
        }))?;
        rounds.push(p99);
        errors += failed;
    }
    Ok(restarted(row, &rounds, errors))
}

/// How many requests came to nothing. Attempts to connect to a node that is away are none.
fn failed(said: &Value) -> u64 {
    let count = |name: &Value| name.as_u64().unwrap_or(0);
    count(&said["errs"]).saturating_sub(count(&said["errors"]["CONNECT"]))
}

/// What the rounds come to: p99 in milliseconds with restarts and without.
fn restarted(row: &Row, rounds: &[[f64; 2]], errors: u64) -> Vec<Finding> {
    let ratios: Vec<f64> = rounds.iter().map(|[rolling, steady]| rolling / steady).collect();
    let side = |at: usize| {
        let side: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
        median(&side).unwrap_or(0.0)
    };
    let Some(estimate) = Estimate::of(&ratios) else { return Vec::new() };
    let remark = format!(
        "at {RATE} requests/s; their connections closed under them, and clients send them again"
    );
    let rounds = ratios.len();
    vec![
        Finding {
            row: row.name,
            what: format!("{}: p99", row.what),
            estimate,
            goal: RESTART_GOAL,
            kind: Kind::Ratio {
                against: "the same load without restarts",
                sides: [side(0), side(1)],
                unit: "ms",
                cpu: None,
                others: 0.0,
            },
            rounds,
        },
        failed_requests(row, errors, remark, rounds),
    ]
}

/// Two nodes of five are killed at once, each pair in turn.
pub(super) fn two_deaths(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let mut store = stores.alone(FIVE, settings, driver)?;
    let nodes = store.ports.len();
    let (mut held, mut all) = (Vec::new(), Vec::new());
    for number in 1..=settings.kills {
        let step = number as usize - 1;
        let victims = [step % nodes + 1, (step + 1 + step / nodes % 2) % nodes + 1];
        leasehold::spread(&store, settings)?;
        let survivor = (1..=nodes).find(|node| !victims.contains(node)).unwrap_or(1);
        let shards = leasehold::shards(&store, settings, survivor)?;
        let mut command = load(driver, &store, AFTER_DEATH);
        command.args(["--pin", "--reads", "0"]);
        let client = Client::start(&mut command)?;
        interrupt::pause(Duration::from_secs_f64(WARM_UP + 0.2))?;
        leasehold::kill_all(&store, &victims)?;
        let said = client.finish(LIMIT)?;
        let outages = outages(&shards, &victims, &said);
        let each: Vec<f64> = outages.iter().map(|(_, millis)| *millis).collect();
        settings.say(&format!(
            "{} {number}/{}: nodes {victims:?} killed: {} of {} shards keep a quorum, the longest \
             outage {:.0} ms",
            row.name,
            settings.kills,
            outages.len(),
            shards.len(),
            largest(&each)
        ));
        settings.record(&json!({
            "row": row.name, "round": number, "victims": victims, "outages_ms": each,
            "said": said,
        }))?;
        held.extend(outages.iter().filter(|(died, _)| *died).map(|(_, millis)| *millis));
        all.extend(each);
        for node in victims {
            leasehold::restart(&mut store, settings, node)?;
        }
        for node in victims {
            leasehold::wait_for_replicas(&store, settings, node)?;
        }
    }
    all.sort_by(f64::total_cmp);
    let p99 = all.get((all.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0);
    let remark = format!(
        "of {} outages; the longest {} ms; median of the {} whose holder died {} ms",
        all.len(),
        short(largest(&all)),
        held.len(),
        short(median(&held).unwrap_or(0.0))
    );
    let what = format!("{}: outage of shards that keep a quorum, p99", row.what);
    Ok(vec![figure(row, what, p99, "ms", remark, OUTAGE_GOAL, settings.kills as usize)])
}

/// The longest time without an acknowledged write of each shard that keeps a quorum, in
/// milliseconds, and whether its holder is one of those that died.
fn outages(shards: &[Shard], victims: &[usize], said: &Value) -> Vec<(bool, f64)> {
    let died = |node: u64| victims.contains(&(node as usize));
    let gaps = leasehold::gaps(shards, said).into_iter();
    let kept = gaps.filter(|(shard, _)| {
        let dead = shard.voters.iter().filter(|node| died(**node)).count();
        2 * dead < shard.voters.len()
    });
    kept.map(|(shard, millis)| (died(shard.holder), millis)).collect()
}
