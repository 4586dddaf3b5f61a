//! A node's report to the manager as bytes. As in `codec`, every length is checked; whether the
//! numbers make sense is for `placement::Report::check` to say.
//!
//! Durations travel in nanoseconds; one of more than 584 years, which no clock has measured,
//! arrives as that. Numbers travel as the bits they have, whatever they mean.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use placement::{
    Follower, Generation, HOT_KEY_BYTES_MAX, HOT_MAX, HeldShard, ORIGIN_TEXT_MAX, ORIGINS_MAX,
    Origin, Percentiles, Report, Resources, RoundTrip,
};
use types::limits::{NODES_MAX, REPLICAS_MAX, SHARDS_MAX};
use types::{Incarnation, LeaseEpoch, NodeId, ShardId, Slot, SlotRange};

use crate::bytes_codec::{CodecError, Put, Take};

/// The first byte: raised with every change of what follows.
const VERSION: u8 = 3;

/// Appends a report to a buffer.
pub fn encode(report: &Report, into: &mut Vec<u8>) {
    into.put_u8(VERSION);
    into.put_u32(report.node.0);
    into.put_u64(report.incarnation.0);
    put_time(report.uptime, into);
    put_time(report.covers, into);
    put_resources(report.capacity, into);
    put_resources(report.used, into);
    put_resources(report.late, into);
    put_number(report.memory_capacity, into);
    put_number(report.memory_used, into);
    put_time(report.fsync, into);
    into.put_u64(report.clock_ahead.cast_unsigned());
    into.put_u8(u8::from(report.clock_off));
    into.put_u8(u8::from(report.disk_full));
    into.put_len(report.hears.len());
    for node in &report.hears {
        into.put_u32(node.0);
    }
    into.put_len(report.round_trips.len());
    for trip in &report.round_trips {
        into.put_u32(trip.origin.0);
        put_time(trip.time, into);
    }
    into.put_len(report.origins.len());
    for (origin, text) in &report.origins {
        into.put_u32(origin.0);
        into.put_bytes(text.as_bytes());
    }
    into.put_len(report.held.len());
    for held in &report.held {
        put_held(held, into);
    }
}

fn put_held(held: &HeldShard, into: &mut Vec<u8>) {
    into.put_u32(held.shard.0);
    into.put_u64(held.epoch.0);
    into.put_u8(u8::from(held.handed_over));
    into.put_u16(held.range.first().number());
    into.put_u16(held.range.last().number());
    into.put_u64(held.generation.0);
    for nodes in [&held.voters, &held.learners] {
        into.put_len(nodes.len());
        nodes.iter().for_each(|node| into.put_u32(node.0));
    }
    for number in [held.reads, held.writes, held.bytes_in, held.bytes_out] {
        put_number(number, into);
    }
    put_resources(held.load, into);
    put_number(held.stored, into);
    for Percentiles { p50, p99 } in [held.service, held.queue] {
        put_time(p50, into);
        put_time(p99, into);
    }
    into.put_len(held.origins.len());
    for (origin, requests) in &held.origins {
        into.put_u32(origin.0);
        put_number(*requests, into);
    }
    into.put_len(held.hot_slots.len());
    for (slot, share) in &held.hot_slots {
        into.put_u16(slot.number());
        put_number(*share, into);
    }
    into.put_len(held.hot_keys.len());
    for (key, share) in &held.hot_keys {
        into.put_bytes(key);
        put_number(*share, into);
    }
    into.put_len(held.followers.len());
    for follower in &held.followers {
        into.put_u32(follower.node.0);
        into.put_u64(follower.lag_entries);
        put_time(follower.lag_time, into);
    }
}

