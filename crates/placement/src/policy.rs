//! Every threshold of the manager, with its unit, range and default.
//!
//! The defaults come from a survey of placement engines; the comment on each says whose figure it
//! is. Shares are parts of one node's capacity unless the text says otherwise: a threshold tied to
//! capacity leaves a lightly loaded cluster alone (Dicer, Slicer, Service Fabric all do so).

use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// One setting's description: the source of its documentation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setting {
    /// The field of [`Policy`].
    pub name: &'static str,
    /// What the number counts.
    pub unit: &'static str,
    /// The least value allowed.
    pub least: f64,
    /// The largest value allowed.
    pub most: f64,
    /// What it does and where the default is from.
    pub text: &'static str,
}

/// A value that can be compared with a range, and made of a number that lies in it.
trait Number: Sized {
    fn number(&self) -> f64;
    /// `None` if the number is between two values of the kind.
    fn of(number: f64) -> Option<Self>;
}

impl Number for f64 {
    fn number(&self) -> f64 {
        *self
    }

    fn of(number: f64) -> Option<Self> {
        Some(number)
    }
}

impl Number for u32 {
    fn number(&self) -> f64 {
        f64::from(*self)
    }

    fn of(number: f64) -> Option<Self> {
        let whole = number as Self;
        (f64::from(whole) == number).then_some(whole)
    }
}

/// Durations are given in seconds.
impl Number for Duration {
    fn number(&self) -> f64 {
        self.as_secs_f64()
    }

    fn of(number: f64) -> Option<Self> {
        Self::try_from_secs_f64(number).ok()
    }
}

