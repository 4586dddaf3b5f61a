//! Keys that transactions wait on (WATCH), and whether they were touched since.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Watcher;

/// Keys that sessions watch. Only the holder keeps them; a session whose watch is lost with the
/// lease finds its transaction aborted, which is always safe.
#[derive(Default)]
pub(super) struct Watches {
    by_key: BTreeMap<Box<[u8]>, BTreeSet<Watcher>>,
    by_watcher: BTreeMap<Watcher, Watch>,
}

#[derive(Default)]
struct Watch {
    /// Which of its client's watches it is.
    number: u32,
    keys: Vec<Box<[u8]>>,
    touched: bool,
}

impl Watches {
    pub(super) fn is_empty(&self) -> bool {
        self.by_watcher.is_empty()
    }

    /// Begins to watch keys, besides those of the same watch. An earlier watch of the client has
    /// ended, whatever came of the request that ended it.
    pub(super) fn add(&mut self, watcher: Watcher, number: u32, keys: &[&[u8]]) {
        if self.by_watcher.get(&watcher).is_some_and(|watch| watch.number != number) {
            self.forget(watcher);
        }
        let watch = self.by_watcher.entry(watcher).or_default();
        watch.number = number;
        for &key in keys {
            if self.by_key.entry(key.into()).or_default().insert(watcher) {
                watch.keys.push(key.into());
            }
        }
    }

    /// The keys that somebody watches.
    pub(super) fn keys(&self, watcher: Watcher) -> &[Box<[u8]>] {
        self.by_watcher.get(&watcher).map_or(&[], |watch| &watch.keys)
    }

    /// Keys have changed.
    pub(super) fn touch(&mut self, keys: &[Box<[u8]>]) {
        for key in keys {
            for watcher in self.by_key.get(key).into_iter().flatten() {
                if let Some(watch) = self.by_watcher.get_mut(watcher) {
                    watch.touched = true;
                }
            }
        }
    }

    /// All keys are about to be removed. Watching a key that isn't there is not disturbed by that.
    pub(super) fn touch_present(&mut self, is_present: impl Fn(&[u8]) -> bool) {
        for watch in self.by_watcher.values_mut() {
            watch.touched |= watch.keys.iter().any(|key| is_present(key));
        }
    }

    /// Ends a watch; says whether it was there and untouched.
    pub(super) fn take(&mut self, watcher: Watcher, number: u32) -> bool {
        self.forget(watcher).is_some_and(|watch| watch.number == number && !watch.touched)
    }

    /// Ends a watch, whichever it is.
    pub(super) fn end(&mut self, watcher: Watcher) {
        self.forget(watcher);
    }

    fn forget(&mut self, watcher: Watcher) -> Option<Watch> {
        let watch = self.by_watcher.remove(&watcher)?;
        for key in &watch.keys {
            if let Some(watchers) = self.by_key.get_mut(key) {
                watchers.remove(&watcher);
                if watchers.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        Some(watch)
    }

    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.by_watcher.clear();
    }
}
