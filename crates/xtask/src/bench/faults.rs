//! What clients notice when a holder dies and when leases move: the longest time without an
//! answer, what failed, what was lost. A cluster of its own with default settings.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::driver::{Driver, Load, read};
use super::leasehold;
use super::process::{Client, Folder};
use super::report::{Finding, Goal, Kind, short};
use super::rows::Row;
use super::statistics::{Estimate, largest, median};
use super::store::{Store, Stores, Target};
use super::{Settings, Trouble, interrupt};
use crate::Failure;

/// Clients: three for each of the 16 shards.
const CLIENTS: u32 = 48;
/// How long the load goes before gaps count, in seconds.
const WARM_UP: f64 = 1.0;
/// How long after that the holder is killed, in seconds.
const KILL_AFTER: f64 = 0.2;
/// How long gaps count, in seconds: it includes the death and leaves time to come back.
const KILL_SECONDS: f64 = 3.2;
/// Between two orders to move a lease.
const TRANSFER_PAUSE: Duration = Duration::from_millis(100);
/// How long checking a history may take.
const CHECK_TIME: Duration = Duration::from_secs(300);

const FAILOVER_GOAL: Goal = Goal::AtMost(1_500.0);
const ELSEWHERE_GOAL: Goal = Goal::AtMost(100.0);
const STALL_GOAL: Goal = Goal::AtMost(20.0);

/// What clients saw in one window of load, with or without a kill in it.
struct Window {
    /// Longest time without an acknowledged write in a shard of the victim, in ms.
    victim: f64,
    /// The same in a shard of another node.
    elsewhere: f64,
    acknowledged: u64,
    /// Acknowledged writes that a read at the end does not show, and other violations.
    lost: u64,
    /// Acknowledged writes and keys that could not be judged.
    unjudged: u64,
}

pub(super) fn failover(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let mut store = stores.alone(Target::OURS, settings, driver)?;
    let (mut kills, mut still) = (Vec::new(), Vec::new());
    for number in 1..=settings.kills {
        let victim = (number as usize - 1) % store.ports.len() + 1;
        leasehold::spread(&store, settings)?;
        // The same shards under the same load: what no kill has to answer for.
        let (calm, _) = one_window(&store, victim, Kill::No, settings, driver)?;
        let (kill, said) = one_window(&store, victim, Kill::Yes, settings, driver)?;
        settings.say(&format!(
            "{} {number}/{}: node {victim} killed: its shards {:.0} ms, others {:.0} ms (without \
             a kill {:.0}), {} lost of {}",
            row.name,
            settings.kills,
            kill.victim,
            kill.elsewhere,
            calm.elsewhere,
            kill.lost,
            short(kill.acknowledged as f64)
        ));
        settings.record(&json!({
            "row": row.name, "round": number, "victim_gap_ms": kill.victim,
            "others_gap_ms": kill.elsewhere, "others_gap_without_kill_ms": calm.elsewhere,
            "acknowledged": kill.acknowledged, "lost": kill.lost, "said": said,
        }))?;
        still.push(calm.elsewhere);
        kills.push(kill);
        leasehold::restart(&mut store, settings, victim)?;
    }
    let each = |of: &dyn Fn(&Window) -> f64| kills.iter().map(of).collect::<Vec<f64>>();
    let acknowledged: f64 = kills.iter().map(|kill| kill.acknowledged as f64).sum();
    let lost: u64 = kills.iter().map(|kill| kill.lost).sum();
    let unjudged: u64 = kills.iter().map(|kill| kill.unjudged).sum();
    let worst = |what: &str, values: &[f64], beside: &str, goal| {
        let middle = median(values).unwrap_or(0.0);
        let remark = format!("the worst of all kills; median {} ms{beside}", short(middle));
        figure(row, what.into(), largest(values), "ms", remark, goal, kills.len())
    };
    let calm = without_kills(&still);
    Ok(vec![
        worst(
            "kill -9 of a holder to the next acknowledged write of its shards",
            &each(&|kill| kill.victim),
            "",
            FAILOVER_GOAL,
        ),
        worst(
            "longest gap then of shards held elsewhere",
            &each(&|kill| kill.elsewhere),
            &calm,
            ELSEWHERE_GOAL,
        ),
        figure(
            row,
            "acknowledged writes lost".into(),
            lost as f64,
            "",
            format!("of {}; {unjudged} could not be judged", short(acknowledged)),
            Goal::AtMost(0.0),
            kills.len(),
        ),
    ])
}

/// The gaps of windows without a kill, in words.
fn without_kills(gaps: &[f64]) -> String {
    let middle = median(gaps).unwrap_or(0.0);
    format!("; as long before each kill {} ms, median {} ms", short(largest(gaps)), short(middle))
}

pub(super) fn figure(
    row: &Row,
    what: String,
    value: f64,
    unit: &'static str,
    remark: String,
    goal: Goal,
    rounds: usize,
) -> Finding {
    Finding {
        row: row.name,
        what,
        estimate: Estimate { median: value, low: value, high: value },
        goal,
        kind: Kind::Figure { unit, remark },
        rounds,
    }
}

/// Requests that came to nothing while something was done that should cost none.
pub(super) fn failed_requests(row: &Row, errors: u64, remark: String, rounds: usize) -> Finding {
    let what = format!("{}: failed requests", row.what);
    figure(row, what, errors as f64, "", remark, Goal::AtMost(0.0), rounds)
}

