//! Decisions as JSON lines, for logs and for whoever wants to count.
//!
//! Written by hand: all text in a decision is ours, and free of characters that JSON would have to
//! escape. Numbers are finite by construction; a bid of a candidate that isn't fit has the reason
//! instead.

use alloc::string::String;
use core::fmt::{self, Display, Write};

use crate::bid::Bid;
use crate::decision::{Action, Decision, Inputs, Outcome};

impl Decision {
    /// The decision as one line of JSON, without the line's end. Times are milliseconds on the
    /// manager's clock; utilisations are shares of a node.
    ///
    /// | field | meaning |
    /// |---|---|
    /// | `id`, `at`, `shard` | which decision, when, about which shard |
    /// | `action` | `lease`, `succession` or `replica` |
    /// | `from`, `to` | nodes; null where there is none |
    /// | `epoch` or `generation` | what it was decided on |
    /// | `reason` | one word |
    /// | `inputs` | what the manager saw |
    /// | `bids` | by candidate, best first: the terms that aren't zero, or why it was not fit |
    /// | `predicted`, `realised` | gains; `realised` is null until it is measured |
    /// | `outcome` | `applied`, `stale`, `failed`, `timed-out`, or null |
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        // Writing into a string can't fail.
        let _ = self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        let millis = self.at.0 / 1_000_000;
        write!(out, "{{\"id\":{},\"at\":{millis},\"shard\":{},", self.id.0, self.shard.0)?;
        match &self.action {
            Action::Lease { epoch, .. } => {
                write!(out, "\"action\":\"lease\",\"epoch\":{}", epoch.0)?;
            }
            Action::Succession { heirs, epoch } => {
                write!(out, "\"action\":\"succession\",\"epoch\":{},\"heirs\":[", epoch.0)?;
                list(out, heirs.iter().map(|heir| heir.0))?;
                out.push(']');
            }
            Action::Replica { generation, .. } => {
                write!(out, "\"action\":\"replica\",\"generation\":{}", generation.0)?;
            }
        }
        let node = |node: Option<types::NodeId>| OrNull(node.map(|node| node.0));
        write!(out, ",\"from\":{},\"to\":{}", node(self.source()), node(self.target()))?;
        let Inputs { mean, source, target, shard, reads, writes } = self.inputs;
        write!(out, ",\"reason\":\"{}\",\"inputs\":{{", self.reason.name())?;
        write!(out, "\"mean\":{mean:.4},\"source\":{source:.4},\"target\":{target:.4},")?;
        write!(out, "\"shard\":{shard:.4},\"reads\":{reads:.1},\"writes\":{writes:.1}}}")?;
        out.push_str(",\"bids\":[");
        list(out, self.bids.iter().map(JsonBid))?;
        let outcome = self.outcome.map(|outcome| match outcome {
            Outcome::Applied { .. } => "\"applied\"",
            Outcome::Stale => "\"stale\"",
            Outcome::Failed => "\"failed\"",
            Outcome::TimedOut => "\"timed-out\"",
        });
        let (predicted, realised) = (self.predicted_gain, OrNull(self.realised_gain));
        write!(out, "],\"predicted\":{predicted:.4},\"realised\":{realised:.4}")?;
        write!(out, ",\"outcome\":{}}}", OrNull(outcome))
    }
}

struct JsonBid<'a>(&'a Bid);

impl Display for JsonBid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"node\":{}", self.0.node.0)?;
        match &self.0.terms {
            Ok(terms) => {
                write!(f, ",\"total\":{:.4}", terms.total())?;
                let named = terms.named().into_iter().filter(|(_, score)| *score != 0.0);
                for (name, score) in named {
                    write!(f, ",\"{name}\":{score:.4}")?;
                }
            }
            Err(unfit) => write!(f, ",\"unfit\":\"{unfit}\"")?,
        }
        f.write_str("}")
    }
}

/// A value, or `null`.
struct OrNull<T>(Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

fn list<T: Display>(out: &mut String, values: impl Iterator<Item = T>) -> fmt::Result {
    for (at, value) in values.enumerate() {
        write!(out, "{}{value}", if at == 0 { "" } else { "," })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use types::{LeaseEpoch, Monotonic, NodeId, ShardId};

    use super::*;
    use crate::bid::{Terms, Unfit};
    use crate::decision::{DecisionId, Reason};

    #[test]
    fn a_decision_is_one_line() {
        let decision = Decision {
            id: DecisionId(7),
            at: Monotonic(5_000_000),
            shard: ShardId(3),
            action: Action::Lease { from: None, to: NodeId(2), epoch: LeaseEpoch(4) },
            reason: Reason::HolderLost,
            inputs: Inputs { mean: 0.5, ..Inputs::default() },
            bids: alloc::vec![
                Bid { node: NodeId(2), terms: Ok(Terms { load: 0.25, ..Terms::default() }) },
                Bid { node: NodeId(1), terms: Err(Unfit::Silent) },
            ],
            predicted_gain: 0.25,
            outcome: Some(Outcome::Applied { epoch: LeaseEpoch(5) }),
            realised_gain: None,
        };
        assert_eq!(
            decision.to_json(),
            "{\"id\":7,\"at\":5,\"shard\":3,\"action\":\"lease\",\"epoch\":4,\
             \"from\":null,\"to\":2,\"reason\":\"holder-lost\",\"inputs\":{\"mean\":0.5000,\
             \"source\":0.0000,\"target\":0.0000,\"shard\":0.0000,\"reads\":0.0,\
             \"writes\":0.0},\"bids\":[{\"node\":2,\"total\":0.2500,\"load\":0.2500},\
             {\"node\":1,\"unfit\":\"does not report\"}],\"predicted\":0.2500,\
             \"realised\":null,\"outcome\":\"applied\"}"
        );
    }
}