fn put_time(time: Duration, into: &mut Vec<u8>) {
    into.put_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

fn put_number(number: f64, into: &mut Vec<u8>) {
    into.put_u64(number.to_bits());
}

fn put_resources(resources: Resources, into: &mut Vec<u8>) {
    for amount in resources.amounts() {
        put_number(amount, into);
    }
}

/// Reads a report.
///
/// # Errors
/// If the bytes are not exactly one report.
pub fn decode(bytes: &[u8]) -> Result<Report, CodecError> {
    let mut from = Take::new(bytes);
    let report = take_report(&mut from)?;
    from.end()?;
    Ok(report)
}

fn take_report(from: &mut Take<'_>) -> Result<Report, CodecError> {
    if from.u8()? != VERSION {
        return Err(CodecError("a report of a known version"));
    }
    Ok(Report {
        node: NodeId(from.u32()?),
        incarnation: Incarnation(from.u64()?),
        uptime: time(from)?,
        covers: time(from)?,
        capacity: resources(from)?,
        used: resources(from)?,
        late: resources(from)?,
        memory_capacity: number(from)?,
        memory_used: number(from)?,
        fsync: time(from)?,
        clock_ahead: from.u64()?.cast_signed(),
        clock_off: from.u8()? != 0,
        disk_full: from.u8()? != 0,
        hears: list(from, NODES_MAX, |from| Ok(NodeId(from.u32()?)))?,
        round_trips: list(from, ORIGINS_MAX, |from| {
            Ok(RoundTrip { origin: Origin(from.u32()?), time: time(from)? })
        })?,
        origins: list(from, ORIGINS_MAX, |from| {
            Ok((Origin(from.u32()?), String::from(from.text(ORIGIN_TEXT_MAX)?)))
        })?,
        held: list(from, SHARDS_MAX, take_held)?,
    })
}

fn take_held(from: &mut Take<'_>) -> Result<HeldShard, CodecError> {
    let nodes = |from: &mut Take<'_>| list(from, REPLICAS_MAX, |from| Ok(NodeId(from.u32()?)));
    Ok(HeldShard {
        shard: ShardId(from.u32()?),
        epoch: LeaseEpoch(from.u64()?),
        handed_over: from.u8()? != 0,
        range: SlotRange::new(slot(from)?, slot(from)?).ok_or(CodecError("a range of slots"))?,
        generation: Generation(from.u64()?),
        voters: nodes(from)?,
        learners: nodes(from)?,
        reads: number(from)?,
        writes: number(from)?,
        bytes_in: number(from)?,
        bytes_out: number(from)?,
        load: resources(from)?,
        stored: number(from)?,
        service: Percentiles { p50: time(from)?, p99: time(from)? },
        queue: Percentiles { p50: time(from)?, p99: time(from)? },
        origins: list(from, ORIGINS_MAX, |from| Ok((Origin(from.u32()?), number(from)?)))?,
        hot_slots: list(from, HOT_MAX, |from| Ok((slot(from)?, number(from)?)))?,
        hot_keys: list(from, HOT_MAX, |from| Ok((key(from)?, number(from)?)))?,
        followers: list(from, REPLICAS_MAX, |from| {
            let (node, lag_entries) = (NodeId(from.u32()?), from.u64()?);
            Ok(Follower { node, lag_entries, lag_time: time(from)? })
        })?,
    })
}

/// A list grows as its elements are read, so its announced length reserves nothing.
fn list<T>(
    from: &mut Take<'_>,
    most: usize,
    mut element: impl FnMut(&mut Take<'_>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let len = from.len(most)?;
    let mut list = Vec::new();
    for _ in 0..len {
        list.push(element(from)?);
    }
    Ok(list)
}

fn time(from: &mut Take<'_>) -> Result<Duration, CodecError> {
    Ok(Duration::from_nanos(from.u64()?))
}

fn number(from: &mut Take<'_>) -> Result<f64, CodecError> {
    Ok(f64::from_bits(from.u64()?))
}

fn resources(from: &mut Take<'_>) -> Result<Resources, CodecError> {
    Ok(Resources { cpu: number(from)?, network: number(from)?, log: number(from)? })
}

fn slot(from: &mut Take<'_>) -> Result<Slot, CodecError> {
    Slot::new(from.u16()?).ok_or(CodecError("a slot below 16384"))
}

fn key(from: &mut Take<'_>) -> Result<Box<[u8]>, CodecError> {
    let key = from.bytes()?;
    if key.len() > HOT_KEY_BYTES_MAX {
        return Err(CodecError("a hot key within its limit"));
    }
    Ok(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64: a seed is all there is to a case.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn list<T>(&mut self, most: usize, mut element: impl FnMut(&mut Self) -> T) -> Vec<T> {
            let len = match self.next() % 4 {
                0 => 0,
                1 => most,
                _ => self.next() as usize % (most + 1),
            };
            (0..len).map(|_| element(self)).collect()
        }

        /// Any number, but for those that are no numbers: those are not equal to themselves.
        fn number(&mut self) -> f64 {
            let number = f64::from_bits(self.next());
            if number.is_nan() { f64::INFINITY } else { number }
        }

        fn time(&mut self) -> Duration {
            Duration::from_nanos(self.next())
        }

        fn resources(&mut self) -> Resources {
            Resources { cpu: self.number(), network: self.number(), log: self.number() }
        }

        fn slot(&mut self) -> Slot {
            Slot::new(self.next() as u16 % types::SLOT_COUNT).expect("it is below the count")
        }

        fn node(&mut self) -> NodeId {
            NodeId(self.next() as u32)
        }

        fn percentiles(&mut self) -> Percentiles {
            Percentiles { p50: self.time(), p99: self.time() }
        }

        fn held(&mut self) -> HeldShard {
            let (first, last) = (self.slot(), self.slot());
            HeldShard {
                shard: ShardId(self.next() as u32),
                epoch: LeaseEpoch(self.next()),
                handed_over: self.next().is_multiple_of(2),
                range: SlotRange::new(first.min(last), first.max(last)).expect("it is in order"),
                generation: Generation(self.next()),
                voters: self.list(REPLICAS_MAX, Self::node),
                learners: self.list(REPLICAS_MAX, Self::node),
                reads: self.number(),
                writes: self.number(),
                bytes_in: self.number(),
                bytes_out: self.number(),
                load: self.resources(),
                stored: self.number(),
                service: self.percentiles(),
                queue: self.percentiles(),
                origins: self.list(ORIGINS_MAX, |it| (Origin(it.next() as u32), it.number())),
                hot_slots: self.list(HOT_MAX, |it| (it.slot(), it.number())),
                hot_keys: self.list(HOT_MAX, |it| {
                    let key = it.list(HOT_KEY_BYTES_MAX, |it| it.next() as u8);
                    (key.into(), it.number())
                }),
                followers: self.list(REPLICAS_MAX, |it| {
                    let (node, lag_entries) = (it.node(), it.next());
                    Follower { node, lag_entries, lag_time: it.time() }
                }),
            }
        }

        fn report(&mut self) -> Report {
            Report {
                node: self.node(),
                incarnation: Incarnation(self.next()),
                uptime: self.time(),
                covers: self.time(),
                capacity: self.resources(),
                used: self.resources(),
                late: self.resources(),
                memory_capacity: self.number(),
                memory_used: self.number(),
                fsync: self.time(),
                clock_ahead: self.next().cast_signed(),
                clock_off: self.next().is_multiple_of(2),
                disk_full: self.next().is_multiple_of(2),
                hears: self.list(NODES_MAX, Self::node),
                round_trips: self.list(ORIGINS_MAX, |it| RoundTrip {
                    origin: Origin(it.next() as u32),
                    time: it.time(),
                }),
                origins: self.list(ORIGINS_MAX, |it| {
                    let text = it.list(ORIGIN_TEXT_MAX, |it| char::from(it.next() as u8 % 128));
                    (Origin(it.next() as u32), text.into_iter().collect())
                }),
                held: self.list(4, Self::held),
            }
        }
    }

    fn encoded(report: &Report) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(report, &mut bytes);
        bytes
    }

    #[test]
    fn reports_come_back_as_they_were() {
        for seed in 0..300 {
            let report = Random(seed).report();
            assert_eq!(decode(&encoded(&report)).as_ref(), Ok(&report), "seed {seed}");
        }
    }

    #[test]
    fn shortened_lengthened_and_damaged_bytes_do_no_harm() {
        let mut accepted = 0u32;
        for seed in 0..60 {
            let mut random = Random(seed);
            let bytes = encoded(&random.report());
            assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
            for _ in 0..20 {
                let at = random.next() as usize % bytes.len();
                assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (random.next() % 8);
                // What is taken for a report must be one: it can be written and read again.
                if let Ok(report) = decode(&damaged) {
                    accepted += 1;
                    let again = encoded(&report);
                    assert_eq!(decode(&again).map(|report| encoded(&report)), Ok(again));
                }
            }
        }
        assert!(accepted > 100, "most damage is within numbers: {accepted}");
    }

    #[test]
    fn what_is_longer_than_its_limit_is_refused() {
        let report = Random(1).report();
        let with = |change: &dyn Fn(&mut HeldShard)| {
            let mut held = HeldShard::idle(ShardId(1), LeaseEpoch(1), SlotRange::ALL);
            change(&mut held);
            decode(&encoded(&Report { held: alloc::vec![held], ..report.clone() }))
        };
        assert!(with(&|_| {}).is_ok());
        assert!(with(&|held| held.hot_keys = alloc::vec![([0; 65].into(), 0.0)]).is_err());
        assert!(with(&|held| held.hot_slots = alloc::vec![(Slot::default(), 0.0); 9]).is_err());
        assert!(with(&|held| held.origins = alloc::vec![(Origin(0), 0.0); 65]).is_err());
        assert!(with(&|held| held.voters = alloc::vec![NodeId(0); 8]).is_err());
    }
}
