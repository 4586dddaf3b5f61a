//! Parameters that are settings of the node.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use crate::settings::{Redirect, Settings};

/// A setting that CONFIG shows.
#[derive(Clone, Copy)]
pub(super) enum Live {
    Password,
    Clients,
    ArgumentBytes,
    Memory,
    DiskReserve,
    OutputLimits,
    Port,
    Bind,
    NodeTimeout,
    Node,
    Cluster,
    Shards,
    Replicas,
    BeatInterval,
    SupportDuration,
    ClockDrift,
    ClockGap,
    ClockSkew,
    CampaignStep,
    ParkTime,
    RequestTime,
    TransferTime,
    Redirect,
    ShardQueueBytes,
    SegmentBytes,
    LogBytes,
}

impl Live {
    /// The value as CONFIG GET shows it; times in milliseconds.
    pub(super) fn read(self, settings: &Settings) -> String {
        let own = settings.members.iter().find(|member| member.node == settings.node);
        match self {
            Self::Password => settings.password.clone(),
            Self::Clients => settings.clients.to_string(),
            Self::ArgumentBytes => settings.argument_bytes.to_string(),
            Self::Memory => settings.memory.to_string(),
            Self::DiskReserve => settings.disk_reserve.to_string(),
            Self::OutputLimits => {
                let hard = match settings.session_output_bytes {
                    usize::MAX => 0,
                    bytes => bytes,
                };
                format!("normal {hard} 0 0 slave 268435456 67108864 60 pubsub {hard} 0 0")
            }
            Self::Port => own.map_or(0, |member| member.port).to_string(),
            Self::Bind => own.map_or_else(String::new, |member| member.host.clone()),
            Self::NodeTimeout | Self::SupportDuration => millis(settings.support_duration),
            Self::Node => settings.node.0.to_string(),
            Self::Cluster => settings.cluster.clone(),
            Self::Shards => settings.shards.to_string(),
            Self::Replicas => settings.replicas.to_string(),
            Self::BeatInterval => millis(settings.beat_interval),
            Self::ClockDrift => settings.clock_drift_permille.to_string(),
            Self::ClockGap => millis(settings.clock_gap),
            Self::ClockSkew => millis(settings.clock_skew),
            Self::CampaignStep => millis(settings.campaign_step),
            Self::ParkTime => millis(settings.park_time),
            Self::RequestTime => millis(settings.request_time),
            Self::TransferTime => millis(settings.transfer_time),
            Self::Redirect => String::from(match settings.redirect {
                Redirect::Never => "never",
                Redirect::Rationed => "rationed",
                Redirect::Always => "always",
            }),
            Self::ShardQueueBytes => settings.shard_queue_bytes.to_string(),
            Self::SegmentBytes => settings.segment_bytes.to_string(),
            Self::LogBytes => settings.log_bytes.to_string(),
        }
    }

    /// Whether the system allows this value.
    ///
    /// # Errors
    /// Why it does not, in Redis' words.
    pub(super) fn check(self, settings: &Settings, value: &str) -> Result<(), String> {
        let most = settings.clients_most;
        let over = |count: usize| count > most && count != settings.clients;
        if matches!(self, Self::Clients) && value.parse::<usize>().is_ok_and(over) {
            return Err(format!(
                "The operating system is not able to handle the specified number of clients, try \
                 with {most}"
            ));
        }
        Ok(())
    }

    /// Changes the setting to a value that was checked. Settings on which the safety of leases or
    /// the log's format rests are never changed.
    pub(super) fn write(self, settings: &mut Settings, value: &str) {
        let number = value.parse::<u64>().unwrap_or(0);
        let size = usize::try_from(number).unwrap_or(usize::MAX);
        let time = Duration::from_millis(number);
        match self {
            Self::Password => settings.password = String::from(value),
            Self::Clients => settings.clients = size,
            Self::ArgumentBytes => settings.argument_bytes = size,
            Self::Memory => settings.memory = number,
            Self::DiskReserve => settings.disk_reserve = number,
            Self::OutputLimits => {
                let hard = value.split(' ').nth(1).and_then(|word| word.parse().ok());
                settings.session_output_bytes = match hard {
                    Some(0) | None => usize::MAX,
                    Some(bytes) => bytes,
                };
            }
            Self::ClockSkew => settings.clock_skew = time,
            Self::ParkTime => settings.park_time = time,
            Self::RequestTime => settings.request_time = time,
            Self::TransferTime => settings.transfer_time = time,
            Self::Redirect => {
                settings.redirect = match value {
                    "never" => Redirect::Never,
                    "always" => Redirect::Always,
                    _ => Redirect::Rationed,
                };
            }
            Self::ShardQueueBytes => settings.shard_queue_bytes = size,
            Self::LogBytes => settings.log_bytes = number,
            Self::Port
            | Self::Bind
            | Self::NodeTimeout
            | Self::Node
            | Self::Cluster
            | Self::Shards
            | Self::Replicas
            | Self::BeatInterval
            | Self::SupportDuration
            | Self::ClockDrift
            | Self::ClockGap
            | Self::CampaignStep
            | Self::SegmentBytes => {}
        }
    }
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}
