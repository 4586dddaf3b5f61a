//! A disk in memory that can crash: the test double of this crate and of the simulator.
//!
//! It is as unkind as a real disk may be, and deterministic from its seed:
//! - A write is in the page cache until the file is synced. In a crash each unsynced sector of
//!   512 bytes is lost, kept, or torn in its middle, independently of the others; so is a new
//!   file length.
//! - Creations, removals and renamings that weren't followed by a directory sync may be lost one
//!   by one; each is atomic.
//! - A sync that fails leaves the pages readable but *clean*: no later sync writes them. That is
//!   what Linux does.
//!
//! Latency is not modelled here; that is the simulator's business.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scan::to_usize;
use crate::{Disk, DiskFile};

mod inode;

use inode::Inode;

/// What [`MemoryDisk::fail_next`] makes fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A read of a file.
    Read,
    /// A write; a part of it is written.
    Write,
    /// A sync of a file; what it should have made durable may be durable or not.
    Sync,
    /// A sync of the directory.
    SyncDirectory,
}

/// The disk of one node. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

/// A file of a [`MemoryDisk`]. Dead after a crash.
#[derive(Debug)]
pub struct MemoryFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    life: u64,
}

#[derive(Debug)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Directory changes since the last directory sync, in order.
    changes: Vec<Change>,
    next_inode: u64,
    random: u64,
    capacity_bytes: u64,
    fault: Option<Fault>,
    /// Changing operations until the power fails.
    operations_left: Option<u64>,
    operations: u64,
    powered: bool,
    /// Counts crashes, so that handles from before one are dead.
    life: u64,
}

/// One directory change: these names now lead there, or nowhere.
#[derive(Clone, Debug)]
struct Change {
    names: Vec<(String, Option<u64>)>,
}

impl MemoryDisk {
    /// An empty disk with no limit. All chance comes from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            next_inode: 1,
            random: seed,
            capacity_bytes: u64::MAX,
            fault: None,
            operations_left: None,
            operations: 0,
            powered: true,
            life: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power loss and restart: what wasn't synced is lost, kept or torn by chance, and all open
    /// files are dead. Faults that were ordered but didn't happen are forgotten.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// The process dies and the machine lives on: the page cache stays, open files are dead.
    pub fn kill_process(&self) {
        let mut state = self.state();
        state.life += 1;
        state.restart();
    }

    /// Makes the next operation of this kind fail with `EIO`.
    pub fn fail_next(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// The power fails during the `operation`-th changing operation from now, counted from 1:
    /// that one happens in part, and it and all later ones fail until [`MemoryDisk::crash`] or
    /// [`MemoryDisk::kill_process`].
    pub fn power_off_at(&self, operation: u64) {
        self.state().operations_left = Some(operation);
    }

    /// How many changing operations (write, sync, allocate, create, remove, rename, directory
    /// sync) the disk has been asked for.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Limits the sum of all file lengths; below what is already there, nothing can grow.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity_bytes = bytes;
    }

    /// Fills the disk: no file can grow from here on. `false` takes the limit away.
    pub fn set_full(&self, full: bool) {
        let mut state = self.state();
        state.capacity_bytes = if full { state.used_bytes() } else { u64::MAX };
    }

    /// Lets the files grow by so many bytes more.
    pub fn add_capacity(&self, bytes: u64) {
        let mut state = self.state();
        state.capacity_bytes = state.capacity_bytes.saturating_add(bytes);
    }

    /// Flips one bit of a file, on the disk and in the page cache. Says whether the file has it.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) -> bool {
        let mut state = self.state();
        let Some(inode) = state.inode_of(name) else { return false };
        if offset >= inode.bytes() {
            return false;
        }
        inode.flip(offset, 1 << (bit % 8));
        true
    }

    /// Cuts a file, durably. Says whether there is such a file, and so long.
    pub fn truncate(&self, name: &str, bytes: u64) -> bool {
        let mut state = self.state();
        let Some(inode) = state.inode_of(name).filter(|inode| inode.bytes() >= bytes) else {
            return false;
        };
        inode.cut(bytes);
        true
    }

    /// The content of a file, as a process would read it.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let mut state = self.state();
        let inode = state.inode_of(name)?;
        let mut content = vec![0; to_usize(inode.bytes())];
        inode.read(0, &mut content);
        Some(content)
    }

    /// A disk of its own with the same content and state, and a seed of its own.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let state = self.state();
        let copy = State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            changes: state.changes.clone(),
            random: seed,
            ..*state
        };
        Self { state: Arc::new(Mutex::new(copy)) }
    }
}

