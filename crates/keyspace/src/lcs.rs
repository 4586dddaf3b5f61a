//! LCS: the longest common subsequence of two strings.
//!
//! The plain table of all prefixes against all prefixes, because the reply must name the same
//! subsequence as Redis where there are several. Its size is bounded as in Redis, and by the work
//! of a command, which is less; for the length alone two rows are enough.

use crate::arguments::{integer, is};
use crate::execution::{Data, Stop};
use crate::work;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use resp::Reply;
use types::limits::STRING_BYTES_MAX;

#[derive(Default)]
struct Options {
    len: bool,
    index: bool,
    with_match_len: bool,
    min_match_len: i64,
}

impl Options {
    fn parse(mut rest: &[&[u8]]) -> Result<Self, Stop> {
        let mut options = Self::default();
        loop {
            rest = match rest {
                [] => break,
                [word, rest @ ..] if is(word, "IDX") => {
                    options.index = true;
                    rest
                }
                [word, rest @ ..] if is(word, "LEN") => {
                    options.len = true;
                    rest
                }
                [word, rest @ ..] if is(word, "WITHMATCHLEN") => {
                    options.with_match_len = true;
                    rest
                }
                [word, min, rest @ ..] if is(word, "MINMATCHLEN") => {
                    options.min_match_len = integer(min)?;
                    rest
                }
                _ => return Err(Stop::SYNTAX),
            };
        }
        if options.len && options.index {
            return Err(Stop::error(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// A run of equal bytes: where it lies in either string.
struct Match {
    one: RangeInclusive<usize>,
    other: RangeInclusive<usize>,
}

impl Match {
    fn len(&self) -> usize {
        self.one.end() - self.one.start() + 1
    }
}

pub(crate) fn lcs(data: &mut Data<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Result<(), Stop> {
    let [_, one, other, options @ ..] = args else { return Err(data.wrong_number()) };
    let allowance = data.allowance();
    let values = data.values(&[one, other])?;
    let options = Options::parse(options)?;
    let value = |index: usize| values.get(index).copied().flatten().unwrap_or_default();
    let (one, other) = (value(0), value(1));
    let cells = (one.len() as u64 + 1).saturating_mul(other.len() as u64 + 1);
    if cells.saturating_mul(4) > STRING_BYTES_MAX as u64 {
        return Err(Stop::error(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let work = work::cells(one.len(), other.len());
    allowance.covers(work)?;
    write_reply(&options, one, other, reply);
    data.count(work);
    Ok(())
}

fn write_reply(options: &Options, one: &[u8], other: &[u8], reply: &mut Reply<'_>) {
    if options.len {
        return reply.count(length(one, other));
    }
    let table = Table::new(one, other);
    if options.index {
        let (_, matches) = table.trace(one, other);
        let long = |found: &&Match| {
            i64::try_from(found.len()).is_ok_and(|len| len >= options.min_match_len)
        };
        let matches: Vec<&Match> = matches.iter().filter(long).collect();
        reply.map(2);
        reply.bulk(b"matches");
        reply.array(matches.len());
        for found in matches {
            write_match(found, options.with_match_len, reply);
        }
        reply.bulk(b"len");
        reply.count(table.at(one.len(), other.len()) as usize);
    } else {
        let (common, _) = table.trace(one, other);
        reply.bulk(&common);
    }
}

fn write_match(found: &Match, with_len: bool, reply: &mut Reply<'_>) {
    reply.array(if with_len { 3 } else { 2 });
    for range in [&found.one, &found.other] {
        reply.array(2);
        reply.count(*range.start());
        reply.count(*range.end());
    }
    if with_len {
        reply.count(found.len());
    }
}

/// The row for a prefix that is one byte longer.
fn next_row(above: &[u32], row: &mut [u32], byte: u8, other: &[u8]) {
    for (index, &candidate) in other.iter().enumerate() {
        row[index + 1] =
            if candidate == byte { above[index] + 1 } else { above[index + 1].max(row[index]) };
    }
}

fn length(one: &[u8], other: &[u8]) -> usize {
    let mut above = alloc::vec![0; other.len() + 1];
    let mut row = above.clone();
    for &byte in one {
        next_row(&above, &mut row, byte, other);
        core::mem::swap(&mut above, &mut row);
    }
    above.last().map_or(0, |&len| len as usize)
}

/// For each pair of prefixes, the length of their longest common subsequence.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(one: &[u8], other: &[u8]) -> Self {
        let width = other.len() + 1;
        let mut cells = alloc::vec![0; width * (one.len() + 1)];
        for (index, &byte) in one.iter().enumerate() {
            let (above, row) = cells[index * width..(index + 2) * width].split_at_mut(width);
            next_row(above, row, byte, other);
        }
        Self { cells, width }
    }

    fn at(&self, one: usize, other: usize) -> u32 {
        self.cells[one * self.width + other]
    }

    /// The subsequence, and its runs from the last to the first, found from the end as Redis does.
    fn trace(&self, one: &[u8], other: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (one.len(), other.len());
        let mut common = Vec::new();
        let mut matches: Vec<Match> = Vec::new();
        let mut run: Option<Match> = None;
        while i > 0 && j > 0 {
            if one[i - 1] == other[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push(one[i]);
                run = Some(match run {
                    // The table only leaves a diagonal through a step aside, which ends the run.
                    Some(run) => Match { one: i..=*run.one.end(), other: j..=*run.other.end() },
                    None => Match { one: i..=i, other: j..=j },
                });
            } else {
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
                matches.extend(run.take());
            }
        }
        matches.extend(run);
        common.reverse();
        (common, matches)
    }
}
