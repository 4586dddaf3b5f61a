//! Slot images in pieces: a slot of any size is written and read in bounded steps, while it
//! changes.
//!
//! An image has one index, however many pieces it has: it shows the slot as it was when it was
//! begun. The writer walks through the keys by position (see `Table::bucket_at`). A key that is
//! about to change before the writer has reached it is put into the image first, as it was; one
//! that is new is left out. So nothing is copied but what changes meanwhile, and the shard goes on.
//! The keys that were met out of turn are remembered until the image is complete.
//!
//! The bytes are those of `image.rs`, cut anywhere, in no order of keys.

use crate::entry::Entry;
use crate::image::{EntryReader, Header, ImageError, encode_entry, encode_header};
use crate::keyspace::Keyspace;
use crate::slot::{KeyHasher, SlotData};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use types::Slot;

/// An image that is being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageId {
    slot: Slot,
    number: u64,
}

/// A part of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the image ends with it.
    pub last: bool,
}

/// The images of one slot that are being written: hardly ever any.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "a slot pays for one word")]
pub(crate) struct Images(Option<Box<Vec<Image>>>);

struct Image {
    number: u64,
    /// Keys before this position are in the image.
    position: u64,
    /// Keys at or behind the position that are in the image already, or must not be.
    met: BTreeSet<Box<[u8]>>,
    /// All keys are in the image.
    complete: bool,
    /// What was encoded; the first `taken` bytes of it are in pieces already.
    bytes: Vec<u8>,
    taken: usize,
    /// The slot as it was, if its data were replaced as a whole meanwhile.
    detached: Option<Arc<SlotData>>,
}

impl Images {
    /// An entry is about to change or to go away.
    pub(crate) fn before_change(&mut self, hash: u64, entry: &Entry) {
        for image in self.unfinished(hash) {
            if image.met.insert(entry.key().into()) {
                encode_entry(entry, &mut image.bytes);
            }
        }
    }

    /// A key comes that was not there.
    pub(crate) fn before_insert(&mut self, hash: u64, key: &[u8]) {
        for image in self.unfinished(hash) {
            image.met.insert(key.into());
        }
    }

    /// The images that have not reached a hash.
    fn unfinished(&mut self, hash: u64) -> impl Iterator<Item = &mut Image> {
        let all = self.0.iter_mut().flat_map(|images| images.iter_mut());
        all.filter(move |image| {
            !image.complete && image.detached.is_none() && hash.reverse_bits() >= image.position
        })
    }

    /// The data of a slot were replaced: images of what was there go on. Answers with them, and
    /// with the data if no image needs them.
    pub(crate) fn detach(mut old: SlotData) -> (Self, Option<SlotData>) {
        let Some(mut images) = old.images.0.take() else { return (Self::default(), Some(old)) };
        let old = Arc::new(old);
        for image in images.iter_mut().filter(|image| !image.complete) {
            image.detached.get_or_insert_with(|| Arc::clone(&old));
        }
        (Self(Some(images)), Arc::into_inner(old))
    }

    /// Gives all images up. Answers with what they kept.
    pub(crate) fn end(self) -> impl Iterator<Item = Arc<SlotData>> {
        let images = self.0.into_iter().flat_map(|images| *images);
        images.filter_map(|image| image.detached)
    }

    /// Ends an image. Answers with what it kept.
    fn remove(&mut self, number: u64) -> Option<Arc<SlotData>> {
        let images = self.0.as_mut()?;
        let at = images.iter().position(|image| image.number == number)?;
        let image = images.remove(at);
        if images.is_empty() {
            self.0 = None;
        }
        image.detached
    }
}

impl Image {
    /// Bytes that are in no piece yet.
    fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn take(&mut self, bytes: usize) -> Piece {
        let end = self.taken + bytes.min(self.waiting());
        let piece = self.bytes[self.taken..end].to_vec();
        self.taken = end;
        if self.taken >= self.waiting() {
            // What was taken would else be kept up to the image's end: pieces hardly ever end where
            // entries do. A large value may have been there, too.
            self.bytes.drain(..self.taken);
            self.taken = 0;
            self.bytes.shrink_to(bytes.max(self.waiting()).saturating_mul(4));
        }
        Piece { bytes: piece, last: self.complete && self.waiting() == 0 }
    }

