//! One file of the disk in memory: what the page cache shows, what is durable, and which sectors
//! lie between.
//!
//! Simulations write and sync far more than anything else, most of it zeroes of segments to come.
//! So both contents are pages of which those full of zeroes are not there.

use crate::scan::to_usize;

pub(super) const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 8 * SECTOR_BYTES;
static ZEROES: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Bytes of a file; zeroes wherever nothing was written.
#[derive(Clone, Debug, Default)]
struct Pages(Vec<Option<Box<[u8; PAGE_BYTES]>>>);

impl Pages {
    fn read(&self, offset: usize, buffer: &mut [u8]) {
        for (page, within, part) in parts(offset, buffer.len()) {
            let into = &mut buffer[part];
            match self.0.get(page) {
                Some(Some(bytes)) => into.copy_from_slice(&bytes[within..within + into.len()]),
                Some(None) | None => into.fill(0),
            }
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (page, within, part) in parts(offset, bytes.len()) {
            let bytes = &bytes[part];
            let known = self.0.get_mut(page).and_then(Option::as_mut);
            if known.is_none() && *bytes == ZEROES[..bytes.len()] {
                continue;
            }
            if page >= self.0.len() {
                self.0.resize(page + 1, None);
            }
            let page = self.0[page].get_or_insert_with(|| Box::new([0; PAGE_BYTES]));
            page[within..within + bytes.len()].copy_from_slice(bytes);
        }
    }

    fn sector(&self, index: usize) -> [u8; SECTOR_BYTES] {
        let mut sector = [0; SECTOR_BYTES];
        self.read(index * SECTOR_BYTES, &mut sector);
        sector
    }

    /// Takes over bytes of other pages.
    fn copy(&mut self, from: &Self, offset: usize, length: usize) {
        for (page, within, part) in parts(offset, length) {
            let theirs = from.0.get(page).and_then(Option::as_ref);
            match (theirs, self.0.get_mut(page).and_then(Option::as_mut)) {
                (Some(theirs), Some(ours)) => {
                    let range = within..within + part.len();
                    ours[range.clone()].copy_from_slice(&theirs[range]);
                }
                (Some(theirs), None) => {
                    self.write(page * PAGE_BYTES + within, &theirs[within..within + part.len()]);
                }
                (None, Some(ours)) => ours[within..within + part.len()].fill(0),
                (None, None) => {}
            }
        }
    }

    fn truncate(&mut self, bytes: usize) {
        self.0.truncate(bytes.div_ceil(PAGE_BYTES));
        if let Some(Some(last)) = self.0.get_mut(bytes / PAGE_BYTES) {
            last[bytes % PAGE_BYTES..].fill(0);
        }
    }

    fn flip(&mut self, offset: usize, mask: u8) {
        let mut byte = [0];
        self.read(offset, &mut byte);
        self.write(offset, &[byte[0] ^ mask]);
    }
}

/// The pages that a range of bytes lies in: their numbers, where in them, and which part of it.
fn parts(
    offset: usize,
    length: usize,
) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done;
        let step = (PAGE_BYTES - at % PAGE_BYTES).min(length - done);
        let part = done..done + step;
        done += step;
        (step > 0).then_some((at / PAGE_BYTES, at % PAGE_BYTES, part))
    })
}

/// Sectors of a file, one bit each.
#[derive(Clone, Debug, Default)]
struct Sectors {
    words: Vec<u64>,
    /// The words in which there may be any.
    used: std::ops::Range<usize>,
}

impl Sectors {
    fn insert(&mut self, sector: usize) {
        let word = sector / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (sector % 64);
        self.used = if self.used.is_empty() {
            word..word + 1
        } else {
            self.used.start.min(word)..self.used.end.max(word + 1)
        };
    }

    fn remove(&mut self, sector: usize) {
        if let Some(word) = self.words.get_mut(sector / 64) {
            *word &= !(1 << (sector % 64));
        }
    }

    fn contains(&self, sector: usize) -> bool {
        self.words.get(sector / 64).is_some_and(|word| word & 1 << (sector % 64) != 0)
    }

