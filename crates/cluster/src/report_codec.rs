//! Reports as bytes. Here only lengths are checked; whether a report makes sense is judged by
//! `placement::Report::check`, as a whole.

use alloc::vec::Vec;
use core::time::Duration;

use placement::{
    Follower, Generation, HOT_KEY_BYTES_MAX, HOT_MAX, HeldShard, ORIGINS_MAX, Origin, Percentiles,
    Report, Resources, RoundTrip,
};
use types::limits::{REPLICAS_MAX, SHARDS_MAX};
use types::{Incarnation, LeaseEpoch, NodeId, ShardId, Slot, SlotRange};

use crate::bytes_codec::{CodecError, Put, Take};
use crate::entry::{put_nodes, take_nodes};

/// Appends a report.
pub(crate) fn encode(report: &Report, into: &mut Vec<u8>) {
    into.put_u32(report.node.0);
    into.put_u64(report.incarnation.0);
    put_time(report.uptime, into);
    put_time(report.covers, into);
    put_resources(report.capacity, into);
    put_resources(report.used, into);
    put_real(report.memory_capacity, into);
    put_real(report.memory_used, into);
    put_time(report.fsync, into);
    put_list(&report.round_trips, into, |trip, into| {
        into.put_u32(trip.origin.0);
        put_time(trip.time, into);
    });
    put_list(&report.held, into, put_held);
}

fn put_held(held: &HeldShard, into: &mut Vec<u8>) {
    into.put_u32(held.shard.0);
    into.put_u64(held.epoch.0);
    for number in [held.reads, held.writes, held.bytes_in, held.bytes_out, held.stored] {
        put_real(number, into);
    }
    put_resources(held.load, into);
    for times in [held.service, held.queue] {
        put_time(times.p50, into);
        put_time(times.p99, into);
    }
    put_list(&held.origins, into, |(origin, requests), into| {
        into.put_u32(origin.0);
        put_real(*requests, into);
    });
    put_list(&held.followers, into, |follower, into| {
        into.put_u32(follower.node.0);
        into.put_u64(follower.lag_entries);
        put_time(follower.lag_time, into);
    });
    put_list(&held.hot_slots, into, |(slot, share), into| {
        into.put_u16(slot.number());
        put_real(*share, into);
    });
    put_list(&held.hot_keys, into, |(key, share), into| {
        into.put_bytes(key);
        put_real(*share, into);
    });
    into.put_u16(held.range.first().number());
    into.put_u16(held.range.last().number());
    put_nodes(&held.voters, into);
    into.put_u64(held.generation.0);
}

/// Reads a report.
pub(crate) fn decode(from: &mut Take<'_>) -> Result<Report, CodecError> {
    Ok(Report {
        node: NodeId(from.u32()?),
        incarnation: Incarnation(from.u64()?),
        uptime: time(from)?,
        covers: time(from)?,
        capacity: resources(from)?,
        used: resources(from)?,
        memory_capacity: real(from)?,
        memory_used: real(from)?,
        fsync: time(from)?,
        round_trips: list(from, ORIGINS_MAX, |from| {
            Ok(RoundTrip { origin: Origin(from.u32()?), time: time(from)? })
        })?,
        held: list(from, SHARDS_MAX, held)?,
    })
}

fn held(from: &mut Take<'_>) -> Result<HeldShard, CodecError> {
    Ok(HeldShard {
        shard: ShardId(from.u32()?),
        epoch: LeaseEpoch(from.u64()?),
        reads: real(from)?,
        writes: real(from)?,
        bytes_in: real(from)?,
        bytes_out: real(from)?,
        stored: real(from)?,
        load: resources(from)?,
        service: Percentiles { p50: time(from)?, p99: time(from)? },
        queue: Percentiles { p50: time(from)?, p99: time(from)? },
        origins: list(from, ORIGINS_MAX, |from| Ok((Origin(from.u32()?), real(from)?)))?,
        followers: list(from, REPLICAS_MAX, |from| {
            let (node, lag_entries) = (NodeId(from.u32()?), from.u64()?);
            Ok(Follower { node, lag_entries, lag_time: time(from)? })
        })?,
        hot_slots: list(from, HOT_MAX, |from| Ok((slot(from)?, real(from)?)))?,
        hot_keys: list(from, HOT_MAX, |from| {
            let key = from.bytes()?;
            if key.len() > HOT_KEY_BYTES_MAX {
                return Err(CodecError("a hot key within its limit"));
            }
            Ok((key.to_vec(), real(from)?))
        })?,
        range: SlotRange::new(slot(from)?, slot(from)?).ok_or(CodecError("a range of slots"))?,
        voters: take_nodes(from)?,
        generation: Generation(from.u64()?),
    })
}