    /// Encodes keys until there are `bytes` bytes, or all keys are there.
    fn fill(&mut self, slot: &SlotData, hasher: &KeyHasher, bytes: usize) {
        let detached = self.detached.clone();
        let slot = detached.as_deref().unwrap_or(slot);
        while !self.complete && self.waiting() < bytes {
            let (entries, end) = slot.bucket_at(self.position);
            let placed = entries.map(|entry| (hasher.hash(entry.key()).reverse_bits(), entry));
            let mut left: Vec<(u64, &Entry)> = placed.filter(|it| it.0 >= self.position).collect();
            left.sort_unstable_by_key(|(position, _)| *position);
            let mut reached = None;
            for (position, entry) in left {
                // Keys of one position go together.
                if self.waiting() >= bytes && reached != Some(position) {
                    break;
                }
                reached = Some(position);
                if !self.met.remove(entry.key()) {
                    encode_entry(entry, &mut self.bytes);
                }
            }
            let next = match reached {
                Some(position) if self.waiting() >= bytes => position.checked_add(1),
                Some(_) | None => end.checked_add(1),
            };
            match next {
                Some(next) => self.position = next,
                None => self.complete = true,
            }
        }
        if self.complete {
            self.met = BTreeSet::new();
        }
    }
}

impl Keyspace {
    /// Begins to write an image of a slot, which must lie in the range, as it is now.
    pub fn begin_image(&mut self, slot: Slot) -> ImageId {
        let number = self.next_image();
        let data = self.slot_mut(slot);
        let mut bytes = Vec::new();
        encode_header(slot, data.len(), &mut bytes);
        let image = Image {
            number,
            position: 0,
            met: BTreeSet::new(),
            complete: data.len() == 0,
            bytes,
            taken: 0,
            detached: None,
        };
        data.images.0.get_or_insert_default().push(image);
        ImageId { slot, number }
    }

    /// The next piece of an image, of `bytes` bytes unless it is the last; `None` if there is no
    /// such image, or no more. Besides what changed meanwhile it holds one entry more at most.
    pub fn next_piece(&mut self, id: ImageId, bytes: usize) -> Option<Piece> {
        if !self.range().contains(id.slot) {
            return None;
        }
        let (slot, hasher) = self.slot_and_hasher(id.slot);
        let mut images = slot.images.0.take()?;
        let found = images.iter_mut().find(|image| image.number == id.number);
        let mut old = None;
        let piece = found.map(|image| {
            image.fill(slot, hasher, bytes.max(1));
            old = image.detached.take_if(|_| image.complete);
            image.take(bytes.max(1))
        });
        slot.images.0 = Some(images);
        if piece.as_ref().is_none_or(|piece| piece.last) {
            slot.images.remove(id.number);
        }
        self.discard_shared(old);
        piece
    }

    /// Gives an image up.
    pub fn drop_image(&mut self, id: ImageId) {
        if self.range().contains(id.slot) {
            let old = self.slot_mut(id.slot).images.remove(id.number);
            self.discard_shared(old);
        }
    }

    /// Replaces the data of a slot, which must lie in the range, by what an image has brought.
    pub fn put_slot(&mut self, slot: Slot, built: BuiltSlot) {
        let same = built.hasher.seed == self.hasher().seed;
        let data = if same { built.data } else { built.data.rehashed(self.hasher()) };
        self.replace_slot(slot, data);
    }

    /// Takes what is of no use after all, to free it step by step like what was removed.
    pub fn discard_slot(&mut self, built: BuiltSlot) {
        self.discard(built.data);
    }

    fn discard_shared(&mut self, old: Option<Arc<SlotData>>) {
        if let Some(old) = old.and_then(Arc::into_inner) {
            self.discard(old);
        }
    }
}

/// An image of data that are in no keyspace yet, and stay as they are while it is written.
pub struct SlotCopy {
    image: Image,
    /// What was read and belongs to an entry that is not complete is in the image, too.
    ended: bool,
}

impl SlotCopy {
    fn new(header: Option<(Slot, usize)>) -> Self {
        let mut bytes = Vec::new();
        if let Some((slot, count)) = header {
            encode_header(slot, count, &mut bytes);
        }
        let image = Image {
            number: 0,
            position: 0,
            met: BTreeSet::new(),
            complete: false,
            bytes,
            taken: 0,
            detached: None,
        };
        Self { image, ended: false }
    }

    /// The next piece: those of `data`, and then `rest`.
    fn next(&mut self, data: &SlotData, hasher: &KeyHasher, rest: &[u8], bytes: usize) -> Piece {
        self.image.fill(data, hasher, bytes.max(1));
        if self.image.complete && !core::mem::replace(&mut self.ended, true) {
            self.image.bytes.extend_from_slice(rest);
        }
        self.image.take(bytes.max(1))
    }
}

