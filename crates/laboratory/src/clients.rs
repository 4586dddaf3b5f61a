//! Where clients are: zones between which a round trip takes time, and a sun that goes round.
//!
//! The day of each zone is a third of a turn behind that of the zone before. Hash slots scatter
//! keys, so the shards of a cluster have clients from everywhere unless the keys that one place
//! asks for share a hash tag. The three kinds below are what proximity is judged by.

use std::time::Duration;

use placement::Origin;

use crate::random::mix;

/// Zones of a world with clients in places.
pub(crate) const ZONES: usize = 3;
/// Share of the requests for a tagged shard that come from its place.
const TAGGED_SHARE: f64 = 0.9;
/// Round trips within a zone, between the two that are near, and to the one that is far.
const ROUND_TRIPS_MS: [u64; 3] = [1, 10, 40];

/// How the clients of shards are spread over the zones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clients {
    /// Keys are not tagged: each shard is asked by the whole world, as awake as it is.
    Untagged,
    /// Keys are tagged by the zone of their users: a shard is asked from one zone, and has as much
    /// to do as that zone is awake.
    Tagged,
    /// Keys are tagged by some work that is handed on with the sun: a shard has always the same to
    /// do, for one zone at a time.
    HandedOn,
}

/// The shares of a shard's requests by zone.
pub(crate) type Shares = [f64; ZONES];

impl Clients {
    /// Where a shard's requests come from, `turns` days after the beginning.
    pub(crate) fn shares(self, shard: usize, turns: f64, swing: f64) -> Shares {
        let most_from = |home: usize| {
            let other = (1.0 - TAGGED_SHARE) / (ZONES - 1) as f64;
            let mut shares = [other; ZONES];
            shares[home] = TAGGED_SHARE;
            shares
        };
        match self {
            Self::Untagged => std::array::from_fn(|zone| awake(zone, turns, swing) / ZONES as f64),
            Self::Tagged => most_from(zone_of(shard)),
            Self::HandedOn => {
                let handed_on = (turns * ZONES as f64) as usize;
                most_from((zone_of(shard) + handed_on) % ZONES)
            }
        }
    }
}

/// How much a shard has to do, as a multiple of its mean, `turns` days after the beginning.
pub(crate) fn wave(clients: Option<Clients>, shard: usize, turns: f64, swing: f64) -> f64 {
    match clients {
        None | Some(Clients::Tagged) => awake(zone_of(shard), turns, swing),
        Some(Clients::Untagged | Clients::HandedOn) => 1.0,
    }
}

/// The zone that a shard's tag is from.
fn zone_of(shard: usize) -> usize {
    (mix(shard as u64) % ZONES as u64) as usize
}

/// How awake a zone is; the mean over a day, and over the zones, is 1.
fn awake(zone: usize, turns: f64, swing: f64) -> f64 {
    let phase = zone as f64 / ZONES as f64;
    1.0 + swing * ((turns + phase) * std::f64::consts::TAU).sin()
}

/// The name that nodes give to a zone's clients.
pub(crate) fn origin(zone: usize) -> Origin {
    Origin(Origin::OTHERS.0 + 1 + zone as u32)
}

/// The round trip between two zones: the first two are near to each other, the third is far.
pub(crate) fn round_trip(from: usize, to: usize) -> Duration {
    Duration::from_millis(ROUND_TRIPS_MS[kind(from, to)])
}

fn kind(from: usize, to: usize) -> usize {
    match (from, to) {
        _ if from == to => 0,
        (0, 1) | (1, 0) => 1,
        _ => 2,
    }
}

/// The round trips of all requests.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RoundTrips {
    /// Requests by the kind of round trip.
    requests: [f64; 3],
    /// The sum of the round trips that they would have had if each lease were at the replica that
    /// is nearest to the shard's clients, in milliseconds.
    nearest: f64,
}

impl RoundTrips {
    /// Counts requests for a shard whose holder is in one zone and whose replicas are in these.
    pub(crate) fn count(
        &mut self,
        requests: f64,
        shares: &Shares,
        holder: usize,
        replicas: impl Iterator<Item = usize>,
    ) {
        for (zone, share) in shares.iter().enumerate() {
            self.requests[kind(zone, holder)] += requests * share;
        }
        let mean = |place: usize| {
            let trips = shares.iter().enumerate();
            trips.map(|(zone, share)| share * millis(kind(zone, place))).sum::<f64>()
        };
        self.nearest += requests * replicas.map(mean).fold(mean(holder), f64::min);
    }

    fn total(&self) -> f64 {
        self.requests.iter().sum::<f64>().max(f64::MIN_POSITIVE)
    }

    /// The mean, in milliseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let sum = self.requests.iter().enumerate().map(|(kind, count)| count * millis(kind));
        sum.sum::<f64>() / self.total()
    }

    /// The median, in milliseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut below = 0.0;
        let reaches = |kind: &usize| {
            below += self.requests[*kind];
            below * 2.0 >= self.total()
        };
        (0..self.requests.len()).find(reaches).map_or(0.0, millis)
    }

    /// The mean if each lease were at the replica that is nearest to its shard's clients, whatever
    /// that would do to the nodes.
    #[must_use]
    pub fn nearest(&self) -> f64 {
        self.nearest / self.total()
    }
}

fn millis(kind: usize) -> f64 {
    ROUND_TRIPS_MS[kind] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_the_sun_goes_round() {
        for clients in [Clients::Untagged, Clients::Tagged, Clients::HandedOn] {
            for shard in 0..9 {
                for step in 0..30 {
                    let turns = f64::from(step) / 10.0;
                    let sum: f64 = clients.shares(shard, turns, 0.6).iter().sum();
                    assert!((sum - 1.0).abs() < 1e-9, "{clients:?} {turns}: {sum}");
                }
            }
        }
        let place = |turns| {
            let shares = Clients::HandedOn.shares(0, turns, 0.6);
            shares.iter().position(|share| *share == TAGGED_SHARE)
        };
        assert_eq!(place(0.1), place(1.1));
        assert_ne!(place(0.1), place(0.4));
    }

    #[test]
    fn round_trips_are_counted_by_distance() {
        let mut trips = RoundTrips::default();
        trips.count(100.0, &[0.5, 0.3, 0.2], 0, [0, 1, 2].into_iter());
        assert_eq!(trips.median(), 1.0);
        assert!((trips.mean() - 11.5).abs() < 1e-9, "{}", trips.mean());
        trips.count(300.0, &[0.0, 1.0, 0.0], 2, [0, 2].into_iter());
        assert_eq!(trips.median(), 40.0);
        assert!((trips.nearest() - (11.5 * 100.0 + 10.0 * 300.0) / 400.0).abs() < 1e-9);
        assert_eq!(round_trip(2, 2), Duration::from_millis(1));
    }
}
