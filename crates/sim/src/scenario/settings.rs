//! How a scenario begins.
//!
//! - `cluster nodes=3 shards=1 [support=900ms] [beat=100ms] [park=..] [log=..] [segment=..]`
//!   begins, and waits until every shard has its first holder; `settings n2 support=300ms ...`
//!   before it sets one node apart. `spares=1`: the last machine is off and no member yet;
//!   `managers=3`: the last three members are dedicated managers.
//!   `managed=yes` lets the Lease Manager act, with `policy.NAME=1.5` by that policy.
//!   `planted=RULE` breaks a rule of `cluster::Planting`, on all nodes or on one.

use std::time::Duration;

use cluster::{Planting, Role, Settings};
use types::NodeId;

use super::{PATIENCE, Result, ScenarioError, Stage, fail, time};
use crate::machine::DiskProfile;
use crate::network::NetworkProfile;
use crate::plan::members;
use crate::trace::TraceMode;
use crate::world::{Event, MachineProfile, SECOND, World};

fn setting(settings: &mut Settings, name: &str, value: &str) -> Result<()> {
    let duration = || time(value).map(Duration::from_nanos);
    let count = || {
        let count = value.parse::<u64>().ok();
        count.map_or_else(|| fail(format!("`{value}` is no number")), Ok)
    };
    match name {
        "managed" => settings.managed = value == "yes",
        "shards" => settings.shards = count()? as u16,
        "replicas" => settings.replicas = count()? as usize,
        "support" => settings.support_duration = duration()?,
        "beat" => settings.beat_interval = duration()?,
        "park" => settings.park_time = duration()?,
        "request" => settings.request_time = duration()?,
        "transfer" => settings.transfer_time = duration()?,
        "step" => settings.campaign_step = duration()?,
        "segment" => settings.segment_bytes = count()?,
        "turn" => settings.turn_divisor = count()?,
        "log" => settings.log_bytes = count()?,
        "memory" => settings.memory = count()?,
        "disk-reserve" => settings.disk_reserve = count()?,
        "queue" => settings.shard_queue_bytes = count()? as usize,
        "piece" => settings.piece_bytes = count()? as usize,
        "window" => settings.log_window = count()? as usize,
        "long" => settings.long_bytes = count()? as usize,
        "answers" => settings.answers_bytes = count()? as usize,
        "persist" => settings.persist_bytes = count()? as usize,
        "redirect" => {
            settings.redirect = match value {
                "always" => cluster::Redirect::Always,
                "never" => cluster::Redirect::Never,
                _ => return fail(format!("`{value}` is no way to redirect")),
            }
        }
        "planted" => match Planting::named(value) {
            Some(planting) => settings.planted.insert(planting),
            None => return fail(format!("there is no rule `{value}` to break")),
        },
        _ => {
            let Some(name) = name.strip_prefix("policy.") else {
                return fail(format!("there is no setting `{name}`"));
            };
            let value = value.parse().unwrap_or(f64::NAN);
            settings.policy.set(name, value).map_err(|error| ScenarioError(error.to_string()))?;
        }
    }
    Ok(())
}

impl Stage {
    pub(super) fn begin(&mut self, pairs: &[&str]) -> Result<String> {
        let (mut nodes, mut spares, mut managers) = (3, 0, 0);
        let mut base = Settings::new(NodeId(1), Vec::new());
        base.shards = 1;
        // Named one by one, so that what scenarios show does not depend on the defaults.
        base.redirect = cluster::Redirect::Never;
        base.beat_interval = Duration::from_millis(100);
        base.support_duration = Duration::from_millis(900);
        base.clock_drift_permille = 50;
        base.clock_gap = Duration::from_millis(500);
        base.park_time = Duration::from_millis(1500);
        base.request_time = Duration::from_secs(5);
        base.transfer_time = Duration::from_millis(500);
        base.campaign_step = Duration::from_millis(150);
        // Most scenarios are about leases that nobody moves; `managed=yes` lets the manager act.
        base.managed = false;
        for pair in pairs {
            match pair.split_once('=') {
                Some(("nodes", count)) => nodes = count.parse().unwrap_or(3),
                Some(("spares", count)) => spares = count.parse().unwrap_or(0),
                Some(("managers", count)) => managers = count.parse().unwrap_or(0),
                Some((name, value)) => setting(&mut base, name, value)?,
                None => return fail(format!("`{pair}` is no setting")),
            }
        }
        let founders = nodes - spares;
        base.members = members(founders);
        for dedicated in base.members.iter_mut().rev().take(managers) {
            dedicated.role = Role::Manager;
        }
        let mut profiles = Vec::new();
        for at in 0..nodes {
            let mut settings = Settings { node: NodeId(at as u32 + 1), ..base.clone() };
            if at >= founders {
                // It knows itself and whom to ask.
                settings.members.truncate(1);
                settings.members.extend(members(at + 1).pop());
            }
            for (name, value) in self.apart.get(&at).into_iter().flatten() {
                setting(&mut settings, name, value)?;
            }
            let disk = DiskProfile::without_chance();
            let clock_offset = (at as u64 + 1) * 1000 * SECOND;
            profiles.push(MachineProfile { settings, clock_offset, clock_rate: 0, disk });
        }
        let network = NetworkProfile::without_chance();
        let mut world = World::new(1, profiles, network, TraceMode::Last(1_000_000));
        world.trace.prints(self.prints);
        for node in 0..founders {
            world.schedule(0, Event::Start { node });
        }
        self.world = Some(world);
        let end = self.world()?.now() + PATIENCE;
        // And the system shard.
        let shards = usize::from(base.shards) + 1;
        let begun = self.until(end, |stage| stage.count_holders() == shards)?;
        Ok(if begun { String::new() } else { String::from("no holders\n") })
    }
}
