//! Runs that a broken rule shows in: the faults that it needs, and often.

use std::time::Duration;

use cluster::{Planting, Redirect};

use crate::aside::Variety;
use crate::faults::Fault;
use crate::plan::Plan;
use crate::workload::Class;
use crate::world::{MILLISECOND, SECOND};

/// What a run needs so that one broken rule shows in it.
struct Aim {
    faults: &'static [Fault],
    /// Mean time between two faults, in nanoseconds.
    interval: u64,
    /// Whatever else it takes.
    tune: fn(&mut Plan),
}

/// The rules that have an aim of their own. For all others any run will do, or a scenario is about
/// them.
const AIMS: &[(Planting, Aim)] = {
    use Fault::{
        ChangeCutOff, DiskCopiedBack, DiskFull, DiskLost, Isolate, Kill, Pause, PowerLoss,
        ReplicaChange, Split, Suspend, TotalPowerLoss, Transfer, TransferCutOff,
    };
    /// Leaders whose leases end while entries and reads are under way.
    const STALE_READS: Aim = Aim {
        faults: &[Pause, Isolate, Split],
        interval: 200 * MILLISECOND,
        tune: |plan| {
            quick_support(plan);
            plan.disk.delay = 5 * MILLISECOND;
            plan.workload.pipeline = 8;
            plan.network.delay = 4 * MILLISECOND;
            plan.network.ordered = false;
        },
    };
    &[
        (
            Planting::AnswerWithoutLease,
            Aim { faults: &[Isolate, Split, Pause], interval: 150 * MILLISECOND, tune: |_| {} },
        ),
        (
            Planting::KeepLeaseOverTransfer,
            Aim {
                faults: &[TransferCutOff],
                interval: SECOND,
                tune: |plan| {
                    // The holder must not notice for a while that the target is cut off from it.
                    slow_support(plan);
                    allow_transfers(plan, millis(800));
                },
            },
        ),
        (
            Planting::ForgetPromises,
            Aim {
                faults: &[Kill, Kill, PowerLoss, Isolate],
                interval: 150 * MILLISECOND,
                tune: |plan| {
                    slow_support(plan);
                    for settings in &mut plan.settings {
                        settings.campaign_step = millis(20);
                    }
                    plan.restart_max = 40 * MILLISECOND;
                },
            },
        ),
        (
            Planting::EarlyPersisted,
            Aim {
                faults: &[PowerLoss, TotalPowerLoss],
                interval: 1500 * MILLISECOND,
                tune: |plan| plan.disk.jitter = 10 * MILLISECOND,
            },
        ),
        (
            Planting::AcceptOlderDirectory,
            Aim {
                faults: &[DiskCopiedBack, Kill, Isolate],
                interval: 700 * MILLISECOND,
                tune: |_| {},
            },
        ),
        (
            Planting::ForwardTwice,
            Aim {
                faults: &[Transfer],
                interval: SECOND,
                tune: |plan| {
                    plan.network.duplicate_permille = 200;
                    plan.workload.classes = vec![Class::Register, Class::Counter, Class::Text];
                },
            },
        ),
        (
            Planting::TransactionNotNoted,
            Aim {
                faults: &[Kill, PowerLoss, TotalPowerLoss],
                interval: 700 * MILLISECOND,
                tune: |plan| {
                    // Segments must go while what a transaction wrote is not written again.
                    small_log(plan);
                    plan.workload.classes = vec![Class::Register, Class::Pair, Class::Watched];
                    plan.workload.value_bytes = 2000;
                    plan.workload.one_slot = false;
                },
            },
        ),
        (Planting::ReadWithoutRound, STALE_READS),
        (
            Planting::ResumeAfterTransfer,
            Aim {
                faults: &[TransferCutOff],
                interval: SECOND,
                tune: |plan| {
                    slow_support(plan);
                    allow_transfers(plan, millis(100));
                },
            },
        ),
        (
            Planting::IgnoreClockGap,
            Aim { faults: &[Suspend], interval: 700 * MILLISECOND, tune: |_| {} },
        ),
        (
            Planting::RemovedKeepsAll,
            Aim { faults: &[ReplicaChange], interval: 500 * MILLISECOND, tune: |_| {} },
        ),
        (
            Planting::FullDiskAcknowledges,
            Aim {
                faults: &[DiskFull, Kill, TotalPowerLoss],
                interval: 300 * MILLISECOND,
                tune: |plan| {
                    small_log(plan);
                    plan.workload.value_bytes = 2000;
                },
            },
        ),
        (
            Planting::LeaseOfOneConfiguration,
            Aim {
                faults: &[ChangeCutOff, DiskLost],
                interval: 500 * MILLISECOND,
                tune: quick_support,
            },
        ),
    ]
};

impl Aim {
    fn of(planting: Planting) -> Option<&'static Self> {
        AIMS.iter().find(|(known, _)| *known == planting).map(|(_, aim)| aim)
    }
}

fn slow_support(plan: &mut Plan) {
    for settings in &mut plan.settings {
        settings.support_duration = millis(1500);
        settings.beat_interval = millis(150);
    }
}

fn allow_transfers(plan: &mut Plan, time: Duration) {
    for settings in &mut plan.settings {
        settings.transfer_time = time;
    }
}

fn quick_support(plan: &mut Plan) {
    for settings in &mut plan.settings {
        settings.support_duration = millis(150);
        settings.beat_interval = millis(30);
        settings.campaign_step = millis(20);
    }
}

/// Segments go soon, though not so many are written that a node that keeps dying can't keep up.
fn small_log(plan: &mut Plan) {
    plan.workload.think = 40 * MILLISECOND;
    for settings in &mut plan.settings {
        settings.segment_bytes = 64 << 10;
        settings.log_bytes = 256 << 10;
    }
}

impl Plan {
    /// The same run with those faults, and often, that a broken rule needs to show. The rule itself
    /// is not broken by this.
    #[must_use]
    pub fn aimed_at(mut self, planting: Planting) -> Self {
        let Some(aim) = Aim::of(planting) else { return self };
        if self.lasting.is_some() {
            self = Self::draw_usual(self.seed);
        }
        self.faults = aim.faults.to_vec();
        self.fault_interval = aim.interval;
        self.workload.think = 8 * MILLISECOND;
        self.workload.clients = 8;
        self.workload.keys = 2;
        self.workload.classes = vec![Class::Register];
        self.workload.patience = 2 * SECOND;
        self.workload.variety = Variety::default();
        self.duration = 12 * SECOND;
        for settings in &mut self.settings {
            settings.redirect = Redirect::Never;
        }
        (aim.tune)(&mut self);
        self
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
