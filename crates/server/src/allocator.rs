//! What the allocator does with memory that is free.
//!
//! It gives such memory back to the system a second after it was freed, but looks for it only when
//! a page is freed later on. After a start that may be never: the entries that a start reads and
//! applies again lie between the data, and a node stayed 1.33 times as large as its data. So a page
//! is freed once a second.
//!
//! Giving everything back at once is no way out: pages come and go all the time, and taking them
//! from the system again cost a write 4 % more CPU.

use std::hint::black_box;

/// As many bytes have pages of their own, which are freed with them (mimalloc: beyond
/// `MI_LARGE_MAX_OBJ_SIZE`). None of them is touched.
const OWN_PAGES: usize = 8 << 20;

/// Has the allocator look for memory that has been free for a while, and give it back.
pub(crate) fn give_back() {
    drop(black_box(Vec::<u8>::with_capacity(OWN_PAGES)));
}