impl State {
    /// A random number: splitmix64, which is good enough here and needs no crate.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn inode_of(&mut self, name: &str) -> Option<&mut Inode> {
        let inode = self.names.get(name)?;
        self.inodes.get_mut(inode)
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(Inode::bytes).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes())
    }

    /// By how much one file may grow: asked at each write, and most disks have no end.
    fn room(&self) -> u64 {
        if self.capacity_bytes == u64::MAX { u64::MAX } else { self.free_bytes() }
    }

    fn restart(&mut self) {
        self.fault = None;
        self.operations_left = None;
        self.powered = true;
    }

    fn crash(&mut self) {
        self.life += 1;
        self.settle_names();
        let mut inodes = std::mem::take(&mut self.inodes);
        for inode in inodes.values_mut() {
            inode.settle(&mut || self.draw());
        }
        self.inodes = inodes;
        self.restart();
    }

    /// Decides which unsynced directory changes were made. One that was lost takes along those
    /// that build on it.
    fn settle_names(&mut self) {
        // A disk mostly keeps all or nothing of a short time; mixtures are the third case.
        let mood = self.draw() % 3;
        let mut lost_names: Vec<String> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            let builds_on_lost = change.names.iter().any(|(name, _)| lost_names.contains(name));
            let lost = match mood {
                0 => true,
                1 => false,
                _ => self.draw().is_multiple_of(2),
            };
            if lost || builds_on_lost {
                lost_names.extend(change.names.into_iter().map(|(name, _)| name));
            } else {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let names = &self.names;
        self.inodes.retain(|inode, _| names.values().any(|used| used == inode));
    }

    /// Counts a changing operation. `Err` if there is no power; `Ok(true)` if it fails now.
    fn begin(&mut self) -> io::Result<bool> {
        if !self.powered {
            return Err(power_lost());
        }
        self.operations += 1;
        if let Some(left) = self.operations_left.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.powered = false;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_fault(&mut self, fault: Fault) -> bool {
        let taken = self.fault == Some(fault);
        if taken {
            self.fault = None;
        }
        taken
    }

    fn change_names(&mut self, names: Vec<(String, Option<u64>)>) -> io::Result<()> {
        let dying = self.begin()?;
        let change = Change { names };
        // With the power failing, the change is like any unsynced one: it may be made or not.
        change.apply(&mut self.names);
        self.changes.push(change);
        if dying { Err(power_lost()) } else { Ok(()) }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        for (name, inode) in &self.names {
            match inode {
                Some(inode) => names.insert(name.clone(), *inode),
                None => names.remove(name),
            };
        }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        if state.powered { Ok(state.names.keys().cloned().collect()) } else { Err(power_lost()) }
    }

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.change_names(vec![(name.to_owned(), Some(inode))])?;
        Ok(MemoryFile { state: Arc::clone(&self.state), inode, life: state.life })
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        let state = self.state();
        if !state.powered {
            return Err(power_lost());
        }
        let inode = *state.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(MemoryFile { state: Arc::clone(&self.state), inode, life: state.life })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change_names(vec![(name.to_owned(), None)])
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let inode = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        state.change_names(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))])
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.begin()? {
            return Err(power_lost());
        }
        if state.take_fault(Fault::SyncDirectory) {
            return Err(disk_error());
        }
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.free_bytes())
    }
}

impl MemoryFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails unless this handle is of the present life and its file still exists.
    fn check(&self, state: &State) -> io::Result<()> {
        if state.powered && state.life == self.life && state.inodes.contains_key(&self.inode) {
            Ok(())
        } else {
            Err(power_lost())
        }
    }
}

impl DiskFile for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        self.check(&state)?;
        let dying = state.begin()?;
        let failing = state.take_fault(Fault::Write);
        let free = state.room();
        let part = to_usize(state.draw() % (bytes.len() as u64 + 1));
        let Some(inode) = state.inodes.get_mut(&self.inode) else { return Err(power_lost()) };
        let growth = (offset + bytes.len() as u64).saturating_sub(inode.bytes());
        // Like a real disk: what finds space is written, even if the rest doesn't.
        let missing = growth.saturating_sub(free).min(bytes.len() as u64);
        let fitting = bytes.len() - to_usize(missing);
        if dying || failing {
            inode.write(offset, &bytes[..part.min(fitting)]);
            return Err(if dying { power_lost() } else { disk_error() });
        }
        if missing > 0 {
            inode.write(offset, &bytes[..fitting]);
            return Err(ErrorKind::StorageFull.into());
        }
        inode.write(offset, bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        self.check(&state)?;
        if state.take_fault(Fault::Read) {
            return Err(disk_error());
        }
        Ok(state.inodes.get(&self.inode).map_or(0, |inode| inode.read(offset, buffer)))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state();
        self.check(&state)?;
        if state.begin()? {
            return Err(power_lost());
        }
        let failing = state.take_fault(Fault::Sync);
        let Some(mut inode) = state.inodes.remove(&self.inode) else { return Err(power_lost()) };
        if failing {
            inode.fail_sync(&mut || state.draw());
        } else {
            inode.sync();
        }
        state.inodes.insert(self.inode, inode);
        if failing { Err(disk_error()) } else { Ok(()) }
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.state();
        self.check(&state)?;
        Ok(state.inodes.get(&self.inode).map_or(0, Inode::bytes))
    }

    fn allocate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        self.check(&state)?;
        if state.begin()? {
            return Err(power_lost());
        }
        let free = state.room();
        let Some(inode) = state.inodes.get_mut(&self.inode) else { return Err(power_lost()) };
        if length.saturating_sub(inode.bytes()) > free {
            return Err(ErrorKind::StorageFull.into());
        }
        inode.allocate(length);
        Ok(())
    }
}

fn power_lost() -> io::Error {
    io::Error::other("the power is off, or was since this file was opened")
}

fn disk_error() -> io::Error {
    io::Error::other("input/output error")
}