macro_rules! policy {
    ($($(#[doc = $text:literal])+ $name:ident: $kind:ty = $default:expr,
       $unit:literal, $least:literal to $most:literal;)*) => {
        /// The thresholds, weights, budgets and times of the manager.
        #[derive(Clone, PartialEq, Debug)]
        pub struct Policy {
            $($(#[doc = $text])+ pub $name: $kind,)*
        }

        impl Default for Policy {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Policy {
            /// All settings in the order of the fields.
            pub const SETTINGS: &'static [Setting] = &[$(Setting {
                name: stringify!($name),
                unit: $unit,
                least: $least,
                most: $most,
                text: concat!($($text,)+),
            },)*];

            /// The value of each setting, in the order of [`Policy::SETTINGS`]; durations in
            /// seconds.
            pub fn numbers(&self) -> impl Iterator<Item = f64> {
                [$(self.$name.number(),)*].into_iter()
            }

            /// Takes a number for a setting whose range it lies in; durations in seconds. `None`
            /// if there is no such setting, or only whole numbers fit it.
            fn put(&mut self, name: &str, value: f64) -> Option<()> {
                match name {
                    $(stringify!($name) => self.$name = Number::of(value)?,)*
                    _ => return None,
                }
                Some(())
            }
        }
    };
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

policy! {
    /// Time constant of the fast average of a load.
    fast: Duration = seconds(3), "s", 0.5 to 60.0;
    /// Time constant of the slow average, which answers "is a move worth it".
    slow: Duration = seconds(30), "s", 5.0 to 600.0;
    /// A shard's load has really changed, and the slow average jumps to the fast one, when they
    /// differ by so many mean deviations.
    change: f64 = 3.0, "mean deviations", 1.0 to 20.0;
    /// A node that has not reported for so long is silent: no candidate, and not waited for.
    silent_after: Duration = seconds(3), "s", 1.0 to 60.0;
    /// A shard that nobody has reported to hold for so long is assigned.
    orphan_after: Duration = seconds(3), "s", 0.5 to 60.0;

    /// Half the width of the band around the mean in which a node's utilisation costs nothing
    /// (Dicer: 0.1, tight 0.025).
    band: f64 = 0.05, "share of a node", 0.01 to 0.4;
    /// Below this, a node is left alone unless it is `uneven`.
    calm: f64 = 0.5, "share of a node", 0.0 to 1.0;
    /// Below this, a node is left alone in any case (Slicer: 0.25).
    floor: f64 = 0.25, "share of a node", 0.0 to 1.0;
    /// A calm node gives load away above so many times the mean.
    uneven: f64 = 1.25, "times the mean", 1.0 to 10.0;
    /// A node that isn't calm gives load away above so many times the mean (CockroachDB: 1.1).
    overfull: f64 = 1.1, "times the mean", 1.0 to 10.0;
    /// A node that gives load away stops below so many times the mean.
    enough: f64 = 1.05, "times the mean", 1.0 to 10.0;
    /// A node below so many times the mean is filled.
    hungry: f64 = 0.75, "times the mean", 0.0 to 1.0;
    /// Above this, a node that is `overfull` is urgent: one round of proof is enough, budgets are
    /// wider.
    urgent: f64 = 0.85, "share of a node", 0.1 to 1.0;
    /// A shard that queues longer than this in the 99th percentile makes its node urgent, if the
    /// node is above the mean: half of a latency goal.
    queue_time_max: Duration = Duration::from_millis(20), "s", 0.0001 to 10.0;
    /// A node that is used beyond this, and whose requests queue, is full: it would do more if it
    /// could.
    full: f64 = 0.95, "share of a node", 0.5 to 1.0;
    /// The shards of a full node are taken for so many times what was measured, because only what
    /// was served could be measured.
    stretch: f64 = 1.5, "times", 1.0 to 4.0;
    /// So many rounds in a row must show that a node is overfull or hungry. Beyond `uneven`, and
    /// for urgent nodes, one is enough.
    confirmations: u32 = 3, "rounds", 1.0 to 60.0;

    /// A shard's load is taken for so many times what was measured when a target is judged
    /// (CockroachDB: 1.1).
    overestimate: f64 = 1.1, "times", 1.0 to 2.0;
    /// Least total of a bid that moves a lease.
    gain_min: f64 = 0.02, "score", 0.0 to 10.0;
    /// Least total of a bid that moves a lease, as a part of what the holder's load costs. With
    /// 0.05, a node that has only small shards left to give is stuck far above the mean.
    gain_share_min: f64 = 0.01, "share of the holder's cost", 0.0 to 1.0;
    /// What a move costs, as a part of the shard's load (Dicer: 0.25).
    churn: f64 = 0.25, "times the shard's load", 0.0 to 10.0;
    /// In which time the extra cost of a shard that has just moved fades.
    churn_fade: Duration = seconds(30), "s", 1.0 to 3600.0;
    /// Weight of the room that a candidate has left. Orders candidates that cost the same.
    room_weight: f64 = 0.02, "score", 0.0 to 1.0;
    /// Weight of the lag of a candidate, at the most that is allowed.
    lag_weight: f64 = 0.01, "score", 0.0 to 1.0;
    /// Bonus of a candidate that holds a neighbouring range: keeps CLUSTER SLOTS short. A part of
    /// the mean load of a shard.
    neighbour_weight: f64 = 0.02, "times the mean shard", 0.0 to 1.0;
    /// Weight of the clients' nearness; 0 switches it off. Without effect in a single zone.
    /// CockroachDB retired its like (2026): gated, and to be measured with and without.
    proximity_weight: f64 = 1.0, "score", 0.0 to 10.0;
    /// So large a part of a shard's requests must come from one place for nearness to count.
    proximity_share_min: f64 = 0.6, "share of the requests", 0.0 to 1.0;
    /// For so long they must have come from there.
    proximity_hold: Duration = seconds(60), "s", 0.0 to 3600.0;
    /// So many requests a shard must have had since then.
    proximity_samples_min: f64 = 1000.0, "requests", 0.0 to 1000000.0;
    /// A move for nearness alone must save so much of the mean round trip.
    proximity_saving_min: Duration = Duration::from_millis(5), "s", 0.0 to 10.0;

    /// Most entries that a candidate may be behind, beside those that are on their way to it.
    lag_entries_max: u32 = 64, "entries", 0.0 to 1000000.0;
    /// Most time that a candidate may be behind; either limit is enough to be fit.
    lag_time_max: Duration = Duration::from_millis(50), "s", 0.0 to 60.0;
    /// A node whose log takes longer than this for an fsync (99th percentile) is no candidate.
    fsync_max: Duration = Duration::from_millis(500), "s", 0.001 to 60.0;

    /// Least number of moves that one round may begin for nodes that aren't urgent (CockroachDB:
    /// 8 in each pass).
    round_moves_floor: u32 = 16, "moves", 1.0 to 1024.0;
    /// Moves that one round may begin for nodes that aren't urgent, as a part of all shards.
    round_moves_share: f64 = 0.01, "share of the shards", 0.0 to 1.0;
    /// Moves that may be made up for after a quiet time. A move of a lease stalls one shard for
    /// milliseconds; a hot spot of six nodes takes about fifty.
    move_burst: u32 = 64, "moves", 1.0 to 1024.0;
    /// Moves in the long run.
    move_rate: f64 = 4.0, "moves per s", 0.001 to 1000.0;
    /// Moves towards one node at a time.
    inbound_max: u32 = 16, "moves", 1.0 to 1024.0;
    /// An overfull node waits for what is under way when it gives away so much of its load. An
    /// urgent node doesn't.
    pending_share_max: f64 = 0.3, "share of the node's load", 0.0 to 1.0;
    /// A move that has not happened after this time is given up.
    move_timeout: Duration = seconds(5), "s", 0.5 to 600.0;
    /// A shard whose move failed rests for so long (CockroachDB: 60 s).
    failure_back_off: Duration = seconds(60), "s", 0.0 to 3600.0;
    /// A shard that has moved rests for so long; doubled when it moves again soon.
    cool_down: Duration = seconds(30), "s", 0.0 to 3600.0;
    /// The longest such rest.
    cool_down_max: Duration = seconds(600), "s", 0.0 to 36000.0;
    /// A shard rests for so long only if its node is urgent or beyond `uneven`. It still doesn't
    /// return to where it came from.
    cool_down_urgent: Duration = seconds(5), "s", 0.0 to 3600.0;
    /// A shard doesn't return to the node it came from before this time is over. Failover, drain
    /// and pins excepted.
    return_after: Duration = seconds(60), "s", 0.0 to 3600.0;

    /// The succession of a shard is written anew when another first heir is better by this.
    succession_margin: f64 = 0.05, "score", 0.0 to 10.0;
    /// The succession of a shard is looked at once in this time.
    succession_interval: Duration = seconds(5), "s", 0.1 to 3600.0;
    /// Successions that one round may write anew.
    succession_round_max: u32 = 64, "shards", 1.0 to 1024.0;

    /// Replicas that a shard should have at least: where there are more, they stay as long as
    /// their nodes do.
    replicas: u32 = 3, "replicas", 1.0 to 7.0;
    /// The replicas of a node that has been silent for so long are rebuilt elsewhere.
    repair_after: Duration = seconds(300), "s", 5.0 to 86400.0;
    /// A node must have been overfull for so long, without a lease that could leave, before a
    /// replica is moved for it (CockroachDB: 2 min).
    replica_grace: Duration = seconds(120), "s", 0.0 to 86400.0;
    /// Moves of replicas at a time in the whole cluster; one for each target.
    replica_moves_max: u32 = 2, "moves", 1.0 to 64.0;
    /// A move of a replica that has not happened after this time is given up.
    replica_timeout: Duration = seconds(600), "s", 1.0 to 86400.0;
    /// Replicas are spread when a node has so many more of them than another node.
    replica_spread: f64 = 1.25, "times the mean", 1.0 to 10.0;
    /// A node whose memory is filled beyond this takes no replica.
    memory_max: f64 = 0.8, "share of a node", 0.1 to 1.0;

    /// When so large a part of the nodes is lost or restarts, the manager stops moving: perhaps
    /// its moves are what kills them (Dicer's key of death: 0.25).
    crash_share_max: f64 = 0.25, "share of the nodes", 0.0 to 1.0;
    /// In which time they are counted, and for how long nothing moves.
    crash_window: Duration = seconds(60), "s", 1.0 to 3600.0;
    /// Records of decisions that are kept.
    records_max: u32 = 4096, "records", 16.0 to 1000000.0;
}

/// Why a policy is not acceptable.
#[derive(Clone, PartialEq, Debug)]
pub enum InvalidPolicy {
    /// There is no setting of this name.
    Unknown(String),
    /// A value is between two whole numbers.
    NotWhole {
        /// The setting.
        setting: Setting,
        /// The value.
        value: f64,
    },
    /// A value is not a number or outside its range.
    OutOfRange {
        /// The setting.
        setting: Setting,
        /// The value; durations in seconds.
        value: f64,
    },
    /// Two settings contradict each other.
    Contradiction(&'static str),
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no setting `{name}`"),
            Self::NotWhole { setting: Setting { name, least, most, .. }, value } => {
                write!(f, "`{name}` is {value}; it must be a whole number from {least} to {most}")
            }
            Self::OutOfRange { setting: Setting { name, unit, least, most, .. }, value } => {
                write!(f, "`{name}` is {value}; it must be between {least} and {most} {unit}")
            }
            Self::Contradiction(text) => f.write_str(text),
        }
    }
}

impl core::error::Error for InvalidPolicy {}

impl Policy {
    /// Changes one setting, by its name. Whether the whole is still free of contradictions is for
    /// [`Policy::validate`] to say, when all changes are made.
    ///
    /// # Errors
    /// If there is no such setting, or the value is out of its range; nothing has changed then.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), InvalidPolicy> {
        let Some(setting) = Self::SETTINGS.iter().find(|setting| setting.name == name) else {
            return Err(InvalidPolicy::Unknown(name.into()));
        };
        if !(setting.least..=setting.most).contains(&value) {
            return Err(InvalidPolicy::OutOfRange { setting: *setting, value });
        }
        self.put(name, value).ok_or(InvalidPolicy::NotWhole { setting: *setting, value })
    }

    /// Checks every setting against its range, and the relations between them.
    ///
    /// # Errors
    /// For the first setting that is out of its range, or the first contradiction.
    pub fn validate(&self) -> Result<(), InvalidPolicy> {
        for (setting, value) in Self::SETTINGS.iter().zip(self.numbers()) {
            if !(setting.least..=setting.most).contains(&value) {
                return Err(InvalidPolicy::OutOfRange { setting: *setting, value });
            }
        }
        let relations = [
            (self.fast <= self.slow, "`fast` must not be longer than `slow`"),
            (self.enough <= self.overfull, "`enough` must not be more than `overfull`"),
            (self.overfull <= self.uneven, "`overfull` must not be more than `uneven`"),
            (self.floor <= self.calm, "`floor` must not be more than `calm`"),
            (self.calm <= self.urgent, "`calm` must not be more than `urgent`"),
            (self.cool_down <= self.cool_down_max, "`cool_down` exceeds `cool_down_max`"),
            (self.cool_down_urgent <= self.cool_down, "`cool_down_urgent` exceeds `cool_down`"),
            (self.silent_after < self.repair_after, "`repair_after` must exceed `silent_after`"),
        ];
        match relations.iter().find(|(holds, _)| !holds) {
            Some((_, text)) => Err(InvalidPolicy::Contradiction(text)),
            None => Ok(()),
        }
    }

    /// The settings as a table in Markdown: the documentation is made of it.
    #[must_use]
    pub fn describe() -> String {
        let mut table = String::from("| setting | default | range | unit | what |\n");
        table.push_str("|---|---|---|---|---|\n");
        let defaults = Self::default();
        for (setting, value) in Self::SETTINGS.iter().zip(defaults.numbers()) {
            let Setting { name, unit, least, most, text } = setting;
            table.push_str(&alloc::format!(
                "| `{name}` | {value} | {least} to {most} | {unit} |{text} |\n"
            ));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_described() {
        Policy::default().validate().expect("the defaults are valid");
        let table = Policy::describe();
        assert!(table.contains("| `band` | 0.05 | 0.01 to 0.4 | share of a node | Half"));
        assert_eq!(table.lines().count(), Policy::SETTINGS.len() + 2);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let refusal = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            alloc::format!("{}", policy.validate().expect_err("must be refused"))
        };
        assert_eq!(
            refusal(|policy| policy.band = f64::NAN),
            "`band` is NaN; it must be between 0.01 and 0.4 share of a node"
        );
        assert_eq!(
            refusal(|policy| policy.slow = Duration::from_secs(1000)),
            "`slow` is 1000; it must be between 5 and 600 s"
        );
        assert_eq!(
            refusal(|policy| policy.enough = 1.2),
            "`enough` must not be more than `overfull`"
        );
    }

    #[test]
    fn settings_are_changed_by_name() {
        let mut policy = Policy::default();
        for (name, value) in [("band", 0.1), ("cool_down", 2.5), ("confirmations", 5.0)] {
            policy.set(name, value).expect("a good value");
        }
        assert_eq!((policy.band, policy.confirmations), (0.1, 5));
        assert_eq!(policy.cool_down, Duration::from_millis(2500));
        let before = policy.clone();
        for (name, value, words) in [
            ("bnad", 0.1, "no setting `bnad`"),
            ("band", f64::NAN, "between 0.01 and 0.4"),
            ("cool_down", -1.0, "between 0 and 3600"),
            ("confirmations", 2.5, "whole number"),
        ] {
            let refused = policy.set(name, value).expect_err("must be refused");
            assert!(alloc::format!("{refused}").contains(words), "{refused}");
        }
        assert_eq!(policy, before);
        // Whatever can be read can be written.
        for (setting, value) in Policy::SETTINGS.iter().zip(before.numbers()) {
            policy.set(setting.name, value).expect("it was in force");
        }
        assert_eq!(policy, before);
    }
}