    /// Takes all out, in ascending order.
    fn drain(&mut self) -> Vec<usize> {
        let mut sectors = Vec::new();
        for at in std::mem::take(&mut self.used) {
            let mut word = std::mem::take(&mut self.words[at]);
            while word != 0 {
                sectors.push(at * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
        sectors
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// The file's length as a process sees it; never less than what is durable of it.
    bytes: u64,
    durable_bytes: u64,
    /// What a process reads.
    current: Pages,
    durable: Pages,
    /// Sectors that the next sync will write.
    dirty: Sectors,
    /// Sectors that the page cache has and the disk has not, which no sync will write: one failed.
    stale: Sectors,
}

impl Inode {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file at least so long.
    pub(super) fn allocate(&mut self, length: u64) {
        self.bytes = self.bytes.max(length);
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let available = self.bytes.saturating_sub(offset).min(buffer.len() as u64);
        let length = to_usize(available);
        self.current.read(to_usize(offset), &mut buffer[..length]);
        length
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let start = to_usize(offset);
        self.current.write(start, bytes);
        for sector in start / SECTOR_BYTES..(start + bytes.len()).div_ceil(SECTOR_BYTES) {
            self.dirty.insert(sector);
            self.stale.remove(sector);
        }
        self.bytes = self.bytes.max(offset + bytes.len() as u64);
    }

    /// Writes what the page cache has of a sector, as far as the disk knows the file to reach.
    fn store(&mut self, sector: usize) {
        let start = (sector * SECTOR_BYTES).min(to_usize(self.durable_bytes));
        let end = (start + SECTOR_BYTES).min(to_usize(self.durable_bytes));
        self.durable.copy(&self.current, start, end - start);
    }

    /// The page cache forgets a sector.
    fn forget(&mut self, sector: usize) {
        self.current.copy(&self.durable, sector * SECTOR_BYTES, SECTOR_BYTES);
    }

    pub(super) fn sync(&mut self) {
        self.durable_bytes = self.bytes;
        for sector in self.dirty.drain() {
            self.store(sector);
        }
    }

    /// A sync that fails: the page cache believes that nothing is left to be written.
    pub(super) fn fail_sync(&mut self, draw: &mut dyn FnMut() -> u64) {
        self.durable_bytes = self.bytes;
        for sector in self.dirty.drain() {
            if draw().is_multiple_of(2) {
                self.store(sector);
            } else {
                self.stale.insert(sector);
            }
        }
    }

    /// Power loss: decides what reached the disk.
    pub(super) fn settle(&mut self, draw: &mut dyn FnMut() -> u64) {
        if self.bytes != self.durable_bytes && draw().is_multiple_of(2) {
            self.durable_bytes = self.bytes;
        }
        // All, none, nearly none, nearly all, or a mixture: each of them finds other bugs.
        let mood = draw() % 5;
        let mut sectors: Vec<(usize, bool)> =
            self.dirty.drain().into_iter().map(|sector| (sector, true)).collect();
        // What a failed sync left behind was not written; only its error said so.
        sectors.extend(self.stale.drain().into_iter().map(|sector| (sector, false)));
        sectors.sort_unstable();
        for (sector, dirty) in sectors {
            let dice = draw() % 64;
            let (kept, torn) = match mood {
                0 => (true, false),
                1 => (false, false),
                2 => (dice == 0, dice == 1),
                3 => (dice != 0, dice == 0),
                _ => (dice < 30, (30..34).contains(&dice)),
            };
            if torn && dirty {
                let cut = to_usize(draw() % SECTOR_BYTES as u64);
                let mut bytes = self.durable.sector(sector);
                bytes[..cut].copy_from_slice(&self.current.sector(sector)[..cut]);
                self.current.write(sector * SECTOR_BYTES, &bytes);
            }
            if (kept || torn) && dirty {
                self.store(sector);
            }
            self.forget(sector);
        }
        self.bytes = self.durable_bytes;
        self.current.truncate(to_usize(self.bytes));
    }

    /// Cuts the file, durably.
    pub(super) fn cut(&mut self, bytes: u64) {
        self.sync();
        for sector in self.stale.drain() {
            self.forget(sector);
        }
        self.bytes = bytes;
        self.durable_bytes = bytes;
        self.current.truncate(to_usize(bytes));
        self.durable.truncate(to_usize(bytes));
    }

    /// Flips a bit, on the disk and in the page cache.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        let at = to_usize(offset);
        let sector = at / SECTOR_BYTES;
        let is_durable = offset < self.durable_bytes;
        if is_durable {
            self.durable.flip(at, mask);
        }
        if is_durable || self.dirty.contains(sector) || self.stale.contains(sector) {
            self.current.flip(at, mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(inode: &Inode) -> Vec<u8> {
        let mut content = vec![1; to_usize(inode.bytes())];
        inode.read(0, &mut content);
        content
    }

    /// A generator for tests: any numbers will do.
    fn draws(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            state >> 33
        }
    }

    #[test]
    fn what_was_written_is_read_whatever_the_pages() {
        let mut inode = Inode::default();
        let mut plain = vec![0u8; 5 * PAGE_BYTES];
        let mut draw = draws(1);
        for _ in 0..300 {
            let at = to_usize(draw() % (4 * PAGE_BYTES as u64));
            let length = to_usize(draw() % PAGE_BYTES as u64);
            let byte = draw() as u8 % 3;
            plain[at..at + length].fill(byte);
            inode.write(at as u64, &plain[at..at + length]);
            if draw().is_multiple_of(5) {
                inode.sync();
            }
            let known = content(&inode);
            assert_eq!(known, plain[..known.len()]);
        }
        inode.sync();
        inode.settle(&mut draws(2));
        let known = content(&inode);
        assert_eq!(known, plain[..known.len()], "what is synced survives a power loss");
    }

    #[test]
    fn a_power_loss_leaves_old_or_new_sectors_or_torn_ones() {
        for seed in 0..200 {
            let mut inode = Inode::default();
            inode.write(0, &[1; 3 * PAGE_BYTES]);
            inode.sync();
            inode.write(700, &[2; 2 * PAGE_BYTES]);
            inode.write(3 * PAGE_BYTES as u64, &[3; 600]);
            inode.settle(&mut draws(seed));
            let known = content(&inode);
            assert!(known.len() == 3 * PAGE_BYTES || known.len() == 3 * PAGE_BYTES + 600);
            assert!(known[..700].iter().all(|byte| *byte == 1));
            for sector in known[..3 * PAGE_BYTES].chunks(SECTOR_BYTES) {
                let changes = sector.windows(2).filter(|pair| pair[0] != pair[1]).count();
                assert!(changes <= 2, "old, new, or torn once");
            }
            // The next loss of power finds nothing that hangs in the air.
            let mut again = inode.clone();
            again.settle(&mut draws(seed + 1));
            assert_eq!(content(&again), known);
        }
    }

    #[test]
    fn what_a_failed_sync_left_behind_is_seen_but_never_written() {
        let mut inode = Inode::default();
        inode.write(0, &[7; 512]);
        inode.fail_sync(&mut || 1);
        assert_eq!(content(&inode), [7; 512]);
        inode.sync();
        inode.settle(&mut || 0);
        assert_eq!(content(&inode), [0; 512]);
    }
}
