//! Random commands against a map that does the same in the simplest way, then everything that
//! works on whole slots: images, digests, SCAN, splitting and appending.

use keyspace::{Changes, Context, ImageError, KeysWalk, Keyspace, Mode, Outcome};
use keyspace::{ScanCursor, ScanWalk, SlotBuilder};
use resp::{CommandId, Protocol, Reply};
use std::collections::{BTreeMap, BTreeSet};
use types::{Slot, SlotRange, UnixMillis};

type Oracle = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn execute(keyspace: &mut Keyspace, now: u64, mode: Mode, args: &[&[u8]]) -> (Outcome, String) {
    // REAP is not a client's command, so its name is not known.
    let known = resp::resolve(args).ok().and_then(resp::Command::id);
    let command = known.unwrap_or(CommandId::Reap);
    let context =
        Context { now: UnixMillis(now), seed: 0, mode, budget: types::limits::COMMAND_WORK_MAX };
    let mut buffer = Vec::new();
    let mut reply = Reply::new(&mut buffer, Protocol::Resp2);
    let slot = resp::slot_of(args[1]);
    let changes = &mut Changes::off();
    let outcome = keyspace.execute(command, slot, args, &context, changes, &mut reply);
    (outcome, String::from_utf8(buffer).expect("replies of this test are text"))
}

fn apply(keyspace: &mut Keyspace, now: u64, args: &[&[u8]]) -> String {
    execute(keyspace, now, Mode::Apply, args).1
}

fn bulk(value: Option<&[u8]>) -> String {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
    value.map_or("$-1\r\n".into(), |value| format!("${}\r\n{}\r\n", value.len(), text(value)))
}

/// The keys that KEYS finds, a few in each step.
fn all_keys(keyspace: &Keyspace, now: u64) -> Vec<Vec<u8>> {
    let mut walk = KeysWalk::new(b"*");
    while !walk.step(keyspace, UnixMillis(now), &mut 300) {}
    let mut bytes = Vec::new();
    walk.write(&mut Reply::new(&mut bytes, Protocol::Resp2));
    keys_in(&bytes)
}

/// The elements of a reply.
fn keys_in(reply: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8(reply.to_vec()).expect("keys of this test are text");
    let lines = text.lines().filter(|line| !line.starts_with(['*', '$']));
    lines.map(|line| line.as_bytes().to_vec()).collect()
}

/// One random command on both; the replies must be the same.
fn step(keyspace: &mut Keyspace, oracle: &mut Oracle, now: u64, random: &mut Random) {
    // Half of the keys lie in one slot, so that its table splits and merges.
    let number = random.below(1500);
    let tag = if number.is_multiple_of(2) { "{one}" } else { "" };
    let key = format!("{tag}key{number}").into_bytes();
    let value = "v".repeat(random.below(40) as usize).into_bytes();
    let ttl = (1 + random.below(400)).to_string().into_bytes();
    if oracle.get(&key).is_some_and(|(_, expiry)| expiry.is_some_and(|expiry| expiry <= now)) {
        oracle.remove(&key);
    }
    let old = oracle.get(&key).cloned();
    let (args, expected): (Vec<&[u8]>, String) = match random.below(10) {
        0 | 1 => {
            oracle.insert(key.clone(), (value.clone(), None));
            (vec![b"SET", &key, &value], "+OK\r\n".into())
        }
        2 => {
            let expiry = now + String::from_utf8_lossy(&ttl).parse::<u64>().expect("a number");
            oracle.insert(key.clone(), (value.clone(), Some(expiry)));
            (vec![b"PSETEX", &key, &ttl, &value], "+OK\r\n".into())
        }
        3 => {
            let entry = oracle.entry(key.clone()).or_default();
            entry.0.extend_from_slice(&value);
            let len = entry.0.len();
            (vec![b"APPEND", &key, &value], format!(":{len}\r\n"))
        }
        4 | 5 => {
            oracle.remove(&key);
            (vec![b"DEL", &key], format!(":{}\r\n", u8::from(old.is_some())))
        }
        6 => {
            if let Some(entry) = oracle.get_mut(&key) {
                entry.1 = None;
            }
            let persisted = old.is_some_and(|(_, expiry)| expiry.is_some());
            (vec![b"PERSIST", &key], format!(":{}\r\n", u8::from(persisted)))
        }
        7 => {
            let ttl = match &old {
                None => -2,
                Some((_, None)) => -1,
                Some((_, Some(expiry))) => (expiry - now) as i64,
            };
            (vec![b"PTTL", &key], format!(":{ttl}\r\n"))
        }
        8 => {
            let entry = oracle.entry(key.clone()).or_default();
            entry.0 = value.clone();
            (vec![b"SET", &key, &value, b"KEEPTTL"], "+OK\r\n".into())
        }
        _ => (vec![b"GET", &key], bulk(old.as_ref().map(|(value, _)| &value[..]))),
    };
    assert_eq!(apply(keyspace, now, &args), expected, "{args:?}");
}

