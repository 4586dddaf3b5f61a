//! Runs that a broken rule shows in: the faults that it needs, and often.

use std::time::Duration;

use cluster::{Planting, Redirect};

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

impl Aim {
    /// `None`: any run will do, or none has been found yet.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most rules have no aim of their own")]
    fn of(planting: Planting) -> Option<Self> {
        use Fault::{
            DiskCopiedBack, Isolate, Kill, Pause, PowerLoss, Split, TotalPowerLoss, TransferCutOff,
        };
        Some(match planting {
            Planting::AnswerWithoutLease => {
                Self { faults: &[Isolate, Split, Pause], interval: 150 * MILLISECOND, tune: |_| {} }
            }
            Planting::KeepLeaseOverTransfer => Self {
                faults: &[TransferCutOff],
                interval: SECOND,
                tune: |plan| {
                    // The holder must not notice for a while that the target is cut off from it.
                    slow_support(plan);
                    for settings in &mut plan.settings {
                        settings.transfer_time = millis(800);
                    }
                },
            },
            Planting::ForgetPromises => Self {
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
            Planting::EarlyPersisted => Self {
                faults: &[PowerLoss, TotalPowerLoss],
                interval: 1500 * MILLISECOND,
                tune: |plan| plan.disk.jitter = 10 * MILLISECOND,
            },
            Planting::AcceptOlderDirectory => Self {
                faults: &[DiskCopiedBack, Kill, Isolate],
                interval: 700 * MILLISECOND,
                tune: |_| {},
            },
            _ => return None,
        })
    }
}

fn slow_support(plan: &mut Plan) {
    for settings in &mut plan.settings {
        settings.support_duration = millis(1500);
        settings.beat_interval = millis(150);
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