/// The data of a slot, complete and in no keyspace yet.
pub struct BuiltSlot {
    hasher: KeyHasher,
    data: SlotData,
}

impl BuiltSlot {
    /// A slot without a key.
    #[must_use]
    pub fn empty(hash_seed: u64) -> Self {
        Self { hasher: KeyHasher::new(hash_seed), data: SlotData::default() }
    }

    /// Whether it has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.len() == 0
    }

    /// Begins to write an image of it; `slot` is what it is.
    #[must_use]
    pub fn begin_copy(&self, slot: Slot) -> SlotCopy {
        SlotCopy::new(Some((slot, self.data.len())))
    }

    /// The next piece of that image, of `bytes` bytes and an entry at most.
    pub fn next_piece(&self, copy: &mut SlotCopy, bytes: usize) -> Piece {
        copy.next(&self.data, &self.hasher, &[], bytes)
    }
}

/// Reads an image piece by piece. It holds what was read, and the part of one entry.
pub struct SlotBuilder {
    slot: Slot,
    hasher: KeyHasher,
    data: SlotData,
    header: Option<Header>,
    /// What belongs to an entry that is not complete.
    rest: Vec<u8>,
}

impl SlotBuilder {
    /// Nothing was read yet. `hash_seed`: that of the keyspace that will have the slot.
    #[must_use]
    pub fn new(slot: Slot, hash_seed: u64) -> Self {
        let hasher = KeyHasher::new(hash_seed);
        Self { slot, hasher, data: SlotData::default(), header: None, rest: Vec::new() }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// If the image is not a valid one of this slot.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        let mut bytes = core::mem::take(&mut self.rest);
        bytes.extend_from_slice(piece);
        let mut reader = EntryReader::new(&bytes);
        if self.header.is_none() {
            let Some(header) = reader.header(self.slot)? else {
                self.rest = bytes;
                return Ok(());
            };
            self.header = Some(header);
        }
        while let Some((key, content)) = reader.next()? {
            let hash = self.hasher.hash(key);
            if resp::slot_of(key) != self.slot || self.data.find(hash, key).is_some() {
                return Err(ImageError::Keys);
            }
            self.data.insert(&self.hasher, hash, Entry::new(key, content));
        }
        let read = bytes.len() - reader.left();
        bytes.drain(..read);
        self.rest = bytes;
        Ok(())
    }

    /// Begins to write again what was read so far. Nothing may be read until that is done.
    #[must_use]
    pub fn begin_copy(&self) -> SlotCopy {
        let count = self.header.as_ref().map(|header| header.count as usize);
        SlotCopy::new(count.map(|count| (self.slot, count)))
    }

    /// The next piece of that, of `bytes` bytes and an entry at most. Behind the last one go the
    /// pieces of the image that were not read yet.
    pub fn next_piece(&self, copy: &mut SlotCopy, bytes: usize) -> Piece {
        copy.next(&self.data, &self.hasher, &self.rest, bytes)
    }

    /// What was read so far, to be discarded.
    #[must_use]
    pub fn give_up(self) -> BuiltSlot {
        BuiltSlot { hasher: self.hasher, data: self.data }
    }

    /// The slot, if all of it was there.
    ///
    /// # Errors
    /// If the image is not complete, or has more than it says.
    pub fn finish(self) -> Result<BuiltSlot, ImageError> {
        let count = self.header.ok_or(ImageError::Malformed)?.count;
        if !self.rest.is_empty() || self.data.len() as u64 != count {
            return Err(ImageError::Malformed);
        }
        Ok(BuiltSlot { hasher: self.hasher, data: self.data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_holds_little_more_than_what_waits() {
        let SlotCopy { mut image, .. } = SlotCopy::new(None);
        let (mut put, mut taken) = (Vec::new(), Vec::new());
        for entry in 0..1000_usize {
            let bytes = if entry == 500 { 100_000 } else { 700 };
            let bytes: Vec<u8> = (0..bytes).map(|at| (at * 31 + entry) as u8).collect();
            image.bytes.extend_from_slice(&bytes);
            put.extend_from_slice(&bytes);
            while image.waiting() >= 256 {
                taken.extend_from_slice(&image.take(256).bytes);
                let most = 8 * image.waiting().max(256);
                assert!(image.bytes.capacity() <= most, "{}", image.bytes.capacity());
            }
        }
        taken.extend_from_slice(&image.take(256).bytes);
        assert!(taken == put);
    }
}