fn random_keyspace(seed: u64, steps: u64) -> (Keyspace, Oracle, u64) {
    let (mut keyspace, mut oracle) = (Keyspace::new(SlotRange::ALL, seed), Oracle::new());
    let mut random = Random(7);
    for now in 1..=steps {
        step(&mut keyspace, &mut oracle, now, &mut random);
        if now % 1000 == 0 {
            let live = oracle.values().filter(|(_, expiry)| expiry.is_none_or(|at| at > now));
            let mut expired = Vec::new();
            keyspace.expired(UnixMillis(now), usize::MAX, &mut expired);
            assert_eq!(live.count(), keyspace.keys() as usize - expired.len());
            for key in expired {
                assert_eq!(apply(&mut keyspace, now, &[b"REAP", &key]), ":1\r\n");
            }
            assert!(keyspace.next_expiry().is_none_or(|expiry| expiry.0 > now));
            let occupied = SlotRange::ALL.iter().filter(|slot| keyspace.keys_in_slot(*slot) > 0);
            assert!(keyspace.occupied_slots().eq(occupied));
        }
    }
    oracle.retain(|_, (_, expiry)| expiry.is_none_or(|at| at > steps));
    (keyspace, oracle, steps)
}

#[test]
fn it_agrees_with_a_map() {
    let (mut keyspace, oracle, now) = random_keyspace(1, 60_000);
    for (key, (value, _)) in &oracle {
        assert_eq!(apply(&mut keyspace, now, &[b"GET", key]), bulk(Some(value)));
    }
    let mut keys = all_keys(&keyspace, now);
    keys.sort_unstable();
    assert!(keys.iter().eq(oracle.keys()));
    let expiring = oracle.values().filter(|(_, expiry)| expiry.is_some()).count();
    assert_eq!(keyspace.expiring_keys(), expiring as u64);
    let random = keyspace.random_key(12345, UnixMillis(now)).expect("there are keys");
    assert!(oracle.contains_key(random));
    let bytes = keyspace.payload_bytes();
    SlotRange::ALL.iter().for_each(|slot| keyspace.clear_slot(slot));
    assert_eq!((keyspace.keys(), keyspace.payload_bytes()), (0, 0));
    assert_eq!(keyspace.garbage_bytes(), bytes);
    let mut steps = 0;
    while keyspace.has_garbage() {
        keyspace.free(&mut 1);
        steps += 1;
    }
    assert!(steps > 3);
    assert_eq!(keyspace.garbage_bytes(), 0);
    assert_eq!(keyspace.next_expiry(), None);
}

#[test]
fn replicas_with_other_seeds_have_the_same_images_and_digests() {
    let (one, _, _) = random_keyspace(1, 20_000);
    let (other, _, _) = random_keyspace(99, 20_000);
    let mut copy = Keyspace::new(SlotRange::ALL, 5);
    for slot in SlotRange::ALL.iter() {
        let (mut image, mut same, mut again) = (Vec::new(), Vec::new(), Vec::new());
        one.encode_slot(slot, &mut image);
        other.encode_slot(slot, &mut same);
        assert_eq!(image, same);
        copy.install_slot(slot, &image).expect("a valid image");
        copy.encode_slot(slot, &mut again);
        assert_eq!(image, again);
        assert_eq!(one.digest_slot(slot), copy.digest_slot(slot));
    }
    assert_eq!((one.keys(), one.expiring_keys()), (copy.keys(), copy.expiring_keys()));
    assert_eq!(one.payload_bytes() > 0, copy.payload_bytes() > 0);
    assert_eq!(one.next_expiry(), copy.next_expiry());
}

/// One thing happens to a slot while images of it are being written.
fn disturb(keyspace: &mut Keyspace, slot: Slot, random: &mut Random, now: u64) {
    let key = format!("{{a}}{}", random.below(3000)).into_bytes();
    let value = vec![b'v'; random.below(40) as usize];
    match random.below(40) {
        0 if random.below(50) == 0 => keyspace.clear_slot(slot),
        0..=15 => drop(apply(keyspace, now, &[b"SET", &key, &value])),
        16..=19 => drop(apply(keyspace, now, &[b"SET", &key, &value, b"PX", b"900"])),
        20..=23 => drop(apply(keyspace, now, &[b"APPEND", &key, &value])),
        24..=26 => drop(apply(keyspace, now, &[b"PEXPIRE", &key, b"500"])),
        27..=29 => drop(apply(keyspace, now, &[b"RENAME", &key, b"{a}0"])),
        _ => drop(apply(keyspace, now, &[b"DEL", &key])),
    }
}

