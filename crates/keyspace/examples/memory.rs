//! What a key costs: a million keys of 16 bytes with values of 100 bytes, over all slots.
//!
//! Run with `cargo run --release -p keyspace --example memory`. Prints the growth of the process'
//! resident memory per key, and the keyspace's own estimate.
#![expect(clippy::print_stdout, reason = "it reports to a person")]

use keyspace::{Changes, Context, Keyspace, Mode};
use resp::{CommandId, Protocol, Reply};
use types::{SlotRange, UnixMillis};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: u32 = 1_000_000;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn report(name: &str, keyspace: &Keyspace, before: u64) {
    let per_key = |bytes: u64| bytes as f64 / keyspace.keys() as f64;
    println!(
        "{name}: {} keys, {:.1} bytes a key resident, {:.1} by the keyspace's estimate",
        keyspace.keys(),
        per_key(resident_bytes().saturating_sub(before)),
        per_key(keyspace.memory_bytes()),
    );
}

fn main() {
    let context = Context {
        now: UnixMillis(1),
        seed: 0,
        mode: Mode::Apply,
        budget: types::limits::COMMAND_WORK_MAX,
    };
    let mut buffer = Vec::with_capacity(64);
    let mut key = *b"key:000000000000";
    let mut value = [b'x'; 100];
    let before = resident_bytes();
    let mut keyspace = Keyspace::new(SlotRange::ALL, 42);
    let mut write = |keyspace: &mut Keyspace, number: u32, value: &[u8], ttl: Option<&[u8]>| {
        key[4..].copy_from_slice(format!("{number:012}").as_bytes());
        let mut args: Vec<&[u8]> = vec![b"SET", &key, value];
        if let Some(ttl) = ttl {
            args.extend([&b"PX"[..], ttl]);
        }
        buffer.clear();
        let mut reply = Reply::new(&mut buffer, Protocol::Resp2);
        let slot = resp::slot_of(&key);
        let changes = &mut Changes::off();
        let _ = keyspace.execute(CommandId::Set, slot, &args, &context, changes, &mut reply);
    };
    for number in 0..KEYS {
        value[..4].copy_from_slice(&number.to_le_bytes());
        write(&mut keyspace, number, &value, None);
    }
    report("loaded", &keyspace, before);
    for number in (0..KEYS).step_by(3) {
        write(&mut keyspace, number, &value[..(number % 100) as usize], None);
    }
    report("a third rewritten with 0 to 99 bytes", &keyspace, before);
    for number in 0..KEYS {
        write(&mut keyspace, number, &value, Some(b"100000"));
    }
    report("all with a time to live", &keyspace, before);
}
