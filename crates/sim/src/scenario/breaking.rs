//! Commands that break something, or put it right. They show nothing.
//!
//! - `crash n1` (power), `kill n1`, `start n1`, `restart n1`, `stop n1`, `pause n1`, `suspend n1`
//!   (with its clocks), `freeze n1` (the same, and nobody sets its wall clock right), `resume n1`.
//! - `block n1 n2` (one direction), `partition n1 | n2 n3`, `heal`, `reset n1 n2`.
//! - `lost-link n1 n2`: n1 alone learns that its connection to n2 is down.
//! - `drop TimeoutNow` loses messages whose text has the word, `drop nothing` ends it.
//! - `lose n1 n2 MsgAppend_` loses such messages from one node to another; `_` stands for a space.
//!   `lose nothing` ends all of it.
//! - `lose-large n1 1400` loses what n1 sends in more bytes than that; 0 ends it.
//! - `hold n1 n2 MsgSnapshot` keeps such messages back on their way, `unhold` lets them go on.
//! - `late n1 n3 s1 t2`: what n1 said long ago arrives at n3, that it leads s1 no more in term 2.
//! - `bandwidth 1500000`: bytes that a connection for data carries in a second; 0: any number.
//! - `delay 5ms`, `data-delay 1s` (what is not urgent takes so much longer),
//!   `duplicate 1000`, `reorder` (of messages that are no requests).
//! - `copy-disk n1` takes a snapshot of a disk as it is, `put-back n1` (which ends the process)
//!   puts it in the disk's place.
//! - `zero-tail n1 3`: the last 3 commits of the log turn into zeroes (its process has ended).
//! - `disk n1 20000` leaves so many bytes free on a disk, `disk n1 endless` ends that.
//! - `fail-reads n1 1`: so many reads of the log to come fail.
//! - `stall-disk n1 2s`, `fail-disk n1`, `lose-disk n1` (and its machine), `disk-time n1 20ms`,
//!   `slow n1 20` (work takes so many times as long as the core counts), `clock-jump n1 +5s`,
//!   `clock-rate n1 10000` (parts per million).

use cluster::Message;
use types::{ShardId, Term};

use super::{Result, Stage, fail, node, number, time};
use crate::losses::Pattern;
use crate::world::MILLISECOND;

impl Stage {
    /// Carries out one of these commands; `None` if it is another one.
    pub(super) fn break_something(&mut self, verb: &str, rest: &[&str]) -> Result<Option<String>> {
        let world = self.world()?;
        let now = world.now();
        match (verb, rest) {
            ("crash", [name]) => world.kill(node(name)?, true),
            ("kill", [name]) => world.kill(node(name)?, false),
            ("lose-disk", [name]) => world.lose_disk(node(name)?),
            ("copy-disk", [name]) => world.copy_disk(node(name)?),
            ("zero-tail", [name, commits]) => {
                let Ok(commits) = commits.parse() else { return fail("how many is a number") };
                world.machines[node(name)?].zero_tail(commits);
            }
            ("put-back", [name]) => world.put_disk_back(node(name)?),
            ("start" | "restart", [name]) => world.start(node(name)?),
            ("stop", [name]) => world.stop(node(name)?),
            ("pause", [name]) => world.pause(node(name)?, false),
            ("suspend", [name]) => world.pause(node(name)?, true),
            ("freeze", [name]) => {
                let at = node(name)?;
                world.pause(at, true);
                world.machines[at].clock.stop_unnoticed(now);
            }
            ("resume", [name]) => world.resume(node(name)?),
            ("disk", [name, free]) => {
                let free = if *free == "endless" { None } else { free.parse().ok() };
                world.bound_disk(node(name)?, free);
            }
            ("stall-disk", [name, how_long]) => {
                world.machines[node(name)?].stalled_until = now + time(how_long)?;
            }
            ("fail-disk", [name]) => world.machines[node(name)?].failing = true,
            ("fail-reads", [name, count]) => {
                let Ok(count) = count.parse() else { return fail("how many is a number") };
                world.machines[node(name)?].failing_reads = count;
            }
            ("disk-time", [name, how_long]) => {
                world.machines[node(name)?].disk_profile.delay = time(how_long)?;
            }
            ("slow", [name, times]) => {
                let Ok(times) = times.parse() else { return fail("how often longer is a number") };
                world.machines[node(name)?].slowness = times;
            }
            ("clock-jump", [name, how_far]) => {
                let (sign, size) = match how_far.strip_prefix('-') {
                    Some(size) => (-1, size),
                    None => (1, how_far.trim_start_matches('+')),
                };
                let nanos = sign * time(size)?.cast_signed();
                world.machines[node(name)?].clock.jump_wall(now, nanos);
            }
            ("clock-rate", [name, rate]) => {
                let at = node(name)?;
                world.machines[at].clock.set_rate(now, rate.parse().unwrap_or(0));
                world.set_wake(at);
            }
            _ => return self.break_network(verb, rest),
        }
        Ok(Some(String::new()))
    }

    fn break_network(&mut self, verb: &str, rest: &[&str]) -> Result<Option<String>> {
        let world = self.world()?;
        match (verb, rest) {
            ("block", [from, to]) => world.block(node(from)?, node(to)?, true),
            ("reset", [a, b]) => world.reset(node(a)?, node(b)?),
            ("lost-link", [at, peer]) => world.tell(node(at)?, node(peer)?, false),
            ("partition", names) => {
                let mut groups = names.split(|name| *name == "|");
                let left = groups.next().unwrap_or_default();
                let right = groups.next().unwrap_or_default();
                for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
                    world.block(node(a)?, node(b)?, true);
                    world.block(node(b)?, node(a)?, true);
                }
            }
            ("heal", []) => {
                for from in 0..world.len() {
                    for to in (0..world.len()).filter(|to| *to != from) {
                        world.block(from, to, false);
                    }
                }
            }
            ("drop", ["nothing"]) => world.losses.words.clear(),
            ("drop", [word]) => world.losses.words.push((*word).to_owned()),
            ("lose", ["nothing"]) => world.losses.lost.clear(),
            ("lose", [from, to, word]) => {
                world.losses.lost.push(Pattern::new(node(from)?, node(to)?, word));
            }
            ("lose-large", [from, most]) => {
                let Ok(most) = most.parse() else { return fail("a size is a number of bytes") };
                world.losses.large.insert(node(from)?, most);
            }
            ("hold", [from, to, word]) => {
                world.losses.held_back.push(Pattern::new(node(from)?, node(to)?, word));
            }
            ("late", [from, to, shard, term]) => {
                let (from, to) = (node(from)?, node(to)?);
                let term = Term(u64::from(number(term, 't')?));
                let shard = ShardId(number(shard, 's')?);
                let message = Message::Release { shard, term, stands_back: None };
                world.send_message(from, to, &message);
            }
            ("unhold", []) => world.let_go(),
            ("data-delay", [how_long]) => world.network.profile.data_delay = time(how_long)?,
            ("bandwidth", [bytes]) => world.network.profile.bandwidth = bytes.parse().unwrap_or(0),
            ("delay", [how_long]) => world.network.profile.delay = time(how_long)?,
            ("duplicate", [permille]) => {
                world.network.profile.duplicate_permille = permille.parse().unwrap_or(0);
            }
            ("reorder", []) => {
                world.network.profile.ordered = false;
                world.network.profile.jitter = 20 * MILLISECOND;
            }
            _ => return Ok(None),
        }
        Ok(Some(String::new()))
    }
}