#[test]
fn an_image_in_pieces_shows_the_slot_as_it_was_when_it_was_begun() {
    let slot = resp::slot_of(b"{a}");
    let mut random = Random(11);
    for seed in 0..60 {
        let mut keyspace = Keyspace::new(SlotRange::ALL, seed);
        let (mut open, mut now) = (Vec::new(), 1);
        for _ in 0..random.below(4000) {
            disturb(&mut keyspace, slot, &mut random, now);
        }
        for _ in 0..400 {
            now += 1;
            if open.len() < 3 && random.below(20) == 0 {
                let digest = keyspace.digest_slot(slot);
                let builder = SlotBuilder::new(slot, seed + random.below(2));
                open.push((keyspace.begin_image(slot), builder, digest));
            }
            for _ in 0..random.below(60) {
                disturb(&mut keyspace, slot, &mut random, now);
            }
            if open.is_empty() {
                continue;
            }
            let at = random.below(open.len() as u64) as usize;
            let most = 1 + random.below(9000) as usize;
            let piece = keyspace.next_piece(open[at].0, most).expect("it is not complete");
            assert!(piece.bytes.len() <= most && (piece.last || piece.bytes.len() == most));
            open[at].1.push(&piece.bytes).expect("a valid piece");
            if piece.last {
                let (id, builder, digest) = open.remove(at);
                assert_eq!(keyspace.next_piece(id, 1), None);
                let mut copy = Keyspace::new(SlotRange::ALL, seed);
                copy.put_slot(slot, builder.finish().expect("it is complete"));
                assert_eq!(copy.digest_slot(slot), digest);
            } else if random.below(50) == 0 {
                keyspace.drop_image(open.remove(at).0);
            }
        }
    }
}

#[test]
fn damaged_images_are_refused_whole() {
    let slot = resp::slot_of(b"{a}");
    let mut source = Keyspace::new(SlotRange::ALL, 1);
    for key in [&b"{a}"[..], b"{a}1", b"{a}2"] {
        apply(&mut source, 1, &[b"SET", key, b"value", b"PX", b"100"]);
    }
    let mut image = Vec::new();
    source.encode_slot(slot, &mut image);
    let mut target = Keyspace::new(SlotRange::ALL, 1);
    apply(&mut target, 1, &[b"SET", b"{a}old", b"1"]);
    let before = target.digest_slot(slot);
    for len in 0..image.len() {
        assert!(target.install_slot(slot, &image[..len]).is_err());
    }
    let mut longer = image.clone();
    longer.push(0);
    assert_eq!(target.install_slot(slot, &longer), Err(ImageError::Malformed));
    assert_eq!(target.install_slot(resp::slot_of(b"b"), &image), Err(ImageError::Slot));
    assert_eq!(target.digest_slot(slot), before);
    let mut random = Random(3);
    for _ in 0..20_000 {
        let mut damaged = image.clone();
        let at = random.below(damaged.len() as u64) as usize;
        damaged[at] = random.below(256) as u8;
        // Whether it is valid by chance or not: no panic, and the sums stay right.
        let _ = target.install_slot(slot, &damaged);
        assert_eq!(target.keys(), target.keys_in_slot(slot) as u64);
    }
    image[0] = 9;
    assert_eq!(target.install_slot(slot, &image), Err(ImageError::Version(9)));
}

#[test]
fn splitting_and_appending_keep_everything() {
    let (mut left, _, now) = random_keyspace(1, 20_000);
    let digests: Vec<u64> = SlotRange::ALL.iter().map(|slot| left.digest_slot(slot)).collect();
    let figures = |keyspace: &Keyspace| {
        (
            keyspace.keys(),
            keyspace.expiring_keys(),
            keyspace.next_expiry(),
            keyspace.payload_bytes(),
        )
    };
    let before = figures(&left);
    let at = Slot::new(9000).expect("a slot");
    let right = left.split_off(at);
    assert_eq!(left.keys() + right.keys(), before.0);
    assert_eq!((left.range().last().number(), right.range().first()), (8999, at));
    // A keyspace of another process: its hashes have another seed.
    let mut other = Keyspace::new(right.range(), 77);
    for slot in right.range().iter() {
        let mut image = Vec::new();
        right.encode_slot(slot, &mut image);
        other.install_slot(slot, &image).expect("a valid image");
    }
    left.append(other);
    let after: Vec<u64> = SlotRange::ALL.iter().map(|slot| left.digest_slot(slot)).collect();
    assert_eq!(digests, after);
    assert_eq!(
        (left.keys(), left.expiring_keys(), left.next_expiry()),
        (before.0, before.1, before.2)
    );
    let mut keys = Vec::new();
    left.get_keys_in_slot(resp::slot_of(b"{one}"), usize::MAX, &mut keys);
    for key in keys {
        let found = apply(&mut left, now, &[b"EXISTS", &key]) == ":1\r\n";
        assert!(found || left.keys() < before.0, "a key is lost or has expired");
    }
}

