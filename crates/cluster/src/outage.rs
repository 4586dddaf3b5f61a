//! Why a shard has no holder, in words: the one place where that is said. Clients' errors, what
//! operators are shown, metrics and log lines are all made of it, so they tell the same story.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display};

use types::{NodeId, ShardId};

/// Why a replica can't help to decide, as far as a node knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Missing {
    /// The directory that it lay in is gone, as its node itself says.
    Lost,
    /// What its node says does not count: its directory is an old copy, or it is a second process.
    Refused,
    /// Its node beats, but says that nothing from here reaches it.
    Unreached {
        /// The port that should be open.
        peer_port: u16,
    },
    /// Its node is not heard, and its disk was nearly full when it was: a node that can't write
    /// falls silent.
    SilentSinceFull,
    /// Its node is not heard.
    Silent,
}

/// Why a shard has no holder, or none that can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outage {
    /// Too few replicas are left to decide anything.
    NoQuorum {
        /// Those that are missing, by what they are missing for.
        missing: Vec<(Missing, NodeId)>,
        /// How many replicas have votes.
        voters: usize,
        /// Whether those whose directories are gone are enough: then waiting doesn't help.
        for_good: bool,
    },
    /// Somebody holds it, whom this node can't reach.
    OutOfReach {
        /// The holder.
        holder: NodeId,
        /// Its port for peers.
        peer_port: u16,
    },
    /// Somebody has held it, and is not heard. There is no replica here to know more.
    HolderSilent {
        /// The last holder that is known.
        holder: NodeId,
    },
    /// There are enough replicas, and none of them is heard to lead.
    Election {
        /// Those that are missing all the same.
        missing: Vec<(Missing, NodeId)>,
        /// Whether this node has a replica, and so knows.
        has_copy: bool,
    },
    /// There is no replica here, and nobody has said that it holds the shard.
    Unknown,
}

/// What metrics call the causes, in the order of [`Outage::cause`].
pub(crate) const CAUSES: [&str; 6] =
    ["copies_lost", "no_quorum", "out_of_reach", "holder_silent", "election", "unknown"];

impl Outage {
    /// Its place in [`CAUSES`].
    pub(crate) fn cause(&self) -> usize {
        match self {
            Self::NoQuorum { for_good: true, .. } => 0,
            Self::NoQuorum { for_good: false, .. } => 1,
            Self::OutOfReach { .. } => 2,
            Self::HolderSilent { .. } => 3,
            Self::Election { .. } => 4,
            Self::Unknown => 5,
        }
    }

    /// Whether it can end without anybody's doing.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Self::NoQuorum { for_good: true, .. })
    }
}

/// The end of a sentence that begins with the shard.
impl Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuorum { missing, voters, for_good: true } => {
                let lost: Vec<NodeId> = those(missing, Missing::Lost);
                if lost.len() == *voters {
                    write!(f, "has lost all of its {voters} copies")?;
                } else {
                    write!(f, "has lost {} of its {voters} copies, too many", lost.len())?;
                }
                write!(
                    f,
                    ": the data directories that {} had are gone. If one of them is left, start \
                     its node on it. The last resort is `leasehold salvage`: it saves what the \
                     other directories hold, for a new cluster",
                    Nodes(&lost)
                )
            }
            Self::NoQuorum { missing, voters, for_good: false } => {
                write!(f, "has no holder: too few of its {voters} copies can decide, since ")?;
                write_missing(f, missing)
            }
            Self::OutOfReach { holder, peer_port } => write!(
                f,
                "is held by {holder}, which is heard here but can't be reached at its peer port \
                 {peer_port}"
            ),
            Self::HolderSilent { holder } => {
                write!(f, "has no holder that is known here: {holder}, the last one, is not heard")
            }
            Self::Election { missing, has_copy } => {
                f.write_str("has no holder that is heard here at the moment")?;
                if !missing.is_empty() {
                    f.write_str(": ")?;
                    write_missing(f, missing)?;
                }
                f.write_str(if *has_copy {
                    "; enough of its copies are left, so another holder is elected, or requests \
                     go by way of a node that hears it"
                } else {
                    "; this node has no copy of it, and does not know whether enough are left"
                })
            }
            Self::Unknown => f.write_str(
                "has no holder that is known here: this node has no copy of it, and none has said \
                 that it holds it",
            ),
        }
    }
}