fn put_list<T>(items: &[T], into: &mut Vec<u8>, mut put: impl FnMut(&T, &mut Vec<u8>)) {
    into.put_len(items.len());
    items.iter().for_each(|item| put(item, into));
}

fn list<'a, T>(
    from: &mut Take<'a>,
    most: usize,
    mut take: impl FnMut(&mut Take<'a>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = from.len(most)?;
    (0..count).map(|_| take(from)).collect()
}

fn put_real(value: f64, into: &mut Vec<u8>) {
    into.put_u64(value.to_bits());
}

fn real(from: &mut Take<'_>) -> Result<f64, CodecError> {
    Ok(f64::from_bits(from.u64()?))
}

fn put_time(time: Duration, into: &mut Vec<u8>) {
    into.put_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

fn time(from: &mut Take<'_>) -> Result<Duration, CodecError> {
    Ok(Duration::from_nanos(from.u64()?))
}

fn put_resources(resources: Resources, into: &mut Vec<u8>) {
    resources.amounts().into_iter().for_each(|amount| put_real(amount, into));
}

fn resources(from: &mut Take<'_>) -> Result<Resources, CodecError> {
    Ok(Resources { cpu: real(from)?, network: real(from)?, log: real(from)? })
}

fn slot(from: &mut Take<'_>) -> Result<Slot, CodecError> {
    Slot::new(from.u16()?).ok_or(CodecError("a slot below 16384"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Report {
        let held = HeldShard {
            shard: ShardId(3),
            epoch: LeaseEpoch(9),
            reads: 1.5,
            writes: 2.5,
            bytes_in: 3.0,
            bytes_out: 4.0,
            stored: 5.0,
            load: Resources { cpu: 6.0, network: 7.0, log: 8.0 },
            service: Percentiles { p50: Duration::from_micros(1), p99: Duration::from_micros(2) },
            queue: Percentiles { p50: Duration::from_micros(3), p99: Duration::from_micros(4) },
            origins: alloc::vec![(Origin(7), 0.5)],
            followers: alloc::vec![Follower {
                node: NodeId(2),
                lag_entries: 4,
                lag_time: Duration::from_millis(5),
            }],
            hot_slots: alloc::vec![(Slot::new(77).expect("a slot"), 0.25)],
            hot_keys: alloc::vec![(b"user:1".to_vec(), 0.125)],
            range: SlotRange::ALL,
            voters: alloc::vec![NodeId(1), NodeId(2)],
            generation: Generation(11),
        };
        Report {
            node: NodeId(1),
            incarnation: Incarnation(2),
            uptime: Duration::from_secs(3),
            covers: Duration::from_secs(1),
            capacity: Resources { cpu: 1.0, network: 2.0, log: 3.0 },
            used: Resources { cpu: 0.1, network: 0.2, log: 0.3 },
            memory_capacity: 10.0,
            memory_used: 5.0,
            fsync: Duration::from_millis(2),
            round_trips: alloc::vec![RoundTrip {
                origin: Origin(7),
                time: Duration::from_millis(1)
            }],
            held: alloc::vec![held],
        }
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let mut bytes = Vec::new();
        encode(&example(), &mut bytes);
        let mut from = Take::new(&bytes);
        assert_eq!(decode(&mut from), Ok(example()));
        assert!(from.is_empty());
        for cut in 0..bytes.len() {
            assert!(decode(&mut Take::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
    }
}
