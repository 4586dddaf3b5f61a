//! How much room each node has said it has.

use types::{Monotonic, NodeId};

use super::Support;

impl Support {
    /// By how many bytes this node's data, and its log, may grow: what its beats say.
    pub(crate) fn set_room(&mut self, memory: u64, disk: u64) {
        self.room = (memory, disk);
    }

    /// The least that the data, and the log, of this node or any live peer may grow by.
    pub(crate) fn least_room(&self, now: Monotonic) -> (u64, u64) {
        let rooms = self.peers.keys().filter_map(|peer| self.room_of(now, *peer));
        rooms.fold(self.room, |least, room| (least.0.min(room.0), least.1.min(room.1)))
    }

    /// By how many bytes a live peer's data, and its log, may grow. One that is alive and has not
    /// said so is not short of anything.
    pub(crate) fn room_of(&self, now: Monotonic, peer: NodeId) -> Option<(u64, u64)> {
        let said = self.peers.get(&peer)?.room;
        self.is_alive(now, peer).then(|| said.unwrap_or((u64::MAX, u64::MAX)))
    }

    /// Whether a peer's disk was nearly full when it was last heard.
    pub(crate) fn last_had_no_disk(&self, peer: NodeId) -> bool {
        let said = self.peers.get(&peer).and_then(|pair| pair.room);
        said.is_some_and(|(_, disk)| disk == 0)
    }
}