/// Why a shard's data may not grow, or not on all the nodes where they should.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Shortage {
    /// How many replicas have votes.
    pub(crate) voters: usize,
    /// Voters whose disks are nearly full.
    pub(crate) full: Vec<NodeId>,
    /// Voters that are not heard.
    pub(crate) silent: Vec<NodeId>,
    /// Whether too few are left to store what grows, or the holder is none of them.
    pub(crate) refuses: bool,
    /// A node whose memory is used up.
    pub(crate) memory: Option<NodeId>,
}

/// The end of a sentence that begins with the shard: why writes that grow get `MISCONF`.
pub(crate) struct OfDisks<'a>(pub(crate) &'a Shortage);

impl Display for OfDisks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { voters, full, silent, refuses, .. } = self.0;
        if *refuses && (full.len() + silent.len()) * 2 >= *voters {
            write!(
                f,
                "takes no writes that grow: too few of its {voters} copies can store them, since "
            )?;
        } else if *refuses {
            f.write_str(
                "takes no writes that grow: it has no holder that could store them, since ",
            )?;
        } else {
            f.write_str("is stored by fewer nodes than it should: ")?;
        }
        let (disks, are) = if full.len() > 1 { ("disks", "are") } else { ("disk", "is") };
        write!(f, "the {disks} of {} {are} nearly full", Nodes(full))?;
        if !silent.is_empty() {
            let are = if silent.len() > 1 { "are" } else { "is" };
            write!(f, ", and {} {are} not heard", Nodes(silent))?;
        }
        Ok(())
    }
}

impl Shortage {
    /// What clients are told whose writes too few could store.
    pub(crate) fn disk_refusal(&self, shard: ShardId) -> String {
        let start = if self.silent.is_empty() { "" } else { ", or start what is down" };
        alloc::format!(
            "MISCONF shard {shard} {}: nothing was executed. Deleting goes on; free some space \
             there{start}",
            OfDisks(self)
        )
    }

    /// What is to be said of the shard, a sentence each, without its subject.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let disks = (!self.full.is_empty()).then(|| OfDisks(self).to_string());
        let memory = self.memory.map(|node| {
            alloc::format!(
                "takes hardly any writes that grow: {node} has hardly anything left of what its \
                 setting `memory` allows"
            )
        });
        disks.into_iter().chain(memory).collect()
    }
}

fn those(missing: &[(Missing, NodeId)], kind: Missing) -> Vec<NodeId> {
    missing.iter().filter(|(it, _)| *it == kind).map(|(_, node)| *node).collect()
}

/// What is missing, kind by kind. They are sorted by kind.
fn write_missing(f: &mut fmt::Formatter<'_>, missing: &[(Missing, NodeId)]) -> fmt::Result {
    for (at, group) in missing.chunk_by(|one, other| one.0 == other.0).enumerate() {
        if at > 0 {
            f.write_str("; ")?;
        }
        let Some((kind, _)) = group.first() else { continue };
        let nodes: Vec<NodeId> = group.iter().map(|(_, node)| *node).collect();
        let (nodes, many) = (Nodes(&nodes), nodes.len() > 1);
        match kind {
            Missing::Lost if many => write!(f, "{nodes} have lost their data directories"),
            Missing::Lost => write!(f, "{nodes} has lost its data directory"),
            Missing::Refused => write!(
                f,
                "{nodes} {} on an old copy of the data directory, or as a second process",
                if many { "run" } else { "runs" }
            ),
            Missing::Unreached { peer_port } => write!(
                f,
                "{nodes} can't be reached at peer port {peer_port} from here, although {} heard",
                if many { "they are" } else { "it is" }
            ),
            Missing::SilentSinceFull => write!(
                f,
                "{nodes} {}",
                if many {
                    "are not heard, and their disks were nearly full when they were"
                } else {
                    "is not heard, and its disk was nearly full when it was"
                }
            ),
            Missing::Silent => write!(f, "{nodes} {} not heard", if many { "are" } else { "is" }),
        }?;
    }
    Ok(())
}

