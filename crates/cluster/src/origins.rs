//! Where this node's clients come from: groups of addresses, with their round trips.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use placement::{ORIGINS_MAX, Origin, RoundTrip};
use types::Monotonic;

use crate::histogram::Histogram;

/// Measurements of one group after which older ones begin to count less.
const TRIPS_REMEMBERED: u64 = 256;
/// After how much time without a measurement the last ones say nothing any more.
const TRIPS_LAST: Duration = Duration::from_secs(60);

/// The groups that clients of this node belong to.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    origin: Origin,
    text: String,
    clients: usize,
    trips: Histogram,
    measured: Monotonic,
}

impl Origins {
    /// A client connects. Answers its group; the last place is for all that find none.
    pub(crate) fn arrive(&mut self, host: &str) -> Origin {
        let origin = Origin::of_host(host);
        if let Some(group) = self.find(origin) {
            group.clients += 1;
            return origin;
        }
        if self.groups.len() + 1 < ORIGINS_MAX {
            self.add(origin, Origin::text_of_host(host));
            return origin;
        }
        match self.find(Origin::OTHERS) {
            Some(group) => group.clients += 1,
            None => self.add(Origin::OTHERS, Origin::OTHERS.text()),
        }
        Origin::OTHERS
    }

    fn add(&mut self, origin: Origin, text: String) {
        let (trips, measured) = (Histogram::default(), Monotonic(0));
        self.groups.push(Group { origin, text, clients: 1, trips, measured });
    }

    fn find(&mut self, origin: Origin) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.origin == origin)
    }

    /// A client of this group disconnects.
    pub(crate) fn leave(&mut self, origin: Origin) {
        if let Some(at) = self.groups.iter().position(|group| group.origin == origin) {
            self.groups[at].clients -= 1;
            if self.groups[at].clients == 0 {
                self.groups.swap_remove(at);
            }
        }
    }

    /// Notes a round trip to a client of this group.
    pub(crate) fn note_round_trip(&mut self, now: Monotonic, origin: Origin, time: Duration) {
        if let Some(group) = self.find(origin) {
            if group.trips.count() >= TRIPS_REMEMBERED {
                group.trips.age();
            }
            group.trips.record(time);
            group.measured = now;
        }
    }

    /// The median round trips of the groups that were measured of late.
    pub(crate) fn round_trips(&self, now: Monotonic) -> Vec<RoundTrip> {
        let measured = self
            .groups
            .iter()
            .filter(|group| group.trips.count() > 0 && now.since(group.measured) <= TRIPS_LAST);
        measured
            .map(|group| RoundTrip { origin: group.origin, time: group.trips.percentile(500) })
            .collect()
    }

    /// The groups, with a text for people.
    pub(crate) fn texts(&self) -> Vec<(Origin, String)> {
        self.groups.iter().map(|group| (group.origin, group.text.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_and_go_with_their_clients() {
        let mut origins = Origins::default();
        let first = origins.arrive("10.0.0.1");
        assert_eq!(first, origins.arrive("10.0.0.2"));
        origins.arrive("");
        let texts: Vec<String> = origins.texts().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["10.0.0.0/24", "unknown"]);
        origins.leave(first);
        assert_eq!(origins.texts().len(), 2);
        origins.leave(first);
        assert_eq!(origins.texts(), [(Origin::UNKNOWN, String::from("unknown"))]);
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let mut origins = Origins::default();
        let all: Vec<Origin> =
            (0..200).map(|number| origins.arrive(&alloc::format!("10.0.{number}.1"))).collect();
        assert_eq!(origins.texts().len(), ORIGINS_MAX);
        assert_eq!(all[199], Origin::OTHERS);
        all.into_iter().for_each(|origin| origins.leave(origin));
        assert!(origins.texts().is_empty());
    }

    #[test]
    fn round_trips_are_medians_and_grow_old() {
        let mut origins = Origins::default();
        let origin = origins.arrive("10.0.0.1");
        assert!(origins.round_trips(Monotonic(0)).is_empty());
        for millis in [1, 30, 2, 2, 40] {
            origins.note_round_trip(Monotonic(5), origin, Duration::from_millis(millis));
        }
        let trips = origins.round_trips(Monotonic(6));
        assert!(trips.len() == 1 && trips[0].time.as_micros().abs_diff(2000) < 250, "{trips:?}");
        for _ in 0..10_000 {
            origins.note_round_trip(Monotonic(7), origin, Duration::from_millis(20));
        }
        assert!(origins.round_trips(Monotonic(8))[0].time > Duration::from_millis(17));
        let later = Monotonic(8) + TRIPS_LAST;
        assert!(origins.round_trips(later).is_empty());
    }
}