/// Whether a window has a kill in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kill {
    Yes,
    No,
}

/// One window of load, in which the victim is killed or not.
fn one_window(
    store: &Store,
    victim: usize,
    kill: Kill,
    settings: &Settings,
    driver: &Driver,
) -> Result<(Window, Value), Trouble> {
    let shards = leasehold::shards(store, settings, 1)?;
    // In memory, so that the history's bytes are no work for the disk that is measured.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { PathBuf::from(memory) } else { settings.dir.clone() };
    let folder = Folder::new(&parent, "history")?;
    let history = folder.path().join("history.jsonl");
    let mut command = driver.redis_load(store, &Load::set(CLIENTS, 16));
    command.args(["--pin", "--value-size", "100", "--warm-up", &WARM_UP.to_string()]);
    command.args(["--seconds", &KILL_SECONDS.to_string(), "--history"]).arg(&history);
    let client = Client::start(&mut command)?;
    if kill == Kill::Yes {
        interrupt::pause(Duration::from_secs_f64(WARM_UP + KILL_AFTER))?;
        leasehold::kill(store, victim)?;
    }
    let said = client.finish(CHECK_TIME)?;
    let mut check = driver.own(&["check", "--json"]);
    let checked = Client::start(check.arg(&history))?.finish(CHECK_TIME)?;
    let number = |name: &str| checked[name].as_u64().unwrap_or(0);
    let mut gaps = [0.0_f64; 2];
    for (shard, millis) in leasehold::gaps(&shards, &said) {
        let place = usize::from(shard.holder != victim as u64);
        gaps[place] = gaps[place].max(millis);
    }
    let [victim, elsewhere] = gaps;
    let lost = number("lost") + number("violations");
    let acknowledged = number("acknowledged");
    let unjudged = acknowledged - number("checked").min(acknowledged) + number("undecided");
    let window = Window { victim, elsewhere, acknowledged, lost, unjudged };
    let said = json!({"load": said, "check": checked});
    Ok((window, said))
}

/// Loads with and without moves take turns, so that it can be seen what the moves cost.
pub(super) fn transfer(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    let store = stores.alone(Target::OURS, settings, driver)?;
    let (mut stalls, mut still, mut errors, mut moves) = (Vec::new(), Vec::new(), 0, 0);
    for number in 1..=settings.rounds {
        leasehold::spread(&store, settings)?;
        let (calm, _) = loaded(&store, settings, driver, &mut |_| Ok(()))?;
        leasehold::spread(&store, settings)?;
        let mut moved = 0;
        let (stall, failed) = loaded(&store, settings, driver, &mut |client| {
            moved = move_leases(&store, settings, client)?;
            Ok(())
        })?;
        settings.say(&format!(
            "{} {number}/{}: {moved} moves, longest stall {stall:.1} ms (without moves {calm:.1}), \
             {failed} failed",
            row.name, settings.rounds
        ));
        settings.record(&json!({
            "row": row.name, "round": number, "moves": moved, "stall_ms": stall,
            "stall_without_moves_ms": calm, "failed": failed,
        }))?;
        stalls.push(stall);
        still.push(calm);
        (errors, moves) = (errors + failed, moves + moved);
    }
    let remark = format!(
        "the worst of {moves} moves; median of the rounds {} ms, without moves {} ms",
        short(median(&stalls).unwrap_or(0.0)),
        short(median(&still).unwrap_or(0.0))
    );
    let what = format!("{}: longest stall of any request", row.what);
    let rounds = stalls.len();
    Ok(vec![
        figure(row, what, largest(&stalls), "ms", remark, STALL_GOAL, rounds),
        failed_requests(row, errors, format!("{moves} moves"), rounds),
    ])
}

/// A load beside which something is done: its longest latency in milliseconds, and its errors.
fn loaded(
    store: &Store,
    settings: &Settings,
    driver: &Driver,
    meanwhile: &mut dyn FnMut(&mut Client) -> Result<(), Failure>,
) -> Result<(f64, u64), Trouble> {
    let mut command = driver.redis_load(store, &Load::set(CLIENTS, 1));
    command.args(["--pin", "--keep-going", "--reads", "0.5", "--warm-up", "0.3"]);
    command.args(["--seconds", &settings.seconds.to_string()]);
    let mut client = Client::start(&mut command)?;
    meanwhile(&mut client)?;
    let said = client.finish(Duration::from_secs_f64(settings.seconds + 60.0))?;
    let run = read(said, 0.0)?;
    Ok((run.max / 1_000.0, run.errors))
}

/// Moves one lease after the other to the next node until the load ends; how many moved.
fn move_leases(store: &Store, settings: &Settings, client: &mut Client) -> Result<u64, Failure> {
    let mut shards = leasehold::shards(store, settings, 1)?;
    let nodes = store.ports.len() as u64;
    // Orders that come after the load has ended would move what nobody looks at.
    let until = Instant::now() + Duration::from_secs_f64(settings.seconds);
    let (mut moved, mut at) = (0, 0);
    while Instant::now() < until && !client.has_ended() && !shards.is_empty() {
        interrupt::pause(TRANSFER_PAUSE)?;
        let count = shards.len();
        let shard = &mut shards[at % count];
        let next = shard.holder % nodes + 1;
        if leasehold::transfer(store, shard.number, next).is_ok() {
            shard.holder = next;
            moved += 1;
        }
        at += 1;
    }
    Ok(moved)
}