/// Nodes in a sentence: `n1, n2 and n3`.
pub(crate) struct Nodes<'a>(pub(crate) &'a [NodeId]);

impl Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (at, node) in self.0.iter().enumerate() {
            match at {
                0 => {}
                _ if at == last => f.write_str(" and ")?,
                _ => f.write_str(", ")?,
            }
            write!(f, "{node}")?;
        }
        Ok(())
    }
}

/// Shards as a list with ranges: `s1, s3 to s7`. They are sorted.
#[must_use]
pub fn list_shards(shards: &[ShardId]) -> String {
    let mut text = String::new();
    for run in shards.chunk_by(|one, next| one.0 + 1 == next.0) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if !text.is_empty() {
            text.push_str(", ");
        }
        text += &match run.len() {
            1 => alloc::format!("{first}"),
            2 => alloc::format!("{first}, {last}"),
            _ => alloc::format!("{first} to {last}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_quorum(missing: &[(Missing, u32)], for_good: bool) -> String {
        let missing = missing.iter().map(|(kind, node)| (*kind, NodeId(*node))).collect();
        Outage::NoQuorum { missing, voters: 3, for_good }.to_string()
    }

    #[test]
    fn who_is_missing_is_named_with_the_cause() {
        let silent = no_quorum(&[(Missing::Silent, 2), (Missing::Silent, 3)], false);
        assert!(silent.ends_with("can decide, since n2 and n3 are not heard"), "{silent}");
        let full = no_quorum(&[(Missing::SilentSinceFull, 2), (Missing::Silent, 3)], false);
        assert!(full.contains("n2 is not heard, and its disk was nearly full when it was; n3 is"));
        let port = Missing::Unreached { peer_port: 17003 };
        let mixed = no_quorum(&[(Missing::Lost, 1), (port, 3)], false);
        assert!(mixed.contains("n1 has lost its data directory; n3 can't be reached at peer port"));
        let lost = [(Missing::Lost, 1), (Missing::Lost, 2), (Missing::Lost, 3)];
        assert!(no_quorum(&lost, true).contains("all of its 3 copies: "));
        assert!(no_quorum(&lost, true).contains("that n1, n2 and n3 had are gone"));
        assert!(no_quorum(&lost[..2], true).contains("2 of its 3 copies, too many"));
    }

    #[test]
    fn writes_that_nobody_can_store_are_refused_with_all_that_is_in_the_way() {
        let list = |nodes: &[u32]| nodes.iter().copied().map(NodeId).collect::<Vec<NodeId>>();
        let short = |full: &[u32], silent: &[u32], refuses| Shortage {
            voters: 3,
            full: list(full),
            silent: list(silent),
            refuses,
            memory: None,
        };
        let text = short(&[2], &[3], true).disk_refusal(ShardId(7));
        assert!(text.starts_with("MISCONF shard s7 takes no writes that grow: too few of its 3 "));
        assert!(text.contains("the disk of n2 is nearly full, and n3 is not heard: "), "{text}");
        assert!(text.ends_with("free some space there, or start what is down"), "{text}");
        let text = short(&[1, 2], &[], true).sentences().concat();
        assert!(text.ends_with("since the disks of n1 and n2 are nearly full"), "{text}");
        let text = short(&[1], &[], true).sentences().concat();
        assert!(text.contains("no holder that could store them, since the disk of n1"), "{text}");
        let text = short(&[1], &[], false).sentences().concat();
        assert!(text.starts_with("is stored by fewer nodes than it should: the disk"), "{text}");
        let used_up = Shortage { memory: Some(NodeId(3)), ..short(&[], &[2], false) };
        assert!(used_up.sentences().concat().contains("n3 has hardly anything left"));
        assert!(short(&[], &[2, 3], false).sentences().is_empty(), "no matter of disks");
    }

    #[test]
    fn shards_are_listed_with_ranges() {
        let list = |numbers: &[u32]| {
            let shards: Vec<ShardId> = numbers.iter().copied().map(ShardId).collect();
            list_shards(&shards)
        };
        assert_eq!(list(&[]), "");
        assert_eq!(list(&[0, 2, 3, 5, 6, 7, 9]), "s0, s2, s3, s5 to s7, s9");
    }
}