#[test]
fn a_scan_across_replicas_and_changes_misses_nothing() {
    let mut replicas = [Keyspace::new(SlotRange::ALL, 1), Keyspace::new(SlotRange::ALL, 2)];
    let mut random = Random(11);
    let name = |number: u64| match number % 3 {
        0 => format!("key{number}").into_bytes(),
        _ => format!("{{tag}}{number}").into_bytes(),
    };
    let set = |replicas: &mut [Keyspace; 2], number: u64| {
        for replica in replicas {
            apply(replica, 1, &[b"SET", &name(number), b"v"]);
        }
    };
    (0..3000).for_each(|number| set(&mut replicas, number));
    let stays: BTreeSet<_> = (0..1500).map(name).collect();
    let (mut seen, mut calls) = (BTreeSet::new(), 0);
    let mut cursor = ScanCursor::at(SlotRange::ALL.first());
    loop {
        let replica = &replicas[random.below(2) as usize];
        let mut scan = ScanWalk::new(cursor, 10, None, false);
        // As few keys in a step as possible.
        while !scan.step(replica, UnixMillis(1), &mut 1) {}
        let mut bytes = Vec::new();
        scan.write(&mut Reply::new(&mut bytes, Protocol::Resp2));
        seen.extend(keys_in(&bytes));
        let next = scan.next();
        calls += 1;
        let Some(next) = next else { break };
        assert!(next > cursor);
        cursor = ScanCursor::decode(next.encode()).expect("a cursor that was encoded");
        // Keys outside of those that stay come and go.
        let number = 1500 + random.below(5000);
        if random.below(2) == 0 {
            set(&mut replicas, number);
        } else {
            for replica in &mut replicas {
                apply(replica, 1, &[b"DEL", &name(number)]);
            }
        }
    }
    assert!(stays.is_subset(&seen));
    assert!(calls < 1000 / 10 + 64 + 200, "{calls} calls");
}

#[test]
fn no_arguments_whatever_make_a_command_panic() {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    let words: [&[u8]; 14] = [
        b"",
        b"a",
        b"b",
        b"0",
        b"1",
        b"-1",
        b"9223372036854775807",
        b"-9223372036854775808",
        b"EX",
        b"u63",
        b"#7",
        b"GET",
        b"SET",
        b"REPLACE",
    ];
    let mut random = Random(5);
    let slot = resp::slot_of(b"a");
    let context = Context {
        now: UnixMillis(u64::MAX / 4),
        seed: 0,
        mode: Mode::Apply,
        budget: types::limits::COMMAND_WORK_MAX,
    };
    for _ in 0..60_000 {
        let command = CommandId::ALL[random.below(CommandId::ALL.len() as u64) as usize];
        let count = random.below(8);
        let args: Vec<&[u8]> = (0..count).map(|_| words[random.below(14) as usize]).collect();
        let mut buffer = Vec::new();
        let mut reply = Reply::new(&mut buffer, Protocol::Resp3);
        let changes = &mut Changes::off();
        let outcome = keyspace.execute(command, slot, &args, &context, changes, &mut reply);
        assert_eq!(outcome, Outcome::Done);
        assert!(!buffer.is_empty(), "{command:?} {args:?}");
    }
}

#[test]
fn a_read_changes_nothing_and_replies_nothing_when_a_key_has_expired() {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    apply(&mut keyspace, 1, &[b"SET", b"{a}", b"1"]);
    apply(&mut keyspace, 1, &[b"SET", b"{a}1", b"1", b"PX", b"10"]);
    let digest = keyspace.digest_slot(resp::slot_of(b"{a}"));
    let read = execute(&mut keyspace, 11, Mode::Read, &[b"MGET", b"{a}", b"{a}1"]);
    assert_eq!(read, (Outcome::Expired, String::new()));
    assert_eq!(keyspace.digest_slot(resp::slot_of(b"{a}")), digest);
    let mut keys = Vec::new();
    keyspace.expired(UnixMillis(10), 5, &mut keys);
    assert!(keys.is_empty());
    keyspace.expired(UnixMillis(11), 5, &mut keys);
    assert_eq!(keys, [Box::from(&b"{a}1"[..])]);
}
