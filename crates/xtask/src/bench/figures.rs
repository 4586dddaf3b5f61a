//! Figures that are no speeds: memory for each key, and syncs for each write.

use std::time::Duration;

use serde_json::json;

use super::driver::{Driver, Load};
use super::process::Client;
use super::report::{Finding, Goal, Kind, short};
use super::rows::Row;
use super::statistics::{Estimate, largest};
use super::store::{Store, Stores, Target};
use super::{Settings, Trouble, interrupt, leasehold, machine};

/// How many keys are stored to measure the memory of one.
const MEMORY_KEYS: u64 = 1_000_000;
/// How long buffers may take to be given back before memory is read.
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// Of the peer's memory; ours holds what a replica needs beside the data.
const MEMORY_GOAL: Goal = Goal::AtMost(0.85);
const SYNCS_GOAL: Goal = Goal::AtMost(1.0 / 30.0);

/// Fresh stores of both kinds are filled once: growth hardly differs from run to run.
pub(super) fn memory(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    stores.clear();
    let targets = [Target::OURS, Target::RedisClusterOfOne];
    let mut grown = Vec::new();
    for target in targets {
        stores.need(&[target], settings)?;
        let store = stores.get(target)?;
        let before = resident(store)?;
        settings.say(&format!("filling {} with {MEMORY_KEYS} keys", target.name()));
        driver.fill(store, MEMORY_KEYS)?;
        interrupt::pause(SETTLE_TIME)?;
        let after = resident(store)?;
        let bytes: Vec<f64> =
            after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let each: Vec<f64> = bytes.iter().map(|bytes| bytes / MEMORY_KEYS as f64).collect();
        settings.say(&format!("{} {}: {each:.0?} bytes a key", row.name, target.name()));
        settings.record(&json!({"row": row.name, "target": target.name(), "bytes_a_key": each}))?;
        grown.push(largest(&each));
        // Filled stores are of no use to other rows.
        stores.clear();
    }
    let [ours, theirs] = [grown[0], grown[1]];
    let ratio = ours / theirs;
    Ok(vec![Finding {
        row: row.name,
        what: row.what.into(),
        estimate: Estimate { median: ratio, low: ratio, high: ratio },
        goal: MEMORY_GOAL,
        kind: Kind::Ratio {
            against: "one redis-server in cluster mode",
            sides: [ours, theirs],
            unit: "B",
            cpu: None,
            others: 0.0,
        },
        rounds: 1,
    }])
}

fn resident(store: &Store) -> Result<Vec<f64>, Trouble> {
    let bytes = |pid: &u32| {
        let bytes = machine::resident_bytes(*pid).map(|bytes| bytes as f64);
        bytes.ok_or_else(|| Trouble::Failed(format!("process {pid} has no memory")))
    };
    store.pids.iter().map(bytes).collect()
}

/// Syncs of all three nodes, by their own count.
pub(super) fn syncs(
    row: &Row,
    settings: &Settings,
    driver: &Driver,
    stores: &mut Stores,
) -> Result<Vec<Finding>, Trouble> {
    for target in stores.need(&[Target::OURS], settings)? {
        driver.prepare(stores.get(target)?, settings)?;
    }
    let store = stores.get(Target::OURS)?;
    let mut ratios = Vec::new();
    for number in 1..=settings.rounds {
        let mut command = driver.redis_load(store, &Load::set(50, 16));
        // Without a warm-up every write counts, as every sync does.
        command.args(["--pin-nodes", "--stall-ranges", "1", "--warm-up", "0"]);
        command.args(["--seconds", &settings.seconds.to_string()]);
        let before = leasehold::disk_writes(store)?;
        let said = Client::start(&mut command)?
            .finish(Duration::from_secs_f64(settings.seconds + 60.0))?;
        let syncs = leasehold::disk_writes(store)?.saturating_sub(before);
        let writes = said["ops"].as_f64().unwrap_or(0.0);
        if writes <= 0.0 {
            return Err(Trouble::Failed(format!("nothing was written: {said}")));
        }
        settings.say(&format!(
            "{} {number}/{}: {syncs} syncs, {} writes",
            row.name,
            settings.rounds,
            short(writes)
        ));
        settings.record(&json!({
            "row": row.name, "round": number, "syncs": syncs, "said": said,
        }))?;
        ratios.push(syncs as f64 / writes);
    }
    let Some(estimate) = Estimate::of(&ratios) else { return Ok(Vec::new()) };
    let remark = format!("one sync for {} writes", short(1.0 / estimate.median));
    Ok(vec![Finding {
        row: row.name,
        what: row.what.into(),
        estimate,
        goal: SYNCS_GOAL,
        kind: Kind::Figure { unit: "", remark },
        rounds: ratios.len(),
    }])
}
